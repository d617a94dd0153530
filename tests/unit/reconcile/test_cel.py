"""CEL against cel-go (CM-21): what Flux says of each expression is in `tests/parity/celgo`; what differs is here."""

import json
from pathlib import Path
from typing import Any

import pytest

from fluxless.reconcile.expressions import EvaluationFailed, InvalidExpression, expression

TABLE: dict[str, Any] = json.loads((Path(__file__).parents[2] / "parity" / "celgo" / "cel.json").read_text())
EXPRESSIONS: dict[str, str] = TABLE["expressions"]
DIFFERENT = dict.fromkeys(
    (
        "duration('x') == duration('1s')",
        "int('x') == 12",
        "status.phase.matches('(')",
        "timestamp('x') == timestamp('y')",
    ),
    "no value",
)
"""What our library says where it is not what cel-go says: wrong constants are found when they are needed."""


def _said(text: str) -> str:
    try:
        return str(expression(text).holds(TABLE["object"])).lower()
    except InvalidExpression:
        return "no expression"
    except EvaluationFailed:
        return "no value"


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_an_expression_says_what_it_says_in_flux(text: str) -> None:
    assert _said(text) == DIFFERENT.get(text, EXPRESSIONS[text])


def test_what_is_said_to_differ_does() -> None:
    assert all(EXPRESSIONS[text] != said for text, said in DIFFERENT.items())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dep.status.phase == 'Up' && self.metadata.name == 't'", ""),
        ("dep.metadata.?labels.orValue({}) == {}", ""),
        ("other.x == 1", "undeclared reference to 'other"),
        ("dep.status.phase", "output type mismatch: expected bool, got dyn"),
        ("'text'", "output type mismatch: expected bool, got string"),
        ("1 + 'a' == 2", "no matching overload"),
    ],
)
def test_types_are_checked_where_the_variables_are_known(text: str, words: str) -> None:
    """CM-22, as Flux compiles a `readyExpr`."""
    if not words:
        assert expression(text, "self", "dep")
        return
    with pytest.raises(InvalidExpression, match=words):
        expression(text, "self", "dep")


def test_no_value_is_ever_told() -> None:
    with pytest.raises(EvaluationFailed) as caught:
        expression("data.password").holds({"data": {"password": "hunter2"}})
    assert "hunter2" not in str(caught.value.failures)
