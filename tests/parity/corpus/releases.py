"""HelmReleases from install to uninstall (HR rows). The chart is that of `stock.RELEASED`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.parity.scenario import MARK, Obj, Scenario, Step, scenario
from tests.parity.stock import RELEASED

REPOSITORY = {"HelmRepository/charts": {"url": "@apps@"}}
BAD = {"name": "Not_A_Name"}
NEVER_READY = {"replicas": 1}


def of(chart: str = "app", version: str = "1.0.0") -> Obj:
    """The chart of the repository."""
    return {"spec": {"chart": chart, "version": version, "sourceRef": {"kind": "HelmRepository", "name": "charts"}}}


def first(ends: str = "True", chart: Obj | None = None, put: tuple[Obj, ...] = (), **release: Any) -> Step:
    """The first step: the repository and the release."""
    return Step(sources=REPOSITORY, put=put, release={"chart": chart or of(), **release}, ends=ends)


def then(ends: str = "True", **release: Any) -> Step:
    """A later change of the spec."""
    return Step(release={"interval": "10m", **release}, ends=ends)


def stalls(step: Step) -> Step:
    """Retries come with pauses that double: wait until there are none."""
    return replace(step, stalls=True)


def asked(*words: str, ends: str = "True", patch: tuple[Obj, ...] = (), drop: tuple[Obj, ...] = ()) -> Step:
    """A request, after what somebody else has done."""
    return Step(release={"interval": "10m"}, asks=words, ends=ends, patch=patch, drop=drop)


def data(kind: str, name: str, **values: str) -> Obj:
    """A ConfigMap or Secret."""
    field = "data" if kind == "ConfigMap" else "stringData"
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": MARK}, field: values}


def change(name: str = "app", **values: str | None) -> Obj:
    """What somebody changes in a ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": values}


def remediation(action: str, **said: Any) -> Obj:
    """`spec.<action>.remediation`."""
    return {action: {"remediation": said}}


_PATCH = "- op: add\n  path: /data/patched\n  value: '%s'\n"


def patched(value: str) -> list[Obj]:
    """Post-renderers that change every ConfigMap."""
    return [{"kustomize": {"patches": [{"patch": _PATCH % value, "target": {"kind": "ConfigMap"}}]}}]


_FROM = ({"kind": "ConfigMap", "name": "one"}, {"kind": "Secret", "name": "two", "valuesKey": "more.yaml"})

VALUES = (
    scenario("a-release", "HR-14", first()),
    scenario("a-release-with-values", "HR-28", first(values={"value": "mine", "auth": {"password": "p"}})),
    scenario(
        "a-release-with-values-from-everywhere",
        "HR-71",
        first(
            put=(
                data("ConfigMap", "one", **{"values.yaml": "value: one\nauth: {password: one}\n"}),
                data("Secret", "two", **{"more.yaml": "auth: {password: two}\n"}),
            ),
            valuesFrom=[*_FROM, {"kind": "Secret", "name": "none", "optional": True}],
            values={"value": "last"},
        ),
    ),
    scenario(
        "a-release-with-a-value-at-a-path",
        "HR-71",
        first(
            put=(data("Secret", "one", password="a,b=c"), data("ConfigMap", "two", number='"7"')),
            valuesFrom=[
                {
                    "kind": "Secret",
                    "name": "one",
                    "valuesKey": "password",
                    "targetPath": "auth.password",
                    "literal": True,
                },
                {"kind": "ConfigMap", "name": "two", "valuesKey": "number", "targetPath": "value"},
            ],
        ),
    ),
    scenario("a-release-with-a-missing-secret", "HR-71", first("False", valuesFrom=list(_FROM[1:]))),
    scenario(
        "a-release-with-a-missing-key",
        "HR-71",
        first("False", put=(data("ConfigMap", "one", other="x"),), valuesFrom=list(_FROM[:1])),
    ),
    scenario("a-release-whose-values-are-refused", "HR-16", first("False", values={"replicas": "many"})),
)

SOURCES = (
    scenario("a-release-of-a-newer-chart", "HR-61", first(), then(chart=of(version="1.1.0"))),
    scenario("a-release-of-a-chart-that-is-missing", "HR-69", first("False SourceNotReady", chart=of("none"))),
    scenario(
        "a-release-of-an-image",
        "HR-68",
        Step(
            sources={
                "OCIRepository/image": {
                    "url": "oci://@registry@/charts/app",
                    "insecure": True,
                    "ref": {"tag": "1.0.0"},
                    "layerSelector": {
                        "mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
                        "operation": "copy",
                    },
                }
            },
            release={"chartRef": {"kind": "OCIRepository", "name": "image"}},
            ends="True",
        ),
    ),
    scenario(
        "a-release-of-a-folder-in-git",
        "HR-1",
        Step(
            push={
                "charts/app/Chart.yaml": "apiVersion: v2\nname: app\nversion: 0.1.0\n",
                **{f"charts/app/{path}": text for path, text in RELEASED.items()},
            },
            sources={"GitRepository/repo": {"url": "@git@", "ref": {"branch": "main"}}},
            release={
                "chart": {"spec": {"chart": "charts/app", "sourceRef": {"kind": "GitRepository", "name": "repo"}}}
            },
            ends="True",
        ),
    ),
    scenario(
        "a-release-of-a-chart-that-is-there",
        "HR-5",
        Step(
            sources={
                **REPOSITORY,
                "HelmChart/mine": {
                    "chart": "app",
                    "version": "1.x",
                    "sourceRef": {"kind": "HelmRepository", "name": "charts"},
                },
            },
            release={"chartRef": {"kind": "HelmChart", "name": "mine"}},
            ends="True",
        ),
    ),
)

