"""Post-build substitution of `${…}` exactly as Flux evaluates it (KC-68..74). Pure.

1. `parse` turns a text into literals and expressions. Only `${` opens an expression; `$$` is a literal `$`.
2. `substitute` evaluates them. In strict mode a variable that is not set is an error, unless a default operator
   follows it.

Lengths and offsets count bytes of UTF-8, as in Flux; patterns are shell globs in which `*` also matches `/`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from fluxless.api.failure import Failure, FailureClass, Problem

DEFAULTS = frozenset({"-", "+", "=", "?", ":-", ":+", ":=", ":?"})
"""Operators that supply a value for an unset variable; all of them act as `:-` (KC-74)."""


class SubstitutionProblem(Problem):
    """A text that cannot be substituted. `variable` is set when one is missing."""

    def __init__(self, message: str, variable: str = "") -> None:
        step = "correct the expression, or write $${…} for a literal one"
        if variable:
            step = f"set {variable} in spec.postBuild, or give it a default: ${{{variable}:=value}}"
        super().__init__(Failure(FailureClass.SUBSTITUTION, f"variable substitution failed: {message}", next_step=step))
        self.variable = variable


@dataclass(frozen=True, slots=True)
class Expression:
    """`${name}` with an operator; each argument is a literal or another expression."""

    name: str
    operator: str = ""
    arguments: tuple[str | Expression, ...] = ()


Part = str | Expression


def substitute(text: str, variables: Mapping[str, str], *, strict: bool = True) -> str:
    """The text with every expression replaced. Raises `SubstitutionProblem`."""
    if "$" not in text:
        return text
    return "".join(_evaluate(part, variables, strict) for part in parse(text))


def parse(text: str) -> list[Part]:
    """Literals and expressions in order. Raises `SubstitutionProblem` for an expression that Flux would refuse."""
    parser = _Parser(text)
    parts: list[Part] = []
    while not parser.at_end():
        parts.append(parser.expression() if parser.take("${") else parser.literal())
    return parts


def _is_name(char: str) -> bool:
    return char.isalpha() or char.isdecimal() or char == "_"


class _Parser:
    """One pass over the text; each method consumes what it is named after."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def at_end(self) -> bool:
        return self.position >= len(self.text)

    def peek(self, ahead: int = 0) -> str:
        return self.text[self.position + ahead : self.position + ahead + 1]

    def take(self, token: str) -> bool:
        if self.text.startswith(token, self.position):
            self.position += len(token)
            return True
        return False

    def literal(self) -> str:
        """Up to the next expression; a doubled dollar sign stands for one."""
        start = self.position
        pieces: list[str] = []
        while (at := self.text.find("$", self.position)) >= 0:
            following = self.text[at + 1 : at + 2]
            if following == "{":
                self.position = at
                break
            if following == "$":
                pieces.append(self.text[start : at + 1])
                start = self.position = at + 2
                continue
            self.position = at + 1
        else:
            self.position = len(self.text)
        pieces.append(self.text[start : self.position])
        return "".join(pieces)

    def name(self) -> str:
        start = self.position
        while _is_name(self.peek()):
            self.position += 1
        return self.text[start : self.position]

    def expression(self) -> Expression:
        """What follows `${`, with its closing brace."""
        if self.take("#"):
            name = self.name()
            if not name:
                raise SubstitutionProblem("bad substitution")
            return self.close(Expression(name, "#"))
        name = self.name()
        if not name:
            raise SubstitutionProblem("unable to parse variable name")
        char = self.peek()
        if char == ":":
            return self.default(name) if self.peek(1) in set("=-?+") else self.substring(name)
        if char == "=":
            return self.default(name)
        if char in {",", "^"}:
            return self.close(Expression(name, self.operator(",^", 2)))
        if char == "/":
            return self.replace(name)
        if char in {"#", "%"}:
            operator = self.operator(char, 2)
            return self.close(Expression(name, operator, (self.argument("}"),)))
        if not self.take("}"):
            raise SubstitutionProblem("missing closing brace")
        return Expression(name)

    def operator(self, chars: str, longest: int) -> str:
        start = self.position
        while self.peek() and self.peek() in chars and self.position - start < longest:
            self.position += 1
        return self.text[start : self.position]

    def default(self, name: str) -> Expression:
        """`=`, `:=`, `:-`, `:?`, `:+` and a word of any number of literals and expressions."""
        operator = self.text[self.position : self.position + (1 if self.peek() == "=" else 2)]
        self.position += len(operator)
        arguments: list[Part] = []
        while self.peek() != "}":
            arguments.append(self.argument("}"))
        return self.close(Expression(name, operator, tuple(arguments)))

    def substring(self, name: str) -> Expression:
        self.position += 1
        offset = self.argument(":}")
        if self.take("}"):
            return Expression(name, ":", (offset,))
        if self.peek() != ":":
            raise SubstitutionProblem("bad substitution")
        self.operator(":", len(self.text))
        return self.close(Expression(name, ":", (offset, self.argument("}"))))

    def replace(self, name: str) -> Expression:
        self.position += 1
        operator = "/" + (self.operator("/#%", 1))
        pattern = self.argument("/", escapes=True)
        if self.peek() != "/":
            raise SubstitutionProblem("bad substitution")
        self.operator("/", len(self.text))
        if self.peek() == "}":
            return self.close(Expression(name, operator, (pattern,)))
        return self.close(Expression(name, operator, (pattern, self.argument("}", escapes=True))))

    def argument(self, ends: str, *, escapes: bool = False) -> Part:
        """One literal or one nested expression."""
        if self.take("${"):
            return self.expression()
        pieces: list[str] = []
        while (char := self.peek()) and not self.text.startswith("${", self.position):
            if escapes and self._escaped(char):
                self.position += 1
                char = self.peek()
            elif char in ends:
                break
            pieces.append(char)
            self.position += 1
        if not pieces:
            raise SubstitutionProblem("unable to parse substitution within function")
        return "".join(pieces)

    def _escaped(self, char: str) -> bool:
        following = self.peek(1)
        return (char == "$" and following == "$") or (char == "\\" and following in {"/", "\\"})

    def close(self, expression: Expression) -> Expression:
        if not self.take("}"):
            raise SubstitutionProblem("bad substitution")
        return expression


