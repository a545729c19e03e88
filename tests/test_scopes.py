from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.scopes import SCOPES, granted


class GrantedTests(SynchronousTestCase):
    def test_alone(self) -> None:
        """Each scope allows itself and looking, and nothing else: upload is not start, start is not plate."""
        for scope in SCOPES[:-1]:
            self.assertEqual(granted((scope,)), {scope, "view"})

    def test_admin(self) -> None:
        """An admin may do everything."""
        self.assertEqual(granted(("admin",)), set(SCOPES))

    def test_nothing(self) -> None:
        """Who was given nothing may not even look."""
        self.assertEqual(granted(()), frozenset())
