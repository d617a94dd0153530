"""What helm runs between rendering and applying (HR-30..32, HR-73): patches and images by kustomize, then labels and
annotations for every object.

`python post_render.py TASK < rendered > result`, a program of its own that starts for every release: it imports what it
uses. TASK is JSON with `kustomize`, a list of `patches` and `images`, `binary`, its path, `strategy`, `labels` and
`annotations`.
"""

import json
import sys
from typing import Any

import yaml

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
HOOK = "helm.sh/hook"


def rendered(documents: list[Any], task: dict[str, Any]) -> list[Any]:
    """The documents after everything that is wanted; hooks together with the others, apart or not at all (HR-32)."""
    if task["strategy"] == "combined":
        return _changed(documents, task)
    hooks = [document for document in documents if _is_hook(document)]
    others = [document for document in documents if not _is_hook(document)]
    return _changed(others, task) + (_changed(hooks, task) if task["strategy"] == "separate" else hooks)


def _changed(documents: list[Any], task: dict[str, Any]) -> list[Any]:
    return _marked(built(documents, task), task)


def _is_hook(document: Any) -> bool:
    return isinstance(document, dict) and HOOK in ((document.get("metadata") or {}).get("annotations") or {})


def _marked(documents: list[Any], task: dict[str, Any]) -> list[Any]:
    """With the labels and annotations; what is no object stays as it is."""
    for document in documents:
        for obj in _objects(document):
            metadata = obj.setdefault("metadata", {})
            for field in ("labels", "annotations"):
                if task[field]:
                    metadata[field] = {**(metadata.get(field) or {}), **task[field]}
    return documents


def built(documents: list[Any], task: dict[str, Any]) -> list[Any]:
    """What kustomize makes of the documents. Ends the program with kustomize's words when it fails."""
    if not documents:
        return documents
    for wanted in task["kustomize"]:
        documents = _by_kustomize(documents, wanted, task["binary"])
    return documents


def _by_kustomize(documents: list[Any], wanted: dict[str, Any], binary: str) -> list[Any]:
    import subprocess
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "rendered.yaml").write_text(dumped(documents))
        about = {
            "resources": ["rendered.yaml"],
            **{key: wanted[key] for key in ("patches", "images") if wanted.get(key)},
        }
        (Path(folder) / "kustomization.yaml").write_text(json.dumps(about))
        done = subprocess.run([binary, "build", folder], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        sys.exit(f"post-renderer: {' '.join(done.stderr.replace(folder, '').split())}")
    return loaded(done.stdout)


def loaded(text: str) -> list[Any]:
    """The documents in a text."""
    return [document for document in yaml.load_all(text, Loader=Loader) if document is not None]


def dumped(documents: list[Any]) -> str:
    """The reverse of `loaded`."""
    return str(yaml.dump_all(documents, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1 << 20))


def _objects(document: Any) -> list[dict[str, Any]]:
    if not isinstance(document, dict) or "kind" not in document:
        return []
    if str(document["kind"]).endswith("List") and isinstance(document.get("items"), list):
        return [item for item in document["items"] if isinstance(item, dict)]
    return [document]


def main() -> None:
    """The program."""
    with open(sys.argv[1]) as file:
        task = json.load(file)
    sys.stdout.write(dumped(rendered(loaded(sys.stdin.read()), task)))


if __name__ == "__main__":
    main()
