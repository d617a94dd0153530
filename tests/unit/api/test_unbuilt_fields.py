"""What this version does not build is named, and nothing else is."""

from typing import Any

import pytest

from fluxless.api.unbuilt import unbuilt_fields

GIT: dict[str, Any] = {"url": "https://example.org/a.git", "interval": "1m"}
KUSTOMIZATION: dict[str, Any] = {
    "interval": "1m",
    "prune": True,
    "sourceRef": {"kind": "GitRepository", "name": "a"},
}
REFUSED: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "OR-5 keyless": ("OCIRepository", {"verify": {"provider": "cosign"}}, ["verify without secretRef"]),
    "OR-5 notation": ("OCIRepository", {"verify": {"provider": "notation"}}, ["verify.provider: notation"]),
}
TAKEN: dict[str, tuple[str, dict[str, Any]]] = {
    "GR-1 plain http": ("GitRepository", {"url": "http://example.org/a.git"}),
    "GR-3, GR-4, GR-9": (
        "GitRepository",
        {"ref": {"semver": "1.x"}, "secretRef": {"name": "a"}, "ignore": "*", "timeout": "60s"},
    ),
    "values that mean nothing": (
        "GitRepository",
        {"provider": "generic", "recurseSubmodules": False, "include": [], "sparseCheckout": []},
    ),
    "KC-22 decryption": ("Kustomization", {"decryption": {"provider": "sops", "serviceAccountName": "a"}}),
    "KC-9 dependencies": ("Kustomization", {"dependsOn": [{"name": "a"}]}),
    "KC-25, KC-26": ("Kustomization", {"force": True, "wait": True, "ignore": [], "healthCheckExprs": []}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_field_that_is_not_built_is_named(case: str) -> None:
    kind, fields, expected = REFUSED[case]
    spec = (GIT if kind == "GitRepository" else KUSTOMIZATION) | fields
    assert unbuilt_fields(kind, spec) == expected


@pytest.mark.parametrize("case", TAKEN)
def test_a_field_that_is_built_is_not_named(case: str) -> None:
    kind, fields = TAKEN[case]
    spec = (GIT if kind == "GitRepository" else KUSTOMIZATION) | fields
    assert unbuilt_fields(kind, spec) == []
