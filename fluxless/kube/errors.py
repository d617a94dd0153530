"""What an API server may answer instead of what was asked for. The only errors that leave this room:

ApiProblem
├── NotFound 404          ├── Invalid 400, 422        ├── ServerError 5xx        └── TooLarge (of an answer)
├── Forbidden 401, 403    ├── Gone 410                ├── Unreachable (no answer: network, TLS, timeout)
├── Conflict 409          └── TooManyRequests 429     └── NoSuchKind (not in discovery)
└── AlreadyExists 409
"""

from __future__ import annotations

import json
from typing import ClassVar

from fluxless import limits
from fluxless.api.failure import Failure, FailureClass, Problem

MESSAGE_LIMIT = 4000
"""Characters kept of an answer that is not a Kubernetes `Status`, such as a proxy's page."""


class ApiProblem(Problem):
    """An answer other than 2xx. `status` is the HTTP status (0: no answer), `reason` the `Status` reason."""

    failure_class: ClassVar[FailureClass] = FailureClass.INTERNAL
    next_step: ClassVar[str] = ""

    def __init__(self, message: str, *, status: int = 0, reason: str = "") -> None:
        super().__init__(Failure(self.failure_class, message, next_step=self.next_step))
        self.message = message
        self.status = status
        self.reason = reason


class NotFound(ApiProblem):
    """The object, or the namespace it belongs into, does not exist."""

    failure_class = FailureClass.VALIDATION


class Forbidden(ApiProblem):
    """Our identity is unknown or may not do this."""

    failure_class = FailureClass.FORBIDDEN


class Conflict(ApiProblem):
    """The object has changed meanwhile, or another manager owns a field."""

    failure_class = FailureClass.CONFLICT


class AlreadyExists(ApiProblem):
    """Create met an object of that name."""

    failure_class = FailureClass.CONFLICT


class Invalid(ApiProblem):
    """The API server does not accept the object."""

    failure_class = FailureClass.VALIDATION


class Gone(ApiProblem):
    """A list token has expired."""


class TooManyRequests(ApiProblem):
    """The API server asks us to slow down, and kept asking."""


class ServerError(ApiProblem):
    """The API server, or something in front of it, failed."""


class Unreachable(ApiProblem):
    """No answer at all."""

    next_step = "check that the cluster runs and that the app can reach its address; it is tried again"


class TooLarge(ApiProblem):
    """An answer beyond the limits: it was not read to its end."""

    next_step = "check what answers there: an API server's answers are smaller"


class NoSuchKind(ApiProblem):
    """Discovery does not know the kind."""

    failure_class = FailureClass.NO_SUCH_KIND

    def __init__(self, api_version: str, kind: str) -> None:
        super().__init__(f'no matches for kind "{kind}" in version "{api_version}"', status=404, reason="NotFound")


def from_answer(status: int, body: bytes, phrase: str) -> ApiProblem:
    """The problem that an answer stands for; `phrase` is the HTTP reason phrase, for bodies without words."""
    reason, message = "", ""
    try:
        document = json.loads(body)
        if isinstance(document, dict) and document.get("kind") == "Status":
            reason, message = str(document.get("reason") or "")[:100], str(document.get("message") or "")
    except (ValueError, RecursionError):
        pass
    message = message[: limits.STATUS_WORDS]
    message = message or body.decode(errors="replace")[:MESSAGE_LIMIT].strip() or phrase
    return _class_of(status, reason)(message, status=status, reason=reason)


def _class_of(status: int, reason: str) -> type[ApiProblem]:
    if reason == "AlreadyExists":
        return AlreadyExists
    if status >= 500:
        return ServerError
    return _BY_STATUS.get(status, ApiProblem)


_BY_STATUS: dict[int, type[ApiProblem]] = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: TooManyRequests,
}
