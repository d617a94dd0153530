"""The Receiver controller: where webhooks of a receiver are to be sent (RC-10, RC-11)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from fluxless.api import reasons
from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.notification import claims
from fluxless.reconcile.errors import Stalled, Transient
from fluxless.reconcile.expressions import expression
from fluxless.reconcile.interval import jittered, seconds
from fluxless.reconcile.outcome import Outcome, State
from fluxless.reconcile.run import Run

PATH = "/hook/"
DEFAULT_INTERVAL = 600.0
OIDC = "generic-oidc"


class ReceiverRun(Run):
    """The state of the step."""

    path = ""  # find_path

    def notable(self, outcome: Outcome) -> bool:
        """Whether the run record is worth keeping."""
        return outcome.state is not State.READY


class ReceiverController:
    """Checks the expressions of a receiver, and makes its path of the token."""

    reason = reasons.FAILED

    @property
    def phases(self) -> Sequence[Any]:
        """The steps, in order."""
        return PHASES

    async def finalize(self, run: ReceiverRun) -> Outcome:
        """There is nothing to undo: without the object its path is unknown."""
        return Outcome(State.GONE)

    def succeed(self, run: ReceiverRun) -> Outcome:
        """Write the path into the status, and Ready with it (RC-11)."""
        run.status.set(webhookPath=run.path)
        run.status.mark("Ready", "True", reasons.SUCCEEDED, f"Receiver initialized for path: {run.path}")
        pause = jittered(seconds(run.spec, "interval", DEFAULT_INTERVAL), f"{run.ref}")
        return Outcome(State.READY, pause, reasons.SUCCEEDED)

    def retry_after(self, run: ReceiverRun) -> float | None:
        """None: failures are tried again with exponential backoff (CM-28)."""
        return None

    def event_metadata(self, run: ReceiverRun) -> dict[str, str]:
        """Nothing: a receiver has no revision (CM-20)."""
        return {}


def variables_of(kind: str) -> tuple[str, ...]:
    """What filters of a receiver's type may use."""
    return ("res", "req", "claims") if kind == OIDC else ("res", "req")


def path_of(token: str, name: str, namespace: str) -> str:
    """Flux's path of a receiver, which nobody can guess without its token (RC-10)."""
    return PATH + hashlib.sha256(f"{token}{name}{namespace}".encode()).hexdigest()


async def check_spec(run: ReceiverRun) -> None:
    """Every expression is one. Stalled InvalidCELExpression, ValidationFailed."""
    names = variables_of(str(run.spec["type"]))
    texts = [("resourceFilter", run.spec.get("resourceFilter"))]
    texts += [(f"resources[{at}].filter", entry.get("filter")) for at, entry in enumerate(run.spec["resources"])]
    providers = run.spec.get("oidcProviders") or []
    try:
        for field, text in texts:
            if text:
                _compile(field, str(text), names)
        claims.compiles(providers)
    except Problem as problem:
        raise Stalled(reasons.INVALID_CEL_EXPRESSION, problem.failures) from problem
    issuers = [str(provider["issuerURL"]) for provider in providers]
    twice = next((issuer for issuer in issuers if issuers.count(issuer) > 1), "")
    if twice:
        words = f"oidcProviders: duplicate issuerURL '{twice}'"
        failure = Failure(FailureClass.VALIDATION, words, str(run.ref), next_step="name each issuer once")
        raise Stalled(reasons.VALIDATION_FAILED, failure)


def _compile(field: str, text: str, names: tuple[str, ...]) -> None:
    try:
        expression(text, *names)
    except Problem as problem:
        first = problem.failures[0]
        words = f"invalid {field} expression: {first.message}"
        raise Problem(Failure(first.cls, words, next_step=first.next_step)) from problem


async def find_path(run: ReceiverRun) -> None:
    """The path, from the token. Ready=False TokenNotFound."""
    run.path = path_of(await _token(run), run.ref.name, run.ref.namespace)


async def _token(run: ReceiverRun) -> str:
    name = str((run.spec.get("secretRef") or {}).get("name") or "")
    if not name:
        return ""
    full = f"{run.ref.namespace}/{name}"
    data = await run.survey.references(run.cluster).secret(run.ref.namespace, name)
    if data is None:
        words, step = f"unable to read token from secret '{full}' error: it is not there", "create the Secret"
    elif "token" not in data:
        words, step = f"invalid '{full}' secret data: required fields 'token'", "add the key token"
    else:
        return data["token"].decode(errors="replace")
    run.status.set(webhookPath=None)
    raise Transient("TokenNotFound", Failure(FailureClass.SOURCE_AUTH, words, str(run.ref), next_step=step))


PHASES = (check_spec, find_path)
