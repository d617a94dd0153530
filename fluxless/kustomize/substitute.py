"""Post-build substitution of `${…}` exactly as Flux evaluates it (KC-68..74). Pure.

1. `parse` turns a text into literals and expressions. Only `${` opens an expression; `$$` is a literal `$`.
2. `substitute` evaluates them. In strict mode a variable that is not set is an error, unless a default operator
   follows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.kustomize.string_functions import FUNCTIONS, NegativeLength, default, length
from fluxless.limits import SUBSTITUTED, SUBSTITUTION_DEPTH, SUBSTITUTION_READ

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
    evaluation = _Evaluation(variables, strict)
    return "".join([evaluation.of(part) for part in parse(text)])


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
        self.depth = 0

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
        self.depth += 1
        if self.depth > SUBSTITUTION_DEPTH:
            raise SubstitutionProblem(f"expressions are nested deeper than {SUBSTITUTION_DEPTH}")
        found = self.operation()
        self.depth -= 1
        return found

    def operation(self) -> Expression:
        """A variable, and what is done with it."""
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


@dataclass(slots=True)
class _Evaluation:
    """Of one text. A value may be named over and over, so everything that is made counts, before it is made; and what
    an expression goes through, even if nothing comes of it.
    """

    variables: Mapping[str, str]
    strict: bool
    left: int = SUBSTITUTED
    unread: int = SUBSTITUTION_READ

    def of(self, part: Part) -> str:
        """The value of a part. Raises `SubstitutionProblem`."""
        found = part if isinstance(part, str) else self._value(part)
        self._take(len(found))
        return found

    def _value(self, part: Expression) -> str:
        arguments = [self.of(argument) for argument in part.arguments]
        value = self.variables.get(part.name)
        if value is None and self.strict and part.operator not in DEFAULTS:
            raise SubstitutionProblem(f'variable not set (strict mode): "{part.name}"', part.name)
        if part.operator:
            self._read(len(value or "") + sum(map(len, arguments)))
        if part.operator == "//" and len(arguments) > 1:
            self._take((value or "").count(arguments[0]) * len(arguments[1]))
        function = length if part.operator == "#" and not arguments else FUNCTIONS.get(part.operator, default)
        try:
            return function(value or "", arguments)
        except NegativeLength as error:
            raise SubstitutionProblem(str(error)) from None

    def _read(self, size: int) -> None:
        self.unread -= size
        if self.unread < 0:
            raise SubstitutionProblem(f"its expressions go through more than {SUBSTITUTION_READ:,} characters")

    def _take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise SubstitutionProblem(f"the result has more than {SUBSTITUTED:,} characters")
