"""What the spec of a Kustomization adds to the kustomization file (KC-65, KC-10..17)."""

from __future__ import annotations

from tests.parity.corpus.manifests import cm, component, config, kustomization, named, workload, yaml
from tests.parity.scenario import MARK, one

WEB = yaml(workload("web"))
ACCOUNT = named("v1", "ServiceAccount", "runner")
ROLE = named("rbac.authorization.k8s.io/v1", "ClusterRole", f"reader-{MARK}", rules=[])

SCENARIOS = (
    one(
        "target-namespace",
        "KC-10",
        {
            "a.yaml": cm("a", namespace="elsewhere"),
            "role.yaml": yaml(ROLE),
            "account.yaml": yaml(ACCOUNT),
            "binding.yaml": yaml(
                named(
                    "rbac.authorization.k8s.io/v1",
                    "RoleBinding",
                    "bind",
                    roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": f"reader-{MARK}"},
                    subjects=[{"kind": "ServiceAccount", "name": "runner", "namespace": "elsewhere"}],
                )
            ),
        },
    ),
    one(
        "target-namespace-over-the-file-s",
        "KC-65",
        {"kustomization.yaml": kustomization(resources=["a.yaml"], namespace="elsewhere"), "a.yaml": cm("a")},
    ),
    one(
        "prefix-and-suffix",
        "KC-11",
        {
            "a.yaml": cm("a"),
            "web.yaml": yaml(workload("web", volumes=[{"name": "v", "configMap": {"name": "a"}}])),
        },
        {"namePrefix": "pre-", "nameSuffix": "-post"},
    ),
    one(
        "prefix-over-the-file-s",
        "KC-65",
        {"kustomization.yaml": kustomization(resources=["a.yaml"], namePrefix="old-"), "a.yaml": cm("a")},
        {"namePrefix": "new-"},
    ),
    one(
        "common-metadata",
        "KC-12",
        {"a.yaml": cm("a", labels={"team": "old"}, annotations={"note": "old", "kept": "yes"}), "web.yaml": WEB},
        {"commonMetadata": {"labels": {"team": "new"}, "annotations": {"note": "new"}}},
    ),
    one(
        "patch-by-merge-with-a-target",
        "KC-13",
        {"web.yaml": WEB, "other.yaml": yaml(workload("other"))},
        {
            "patches": [
                {
                    "patch": yaml(named("apps/v1", "Deployment", "any", spec={"replicas": 3})),
                    "target": {"kind": "Deployment", "name": "web"},
                }
            ]
        },
    ),
    one(
        "patch-by-merge-without-a-target",
        "KC-13",
        {"a.yaml": cm("a", {"one": "1", "two": "2"})},
        {
            "patches": [
                {"patch": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  one: null\n  two: '3'\n"}
            ]
        },
    ),
    one(
        "patch-by-operations",
        "KC-13",
        {"web.yaml": WEB},
        {
            "patches": [
                {
                    "patch": "- op: replace\n  path: /spec/replicas\n  value: 4\n"
                    "- op: add\n  path: /metadata/annotations\n  value: {note: added}\n"
                    "- op: add\n  path: /spec/template/spec/containers/-\n  value: {name: side, image: example/side}\n"
                    "- op: remove\n  path: /spec/progressDeadlineSeconds\n",
                    "target": {"group": "apps", "version": "v1", "kind": "Deployment"},
                }
            ]
        },
    ),
    one(
        "patch-by-label",
        "KC-13",
        {"a.yaml": cm("a", labels={"tier": "front"}), "b.yaml": cm("b", labels={"tier": "back"})},
        {
            "patches": [
                {
                    "patch": "- op: add\n  path: /data/patched\n  value: by label\n",
                    "target": {"labelSelector": "tier in (front)"},
                }
            ]
        },
    ),
    one(
        "patch-by-annotation",
        "KC-13",
        {"a.yaml": cm("a", annotations={"tier": "front"}), "b.yaml": cm("b")},
        {
            "patches": [
                {
                    "patch": "- op: add\n  path: /data/patched\n  value: by annotation\n",
                    "target": {"annotationSelector": "tier=front"},
                }
            ]
        },
    ),
    one(
        "patch-by-expression-of-names",
        "KC-13",
        {"a1.yaml": cm("a1"), "a2.yaml": cm("a2"), "b.yaml": cm("b")},
        {
            "patches": [
                {
                    "patch": "- op: replace\n  path: /data/value\n  value: patched\n",
                    "target": {"kind": "ConfigMap", "name": "a.*"},
                }
            ]
        },
    ),
    one(
        "patch-that-deletes",
        "KC-13",
        {"a.yaml": cm("a"), "b.yaml": cm("b")},
        {"patches": [{"patch": "$patch: delete\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n"}]},
    ),
    one(
        "patches-after-the-file-s",
        "KC-65",
        {
            "kustomization.yaml": kustomization(
                resources=["a.yaml"], patches=[{"patch": yaml(config("a", {"value": "file", "file": "yes"}))}]
            ),
            "a.yaml": cm("a"),
        },
        {"patches": [{"patch": yaml(config("a", {"value": "spec"}))}]},
    ),
    one(
        "patch-for-nobody",
        "KC-13",
        {"a.yaml": cm("a")},
        {
            "patches": [
                {
                    "patch": "- op: add\n  path: /data/patched\n  value: x\n",
                    "target": {"kind": "Secret", "name": "none"},
                }
            ]
        },
    ),
    one("patch-of-a-missing-object", "KC-13", {"a.yaml": cm("a")}, {"patches": [{"patch": cm("gone")}]}),
    one(
        "patch-that-is-no-yaml",
        "KC-13",
        {"a.yaml": cm("a")},
        {"patches": [{"patch": "op: [", "target": {"kind": "ConfigMap"}}]},
    ),
    one(
        "patch-of-several-documents",
        "KC-13",
        {"a.yaml": cm("a"), "b.yaml": cm("b")},
        {"patches": [{"patch": yaml(config("a", {"value": "x"}), config("b", {"value": "y"}))}]},
    ),
    one(
        "images-by-name-tag-and-digest",
        "KC-14",
        {
            "one.yaml": yaml(workload("one", image="example/one:1")),
            "two.yaml": yaml(workload("two", image="example/two:1")),
            "three.yaml": yaml(workload("three", image="example/three")),
            "four.yaml": yaml(workload("four", image="example/four:1")),
        },
        {
            "images": [
                {"name": "example/one", "newTag": "2"},
                {"name": "example/two", "newName": "mirror.example.com/two"},
                {"name": "example/three", "digest": "sha256:" + "a" * 64},
                {"name": "example/four", "newName": "other/four", "newTag": "v4"},
            ]
        },
    ),
    one(
        "images-merged-field-by-field",
        "KC-65",
        {
            "kustomization.yaml": kustomization(
                resources=["one.yaml", "two.yaml", "three.yaml"],
                images=[
                    {"name": "example/one", "newName": "mirror/one", "newTag": "file"},
                    {"name": "example/two", "digest": "sha256:" + "b" * 64},
                    {"name": "example/three", "newTag": "file"},
                ],
            ),
            "one.yaml": yaml(workload("one", image="example/one:1")),
            "two.yaml": yaml(workload("two", image="example/two:1")),
            "three.yaml": yaml(workload("three", image="example/three:1")),
        },
        {
            "images": [
                {"name": "example/one", "newTag": "spec"},
                {"name": "example/two", "newTag": "spec"},
                {"name": "example/three", "newName": "mirror/three"},
            ]
        },
    ),
    one(
        "components",
        "KC-15",
        {
            "app/kustomization.yaml": kustomization(resources=["a.yaml"]),
            "app/a.yaml": cm("a"),
            "parts/extra/kustomization.yaml": component(
                resources=["extra.yaml"], patches=[{"patch": cm("a", {"extra": "yes"})}]
            ),
            "parts/extra/extra.yaml": cm("extra"),
        },
        {"path": "./app", "components": ["../parts/extra"]},
    ),
    one(
        "components-after-the-file-s",
        "KC-65",
        {
            "app/kustomization.yaml": kustomization(resources=["a.yaml"], components=["../parts/one"]),
            "app/a.yaml": cm("a"),
            "parts/one/kustomization.yaml": component(patches=[{"patch": cm("a", {"value": "one", "one": "1"})}]),
            "parts/two/kustomization.yaml": component(patches=[{"patch": cm("a", {"value": "two", "two": "2"})}]),
        },
        {"path": "./app", "components": ["../parts/two"]},
    ),
    one(
        "components-of-a-scanned-folder",
        "KC-15",
        {
            "app/a.yaml": cm("a"),
            "parts/one/kustomization.yaml": component(patches=[{"patch": cm("a", {"one": "1"})}]),
        },
        {"path": "./app", "components": ["../parts/one"]},
    ),
    one("a-missing-component", "KC-15", {"a.yaml": cm("a")}, {"components": ["parts/gone"]}),
    one(
        "a-missing-component-is-ignored",
        "KC-16",
        {"a.yaml": cm("a"), "parts/one/kustomization.yaml": component(namePrefix="x-")},
        {"components": ["parts/gone", "parts/one"], "ignoreMissingComponents": True},
    ),
    one(
        "a-missing-component-is-ignored-outside",
        "KC-16",
        {
            "app/a.yaml": cm("a"),
            "parts/one/kustomization.yaml": component(namePrefix="x-"),
        },
        {"path": "./app", "components": ["../parts/gone", "../parts/one"], "ignoreMissingComponents": True},
    ),
    one("a-component-with-an-absolute-path", "KC-15", {"a.yaml": cm("a")}, {"components": ["/parts/one"]}),
    one("a-remote-component", "KC-15", {"a.yaml": cm("a")}, {"components": ["https://127.0.0.1:9/parts"]}),
    one("origin-annotations", "KC-17", {"app/a.yaml": cm("a")}, {"buildMetadata": ["originAnnotations"]}),
    one(
        "transformer-annotations",
        "KC-17",
        {"kustomization.yaml": kustomization(resources=["a.yaml"], namePrefix="x-"), "a.yaml": cm("a")},
        {"buildMetadata": ["transformerAnnotations"]},
    ),
    one(
        "build-metadata-over-the-file-s",
        "KC-65",
        {
            "kustomization.yaml": kustomization(
                resources=["a.yaml"], buildMetadata=["transformerAnnotations", "managedByLabel"], namePrefix="x-"
            ),
            "a.yaml": cm("a"),
        },
        {"buildMetadata": ["originAnnotations"]},
    ),
    one(
        "build-metadata-of-the-file",
        "KC-65",
        {
            "kustomization.yaml": kustomization(
                resources=["a.yaml"], buildMetadata=["originAnnotations", "managedByLabel"]
            ),
            "a.yaml": cm("a"),
        },
    ),
    one(
        "everything-at-once",
        "KC-65 KC-67",
        {"web.yaml": WEB, "a.yaml": cm("a", {"who": "${who}"})},
        {
            "namePrefix": "p-",
            "images": [{"name": "example/web", "newTag": "9"}],
            "patches": [
                {"patch": '[{"op": "add", "path": "/data/patched", "value": "${who}"}]', "target": {"name": "a"}}
            ],
            "commonMetadata": {"labels": {"who": "${who}"}, "annotations": {"who": "${who}"}},
            "postBuild": {"substitute": {"who": "me"}},
        },
    ),
)
