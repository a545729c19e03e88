"""The MQTT codec: pairs both ways, every cut, every rule with its clause, and garbage."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.mqtt import (
    PINGRESP,
    SUBACK_FAILURE,
    Connect,
    ConnectCode,
    Disconnect,
    MalformedPacket,
    Packet,
    PingReq,
    ProtocolViolation,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    ServerConnection,
    State,
    Subscribe,
    Unsubscribe,
    Will,
    connack,
    matches,
    puback,
    pubcomp,
    publish,
    pubrec,
    pubrel,
    suback,
    unsuback,
)
from sdcpd.errors import WireError
from tests.client_packets import encode

BOARD = "0001D2AB12CD34EF"
CONNECT = Connect(BOARD, True, 60, None, None, None)
CONNECT_BYTES = bytes.fromhex("101c00044d5154540402003c0010") + BOARD.encode()
REQUEST_TOPIC = bytes.fromhex("001e") + b"/sdcp/request/" + BOARD.encode()
STATUS_TOPIC = bytes.fromhex("001d") + b"/sdcp/status/" + BOARD.encode()

PAIRS: list[tuple[Packet, bytes]] = [
    (Publish("a/b", b"hello", 0, False, False, 0), b"\x30\x0a\x00\x03a/bhello"),
    (Publish("a/b", b"", 0, True, False, 0), b"\x31\x05\x00\x03a/b"),
    (Publish("a", b"x", 1, False, False, 1), b"\x32\x06\x00\x01a\x00\x01x"),
    (Publish("a", b"x", 1, True, True, 0xFFFF), b"\x3b\x06\x00\x01a\xff\xffx"),
    (Publish("a", b"", 2, False, True, 258), b"\x3c\x05\x00\x01a\x01\x02"),
    (Publish("\ufeffä/", b"\xff\x00", 0, False, False, 0), b"\x30\x0a\x00\x06\xef\xbb\xbf\xc3\xa4/\xff\x00"),
    (Publish("t" * 300, b"", 0, False, False, 0), b"\x30\xae\x02\x01\x2c" + b"t" * 300),
    (Publish("a", b"p" * 20000, 0, False, False, 0), b"\x30\xa3\x9c\x01\x00\x01a" + b"p" * 20000),
    (PubAck(7), b"\x40\x02\x00\x07"),
    (PubRec(0x1234), b"\x50\x02\x12\x34"),
    (PubRel(1), b"\x62\x02\x00\x01"),
    (PubComp(0xFFFF), b"\x70\x02\xff\xff"),
    (Subscribe(1, (("a", 1),)), b"\x82\x06\x00\x01\x00\x01a\x01"),
    (Subscribe(9, (("#", 0), ("+/b", 2))), b"\x82\x0c\x00\x09\x00\x01#\x00\x00\x03+/b\x02"),
    (Unsubscribe(2, ("a", "/+/#")), b"\xa2\x0b\x00\x02\x00\x01a\x00\x04/+/#"),
    (PingReq(), b"\xc0\x00"),
    (Disconnect(), b"\xe0\x00"),
]
CONNECTS: list[tuple[Packet, bytes]] = [
    (CONNECT, CONNECT_BYTES),
    (Connect("", True, 0, None, None, None), b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00"),
    (Connect("a", False, 0xFFFF, "", None, None), b"\x10\x0f\x00\x04MQTT\x04\x80\xff\xff\x00\x01a\x00\x00"),
    (
        Connect("a", True, 1, "ü", b"\xff\x00", Will("w", b"\xfe", 2, True)),
        b"\x10\x1b\x00\x04MQTT\x04\xf6\x00\x01\x00\x01a\x00\x01w\x00\x01\xfe\x00\x02\xc3\xbc\x00\x02\xff\x00",
    ),
    (
        Connect("a", True, 1, None, None, Will("w", b"", 0, False)),
        b"\x10\x12\x00\x04MQTT\x04\x06\x00\x01\x00\x01a\x00\x01w\x00\x00",
    ),
]


def opened(max_packet: int = 1 << 20) -> ServerConnection:
    """A connection that has read its CONNECT."""
    connection = ServerConnection(max_packet, 1024)
    list(connection.receive(CONNECT_BYTES))
    return connection


def read(
    connection: ServerConnection, pieces: Iterable[bytes]
) -> tuple[list[Packet], MalformedPacket | ProtocolViolation | None]:
    """Everything that comes out of the pieces, up to the error, if any."""
    packets: list[Packet] = []
    try:
        for piece in pieces:
            for packet in connection.receive(piece):
                packets.append(packet)
    except (MalformedPacket, ProtocolViolation) as error:
        return packets, error
    return packets, None


def singly(data: bytes) -> list[bytes]:
    """The bytes one by one."""
    return [data[i : i + 1] for i in range(len(data))]


def frame(first: int, body: bytes) -> bytes:
    """A packet around a body of less than 16384 bytes, with no check at all."""
    if len(body) < 128:
        return bytes((first, len(body))) + body
    return bytes((first, len(body) & 127 | 128, len(body) >> 7)) + body


def connect_frame(flags: int, fields: bytes, level: int = 4, name: bytes = b"\x00\x04MQTT") -> bytes:
    """A CONNECT with any flags around any fields."""
    return frame(0x10, name + bytes((level, flags)) + b"\x00\x3c" + fields)


class PairTests(SynchronousTestCase):
    """A packet and its bytes, in both directions."""

    def test_decode(self) -> None:
        """The broker understands every packet that a client may send."""
        for packet, data in PAIRS:
            self.assertEqual(read(opened(), [data]), ([packet], None))
        for packet, data in CONNECTS:
            self.assertEqual(read(ServerConnection(9999, 1024), [data]), ([packet], None))

    def test_encode(self) -> None:
        """The client of these tests sends what the standard prescribes, byte for byte."""
        for packet, data in PAIRS + CONNECTS:
            self.assertEqual(encode(packet), data)

    def test_types(self) -> None:
        """A payload is bytes and a flag is a bool, whatever the read was cut into."""
        for pieces in ([PAIRS[3][1]], singly(PAIRS[3][1])):
            (packet,), _ = read(opened(), pieces)
            assert isinstance(packet, Publish)
            kinds = [type(v) for v in (packet.topic, packet.payload, packet.qos, packet.retain, packet.dup)]
            self.assertEqual(kinds, [str, bytes, int, bool, bool])

    def test_frozen(self) -> None:
        """Nobody changes a message under the hands of the next subscriber."""
        packet, _ = PAIRS[0]
        with self.assertRaises(AttributeError):
            packet.topic = "b"  # type: ignore[misc,union-attr]  # the point of the test

    def test_answers(self) -> None:
        """The client gets exactly the answers of the standard."""
        for answer, expected in [
            (connack(False, ConnectCode.ACCEPTED), "20020000"),
            (connack(True, ConnectCode.ACCEPTED), "20020100"),
            (connack(False, ConnectCode.UNACCEPTABLE_PROTOCOL_VERSION), "20020001"),
            (connack(False, ConnectCode.IDENTIFIER_REJECTED), "20020002"),
            (connack(False, ConnectCode.SERVER_UNAVAILABLE), "20020003"),
            (connack(False, ConnectCode.BAD_USER_NAME_OR_PASSWORD), "20020004"),
            (connack(False, ConnectCode.NOT_AUTHORIZED), "20020005"),
            (puback(1), "40020001"),
            (pubrec(256), "50020100"),
            (pubrel(2), "62020002"),
            (pubcomp(0xFFFF), "7002ffff"),
            (suback(1, [1]), "9003000101"),
            (suback(10, (0, 1, 2, SUBACK_FAILURE)), "9006000a00010280"),
            (unsuback(3), "b0020003"),
            (PINGRESP, "d000"),
        ]:
            self.assertEqual(answer.hex(), expected)

    def test_publish_defaults(self) -> None:
        """A message without further wishes goes out at QoS 0 without an identifier."""
        self.assertEqual(publish("a/b", b"hello"), PAIRS[0][1])

    def test_remaining_length_steps(self) -> None:
        """Packets around each size of the length field go out and come in whole."""
        for remaining, header in [(127, 2), (128, 3), (16383, 3), (16384, 4), (2097151, 4), (2097152, 5)]:
            data = publish("a", bytes(remaining - 3))
            self.assertEqual(len(data), remaining + header)
            (packet,), error = read(opened(3 << 20), [data])
            assert isinstance(packet, Publish)
            self.assertEqual((len(packet.payload), error), (remaining - 3, None))


class AppendixTests(SynchronousTestCase):
    """The samples of what printers send and take."""

    def test_printer_connects(self) -> None:
        """A printer's CONNECT, SUBSCRIBE, PUBACK, PINGREQ and DISCONNECT are understood."""
        stream = CONNECT_BYTES + bytes.fromhex("82230001") + REQUEST_TOPIC + bytes.fromhex("01 40020001 c000 e000")
        topic = f"/sdcp/request/{BOARD}"
        expected = [CONNECT, Subscribe(1, ((topic, 1),)), PubAck(1), PingReq(), Disconnect()]
        self.assertEqual(read(ServerConnection(65536, 1024), [stream]), (expected, None))

    def test_printer_reports(self) -> None:
        """A printer's status of 392 bytes with identifier 7 comes through and is acknowledged."""
        payload = b'{"' + b" " * 389 + b"}"
        data = bytes.fromhex("32a903") + STATUS_TOPIC + b"\x00\x07" + payload
        expected = Publish(f"/sdcp/status/{BOARD}", payload, 1, False, False, 7)
        self.assertEqual(read(opened(), [data]), ([expected], None))
        self.assertEqual(puback(7), b"\x40\x02\x00\x07")

    def test_request(self) -> None:
        """A command of 185 bytes goes out in both of the forms that printers take."""
        payload = b'{"' + b" " * 182 + b"}"
        topic = f"/sdcp/request/{BOARD}"
        self.assertEqual(publish(topic, payload, 1, 1), bytes.fromhex("32db01") + REQUEST_TOPIC + b"\0\1" + payload)
        self.assertEqual(publish(topic, payload), bytes.fromhex("30d901") + REQUEST_TOPIC + payload)


