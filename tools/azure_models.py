"""Compares bodies of resources with the models of the Azure SDK: names of properties, and values of enumerations.

Two generations of SDKs say them differently; what only a deployment knows is left out.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tools.bicep import COMPUTED, Either

MODELS = {
    "Microsoft.App/containerApps": ("azure.mgmt.appcontainers.models", "ContainerApp"),
    "Microsoft.App/managedEnvironments": ("azure.mgmt.appcontainers.models", "ManagedEnvironment"),
    "Microsoft.Authorization/roleAssignments": ("azure.mgmt.authorization.models", "RoleAssignmentCreateParameters"),
    "Microsoft.DurableTask/schedulers": ("azure.mgmt.durabletask.models", "Scheduler"),
    "Microsoft.DurableTask/schedulers/taskHubs": ("azure.mgmt.durabletask.models", "TaskHub"),
    "Microsoft.EventGrid/systemTopics": ("azure.mgmt.eventgrid.models", "SystemTopic"),
    "Microsoft.EventGrid/systemTopics/eventSubscriptions": ("azure.mgmt.eventgrid.models", "EventSubscription"),
    "Microsoft.Insights/actionGroups": ("azure.mgmt.monitor.models", "ActionGroupResource"),
    "Microsoft.Insights/components": ("azure.mgmt.applicationinsights.models", "ApplicationInsightsComponent"),
    "Microsoft.Insights/scheduledQueryRules": ("azure.mgmt.monitor.models", "ScheduledQueryRuleResource"),
    "Microsoft.Insights/workbooks": ("azure.mgmt.applicationinsights.models", "Workbook"),
    "Microsoft.KeyVault/vaults": ("azure.mgmt.keyvault.models", "VaultCreateOrUpdateParameters"),
    "Microsoft.ManagedIdentity/userAssignedIdentities": ("azure.mgmt.msi.models", "Identity"),
    "Microsoft.Network/privateDnsZones": ("azure.mgmt.privatedns.models", "PrivateZone"),
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": ("azure.mgmt.privatedns.models", "VirtualNetworkLink"),
    "Microsoft.Network/privateEndpoints": ("azure.mgmt.network.models", "PrivateEndpoint"),
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": ("azure.mgmt.network.models", "PrivateDnsZoneGroup"),
    "Microsoft.Network/virtualNetworks": ("azure.mgmt.network.models", "VirtualNetwork"),
    "Microsoft.Network/virtualNetworks/virtualNetworkPeerings": (
        "azure.mgmt.network.models",
        "VirtualNetworkPeering",
    ),
    "Microsoft.OperationalInsights/workspaces": ("azure.mgmt.loganalytics.models", "Workspace"),
    "Microsoft.Storage/storageAccounts": ("azure.mgmt.storage.models", "StorageAccountCreateParameters"),
    "Microsoft.Storage/storageAccounts/blobServices": ("azure.mgmt.storage.models", "BlobServiceProperties"),
    "Microsoft.Storage/storageAccounts/blobServices/containers": ("azure.mgmt.storage.models", "BlobContainer"),
    "Microsoft.Storage/storageAccounts/managementPolicies": ("azure.mgmt.storage.models", "ManagementPolicy"),
    "Microsoft.Storage/storageAccounts/queueServices": ("azure.mgmt.storage.models", "QueueServiceProperties"),
    "Microsoft.Storage/storageAccounts/queueServices/queues": ("azure.mgmt.storage.models", "StorageQueue"),
    "Microsoft.Web/serverfarms": ("azure.mgmt.web.models", "AppServicePlan"),
    "Microsoft.Web/sites": ("azure.mgmt.web.models", "Site"),
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": (
        "azure.mgmt.web.models",
        "CsmPublishingCredentialsPoliciesEntity",
    ),
}
"""By type of resource."""
OF_BICEP = {"name", "parent", "scope", "dependsOn"}
"""Properties of the language, which no body has."""


@dataclass(frozen=True, slots=True)
class Field:
    """A property: the model of its value or of its items, or the values that it may have."""

    model: type | None = None
    values: frozenset[str] = frozenset()


def mistakes(kind: str, body: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the body of a resource of that type; nothing for types that are not in MODELS."""
    if kind in MODELS:
        module, name = MODELS[kind]
        model = getattr(importlib.import_module(module), name)
        yield from _compare(model, {key: value for key, value in body.items() if key not in OF_BICEP}, kind)


def _compare(model: type, body: Mapping[str, Any], where: str) -> Iterator[str]:
    model = _variant(model, body)
    known = _fields(model)
    for key, value in _alternatives(body):
        field = known.get(key)
        if field is None:
            if known:
                yield f"{where}: there is no property {key}"
        elif isinstance(value, str) and field.values and value not in field.values:
            yield f"{where}/{key}: {value!r} is none of {', '.join(sorted(field.values))}"
        elif field.model is not None:
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict):
                    yield from _compare(field.model, item, f"{where}/{key}")


def _alternatives(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The properties, with each of the values that a condition chooses between."""
    for key, value in body.items():
        if isinstance(value, Either):
            yield from ((key, one) for one in (value.one, value.other))
        else:
            yield key, value


def _variant(model: type, body: Mapping[str, Any]) -> type:
    """The model that the body says that it is, of those that share a base."""
    for attribute, names in (getattr(model, "_subtype_map", None) or {}).items():
        said = body.get(_paths(model)[attribute]["key"])
        if said is not COMPUTED and said in names:
            return _named(model, names[said]) or model
    return model


def _fields(model: type) -> dict[str, Field]:
    if flattened := getattr(model, "_flattened", None):
        return dict(flattened)
    if _paths(model):
        return _older(model)
    found: dict[str, Field] = {}
    for cls in reversed(model.__mro__):
        said = getattr(cls, "__annotations__", {})
        for name, field in cls.__dict__.items():
            if type(field).__name__ == "_RestField":
                found[field._rest_name_input or name] = _typed(model, str(said.get(name, "")))
    return found


def _typed(model: type, annotation: str) -> Field:
    if "dict[" in annotation.lower() and "_models" not in annotation.lower().split("dict[")[0]:
        return Field()
    named = re.search(r"_models\.(?:_models\.|_enums\.)?(\w+)", annotation)
    kind = _named(model, named[1]) if named else None
    if kind is not None and hasattr(kind, "__members__"):
        return Field(values=frozenset(str(one.value) for one in kind))  # type: ignore[attr-defined]
    return Field(kind)


def _older(model: type) -> dict[str, Field]:
    """Paths like `properties.source` are models within models."""
    found: dict[str, Any] = {}
    for said in _paths(model).values():
        *above, last = re.split(r"(?<!\\)\.", said["key"])
        place = found
        for part in above:
            place = place.setdefault(part, {})
        place[last] = Field(_named(model, said["type"].strip("[]{}")))
    return {key: value if isinstance(value, Field) else Field(_made(value)) for key, value in found.items()}


def _paths(model: type) -> dict[str, dict[str, str]]:
    """Where an older SDK has its attributes."""
    found: dict[str, dict[str, str]] = getattr(model, "_attribute_map", None) or {}
    return found


def _made(fields: dict[str, Any]) -> type:
    """A model for the properties of one that the SDK has flattened."""
    table = {key: value if isinstance(value, Field) else Field(_made(value)) for key, value in fields.items()}
    return type("Flattened", (), {"_flattened": table})


def _named(model: type, name: str) -> type | None:
    package = importlib.import_module(model.__module__.rpartition("._")[0]) if "._" in model.__module__ else None
    found = getattr(package, name, None) if package is not None else None
    return found if isinstance(found, type) else None
