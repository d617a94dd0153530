"""`fluxless deploy` from the package to the smoke test: the real command and the real SDK, against ARM and an app on
127.0.0.1; the compiler is a small program of ours.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fluxless.auth.purposes import ACR, AKS
from fluxless.cli import deploy, publishing, smoke
from fluxless.cli.app import app
from fluxless.cli.arm import Azure
from tests.support.arm import KEY, MASTER, SETTING, TOKEN, Arm
from tools.places import ROOT

CLUSTER = "/subscriptions/s/resourceGroups/c/providers/Microsoft.ContainerService/managedClusters/dev"
REGISTRY = "/subscriptions/s/resourceGroups/r/providers/Microsoft.ContainerRegistry/registries/Example"
COMPILER = """#!/bin/sh
test "$1" = build-params && test "$3" = --stdout || exit 9
grep -q using "$2" || { echo "$2(1,1) : Error BCP000: no using" >&2; exit 1; }
cat "$(dirname "$0")/compiled.json"
"""


@pytest.fixture
def arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Arm]:
    """Everything that the command needs: Azure, a compiler, a parameter file, a package."""
    found = Arm()
    url = found.start()
    monkeypatch.setenv("FLUXLESS_ARM_ENDPOINT", url)
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{url}/identity")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    monkeypatch.setenv("FLUXLESS_TOKEN_HOSTS", "publishing=127.0.0.1")
    monkeypatch.setattr(deploy, "azure", lambda name: Azure(name, app=lambda _: url, scm=lambda _: url))
    monkeypatch.setattr("fluxless.cli.arm.POLL", 0.01)
    monkeypatch.setattr(publishing, "POLL", 0.01)
    monkeypatch.setattr(publishing, "AGAIN", 0.01)
    monkeypatch.setattr(smoke, "PAUSE", 0.01)
    monkeypatch.delenv("FUNCTIONS_KEY", raising=False)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "bicep").write_text(COMPILER)
    (tmp_path / "bin" / "bicep").chmod(0o755)
    compile_to(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "app.bicepparam").write_text("using 'main.bicep'\n")
    (tmp_path / "app.zip").write_bytes(b"a package" * 200_000)
    yield found
    found.stop()


def compile_to(tmp_path: Path, abac: bool = False, **more: str | bool) -> None:
    """What the compiler makes of the parameter file."""
    values: dict[str, Any] = {
        "clusters": {"value": [{"name": "dev", "resourceId": CLUSTER}]},
        "registries": {"value": [{"resourceId": REGISTRY, "abac": abac}]},
        **{name: {"value": value} for name, value in more.items()},
    }
    compiled = {"templateJson": json.dumps({"resources": []}), "parametersJson": json.dumps({"parameters": values})}
    (tmp_path / "bin" / "compiled.json").write_text(json.dumps(compiled))


def run(tmp_path: Path, *arguments: str, yes: bool = True) -> tuple[int, str]:
    words = ["deploy", "-g", "fluxless", "--subscription", "s", "--parameters", str(tmp_path / "app.bicepparam")]
    words += ["--package", str(tmp_path / "app.zip"), "--wait", "0", *(["--yes"] if yes else []), *arguments]
    result = CliRunner().invoke(app, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    for secret in (MASTER, KEY, TOKEN, SETTING):
        assert secret not in result.output
    return result.exit_code, " ".join(result.output.split())


def test_from_the_package_to_the_smoke_test(arm: Arm, tmp_path: Path) -> None:
    code, text = run(tmp_path)
    assert code == 0, text
    assert f"package: {tmp_path / 'app.zip'}, 1.7 MiB" in text
    for line in (
        "- delete Microsoft.Web/sites/old + create Microsoft.Storage/storageAccounts/one ~ modify",
        "~ properties.httpsOnly: false → true",
        "~ properties.siteConfig.appSettings.0.value: (not shown) → (not shown)",
        "+ properties.siteConfig.appSettings.1: FLUXLESS_GITHUB_WEBHOOK_SECRET (value not shown)",
        "~ properties.siteConfig: {appSettings} → [1]",
        '- tags.[/owner]: "somebody"',
        "unsupported [guid(reference('identity').principalId)] a name known later",
        "1 resource(s) would be deleted 1 resource(s) stay as they are",
        "✔ the package is in place ✔ the host runs ✔ a webhook without a signature is refused (401)",
        "✔ the timer ran 3 s ago ✔ cluster dev: Kubernetes v1.36.0 ✔ registry example.azurecr.io: gives a token",
        "✔ the app does its work",
    ):
        assert line in text
    (sent,) = [body for method, path, body in arm.requests if path.startswith("/api/publish")]
    assert sent == (tmp_path / "app.zip").read_bytes()
    (put,) = [body for method, _, body in arm.requests if method == "PUT"]
    assert json.loads(put)["properties"]["mode"] == "Incremental"
    assert json.loads(put)["properties"]["parameters"]["clusters"]["value"][0]["name"] == "dev"
    assert arm.asked("/api/check") == ["GET /api/check?registries=example.azurecr.io"]


def test_objects_that_the_walls_refuse_are_told_and_stop_nobody(arm: Arm, tmp_path: Path) -> None:
    """They are of whoever made them: nobody makes deployments fail by an object."""
    words = "the storage token of Entra is not given away: … add storage=<host> to FLUXLESS_TOKEN_HOSTS"
    arm.check["objects"] = [{"name": "dev/Bucket/team/a", "ok": False, "message": words, "missing": ""}]
    code, text = run(tmp_path)
    assert code == 0, text
    assert f"! dev/Bucket/team/a is refused: {words} ✔ the app does its work" in text


def test_a_program_that_is_not_that_of_the_release_fails_the_look_at_once(arm: Arm, tmp_path: Path) -> None:
    words = "/k is not the build program of this release — unset FLUXLESS_KUSTOMIZE, or correct its path"
    arm.check["programs"] = [{"name": "fluxless-kustomize", "ok": False, "message": words, "missing": ""}]
    code, text = run(tmp_path)
    assert code != 0
    assert f"program fluxless-kustomize: {words}" in text


def test_what_if_changes_nothing(arm: Arm, tmp_path: Path) -> None:
    code, text = run(tmp_path, "--what-if")
    assert code == 0
    assert "- delete Microsoft.Web/sites/old" in text
    assert {method for method, path, _ in arm.requests if "whatIf" not in path} <= {"GET"}


def test_without_a_yes_nothing_is_deployed(arm: Arm, tmp_path: Path) -> None:
    code, _ = run(tmp_path, yes=False)
    assert code == 1
    assert not [path for method, path, _ in arm.requests if method == "PUT"]


def test_a_deployment_that_fails_says_the_innermost_reason(arm: Arm, tmp_path: Path) -> None:
    inner = {
        "error": {"code": "MissingSubscriptionRegistration", "message": "not registered: Microsoft.App", "target": "x"}
    }
    arm.failure = {
        "code": "DeploymentFailed",
        "message": "At least one resource deployment operation failed.",
        "details": [{"code": "Conflict", "message": json.dumps(inner)}],
    }
    code, text = run(tmp_path)
    assert code == 1
    assert "MissingSubscriptionRegistration (x): not registered: Microsoft.App" in text
    assert "az provider register" in text
    assert "At least one" not in text
    assert not arm.asked("/api/publish")


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (
            403,
            {"code": "AuthorizationFailed", "message": "no write on x"},
            "you need Contributor and Role Based Access",
        ),
        (404, {"code": "ResourceGroupNotFound", "message": "no fluxless"}, "az group create"),
        (
            400,
            {
                "code": "InvalidTemplateDeployment",
                "message": "not valid",
                "details": [{"code": "RequestDisallowedByPolicy", "message": "no public network", "target": "store"}],
            },
            "RequestDisallowedByPolicy (store): no public network — a policy of your organisation forbids it",
        ),
    ],
)
def test_what_azure_refuses_at_once_has_a_next_step(
    arm: Arm, tmp_path: Path, status: int, error: dict[str, Any], words: str
) -> None:
    arm.refusal = (status, error)
    code, text = run(tmp_path)
    assert code == 1
    assert words in text
    assert not [path for method, path, _ in arm.requests if method == "PUT"]


def test_a_package_that_cannot_be_built_is_told_with_the_end_of_the_log(arm: Arm, tmp_path: Path) -> None:
    elsewhere = Arm()
    arm.builds = [{"status": 3, "status_text": "remote build failed"}]
    arm.log = [
        {"message": "Running oryx build", "details_url": f"{arm.url}/api/deployments/build-1/log/2"},
        {"message": "elsewhere", "details_url": f"{elsewhere.start()}/api/deployments/build-1/log/3"},
    ]
    code, text = run(tmp_path, "--wait", "20")
    elsewhere.stop()
    assert elsewhere.requests == []  # the token is for nobody else
    assert code == 1
    assert "the package was not built: remote build failed" in text
    assert "Running oryx build | ERROR: no matching distribution for pygit2 | elsewhere" in text
    assert f"{arm.url}/api/deployments/build-1/log" in text
    assert len(arm.asked("/api/publish")) == 1


def test_a_package_is_sent_again_while_roles_of_the_storage_account_do_not_count(arm: Arm, tmp_path: Path) -> None:
    arm.publishing = [404, 503]
    refused = "InaccessibleStorageException: BlobUploadFailedException: the answer was 403 (Forbidden)"
    arm.builds = [{"status": 3, "status_text": refused}, {"status": 4}]
    code, text = run(tmp_path, "--wait", "20")
    assert code == 0, text
    assert len(arm.asked("/api/publish")) == 4
    assert arm.asked("/api/deployments/")[-1].endswith("/build-2")


def test_a_package_is_not_sent_again_for_ever(arm: Arm, tmp_path: Path) -> None:
    arm.publishing = [503]
    code, text = run(tmp_path, "--wait", "0")
    assert code == 1
    assert "the package was not taken (503)" in text
    assert "deploy again in a few minutes" in text


def test_a_package_that_is_refused_is_not_sent_again(arm: Arm, tmp_path: Path) -> None:
    arm.publishing = [400]
    code, text = run(tmp_path, "--wait", "20")
    assert code == 1
    assert "the package was not taken (400)" in text
    assert len(arm.asked("/api/publish")) == 1


def test_keys_are_asked_for_again_while_the_app_starts(arm: Arm, tmp_path: Path) -> None:
    arm.starting = 2
    code, text = run(tmp_path, "--wait", "20")
    assert code == 0, text
    assert len(arm.asked("/listkeys")) == 3
    assert "- waiting, 20 s at most: the app's keys cannot be read: BadRequest: Encountered an error" in text


def test_keys_that_nobody_gives_are_a_failure(arm: Arm, tmp_path: Path) -> None:
    arm.starting = 99
    code, text = run(tmp_path)
    assert code == 1
    assert "✗ the app's keys cannot be read" in text


def test_a_container_is_looked_at_without_keys(arm: Arm, tmp_path: Path) -> None:
    compile_to(tmp_path, image="example.azurecr.io/fluxless:1")
    code, text = run(tmp_path)
    assert code == 0, text
    assert "✔ the host answers ✔ a webhook without a signature is refused (401)" in text
    assert "- what the app reaches was not asked: give a function key" in text
    assert "the app does its work" not in text
    assert not arm.asked("/listkeys") + arm.asked("/api/publish") + arm.asked("/api/check")


def test_a_container_says_what_it_reaches_for_a_key_that_is_given(
    arm: Arm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUNCTIONS_KEY", KEY)
    compile_to(tmp_path, image="example.azurecr.io/fluxless:1")
    code, text = run(tmp_path)
    assert code == 0, text
    assert "✔ cluster dev: Kubernetes v1.36.0" in text
    assert "✔ the app does its work" in text


def test_what_time_does_not_cure_is_not_waited_for(arm: Arm, tmp_path: Path) -> None:
    lacking = {"name": "dev", "ok": False, "message": "lacks 12 CRDs", "missing": "", "install": True}
    arm.check["clusters"] = [lacking]
    code, text = run(tmp_path, "--wait", "5")
    assert code == 1
    assert f"✗ cluster dev: lacks 12 CRDs fluxless --resource-id {CLUSTER} install" in text
    assert len(arm.asked("/api/check")) == 1
    arm.webhook = 202
    code, text = run(tmp_path, "--wait", "5")
    assert code == 1
    assert "answered with 202" in text
    assert len(arm.asked("/api/check")) == 2


def test_a_registry_with_abac_lacks_the_role_that_it_honours(arm: Arm, tmp_path: Path) -> None:
    compile_to(tmp_path, abac=True)
    refused = {"name": "example.azurecr.io", "ok": False, "message": "401", "missing": "AcrPull on the registry"}
    arm.check["registries"] = [refused]
    code, text = run(tmp_path)
    assert code == 1
    assert f'--role "Container Registry Repository Reader" --scope {REGISTRY}' in text


def test_a_registry_lacks_the_role_for_the_identity_that_reads_it(arm: Arm, tmp_path: Path) -> None:
    compile_to(tmp_path, sourceIdentity=True)
    arm.outputs["sourcePrincipalId"] = "the-reader"
    arm.check["registries"] = [{"name": "example.azurecr.io", "ok": False, "message": "denied", "missing": ACR.role}]
    _, text = run(tmp_path)
    assert "--assignee-object-id the-reader --assignee-principal-type ServicePrincipal" in text
    assert "the-principal" not in text


def test_without_azure_rbac_rights_within_a_cluster_are_bound_there(arm: Arm, tmp_path: Path) -> None:
    compile_to(tmp_path, azureRbac=False)
    refused = {"name": "dev", "ok": False, "message": "403", "missing": AKS.role}
    arm.check["clusters"] = [refused]
    code, text = run(tmp_path)
    assert code == 1
    assert "create clusterrolebinding fluxless --clusterrole cluster-admin --user the-principal" in text
    assert "az role assignment create" not in text
    arm.check["clusters"] = [{**refused, "missing": "Azure Kubernetes Service Cluster User Role on the cluster"}]
    code, text = run(tmp_path)
    assert code == 1
    assert f'--role "Azure Kubernetes Service Cluster User Role" --scope {CLUSTER}' in text


def test_roles_that_take_their_time_are_waited_for(arm: Arm, tmp_path: Path) -> None:
    arm.missing_until = 3
    code, text = run(tmp_path, "--wait", "20")
    assert code == 0, text
    assert len(arm.asked("/api/check")) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"webhook": 200}, "✗ a webhook without a signature is answered with 200"),
        ({"host": {"state": "Error", "errors": ["no storage"]}}, "✗ the host does not run (200, Error): no storage"),
        ({"heartbeat": None}, "✗ the timer ran never restart the app"),
        ({"heartbeat": 500.0}, "✗ the timer ran 500 s ago"),
        (
            {"clusters": [{"name": "dev", "ok": False, "message": "403", "missing": "Cluster Admin on the cluster"}]},
            "✗ cluster dev: 403 az role assignment create --assignee-object-id the-principal "
            f'--assignee-principal-type ServicePrincipal --role "Cluster Admin" --scope {CLUSTER}',
        ),
        (
            {
                "registries": [
                    {"name": "example.azurecr.io", "ok": False, "message": "401", "missing": "AcrPull on the registry"}
                ]
            },
            f'--role "AcrPull" --scope {REGISTRY}',
        ),
    ],
)
def test_what_is_not_well_is_named_with_its_remedy(
    arm: Arm, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    for name, value in change.items():
        if hasattr(arm, name):
            setattr(arm, name, value)
        else:
            arm.check[name] = value
    code, text = run(tmp_path)
    assert code == 1
    assert words in text
    assert "✗ not all is well" in text


def test_a_mistake_in_the_parameters_is_the_compiler_s_to_tell(arm: Arm, tmp_path: Path) -> None:
    (tmp_path / "app.bicepparam").write_text("param x = 1\n")
    code, text = run(tmp_path)
    assert code == 1
    assert "does not compile" in text
    assert "BCP000" in text
    assert not [one for one in arm.requests if one[1] != "/identity"]


def test_without_a_compiler_nothing_begins(arm: Arm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, text = run(tmp_path)
    assert code == 1
    assert "neither bicep nor az" in text


def test_a_package_that_is_not_there_is_named(arm: Arm, tmp_path: Path) -> None:
    (tmp_path / "app.zip").unlink()
    code, text = run(tmp_path)
    assert code == 1
    assert "app.zip" in text
    assert "make package" in text


def test_a_registry_is_asked_for_where_arm_says_that_it_is(arm: Arm, tmp_path: Path) -> None:
    arm.outputs["loginServers"] = ["Example-a1b2.azurecr.io"]
    refused = {"name": "example-a1b2.azurecr.io", "ok": False, "message": "401", "missing": "AcrPull on the registry"}
    arm.check["registries"] = [refused]
    code, text = run(tmp_path)
    assert code == 1
    assert arm.asked("/api/check") == ["GET /api/check?registries=example-a1b2.azurecr.io"]
    assert f'--role "AcrPull" --scope {REGISTRY}' in text


def test_a_deployment_that_does_not_say_where_the_app_is_ends_there(arm: Arm, tmp_path: Path) -> None:
    del arm.outputs["hostName"]
    code, text = run(tmp_path)
    assert code == 1
    assert "the deployment gives no hostName and appName" in text
    assert not arm.asked("/api/publish")


def test_the_outputs_that_it_relies_on_are_those_of_the_bicep() -> None:
    main = (ROOT / "infra" / "bicep" / "main.bicep").read_text()
    for name in ("appName", "hostName", "identityPrincipalId"):
        assert f"output {name} string" in main
    assert "output loginServers array" in main
