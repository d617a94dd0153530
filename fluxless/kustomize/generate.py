"""The kustomization file that is built: the one in the artifact, or a generated one, with the spec merged in
(KC-64, KC-65). Never touches the cluster.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fluxless.go_yaml import load
from fluxless.kustomize.beneath import Files, resolved
from fluxless.kustomize.problems import BuildProblem

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
"""File names that kustomize recognises."""
ORIGIN = "originAnnotations"
FIELDS = (
    *("apiVersion", "kind", "metadata", "bases", "buildMetadata", "commonAnnotations", "commonLabels", "components"),
    *("configMapGenerator", "configurations", "crds", "generatorOptions", "generators", "helmChartInflationGenerator"),
    *("helmCharts", "helmGlobals", "imageTags", "images", "labels", "namePrefix", "nameSuffix", "namespace", "openapi"),
    *("patches", "patchesJson6902", "patchesStrategicMerge", "replacements", "replicas", "resources"),
    *("secretGenerator", "sortOptions", "transformers", "validators", "vars"),
)
"""What a kustomization file may hold; Flux drops anything else from the one that it merges the spec into."""
MERGED = ("buildMetadata", "components", "images", "patches", "patchesJson6902", "patchesStrategicMerge")
"""Lists of the file that the spec adds to."""

Kustomization = dict[str, Any]


def generate(files: Files, folder: Path, spec: Mapping[str, Any]) -> bool:
    """Write the kustomization file of `folder` anew; whether the user wants to see origin annotations in the result.

    The file always asks for them, because they tell us where each object comes from. Raises `Problem`.
    """
    file = kustomization_file(files, folder)
    document = _read(files, file) if file is not None else _scan(files, folder)
    asked = list(document.get("buildMetadata") or [])
    if file is not None and not document.get("resources"):
        asked = [ORIGIN]  # Flux does so, lest kustomize call the file empty
    _merge(document, files, folder, spec)
    asked = list(spec.get("buildMetadata") or asked)
    document["buildMetadata"] = [*asked, *([] if ORIGIN in asked else [ORIGIN])]
    try:
        text = json.dumps(document)
    except (TypeError, ValueError, RecursionError):  # YAML can say more than JSON: dates, sets, bytes, itself
        place = files.shown(file) if file is not None else ""
        raise BuildProblem("a kustomization file holds a value that is no JSON", "correct the file", place) from None
    files.write(file or folder / NAMES[0], text.encode())
    return ORIGIN in asked


def kustomization_file(files: Files, folder: Path) -> Path | None:
    """The kustomization file of a folder, or None."""
    return next((folder / name for name in NAMES if files.is_file(folder / name)), None)


def _read(files: Files, file: Path) -> Kustomization:
    name = files.shown(file)
    document = load(files.read(file), name)
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise BuildProblem("a kustomization file must be a mapping", "correct the file", name)
    known = {field: value for field, value in document.items() if field in FIELDS}
    for field in MERGED:
        value = known.get(field) or []
        if not isinstance(value, list) or (field == "images" and not all(isinstance(item, dict) for item in value)):
            raise BuildProblem(f"{field} of a kustomization file must be a list", "correct the file", name)
    return {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"} | known


def _scan(files: Files, folder: Path) -> Kustomization:
    """All manifests below; a folder with its own kustomization file counts as one resource and is not entered."""
    found: list[str] = []

    def visit(directory: Path) -> None:
        for entry in sorted(directory.iterdir(), key=lambda path: path.name):
            if entry.is_dir() and not entry.is_symlink():
                if kustomization_file(files, entry) is not None:
                    found.append(str(entry.relative_to(folder)))
                else:
                    visit(entry)
            elif entry.suffix in {".yaml", ".yml"} and entry.is_file():
                found.append(str(entry.relative_to(folder)))

    visit(folder)
    document: Kustomization = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    return document | ({"resources": found} if found else {"namespace": "_placeholder"})


def _merge(document: Kustomization, files: Files, folder: Path, spec: Mapping[str, Any]) -> None:
    for field, target in (("targetNamespace", "namespace"), ("namePrefix",) * 2, ("nameSuffix",) * 2):
        if spec.get(field):
            document[target] = spec[field]
    if spec.get("patches"):
        document["patches"] = [*(document.get("patches") or []), *spec["patches"]]
    if spec.get("patchesStrategicMerge"):
        old = [json.dumps(patch) for patch in spec["patchesStrategicMerge"]]
        document["patchesStrategicMerge"] = [*(document.get("patchesStrategicMerge") or []), *old]
    if spec.get("patchesJson6902"):
        patches = [{**entry, "patch": json.dumps(entry["patch"])} for entry in spec["patchesJson6902"]]
        document["patchesJson6902"] = [*(document.get("patchesJson6902") or []), *patches]
    components = [name for name in spec.get("components") or [] if _component(files, folder, name, spec)]
    if components:
        document["components"] = [*(document.get("components") or []), *components]
    for image in spec.get("images") or []:
        _merge_image(document, image)


def _component(files: Files, folder: Path, name: str, spec: Mapping[str, Any]) -> bool:
    if "://" in name or Path(name).is_absolute() or name.startswith("git@"):
        raise BuildProblem(f"component path '{name}' must be local and relative", "correct spec.components")
    place = resolved(folder / name)
    if place is None or not place.is_relative_to(files.root):
        raise BuildProblem(f"component path '{name[:200]}' leaves the artifact", "correct spec.components")
    return place.exists() or not spec.get("ignoreMissingComponents")


def _merge_image(document: Kustomization, image: Mapping[str, Any]) -> None:
    """Field by field into the entry of that name; tag and digest choose a version and count as one field."""
    images: list[dict[str, Any]] = document.setdefault("images", [])
    entry = next((known for known in images if known.get("name") == image["name"]), None)
    if entry is None:
        images.append(dict(image))
        return
    if image.get("newName"):
        entry["newName"] = image["newName"]
    if image.get("newTag") or image.get("digest"):
        for field in ("newTag", "digest"):
            entry.pop(field, None)
            if image.get(field):
                entry[field] = image[field]
