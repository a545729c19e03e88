"""What a client of the push wants to hear: its ``subscribe`` and ``throttle``.

One decision: whoever subscribes names everything it wants, and what it does not name is off, as with the real server.
A pattern for log lines is taken only as far as it cannot keep the daemon busy: no groups, one repetition.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

__all__ = ["EVERYTHING", "Lines", "Subscription", "chosen", "subscription_of", "throttle_of"]

MOST_EVENTS = 100
"""Names of events in one subscription."""
LONGEST_PATTERN = 200
MOST_THROTTLE = 7200
"""Of half a second each: an hour."""

Lines = bool | re.Pattern[str]
"""Whether log lines are wanted, or which."""


class Subscription(Struct, frozen=True):
    """What is wanted."""

    state: bool = True
    """``history`` and ``current``."""
    logs: Lines = True
    messages: Lines = True
    events: frozenset[str] | bool = True

    def wants(self, event: str) -> bool:
        """Whether an event of this name is wanted."""
        return self.events if isinstance(self.events, bool) else event in self.events


EVERYTHING = Subscription()
"""What a client hears that never subscribed."""


def chosen(wanted: Lines, lines: Iterable[str]) -> list[str]:
    """The lines that are wanted."""
    if isinstance(wanted, bool):
        return list(lines) if wanted else []
    return [line for line in lines if wanted.match(line)]


def subscription_of(value: object) -> Subscription:
    """What ``{"subscribe": value}`` means; raises ``ValueError`` if it means nothing."""
    if not isinstance(value, dict):
        raise ValueError("expected an object")
    state = value.get("state", False)
    logs: Lines
    messages: Lines
    if isinstance(state, bool):
        logs, messages = state, False
    elif isinstance(state, dict):
        logs, messages = _lines(state.get("logs", False)), _lines(state.get("messages", False))
    else:
        raise ValueError("state: expected a truth value or an object")
    _names(value.get("plugins", False))  # there are no messages of plugins
    return Subscription(state is not False, logs, messages, _names(value.get("events", False)))


def _names(value: Any) -> frozenset[str] | bool:
    if isinstance(value, bool):
        return value
    if not isinstance(value, list) or len(value) > MOST_EVENTS or not all(isinstance(name, str) for name in value):
        raise ValueError(f"expected a truth value or a list of at most {MOST_EVENTS} names")
    return frozenset(value)


def _lines(value: Any) -> Lines:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or len(value) > LONGEST_PATTERN:
        raise ValueError(f"expected a truth value or a pattern of at most {LONGEST_PATTERN} characters")
    bare = re.sub(r"\\.|\[[^]]*\]", "", value)
    if "(" in bare or sum(bare.count(sign) for sign in "*+?{") > 1:
        raise ValueError("expected a pattern without groups and with one repetition at most")
    try:
        return re.compile(value)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"expected a pattern: {error}") from None


def throttle_of(value: object) -> int:
    """What ``{"throttle": value}`` means: a multiple of half a second; raises ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("expected a number")
    throttle = int(value)
    if not 1 <= throttle <= MOST_THROTTLE:
        raise ValueError(f"expected a number from 1 to {MOST_THROTTLE}")
    return throttle
