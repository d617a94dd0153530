"""The generated CRDs carry Flux's facts: names, columns, defaults, enums, patterns, limits and rules (SC, GR, KC)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import crds

DURATION = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
LIMITS = ("default", "enum", "format", "maxLength", "minLength", "minimum", "pattern")
AGE, READY, STATUS = (
    ("Age", ".metadata.creationTimestamp", "date"),
    ("Ready", '.status.conditions[?(@.type=="Ready")].status', "string"),
    ("Status", '.status.conditions[?(@.type=="Ready")].message', "string"),
)
GIT = "gitrepositories.source.toolkit.fluxcd.io"
KUSTOMIZATION = "kustomizations.kustomize.toolkit.fluxcd.io"
KINDS: dict[str, dict[str, Any]] = {
    GIT: {
        "short": ["gitrepo"],
        "categories": ["all", "fluxcd", "fluxcd-sources"],
        "columns": [("URL", ".spec.url", "string"), AGE, READY, STATUS],
        "fields": "ignore include interval provider proxySecretRef recurseSubmodules ref secretRef serviceAccountName"
        " sparseCheckout suspend timeout url verify",
        "status": "artifact conditions includedArtifacts lastHandledReconcileAt observedGeneration observedIgnore"
        " observedInclude observedRecurseSubmodules observedSparseCheckout sourceVerificationMode",
        "old": {"accessFrom", "gitImplementation"},
    },
    KUSTOMIZATION: {
        "short": ["ks"],
        "categories": ["all", "fluxcd", "fluxcd-appliers"],
        "columns": [AGE, READY, STATUS],
        "fields": "buildMetadata commonMetadata components decryption deletionPolicy dependsOn force healthCheckExprs"
        " healthChecks ignore ignoreMissingComponents images interval kubeConfig namePrefix nameSuffix patches"
        " patchesJson6902 patchesStrategicMerge path postBuild prune retryInterval serviceAccountName sourceRef"
        " suspend targetNamespace timeout wait",
        "status": "conditions history inventory lastAppliedOriginRevision lastAppliedRevision lastAttemptedRevision"
        " lastHandledReconcileAt observedGeneration",
        "old": {"validation"},
    },
}
SPEC_LIMITS: dict[str, dict[str, dict[str, Any]]] = {
    GIT: {
        "interval": {"pattern": DURATION},
        "provider": {"enum": ["generic", "aws", "azure", "github"]},
        "timeout": {"default": "60s", "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m))+$"},
        "url": {"pattern": "^(http|https|ssh)://.*$"},
        "verify.mode": {"default": "HEAD", "enum": ["head", "HEAD", "Tag", "TagAndHEAD"]},
    },
    KUSTOMIZATION: {
        "buildMetadata[]": {"enum": ["originAnnotations", "transformerAnnotations"]},
        "decryption.provider": {"enum": ["sops"]},
        "deletionPolicy": {"enum": ["MirrorPrune", "Delete", "WaitForTermination", "Orphan"]},
        "force": {"default": False},
        "interval": {"pattern": DURATION},
        "namePrefix": {"maxLength": 200, "minLength": 1},
        "nameSuffix": {"maxLength": 200, "minLength": 1},
        "postBuild.substituteFrom[].kind": {"enum": ["Secret", "ConfigMap"]},
        "postBuild.substituteFrom[].name": {"maxLength": 253, "minLength": 1},
        "postBuild.substituteFrom[].optional": {"default": False},
        "postBuild.substituteStrategy": {"enum": ["WithVariables", "Always"]},
        "retryInterval": {"pattern": DURATION},
        "sourceRef.kind": {"enum": ["OCIRepository", "GitRepository", "Bucket", "ExternalArtifact"]},
        "targetNamespace": {"maxLength": 63, "minLength": 1},
        "timeout": {"pattern": DURATION},
    },
}
RULES = {
    GIT: {"": ["serviceAccountName can only be set when provider is 'azure' or 'aws'"]},
    KUSTOMIZATION: {
        "kubeConfig": ["exactly one of spec.kubeConfig.configMapRef or spec.kubeConfig.secretRef must be specified"] * 2
    },
}
REQUIRED = {
    GIT: {
        "": ["interval", "url"],
        "include[]": ["repository"],
        "include[].repository": ["name"],
        "proxySecretRef": ["name"],
        "secretRef": ["name"],
        "verify": ["secretRef"],
        "verify.secretRef": ["name"],
    },
    KUSTOMIZATION: {
        "": ["interval", "prune", "sourceRef"],
        "decryption": ["provider"],
        "decryption.secretRef": ["name"],
        "dependsOn[]": ["name"],
        "healthCheckExprs[]": ["apiVersion", "current"],
        "healthChecks[]": ["kind", "name"],
        "ignore[]": ["paths"],
        "images[]": ["name"],
        "kubeConfig.configMapRef": ["name"],
        "kubeConfig.secretRef": ["name"],
        "patches[]": ["patch"],
        "patchesJson6902[]": ["patch", "target"],
        "postBuild.substituteFrom[]": ["kind", "name"],
        "sourceRef": ["kind", "name"],
    },
}


def definition(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((crds.FOLDER / f"{name}.yaml").read_text())
    return loaded


def part(name: str, section: str, version: str = "v1") -> dict[str, Any]:
    found = next(entry for entry in definition(name)["spec"]["versions"] if entry["name"] == version)
    schema: dict[str, Any] = found["schema"]["openAPIV3Schema"]["properties"][section]
    return schema


def walk(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from walk(below, f"{path}.{name}" if path else name)
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")


@pytest.mark.parametrize("name", KINDS)
def test_names_scope_and_marks(name: str) -> None:
    found, expected = definition(name), KINDS[name]
    assert found["metadata"] == {
        "name": name,
        "annotations": {"kustomize.toolkit.fluxcd.io/substitute": "disabled"},
        "labels": {"app.kubernetes.io/part-of": "flux"},
    }
    spec = found["spec"]
    assert (spec["names"]["shortNames"], spec["names"]["categories"]) == (expected["short"], expected["categories"])
    assert f"{spec['names']['plural']}.{spec['group']}" == name
    assert spec["names"]["listKind"] == f"{spec['names']['kind']}List"
    assert spec["scope"] == "Namespaced"
    assert spec["conversion"] == {"strategy": "None"}


@pytest.mark.parametrize("name", KINDS)
def test_all_versions_are_served_and_v1_is_stored(name: str) -> None:
    versions = definition(name)["spec"]["versions"]
    assert [(entry["name"], entry["served"], entry["storage"]) for entry in versions] == [
        ("v1", True, True),
        ("v1beta2", True, False),
        ("v1beta1", True, False),
    ]
    assert [entry.get("deprecated", False) for entry in versions] == [False, True, True]
    for entry in versions:
        columns = [(column["name"], column["jsonPath"], column["type"]) for column in entry["additionalPrinterColumns"]]
        assert columns == KINDS[name]["columns"]
        assert entry["subresources"] == {"status": {}}


@pytest.mark.parametrize("name", KINDS)
def test_v1_has_the_fields_of_flux(name: str) -> None:
    assert sorted(part(name, "spec")["properties"]) == KINDS[name]["fields"].split()
    assert sorted(part(name, "status")["properties"]) == KINDS[name]["status"].split()
    assert part(name, "status")["default"] == {"observedGeneration": -1}


@pytest.mark.parametrize("name", KINDS)
def test_v1_has_the_limits_of_flux(name: str) -> None:
    nodes = dict(walk(part(name, "spec")))
    limits = {path: {key: node[key] for key in LIMITS if key in node} for path, node in nodes.items()}
    assert {path: found for path, found in limits.items() if found} == SPEC_LIMITS[name]
    assert {path: node["required"] for path, node in nodes.items() if "required" in node} == REQUIRED[name]
    rules = {
        path: node["x-kubernetes-validations"] for path, node in nodes.items() if "x-kubernetes-validations" in node
    }
    assert {path: [rule["message"] for rule in found] for path, found in rules.items()} == RULES[name]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("version", ["v1beta2", "v1beta1"])
def test_an_old_version_is_v1_and_what_flux_removed(name: str, version: str) -> None:
    """Nothing else differs between the schemas (GR-13, KC-30)."""
    new, old = part(name, "spec")["properties"], part(name, "spec", version)["properties"]
    assert set(old) - set(new) == KINDS[name]["old"]
    assert {field: old[field] for field in new} == new


@pytest.mark.parametrize("name", KINDS)
def test_every_field_of_the_spec_is_described(name: str) -> None:
    fields = part(name, "spec", "v1beta1")["properties"]
    assert [field for field, schema in fields.items() if not schema.get("description")] == []


def test_the_files_are_fresh() -> None:
    assert crds.main(["--check"]) == 0


def test_a_stale_file_is_named_and_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(crds, "FOLDER", tmp_path)
    (tmp_path / "gone.yaml").write_text("kind: Gone\n")
    assert crds.main([]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(crds.texts())
    changed = tmp_path / f"{GIT}.yaml"
    changed.write_text(changed.read_text().replace("60s", "90s"))
    assert crds.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert changed.name in said
    assert KUSTOMIZATION not in said
