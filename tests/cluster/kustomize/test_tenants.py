"""Tenants (CM-12, CM-14, KC-24): a Kustomization may do what its service account may, and nothing else. Real RBAC."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
import yaml

from tests.support.flux import KUSTOMIZE, Flux, message, ready
from tests.support.repositories import Repo, config_map

RBAC = "rbac.authorization.k8s.io"


@pytest_asyncio.fixture(loop_scope="session")
async def other(flux: Flux) -> AsyncIterator[str]:
    """The namespace of another tenant, with a Secret in it."""
    name = f"other-{uuid4().hex[:8]}"
    await flux.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    secret = {"metadata": {"name": "keys", "namespace": name}, "stringData": {"password": "not-yours"}}
    await flux.cluster.create({"apiVersion": "v1", "kind": "Secret", **secret})
    yield name
    await flux.cluster.delete(await flux.cluster.resource("v1", "Namespace"), name)


async def _tenant(flux: Flux, role: str = "admin") -> None:
    """A service account `team` that is admin (or something less) of the test's namespace."""
    where = {"name": "team", "namespace": flux.namespace}
    await flux.cluster.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": where})
    await flux.cluster.create(
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": where,
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", **where}],
        }
    )


async def test_a_tenant_applies_prunes_and_is_checked_in_its_namespace(flux: Flux, repo: Repo) -> None:
    await _tenant(flux)
    repo.push({"a.yaml": config_map("a"), "b.yaml": config_map("b")})
    await flux.source(repo)
    await flux.kustomization("app", serviceAccountName="team", wait=True)
    await flux.run()
    assert ready(await flux.ks("app"))[0] == "True", message(await flux.ks("app"))
    await flux.patch("v1", "ConfigMap", "a", {"data": {"value": "edited"}})
    repo.push({"b.yaml": None})
    await flux.request("GitRepository", "repo")
    await flux.run()
    await flux.request("Kustomization", "app")
    await flux.run()
    assert await flux.value("a") == "1"
    assert await flux.value("b") is None
    await flux.delete(KUSTOMIZE, "Kustomization", "app")
    await flux.run()
    assert await flux.value("a") is None


BINDING = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: grab-{space}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}
subjects: [{{kind: ServiceAccount, name: team, namespace: {space}}}]
"""
ROLE = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: grab
rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]
"""
ATTEMPTS = {
    "other-namespace": ({"a.yaml": config_map("a")}, {"targetNamespace": "{other}"}, "cannot patch resource"),
    "namespace-by-patch": (
        {"a.yaml": config_map("a")},
        {
            "targetNamespace": None,
            "patches": [
                {
                    "patch": '[{"op": "add", "path": "/metadata/namespace", "value": "{other}"}]',
                    "target": {"kind": "ConfigMap"},
                }
            ],
        },
        "cannot patch resource",
    ),
    "cluster-role-binding": ({"b.yaml": BINDING}, {}, "cannot patch resource"),
    "role-beyond-ones-own": ({"r.yaml": ROLE}, {}, "attempting to grant RBAC permissions not currently held"),
    "a-new-namespace": (
        {"n.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: grab}\n"},
        {"targetNamespace": None},
        "cannot patch resource",
    ),
    "health-check-elsewhere": (
        {"a.yaml": config_map("a")},
        {"healthChecks": [{"apiVersion": "v1", "kind": "Secret", "name": "keys", "namespace": "{other}"}]},
        "cannot get resource",
    ),
    "base-outside": ({"kustomization.yaml": "resources: [../../../etc]\n"}, {}, "leaves the artifact"),
    "a-file-of-the-machine": ({"kustomization.yaml": "resources: [/etc/passwd]\n"}, {}, "leaves the artifact"),
    "a-remote-base-that-is-none": (
        {"kustomization.yaml": "resources: ['file:///etc/passwd']\n"},
        {},
        "remote base 'file:///etc/passwd' is not allowed",
    ),
    "a-secret-by-an-expression": (
        {"a.yaml": config_map("a")},
        {
            "dependsOn": [
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "name": "keys",
                    "namespace": "{other}",
                    "readyExpr": "size(dep.data.password) > 3",
                }
            ]
        },
        "/keys' cannot be read by",
    ),
    "path-outside": ({"a.yaml": config_map("a")}, {"path": "../.."}, "leaves the artifact"),
}


