"""From an API server's refusal to a failure that a user can act on (KC-90). Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any

from fluxless.api.failure import Failure, FailureClass
from fluxless.apply.objects import subject
from fluxless.kube.errors import ApiProblem, Forbidden, NoSuchKind, NotFound, ServerError, TooManyRequests, Unreachable

_IMMUTABLE = re.compile(r"is\simmutable|immutable\sfield")
"""Flux's test for refusals by admission webhooks and CEL rules, which come with any status."""

_MAY_NOT_CHANGE = re.compile(
    r"immutable|updates to .+ forbidden|may not (be )?change|cannot (be )?change|can't be changed|must not change"
)
"""How the API server's own validations say that a field cannot be changed in place."""


def is_refused_change(problem: ApiProblem) -> bool:
    """Whether recreating the object may help (KC-82): conflict, invalid, or any text that says immutable."""
    return problem.status in (409, 422) or bool(_IMMUTABLE.search(problem.message))


def _says(pattern: str) -> Callable[[ApiProblem], bool]:
    compiled = re.compile(pattern)
    return lambda problem: bool(compiled.search(problem.message))


_CAUSES: tuple[tuple[Callable[[ApiProblem], bool], FailureClass, str], ...] = (
    (
        lambda problem: isinstance(problem, NoSuchKind),
        FailureClass.NO_SUCH_KIND,
        "Install the CustomResourceDefinition first, in this Kustomization or in one that this one depends on, or "
        "correct apiVersion and kind.",
    ),
    (
        lambda problem: isinstance(problem, Unreachable),
        FailureClass.INTERNAL,
        "The cluster did not answer; it is tried again.",
    ),
    (
        _says(r"exceeded quota"),
        FailureClass.QUOTA,
        "Raise the ResourceQuota of the namespace or ask for less.",
    ),
    (
        _says(r"failed calling webhook"),
        FailureClass.WEBHOOK_DENIED,
        "The admission webhook does not answer: look at the Service and the pods behind it.",
    ),
    (
        _says(r"admission webhook .* denied the request|ValidatingAdmissionPolicy"),
        FailureClass.WEBHOOK_DENIED,
        "Change the object so that the cluster's policy allows it.",
    ),
    (
        lambda problem: isinstance(problem, Forbidden),
        FailureClass.FORBIDDEN,
        "Give the identity that applies this Kustomization a role for this kind in this namespace.",
    ),
    (
        _says(r'namespaces "[^"]*" not found'),
        FailureClass.VALIDATION,
        "Create the namespace in this Kustomization, or in one that this one depends on.",
    ),
    (
        lambda problem: problem.status in (400, 422, 500) and bool(_MAY_NOT_CHANGE.search(problem.message)),
        FailureClass.IMMUTABLE,
        "Set spec.force, or the annotation kustomize.toolkit.fluxcd.io/force: enabled on the object, to have it "
        "recreated; or delete it by hand.",
    ),
    (
        _says(r"field not declared in schema"),
        FailureClass.VALIDATION,
        "Remove the field or correct its name; this version of the kind has no such field.",
    ),
    (
        lambda problem: problem.status == 409,
        FailureClass.CONFLICT,
        "Somebody else changes the object at the same time; it is tried again.",
    ),
    (
        lambda problem: isinstance(problem, TooManyRequests),
        FailureClass.INTERNAL,
        "The API server is busy; it is tried again.",
    ),
    (
        lambda problem: problem.status in (400, 422) or "typed patch object" in problem.message,
        FailureClass.VALIDATION,
        "Correct the manifest.",
    ),
    (
        lambda problem: isinstance(problem, ServerError),
        FailureClass.INTERNAL,
        "The API server failed; it is tried again.",
    ),
)


def refused(problem: ApiProblem, obj: Mapping[str, Any], origin: str, doing: str = "dry-run failed") -> Failure:
    """One failure for one object, in Flux's words: `Deployment/ns/name dry-run failed (Invalid): <server's words>`."""
    name = subject(obj)
    said = _masked(problem.message, obj)
    if isinstance(problem, NotFound) and doing == "dry-run failed":
        text = f"{name} not found: {said}"
    else:
        reason = f" ({problem.reason})" if problem.reason else ""
        text = f"{name} {doing}{reason}: {said}"
    cls, next_step = next(
        ((cls, step) for matches, cls, step in _CAUSES if matches(problem)), (FailureClass.INTERNAL, "")
    )
    return Failure(cls, text, subject=name, origin=origin, next_step=next_step)


def without_namespace(obj: Mapping[str, Any], origin: str) -> Failure:
    """A namespaced kind without a namespace (KC-90)."""
    name = subject(obj)
    return Failure(
        FailureClass.VALIDATION,
        f"{name} namespace not specified: {obj['kind']} is a namespaced kind",
        subject=name,
        origin=origin,
        next_step="Set metadata.namespace, or spec.targetNamespace on the Kustomization.",
    )


def _masked(message: str, obj: Mapping[str, Any]) -> str:
    """API servers quote what they refuse; a Secret's values must not get into a status that way."""
    if obj.get("kind") != "Secret":
        return message
    for encoded in (obj.get("data") or {}).values():
        for value in (str(encoded), _decoded(str(encoded))):
            if len(value) > 2:
                message = message.replace(value, "***")
    return message


def _decoded(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