class CutTests(SynchronousTestCase):
    """TCP cuts where it likes."""

    STREAM = CONNECT_BYTES + b"".join(data for _, data in PAIRS if len(data) < 1000)
    PACKETS = (CONNECT, *(packet for packet, data in PAIRS if len(data) < 1000))

    def check(self, *pieces: bytes) -> None:
        """The pieces give the same packets as the whole."""
        self.assertEqual(read(ServerConnection(65536, 1024), pieces), (list(self.PACKETS), None))

    def test_whole(self) -> None:
        """Several packets in one read all count."""
        self.check(self.STREAM)

    def test_byte_by_byte(self) -> None:
        """A printer behind the slowest line is understood all the same."""
        self.check(*singly(self.STREAM))

    def test_two_parts(self) -> None:
        """There is no place where a cut hurts, not even inside a length."""
        for i in range(len(self.STREAM) + 1):
            self.check(self.STREAM[:i], self.STREAM[i:])

    def test_large_two_parts(self) -> None:
        """A length of three bytes may be cut anywhere, too."""
        packet, data = PAIRS[7]
        for i in [0, 1, 2, 3, 4, 5, 6, 7, 10000, len(data) - 1, len(data)]:
            self.assertEqual(read(opened(), [data[:i], data[i:]]), ([packet], None))

    def test_trailing(self) -> None:
        """A packet is delivered at once, though the next one has only begun."""
        for packet, data in PAIRS[:-1]:
            for trailing in (b"\x30", b"\x30\x80", b"\x30\x0a\x00\x03a"):
                self.assertEqual(read(opened(), [data + trailing]), ([packet], None))

    def test_nothing_early(self) -> None:
        """No packet appears before its last byte."""
        for _, data in PAIRS:
            self.assertEqual(read(opened(), [data[:-1]]), ([], None))

    def test_empty_read(self) -> None:
        """A read of nothing changes nothing."""
        self.assertEqual(read(opened(), [b"", b"\xc0", b"", b"\x00", b""]), ([PingReq()], None))

    def test_loop_left_early(self) -> None:
        """A broker that fails over one packet finds the next one where it was."""
        connection = opened()
        for _ in connection.receive(b"\xc0\x00\x40\x02\x00\x01\x40\x02"):
            break
        self.assertEqual(read(connection, [b"\x00\x02"]), ([PubAck(1), PubAck(2)], None))
        connection.receive(b"\xc0")
        self.assertEqual(read(connection, [b"\x00"]), ([PingReq()], None))

    def test_trickle_is_linear(self) -> None:
        """A large packet in small pieces costs no more than its size: it is joined once."""
        connection = opened(1 << 22)
        data = publish("a", bytes(1 << 21))
        for i in range(0, len(data) - 1, 64):
            self.assertEqual(list(connection.receive(data[i : min(i + 64, len(data) - 1)])), [])
        self.assertEqual(len(list(connection.receive(data[-1:]))), 1)

    def test_longer_length_than_needed(self) -> None:
        """A length with needless zero bytes is unusual and not forbidden."""
        for data in ("c08000", "c0808000", "c080808000"):
            self.assertEqual(read(opened(), singly(bytes.fromhex(data))), ([PingReq()], None))


