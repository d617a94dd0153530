"""The three ways in which a phase ends early. Phases raise; only `loop.py` turns these into conditions and times.

- `Stalled`: the user must act; nothing is tried again until the object changes (SC-3, KC-47).
- `Waiting`: something else comes first; looked at again after a fixed time.
- `Transient`: tried again, by the kind's own retry rule (CM-28).

Any other `Problem` that leaves a phase counts as `Transient` with the phase's reason.
"""

from __future__ import annotations

from collections.abc import Iterable

from fluxless.api.failure import Failure, FailureClass, Problem


class Ended(Problem):
    """A phase ended the step. `reason` is the condition reason; `condition` a negative condition to set besides Ready.

    `event` says whether the user is told by an event (waiting for a source is not worth one); `others` that the remedy
    may lie in another object, so that the plan looks again whenever anything in the cluster has changed.
    """

    def __init__(
        self,
        reason: str,
        failures: Failure | Iterable[Failure],
        *,
        condition: str = "",
        event: bool = True,
        others: bool = False,
    ) -> None:
        super().__init__(failures)
        self.reason = reason
        self.condition = condition
        self.event = event
        self.others = others


class Stalled(Ended):
    """The object cannot become ready until its user changes something."""


class Waiting(Ended):
    """Not an error of the object itself: look again after `retry_after` seconds.

    `working` tells the loop that the step is under way (a health wait), so that Ready stays Unknown and Reconciling
    True; otherwise Ready becomes False with `reason`.
    """

    def __init__(
        self,
        reason: str,
        failures: Failure | Iterable[Failure],
        *,
        retry_after: float,
        condition: str = "",
        event: bool = True,
        others: bool = False,
        working: bool = False,
    ) -> None:
        super().__init__(reason, failures, condition=condition, event=event, others=others)
        self.retry_after = retry_after
        self.working = working


class Transient(Ended):
    """Worth another try, although nothing has changed."""


def internal(message: str, next_step: str = "") -> Failure:
    """A failure of the engine or its surroundings rather than of anything a user wrote."""
    return Failure(FailureClass.INTERNAL, message, next_step=next_step)
