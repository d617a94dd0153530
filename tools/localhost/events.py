"""The events of an orchestration's history, as the extension writes them into its JSON. Pure."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

Event = dict[str, Any]


class Type(IntEnum):
    """DTFx event types."""

    EXECUTION_STARTED = 0
    TASK_SCHEDULED = 4
    TASK_COMPLETED = 5
    TASK_FAILED = 6
    SUB_CREATED = 7
    SUB_COMPLETED = 8
    SUB_FAILED = 9
    TIMER_CREATED = 10
    TIMER_FIRED = 11
    ORCHESTRATOR_STARTED = 12
    ORCHESTRATOR_COMPLETED = 13
    EVENT_SENT = 14
    EVENT_RAISED = 15


SCHEDULED = {Type.TASK_SCHEDULED, Type.SUB_CREATED, Type.TIMER_CREATED, Type.EVENT_SENT}


def now() -> str:
    """The present moment, as the extension writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment(text: str) -> datetime:
    """The reverse; a time without a zone is UTC."""
    when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return when if when.tzinfo else when.replace(tzinfo=UTC)


async def sleep_until(due: datetime) -> None:
    """Return at that time, also when the clock is set or the machine sleeps."""
    while (left := (due - datetime.now(UTC)).total_seconds()) > 0:  # noqa: ASYNC110 -- the clock sets no event
        await asyncio.sleep(min(left, 60.0))


def event(type_: Type, id_: int = -1, **fields: Any) -> Event:
    """A new event."""
    return {"EventType": int(type_), "EventId": id_, "IsPlayed": False, "Timestamp": now(), **fields}


def started(name: str, text: str | None, instance: str, execution: str) -> Event:
    """The first event; the SDK wants a version."""
    return event(
        Type.EXECUTION_STARTED,
        Name=name,
        Input=text,
        Version="",
        OrchestrationInstance={"InstanceId": instance, "ExecutionId": execution},
    )
