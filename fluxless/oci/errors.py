"""What may go wrong with a registry. The words name the repository, never a credential."""

from __future__ import annotations

from fluxless.api.failure import Failure, FailureClass, Problem


class RegistryProblem(Problem):
    """The registry could not be asked, or refused."""

    def __init__(self, message: str, next_step: str = "", cls: FailureClass = FailureClass.SOURCE_NOT_FOUND) -> None:
        super().__init__(Failure(cls, message, next_step=next_step))


class InvalidReference(RegistryProblem):
    """The URL or the reference is none: trying again cannot help."""


class RegistryRefused(RegistryProblem):
    """The registry wants other credentials, or grants ours too little."""

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(message, next_step, FailureClass.SOURCE_AUTH)


class NotInRegistry(RegistryProblem):
    """The registry has no such repository, tag, manifest or blob."""


class RegistryUnavailable(RegistryProblem):
    """No answer, or none that makes sense."""

    def __init__(self, message: str, next_step: str = "check that the app can reach it; it is tried again") -> None:
        super().__init__(message, next_step, FailureClass.INTERNAL)


class ContentMismatch(RegistryProblem):
    """What arrived is not what its digest says, or is larger than allowed."""