class StateTests(SynchronousTestCase):
    """What may come when."""

    def test_states(self) -> None:
        """A connection goes from new to open to closed."""
        connection = ServerConnection(1000, 1000)
        self.assertIs(connection.state, State.NEW)
        list(connection.receive(CONNECT_BYTES))
        self.assertIs(connection.state, State.OPEN)
        list(connection.receive(b"\xe0\x00"))
        self.assertIs(connection.state, State.CLOSED)

    def test_connect_first(self) -> None:
        """Whoever does not begin with CONNECT is cut off, at the second byte."""
        for packet, data in PAIRS:
            connection = ServerConnection(65536, 65536)
            packets, error = read(connection, [data[:2]])
            self.assertEqual(packets, [], packet)
            assert isinstance(error, ProtocolViolation)
            self.assertEqual((error.clause, error.return_code), ("[MQTT-3.1.0-1]", None))
            self.assertIs(connection.state, State.CLOSED)

    def test_other_protocols(self) -> None:
        """A browser or a TLS client on the MQTT port is cut off."""
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\x00\x00", b"\xff\xff"):
            packets, error = read(ServerConnection(65536, 1024), [data])
            self.assertEqual(packets, [])
            assert error is not None
            self.assertIsNone(error.return_code)

    def test_second_connect(self) -> None:
        """A second CONNECT ends the connection."""
        packets, error = read(opened(), [b"\xc0\x00" + CONNECT_BYTES])
        self.assertEqual(packets, [PingReq()])
        assert isinstance(error, ProtocolViolation)
        self.assertEqual(error.clause, "[MQTT-3.1.0-2]")

    def test_server_packets(self) -> None:
        """A client that plays the server is cut off."""
        for data in (connack(False, ConnectCode.ACCEPTED), suback(1, [0]), unsuback(1), PINGRESP):
            packets, error = read(opened(), [data])
            self.assertEqual(packets, [])
            assert isinstance(error, ProtocolViolation)
            self.assertEqual(error.clause, "[MQTT-4.8.0-1]")

    def test_nothing_behind_disconnect(self) -> None:
        """What follows DISCONNECT is never obeyed, in the same read or later."""
        connection = opened()
        data = PAIRS[0][1] + b"\xe0\x00" + PAIRS[0][1]
        self.assertEqual(read(connection, [data, PAIRS[0][1]]), ([PAIRS[0][0], Disconnect()], None))

    def test_nothing_behind_an_error(self) -> None:
        """What follows a broken packet is never obeyed, and what came before it is."""
        connection = opened()
        packets, error = read(connection, [b"\xc0\x00\xc1\x00\xc0\x00"])
        self.assertEqual(packets, [PingReq()])
        self.assertIsInstance(error, MalformedPacket)
        self.assertEqual(read(connection, [b"\xc0\x00"]), ([], None))

    def test_iterator_after_error(self) -> None:
        """A loop that goes on after the error finds nothing."""
        packets = opened().receive(b"\xc1\x00\xc0\x00")
        self.assertRaises(MalformedPacket, next, packets)
        self.assertEqual(list(packets), [])

    def test_close(self) -> None:
        """A client that the broker refuses is not listened to, though it sent SUBSCRIBE in the same read."""
        connection = ServerConnection(1000, 1000)
        seen: list[Packet] = []
        for packet in connection.receive(CONNECT_BYTES + PAIRS[12][1]):
            seen.append(packet)
            connection.close()
        self.assertEqual((seen, connection.state), ([CONNECT], State.CLOSED))
        self.assertEqual(read(connection, [PAIRS[12][1]]), ([], None))

    def test_close_in_the_middle(self) -> None:
        """Half a packet before the end is not completed after it."""
        connection = opened()
        list(connection.receive(b"\xc0"))
        connection.close()
        self.assertEqual(read(connection, [b"\x00"]), ([], None))


