"""What may go wrong with a remote. The words name the URL, never a credential."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from fluxless.api.failure import Failure, FailureClass, Problem


class GitProblem(Problem):
    """Git could not be asked, or refused."""

    def __init__(self, message: str, next_step: str = "", cls: FailureClass = FailureClass.SOURCE_NOT_FOUND) -> None:
        super().__init__(Failure(cls, message, next_step=next_step))


class AuthenticationRefused(GitProblem):
    """The remote wants other credentials."""

    def __init__(self, url: str) -> None:
        step = "put a valid username and password (or bearerToken) into the Secret of spec.secretRef"
        super().__init__(f"authentication required for '{public(url)}'", step, FailureClass.SOURCE_AUTH)


class RepositoryNotFound(GitProblem):
    """The remote knows no such repository, or hides it from us."""

    def __init__(self, url: str) -> None:
        step = "correct spec.url; a private repository looks the same without credentials: set spec.secretRef"
        super().__init__(f"repository not found: '{public(url)}'", step)


class EmptyRepository(GitProblem):
    """There is no commit yet."""

    def __init__(self, url: str) -> None:
        super().__init__(f"git repository '{public(url)}' is empty: it has no commits", "push a first commit")


class ReferenceNotFound(GitProblem):
    """The remote has no such branch, tag or commit."""


class RemoteUnavailable(GitProblem):
    """No answer, or none that makes sense."""

    def __init__(self, url: str, words: str, next_step: str = "") -> None:
        step = next_step or "check spec.url and that the app can reach it; it is tried again"
        super().__init__(f"unable to reach '{public(url)}': {words}", step, FailureClass.INTERNAL)


def public(url: str) -> str:
    """The URL without user and password."""
    try:
        parts = urlsplit(url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    except ValueError:
        return "the URL"
