"""Subscriptions by filter: what matches, what it costs, and that nothing stays behind."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.broker.topics import Subscriptions

LEVELS = st.sampled_from(["", "a", "b", "$s", "ä"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join).filter(bool)
FILTERS = (
    st.tuples(st.lists(st.one_of(LEVELS, st.just("+")), max_size=4), st.booleans())
    .map(lambda parts: "/".join([*parts[0], "#"] if parts[1] else parts[0]))
    .filter(bool)
)


def naive(topic_filter: str, topic: str) -> bool:
    """Matching as the standard tells it, level by level."""
    if topic[0] == "$" and topic_filter[0] in "+#":
        return False

    def rest(wanted: list[str], levels: list[str]) -> bool:
        if wanted[:1] == ["#"]:
            return True
        if not wanted or not levels:
            return wanted == levels
        return wanted[0] in ("+", levels[0]) and rest(wanted[1:], levels[1:])

    return rest(topic_filter.split("/"), topic.split("/"))


class SubscriptionsTests(SynchronousTestCase):
    """One filter at a time."""

    def assert_matches(self, topic_filter: str, topics: str, others: str = "") -> None:
        subscriptions: Subscriptions[str] = Subscriptions()
        subscriptions.add(topic_filter, "s", 1)
        for topic in topics.split():
            self.assertEqual(subscriptions.match(topic), (("s", 1),), topic)
        for topic in others.split():
            self.assertEqual(subscriptions.match(topic), (), topic)

    def test_exact(self) -> None:
        """A topic is matched character by character: case and empty levels count [MQTT-4.7.3-4]."""
        self.assert_matches("a/b", "a/b", "a a/B A/b a/b/ /a/b a//b a/b/c")
        self.assert_matches("/a", "/a", "a a/ //a")
        self.assert_matches("/", "/", "// a")

    def test_no_normalisation(self) -> None:
        """Letters that look alike are different letters [MQTT-4.7.3-4]."""
        self.assert_matches("\u00e9", "\u00e9", "e\u0301")

    def test_multi_level(self) -> None:
        """'#' stands for its parent and everything below [MQTT-4.7.1-2]."""
        self.assert_matches("a/#", "a a/ a/b a/b/c a//", "b ab /a A")
        self.assert_matches("#", "a / /a a/b/c ä")

    def test_single_level(self) -> None:
        """'+' stands for one level anywhere, also an empty one [MQTT-4.7.1-3]."""
        self.assert_matches("a/+", "a/b a/", "a a/b/c b/a")
        self.assert_matches("+", "a ä", "/a a/b /")
        self.assert_matches("+/+", "/a a/b /", "a a/b/c")
        self.assert_matches("+/b/+", "a/b/c /b/", "a/c/b b")
        self.assert_matches("+/b/#", "a/b a/b/c/d", "a b/b/b".replace("b/b/b", "b"))

    def test_reserved(self) -> None:
        """A wildcard in front does not reach topics that begin with '$' [MQTT-4.7.2-1]."""
        self.assert_matches("#", "SYS/a", "$SYS $SYS/a")
        self.assert_matches("+/a", "SYS/a", "$SYS/a")
        self.assert_matches("$SYS/#", "$SYS $SYS/a", "SYS")
        self.assert_matches("$SYS/+", "$SYS/a $SYS/$a")
        self.assert_matches("a/#", "a/$b")
        self.assert_matches("/#", "/$b")

    def test_overlap(self) -> None:
        """Who has several filters that match is named once, with the highest QoS [MQTT-3.3.5-1]."""
        for filters in (("a/b", "a/#", "+/b"), ("+/b", "a/b", "a/#"), ("a/#", "+/b", "a/b")):
            subscriptions: Subscriptions[str] = Subscriptions()
            for qos, topic_filter in enumerate(filters):
                subscriptions.add(topic_filter, "s", qos)
            subscriptions.add("a/b", "other", 0)
            self.assertEqual(sorted(subscriptions.match("a/b")), [("other", 0), ("s", 2)])

    def test_replace(self) -> None:
        """The same filter again only changes the QoS [MQTT-3.8.4-3]."""
        for topic_filter in ("a", "a/#"):
            subscriptions: Subscriptions[str] = Subscriptions()
            subscriptions.add(topic_filter, "s", 2)
            subscriptions.add(topic_filter, "s", 0)
            self.assertEqual(subscriptions.match("a"), (("s", 0),))
            self.assertEqual(len(subscriptions), 1)

    def test_remove(self) -> None:
        """Only the very filter is removed, and only for that subscriber [MQTT-3.10.4-1]."""
        subscriptions: Subscriptions[str] = Subscriptions()
        for topic_filter in ("a/b", "a/+", "a/#"):
            subscriptions.add(topic_filter, "s", 1)
            subscriptions.add(topic_filter, "other", 1)
        for unknown in ("a", "+/b", "#", "a/b/#", "a/B", "+", "a/+/#"):
            self.assertFalse(subscriptions.remove(unknown, "s"))
        for topic_filter in ("a/b", "a/+"):
            self.assertTrue(subscriptions.remove(topic_filter, "s"))
            self.assertFalse(subscriptions.remove(topic_filter, "s"))
        self.assertEqual(dict(subscriptions.match("a/b")), {"s": 1, "other": 1})
        self.assertTrue(subscriptions.remove("a/#", "s"))
        self.assertEqual(subscriptions.match("a/b"), (("other", 1),))
        self.assertEqual(len(subscriptions), 3)

    def test_deep(self) -> None:
        """A filter of 65,535 levels neither breaks nor stays behind."""
        subscriptions: Subscriptions[str] = Subscriptions()
        deep = "/" * 65_533
        subscriptions.add(deep + "+", "s", 1)
        self.assertEqual(subscriptions.match(deep + "x"), (("s", 1),))
        self.assertEqual(subscriptions.match(deep), (("s", 1),))
        self.assertTrue(subscriptions.remove(deep + "+", "s"))
        self.assertEqual(subscriptions._root.children, {})
        subscriptions.add(deep + "+", "s", 1)  # and dropped as it is, with the whole tree
        del subscriptions

    def test_nothing_stays(self) -> None:
        """After the last subscriber of a filter has gone its branch is gone, and those of others are not."""
        subscriptions: Subscriptions[int] = Subscriptions()
        filters = ["a/b/c", "a/+/c", "a/#", "+/b/c", "#", "a/+/c/d"]
        for topic_filter in filters:
            for subscriber in range(3):
                subscriptions.add(topic_filter, subscriber, 0)
        for topic_filter in filters:
            for subscriber in range(3):
                self.assertIn((subscriber, 0), [*subscriptions.match("a/b/c"), *subscriptions.match("a/x/c/d")])
                self.assertTrue(subscriptions.remove(topic_filter, subscriber))
        self.assertEqual((len(subscriptions), subscriptions._exact, subscriptions._root.children), (0, {}, {}))

    def test_changes_while_delivering(self) -> None:
        """Who is being delivered to may subscribe and leave: the answer of before does not change."""
        subscriptions: Subscriptions[int] = Subscriptions()
        for subscriber in range(10):
            subscriptions.add("a", subscriber, 0)
        seen = []
        for subscriber, _ in subscriptions.match("a"):
            seen.append(subscriber)
            subscriptions.remove("a", subscriber)
            subscriptions.add("a", subscriber + 100, 0)
        self.assertEqual(seen, list(range(10)))
        self.assertEqual(len(subscriptions.match("a")), 10)

    def test_bounded_answers(self) -> None:
        """However many topics are said, only so many answers are kept."""
        subscriptions: Subscriptions[int] = Subscriptions()
        subscriptions.add("#", 1, 0)
        for number in range(60_000):
            self.assertEqual(subscriptions.match(f"t/{number}"), ((1, 0),))
        self.assertLess(len(subscriptions._answers), 50_000)
        subscriptions.remove("#", 1)
        self.assertEqual(subscriptions._answers, {})


class MatchingTests(SynchronousTestCase):
    """Many filters at a time, beside the naive matcher."""

    @settings(max_examples=400, derandomize=True, deadline=None)
    @given(
        st.lists(st.tuples(FILTERS, st.integers(0, 2), st.integers(0, 3)), max_size=12), st.lists(TOPICS, max_size=6)
    )
    def test_like_naive(self, subscribed: list[tuple[str, int, int]], topics: list[str]) -> None:
        """Whatever is subscribed and removed again, the tree says what trying every filter says [MQTT-3.3.2-3]."""
        subscriptions: Subscriptions[int] = Subscriptions()
        model: dict[tuple[str, int], int] = {}
        for topic_filter, qos, subscriber in subscribed:
            subscriptions.add(topic_filter, subscriber, qos)
            model[topic_filter, subscriber] = qos
            self.check(subscriptions, model, topics)
        self.assertEqual(len(subscriptions), len(model))
        for topic_filter, subscriber in list(model):
            self.assertTrue(subscriptions.remove(topic_filter, subscriber))
            del model[topic_filter, subscriber]
            self.check(subscriptions, model, topics)
        self.assertEqual((subscriptions._exact, subscriptions._root.children), ({}, {}))

    def check(self, subscriptions: Subscriptions[int], model: dict[tuple[str, int], int], topics: list[str]) -> None:
        for topic in topics:
            want: dict[int, int] = {}
            for (topic_filter, subscriber), qos in model.items():
                if naive(topic_filter, topic):
                    want[subscriber] = max(qos, want.get(subscriber, 0))
            found = subscriptions.match(topic)
            self.assertEqual(dict(found), want)
            self.assertEqual(len(found), len(want))

    def test_cost(self) -> None:
        """A message costs the same among 10 and among 20,000 filters that it does not match: no filter is tried."""
        subscriptions: Subscriptions[int] = Subscriptions()
        visited: list[int] = []
        for count in (10, 20_000):
            for number in range(count):
                subscriptions.add(f"home/{number}/+", number, 0)
            visited.append(sum(1 for _ in subscriptions._walk("home/7/x")))
        self.assertEqual(visited, [1, 1])
