"""Reads Bicep files without the compiler, which is not to be had everywhere: syntax, symbols, modules and outputs.

What a compiler knows of resource types is checked elsewhere, against the models of the Azure SDK.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_WORDS = """
any array base64 bool concat contains deployment empty endsWith environment filter first flatten format guid if
indexOf int intersection items join json last length loadFileAsBase64 loadJsonContent loadTextContent max min
newGuid padLeft range reference replace resourceGroup resourceId skip split startsWith string subscription
subscriptionResourceId substring sys take tenant tenantResourceId toLower toUpper trim union uniqueString uri
utcNow az
"""
FUNCTIONS = frozenset(_WORDS.split())
"""Of the language; deployment scopes among them."""
Value = Any
"""What a literal means: str, int, bool, None, list, dict; `Computed` for what only a deployment knows."""


_TYPES = {"string": str, "bool": bool, "int": int, "array": list, "object": dict}


class Computed:
    """A value that an expression gives."""


COMPUTED = Computed()


@dataclass(frozen=True, slots=True)
class Either:
    """One of two, by a condition."""

    one: Value
    other: Value


@dataclass(slots=True)
class Module:
    """A use of another file."""

    path: str
    params: dict[str, Value] = field(default_factory=dict)


@dataclass(slots=True)
class Resource:
    """A resource with its body; `existing` ones are only referred to."""

    type: str
    body: dict[str, Value]
    existing: bool


@dataclass(slots=True)
class File:
    """One file. `params` tells whether each of them has to be given, `types` what they are."""

    path: Path
    params: dict[str, bool] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    variables: set[str] = field(default_factory=set)
    resources: dict[str, Resource] = field(default_factory=dict)
    modules: dict[str, Module] = field(default_factory=dict)
    outputs: set[str] = field(default_factory=set)
    mistakes: list[str] = field(default_factory=list)
    used: list[tuple[str, str]] = field(default_factory=list)
    """(module, output) of every output that is read."""

    @property
    def symbols(self) -> set[str]:
        """Every name that the file declares."""
        return {*self.params, *self.variables, *self.resources, *self.modules}


@lru_cache(maxsize=1)
def _parser() -> Parser:
    return Parser(Language(tree_sitter_bicep.language()))


def read(path: Path) -> File:
    """A file with everything that is wrong in itself; see `check` for what is wrong between files."""
    root = _parser().parse(path.read_bytes()).root_node
    file = File(path)
    file.mistakes += [f"{path.name}:{node.start_point[0] + 1}: syntax error" for node in _errors(root)]
    for node in root.children:
        _declare(file, node)
    for node in root.children:
        _resolve(file, node, frozenset())
    return file


def check(root: Path) -> list[str]:
    """What is wrong in a file and in the files that it uses, however deep."""
    known: dict[Path, File] = {}

    def load(path: Path) -> File:
        if path not in known:
            known[path] = read(path)
            for module in known[path].modules.values():
                target = (path.parent / module.path).resolve()
                if target.is_file():
                    load(target)
        return known[path]

    load(root.resolve())
    return [mistake for file in known.values() for mistake in (*file.mistakes, *_between(file, known))]


def check_parameters(path: Path) -> list[str]:
    """What is wrong with a file of parameters. The grammar knows none, so each is read as a variable."""
    lines = path.read_text().splitlines()
    using = next((line.split("'")[1] for line in lines if line.startswith("using '")), "")
    target = read(path.parent / using)
    text = "\n".join(re.sub(r"^param ", "var ", line) for line in lines if not line.startswith("using "))
    root = _parser().parse(text.encode()).root_node
    found = [f"{path.name}:{node.start_point[0] + 1}: syntax error" for node in _errors(root)]
    given = {_name(node): value(node.children[-1]) for node in root.children if node.type == "variable_declaration"}
    found += [f"{path.name}: {using} has no parameter {name}" for name in given if name not in target.params]
    for name, said in given.items():
        wanted = target.types.get(name, "")
        if wanted in _TYPES and said is not COMPUTED and not isinstance(said, _TYPES[wanted]):
            found.append(f"{path.name}: {name} is no {wanted}")
    missing = [name for name, required in target.params.items() if required and name not in given]
    return found + [f"{path.name}: parameter {name} is missing" for name in missing]


def _between(file: File, known: dict[Path, File]) -> Iterator[str]:
    for name, module in file.modules.items():
        where = f"{file.path.name}: module {name}"
        target = known.get((file.path.parent / module.path).resolve())
        if target is None:
            yield f"{where}: there is no {module.path}"
            continue
        yield from (
            f"{where}: {module.path} has no parameter {given}" for given in module.params if given not in target.params
        )
        missing = [param for param, required in target.params.items() if required and param not in module.params]
        yield from (f"{where}: parameter {param} is missing" for param in missing)
    for name, output in file.used:
        target = known.get((file.path.parent / file.modules[name].path).resolve())
        if target is not None and output not in target.outputs:
            yield f"{file.path.name}: module {name} has no output {output}"


def _errors(node: Node) -> Iterator[Node]:
    if node.type == "ERROR" or node.is_missing:
        yield node
    for child in node.children:
        yield from _errors(child)


def _declare(file: File, node: Node) -> None:
    name = _name(node)
    match node.type:
        case "parameter_declaration":
            file.params[name] = not any(child.type == "=" for child in node.children)
            file.types[name] = next((_text(child) for child in node.children if child.type == "type"), "")
        case "variable_declaration":
            file.variables.add(name)
        case "output_declaration":
            file.outputs.add(name)
        case "resource_declaration":
            kind = str(value(next(child for child in node.children if child.type == "string")))
            existing = any(child.type == "existing" for child in node.children)
            file.resources[name] = Resource(kind, _body(node), existing)
        case "module_declaration":
            path = str(value(next(child for child in node.children if child.type == "string")))
            file.modules[name] = Module(path, _body(node).get("params") or {})


def _name(node: Node) -> str:
    return next((_text(child) for child in node.children if child.type == "identifier"), "")


def _body(node: Node) -> dict[str, Value]:
    """The object that a declaration makes, behind its loop and its condition."""
    for child in node.children:
        if child.type == "object":
            found = value(child)
            return found if isinstance(found, dict) else {}
        if child.type in {"for_statement", "if_statement"}:
            return _body(child)
    return {}


def value(node: Node) -> Value:
    """What a literal means; COMPUTED for everything else."""
    match node.type:
        case "object":
            pairs = [child for child in node.children if child.type == "object_property"]
            return {_key(pair): value(pair.children[-1]) for pair in pairs}
        case "array":
            return [value(child) for child in node.named_children if child.type != "comment"]
        case "string":
            parts = node.named_children
            plain = all(part.type == "string_content" for part in parts)
            return "".join(map(_text, parts)) if plain else COMPUTED
        case "number":
            return int(_text(node))
        case "boolean":
            return _text(node) == "true"
        case "null":
            return None
        case "ternary_expression":
            return Either(value(node.named_children[1]), value(node.named_children[2]))
        case "for_statement":
            return [_body(node)]
    return COMPUTED


def _key(pair: Node) -> str:
    key = pair.children[0]
    return _text(key) if key.type == "identifier" else str(value(key))


def _resolve(file: File, node: Node, local: frozenset[str]) -> None:
    """Names that nothing declares, and outputs that are read."""
    if node.type == "decorators":
        return
    if node.type == "for_statement":
        names = [_text(child) for child in node.children if child.type == "identifier"]
        pair = next((child for child in node.children if child.type == "for_loop_parameters"), None)
        bound = [_text(child) for child in pair.named_children] if pair is not None else names[:1]
        local = local | frozenset(bound)
    elif node.type == "lambda_expression" and node.children[0].type == "identifier":
        local = local | {_text(node.children[0])}
    elif node.type == "identifier" and not _declares(node):
        name = _text(node)
        if name not in file.symbols and name not in local and name not in FUNCTIONS:
            file.mistakes.append(f"{file.path.name}:{node.start_point[0] + 1}: nothing is called {name}")
    elif node.type == "member_expression":
        _output(file, node)
    for child in node.children:
        _resolve(file, child, local)


def _declares(node: Node) -> bool:
    """Whether the identifier is a name that is given here, and none that is used."""
    parent = node.parent
    if parent is None:
        return False
    first = parent.children[0] == node
    if parent.type in {"object_property", "decorator", "for_loop_parameters"}:
        return first or parent.type != "object_property"
    return parent.type.endswith("_declaration") and parent.named_children[0] == node


def _output(file: File, node: Node) -> None:
    inner, wanted = node.children[0], node.children[-1]
    if inner.type != "member_expression" or _text(inner.children[-1]) != "outputs":
        return
    base = inner.children[0]
    while base.type != "identifier" and base.children:
        base = base.children[0]
    if _text(base) in file.modules:
        file.used.append((_text(base), _text(wanted)))


def _text(node: Node) -> str:
    return node.text.decode() if node.text is not None else ""