class RefusalTests(SynchronousTestCase):
    """CONNECTs that are answered before the connection is closed."""

    def refusal(self, data: bytes) -> tuple[str, ConnectCode | None]:
        """The clause and the return code, at any cut."""
        found = set()
        for pieces in ([data], singly(data)):
            connection = ServerConnection(1000, 1000)
            packets, error = read(connection, pieces)
            self.assertEqual((packets, connection.state), ([], State.CLOSED))
            assert isinstance(error, ProtocolViolation)
            found.add((error.clause, error.return_code))
        (result,) = found
        return result

    def test_level(self) -> None:
        """Clients of MQTT 3.1, 5 and bridges learn that their version is not spoken."""
        expected = ("[MQTT-3.1.2-2]", ConnectCode.UNACCEPTABLE_PROTOCOL_VERSION)
        for level in (0, 3, 5, 0x84):
            self.assertEqual(self.refusal(connect_frame(2, b"\x00\x01a", level)), expected)
        self.assertEqual(self.refusal(connect_frame(2, b"\x00\x01a", 3, b"\x00\x06MQIsdp")), expected)
        # MQTT 5: the properties stand where 3.1.1 has the client identifier.
        self.assertEqual(self.refusal(connect_frame(2, b"\x03\x21\x00\x14\x00\x01a", 5)), expected)
        # The rest is not read.
        self.assertEqual(self.refusal(connect_frame(0xFF, b"", 5)), expected)

    def test_name(self) -> None:
        """Another protocol is refused, also when it is only spelt otherwise."""
        expected = ("[MQTT-3.1.2-1]", ConnectCode.UNACCEPTABLE_PROTOCOL_VERSION)
        for name in (b"\x00\x04mqtt", b"\x00\x00", b"\x00\x05MQTTS"):
            self.assertEqual(self.refusal(connect_frame(2, b"\x00\x01a", 4, name)), expected)

    def test_empty_identifier(self) -> None:
        """A client that wants its session kept learns that it needs a name."""
        expected = ("[MQTT-3.1.3-8]", ConnectCode.IDENTIFIER_REJECTED)
        self.assertEqual(self.refusal(connect_frame(0, b"\x00\x00")), expected)

    def test_well_formed_first(self) -> None:
        """A malformed CONNECT gets no answer, whatever else is wrong with it."""
        _, error = read(ServerConnection(1000, 1000), [connect_frame(0, b"\x00\x00more")])
        assert isinstance(error, MalformedPacket)
        self.assertIsNone(error.return_code)


class LimitTests(SynchronousTestCase):
    """How much a peer can make the daemon keep."""

    def test_claim(self) -> None:
        """A claim of 256 MB ends the connection at its header."""
        connection = opened()
        packets, error = read(connection, [b"\xc0\x00\x30\xff\xff\xff\x7f"])
        self.assertEqual(packets, [PingReq()])
        assert isinstance(error, ProtocolViolation)
        self.assertEqual(error.clause, "[MQTT-4.8.0-2]")
        self.assertIs(connection.state, State.CLOSED)

    def test_boundary(self) -> None:
        """A packet of exactly the limit passes, one byte more does not."""
        data = publish("a", bytes(95))
        self.assertEqual(len(data), 100)
        for pieces in ([data], singly(data)):
            packets, error = read(opened(100), pieces)
            self.assertEqual((len(packets), error), (1, None))
            packets, error = read(opened(99), pieces)
            self.assertEqual(packets, [])
            self.assertIsInstance(error, ProtocolViolation)

    def test_connect(self) -> None:
        """Before CONNECT the small limit holds, behind it the large one, in the same read."""
        large = publish("a", bytes(995))
        size = len(CONNECT_BYTES)
        packets, error = read(ServerConnection(2000, size), [CONNECT_BYTES + large])
        self.assertEqual((len(packets), error), (2, None))
        _, error = read(ServerConnection(2000, size - 1), [CONNECT_BYTES[:2]])
        assert isinstance(error, ProtocolViolation)
        self.assertEqual((error.clause, error.return_code), ("[MQTT-4.8.0-2]", None))

    def test_length_bytes(self) -> None:
        """A fourth length byte that promises a fifth ends the connection without waiting for it."""
        for pieces in ([b"\x30\xff\xff\xff\xff"], singly(b"\x30\x80\x80\x80\x80"), [b"\x30\xff\xff\xff\xff\x01"]):
            _, error = read(opened(), pieces)
            assert isinstance(error, MalformedPacket)
            self.assertEqual(error.clause, "[MQTT-4.8.0-1]")

    def test_many_topics(self) -> None:
        """More topics than are remembered are still told apart, and long ones too."""
        connection = opened()
        topics = [f"{i}/{'x' * (i % 3 * 200)}" for i in range(6000)]
        packets, error = read(connection, [publish(topic, b"") for topic in topics])
        self.assertIsNone(error)
        self.assertEqual([packet.topic for packet in packets if isinstance(packet, Publish)], topics)


