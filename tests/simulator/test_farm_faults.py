"""Faults that need real sockets to be seen, on real sockets."""

from __future__ import annotations

import json

from twisted.internet.task import deferLater

from sdcpd.codec.mqtt import Connect, Subscribe
from sdcpd.simulator.link import LinkState
from sdcpd.simulator.rawmqtt import oversized_length, publish_packet
from tests.client_packets import encode
from tests.simulator.test_farm import BODY, FIRST, HUB, FarmCase, reactor


class TransferFaultTests(FarmCase):
    def finished(self) -> bool:
        return bool(self.broker.statuses()) and self.broker.statuses()[-1]["FileTransferInfo"]["Status"] in (2, 3)

    async def fetched(self, **changes: object) -> int:
        self.broker.sessions[-1].request(256, self.fetch(**changes))
        await self.broker.until(self.finished)
        status: int = self.broker.statuses()[-1]["FileTransferInfo"]["Status"]
        return status

    async def test_drop_and_range(self) -> None:
        """A transfer that was reset in mid-body continues with Range, and the file is whole."""
        await self.connected()
        printer = self.farm.printers[0]
        printer.inject("drop", at=0.5, retry="range")
        self.assertEqual(await self.fetched(Check=1), 2)
        ranges = [e.detail["range"] for e in printer.log if e.kind == "http" and e.detail["method"] == "GET"]
        self.assertEqual(ranges, ["", f"bytes={len(BODY) // 2}-"])
        self.assertEqual(self.farm.violations, [])

    async def test_nobody_serves(self) -> None:
        """A file server that is not there fails the transfer."""
        await self.connected()
        await self.http.stopListening()
        self.http = reactor.listenTCP(0, self.files, interface="127.20.0.3")
        self.assertEqual(await self.fetched(), 3)

    async def test_not_found(self) -> None:
        """A path that the server does not know fails the transfer."""
        await self.connected()
        self.assertEqual(await self.fetched(URL=str(self.fetch()["URL"]).replace("f" * 32, "e" * 32)), 3)

    async def test_garbage(self) -> None:
        """A garbage request is written as such, and the transfer fails."""
        await self.connected()
        self.farm.printers[0].inject("http", kind="garbage", times=1)
        self.assertEqual(await self.fetched(), 3)

    async def test_link_lost(self) -> None:
        """The transfer ends well although the broker lost the printer; a new invitation brings the news."""
        await self.connected()
        printer = self.farm.printers[0]
        printer.inject("link-lost-in-transfer", at=0.1)
        self.broker.sessions[0].request(256, self.fetch())
        await printer.until(lambda p: p.status.transfer_info.status == 2)
        self.assertIs(printer.link_state, LinkState.DOWN)
        self.invite()
        await self.broker.until(lambda: len(self.broker.sessions) == 2 and self.finished())
        self.assertEqual(self.broker.statuses()[-1]["FileTransferInfo"]["Status"], 2)


class LinkFaultTests(FarmCase):
    profiles = ("M4U-1.3.0",)

    async def test_host_form(self) -> None:
        """A Mars 4 Ultra that is sent to a host goes there."""
        self.ear.say(b"M66666 %s %d" % (HUB.encode(), self.mqtt.getHost().port), FIRST, self.port)
        await self.broker.until(lambda: self.broker.messages)
        self.assertEqual(self.broker.sessions[0].peer, FIRST)

    async def test_refused(self) -> None:
        """A printer that finds no broker says so in its log, three times."""
        self.ear.say(b"M66666 1", FIRST, self.port)
        await self.farm.printers[0].until(lambda p: p.counts.kinds["refused"] == 3)

    async def test_half_open(self) -> None:
        """A half-open connection stays open for the broker, and is reset when the printer is back."""
        await self.connected()
        printer, session = self.farm.printers[0], self.broker.sessions[0]
        printer.power_off()
        session.request(0)
        await deferLater(reactor, 0.1)
        self.assertIsNone(session.ended)
        printer.power_on()
        await self.broker.until(lambda: session.ended)
        self.invite()
        await self.broker.until(lambda: len(self.broker.sessions) == 2)

    async def test_twin(self) -> None:
        """The same client id appears twice."""
        await self.connected()
        self.farm.printers[0].inject("twin")
        await self.broker.until(lambda: len(self.broker.sessions) == 2)
        self.assertEqual(len({session.client_id for session in self.broker.sessions}), 1)
        self.assertIsNone(self.broker.sessions[0].ended)

    async def test_big_payloads(self) -> None:
        """A reply of 60 kB comes through UDP, a message of a megabyte is sent through MQTT."""
        printer = self.farm.printers[0]
        printer.inject("bad-reply", kind="huge")
        heard = self.ear.until(1)
        self.ear.say(b"M99999", FIRST, self.port)
        await heard
        self.assertGreater(len(self.ear.heard[0][0]), 60_000)
        await self.connected()
        printer.inject("garbage", kind="megabyte")
        await self.broker.until(lambda: len(self.broker.messages[-1][1]) > 1_000_000)

    async def test_raw_packets(self) -> None:
        """The hand-written packets say what a printer says."""
        from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
        from twisted.internet.protocol import Protocol

        endpoint = TCP4ClientEndpoint(reactor, HUB, self.mqtt.getHost().port, bindAddress=(FIRST, 0))
        raw = await connectProtocol(endpoint, Protocol())
        body = json.dumps({"x": "y" * 300}).encode()
        packets = (
            encode(Connect("ID", True, 20, None, None, None)),
            encode(Subscribe(1, (("/a", 1), ("/b", 1)))),
            publish_packet("/sdcp/status/ID", body, qos=1, packet_id=3, dup=True),
        )
        for byte in b"".join(packets):
            raw.transport.write(bytes([byte]))
        await self.broker.until(lambda: self.broker.messages)
        session = self.broker.sessions[0]
        self.assertEqual((session.client_id, session.keepalive, session.filters), ("ID", 20, ["/a", "/b"]))
        self.assertEqual(self.broker.messages, [("/sdcp/status/ID", body, True)])
        self.assertEqual(len(oversized_length()), 6)


class ManyTests(FarmCase):
    profiles = ("S3U-1.4.2", "M4U-1.3.0") * 50

    async def test_hundred(self) -> None:
        """A hundred printers in one process each call from their own address."""
        for index in range(100):
            self.invite(f"127.20.7.{2 + index}")
        await self.broker.until(lambda: len({topic for topic, _, _ in self.broker.messages}) == 100)
        peers = {session.client_id: session.peer for session in self.broker.sessions}
        self.assertEqual(peers, {printer.id: printer.spec.address for printer in self.farm.printers})
        self.assertEqual(self.farm.violations, [])
