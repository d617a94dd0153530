"""What may be wrong with a chart or a repository of charts."""

from __future__ import annotations

from fluxless.api.failure import Failure, FailureClass, Problem


class ChartProblem(Problem):
    """The words name the chart or repository, and say what to do."""

    def __init__(self, message: str, next_step: str = "", cls: FailureClass = FailureClass.BUILD) -> None:
        super().__init__(Failure(cls, message, next_step=next_step))


class InvalidChart(ChartProblem):
    """The repository has no such chart or version, or the version is none."""

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(message, next_step, FailureClass.SOURCE_NOT_FOUND)
