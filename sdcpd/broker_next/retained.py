"""Retained messages: the last word on each topic, for whoever subscribes later.

One decision: what does not fit is refused and what is there stays. An owner of old topics is not robbed by somebody
who makes up new ones.
"""

from __future__ import annotations

from sdcpd.broker.message import Message
from sdcpd.broker.topics import is_reserved

__all__ = ["Retained"]

_NODE = 320
"""About what one level of a topic costs in the tree."""


class _Node:
    """One level of the topics that begin alike."""

    __slots__ = ("children", "message")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.message: Message | None = None


class Retained:
    """One message for each topic, at most ``max_messages`` and ``max_bytes`` (what keeping them costs included)."""

    __slots__ = ("_by_topic", "_max_bytes", "_max_messages", "_root", "bytes")

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._by_topic: dict[str, Message] = {}
        self._root = _Node()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._by_topic)

    def put(self, topic: str, payload: bytes, qos: int, limited: bool = True) -> bool:
        """Keep this instead of what was there; whether there was room. An empty payload only removes.

        ``limited`` is false for the daemon's own: there are only so many, and clients must not crowd them out.
        """
        self._remove(topic)
        if not payload:  # [MQTT-3.3.1-11]
            return True
        message = Message(topic, payload, qos)
        size = _size(message)
        if limited and (len(self._by_topic) >= self._max_messages or self.bytes + size > self._max_bytes):
            return False
        self._by_topic[topic] = message
        self.bytes += size
        node = self._root
        for level in topic.split("/"):
            node = node.children.get(level) or node.children.setdefault(level, _Node())
        node.message = message
        return True

    def match(self, topic_filter: str) -> list[Message]:
        """The messages whose topics match the (valid) filter."""
        if "+" not in topic_filter and "#" not in topic_filter:
            message = self._by_topic.get(topic_filter)
            return [] if message is None else [message]
        nodes = [self._root]
        for level in topic_filter.split("/"):
            if level == "#":
                return _below(nodes, self._root)
            deeper: list[_Node] = []
            for node in nodes:
                if level == "+":
                    deeper += _children(node, self._root)
                elif (child := node.children.get(level)) is not None:
                    deeper.append(child)
            nodes = deeper
        return [node.message for node in nodes if node.message is not None]

    def _remove(self, topic: str) -> None:
        message = self._by_topic.pop(topic, None)
        if message is None:
            return
        self.bytes -= _size(message)
        path: list[tuple[_Node, str]] = []
        node = self._root
        for level in topic.split("/"):
            path.append((node, level))
            node = node.children[level]
        node.message = None
        while path and node.message is None and not node.children:
            node, level = path.pop()
            del node.children[level]


def _size(message: Message) -> int:
    return message.size + _NODE * (message.topic.count("/") + 1)


def _children(node: _Node, root: _Node) -> list[_Node]:
    if node is not root:
        return list(node.children.values())
    # An empty first level ("/a") is as good as any other.
    return [child for level, child in node.children.items() if not level or not is_reserved(level)]


def _below(nodes: list[_Node], root: _Node) -> list[Message]:
    """Everything at these nodes and under them: "a/#" is "a" as well."""
    found = []
    while nodes:
        node = nodes.pop()
        if node.message is not None:
            found.append(node.message)
        nodes += _children(node, root)
    return found
