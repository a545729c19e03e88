"""Retained messages: the last word on each topic, and no more of them than there is room for."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.broker.retained import Retained
from tests.broker.test_topics import FILTERS, TOPICS, naive


class RetainedTests(SynchronousTestCase):
    """What is kept, found, replaced and removed."""

    def setUp(self) -> None:
        self.retained = Retained(100, 100_000)

    def found(self, topic_filter: str) -> list[tuple[str, bytes, int]]:
        return sorted((m.topic, m.payload, m.qos) for m in self.retained.match(topic_filter))

    def test_last_one(self) -> None:
        """The last message of a topic replaces the one before, whatever their QoS [MQTT-3.3.1-5] [MQTT-3.3.1-7]."""
        self.assertTrue(self.retained.put("a", b"1", 2))
        self.assertTrue(self.retained.put("a", b"2", 0))
        self.assertEqual(self.found("a"), [("a", b"2", 0)])
        self.assertEqual(self.found("#"), [("a", b"2", 0)])
        self.assertEqual(len(self.retained), 1)

    def test_empty(self) -> None:
        """An empty payload removes the message and is not kept itself [MQTT-3.3.1-10] [MQTT-3.3.1-11]."""
        self.retained.put("a/b", b"1", 1)
        self.assertTrue(self.retained.put("a/b", b"", 1))
        self.assertTrue(self.retained.put("never/there", b"", 1))
        self.assertEqual((self.found("#"), len(self.retained), self.retained.bytes), ([], 0, 0))
        self.assertEqual(self.retained._root.children, {})

    def test_filters(self) -> None:
        """Wildcards find retained messages as they find new ones, '$' included [MQTT-4.7.2-1]."""
        for topic in ("a", "a/b", "a/b/c", "/a", "$SYS/a", "b/$a"):
            self.retained.put(topic, b"x", 0)
        for topic_filter, topics in {
            "#": ["/a", "a", "a/b", "a/b/c", "b/$a"],
            "+": ["a"],
            "+/+": ["/a", "a/b", "b/$a"],
            "a/#": ["a", "a/b", "a/b/c"],
            "a/+": ["a/b"],
            "$SYS/#": ["$SYS/a"],
            "+/a": ["/a"],
            "a/b/c/d": [],
            "a/+/c/#": ["a/b/c"],
        }.items():
            self.assertEqual([topic for topic, _, _ in self.found(topic_filter)], topics, topic_filter)

    def test_count(self) -> None:
        """When there are enough of them a new topic is not kept, and the old ones stay and can be changed."""
        for number in range(100):
            self.assertTrue(self.retained.put(f"t/{number}", b"x", 0))
        self.assertFalse(self.retained.put("t/new", b"x", 0))
        self.assertTrue(self.retained.put("t/5", b"y", 0))
        self.assertEqual(len(self.retained), 100)
        self.assertTrue(self.retained.put("t/5", b"", 0))
        self.assertTrue(self.retained.put("t/new", b"x", 0))

    def test_bytes(self) -> None:
        """A message that does not fit is not kept, and the old one of its topic is not shown as if it were new."""
        self.assertTrue(self.retained.put("a", b"x" * 60_000, 0))
        self.assertFalse(self.retained.put("b", b"x" * 60_000, 0))
        self.assertEqual(len(self.found("#")), 1)
        self.assertFalse(self.retained.put("a", b"x" * 100_000, 0))
        self.assertEqual((self.found("#"), self.retained.bytes), ([], 0))

    def test_deep(self) -> None:
        """A topic of 60,000 levels pays for its levels."""
        self.assertFalse(self.retained.put("/" * 60_000, b"x", 0))

    @settings(max_examples=300, derandomize=True, deadline=None)
    @given(st.lists(st.tuples(TOPICS, st.sampled_from([b"", b"1", b"2"])), max_size=15), FILTERS)
    def test_like_naive(self, said: list[tuple[str, bytes]], topic_filter: str) -> None:
        """A subscriber gets exactly the last messages of the topics that match [MQTT-3.3.1-6]."""
        retained = Retained(100, 100_000)
        model: dict[str, bytes] = {}
        for topic, payload in said:
            retained.put(topic, payload, 1)
            model[topic] = payload
            if not payload:
                del model[topic]
        want = sorted((topic, payload) for topic, payload in model.items() if naive(topic_filter, topic))
        self.assertEqual(sorted((m.topic, m.payload) for m in retained.match(topic_filter)), want)
        for topic in model:
            retained.put(topic, b"", 0)
        self.assertEqual((retained.bytes, retained._root.children), (0, {}))
