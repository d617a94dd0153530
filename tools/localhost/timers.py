"""Timer triggers: NCRONTAB with seconds, in UTC. The next time is kept, so that a start notices a missed one."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from croniter import croniter

from tools.localhost.app import App
from tools.localhost.events import moment, sleep_until
from tools.localhost.settings import expand
from tools.localhost.store import Store

log = logging.getLogger("localhost")
_SPAN = re.compile(r"^(?:(\d+)\.)?(\d+):(\d{2}):(\d{2})$")


def following(schedule: str, after: datetime) -> datetime:
    """The next time of an NCRONTAB expression (5 or 6 fields) or of a time span `hh:mm:ss`. Raises ValueError."""
    span = _SPAN.match(schedule)
    if span is not None:
        days, hours, minutes, seconds = (int(part or 0) for part in span.groups())
        return after + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    return _aware(croniter(schedule, after, second_at_beginning=True).get_next(datetime))


def _aware(when: datetime) -> datetime:
    return when if when.tzinfo else when.replace(tzinfo=UTC)


async def run(app: App, function: Any, store: Store) -> None:
    """Fire one timer function for ever, one call at a time."""
    name, trigger = function.get_function_name(), function.get_trigger()
    schedule = expand(trigger.schedule)
    known = store.timer_due(name)
    due = moment(known) if known else following(schedule, datetime.now(UTC))
    if trigger.run_on_startup:
        due = datetime.now(UTC)
    while True:
        await sleep_until(due)
        late = (datetime.now(UTC) - due).total_seconds()
        following_due = following(schedule, max(due, datetime.now(UTC)))
        store.save_timer(name, following_due.isoformat())
        await _fire(app, function, past_due=late > 1.0)
        due = following_due


async def _fire(app: App, function: Any, *, past_due: bool) -> None:
    from azure.functions.timer import TimerRequest

    request = TimerRequest(past_due=past_due, schedule_status={}, schedule={"AdjustForDST": True})
    try:
        await app.call(function, request)
    except Exception:
        log.exception("function %s failed", function.get_function_name())
