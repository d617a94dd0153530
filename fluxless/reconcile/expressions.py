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

if TYPE_CHECKING:
    from cel_expr_python import cel

_CODES = re.compile(r"^([A-Z_]+: )+|(?<=\S) *\[[A-Z_]+\]$")
_NO_KEY = re.compile(r'Key not found in map : "(.*)"')
_SETS = "name: flux\nextensions:\n  - name: sets\n"


class InvalidExpression(Problem):
    """Text that is no CEL expression."""

    def __init__(self, text: str, words: str) -> None:
        message = f"failed to parse the CEL expression '{text}': {_plain(words)}"
        super().__init__(Failure(FailureClass.VALIDATION, message, next_step="correct the expression"))


class EvaluationFailed(Problem):
    """An expression that has no boolean value for these objects, such as one that reads a missing field."""

    def __init__(self, text: str, words: str) -> None:
        message = f"failed to evaluate the CEL expression '{text}': {_plain(words)}"
        step = "guard fields that may be missing by has(...)"
        super().__init__(Failure(FailureClass.VALIDATION, message, next_step=step))


class Value:
    """A compiled expression with a value of any type."""

    def __init__(self, text: str, variables: tuple[str, ...]) -> None:
        self.text = text
        try:
            self._program = _environment(variables).compile(text, disable_check=not variables)
        except (RuntimeError, ValueError) as error:
            raise InvalidExpression(text, str(error)) from None

    def value(self, variables: Mapping[str, Any]) -> Any:
        """Its value over plain JSON data. Raises `EvaluationFailed`."""
        from cel_expr_python import cel

        try:
            result = self._program.eval(data=variables)
        except (RuntimeError, TypeError, ValueError) as error:
            raise EvaluationFailed(self.text, str(error)) from None
        value = result.plain_value()
        if result.type() in (cel.Type.ERROR, cel.Type.UNKNOWN):
            raise EvaluationFailed(self.text, str(value))
        return value


class Expression(Value):
    """A compiled expression with a boolean value."""

    def __init__(self, text: str, variables: tuple[str, ...]) -> None:
        from cel_expr_python import cel

        super().__init__(text, variables)
        if variables and self._program.return_type() != cel.Type.BOOL:
            kind = self._program.return_type().name().lower()
            raise InvalidExpression(text, f"output type mismatch: expected bool, got {kind}")

    def holds(self, variables: Mapping[str, Any]) -> bool:
        """Its value over plain JSON data. Raises `EvaluationFailed`."""
        value = self.value(variables)
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
    """The library's first line without its codes, and a missing key in cel-go's words."""
    return _NO_KEY.sub(r"no such key: \1", _CODES.sub("", words.splitlines()[0]))
