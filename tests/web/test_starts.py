from __future__ import annotations

from typing import Any

from sdcpd.codec.status import Status
from sdcpd.fleet import Reachability
from sdcpd.orders import Orders
from sdcpd.scopes import granted
from sdcpd.web.client import Client
from sdcpd.web.starts import Started, Starts
from tests.web.rig import SATURN, WebCase, printing


class StartsTests(WebCase):
    """What becomes of a print that a slicer wants with its upload."""

    def setUp(self) -> None:
        super().setUp()
        self.rig.announce()
        self.rig.connect()
        self.rig.publish(Status((0,)))
        self.rig.put()
        self.starts = Starts(self.rig.fleet, Orders(self.rig.fleet, self.rig.jobs, self.rig.store))

    def with_upload(self, *scopes: str) -> Started:
        client = Client("127.0.0.1", True, granted(scopes))
        file = self.rig.store.get("plate.goo")
        return self.successResultOf(self.starts.with_upload(client, self.rig.fleet.get(SATURN), file))

    def told(self) -> list[Any]:
        return [dict(e.data) for e in self.rig.fleet.happenings(0) if e.type == "print_not_started"]

    def test_started(self) -> None:
        """A free printer begins, and nothing else is told."""
        self.assertEqual(self.with_upload("upload", "control"), Started(True))
        self.assertEqual([job.file for job in self.rig.jobs.all()], ["plate.goo"])
        self.assertEqual(self.told(), [])

    def test_no_scope(self) -> None:
        """Who may only upload starts nothing and lets nothing wait, and is told which permission is missing."""
        found = self.with_upload("upload", "queue")
        self.assertEqual((found.started, found.queued, self.rig.jobs.all()), (False, False, []))
        self.assertIn("'control'", found.message)
        self.assertEqual(self.told(), [{"file": "plate.goo", "queued": False, "message": found.message}])

    def test_busy(self) -> None:
        """While the printer prints the file waits for its turn, if the client may queue; the event says so, too."""
        self.rig.publish(printing(5))
        found = self.with_upload("upload", "control")
        self.assertEqual((found.started, found.queued, self.rig.jobs.all()), (False, False, []))
        self.assertNotIn("queue", found.message)
        found = self.with_upload("upload", "control", "queue")
        self.assertEqual((found.started, found.queued), (False, True))
        self.assertIn("It waits in the printer's queue.", found.message)
        self.assertEqual([job.file for job in self.rig.jobs.queue(SATURN)], ["plate.goo"])
        self.assertEqual([told["queued"] for told in self.told()], [False, True])

    def test_off(self) -> None:
        """A printer that is off is no reason to fail: the file is stored, and the message says what is wrong."""
        self.rig.links.closed(self.rig.links.session(SATURN), "it is off")
        self.rig.fleet.change(SATURN, reachability=Reachability.OFFLINE)
        found = self.with_upload("upload", "control", "queue")
        self.assertEqual((found.started, found.queued), (False, False))
        self.assertTrue(found.message)
        self.assertEqual(self.told()[0]["message"], found.message)