class MalformedTests(SynchronousTestCase):
    """Everything that ends a connection without an answer, with the clause that says so."""

    def check(self, clause: str, *streams: bytes, new: bool = False) -> None:
        """Each stream fails for that clause, whole, byte by byte and with more behind it."""
        for data in streams:
            for pieces in ([data], singly(data), [data + PAIRS[7][1]]):
                connection = ServerConnection(65536, 1024) if new else opened()
                packets, error = read(connection, pieces)
                self.assertEqual((packets, connection.state), ([], State.CLOSED), data)
                assert isinstance(error, MalformedPacket), data
                self.assertEqual((error.clause, error.return_code), (clause, None), data)
                self.assertIn(clause, error.message)
                self.assertIn(clause, str(error))

    def test_flags(self) -> None:
        """Flags that the standard reserves are not ignored."""
        body = b"\x00\x01"
        for first in (0x40, 0x50, 0x70):
            self.check("[MQTT-2.2.2-2]", *(frame(first | flags, body) for flags in range(1, 16)))
        self.check("[MQTT-2.2.2-2]", *(frame(0xC0 | flags, b"") for flags in range(1, 16)))
        self.check("[MQTT-3.14.1-1]", *(frame(0xE0 | flags, b"") for flags in range(1, 16)))
        others = [flags for flags in range(16) if flags != 2]
        self.check("[MQTT-3.6.1-1]", *(frame(0x60 | flags, body) for flags in others))
        self.check("[MQTT-3.8.1-1]", *(frame(0x80 | flags, body + b"\x00\x01a\x00") for flags in others))
        self.check("[MQTT-3.10.1-1]", *(frame(0xA0 | flags, body + b"\x00\x01a") for flags in others))
        connects = [bytes((0x10 | flags,)) + CONNECT_BYTES[1:] for flags in range(1, 16)]
        self.check("[MQTT-2.2.2-2]", *connects, new=True)

    def test_reserved_types(self) -> None:
        """Packet types 0 and 15 do not exist."""
        self.check("[MQTT-4.8.0-1]", b"\x00\x00", b"\xf0\x00")

    def test_publish_qos(self) -> None:
        """QoS 3 does not exist, and QoS 0 is never a duplicate."""
        body = b"\x00\x01a\x00\x01"
        self.check("[MQTT-3.3.1-4]", *(frame(first, body) for first in (0x36, 0x37, 0x3E, 0x3F)))
        self.check("[MQTT-3.3.1-2]", frame(0x38, body), frame(0x39, body))

    def test_packet_ids(self) -> None:
        """Identifier 0 does not exist, and a missing one is not read from the next packet."""
        self.check(
            "[MQTT-2.3.1-1]",
            frame(0x32, b"\x00\x01a\x00\x00x"),
            frame(0x34, b"\x00\x01a\x00\x00"),
            frame(0x32, b"\x00\x01a"),
            frame(0x32, b"\x00\x01a\x00"),
            frame(0x82, b"\x00\x00\x00\x01a\x00"),
            frame(0x82, b""),
            frame(0x82, b"\x01"),
            frame(0xA2, b"\x00\x00\x00\x01a"),
            frame(0xA2, b"\x01"),
        )
        self.check("[MQTT-2.3.1-6]", *(frame(first, b"\x00\x00") for first in (0x40, 0x50, 0x62, 0x70)))

    def test_used_up(self) -> None:
        """A packet with bytes too few or too many is not bent into shape."""
        for first in (0x40, 0x50, 0x62, 0x70):
            self.check("[MQTT-4.8.0-1]", *(frame(first, body) for body in (b"", b"\x01", b"\x00\x01\x00")))
        self.check("[MQTT-4.8.0-1]", frame(0xC0, b"\x00"), frame(0xE0, b"\x00"))

    def test_topic_length(self) -> None:
        """A topic that claims more than its packet has does not read on into the next one."""
        bodies = [b"", b"\x00", b"\x00\x01", b"\x00\x05abcd", b"\xff\xffa"]
        self.check("[MQTT-3.3.2-1]", *(frame(0x30, body) for body in bodies))

    def test_topics(self) -> None:
        """Nobody publishes to a wildcard or to nothing."""
        for topic in (b"+", b"#", b"a/+", b"a/#/b", b"a+"):
            self.check("[MQTT-3.3.2-2]", frame(0x30, bytes((0, len(topic))) + topic))
        self.check("[MQTT-4.7.3-1]", frame(0x30, b"\x00\x00"), frame(0x32, b"\x00\x00\x00\x01"))

    def test_utf8(self) -> None:
        """Strings that are not UTF-8 or hold U+0000 are refused wherever they stand."""
        bad = {
            "[MQTT-1.5.3-1]": [
                b"\xff",
                b"\xc3",
                b"\xed\xa0\x80",
                b"\xc0\xaf",
                b"\xf4\x90\x80\x80",
                b"x\x80" * 150,
            ],
            "[MQTT-1.5.3-2]": [b"\x00", b"a\x00b", b"a\x00" * 150],
        }
        for clause, strings in bad.items():
            for string in strings:
                field = len(string).to_bytes(2, "big") + string
                self.check(clause, frame(0x30, field))
                self.check(clause, frame(0x82, b"\x00\x01" + field + b"\x00"))
                self.check(clause, frame(0xA2, b"\x00\x01" + field))
                self.check(
                    clause,
                    frame(0x10, field + b"\x04\x02\x00\x00\x00\x01a"),
                    connect_frame(0x02, field),
                    connect_frame(0x06, b"\x00\x01a" + field + b"\x00\x00"),
                    connect_frame(0x82, b"\x00\x01a" + field),
                    new=True,
                )

    def test_filters(self) -> None:
        """Filters that mean nothing are refused, in SUBSCRIBE and in UNSUBSCRIBE."""
        bad = {
            "[MQTT-4.7.3-1]": [b""],
            "[MQTT-4.7.1-2]": [b"a#", b"#/a", b"a/#/b", b"##", b"/#/", b"+#", b"#/#"],
            "[MQTT-4.7.1-3]": [b"a+", b"+a", b"a/+b/c", b"++", b"+/a+", b"a+/#"],
        }
        for clause, filters in bad.items():
            for topic_filter in filters:
                field = bytes((0, len(topic_filter))) + topic_filter
                self.check(clause, frame(0x82, b"\x00\x01" + field + b"\x00"))
                self.check(clause, frame(0x82, b"\x00\x01\x00\x01a\x00" + field + b"\x00"))
                self.check(clause, frame(0xA2, b"\x00\x01" + field))

    def test_good_filters(self) -> None:
        """Filters that only look odd are taken, and kept as they are."""
        for topic_filter in ("#", "+", "/", "//", "/#", "+/+", "a/+/b", "+/#", "$SYS/#", "a//#", " ", "a/ "):
            packet = Subscribe(1, ((topic_filter, 0),))
            self.assertEqual(read(opened(), [encode(packet)]), ([packet], None))

    def test_subscribe(self) -> None:
        """SUBSCRIBE names a filter, and a QoS of 0 to 2 behind each."""
        self.check("[MQTT-3.8.3-3]", frame(0x82, b"\x00\x01"))
        self.check("[MQTT-3.10.3-2]", frame(0xA2, b"\x00\x01"))
        qos = (3, 4, 0x80, 0xFF)
        self.check("[MQTT-3-8.3-4]", *(frame(0x82, b"\x00\x01\x00\x01a" + bytes((q,))) for q in qos))
        self.check("[MQTT-3-8.3-4]", frame(0x82, b"\x00\x01\x00\x01a"))
        for body in (b"\x00", b"\x00\x02a", b"\xff\xffa"):
            self.check("[MQTT-4.8.0-1]", frame(0x82, b"\x00\x01\x00\x01a\x00" + body))
            self.check("[MQTT-4.8.0-1]", frame(0xA2, b"\x00\x01\x00\x01a" + body))

    def test_connect_flags(self) -> None:
        """CONNECT's flags agree with one another."""
        fields = b"\x00\x01a" * 5
        for clause, flags in [
            ("[MQTT-3.1.2-3]", (0x01, 0x03, 0xFF)),
            ("[MQTT-3.1.2-13]", (0x0A, 0x12, 0x1A, 0x2A)),
            ("[MQTT-3.1.2-14]", (0x1E, 0x3E)),
            ("[MQTT-3.1.2-15]", (0x22,)),
            ("[MQTT-3.1.2-22]", (0x42, 0x46)),
        ]:
            self.check(clause, *(connect_frame(f, fields) for f in flags), new=True)

    def test_connect_fields(self) -> None:
        """CONNECT has every field that its flags announce, whole, and no other."""
        a = b"\x00\x01a"
        for clause, flags, fields in [
            ("[MQTT-3.1.3-3]", 0x02, b""),
            ("[MQTT-3.1.3-3]", 0x02, b"\x00\x02a"),
            ("[MQTT-3.1.2-9]", 0x06, a),
            ("[MQTT-3.1.2-9]", 0x06, a + b"\x00\x02w"),
            ("[MQTT-3.1.2-9]", 0x06, a + a),
            ("[MQTT-3.1.2-9]", 0x06, a + a + b"\x00\x02p"),
            ("[MQTT-3.1.2-19]", 0x82, a),
            ("[MQTT-3.1.2-19]", 0x82, a + b"\x00\x02u"),
            ("[MQTT-3.1.2-21]", 0xC2, a + a),
            ("[MQTT-3.1.2-21]", 0xC2, a + a + b"\x00\x02p"),
            ("[MQTT-3.1.4-1]", 0x02, a + a),
            ("[MQTT-3.1.4-1]", 0xC6, a * 6),
            ("[MQTT-4.7.3-1]", 0x06, a + b"\x00\x00" + a),
            ("[MQTT-3.3.2-2]", 0x06, a + b"\x00\x01#" + a),
        ]:
            self.check(clause, connect_frame(flags, fields), new=True)

    def test_connect_cut_short(self) -> None:
        """A CONNECT that ends anywhere too early is malformed, not incomplete for ever."""
        body = CONNECTS[3][1][2:]
        clauses = []
        for i in range(len(body)):
            _, error = read(ServerConnection(1000, 1000), [frame(0x10, body[:i])])
            assert isinstance(error, MalformedPacket), i
            clauses.append(error.clause)
        self.assertEqual(
            clauses,
            ["[MQTT-3.1.2-1]"] * 6
            + ["[MQTT-3.1.4-1]"] * 4
            + ["[MQTT-3.1.3-3]"] * 3
            + ["[MQTT-3.1.2-9]"] * 6
            + ["[MQTT-3.1.2-19]"] * 4
            + ["[MQTT-3.1.2-21]"] * 4,
        )

    def test_codes(self) -> None:
        """Programs tell the two errors apart by their stable words."""
        self.assertEqual([MalformedPacket.code, ProtocolViolation.code], ["malformed_packet", "protocol_violation"])


