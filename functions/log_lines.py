"""Log lines that are ours alone: what others have written stands in them, and can neither begin a line nor an alert.

Set once for the whole process, since any logger may be given the words of a webhook, a token, a header or a server.
"""

from __future__ import annotations

import logging
import re
from typing import Any

ALARM = "alert="
"""What alerts look for in the lines of the app; only the text of a log call itself may have it."""
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_ALARM = re.compile(re.escape(ALARM), re.IGNORECASE)
_KEPT = (int, float, bool, type(None))
_INDENT = "  | "


def plain(text: str) -> str:
    """In one line, as Python would write it, and without an alarm."""
    if not text.isprintable():
        text = _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
    return _ALARM.sub(lambda match: f"{match[0][:-1]}:", text)


class Line(logging.LogRecord):
    """A record whose arguments are plain, and whose traceback is indented."""

    def __init__(self, *named: Any, **more: Any) -> None:
        super().__init__(*named, **more)
        if isinstance(self.args, tuple):
            self.args = tuple(map(_plain, self.args))
        elif self.args:
            self.args = {key: _plain(value) for key, value in self.args.items()}
        if self.exc_info and self.exc_info[0] is not None:
            lines = logging.Formatter().formatException(self.exc_info).splitlines()
            self.exc_text = "\n".join(f"{_INDENT}{plain(line)}" for line in lines)

    def getMessage(self) -> str:  # noqa: N802
        """One line, whoever has put it together."""
        text = super().getMessage()
        return text if text.isprintable() else _CONTROL.sub(lambda m: m[0].encode("unicode_escape").decode(), text)


def _plain(value: Any) -> Any:
    return value if isinstance(value, _KEPT) else plain(str(value))


def use() -> None:
    """From now on, for every logger of the process."""
    logging.setLogRecordFactory(Line)
