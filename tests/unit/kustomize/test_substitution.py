"""Post-build substitution (KC-68..74). Every expected value was checked against Flux's own implementation."""

import pytest

from fluxless.kustomize.substitute import SubstitutionProblem, substitute
from fluxless.kustomize.variables import Reference, VariablesProblem, merge

VARIABLES = {"a": "hello", "b": "World/Wide", "e": "", "n": "12", "u": "äöü", "p": "src/lib/main.go", "x_1": "${a}"}

TABLE = [
    ("KC-72-plain", "x ${a} y", "x hello y"),
    ("KC-72-dollar-alone", "$a ${a}", "$a hello"),
    ("KC-72-escaped", "$${a}", "${a}"),
    ("KC-72-two-dollars", "a$$b", "a$b"),
    ("KC-72-three-dollars", "$$${a}", "$hello"),
    ("KC-72-value-is-not-read-again", "${x_1}", "${a}"),
    ("KC-73-length", "${#a} ${#u}", "5 6"),
    ("KC-73-upper", "${a^} ${a^^}", "Hello HELLO"),
    ("KC-73-lower", "${b,} ${b,,}", "world/Wide world/wide"),
    ("KC-73-offset", "${a:1}", "ello"),
    ("KC-73-offset-length", "${a:1:2}", "el"),
    ("KC-73-offset-from-end", "${a:-1}", "hello"),
    ("KC-73-offset-negative-blank", "${a: -2}", "hello"),
    ("KC-73-offset-beyond", "x${a:9}y", "xy"),
    ("KC-73-offset-no-number", "${a:z}", "hello"),
    ("KC-73-shortest-prefix", "${p#*/}", "lib/main.go"),
    ("KC-73-longest-prefix", "${p##*/}", "main.go"),
    ("KC-73-shortest-suffix", "${p%/*}", "src/lib"),
    ("KC-73-longest-suffix", "${p%%/*}", "src"),
    ("KC-73-class", "${a#[a-h]}", "ello"),
    ("KC-73-negated-class", "${a#[^h]}", "hello"),
    ("KC-73-default-unset", "${zz:-d}", "d"),
    ("KC-73-default-empty", "${e:-d}", "d"),
    ("KC-73-default-set", "${a:-d}", "hello"),
    ("KC-73-assign", "${zz=d} ${zz:=e}", "d e"),
    ("KC-74-assigns-nothing", "${zz:=d}${zz:-e}", "de"),
    ("KC-74-plus-is-a-default", "${a:+x} ${zz:+x}", "hello x"),
    ("KC-74-question-is-a-default", "${zz:?x}", "x"),
    ("KC-73-nested-default", "${zz:-${a}}", "hello"),
    ("KC-73-nested-and-text", "${zz:-<${a}>}", "<hello>"),
    ("KC-73-replace-first", "${a/l/L}", "heLlo"),
    ("KC-73-replace-all", "${a//l/L}", "heLLo"),
    ("KC-73-replace-prefix", "${a/#he/HE}", "HEllo"),
    ("KC-73-replace-suffix", "${a/%lo/LO}", "helLO"),
    ("KC-73-replace-by-nothing", "${a/l/}", "helo"),
    ("KC-74-replace-is-literal", "${a/*/x}", "hello"),
    ("KC-73-escaped-slash", "${b/\\//-}", "World-Wide"),
    ("KC-74-bytes", "${u:0:2}", "ä"),
    ("KC-74-malformed-glob", "${a#[}", "hello"),
]

REFUSED = [
    ("KC-71-unset", "${zz}", 'variable not set (strict mode): "zz"'),
    ("KC-71-unset-with-function", "${zz^^}", 'variable not set (strict mode): "zz"'),
    ("no-name", "${}", "unable to parse variable name"),
    ("blank", "${ a}", "unable to parse variable name"),
    ("open", "${a", "missing closing brace"),
    ("KC-73-minus-without-colon", "${a-d}", "missing closing brace"),
    ("half-a-replacement", "${a/l}", "bad substitution"),
]


@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_an_expression_evaluates_as_in_flux(text: str, expected: str) -> None:
    assert substitute(text, VARIABLES) == expected


@pytest.mark.parametrize(("text", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_flux_refuses_is_refused_with_its_words(text: str, words: str) -> None:
    with pytest.raises(SubstitutionProblem) as caught:
        substitute(text, VARIABLES)
    assert words in str(caught.value)
    assert caught.value.failures[0].next_step


def test_without_strictness_an_unset_variable_is_empty() -> None:
    assert substitute("x${zz}y", {}, strict=False) == "xy"


def test_later_references_win_and_inline_wins_over_all() -> None:
    references = [
        Reference("ConfigMap", "one", False, {"a": b"1", "b": b"1", "c": b"line\nbreak"}),
        Reference("Secret", "two", False, {"b": b"2"}),
        Reference("Secret", "none", True, None),
    ]
    assert merge(references, {"a": "3"}) == {"a": "3", "b": "2", "c": "linebreak"}


@pytest.mark.parametrize(
    ("references", "inline", "words"),
    [
        ([Reference("Secret", "gone", False, None)], {}, "substitute from 'Secret/gone' error: not found"),
        ([], {"no-dash": "x"}, "'no-dash' var name is invalid"),
        ([], {"1st": "x"}, "'1st' var name is invalid"),
    ],
)
def test_variables_that_cannot_be_had_are_named(
    references: list[Reference], inline: dict[str, str], words: str
) -> None:
    with pytest.raises(VariablesProblem, match=words):
        merge(references, inline)
