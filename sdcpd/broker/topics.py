"""Who subscribed to what: filters on one side, the topic of a message on the other.

One decision: a filter without wildcards is a dict entry, any other is a path in a tree that is walked level by level.
What a message costs depends on the subscriptions that match it and on the wildcards at its own levels, not on how
many others there are. Answers are kept until somebody subscribes or leaves: topics are said again and again.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Subscriptions", "filter_size", "is_reserved"]

S = TypeVar("S", bound=Hashable)

_REMEMBERED = 50_000
"""How many topics and subscribers of theirs are kept as answers, in all."""

_ENTRY, _LEVEL = 300, 400  # bytes, about


def filter_size(topic_filter: str) -> int:
    """About what it costs to keep, in bytes, where no other filter begins like it."""
    wild = "+" in topic_filter or "#" in topic_filter
    return _ENTRY + len(topic_filter) + (_LEVEL * (topic_filter.count("/") + 1) if wild else 0)


def is_reserved(topic: str) -> bool:
    """Whether a wildcard in the first level passes the topic by [MQTT-4.7.2-1]."""
    return topic[0] == "$"


class _Node(Generic[S]):
    """One level of the filters that begin alike; ``+`` and ``#`` are children like any other."""

    __slots__ = ("children", "subscribers")

    def __init__(self) -> None:
        self.children: dict[str, _Node[S]] = {}
        self.subscribers: dict[S, int] = {}


class Subscriptions(Generic[S]):
    """Subscribers by topic filter, each with the QoS that was granted. Filters are taken for valid."""

    __slots__ = ("_answers", "_answers_size", "_count", "_exact", "_root")

    def __init__(self) -> None:
        self._exact: dict[str, dict[S, int]] = {}
        self._root: _Node[S] = _Node()
        self._count = 0
        self._answers: dict[str, tuple[tuple[S, int], ...]] = {}
        self._answers_size = 0

    def __len__(self) -> int:
        return self._count

    def add(self, topic_filter: str, subscriber: S, qos: int) -> None:
        """Subscribe, or change the QoS of that very subscription [MQTT-3.8.4-3]."""
        self._forget_answers()
        if "+" in topic_filter or "#" in topic_filter:
            node = self._root
            for level in topic_filter.split("/"):
                node = node.children.get(level) or node.children.setdefault(level, _Node())
            subscribers = node.subscribers
        else:
            subscribers = self._exact.setdefault(topic_filter, {})
        self._count += subscriber not in subscribers
        subscribers[subscriber] = qos

    def remove(self, topic_filter: str, subscriber: S) -> bool:
        """Unsubscribe; whether there was such a subscription. Empty branches go with it."""
        self._forget_answers()
        if "+" not in topic_filter and "#" not in topic_filter:
            subscribers = self._exact.get(topic_filter)
            if subscribers is None or subscribers.pop(subscriber, None) is None:
                return False
            if not subscribers:
                del self._exact[topic_filter]
            self._count -= 1
            return True
        path: list[tuple[_Node[S], str]] = []
        node = self._root
        for level in topic_filter.split("/"):
            child = node.children.get(level)
            if child is None:
                return False
            path.append((node, level))
            node = child
        if node.subscribers.pop(subscriber, None) is None:
            return False
        self._count -= 1
        while path and not node.subscribers and not node.children:
            node, level = path.pop()
            del node.children[level]
        return True

    def match(self, topic: str) -> tuple[tuple[S, int], ...]:
        """Each subscriber once, with the highest QoS of all its filters that match [MQTT-3.3.5-1].

        What comes back never changes: whoever is delivered to may subscribe or leave meanwhile.
        """
        answer = self._answers.get(topic)
        if answer is None:
            answer = self._match(topic)
            self._answers_size += 1 + len(answer)
            if self._answers_size > _REMEMBERED:
                self._forget_answers()
            else:
                self._answers[topic] = answer
        return answer

    def _forget_answers(self) -> None:
        self._answers.clear()
        self._answers_size = 0

    def _match(self, topic: str) -> tuple[tuple[S, int], ...]:
        found = self._walk(topic) if self._root.children else []
        if (exact := self._exact.get(topic)) is not None:
            found.append(exact)
        if len(found) < 2:
            return tuple(found[0].items()) if found else ()
        best: dict[S, int] = {}
        for subscribers in found:
            for subscriber, qos in subscribers.items():
                if qos >= best.get(subscriber, 0):
                    best[subscriber] = qos
        return tuple(best.items())

    def _walk(self, topic: str) -> list[dict[S, int]]:
        found: list[dict[S, int]] = []
        levels = topic.split("/")
        nodes = [self._root]
        open_to_wildcards = not is_reserved(topic)
        for level in levels:
            deeper = []
            for node in nodes:
                children = node.children
                if open_to_wildcards:
                    if (rest := children.get("#")) is not None:
                        found.append(rest.subscribers)
                    if (any_level := children.get("+")) is not None:
                        deeper.append(any_level)
                if (same := children.get(level)) is not None:
                    deeper.append(same)
            if not deeper:
                return found
            nodes = deeper
            open_to_wildcards = True
        for node in nodes:
            if node.subscribers:
                found.append(node.subscribers)
            if (rest := node.children.get("#")) is not None:  # "a/#" is "a" as well
                found.append(rest.subscribers)
        return found
