"""Who may do it, and where: accounts, other clusters, references (KC-23, KC-24)."""

from __future__ import annotations

from tests.parity.corpus.manifests import cm, named
from tests.parity.scenario import MARK, Step, one, scenario

RBAC = "rbac.authorization.k8s.io/v1"
ACCOUNT = (
    named("v1", "ServiceAccount", "runner", namespace=MARK),
    named(
        RBAC,
        "Role",
        "runner",
        namespace=MARK,
        rules=[{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}],
    ),
    named(
        RBAC,
        "RoleBinding",
        "runner",
        namespace=MARK,
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "runner"},
        subjects=[{"kind": "ServiceAccount", "name": "runner", "namespace": MARK}],
    ),
)

SCENARIOS = (
    scenario(
        "an-account-that-may",
        "KC-24",
        Step(put=ACCOUNT, push={"a.yaml": cm("a")}, spec={"serviceAccountName": "runner"}),
    ),
    scenario(
        "an-account-that-may-not",
        "KC-24",
        Step(
            put=(named("v1", "ServiceAccount", "nobody", namespace=MARK),),
            push={"a.yaml": cm("a")},
            spec={"serviceAccountName": "nobody"},
        ),
    ),
    scenario(
        "an-account-that-may-some",
        "KC-24",
        Step(
            put=ACCOUNT,
            push={
                "a.yaml": cm("a"),
                "b.yaml": '{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "b"}}',
            },
            spec={"serviceAccountName": "runner"},
        ),
    ),
    one("an-account-that-is-missing", "KC-24", {"a.yaml": cm("a")}, {"serviceAccountName": "gone"}),
    scenario(
        "deletion-after-its-account-is-gone",
        "KC-92",
        Step(put=ACCOUNT, push={"a.yaml": cm("a")}, spec={"serviceAccountName": "runner"}),
        Step(drop=(ACCOUNT[0],), delete=True),
    ),
    one("a-kubeconfig-that-is-missing", "KC-23", {"a.yaml": cm("a")}, {"kubeConfig": {"secretRef": {"name": "gone"}}}),
    scenario(
        "a-kubeconfig-without-the-key",
        "KC-23",
        Step(
            put=(named("v1", "Secret", "remote", namespace=MARK, stringData={"other": "x"}),),
            push={"a.yaml": cm("a")},
            spec={"kubeConfig": {"secretRef": {"name": "remote"}}},
        ),
    ),
    scenario(
        "decryption-keys-that-are-missing",
        "KC-21",
        Step(push={"a.yaml": cm("a")}, spec={"decryption": {"provider": "sops", "secretRef": {"name": "gone"}}}),
    ),
    scenario(
        "decryption-with-nothing-encrypted",
        "KC-21",
        Step(
            put=(named("v1", "Secret", "keys", namespace=MARK, stringData={"other": "x"}),),
            push={"a.yaml": cm("a")},
            spec={"decryption": {"provider": "sops", "secretRef": {"name": "keys"}}},
        ),
    ),
)