CHANGES = (
    scenario("an-upgrade", "HR-61", first(), then(values={"value": "new"})),
    scenario(
        "three-upgrades",
        "HR-43",
        first(maxHistory=2),
        then(values={"value": "2"}),
        then(values={"value": "3"}),
        then(values={"value": "4"}),
    ),
    scenario(
        "an-upgrade-that-keeps-values",
        "HR-21",
        first(values={"value": "1"}),
        then(values={"auth": {"password": "p"}}, upgrade={"preserveValues": True}),
    ),
    scenario(
        "a-release-that-is-applied-by-the-client",
        "HR-18",
        first(install={"serverSideApply": False}),
        then(values={"value": "new"}),
    ),
    scenario(
        "a-release-that-changes-its-way-to-apply",
        "HR-22",
        first(),
        then(values={"value": "new"}, upgrade={"serverSideApply": "disabled"}),
    ),
    scenario("a-release-of-another-name", "HR-63", first(), then(releaseName="other")),
    scenario(
        "a-release-in-another-namespace",
        "HR-63, HR-78",
        first(targetNamespace=f"{MARK}-x", install={"createNamespace": True}),
        then(targetNamespace=None),
    ),
    scenario(
        "a-release-whose-records-move",
        "HR-42",
        first(targetNamespace=f"{MARK}-x", install={"createNamespace": True}),
        then(storageNamespace=f"{MARK}-x"),
    ),
    scenario("a-chart-of-another-name", "HR-63", first(), then(chart=of("other"))),
    scenario(
        "a-chart-of-another-name-in-place",
        "HR-24",
        first(),
        then(chart=of("other"), upgrade={"chartNameChangeStrategy": "InPlaceUpdate"}),
    ),
    scenario("a-forced-release", "HR-65", first(), asked("force"), asked()),
    scenario(
        "a-suspended-release",
        "CM-8",
        first(),
        Step(release={"suspend": True, "values": {"value": "new"}}, ignored=True),
    ),
    scenario(
        "a-release-is-deleted",
        "HR-77",
        first(values={"hooks": {"post-delete": "after"}}),
        Step(release={"interval": "10m"}, delete=True),
    ),
    scenario(
        "a-release-is-deleted-and-remembered",
        "HR-27",
        first(uninstall={"keepHistory": True}),
        Step(release={"interval": "10m"}, delete=True),
    ),
    scenario(
        "a-release-adopts-an-object",
        "HR-17",
        first(put=(data("ConfigMap", "app", theirs="x"),)),
    ),
    scenario(
        "a-release-that-may-not-adopt",
        "HR-17",
        first("False", put=(data("ConfigMap", "app", theirs="x"),), install={"disableTakeOwnership": True}),
    ),
)

RENDERING = (
    scenario(
        "post-renderers",
        "HR-31, HR-48",
        first(postRenderers=patched("one")),
        then(postRenderers=patched("two")),
        then(postRenderers=None),
    ),
    scenario(
        "common-metadata-of-a-release",
        "HR-30",
        first(commonMetadata={"labels": {"team": "a"}, "annotations": {"note": "b"}}),
        then(commonMetadata={"labels": {"team": "b"}}),
    ),
    *(
        scenario(
            f"hooks-rendered-{strategy}",
            "HR-32",
            first(
                postRenderStrategy=strategy,
                postRenderers=[{"kustomize": {"images": [{"name": "x", "newTag": "2"}]}}],
                values={"hooks": {"pre-install": "hook"}},
            ),
        )
        for strategy in ("combined", "separate", "nohooks")
    ),
    scenario(
        "a-release-without-hooks",
        "HR-14",
        first(values={"hooks": {"pre-install": "hook"}}, install={"disableHooks": True}),
    ),
)

