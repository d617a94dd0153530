"""What helm runs between rendering and applying (HR-30, HR-31, HR-73): patches and images by kustomize, then labels and
annotations for every object.

`python post_render.py TASK < rendered > result`, a program of its own; TASK is JSON with `kustomize`, a list of
`patches` and `images`, `binary`, its path, `labels` and `annotations`.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def rendered(text: str, wanted: dict[str, dict[str, str]]) -> str:
    """The documents with what is wanted in their metadata; what is no object stays as it is."""
    made = []
    for document in yaml.load_all(text, Loader=Loader):
        for obj in _objects(document):
            metadata = obj.setdefault("metadata", {})
            for field, values in wanted.items():
                if values:
                    metadata[field] = {**(metadata.get(field) or {}), **values}
        if document is not None:
            made.append(document)
    return str(yaml.dump_all(made, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1 << 20))


def built(text: str, wanted: dict[str, Any], binary: str) -> str:
    """What kustomize makes of the documents. Ends the program with kustomize's words when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "rendered.yaml").write_text(text)
        about = {
            "resources": ["rendered.yaml"],
            **{key: wanted[key] for key in ("patches", "images") if wanted.get(key)},
        }
        (Path(folder) / "kustomization.yaml").write_text(json.dumps(about))
        done = subprocess.run([binary, "build", folder], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        sys.exit(f"post-renderer: {' '.join(done.stderr.replace(folder, '').split())}")
    return done.stdout


def _objects(document: Any) -> list[dict[str, Any]]:
    if not isinstance(document, dict) or "kind" not in document:
        return []
    if str(document["kind"]).endswith("List") and isinstance(document.get("items"), list):
        return [item for item in document["items"] if isinstance(item, dict)]
    return [document]


def main() -> None:
    """The program."""
    task, text = json.loads(Path(sys.argv[1]).read_text()), sys.stdin.read()
    for wanted in task["kustomize"]:
        text = built(text, wanted, task["binary"])
    sys.stdout.write(rendered(text, {field: task[field] for field in ("labels", "annotations")}))


if __name__ == "__main__":
    main()
