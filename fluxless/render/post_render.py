"""What helm runs between rendering and applying (HR-30, HR-73): labels and annotations for every object.

`python post_render.py TASK < rendered > result`, a program of its own; TASK is JSON with `labels` and `annotations`.
"""

import json
import sys
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


def _objects(document: Any) -> list[dict[str, Any]]:
    if not isinstance(document, dict) or "kind" not in document:
        return []
    if str(document["kind"]).endswith("List") and isinstance(document.get("items"), list):
        return [item for item in document["items"] if isinstance(item, dict)]
    return [document]


if __name__ == "__main__":
    sys.stdout.write(rendered(sys.stdin.read(), json.loads(Path(sys.argv[1]).read_text())))
