"""What a Kustomization refers to, and the word for its versions."""

from fluxless.reconcile.configs import digest, referred
from fluxless.reconcile.world import Ref
from tests.unit.reconcile.objects import kustomization


def test_every_reference_is_found() -> None:
    obj = kustomization("a")
    obj["spec"] |= {
        "postBuild": {"substituteFrom": [{"kind": "ConfigMap", "name": "v"}, {"kind": "Secret", "name": "s"}]},
        "decryption": {"provider": "sops", "secretRef": {"name": "keys"}},
        "kubeConfig": {"secretRef": {"name": "k"}, "configMapRef": {"name": "c"}},
    }
    namespace = obj["metadata"]["namespace"]
    assert set(referred(obj)) == {
        Ref("ConfigMap", namespace, "v"),
        Ref("Secret", namespace, "s"),
        Ref("Secret", namespace, "keys"),
        Ref("Secret", namespace, "k"),
        Ref("ConfigMap", namespace, "c"),
    }


def test_the_word_changes_with_a_version_and_with_nothing_else() -> None:
    obj = kustomization("a")
    assert digest(obj, {}) == ""
    obj["spec"]["decryption"] = {"provider": "sops", "secretRef": {"name": "keys"}}
    ref = Ref("Secret", obj["metadata"]["namespace"], "keys")
    other = Ref("Secret", obj["metadata"]["namespace"], "other")
    assert digest(obj, {ref: "1"}) == digest(obj, {ref: "1", other: "7"})
    assert len({digest(obj, {}), digest(obj, {ref: "1"}), digest(obj, {ref: "2"})}) == 3
