"""Variables after the build (KC-67..74)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.parity.corpus.manifests import cm, config, directive, named, secret, workload, yaml
from tests.parity.scenario import MARK, Scenario, Step, one, scenario

WORDS = {"word": "Hello", "path": "/usr/local/lib", "version": "v1.2.3-beta.4", "empty": "", "two": "a b", "n": "3"}


def forms(name: str, rows: str, *expressions: str, variables: Mapping[str, str] = WORDS) -> Scenario:
    """A ConfigMap with one key for every expression."""
    data = {f"e{place:02d}": expression for place, expression in enumerate(expressions)}
    return one(name, rows, {"a.yaml": cm("a", data)}, {"postBuild": {"substitute": dict(variables)}})


def refused(name: str, rows: str, expression: str) -> Scenario:
    """One expression that ends in an error."""
    return forms(name, rows, expression)


def after(files: Mapping[str, str], **build: Any) -> dict[str, Any]:
    """The arguments of a step with `postBuild`."""
    return {"push": files, "spec": {"postBuild": build}}


def from_(kind: str, name: str, **more: Any) -> dict[str, Any]:
    """An entry of `substituteFrom`."""
    return {"kind": kind, "name": name, **more}


SOURCES = (
    config("first", {"a": "1", "b": "1", "c": "1", "lines": "one\ntwo\n"}, namespace=MARK),
    secret("second", {"b": "2", "c": "2"}, namespace=MARK),
)

SCENARIOS = (
    forms("plain-variables", "KC-72", "${word}", "<${word}>", "${word}${n}", "${two}", "x${empty}x"),
    forms("case", "KC-73", "${word^}", "${word^^}", "${word,}", "${word,,}", "${empty^^}", "${two^}"),
    forms("length", "KC-73", "${#word}", "${#empty}", "${#path}", "x${#two}x"),
    forms("length-in-bytes", "KC-74", "${#umlaut}", "${umlaut:0:2}", "${umlaut^^}", variables={"umlaut": "äöü"}),
    forms(
        "substrings",
        "KC-73",
        "${word:1}",
        "${word:0:2}",
        "${word:2:2}",
        "${word:1:99}",
        "${word:${n}}",
        "${word:0:${n}}",
        "${path:4}",
    ),
    forms(
        "substrings-beyond-the-end", "KC-74", "x${word:99}", "x${word:5}", "x${empty:1}", "x${word:x}", "x${word:0:0}"
    ),
    forms("substrings-from-the-end", "KC-74", "x${word:-2}", "x${word: -2}", "x${word:1:-1}"),
    forms("trims-at-the-front", "KC-73", "${path#/*/}", "${path##*/}", "${version#v}", "${version##*.}", "${word#x}"),
    forms("trims-at-the-back", "KC-73", "${path%/*}", "${path%%/*}", "${version%-*}", "${version%%.*}", "${word%lo}"),
    forms("trims-with-patterns", "KC-74", "${word#[A-Z]}", "${word%?}", "${word##??}", "${word#*}", "${word##*}"),
    forms(
        "defaults",
        "KC-74",
        "${unset:-d}",
        "${unset:=d}",
        "${unset=d}",
        "${empty:-d}",
        "${empty:=d}",
        "${empty=d}",
        "${word:-d}",
        "${unset:-}x",
        "${unset:=}x",
        "${unset:-two words}",
        "${unset:-a/b:c}",
    ),
    forms("defaults-by-other-signs", "KC-74", "${unset:+d}", "${word:+d}", "${unset:?d}", "${empty:?d}"),
    forms("defaults-of-variables", "KC-73", "${unset:-${word}}", "${unset:-${gone:-deep}}", "${unset:=${word}-${n}}"),
    forms(
        "replacing",
        "KC-73",
        "${word/l/L}",
        "${word//l/L}",
        "${path/#\\/usr/home}",
        "${path//\\//-}",
        "${version/%beta.4/final}",
        "${word/x/y}",
        "${two// /_}",
        "${word/l/}",
        "${word//l}",
    ),
    forms("replacing-is-literal", "KC-74", "${path/*/x}", "${word//?/x}", "${word/[a-z]/x}"),
    forms("replacing-with-variables", "KC-73", "${word/l/${n}}", "${word//${two}/x}", "${word/${word}/${two}}"),
    forms(
        "escapes",
        "KC-72",
        "$word",
        "$${word}",
        "$$word",
        "$$$${word}",
        "$(word)",
        "a$",
        "$",
        "100$ and ${word}",
        "$${unset}",
        "\\${word}",
    ),
    forms("names-of-all-sorts", "KC-69", "${_a}", "${A1}", "${a_b}", variables={"_a": "1", "A1": "2", "a_b": "3"}),
    refused("an-unset-variable", "KC-71", "${unset}"),
    refused("an-unset-variable-in-a-function", "KC-71", "${unset^^}"),
    refused("an-unset-variable-s-length", "KC-71", "${#unset}"),
    refused("an-unset-variable-in-a-default", "KC-71", "${word:-${unset}}"),
    refused("dash-without-a-colon", "KC-74", "${unset-d}"),
    refused("plus-without-a-colon", "KC-74", "${unset+d}"),
    refused("no-closing-brace", "KC-74", "${word"),
    refused("no-name", "KC-74", "${}"),
    refused("a-name-with-a-dash", "KC-74", "${my-word}"),
    refused("a-name-with-a-space", "KC-74", "${ word }"),
    refused("a-name-with-a-dot", "KC-74", "${my.word}"),
    refused("shell-that-is-none", "KC-74", "for i in ${list[@]}; do echo; done"),
    scenario(
        "numbers-and-truth",
        "KC-68",
        Step(
            **after(
                {"web.yaml": yaml(workload("web")).replace('"replicas": 1', '"replicas": ${n}')},
                substitute={"n": "2"},
            )
        ),
    ),
    scenario(
        "quoted-numbers-stay-text",
        "KC-68",
        Step(
            **after(
                {"a.yaml": 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  n: "${n}"\n'},
                substitute={"n": "2"},
            )
        ),
    ),
    scenario(
        "unquoted-numbers-where-text-belongs",
        "KC-68",
        Step(
            **after(
                {"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  n: ${n}\n"},
                substitute={"n": "2"},
            )
        ),
    ),
    scenario(
        "in-names-keys-and-labels",
        "KC-68",
        Step(
            **after(
                {"a.yaml": cm("a-${n}", {"k${n}": "${n}x"}, labels={"l": "x${n}"}, annotations={"a/${n}": "y"})},
                substitute={"n": "2"},
            )
        ),
    ),
    scenario(
        "values-that-break-yaml",
        "KC-68",
        Step(
            **after(
                {"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  v: ${v}\n"},
                substitute={"v": "a: b: c"},
            )
        ),
    ),
    scenario(
        "values-with-signs",
        "KC-69",
        Step(
            **after(
                {"a.yaml": cm("a", {"v": "${v}", "w": "${w}"})},
                substitute={"v": "it's #1 & <more> %", "w": "${v}"},
            )
        ),
    ),
    scenario(
        "in-a-block-of-text",
        "KC-68",
        Step(
            **after(
                {
                    "a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  script: |\n"
                    "    #!/bin/sh\n    echo ${who:=you} $${HOME} $1\n    # ${who}\n"
                },
                substitute={"who": "me"},
            )
        ),
    ),
    scenario(
        "substitution-disabled",
        "KC-68",
        Step(
            **after(
                {
                    "a.yaml": cm("a", {"v": "${v}"}, annotations=directive(substitute="disabled")),
                    "b.yaml": cm("b", {"v": "${v}"}, labels=directive(substitute="disabled")),
                    "c.yaml": cm("c", {"v": "${v}"}, labels=directive(substitute="Disabled")),
                },
                substitute={"v": "1"},
            )
        ),
    ),
    one("without-variables-nothing-happens", "KC-70", {"a.yaml": cm("a", {"v": "${v} $${w} ${x:-d}"})}),
    scenario(
        "strategy-always",
        "KC-20",
        Step(
            push={"a.yaml": cm("a", {"v": "$${w} ${x:-d}"})},
            spec={"postBuild": {"substituteStrategy": "Always"}},
        ),
    ),
    scenario(
        "strategy-always-and-unset",
        "KC-20",
        Step(push={"a.yaml": cm("a", {"v": "${v}"})}, spec={"postBuild": {"substituteStrategy": "Always"}}),
    ),
    scenario(
        "strategy-with-variables",
        "KC-20",
        Step(
            push={"a.yaml": cm("a", {"v": "${v}"})},
            spec={"postBuild": {"substituteStrategy": "WithVariables"}},
        ),
    ),
    scenario(
        "variables-from-objects",
        "KC-69",
        Step(
            put=SOURCES,
            **after(
                {"a.yaml": cm("a", {"v": "${a}${b}${c}", "lines": "${lines}"})},
                substitute={"c": "3"},
                substituteFrom=[from_("ConfigMap", "first"), from_("Secret", "second")],
            ),
        ),
    ),
    scenario(
        "variables-from-objects-the-other-way-round",
        "KC-69",
        Step(
            put=SOURCES,
            **after(
                {"a.yaml": cm("a", {"v": "${a}${b}${c}"})},
                substituteFrom=[from_("Secret", "second"), from_("ConfigMap", "first")],
            ),
        ),
    ),
    scenario(
        "variables-that-change",
        "KC-69",
        Step(
            put=(config("first", {"a": "1"}, namespace=MARK),),
            **after({"a.yaml": cm("a", {"v": "${a}"})}, substituteFrom=[from_("ConfigMap", "first")]),
        ),
        Step(put=(config("first", {"a": "2"}, namespace=MARK),)),
    ),
    scenario(
        "variables-missing",
        "KC-69",
        Step(**after({"a.yaml": cm("a")}, substituteFrom=[from_("ConfigMap", "gone")])),
    ),
    scenario(
        "secret-variables-missing",
        "KC-69",
        Step(**after({"a.yaml": cm("a")}, substituteFrom=[from_("Secret", "gone")])),
    ),
    scenario(
        "optional-variables-missing",
        "KC-69",
        Step(
            **after(
                {"a.yaml": cm("a", {"v": "${v}"})},
                substituteFrom=[from_("ConfigMap", "gone", optional=True), from_("Secret", "gone", optional=True)],
                substitute={"v": "1"},
            )
        ),
    ),
    scenario(
        "only-optional-variables-and-missing",
        "KC-70",
        Step(**after({"a.yaml": cm("a", {"v": "${v}"})}, substituteFrom=[from_("ConfigMap", "gone", optional=True)])),
    ),
    scenario(
        "an-invalid-variable-name",
        "KC-69",
        Step(**after({"a.yaml": cm("a", {"v": "${a}"})}, substitute={"a": "1", "b-c": "2"})),
    ),
    scenario(
        "an-invalid-variable-name-in-an-object",
        "KC-69",
        Step(
            put=(config("first", {"a": "1", "b.c": "2"}, namespace=MARK),),
            **after({"a.yaml": cm("a", {"v": "${a}"})}, substituteFrom=[from_("ConfigMap", "first")]),
        ),
    ),
    scenario(
        "a-secret-s-data-is-text-only",
        "KC-68",
        Step(
            **after(
                {"s.yaml": yaml(named("v1", "Secret", "s", stringData={"v": "${v}"}), secret("t", {"v": "$${v}"}))},
                substitute={"v": "1"},
            )
        ),
    ),
)
