"""From manifests to objects: normalisation, stages, drift, take-over, prune (KC-75..91)."""

from __future__ import annotations

from tests.parity.corpus.manifests import cm, config, directive, job, named, secret, workload, yaml
from tests.parity.scenario import MARK, Step, one, scenario

RBAC = "rbac.authorization.k8s.io/v1"
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"things.{MARK}.example.com"},
    "spec": {
        "group": f"{MARK}.example.com",
        "names": {"kind": "Thing", "plural": "things"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    }
                },
            }
        ],
    },
}
SERVICE = named("v1", "Service", "s", spec={"selector": {"app": "x"}, "ports": [{"port": 80}], "clusterIP": "None"})
FIXED = config("a", {"value": "1"}, immutable=True)
FIXED_ANEW = config("a", {"value": "2"}, immutable=True)


def listed(kind: str, *items: object, api_version: str = "v1") -> str:
    """A list of objects."""
    return yaml({"apiVersion": api_version, "kind": kind, "items": list(items)})


SCENARIOS = (
    one("a-list-is-expanded", "KC-76", {"all.yaml": listed("List", config("a"), secret("s", {"k": "v"}))}),
    one("a-typed-list-is-expanded", "KC-76", {"all.yaml": listed("ConfigMapList", config("a"), config("b"))}),
    one("an-empty-list", "KC-76", {"all.yaml": listed("List"), "a.yaml": cm("a")}),
    one(
        "fields-of-the-server-are-dropped",
        "KC-76",
        {
            "web.yaml": yaml(
                workload("web")
                | {
                    "metadata": {
                        "name": "web",
                        "creationTimestamp": None,
                        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "kept": "yes"},
                    },
                    "status": {"replicas": 7},
                }
            )
        },
    ),
    one(
        "fields-of-the-server-with-values",
        "KC-76",
        {
            "a.yaml": yaml(
                config("a") | {"metadata": {"name": "a", "uid": "x", "resourceVersion": "12", "generation": 4}}
            )
        },
    ),
    one(
        "plain-secrets-are-encoded",
        "KC-76",
        {"s.yaml": yaml(named("v1", "Secret", "s", data={"a": "YQ=="}, stringData={"b": "b"}))},
    ),
    one(
        "ports-get-their-protocol",
        "KC-76",
        {
            "s.yaml": yaml(SERVICE),
            "web.yaml": yaml(workload("web")).replace(
                '"image": "example/web:1"', '"image": "example/web:1", "ports": [{"containerPort": 80}]'
            ),
        },
    ),
    one(
        "an-unknown-field",
        "KC-90",
        {"web.yaml": yaml(workload("web") | {"spec": {**workload("web")["spec"], "colour": 1}})},
    ),
    one(
        "an-unknown-field-of-a-custom-kind",
        "KC-90",
        {
            "a.yaml": yaml(
                CRD,
                named(f"{MARK}.example.com/v1", "Thing", "t", spec={"size": 1}, colour="blue"),
            )
        },
    ),
    one(
        "fields-that-are-null-or-empty",
        "KC-76",
        {
            "web.yaml": yaml(
                {
                    **workload("web", initContainers=None, volumes=[], securityContext={}, hostNetwork=False),
                    "metadata": {"name": "web", "annotations": None, "labels": {}},
                }
            ),
            "a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  labels:\ndata:\n",
            "b.yaml": yaml(config("b", {"empty": ""})),
        },
    ),
    one(
        "a-field-of-the-wrong-type",
        "KC-80",
        {"a.yaml": cm("a"), "web.yaml": yaml(workload("web")).replace('"replicas": 1', '"replicas": "many"')},
    ),
    one(
        "a-number-in-a-config-map",
        "KC-80",
        {"a.yaml": cm("a"), "b.yaml": yaml(named("v1", "ConfigMap", "b", data={"n": 1}))},
    ),
    one("an-annotation-that-is-a-number", "KC-80", {"a.yaml": yaml(config("a", annotations={"n": 1}))}),
    one("an-invalid-name", "KC-80", {"a.yaml": cm("a"), "b.yaml": cm("Not_Valid")}),
    one(
        "a-definition-and-an-object-of-it",
        "KC-78",
        {"a.yaml": yaml(named(f"{MARK}.example.com/v1", "Thing", "t", spec={"size": 1}), CRD)},
    ),
    one(
        "a-namespace-and-an-object-in-it",
        "KC-78",
        {
            "a.yaml": cm("a", namespace=f"{MARK}-inner"),
            "z.yaml": yaml(named("v1", "Namespace", f"{MARK}-inner", labels={"of": "us"})),
        },
        {"targetNamespace": None},
    ),
    one(
        "a-class-before-its-user",
        "KC-78",
        {
            "web.yaml": yaml(workload("web", priorityClassName=f"high-{MARK}")),
            "z.yaml": yaml(named("scheduling.k8s.io/v1", "PriorityClass", f"high-{MARK}", value=10)),
        },
    ),
    one(
        "roles-and-their-bindings",
        "KC-79 KC-43",
        {
            "a.yaml": yaml(
                named(
                    RBAC,
                    "ClusterRoleBinding",
                    f"{MARK}:bind",
                    roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": f"{MARK}:read"},
                    subjects=[{"kind": "ServiceAccount", "name": "runner", "namespace": MARK}],
                ),
                named(
                    RBAC,
                    "ClusterRole",
                    f"{MARK}:read",
                    rules=[{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
                ),
                named(
                    RBAC, "Role", "own:role", rules=[{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}]
                ),
                named("v1", "ServiceAccount", "runner"),
            )
        },
    ),
    one(
        "kinds-of-all-sorts",
        "KC-79",
        {
            "all.yaml": yaml(
                workload("web"),
                SERVICE,
                config("c"),
                secret("s", {"k": "v"}),
                named("v1", "LimitRange", "l", spec={"limits": [{"type": "Container", "default": {"cpu": "500m"}}]}),
                named("v1", "ResourceQuota", "q", spec={"hard": {"configmaps": "1000"}}),
                named(
                    "policy/v1",
                    "PodDisruptionBudget",
                    "p",
                    spec={"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
                ),
                named(
                    "batch/v1",
                    "CronJob",
                    "j",
                    spec={"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job("x")["spec"]}},
                ),
                named(
                    "networking.k8s.io/v1",
                    "Ingress",
                    "i",
                    spec={"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}},
                ),
            )
        },
    ),
    one("a-namespace-that-is-missing", "KC-90", {"a.yaml": cm("a", namespace="not-there")}, {"targetNamespace": None}),
    one("no-namespace-at-all", "KC-90", {"a.yaml": cm("a")}, {"targetNamespace": None}),
    one(
        "a-kind-that-is-missing", "KC-90", {"a.yaml": cm("a"), "x.yaml": yaml(named("example.com/v1", "Nothing", "n"))}
    ),
    one("a-version-that-is-missing", "KC-90", {"x.yaml": yaml(named("apps/v9", "Deployment", "n", spec={}))}),
    one(
        "an-encrypted-secret",
        "KC-77",
        {
            "a.yaml": cm("a"),
            "s.yaml": yaml(named("v1", "Secret", "s", data={"a": "YQ=="}, sops={"mac": "x", "version": "3.9.0"})),
        },
    ),
    scenario(
        "a-second-push-changes-adds-and-removes",
        "KC-89 KC-91",
        Step(push={"a.yaml": cm("a", {"one": "1", "two": "2"}), "b.yaml": cm("b"), "c.yaml": cm("c")}),
        Step(push={"a.yaml": cm("a", {"one": "1", "three": "3"}), "b.yaml": None, "d.yaml": cm("d")}),
    ),
    scenario(
        "a-push-that-changes-nothing",
        "KC-89",
        Step(push={"a.yaml": cm("a"), "README.md": "one"}),
        Step(push={"README.md": "two"}),
    ),
    scenario(
        "everything-leaves-the-source",
        "KC-91",
        Step(push={"a.yaml": cm("a"), "b.yaml": cm("b"), "README.md": "words"}),
        Step(push={"a.yaml": None, "b.yaml": None}),
    ),
    scenario(
        "without-prune-it-stays",
        "KC-5",
        Step(push={"a.yaml": cm("a"), "b.yaml": cm("b")}, spec={"prune": False}),
        Step(push={"b.yaml": None}),
        Step(spec={"prune": True}),
    ),
    scenario(
        "a-new-name-is-a-new-object",
        "KC-91",
        Step(push={"a.yaml": cm("a")}),
        Step(spec={"namePrefix": "x-"}),
    ),
    scenario(
        "pruned-objects-of-a-class-and-a-namespace",
        "KC-91",
        Step(
            push={
                "a.yaml": cm("a"),
                "role.yaml": yaml(named(RBAC, "ClusterRole", f"{MARK}:read", rules=[])),
                "class.yaml": yaml(named("scheduling.k8s.io/v1", "PriorityClass", f"low-{MARK}", value=1)),
            }
        ),
        Step(push={"role.yaml": None, "class.yaml": None}),
    ),
    scenario(
        "an-object-that-is-no-longer-ours-is-not-pruned",
        "KC-91",
        Step(push={"a.yaml": cm("a"), "b.yaml": cm("b")}),
        Step(spec={"suspend": True}, ignored=True),
        Step(push={"b.yaml": None}, ignored=True),
        Step(
            spec={"suspend": None},
            patch=(named("v1", "ConfigMap", "b", labels={"kustomize.toolkit.fluxcd.io/name": None}),),
        ),
    ),
    scenario(
        "drift-is-corrected",
        "KC-81",
        Step(push={"a.yaml": cm("a", {"one": "1", "two": "2"}, labels={"l": "1"})}),
        Step(patch=(config("a", {"one": "edited", "added": "by hand"}, labels={"l": "2", "hand": "1"}),)),
    ),
    scenario(
        "drift-of-what-we-do-not-own-stays",
        "KC-81",
        Step(push={"web.yaml": yaml(workload("web"))}),
        Step(
            patch=(
                {
                    **named("apps/v1", "Deployment", "web", annotations={"hand": "1"}),
                    "spec": {"minReadySeconds": 3, "template": {"metadata": {"annotations": {"restarted": "now"}}}},
                },
            )
        ),
    ),
    scenario(
        "a-deleted-object-comes-back",
        "KC-81",
        Step(push={"a.yaml": cm("a"), "b.yaml": cm("b")}),
        Step(drop=(named("v1", "ConfigMap", "a"),)),
    ),
    scenario(
        "objects-of-kubectl-are-taken-over",
        "KC-86",
        Step(
            put=(
                config(
                    "a",
                    {"value": "old", "extra": "old"},
                    namespace=MARK,
                    labels={"theirs": "1"},
                    annotations={"kubectl.kubernetes.io/last-applied-configuration": "{}", "note": "theirs"},
                ),
            ),
            push={"a.yaml": cm("a")},
        ),
    ),
    scenario(
        "owner-labels-in-the-source",
        "KC-75",
        Step(
            push={
                "a.yaml": cm(
                    "a",
                    labels={
                        "kustomize.toolkit.fluxcd.io/name": "else",
                        "kustomize.toolkit.fluxcd.io/namespace": "where",
                    },
                )
            }
        ),
    ),
    scenario(
        "common-metadata-over-owner-labels",
        "KC-75",
        Step(
            push={"a.yaml": cm("a")},
            spec={"commonMetadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "else"}}},
        ),
    ),
    scenario(
        "common-metadata-that-changes",
        "KC-12",
        Step(push={"a.yaml": cm("a")}, spec={"commonMetadata": {"labels": {"one": "1"}, "annotations": {"one": "1"}}}),
        Step(spec={"commonMetadata": {"labels": {"two": "2"}}}),
    ),
    scenario(
        "an-immutable-field", "KC-82", Step(push={"a.yaml": yaml(FIXED)}), Step(push={"a.yaml": yaml(FIXED_ANEW)})
    ),
    scenario(
        "an-immutable-field-with-force",
        "KC-82",
        Step(push={"a.yaml": yaml(FIXED), "b.yaml": cm("b")}, spec={"force": True}),
        Step(push={"a.yaml": yaml(FIXED_ANEW), "b.yaml": cm("b", {"value": "2"})}),
    ),
    scenario(
        "an-immutable-field-with-force-on-the-object",
        "KC-82",
        Step(push={"a.yaml": yaml(FIXED)}),
        Step(
            push={"a.yaml": yaml(FIXED_ANEW | {"metadata": {"name": "a", "annotations": directive(force="enabled")}})}
        ),
    ),
    scenario(
        "an-immutable-field-with-force-on-the-live-object",
        "KC-82",
        Step(push={"a.yaml": yaml(FIXED)}),
        Step(patch=(named("v1", "ConfigMap", "a", labels=directive(force="Enabled")),)),
        Step(push={"a.yaml": yaml(FIXED_ANEW)}),
    ),
    scenario(
        "a-job-that-changes-with-force",
        "KC-82",
        Step(push={"j.yaml": yaml(job("work"))}, spec={"force": True, "wait": True}),
        Step(push={"j.yaml": yaml(job("work")).replace("example/work", "example/other")}),
    ),
    scenario(
        "a-bad-push-and-its-correction",
        "KC-41",
        Step(push={"a.yaml": cm("a")}),
        Step(push={"b.yaml": "kind: [\n"}),
        Step(push={"b.yaml": cm("b")}),
    ),
    scenario(
        "a-refused-push-and-its-correction",
        "KC-41 KC-80",
        Step(push={"a.yaml": cm("a"), "b.yaml": cm("b")}),
        Step(push={"a.yaml": cm("a", {"value": "2"}), "b.yaml": None, "c.yaml": cm("Not_Valid")}),
        Step(push={"c.yaml": None}),
    ),
    scenario(
        "deletion-mirrors-prune",
        "KC-92",
        Step(push={"a.yaml": cm("a")}),
        Step(delete=True),
    ),
    scenario(
        "deletion-mirrors-no-prune", "KC-92", Step(push={"a.yaml": cm("a")}, spec={"prune": False}), Step(delete=True)
    ),
    scenario(
        "deletion-policy-delete",
        "KC-6",
        Step(push={"a.yaml": cm("a")}, spec={"prune": False, "deletionPolicy": "Delete"}),
        Step(delete=True),
    ),
    scenario(
        "deletion-policy-orphan",
        "KC-6",
        Step(push={"a.yaml": cm("a")}, spec={"deletionPolicy": "Orphan"}),
        Step(delete=True),
    ),
    scenario(
        "deletion-policy-wait",
        "KC-6",
        Step(push={"a.yaml": cm("a")}, spec={"deletionPolicy": "WaitForTermination"}),
        Step(delete=True),
    ),
    scenario(
        "deletion-while-suspended",
        "KC-92",
        Step(push={"a.yaml": cm("a")}),
        Step(spec={"suspend": True}, ignored=True),
        Step(delete=True),
    ),
    scenario(
        "deletion-leaves-what-asks-to-stay",
        "KC-92 KC-85",
        Step(
            push={
                "a.yaml": cm("a"),
                "b.yaml": cm("b", annotations=directive(prune="disabled")),
                "c.yaml": cm("c", labels=directive(prune="disabled")),
                "d.yaml": cm("d", annotations=directive(reconcile="disabled")),
            }
        ),
        Step(delete=True),
    ),
    scenario(
        "suspended-from-the-start",
        "KC-8",
        Step(push={"a.yaml": cm("a")}, spec={"suspend": True}, ignored=True),
        Step(spec={"suspend": False}),
    ),
    scenario(
        "suspended-meanwhile",
        "KC-8",
        Step(push={"a.yaml": cm("a")}),
        Step(spec={"suspend": True}, ignored=True),
        Step(push={"a.yaml": cm("a", {"value": "2"})}, ignored=True),
        Step(spec={"suspend": None}),
    ),
)
