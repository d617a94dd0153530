"""The Bicep files, as far as they can be checked without the compiler; and that the checks find what they should."""

import json
import re
import shutil
from pathlib import Path

import pytest

from functions import settings
from tools import azure_models, bicep

ROOT = Path(__file__).parents[3] / "infra" / "bicep"
FILES = sorted(ROOT.rglob("*.bicep"))
ROLES = {
    "acrPull": "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    "aksClusterUser": "4abbcc35-e782-43d8-92c5-2d3f1bd2253f",
    "aksRbacClusterAdmin": "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b",
    "containerRegistryRepositoryReader": "b93aa761-3e63-49ed-ac28-beffa264f7ac",
    "durableTaskDataContributor": "0ad04412-c4d5-4796-b79c-f76d14c8d402",
    "keyVaultCryptoUser": "12338af0-0e69-4776-bea7-57ae8d297424",
    "keyVaultSecretsUser": "4633458b-17de-408a-b874-0445c86b69e6",
    "monitoringMetricsPublisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "storageBlobDataReader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    "storageBlobDataOwner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "storageQueueDataContributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "storageQueueDataMessageSender": "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a",
    "storageTableDataContributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
}
"""Azure's built-in roles, by the page of 2026-04."""


def mistakes(root: Path) -> list[str]:
    """Everything that is wrong with the files of a folder."""
    found = bicep.check(root / "main.bicep")
    found += [
        mistake for name in ("small", "private") for mistake in bicep.check_parameters(root / f"{name}.bicepparam")
    ]
    for file in sorted(root.rglob("*.bicep")):
        for resource in bicep.read(file).resources.values():
            if not resource.existing:
                found += azure_models.mistakes(resource.type.partition("@")[0], resource.body)
    given = json.loads((root / "roles.json").read_text())
    found += [f"roles.json: {name}" for name in ROLES.keys() | given.keys() if ROLES.get(name) != given.get(name)]
    return found


def test_the_files_are_right() -> None:
    assert mistakes(ROOT) == []


def test_every_module_is_used() -> None:
    used = {(file.parent / module.path).resolve() for file in FILES for module in bicep.read(file).modules.values()}
    assert {file for file in FILES if file.name != "main.bicep"} == used


def test_no_role_is_written_elsewhere() -> None:
    guid = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
    assert {file.name: guid.findall(file.read_text()) for file in FILES if guid.search(file.read_text())} == {}


def test_the_app_has_no_setting_that_nobody_reads() -> None:
    text = (ROOT / "main.bicep").read_text()
    named = {name.partition("__")[0] for name in re.findall(r"^  (FLUXLESS_\w+):", text, re.MULTILINE)}
    assert named - {"FLUXLESS_EVENTS"} <= {setting.name for setting in settings.ALL}
    required = {"FLUXLESS_CLUSTERS", "FLUXLESS_BLOB_ACCOUNT_URL", "FLUXLESS_TASK_HUB", "FLUXLESS_IDENTITY_CLIENT_ID"}
    assert required <= named


def test_every_type_is_compared() -> None:
    made = [one for file in FILES for one in bicep.read(file).resources.values() if not one.existing]
    assert {resource.type.partition("@")[0] for resource in made} == set(azure_models.MODELS)


def test_what_reads_sources_rules_nothing() -> None:
    """Its roles are to read: registries, buckets, and keys of the vault; none of a cluster or the app's storage."""
    text = (ROOT / "main.bicep").read_text()
    given = {
        name: re.findall(r"roles\.(\w+)", body)
        for name, body in re.findall(r"^module (\w+) '[^']+' = (.*?)^\}", text, re.MULTILINE | re.DOTALL)
        if "sources.outputs.principalId" in body
    }
    assert given == {
        "vault": ["keyVaultSecretsUser", "keyVaultCryptoUser", "keyVaultCryptoUser"],  # the first two are the app's
        "sourceRegistryAccess": ["containerRegistryRepositoryReader", "acrPull"],
        "bucketAccess": ["storageBlobDataReader"],
    }