FAILURES = (
    scenario("an-install-that-fails", "HR-20", first("False", values=BAD)),
    scenario(
        "an-install-that-fails-twice",
        "HR-20",
        stalls(first("False", values=BAD, **remediation("install", retries=1))),
    ),
    scenario(
        "an-install-that-fails-and-is-undone",
        "HR-20",
        first("False", values=BAD, **remediation("install", remediateLastFailure=True)),
        then(values={}),
    ),
    scenario(
        "an-install-that-fails-and-is-corrected", "HR-64", first("False", values=BAD), then(values={"name": "good"})
    ),
    scenario("an-install-that-is-never-ready", "HR-6", first("False", values=NEVER_READY, timeout="3s")),
    scenario("an-install-that-nobody-waits-for", "HR-14", first(values=NEVER_READY, install={"disableWait": True})),
    scenario("an-upgrade-that-fails", "HR-23", first(), then("False", values=BAD)),
    scenario(
        "an-upgrade-that-fails-and-is-rolled-back",
        "HR-23, HR-76",
        first(),
        then("False", values=BAD, **remediation("upgrade", remediateLastFailure=True)),
    ),
    scenario(
        "an-upgrade-that-fails-twice", "HR-23", first(), then("False", values=BAD, **remediation("upgrade", retries=1))
    ),
    scenario(
        "an-upgrade-that-fails-and-is-uninstalled",
        "HR-23",
        first(),
        stalls(
            then("False", values=BAD, **remediation("upgrade", strategy="uninstall", remediateLastFailure=True)),
        ),
    ),
    scenario(
        "an-upgrade-that-is-rolled-back-and-taken-back",
        "HR-60",
        first(),
        then("False", values=BAD, **remediation("upgrade", remediateLastFailure=True)),
        then(values=None),
    ),
    scenario(
        "a-failed-upgrade-that-is-corrected", "HR-64", first(), then("False", values=BAD), then(values={"value": "new"})
    ),
    scenario(
        "a-failed-upgrade-that-starts-anew", "HR-65", first(), then("False", values=BAD), asked("reset", ends="False")
    ),
    scenario(
        "a-failed-upgrade-that-is-forced", "HR-65", first(), then("False", values=BAD), asked("force", ends="False")
    ),
    scenario(
        "a-failed-install-that-is-tried-again",
        "HR-19",
        first("False", values=BAD, install={"strategy": {"name": "RetryOnFailure", "retryInterval": "1h"}}),
    ),
    scenario(
        "nothing-to-roll-back-to",
        "HR-76",
        first("False", values=BAD),
        then("False", values={"name": "Also_Not"}, **remediation("upgrade", retries=1)),
    ),
)

TESTED = (
    scenario("tests-that-succeed", "HR-75", first(values={"tests": ["one", "two"]}, test={"enable": True})),
    scenario("tests-that-are-not-there", "HR-75", first(test={"enable": True})),
    scenario(
        "tests-that-are-chosen",
        "HR-25",
        first(values={"tests": ["one", "Not_A_Name"]}, test={"enable": True, "filters": [{"name": "one"}]}),
    ),
    scenario("tests-that-fail", "HR-75", first("False", values={"tests": ["Not_A_Name"]}, test={"enable": True})),
    scenario(
        "tests-that-fail-and-do-not-count",
        "HR-25",
        first(values={"tests": ["Not_A_Name"]}, test={"enable": True, "ignoreFailures": True}),
    ),
    scenario(
        "tests-that-fail-after-an-upgrade",
        "HR-75",
        first(test={"enable": True}),
        then("False", values={"tests": ["Not_A_Name"]}, **remediation("upgrade", remediateLastFailure=True)),
    ),
)

DRIFT = (
    scenario(
        "drift-of-a-release-is-corrected",
        "HR-74",
        first(driftDetection={"mode": "enabled"}),
        asked(patch=(change(value="theirs"),)),
        asked(drop=(change(),)),
    ),
    scenario(
        "drift-of-a-release-is-told",
        "HR-74",
        first(driftDetection={"mode": "warn"}),
        asked(patch=(change(value="theirs"),)),
        asked(patch=(change(value="of-chart"),)),
    ),
    scenario(
        "drift-of-a-release-is-ignored",
        "HR-74",
        first(
            driftDetection={"mode": "enabled", "ignore": [{"paths": ["/data/value"], "target": {"kind": "ConfigMap"}}]}
        ),
        asked(patch=(change(value="theirs"),)),
        asked(patch=(change(value="theirs", password="x"),)),
    ),
    scenario("drift-that-nobody-looks-for", "HR-13", first(), asked(patch=(change(value="theirs"),))),
    scenario(
        "drift-of-what-the-client-applied",
        "HR-74",
        first(driftDetection={"mode": "enabled"}, install={"serverSideApply": False}),
        asked(patch=(change(value="theirs"),)),
    ),
)

DEPENDENCIES = (
    scenario("a-release-that-waits-for-none", "HR-80", first("False DependencyNotReady", dependsOn=[{"name": "none"}])),
    scenario(
        "a-release-that-waits-for-another",
        "HR-80",
        Step(
            sources=REPOSITORY,
            others={"base": {"chart": of("other")}},
            release={"chart": of(), "dependsOn": [{"name": "base"}]},
            ends="True",
        ),
    ),
)

SCENARIOS: tuple[Scenario, ...] = VALUES + SOURCES + CHANGES + RENDERING + FAILURES + TESTED + DRIFT + DEPENDENCIES
