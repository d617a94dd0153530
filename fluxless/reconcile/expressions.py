"""CEL expressions of users (CM-21..23), compiled once. The only import of `cel`.

The library follows the CEL specification with cel-go's string, set and encoder functions. It differs from cel-go in
that optional syntax (`a.?b`) is not known: such an expression is refused as invalid.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from fluxless.api.failure import Failure, FailureClass, Problem


class InvalidExpression(Problem):
    """Text that is no CEL expression."""

    def __init__(self, text: str, words: str) -> None:
        message = f"failed to parse the CEL expression '{text}': {words.splitlines()[0]}"
        super().__init__(Failure(FailureClass.VALIDATION, message, next_step="correct the expression"))


class EvaluationFailed(Problem):
    """An expression that has no boolean value for these objects, such as one that reads a missing field."""

    def __init__(self, text: str, words: str) -> None:
        message = f"failed to evaluate the CEL expression '{text}': {words}"
        step = "guard fields that may be missing by has(...)"
        super().__init__(Failure(FailureClass.VALIDATION, message, next_step=step))


class Expression:
    """A compiled expression with a boolean value."""

    def __init__(self, text: str) -> None:
        import cel
        from cel.stdlib import STDLIB_FUNCTIONS

        self.text = text
        try:
            self._program = cel.compile(text)
        except ValueError as error:
            raise InvalidExpression(text, str(error)) from None
        used = set(self._program.functions())
        self._functions = {
            name: function for name, function in STDLIB_FUNCTIONS.items() if name.rpartition(".")[2] in used
        }

    def holds(self, variables: Mapping[str, Any]) -> bool:
        """Its value over plain JSON data. Raises `EvaluationFailed`."""
        import cel

        try:
            value = self._program.execute(cel.Context(dict(variables), self._functions))
        except KeyError as error:
            raise EvaluationFailed(self.text, f"no such key: {error.args[0]}") from None
        except (RuntimeError, TypeError, ValueError, OverflowError) as error:
            raise EvaluationFailed(self.text, str(error).split(". Check")[0]) from None
        if not isinstance(value, bool):
            raise EvaluationFailed(self.text, "its value is not a boolean")
        return value


@lru_cache(maxsize=512)
def expression(text: str) -> Expression:
    """The compiled expression of a text. Raises `InvalidExpression`."""
    return Expression(text)