def _evaluate(part: Part, variables: Mapping[str, str], strict: bool) -> str:
    if isinstance(part, str):
        return part
    arguments = [_evaluate(argument, variables, strict) for argument in part.arguments]
    value = variables.get(part.name)
    if value is None and strict and part.operator not in DEFAULTS:
        raise SubstitutionProblem(f'variable not set (strict mode): "{part.name}"', part.name)
    function = _length if part.operator == "#" and not arguments else _FUNCTIONS.get(part.operator, _default)
    return function(value or "", arguments)


def _default(value: str, arguments: Sequence[str]) -> str:
    return value or "".join(arguments)


def _length(value: str, _: Sequence[str]) -> str:
    return str(len(value.encode()))


def _substring(value: str, arguments: Sequence[str]) -> str:
    """Bytes from an offset, which counts from the end when negative. What is no number leaves the value alone."""
    try:
        numbers = [_integer(argument) for argument in arguments]
    except ValueError:
        return value
    data = value.encode()
    offset = numbers[0] if numbers[0] >= 0 else max(0, len(data) + numbers[0])
    if len(numbers) == 1 or offset + numbers[1] >= len(data):
        return data[offset:].decode(errors="replace")
    if numbers[1] < 0:
        raise SubstitutionProblem(f"negative length {numbers[1]} of a substring")
    return data[offset : offset + numbers[1]].decode(errors="replace")


def _integer(text: str) -> int:
    if not re.fullmatch(r"[-+]?[0-9]+", text):
        raise ValueError(text)
    return int(text)


def _replace_first(value: str, arguments: Sequence[str]) -> str:
    return value.replace(arguments[0], arguments[1] if len(arguments) > 1 else "", 1)


