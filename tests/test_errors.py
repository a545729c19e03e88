from __future__ import annotations

from twisted.trial.unittest import TestCase

from sdcpd.errors import FileMissing, NotNow


class SentenceTests(TestCase):
    """An error where there is room for one text."""

    def test_message_and_hint(self) -> None:
        """What went wrong and what to do are two sentences, however the first of them was written."""
        for message in ("Saturn is printing.", "Saturn is printing"):
            self.assertEqual(NotNow(message, "Wait for its end.").sentence, "Saturn is printing. Wait for its end.")

    def test_no_hint(self) -> None:
        """Where nothing can be done, the message stands as it is, without a blank behind it."""
        self.assertEqual(FileMissing("no file 'a' is stored").sentence, "no file 'a' is stored")