@pytest.mark.parametrize(
    ("file", "right", "wrong", "words"),
    [
        ("modules/function-app.bicep", "scaleAndConcurrency:", "scaleAndConcurency:", "no property scaleAndConcurency"),
        ("modules/function-app.bicep", "'UserAssignedIdentity'", "'UserAssigned'", "'UserAssigned' is none of"),
        ("modules/function-app.bicep", "name: 'python'", "name: 'pyhton'", "'pyhton' is none of"),
        ("modules/function-app.bicep", "instanceCount: durable", "instances: durable", "no property instances"),
        ("modules/storage.bicep", "allowSharedKeyAccess:", "allowSharedKeyAcces:", "no property allowSharedKeyAcces"),
        ("modules/storage.bicep", "'TLS1_2'", "'TLS2'", "'TLS2' is none of"),
        ("modules/storage.bicep", "daysAfterModification", "daysAfterModifying", "no property daysAfterModifying"),
        ("modules/key-vault.bicep", "enablePurgeProtection", "purgeProtection", "no property purgeProtection"),
        ("modules/monitoring.bicep", "retentionInDays", "retention", "no property retention"),
        ("modules/monitoring.bicep", "WorkspaceResourceId", "WorkspaceId", "no property WorkspaceId"),
        ("modules/registry-subscription.bicep", "queueMessageTime", "messageTime", "no property messageTime"),
        ("modules/registry-topic.bicep", "topicType", "kindOfTopic", "no property kindOfTopic"),
        ("modules/alerts.bicep", "autoMitigate", "mitigate", "no property mitigate"),
        ("modules/alerts.bicep", "emailAddress:", "address:", "no property address"),
        ("modules/network.bicep", "delegations:", "delegated:", "no property delegated"),
        ("modules/network.bicep", "remoteVirtualNetwork:", "remoteNetwork:", "no property remoteNetwork"),
        ("modules/private-endpoint.bicep", "groupIds:", "groups:", "no property groups"),
        ("modules/container-app.bicep", "targetPort:", "port:", "no property port"),
        ("modules/container-app.bicep", "keyVaultUrl:", "vaultUrl:", "no property vaultUrl"),
        ("modules/container-app.bicep", "secretRef:", "secret:", "no property secret"),
        ("modules/container-app.bicep", "(one.value)", "(two.value)", "nothing is called two"),
        ("modules/workbook.bicep", "serializedData:", "data:", "no property data"),
        ("modules/scheduler.bicep", "ipAllowlist", "allowlist", "no property allowlist"),
        ("modules/cluster-access.bicep", "principalType:", "typeOfPrincipal:", "no property typeOfPrincipal"),
        ("main.bicep", "    storageId: storage.outputs.id\n", "", "parameter storageId is missing"),
        ("main.bicep", "storage.outputs.blobEndpoint", "storage.outputs.blobs", "has no output blobs"),
        ("main.bicep", "taskHub: taskHub", "taskHubs: taskHub", "has no parameter taskHubs"),
        ("main.bicep", "tags: tags", "tags: labels", "nothing is called labels"),
        ("main.bicep", "modules/identity.bicep", "modules/identities.bicep", "there is no modules/identities.bicep"),
        ("main.bicep", "param tags object = {}", "param tags object = {", "syntax error"),
        ("roles.json", "b7e6dc6d-f1e8", "b7e6dc6d-f1c8", "roles.json: storageBlobDataOwner"),
        ("main.bicep", "    sourceIdentityId: sources.outputs.id\n", "", "parameter sourceIdentityId is missing"),
        ("modules/key-vault.bicep", "scope: vault", "scopes: vault", "no property scopes"),
        ("small.bicepparam", "param clusters", "param cluster", "has no parameter cluster"),
        ("private.bicepparam", "param privateNetwork = true", "param privateNetwork = 'yes'", "is no bool"),
    ],
)
def test_a_mistake_is_found(tmp_path: Path, file: str, right: str, wrong: str, words: str) -> None:
    shutil.copytree(ROOT, tmp_path / "bicep")
    changed = tmp_path / "bicep" / file
    assert right in changed.read_text()
    changed.write_text(changed.read_text().replace(right, wrong))
    assert words in "\n".join(mistakes(tmp_path / "bicep"))
