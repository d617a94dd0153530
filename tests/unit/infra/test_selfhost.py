"""The container and its manifests: of the package that is tested, with settings that somebody reads."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import yaml

from functions import settings
from tools import bicep, package
from tools.places import ROOT

FOLDER = ROOT / "infra" / "selfhost"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
CONTAINER_APP = ROOT / "infra" / "bicep" / "modules" / "container-app.bicep"
OF_THE_HOST = (
    "FUNCTIONS_REQUEST_",
    *("AzureWebJobs", "AzureFunctionsJobHost__", "AzureFunctionsWebHost__"),
    *("FUNCTIONS_WORKER_RUNTIME", "ASPNETCORE_URLS", "HOME"),
)
"""Settings that Azure Functions itself reads."""


def documents() -> list[dict[str, Any]]:
    """All objects of the manifests, as they are written."""
    names = yaml.safe_load((FOLDER / "aks" / "kustomization.yaml").read_text())["resources"]
    return [one for name in names for one in yaml.safe_load_all((FOLDER / "aks" / name).read_text())]


def of(kind: str) -> dict[str, Any]:
    """The only object of a kind."""
    (found,) = (one for one in documents() if one["kind"] == kind)
    return found


def container() -> dict[str, Any]:
    """The app's."""
    (found,) = of("Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_the_image_is_made_of_the_package() -> None:
    (source,) = re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE, re.MULTILINE)
    assert ROOT / source == package.TARGET
    allowed = (FOLDER / "Dockerfile.dockerignore").read_text().split()
    assert allowed == ["*", f"!{source}"]
    assert "requirements.txt" in package.FILES
    assert "/app/requirements.txt" in DOCKERFILE


def test_its_python_is_one_that_is_supported() -> None:
    (version,) = re.findall(r"azure-functions/python:4-python3\.(\d+)$", DOCKERFILE, re.MULTILINE)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    first, end = re.findall(r"3\.(\d+)", wanted)
    assert int(first) <= int(version) < int(end)


def test_it_runs_as_nobody_on_a_port_that_nobody_must_be_root_for() -> None:
    (user,) = re.findall(r"^USER (\d+):\d+$", DOCKERFILE, re.MULTILINE)
    (port,) = re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)
    assert int(user) > 0
    assert f"ASPNETCORE_URLS=http://+:{port}" in DOCKERFILE
    assert container()["ports"][0]["containerPort"] == int(port)
    assert of("Deployment")["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == int(user)
    assert f"targetPort: {port}" in CONTAINER_APP.read_text()


def test_every_setting_is_read_by_somebody() -> None:
    known = {setting.name for setting in settings.ALL}
    given = set(of("ConfigMap")["data"]) | set(re.findall(r"^(?:ENV| {4}) ?(\w+)=", DOCKERFILE, re.MULTILINE))
    assert {name for name in given if not name.startswith(OF_THE_HOST)} <= known
    assert {settings.CLUSTERS.name, settings.TASK_HUB.name, settings.BLOB_ACCOUNT_URL.name} <= given


def test_nothing_secret_is_in_it() -> None:
    assert not [one for one in documents() if one["kind"] == "Secret"]
    assert not re.search(r"AccountKey|SharedAccess|password", DOCKERFILE + str(documents()), re.IGNORECASE)


def test_the_host_has_a_name_that_outlives_its_replicas() -> None:
    name = of("ConfigMap")["data"]["AzureFunctionsWebHost__hostid"]
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert len(name) <= 32  # the host cuts what is longer
    text = CONTAINER_APP.read_text()
    assert re.search(r"union\(\{\s+AzureFunctionsWebHost__hostid: name\s+\}, settings\)", text)
    assert "items(settings)" not in text
    assert "name: take('${name}-${suffix}', 32)" in (ROOT / "infra" / "bicep" / "main.bicep").read_text()


def test_a_reference_to_the_vault_is_no_setting_but_a_secret() -> None:
    """Container Apps would hand the text of the reference on, and the app would take that for the secret."""
    properties = bicep.read(CONTAINER_APP).resources["app"].body["properties"]
    (variable,) = properties["template"]["containers"][0]["env"]
    assert variable["value"] == bicep.Either(None, bicep.COMPUTED)
    assert variable["secretRef"] == bicep.Either(bicep.COMPUTED, None)
    (secret,) = properties["configuration"]["secrets"]
    assert set(secret) == {"name", "keyVaultUrl", "identity"}
    text = CONTAINER_APP.read_text()
    written = re.findall(r"'(@Microsoft\.KeyVault\()(SecretUri=)[^']+\)'", (ROOT / "docs" / "azure.md").read_text())
    assert written  # as the page tells users to write it
    for start, key in written:
        assert f"var ofVault = '{start}'" in text
        assert f"'${{ofVault}}{key}'" in text
    of_variable = "toLower(replace(setting.key, '_', '-'))"
    assert of_variable in text
    assert of_variable.replace("setting", "secret") in text


def test_the_container_app_waits_for_the_roles_that_it_is_made_with() -> None:
    """It pulls its image and reads its secrets by them, and uses no output that would make it wait."""
    text = (ROOT / "infra" / "bicep" / "main.bicep").read_text()
    (module,) = re.findall(r"^module containerApp .*?^}", text, re.MULTILINE | re.DOTALL)
    (waits,) = re.findall(r"dependsOn: \[(.*?)\]", module, re.DOTALL)
    paths = dict(re.findall(r"^module (\w+) '([^']+)'", text, re.MULTILINE))
    assert {paths[name] for name in waits.split()} == {"modules/registry-access.bicep", "modules/key-vault.bicep"}


def test_the_pod_gets_its_identity_by_federation() -> None:
    pod = of("Deployment")["spec"]["template"]
    assert pod["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    account = of("ServiceAccount")
    assert pod["spec"]["serviceAccountName"] == account["metadata"]["name"]
    assert "azure.workload.identity/client-id" in account["metadata"]["annotations"]
    storage = [name for name in of("ConfigMap")["data"] if name.startswith("AzureWebJobsStorage")]
    assert not [name for name in storage if name.endswith("__credential")]  # would be another identity than the pod's


def test_the_folders_that_are_written_to_are_writable() -> None:
    (user,) = re.findall(r"^USER (\d+:\d+)$", DOCKERFILE, re.MULTILINE)
    owner, group = user.split(":")
    (made,) = re.findall(rf"^RUN install --directory --owner {owner} --group {group} (\S+)$", DOCKERFILE, re.MULTILINE)
    assert container()["securityContext"]["readOnlyRootFilesystem"] is True
    assert [mount["mountPath"] for mount in container()["volumeMounts"]] == ["/tmp", made]
    assert made == "/azure-functions-host/Secrets"  # the host's folder with `Secrets`, on Linux in this spelling
    pod = of("Deployment")["spec"]["template"]["spec"]
    assert {volume["name"] for volume in pod["volumes"] if "emptyDir" in volume} == {
        mount["name"] for mount in container()["volumeMounts"]
    }
    assert pod["securityContext"]["fsGroup"] == int(group)
    assert "HOME=/tmp" in DOCKERFILE
