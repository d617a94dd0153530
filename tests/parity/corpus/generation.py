"""Which files of a path become manifests (KC-64, KC-66)."""

from __future__ import annotations

from tests.parity.corpus.manifests import cm, component, config, kustomization, workload, yaml
from tests.parity.scenario import one

SCENARIOS = (
    one(
        "scan-the-tree",
        "KC-64",
        {
            "a.yaml": cm("a"),
            "deep/b.yml": cm("b"),
            "deep/er/c.yaml": cm("c"),
            "deep/notes.txt": "not: a manifest",
            "d.json": cm("d"),
            "README.md": "words",
        },
    ),
    one(
        "scan-enters-no-folder-with-a-kustomization-file",
        "KC-64",
        {
            "a.yaml": cm("a"),
            "sub/kustomization.yaml": kustomization(resources=["b.yaml"], namePrefix="sub-"),
            "sub/b.yaml": cm("b"),
            "sub/c.yaml": cm("c"),
            "sub/below/d.yaml": cm("d"),
            "other/below/Kustomization": kustomization(resources=["e.yaml"]),
            "other/below/e.yaml": cm("e"),
            "other/f.yaml": cm("f"),
        },
    ),
    one(
        "scan-of-many-documents",
        "KC-64",
        {
            "all.yaml": f"# words\n---\n{cm('a')}---\n---\n# nothing\n---\n{cm('b')}---\n",
            "empty.yaml": "# only words\n",
        },
    ),
    one(
        "a-kustomization-file-decides",
        "KC-64",
        {"kustomization.yaml": kustomization(resources=["a.yaml"]), "a.yaml": cm("a"), "b.yaml": cm("b")},
    ),
    one(
        "kustomization-yml",
        "KC-64",
        {"kustomization.yml": kustomization(resources=["a.yaml"]), "a.yaml": cm("a"), "b.yaml": cm("b")},
    ),
    one(
        "kustomization-without-extension",
        "KC-64",
        {"Kustomization": kustomization(resources=["a.yaml"]), "a.yaml": cm("a"), "b.yaml": cm("b")},
    ),
    one(
        "kustomization-file-without-a-kind",
        "KC-64",
        {"kustomization.yaml": "resources:\n  - a.yaml\nnameSuffix: -x\n", "a.yaml": cm("a")},
    ),
    one("a-folder-without-manifests", "KC-64", {"README.md": "words", "empty/notes.txt": "words"}),
    one("a-kustomization-file-without-resources", "KC-64", {"kustomization.yaml": kustomization(), "a.yaml": cm("a")}),
    one("an-empty-kustomization-file", "KC-64", {"kustomization.yaml": "", "a.yaml": cm("a")}),
    one(
        "path-without-a-dot",
        "KC-4",
        {"apps/web/a.yaml": cm("a"), "apps/b.yaml": cm("b")},
        {"path": "apps/web/"},
    ),
    one("path-from-the-root", "KC-4", {"apps/web/a.yaml": cm("a"), "b.yaml": cm("b")}, {"path": "/apps"}),
    one(
        "an-overlay-over-a-base",
        "KC-66",
        {
            "base/kustomization.yaml": kustomization(resources=["web.yaml", "settings.yaml"]),
            "base/web.yaml": yaml(workload("web")),
            "base/settings.yaml": cm("settings", {"color": "blue"}),
            "overlays/dev/kustomization.yaml": kustomization(
                resources=["../../base"],
                replicas=[{"name": "web", "count": 2}],
                images=[{"name": "example/web", "newTag": "2"}],
                labels=[{"pairs": {"stage": "dev"}, "includeSelectors": False}],
                patches=[{"path": "color.yaml"}],
            ),
            "overlays/dev/color.yaml": cm("settings", {"color": "green"}),
        },
        {"path": "./overlays/dev"},
    ),
    one(
        "generators",
        "KC-66",
        {
            "kustomization.yaml": kustomization(
                resources=["web.yaml"],
                configMapGenerator=[
                    {"name": "hashed", "literals": ["a=1"], "files": ["words.txt"]},
                    {"name": "plain", "envs": ["some.env"], "options": {"disableNameSuffixHash": True}},
                ],
                secretGenerator=[{"name": "hidden", "literals": ["password=secret"]}],
            ),
            "web.yaml": yaml(workload("web", volumes=[{"name": "v", "configMap": {"name": "hashed"}}])),
            "words.txt": "some words\n",
            "some.env": "ONE=1\nTWO=2\n",
        },
    ),
    one(
        "replacements",
        "KC-66",
        {
            "kustomization.yaml": kustomization(
                resources=["a.yaml", "b.yaml"],
                replacements=[
                    {
                        "source": {"kind": "ConfigMap", "name": "a", "fieldPath": "data.value"},
                        "targets": [{"select": {"name": "b"}, "fieldPaths": ["data.value"]}],
                    }
                ],
            ),
            "a.yaml": cm("a", {"value": "from a"}),
            "b.yaml": cm("b"),
        },
    ),
    one(
        "a-stray-kustomization-object-is-dropped",
        "KC-76",
        {
            "a.yaml": cm("a"),
            "stray.yaml": component(metadata={"name": "stray"}),
        },
    ),
    one("two-kustomization-files", "KC-64", {"kustomization.yaml": kustomization(), "Kustomization": kustomization()}),
    one(
        "a-resource-twice",
        "KC-66",
        {"a.yaml": cm("a"), "b.yaml": yaml(config("a", {"value": "2"}))},
    ),
    one("broken-yaml", "KC-64", {"a.yaml": cm("a"), "b.yaml": "kind: ConfigMap\n  bad: [\n"}),
    one("yaml-that-is-no-manifest", "KC-64", {"a.yaml": cm("a"), "values.yaml": "replicas: 2\nimage: x\n"}),
    one("a-manifest-without-a-name", "KC-64", {"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n"}),
    one("a-yaml-list-at-the-top", "KC-64", {"a.yaml": "- apiVersion: v1\n  kind: ConfigMap\n"}),
    one("a-tab-in-yaml", "KC-64", {"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n\tname: a\n"}),
    one("a-resource-that-is-missing", "KC-66", {"kustomization.yaml": kustomization(resources=["gone.yaml"])}),
    one(
        "a-kustomization-file-with-an-unknown-field",
        "KC-64",
        {"kustomization.yaml": kustomization(resources=["a.yaml"], colour="blue"), "a.yaml": cm("a")},
    ),
    one("a-kustomization-file-with-bad-yaml", "KC-64", {"kustomization.yaml": "resources: [", "a.yaml": cm("a")}),
    one(
        "a-chart-is-refused",
        "KC-66",
        {"kustomization.yaml": kustomization(helmCharts=[{"name": "c", "repo": "http://127.0.0.1:9", "version": "1"}])},
    ),
    one(
        "a-remote-resource-out-of-reach",
        "KC-66",
        {"kustomization.yaml": kustomization(resources=["http://127.0.0.1:9/x.yaml"])},
    ),
    one("path-missing", "KC-4", {"a.yaml": cm("a")}, {"path": "./gone"}),
    one("path-is-a-file", "KC-4", {"a.yaml": cm("a")}, {"path": "./a.yaml"}),
    one("path-leaves-the-artifact", "KC-4", {"a.yaml": cm("a")}, {"path": "./../../etc"}),
    one(
        "resource-leaves-the-artifact", "KC-66", {"kustomization.yaml": kustomization(resources=["../../../etc/hosts"])}
    ),
    one(
        "yaml-anchors-and-odd-scalars",
        "KC-64",
        {
            "a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  one: &x 'yes'\n  two: *x\n"
            "  three: \"on\"\n  four: '0o17'\n  five: |\n    lines\n      deeper\n    end\n"
            "  six: >-\n    folded\n    words\n  seven: '1e3'\n  eight: \"2024-01-01\"\n  nine: '~'\n"
        },
    ),
)
