"""A board at the printers' door, and the daemon's core behind that door."""

from __future__ import annotations

import json

from sdcpd.broker import Server
from sdcpd.broker.printers import PRINTERS_LIMITS, PrintersPolicy
from sdcpd.codec import mqtt
from sdcpd.codec.mqtt import Publish
from sdcpd.codec.sdcp import Command
from sdcpd.fleet import Fleet
from sdcpd.links import Links
from tests.broker.kit import Client, ServerTestCase, connect_packet
from tests.client_packets import encode
from tests.fakes import HOME, ID, announcement, response_payload, wall

__all__ = ["OWN", "Board", "PrintersTestCase", "commands"]

OWN = f"/sdcp/request/{ID}"
"""Where the board is asked."""


class Board(Client):
    """A printer's side of one connection."""

    def __init__(self, server: Server, address: str = HOME) -> None:
        super().__init__(server, address)

    def got(self) -> bytes:
        """What the server sent since the last look."""
        data: bytes = self.wire.value()
        self.wire.clear()
        return data

    def come_up(self, qos: int = 1) -> None:
        """Connect, subscribe and be greeted."""
        self.connect(ID)
        self.subscribe(OWN, qos=qos)
        for _ in range(3):
            for request in self.requests():
                if request.qos:
                    self.say(mqtt.PubAck(request.packet_id))
                self.answer(request)
        self.got()

    def requests(self) -> list[Publish]:
        """The requests that were sent since the last look."""
        return [packet for packet in self.take() if isinstance(packet, Publish)]

    def answer(self, request: Publish, ack: object = 0) -> None:
        """Acknowledge a request as a printer does, by a message."""
        asked = json.loads(request.payload)["Data"]
        self.tell("response", response_payload(asked["RequestID"], asked["Cmd"], ack))

    def tell(self, kind: str, payload: bytes, qos: int = 0, packet_id: int = 0, dup: bool = False) -> None:
        """Publish on a topic of its own."""
        self.publish(f"/sdcp/{kind}/{ID}", payload, qos, packet_id, dup=dup)

    def call(self, keep_alive: int = 0) -> None:
        """Connect and subscribe; what is sent back stays there."""
        self.raw(encode(connect_packet(ID, keep_alive=keep_alive)))
        self.raw(encode(mqtt.Subscribe(1, ((OWN, 1),))))


class PrintersTestCase(ServerTestCase):
    """The printers' door; one printer was discovered at ``HOME``."""

    def setUp(self) -> None:
        super().setUp()
        self.fleet = Fleet(self.clock, wall, [])
        self.links = Links(self.fleet, self.clock, wall)
        self.policy = PrintersPolicy(self.router, self.fleet, self.links, self.clock)
        self.printers = Server(self.clock, self.router, self.policy, PRINTERS_LIMITS)
        self.printers.doStart()
        self.addCleanup(self.stop)
        self.fleet.announced(announcement(), HOME)

    def stop(self) -> None:
        if self.printers.numPorts:
            self.printers.doStop()

    def board(self, address: str = HOME) -> Board:
        return Board(self.printers, address)

    def ready(self, qos: int = 1) -> Board:
        board = self.board()
        board.come_up(qos)
        return board

    def ask(self, command: Command = Command.STATUS) -> None:
        """Send a request whose outcome nobody looks at."""
        self.links.session(ID).request(command).addErrback(lambda _: None)

    def said(self, *words: str) -> bool:
        """Whether one line of the log has all these words."""
        return any(all(word in line for word in words) for line in self.lines)


def commands(requests: list[Publish]) -> list[int]:
    """The Cmd of each request."""
    return [json.loads(request.payload)["Data"]["Cmd"] for request in requests]