def _replace_all(value: str, arguments: Sequence[str]) -> str:
    return value.replace(arguments[0], arguments[1] if len(arguments) > 1 else "")


def _replace_prefix(value: str, arguments: Sequence[str]) -> str:
    if len(arguments) == 2 and value.startswith(arguments[0]):
        return arguments[1] + value[len(arguments[0]) :]
    return value


def _replace_suffix(value: str, arguments: Sequence[str]) -> str:
    if len(arguments) == 2 and value.endswith(arguments[0]):
        return value[: len(value) - len(arguments[0])] + arguments[1]
    return value


@lru_cache(maxsize=512)
def _pattern(glob: str) -> re.Pattern[str] | None:
    """A glob as a regular expression, or None when it is malformed."""
    pieces: list[str] = []
    position = 0
    while position < len(glob):
        char = glob[position]
        position += 1
        if char == "*":
            pieces.append(".*")
        elif char == "?":
            pieces.append(".")
        elif char == "[":
            found = _character_class(glob, position)
            if found is None:
                return None
            piece, position = found
            pieces.append(piece)
        elif char == "\\":
            if position == len(glob):
                return None
            pieces.append(re.escape(glob[position]))
            position += 1
        else:
            pieces.append(re.escape(char))
    return re.compile("".join(pieces), re.DOTALL)


def _character_class(glob: str, position: int) -> tuple[str, int] | None:
    """`[a-z]` or `[^a-z]` from behind its bracket: the expression and the place behind it."""
    negated = glob[position : position + 1] == "^"
    position += negated
    ranges: list[str] = []
    while glob[position : position + 1] != "]" or not ranges:
        bounds: list[str] = []
        while not bounds or (len(bounds) == 1 and glob[position : position + 1] == "-"):
            position += len(bounds)  # the dash
            char = glob[position : position + 1]
            if char in {"", "-", "]"}:
                return None
            if char == "\\":
                position += 1
                char = glob[position : position + 1]
            position += 1
            if not char or position >= len(glob):
                return None
            bounds.append(char)
        if bounds[0] <= bounds[-1]:
            ranges.append(f"{re.escape(bounds[0])}-{re.escape(bounds[-1])}")
        else:
            ranges.append("")  # an empty range matches nothing, and is no error
    inner = "".join(ranges)
    if not inner:
        return (".", position + 1) if negated else (r"(?!)", position + 1)
    return f"[{'^' if negated else ''}{inner}]", position + 1


def _trim(value: str, glob: str, *, longest: bool, suffix: bool) -> str:
    """Without the longest or shortest prefix (or suffix) that the glob matches; empty matches do not count."""
    pattern = _pattern(_reverse_glob(glob) if suffix else glob)
    if pattern is None:
        return value
    text = value[::-1] if suffix else value
    lengths = range(len(text), 0, -1) if longest else range(1, len(text) + 1)
    matching = next((length for length in lengths if pattern.fullmatch(text, 0, length)), 0)
    return text[matching:][::-1] if suffix else text[matching:]


def _reverse_glob(glob: str) -> str:
    """Flux reverses the glob character by character, brackets and all; so do we."""
    return glob[::-1]


_FUNCTIONS: dict[str, Callable[[str, Sequence[str]], str]] = {
    ",": lambda value, _: value[:1].lower() + value[1:],
    ",,": lambda value, _: value.lower(),
    "^": lambda value, _: value[:1].upper() + value[1:],
    "^^": lambda value, _: value.upper(),
    ":": _substring,
    "#": lambda value, arguments: _trim(value, arguments[0], longest=False, suffix=False),
    "##": lambda value, arguments: _trim(value, arguments[0], longest=True, suffix=False),
    "%": lambda value, arguments: _trim(value, arguments[0], longest=False, suffix=True),
    "%%": lambda value, arguments: _trim(value, arguments[0], longest=True, suffix=True),
    "/": _replace_first,
    "//": _replace_all,
    "/#": _replace_prefix,
    "/%": _replace_suffix,
}
