"""App settings: one table, and a page that says the same."""

import json
import re
from pathlib import Path

import pytest

from fluxless.api.failure import Problem
from functions import reconciliation, settings

ROOT = Path(__file__).parents[3]


def test_the_page_and_the_table_say_the_same() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| `([A-Z_]+)` \|\s*(?:`([^`]*)`)?\s*\| (.*) \|$", page, re.MULTILINE)
    assert rows == [(setting.name, setting.default, setting.meaning) for setting in settings.ALL]


def test_nobody_reads_a_setting_that_is_not_in_the_table() -> None:
    names = {setting.name for setting in settings.ALL}
    for folder in ("functions", "fluxless"):
        for file in (ROOT / folder).rglob("*.py"):
            read = set(re.findall(r"environ(?:\.get\(|\[)\"(FLUXLESS_\w+)\"", file.read_text()))
            assert read <= names | {"FLUXLESS_ARM_ENDPOINT"}, file


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FLUXLESS_PRUNE_LIMIT", "many"),
        ("FLUXLESS_DRIFT_MODE", "ignore"),
        ("FLUXLESS_HELM_GATES", "OOMWatch"),
        ("FLUXLESS_RETRY_EXHAUSTED", "often"),
        ("FLUXLESS_NO_CROSS_NAMESPACE_REFS", "yes"),
        ("FLUXLESS_CUSTOM_STAGE_KINDS", "Role"),
        ("FLUXLESS_SOPS_AGE_SECRET", "keys"),
        ("FLUXLESS_DEFAULT_KUBECONFIG_SERVICE_ACCOUNT", "mover"),
        ("FLUXLESS_DEFAULT_DECRYPTION_SERVICE_ACCOUNT", "keys"),
        ("FLUXLESS_WATCH_LABEL_SELECTOR", "shard in"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(Problem, match=f"{name} '{value}'"):
        reconciliation.read()


@pytest.mark.parametrize("value", ["2", "-0.1", "all", "nan"])
def test_a_share_lies_between_none_and_all(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FLUXLESS_TRACE_SHARE", value)
    with pytest.raises(Problem, match=f"FLUXLESS_TRACE_SHARE '{value}'"):
        reconciliation.trace_share()


def test_identities_that_rule_are_not_for_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/one"
    one = {"name": "one", "resourceId": resource, "clientId": "Of-One", "openAs": "opener"}
    monkeypatch.setenv("FLUXLESS_CLUSTERS", json.dumps([one]))
    monkeypatch.setenv("FLUXLESS_IDENTITY_CLIENT_ID", "app")
    assert reconciliation.read().ruling_identities == {"of-one", "opener"}
    monkeypatch.setenv("FLUXLESS_SOURCE_IDENTITY_CLIENT_ID", "reader")
    assert reconciliation.read().ruling_identities == {"of-one", "opener", "app"}


def test_kinds_of_the_custom_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUXLESS_CUSTOM_STAGE_KINDS", "rbac.authorization.k8s.io/Role, /Secret")
    kinds = reconciliation.read().custom_stage_kinds
    assert kinds == (("rbac.authorization.k8s.io", "Role"), ("", "Secret"))


def test_sdks_do_not_tell_every_request() -> None:
    import logging

    from functions import host

    for name in (*host.LOUD, "azure.core.pipeline.policies.http_logging_policy", "azure.identity.aio"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)
        assert logging.getLogger(name).isEnabledFor(logging.WARNING)


def test_a_reference_to_a_vault_that_nobody_has_resolved_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = "@Microsoft.KeyVault(SecretUri=https://example.vault.azure.net/secrets/github)"
    monkeypatch.setenv(settings.GITHUB_WEBHOOK_SECRET.name, reference)
    with pytest.raises(Problem, match=r"FLUXLESS_GITHUB_WEBHOOK_SECRET refers to a vault.*Key Vault Secrets User"):
        settings.GITHUB_WEBHOOK_SECRET.read()
