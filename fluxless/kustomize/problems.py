"""What is wrong with a build."""

from __future__ import annotations

from fluxless.api.failure import Failure, FailureClass, Problem


class BuildProblem(Problem):
    """The path cannot be built."""

    def __init__(self, message: str, next_step: str = "", origin: str = "") -> None:
        super().__init__(Failure(FailureClass.BUILD, message, origin=origin, next_step=next_step))


class PathProblem(Problem):
    """`spec.path` is not in the artifact."""

    def __init__(self, message: str) -> None:
        step = "correct spec.path, or add the directory to the source"
        super().__init__(Failure(FailureClass.SOURCE_NOT_FOUND, message, next_step=step))