class EncoderTests(SynchronousTestCase):
    """What the encoders refuse to send."""

    def test_impossible(self) -> None:
        """A mistake of the caller is an error here, not a broken stream at the printer."""
        long = "x" * 65536
        impossible: list[Callable[[], bytes]] = [
            lambda: connack(True, ConnectCode.NOT_AUTHORIZED),
            lambda: connack(False, 6),  # type: ignore[arg-type]  # the point of the test
            lambda: publish("", b""),
            lambda: publish("a/+", b""),
            lambda: publish("#", b""),
            lambda: publish("a\0", b""),
            lambda: publish("\ud800", b""),
            lambda: publish(long, b""),
            lambda: publish("ä" * 32768, b""),
            lambda: publish("a", b"", 3, 1),
            lambda: publish("a", b"", -1),
            lambda: publish("a", b"", 1),
            lambda: publish("a", b"", 2, 0x10000),
            lambda: publish("a", b"", 1, -1),
            lambda: publish("a", b"", 0, 1),
            lambda: publish("a", b"", dup=True),
            lambda: publish("a", bytes(1 << 28)),
            lambda: puback(0),
            lambda: pubrec(0x10000),
            lambda: pubrel(-1),
            lambda: pubcomp(0),
            lambda: unsuback(0),
            lambda: suback(0, [0]),
            lambda: suback(1, []),
            lambda: suback(1, [0, 3]),
            lambda: suback(1, [300]),
        ]
        for i, call in enumerate(impossible):
            with self.assertRaises(ValueError, msg=str(i)):
                call()


