"""Reading and writing against sigs.k8s.io/yaml: what it makes of each case is in `tests/parity/yamlgo`."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from fluxless.go_yaml import WIDE, ManifestProblem, dump, load, text_of

TABLE: dict[str, Any] = json.loads((Path(__file__).parents[2] / "parity" / "yamlgo" / "yaml.json").read_text())

NARROWER = {
    "{}: 1\n": "Go reads `{}` and leaves the rest",
    "[]: 1\n": "Go reads `[]` and leaves the rest",
    "a: [2001::]\n": "libyaml wants quotes around a text that ends in a colon in a list",
}
"""Refused by us alone."""
WIDER = {
    'v: "\\/"\n': "an escape of JSON",
    "[a?b, ?c]\n": "a question mark in a list",
}
"""Refused by Go alone; libyaml has learnt these since Go's parser was made from it."""
FORMLESS = {
    "1e10": "which whole numbers were written as fractions is not kept",
    "-0.0": "the same",
    "18446744073709551615": "past 63 bits a number is a fraction, as for an API server",
    ".inf": "no value of JSON",
}
"""Scalars in fields of text that come out in another form."""


def _json(text: str) -> Any:
    """As an API server reads it: whole numbers of 64 bits, all others as fractions."""

    def whole(digits: str) -> int | float:
        return int(digits) if -(1 << 63) <= int(digits) < 1 << 63 else float(digits)

    return json.loads(text, parse_int=whole)


def _same(one: Any, other: Any) -> bool:
    """With 1 and 1.0 and True apart."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@pytest.mark.parametrize("case", TABLE["reads"], ids=lambda case: repr(case["yaml"][:40]))
def test_a_text_is_read_as_go_does(case: dict[str, Any]) -> None:
    text: str = case["yaml"]
    data = base64.b64decode(text) if case.get("base64") else text.encode()
    if ("refused" in case and text not in WIDER) or text in NARROWER:
        with pytest.raises(ManifestProblem):
            load(data, "the case")
    elif text not in WIDER:
        assert _same(load(data, "the case"), _json(case["json"]))


@pytest.mark.parametrize("text", WIDER)
def test_what_go_alone_refuses_is_read(text: str) -> None:
    assert load(text, "the case")


@pytest.mark.parametrize("case", TABLE["fields"], ids=lambda case: repr(case["yaml"]))
def test_a_field_of_text_holds_what_go_puts_there(case: dict[str, Any]) -> None:
    if case["yaml"] not in FORMLESS:
        assert text_of(load(f"field: {case['yaml']}\n", "the case")["field"]) == case["text"]


def bomb(width: int, depth: int, tail: int = 0, *, merge: bool = False, **_: Any) -> str:
    """As the program makes it."""
    lines = [f"plain: [{'1,' * tail}1]"] if tail else []
    lines.append("a0: &a0 {k: v}" if merge else "a0: &a0 x")
    for level in range(1, depth + 1):
        names = ",".join([f"*a{level - 1}"] * width)
        lines.append(f"a{level}: &a{level} {{<<: [{names}]}}" if merge else f"a{level}: &a{level} [{names}]")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("case", TABLE["bombs"], ids=lambda case: "-".join(map(str, case.values())))
def test_aliases_are_refused_where_go_refuses_them(case: dict[str, Any]) -> None:
    text = bomb(**case)
    if case["refused"]:
        with pytest.raises(ManifestProblem, match="excessive aliasing"):
            load(text, "the case")
    else:
        assert load(text, "the case")["a0"]


@pytest.mark.parametrize("case", TABLE["written"], ids=lambda case: repr(case["value"])[:40])
def test_a_value_is_written_as_go_does(case: dict[str, Any]) -> None:
    text = dump(case["value"])
    assert _same(load(text, "the case"), case["value"])
    if text != case["text"]:  # then Go is known to read ours as the same
        read = {one["yaml"]: one for one in TABLE["reads"]}
        assert _same(_json(read[text]["json"]), case["value"])


@pytest.mark.parametrize("case", TABLE["written"], ids=lambda case: repr(case["value"])[:40])
def test_a_wide_text_says_the_same(case: dict[str, Any]) -> None:
    assert _same(load(dump(case["value"], width=WIDE), "the case"), case["value"])


@pytest.mark.parametrize("text", ["...", "a...", "a\n...", "a\n...\n"])
def test_a_text_may_end_like_a_document(text: str) -> None:
    assert load(dump(text), "the case") == text


def test_keys_stay_in_their_order_when_asked() -> None:
    assert dump({"b": 1, "a": {"d": 2, "c": 3}}, sort=False) == "b: 1\na:\n  d: 2\n  c: 3\n"
