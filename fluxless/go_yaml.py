"""YAML as the Kubernetes tools of Go read it, neither YAML 1.1 nor 1.2: no dates, no base 60, `1e3` is a number.

Used for kustomize's output, for the files it builds from and for kustomization files. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from fluxless.api.failure import Failure, FailureClass, Problem

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_BOOLEANS = {
    word: value
    for value, words in ((True, ("yes", "true", "on")), (False, ("no", "false", "off")))
    for plain in words
    for word in (plain, plain.capitalize(), plain.upper())
}
_BOOLEANS |= {"y": True, "Y": True, "n": False, "N": False}
_FLOAT = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_INTEGER = re.compile(r"^[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[1-9][0-9_]*|0)$")


class ManifestProblem(Problem):
    """YAML that cannot be read; the message names file and line."""

    def __init__(self, message: str, origin: str) -> None:
        step = "correct the YAML"
        super().__init__(Failure(FailureClass.BUILD, message, origin=origin, next_step=step))


class Loader(_Base):  # type: ignore[misc]
    """PyYAML's safe loader with Go's idea of scalars. Duplicate keys are an error, as they are for kustomize."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 -- PyYAML's own class attribute


def _scalar(loader: Any, node: Any) -> Any:
    text: str = node.value
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if _INTEGER.match(text):
        digits = digits.replace("_", "")
        if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
            digits = "0o" + digits[1:]
        return sign * int(digits, 0)
    if _FLOAT.match(text):
        number = float(text)
        return int(number) if number.is_integer() and abs(number) < 1e15 else number
    return text


def _mapping(loader: Any, node: Any) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    result: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        key = key if isinstance(key, str) else key_node.value
        if key in result:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
        result[key] = loader.construct_object(value_node, deep=True)
    return result


_PLAIN = "tag:fluxless,2026:plain"
Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(~|null|Null|NULL|)$"), ["~", "n", "N", ""])
Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"^<<$"), ["<"])
Loader.add_implicit_resolver(
    _PLAIN, re.compile(r"^([-+.0-9][-+._0-9a-zA-Z]*|[yYnNtTfFoO][a-zA-Z]{0,4})$"), list("-+.0123456789yYnNtTfFoO")
)
Loader.add_constructor(_PLAIN, _scalar)
Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def load_all(text: str, name: str) -> Iterator[Any]:
    """The documents of a file, empty ones left out. Raises `ManifestProblem` naming file and line."""
    loader = Loader(text)
    try:
        while loader.check_data():
            document = loader.get_data()
            if document is not None:
                yield document
    except (yaml.YAMLError, ValueError, RecursionError, LookupError, AttributeError, TypeError) as error:
        # PyYAML raises the last three for `!!bool x`, `!!timestamp x` and keys that are lists
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 0
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error) or "not readable"
        raise ManifestProblem(f"not valid YAML: {what}", f"{name}:{line}" if line else name) from None
    finally:
        loader.dispose()


def load(text: str, name: str) -> Any:
    """The only document of a file, or None. Raises `ManifestProblem`."""
    return next(load_all(text, name), None)


def split(text: str) -> list[str]:
    """The documents of kustomize's output, as text. It never writes `---` in the first column of a value."""
    return [part for part in re.split(r"^---\n", text, flags=re.MULTILINE) if part.strip()]
