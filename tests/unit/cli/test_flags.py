"""From what is typed to what is meant: `create kustomization`, `trace`, `stats`."""

import pytest

from fluxless.api.failure import Problem
from fluxless.cli.create import Wish, kustomization
from fluxless.cli.stats import size
from fluxless.cli.trace import wanted


def _wish(**flags: object) -> Wish:
    given = {"name": "app", "namespace": "flux-system", "source": "repo", "path": "./apps", **flags}
    return Wish(**given)  # type: ignore[arg-type]


def test_the_least_that_flux_writes() -> None:
    assert kustomization(_wish()) == {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": "app", "namespace": "flux-system"},
        "spec": {
            "interval": "1m0s",
            "path": "./apps",
            "prune": False,
            "sourceRef": {"kind": "GitRepository", "name": "repo"},
        },
    }


def test_everything() -> None:
    spec = kustomization(
        _wish(
            source="OCIRepository/app.other",
            prune=True,
            health_checks=("Deployment/web.apps", "HelmRelease/db.data"),
            depends_on=("a", "ns/b"),
            service_account="team",
            decryption_provider="sops",
            decryption_secret="keys",
            target_namespace="apps",
            kubeconfig_secret="there",
            retry_interval="1m",
        )
    )["spec"]
    assert spec == {
        "decryption": {"provider": "sops", "secretRef": {"name": "keys"}},
        "dependsOn": [{"name": "a"}, {"name": "b", "namespace": "ns"}],
        "healthChecks": [
            {"kind": "Deployment", "name": "web", "namespace": "apps"},
            {"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "name": "db", "namespace": "data"},
        ],
        "interval": "1m0s",
        "kubeConfig": {"secretRef": {"name": "there"}},
        "path": "./apps",
        "prune": True,
        "retryInterval": "1m",
        "serviceAccountName": "team",
        "sourceRef": {"kind": "OCIRepository", "name": "app", "namespace": "other"},
        "targetNamespace": "apps",
        "timeout": "2m0s",
    }


def test_wait_replaces_health_checks() -> None:
    spec = kustomization(_wish(wait=True, health_checks=("Deployment/web.apps",)))["spec"]
    assert (spec["wait"], spec["timeout"], "healthChecks" in spec) == (True, "2m0s", False)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"name": "App"}, "name 'App' is invalid"),
        ({"path": ""}, "path is required"),
        ({"path": "apps"}, "path 'apps' must begin with ./"),
        ({"source": ""}, "source is required"),
        ({"source": "Chart/x"}, "source 'Chart/x' is not understood"),
        ({"health_checks": ("Deployment/web",)}, "invalid health check 'Deployment/web'"),
        ({"health_checks": ("Pod/web.apps",)}, "invalid health check kind 'Pod'"),
        ({"labels": ("team",)}, "label 'team' is not understood"),
    ],
)
def test_what_cannot_be_used_is_named(flags: dict[str, object], words: str) -> None:
    with pytest.raises(Problem, match=words):
        kustomization(_wish(**flags))


@pytest.mark.parametrize(
    ("stored", "text"),
    [(0, "-"), (500, "500 B"), (1536, "1.5 KiB"), (5 * 1024**2, "5.0 MiB"), (3 * 1024**4, "3.0 TiB")],
)
def test_sizes(stored: int, text: str) -> None:
    assert size(stored) == text


@pytest.mark.parametrize(
    ("typed", "kind", "version", "found"),
    [
        (["pod", "web"], "", "", [("pod", "web")]),
        (["pod", "web", "api"], "", "", [("pod", "web"), ("pod", "api")]),
        (["pod/web", "cm/a"], "", "", [("pod", "web"), ("cm", "a")]),
        (["web"], "Deployment", "apps/v1", [("Deployment", "web")]),
        (["web"], "", "", None),
        (["pod/"], "", "", None),
        (["pod/web", "x"], "", "", None),
        (["web"], "Deployment", "", None),
    ],
)
def test_what_trace_is_asked_for(
    typed: list[str], kind: str, version: str, found: list[tuple[str, str]] | None
) -> None:
    if found is None:
        with pytest.raises(Problem):
            wanted(typed, kind, version)
    else:
        assert wanted(typed, kind, version) == found
