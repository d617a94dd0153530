"""What others have given us and we keep for a while: tokens, and what a server said of itself. Whoever gives may be
hostile, so that the size, the life and the number of what is kept are bounded here.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict

from fluxless import limits
from fluxless.transport import Proxy, Tls

EARLY = 30.0
"""Seconds before its end at which a token is not used any more."""
_VISIBLE = re.compile(r"[!-~]+")


def sound(token: str) -> bool:
    """Whether a header may carry a token: it is visible ASCII, and not too long."""
    return len(token) <= limits.TOKEN_BYTES and _VISIBLE.fullmatch(token) is not None


def key_of(*parts: str, tls: Tls, proxy: Proxy | None) -> str:
    """One key for those who say the same, trust and show the same TLS, and go through the same proxy. Another's TLS or
    proxy may have put words into a server's mouth: what was learnt there is for nobody else.
    """
    way = (tls.ca, tls.certificate, tls.key, tls.insecure, proxy and (proxy.address, proxy.username, proxy.password))
    return hashlib.sha256(repr((parts, way)).encode()).hexdigest()


class Earned:
    """By key, while it lasts; what was not used for the longest time goes first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str) -> str:
        """What is kept, or empty."""
        kept, until = self._known.get(key, ("", 0.0))
        if not kept:
            return ""
        if time.monotonic() >= until - EARLY:
            del self._known[key]
            return ""
        self._known.move_to_end(key)
        return kept

    def put(self, key: str, value: str, life: float) -> bool:
        """Keep it for `life` seconds, at most `limits.TOKEN_LIFE`. Whether another had to go for it."""
        self._known.pop(key, None)
        if not life > EARLY:  # none of a number that is none
            return False
        self._known[key] = (value, time.monotonic() + min(life, limits.TOKEN_LIFE))
        if len(self._known) <= self._limit:
            return False
        self._known.popitem(last=False)
        return True

    def forget(self, key: str) -> None:
        """It was refused."""
        self._known.pop(key, None)

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()