def _fill(value: object, **names: str) -> object:
    if isinstance(value, str):
        for key, text in names.items():
            value = value.replace("{" + key + "}", text)
        return value.replace("{{", "{").replace("}}", "}") if "{{" in value else value
    if isinstance(value, dict):
        return {key: _fill(item, **names) for key, item in value.items()}
    return [_fill(item, **names) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", ATTEMPTS)
async def test_an_attempt_to_break_out_is_refused_in_the_status(flux: Flux, repo: Repo, other: str, name: str) -> None:
    await _tenant(flux)
    files, spec, words = ATTEMPTS[name]
    repo.push({path: str(_fill(text, other=other, space=flux.namespace)) for path, text in files.items()})
    await flux.source(repo)
    filled = _fill(spec, other=other, space=flux.namespace)
    assert isinstance(filled, dict)
    await flux.kustomization("app", serviceAccountName="team", **filled)
    await flux.run(patience=3)  # a wait for another object is told after two seconds
    app = await flux.ks("app")
    assert ready(app)[0] == "False"
    assert words in message(app), message(app)
    assert "not-yours" not in str(app)


async def test_a_link_out_of_the_repository_is_no_file(flux: Flux, repo: Repo, tmp_path: Path) -> None:
    await _tenant(flux)
    (tmp_path / "secret.yaml").write_text(config_map("a", "not-yours"))
    repo.push({"kustomization.yaml": "resources: [link.yaml, dir/secret.yaml]\n"})
    work = Path(repo.git("rev-parse", "--show-toplevel").strip())
    (work / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    (work / "dir").symlink_to(tmp_path)
    repo.git("add", "-A")
    repo.push({"README.md": "words"})
    await flux.source(repo)
    await flux.kustomization("app", serviceAccountName="team")
    await flux.run(patience=1)
    app = await flux.ks("app")
    assert ready(app) == ("False", "BuildFailed")
    assert "link.yaml" in message(app)
    assert "not-yours" not in str(app)


EXAMPLE = """\
apiVersion: v1
kind: ServiceAccount
metadata:
  name: flux-team-a
  namespace: team-a
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: flux-team-a
  namespace: team-a
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: admin
subjects:
- kind: ServiceAccount
  name: flux-team-a
  namespace: team-a
"""
"""A tenant as a published guide to GitOps on AKS sets it up."""


async def test_the_example_as_it_stands(flux: Flux, repo: Repo) -> None:
    """Its Kustomization names an account that stands in another namespace. Flux refuses it as well; we say why."""
    team = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}}
    repo.push({"tenants/team-a/namespace.yaml": yaml.safe_dump(team), "tenants/team-a/rbac.yaml": EXAMPLE})
    await flux.source(repo, "flux-system")
    spec = {"serviceAccountName": "flux-team-a", "path": "./tenants/team-a", "targetNamespace": "team-a"}
    await flux.kustomization("team-a-apps", "flux-system", interval="5m", **spec)
    try:
        await flux.run(patience=1)
        app = await flux.ks("team-a-apps")
        assert ready(app) == ("False", "ReconciliationFailed")
        assert f"there is no service account {flux.namespace}/flux-team-a" in message(app)
        account = {"name": "flux-team-a", "namespace": flux.namespace}
        await flux.cluster.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
        binding = {
            "apiVersion": f"{RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": flux.namespace},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", **account}],
        }
        await flux.cluster.create(binding)
        await flux.request("Kustomization", "team-a-apps")
        await flux.run(patience=1)
        app = await flux.ks("team-a-apps")
        assert ready(app)[0] == "True", message(app)
        assert await flux.get(f"{RBAC}/v1", "RoleBinding", "flux-team-a", "team-a") is not None
    finally:
        await flux.cluster.delete(await flux.cluster.resource("v1", "Namespace"), "team-a")
        await flux.cluster.delete(await flux.cluster.resource(f"{RBAC}/v1", "ClusterRoleBinding"), flux.namespace)


async def test_a_tenant_without_the_right_to_read_secrets_cannot_substitute_from_one(flux: Flux, repo: Repo) -> None:
    await _tenant(flux, role="view")
    names = {"name": "keys", "namespace": flux.namespace}
    await flux.cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": names, "stringData": {"x": "hidden"}})
    repo.push({"a.yaml": config_map("a", "${x}")})
    await flux.source(repo)
    spec: dict[str, Any] = {"postBuild": {"substituteFrom": [{"kind": "Secret", "name": "keys"}]}}
    await flux.kustomization("app", serviceAccountName="team", **spec)
    await flux.run(patience=1)
    app = await flux.ks("app")
    assert ready(app)[0] == "False"
    assert 'cannot get resource "secrets"' in message(app)


async def test_a_source_of_another_namespace_is_refused_when_the_app_says_so(
    flux: Flux, repo: Repo, other: str
) -> None:
    flux.configure(no_cross_namespace_refs=True)
    await flux.kustomization("app", sourceRef={"kind": "GitRepository", "name": "repo", "namespace": other})
    await flux.run(patience=3)
    app = await flux.ks("app")
    assert ready(app) == ("False", "AccessDenied")
    assert "cross-namespace references have been blocked" in message(app, "Stalled")


async def test_the_default_account_counts_where_none_is_named(flux: Flux, repo: Repo) -> None:
    flux.configure(default_service_account="nobody")
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run(patience=1)
    assert f"system:serviceaccount:{flux.namespace}:nobody" in message(await flux.ks("app"))


async def test_without_its_account_nothing_is_deleted_and_the_object_may_go(flux: Flux, repo: Repo) -> None:
    await _tenant(flux)
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app", serviceAccountName="team")
    await flux.run()
    await flux.delete("v1", "ServiceAccount", "team")
    await flux.delete(KUSTOMIZE, "Kustomization", "app")
    await flux.run()
    assert await flux.get(KUSTOMIZE, "Kustomization", "app") is None
    assert await flux.value("a") == "1"
