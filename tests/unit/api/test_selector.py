"""Label selectors, as kubectl takes them."""

import pytest

from fluxless.api.selector import selects

LABELS = {"app": "web", "tier": "gold", "sharding.fluxcd.io/key": "shard1"}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("", True),
        ("app", True),
        ("!app", False),
        ("!missing", True),
        ("app=web", True),
        ("app == web , tier", True),
        ("app!=web", False),
        ("missing!=web", True),
        ("tier in (gold, silver)", True),
        ("tier in (silver)", False),
        ("tier notin (gold)", False),
        ("missing notin (gold)", True),
        ("app=web,tier in (gold, silver)", True),
        ("app=web,tier in (silver)", False),
        ("sharding.fluxcd.io/key=shard1", True),
        ("!sharding.fluxcd.io/key", False),
    ],
)
def test_what_a_selector_selects(selector: str, expected: bool) -> None:
    assert selects(selector, LABELS) is expected


@pytest.mark.parametrize("selector", ["a in", "a=b c", "(a)", "missing, a in (b"])
def test_what_is_no_selector_is_refused_whatever_the_labels_are(selector: str) -> None:
    with pytest.raises(ValueError, match="no label selector"):
        selects(selector, LABELS)