def matches_by_regex(topic_filter: str, topic: str) -> bool:
    """Section 4.7 once more, by other means."""
    if topic[:1] == "$" and topic_filter[:1] in {"+", "#"}:
        return False
    if topic_filter == "#":
        return True
    parent = topic_filter.removesuffix("/#")
    pattern = "/".join("[^/]*" if level == "+" else re.escape(level) for level in parent.split("/"))
    if parent != topic_filter:
        pattern += "(/.*)?"
    return re.fullmatch(pattern, topic, re.DOTALL) is not None


LEVELS = st.sampled_from(["", "a", "b", "aa", "A", "$", "$a", "ä", "\n"])


@st.composite
def topic_filters(draw: st.DrawFn) -> str:
    """Valid filters of few words, so that some match."""
    levels = draw(st.lists(LEVELS | st.just("+"), max_size=5))
    if draw(st.booleans()) or levels in ([], [""]):
        levels.append("#")
    return "/".join(levels)


class MatchTests(SynchronousTestCase):
    """Which filter gets which message."""

    def test_examples(self) -> None:
        """The examples of the standard come out as it says."""
        for topic_filter, topic, expected in [
            ("a", "a", True),
            ("a", "A", False),
            ("a", "a/", False),
            ("/a", "a", False),
            ("a//b", "a/b", False),
            ("sport/#", "sport", True),
            ("sport/#", "sport/", True),
            ("sport/#", "sport/tennis/player1", True),
            ("sport/#", "sports", False),
            ("sport/tennis/#", "sport", False),
            ("sport/+", "sport", False),
            ("sport/+", "sport/", True),
            ("sport/+", "sport/a", True),
            ("sport/+", "sport/a/b", False),
            ("+", "finance", True),
            ("+", "/finance", False),
            ("/+", "/finance", True),
            ("+/+", "/finance", True),
            ("+/tennis/#", "sport/tennis", True),
            ("sport/+/player1", "sport/tennis/player1", True),
            ("#", "a/b", True),
            ("#", "/", True),
            ("#", "$SYS/a", False),
            ("+/a", "$SYS/a", False),
            ("+/#", "$SYS", False),
            ("$SYS/#", "$SYS/a", True),
            ("$SYS/+/b", "$SYS/a/b", True),
            ("a/#", "a/$b", True),
            ("a/+", "a/$b", True),
        ]:
            self.assertIs(matches(topic_filter, topic), expected, (topic_filter, topic))
            self.assertIs(matches_by_regex(topic_filter, topic), expected, (topic_filter, topic))

    def test_deep(self) -> None:
        """A topic of 65536 levels stops nothing."""
        deep = "/" * 65535
        self.assertTrue(matches("+" + "/+" * 32767 + "/#", deep))
        self.assertFalse(matches("+" + "/+" * 32767, deep))

    @settings(derandomize=True, deadline=None, max_examples=500)
    @given(topic_filters(), st.lists(LEVELS, min_size=1, max_size=6).map("/".join).filter(bool))
    def test_reference(self, topic_filter: str, topic: str) -> None:
        """No filter gets more or less than another reading of the standard gives it."""
        self.assertEqual(matches(topic_filter, topic), matches_by_regex(topic_filter, topic))


