"""CEL expressions of users (CM-21..23), compiled once. The only import of the CEL library.

The library is Google's own, over cel-cpp; with its extensions for strings, sets, encoders and optional values it knows
what cel-go knows in Flux's environment. What differs is in `tests/unit/reconcile/test_cel.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.limits import CEL_COST, CEL_LENGTH
from fluxless.reconcile.expression_cost import Budget, Shape, cost

if TYPE_CHECKING:
    from cel_expr_python import cel

_CODES = re.compile(r"^([A-Z_]+: )+|(?<=\S) *\[[A-Z_]+\]$")
_NO_KEY = re.compile(r'Key not found in map : "(.*)"', re.DOTALL)
_HARMLESS = (
    (re.compile(r"No matching overloads found"), "no such overload"),
    (re.compile(r"Index error"), "index out of bounds"),
    (re.compile(r"invalid regular expression"), "invalid regular expression"),
    (re.compile(r"cannot convert (\w+) to (\w+)$"), r"cannot convert \1 to \2"),
    (re.compile(r"String to (Duration|Timestamp) conversion failed"), r"cannot convert string to \1"),
    (re.compile(r"Type conversion error from '(\w+)' to '(\w+)'$"), r"cannot convert \1 to \2"),
    (re.compile(r"(divide|modulus) by zero"), r"\1 by zero"),
    (re.compile(r"(\w+ )?(integer )?overflow"), "overflow"),
    (re.compile(r"Iteration budget exceeded"), "it loops too often"),
)
"""What the library says of an evaluation, and the class of it that is told: the rest of its words may hold values."""
_SETS = "name: flux\nextensions:\n  - name: sets\n"


class InvalidExpression(Problem):
    """Text that is no CEL expression."""

    def __init__(self, text: str, words: str) -> None:
        message = f"failed to parse the CEL expression '{text}': {_plain(words)}"
        super().__init__(Failure(FailureClass.VALIDATION, message, next_step="correct the expression"))


class EvaluationFailed(Problem):
    """An expression that has no boolean value for these objects, such as one that reads a missing field.

    The objects may be somebody else's: of what the library says only the class is told, never a value.
    """

    def __init__(self, text: str, words: str) -> None:
        message = f"failed to evaluate the CEL expression '{text}': {words}"
        step = "guard fields that may be missing by has(...)"
        super().__init__(Failure(FailureClass.VALIDATION, message, next_step=step))


class Value:
    """A compiled expression with a value of any type."""

    def __init__(self, text: str, variables: tuple[str, ...]) -> None:
        self.text = text
        if len(text) > CEL_LENGTH:
            raise InvalidExpression(f"{text[:60]}…", f"it has more than {CEL_LENGTH} characters")
        self._shape = Shape(text)
        try:
            self._program = _environment(variables).compile(text, disable_check=not variables)
        except (RuntimeError, ValueError) as error:
            raise InvalidExpression(text, str(error)) from None

    def value(self, variables: Mapping[str, Any], budget: Budget | None = None) -> Any:
        """Its value over plain JSON data, paid from the budget. Raises `EvaluationFailed`."""
        from cel_expr_python import cel

        self._pay(variables, budget)
        try:
            result = self._program.eval(data=variables)
        except (RuntimeError, TypeError, ValueError) as error:
            raise EvaluationFailed(self.text, _class_of(str(error), self.text)) from None
        value = result.plain_value()
        if result.type() in (cel.Type.ERROR, cel.Type.UNKNOWN):
            raise EvaluationFailed(self.text, _class_of(str(value), self.text))
        return value

    def _pay(self, variables: Mapping[str, Any], budget: Budget | None) -> None:
        whose = budget.exhausted() if budget is not None else ""
        if not whose:
            price, reading = cost(self._shape, variables)
            whose = budget.pay(price, reading) if budget is not None else ""
            if price > CEL_COST:
                raise EvaluationFailed(self.text, "it may take too long for so much data")
        if whose:
            raise EvaluationFailed(self.text, f"it may take too long for so much data, with {whose}")


class Expression(Value):
    """A compiled expression with a boolean value."""

    def __init__(self, text: str, variables: tuple[str, ...]) -> None:
        from cel_expr_python import cel

        super().__init__(text, variables)
        if variables and self._program.return_type() != cel.Type.BOOL:
            kind = self._program.return_type().name().lower()
            raise InvalidExpression(text, f"output type mismatch: expected bool, got {kind}")

    def holds(self, variables: Mapping[str, Any], budget: Budget | None = None) -> bool:
        """Its value over plain JSON data, paid from the budget. Raises `EvaluationFailed`."""
        value = self.value(variables, budget)
        if not isinstance(value, bool):  # never the value itself: it may be that of a Secret
            raise EvaluationFailed(self.text, "its value is not a boolean")
        return value


@lru_cache(maxsize=512)
def expression(text: str, *variables: str) -> Expression:
    """The compiled expression of a text. Raises `InvalidExpression`.

    With `variables` only those are known, and types are checked, as Flux does for `readyExpr`; without, the fields of
    the object are looked up when it is evaluated, as for `healthCheckExprs`.
    """
    return Expression(text, variables)


@lru_cache(maxsize=512)
def value_of(text: str, *variables: str) -> Value:
    """The same for an expression of any type. Raises `InvalidExpression`."""
    return Value(text, variables)


@cache
def _environment(variables: tuple[str, ...]) -> cel.Env:
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_encoders, ext_optional, ext_strings

    return cel.NewEnv(
        config=cel.NewEnvConfigFromYaml(_SETS),
        variables=dict.fromkeys(variables, cel.Type.DYN),
        extensions=[ext_strings.ExtStrings(), ext_encoders.ExtEncoders(), ext_optional.ExtOptional()],
    )


def _plain(words: str) -> str:
    """The library's first line without its codes."""
    return _CODES.sub("", words.splitlines()[0])


def _class_of(words: str, text: str) -> str:
    """The class of an error. A missing key is named, in cel-go's words, when the expression names it itself."""
    said = _CODES.sub("", words)
    if found := _NO_KEY.search(said):
        return f"no such key: {found[1]}" if _named(found[1], text) else "no such key"
    return next((found.expand(told) for known, told in _HARMLESS if (found := known.search(said))), "it has no value")


def _named(key: str, text: str) -> bool:
    return key in text and re.search(rf"(?<!\w){re.escape(key)}(?!\w)", text) is not None
