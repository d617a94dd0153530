"""What ARM says, down to the reason, each with a next step."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fluxless.cli.refusals import failed


@pytest.mark.parametrize(
    ("code", "message", "step"),
    [
        (
            "MissingSubscriptionRegistration",
            "The subscription is not registered to use namespace 'Microsoft.App'. See the documentation.",
            "az provider register --wait --namespace Microsoft.App",
        ),
        ("MissingSubscriptionRegistration", "no name here", "--namespace <namespace>"),
        ("RoleAssignmentUpdateNotPermitted", "Tenant ID, application ID, principal ID may not change", "delete it"),
        ("ConflictError", "A vault with the same name already exists in deleted state.", "az keyvault recover"),
        ("BadRequest", "This region has a Quota of 0 instances", "ask for more quota"),
        ("QuotaExceeded", "no more", "ask for more quota"),
        ("SomethingNew", "nobody knows", "what is there already stays"),
    ],
)
def test_each_refusal_has_a_next_step(code: str, message: str, step: str) -> None:
    (failure,) = failed({"code": code, "message": message}).failures
    assert failure.message == f"{code}: {message}"
    assert step in failure.next_step


def test_only_the_innermost_are_told_and_each_once() -> None:
    def leaf(name: str) -> dict[str, Any]:
        return {"code": name, "message": f"{name} is wrong", "target": name.lower()}

    packed = {"code": "Conflict", "message": json.dumps({"error": {"code": "Outer", "details": [leaf("B")]}})}
    error = {"code": "DeploymentFailed", "message": "outer", "details": [leaf("A"), packed, leaf("A")]}
    assert [failure.message for failure in failed(error).failures] == ["A (a): A is wrong", "B (b): B is wrong"]


def test_an_error_of_app_service_is_understood() -> None:
    error = {"Code": "BadRequest", "Message": "not now", "Target": None, "Details": [{"Code": "BadRequest"}]}
    assert [failure.message for failure in failed(error).failures] == ["BadRequest: not now"]


def test_an_empty_error_says_that_no_reason_was_given() -> None:
    assert [failure.message for failure in failed({}).failures] == ["Unknown: no reason was given"]