text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
topic_names = text.map(lambda t: t.replace("+", "").replace("#", "")).filter(bool)
ids = st.integers(1, 0xFFFF)
payloads = st.binary(max_size=300)
qos_values = st.integers(0, 2)
publishes = st.builds(
    lambda topic, payload, qos, retain, dup, packet_id: Publish(
        topic, payload, qos, retain, dup and qos > 0, packet_id if qos else 0
    ),
    *(topic_names, payloads, qos_values, st.booleans(), st.booleans(), ids),
)
packets_behind_connect: st.SearchStrategy[Packet] = st.one_of(
    publishes,
    st.builds(PubAck, ids),
    st.builds(PubRec, ids),
    st.builds(PubRel, ids),
    st.builds(PubComp, ids),
    st.builds(Subscribe, ids, st.lists(st.tuples(topic_filters(), qos_values), min_size=1, max_size=4).map(tuple)),
    st.builds(Unsubscribe, ids, st.lists(topic_filters(), min_size=1, max_size=4).map(tuple)),
    st.just(PingReq()),
)
wills = st.builds(Will, topic_names, payloads, qos_values, st.booleans())
connects = st.builds(
    lambda client_id, clean, keep_alive, username, password, will: Connect(
        client_id, clean or not client_id, keep_alive, username, None if username is None else password, will
    ),
    *(text, st.booleans(), st.integers(0, 0xFFFF)),
    *(st.none() | text, st.none() | payloads, st.none() | wills),
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data, cut at the places (modulo its length)."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


class PropertyTests(SynchronousTestCase):
    """What holds for all packets and all bytes."""

    @settings(derandomize=True, deadline=None)
    @given(connects, st.lists(packets_behind_connect, max_size=8), st.lists(st.integers(0, 1 << 16), max_size=8))
    def test_round_trip(self, connect: Connect, others: list[Packet], places: list[int]) -> None:
        """Whatever a client says arrives as it was meant, however it was cut."""
        packets = [connect, *others, Disconnect()]
        pieces = cut(b"".join(map(encode, packets)), places)
        self.assertEqual(read(ServerConnection(1 << 20, 1 << 20), pieces), (packets, None))

    def survive(self, pieces: list[bytes], connected: bool) -> None:
        """Packets that encode to bytes again come out, or one of the two errors, and then nothing."""
        connection = opened(4096) if connected else ServerConnection(4096, 1024)
        packets, error = read(connection, pieces)
        for packet in packets:
            again = ServerConnection(4096, 4096) if isinstance(packet, Connect) else opened()
            self.assertEqual(read(again, [encode(packet)]), ([packet], None))
        if error is not None:
            self.assertIsInstance(error, WireError)
            self.assertRegex(error.clause, r"\A\[MQTT-[0-9.-]+\]\Z")
            self.assertIs(connection.state, State.CLOSED)
            self.assertEqual(list(connection.receive(CONNECT_BYTES + b"\xc0\x00")), [])

    @settings(derandomize=True, deadline=None, max_examples=500)
    @given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=4), st.booleans())
    def test_garbage(self, data: bytes, places: list[int], connected: bool) -> None:
        """Noise on the port ends one connection and harms nothing else."""
        self.survive(cut(data, places), connected)

    @settings(derandomize=True, deadline=None, max_examples=500)
    @given(st.integers(0, 255), st.binary(max_size=100), st.lists(st.integers(0, 200), max_size=4), st.booleans())
    def test_framed_garbage(self, first: int, body: bytes, places: list[int], connected: bool) -> None:
        """Noise inside a good frame reaches every decoder and harms nothing."""
        self.survive(cut(frame(first, body), places), connected)

    @settings(derandomize=True, deadline=None, max_examples=500)
    @given(
        st.sampled_from([data for _, data in PAIRS + CONNECTS if len(data) < 1000]),
        st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4),
        st.lists(st.integers(0, 400), max_size=4),
        st.booleans(),
    )
    def test_mutated(self, data: bytes, changes: list[tuple[int, int]], places: list[int], connected: bool) -> None:
        """A good packet with a few broken bytes ends one connection and harms nothing else."""
        broken = bytearray(data)
        for place, value in changes:
            broken[place % len(broken)] = value
        self.survive(cut(bytes(broken), places), connected)

    @settings(derandomize=True, deadline=None)
    @given(st.binary(max_size=120), st.integers(0, 120))
    def test_cut_changes_nothing(self, data: bytes, place: int) -> None:
        """The same bytes have the same meaning at every cut, errors included."""
        whole = read(opened(), [data])
        parts = read(opened(), cut(data, [place]))
        self.assertEqual((whole[0], str(whole[1])), (parts[0], str(parts[1])))
