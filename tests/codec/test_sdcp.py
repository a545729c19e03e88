"""SDCP messages: discovery replies, answers, statuses, attributes; requests as CHITUBOX writes them."""

from __future__ import annotations

import contextlib
import json

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.sdcp import (
    CHANGING,
    PROBE,
    Announcement,
    AttributesReport,
    Command,
    Message,
    Notice,
    Response,
    StatusReport,
    ack_text,
    decode_message,
    encode_request,
    invitation,
    parse_announcement,
    parse_topic,
    request_topic,
)
from sdcpd.codec.status import Generation, PrintInfo, Status, TransferInfo, status_from
from sdcpd.errors import MalformedMessage

BOARD = "0001D2AB12CD34EF"
WIRE_ID = "f25273b12b094c5a8b9513a30ca60049"
STATUS = {
    "CurrentStatus": 0,
    "PreviousStatus": 1,
    "PrintInfo": {
        "Status": 16,
        "CurrentLayer": 310,
        "TotalLayer": 310,
        "CurrentTicks": 3222039,
        "TotalTicks": 3218949,
        "ErrorNumber": 0,
        "Filename": "plate_a.goo",
    },
    "FileTransferInfo": {"Status": 0, "DownloadOffset": 0, "CheckOffset": 0, "FileTotalSize": 0, "Filename": ""},
}
NESTED = {
    "Id": WIRE_ID,
    "Data": {
        "Attributes": {
            "Name": "Bench left",
            "MachineName": "ELEGOO Saturn 3 Ultra",
            "ProtocolVersion": "V1.0.0",
            "FirmwareVersion": "V1.4.2",
            "Resolution": "11520x5120",
            "MainboardIP": "192.0.2.31",
            "MainboardID": BOARD,
            "SDCPStatus": 0,
            "LocalSDCPAddress": "tcp://192.0.2.10:33288",
            "SDCPAddress": "",
            "Capabilities": ["FILE_TRANSFER", "PRINT_CONTROL"],
        },
        "Status": STATUS,
    },
}
FLAT = {
    "Id": WIRE_ID,
    "Data": {
        "Name": "3D Printer",
        "MachineName": "Saturn 4 Ultra",
        "BrandName": "ELEGOO",
        "MainboardIP": "192.0.2.44",
        "MainboardID": "ed58aa10c1d70100",
        "ProtocolVersion": "V3.0.0",
        "FirmwareVersion": "V1.1.9",
    },
}


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def nested(**attributes: object) -> bytes:
    return encoded({"Id": WIRE_ID, "Data": {"Attributes": {"MainboardID": BOARD, **attributes}}})


def deep(levels: int, key: str = "Deep") -> bytes:
    """A message of each shape, with something nested deeply in it."""
    nest = '{"a":[' * levels + "]}" * levels
    attributes = f'{{"MainboardID":"{BOARD}","CurrentStatus":1,"{key}":{nest}}}'
    data = f'{{"Attributes":{attributes},"Status":{attributes},"Data":{{"Ack":0,"x":{nest}}},"{key}":{nest}}}'
    return f'{{"Data":{data},"{key}":{nest}}}'.encode()


NONSENSE = [
    b"",
    b" ",
    b"M99999",
    b"M66666 1883",
    b"ok MAC:00:11:22 IP:192.0.2.9 VER:V1.4.1 ID:1f,2c NAME:old",
    b"null",
    b"true",
    b"5",
    b'"text"',
    b"[]",
    b"[{}]",
    b"{",
    b'{"Id": "a", "Data": {"Attributes": {"MainboardID": "0001D2',
    b'{"a": 1} x',
    b"\xff\xfe\x00",
    b'{"a": "\xff"}',
    b'{"a": "\\ud800"}',
    b'{"\x00": 1}',
    b'{"a": NaN}',
    b'{"a": 1e999}',
    b'{"a": ' + b"9" * 5000 + b"}",
    b"\x00" * 60_000,
    b"[" * 2000 + b"]" * 2000,
    b'{"a":' * 2000 + b"1" + b"}" * 2000,
    b"[" * 1_000_000,
    b'{"a": "' + b"x" * 1_000_000,
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=6,
)
KEYS = ("Id", "Data", "Attributes", "Status", "MainboardID", "Cmd", "RequestID", "Ack", "TimeStamp", "CurrentStatus")
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        key: JSON | st.fixed_dictionaries({}, optional={k: JSON | st.just({"CurrentStatus": [1]}) for k in KEYS})
        for key in KEYS
    },
)
KINDS = ("response", "status", "attributes", "error", "notice", "")


class AnnouncementTests(SynchronousTestCase):
    """What a discovery reply tells."""

    def test_nested(self) -> None:
        """A V1 printer tells all about itself, its status included."""
        self.assertEqual(
            parse_announcement(encoded(NESTED)),
            Announcement(
                mainboard_id=BOARD,
                wire_id=WIRE_ID,
                name="Bench left",
                machine_name="ELEGOO Saturn 3 Ultra",
                protocol="V1.0.0",
                firmware="V1.4.2",
                resolution=(11520, 5120),
                mainboard_ip="192.0.2.31",
                sdcp_status=0,
                local_sdcp_address="tcp://192.0.2.10:33288",
                sdcp_address="",
                capabilities=("FILE_TRANSFER", "PRINT_CONTROL"),
                generation=Generation.V1,
                status=Status((0,), 1, PrintInfo(16, 310, 310, 3222039, 3218949, 0, "plate_a.goo"), TransferInfo()),
            ),
        )

    def test_flat(self) -> None:
        """A V3 printer tells less, and no status."""
        self.assertEqual(
            parse_announcement(encoded(FLAT)),
            Announcement(
                mainboard_id="ed58aa10c1d70100",
                wire_id=WIRE_ID,
                name="3D Printer",
                machine_name="Saturn 4 Ultra",
                protocol="V3.0.0",
                firmware="V1.1.9",
                mainboard_ip="192.0.2.44",
                generation=Generation.V3,
            ),
        )

    def test_nested_v3(self) -> None:
        """A V3 printer behind a proxy that nests its reply is a V3 printer all the same."""
        data = {**FLAT["Data"], "Proxy": True}  # type: ignore[dict-item]
        found = parse_announcement(encoded({"Id": "x", "Data": {"Attributes": data}}))
        self.assertIs(found.generation, Generation.V3)
        self.assertEqual((found.name, found.status), ("3D Printer", None))

    def test_generations(self) -> None:
        """The version string decides, and the shape where there is none."""
        for protocol, when_nested, when_flat in (
            ("V1.0.0", Generation.V1, Generation.V1),
            ("V1.2", Generation.V1, Generation.V1),
            ("V3.0.0", Generation.V3, Generation.V3),
            ("V2.0.0", Generation.UNKNOWN, Generation.UNKNOWN),
            ("soon", Generation.UNKNOWN, Generation.UNKNOWN),
            ("", Generation.V1, Generation.V3),
            (None, Generation.V1, Generation.V3),
            (3, Generation.V1, Generation.V3),
        ):
            with self.subTest(protocol=protocol):
                attributes = {"MainboardID": BOARD, "ProtocolVersion": protocol}
                flat = parse_announcement(encoded({"Data": attributes}))
                self.assertIs(flat.generation, when_flat)
                self.assertIs(parse_announcement(nested(ProtocolVersion=protocol)).generation, when_nested)

    def test_only_the_id(self) -> None:
        """A reply with nothing but the MainboardID is a printer."""
        found = parse_announcement(encoded({"Data": {"MainboardID": BOARD}}))
        self.assertEqual(found, Announcement(BOARD, generation=Generation.V3))

    def test_spelling_of_the_id(self) -> None:
        """The MainboardID stays as the board spells it; 32 characters are fine, too."""
        for spelled in ("abcdef0123456789", "ABCDEF0123456789", "0" * 32, "a", "x" * 64, "a_b-c.d"):
            self.assertEqual(parse_announcement(encoded({"Data": {"MainboardID": spelled}})).mainboard_id, spelled)

    def test_bad_ids(self) -> None:
        """Something that could not be a MainboardID never becomes part of a topic or an address."""
        for bad in (None, "", 5, [BOARD], {"a": BOARD}, "a/b", "a b", "+", "#", "a\n", "ä", "x" * 65, "a\0"):
            with self.subTest(bad=bad):
                error = self.assertRaises(MalformedMessage, parse_announcement, encoded({"Data": {"MainboardID": bad}}))
                self.assertIn("MainboardID", error.message)
                self.assertLess(len(error.message), 150)

    def test_no_data(self) -> None:
        """JSON that is no discovery reply is somebody else's."""
        others: list[dict[str, object]] = [{}, {"Data": None}, {"Data": "x"}, {"Data": []}, {"Id": WIRE_ID}]
        for found in others:
            self.assertRaises(MalformedMessage, parse_announcement, encoded(found))

    def test_nonsense(self) -> None:
        """Our own echo, old boards' text, cut and broken JSON harm one datagram and nothing else."""
        for datagram in NONSENSE:
            with self.subTest(datagram=datagram[:40]):
                self.assertRaises(MalformedMessage, parse_announcement, datagram)

    def test_every_cut(self) -> None:
        """A reply cut anywhere is ignored."""
        datagram = encoded(NESTED)
        for end in range(len(datagram)):
            self.assertRaises(MalformedMessage, parse_announcement, datagram[:end])

    def test_60_kilobytes(self) -> None:
        """A huge reply is read, and its texts are cut to what a name may be."""
        found = parse_announcement(nested(Name="n" * 60_000, Capabilities=["c" * 1000] * 100, Extra="x" * 1000))
        self.assertEqual((found.name, len(found.capabilities)), ("n" * 256, 32))
        self.assertLess(len(msgspec.json.encode(found)), 10_000)

    def test_odd_values(self) -> None:
        """What is not as it should be is as if it were missing."""
        found = parse_announcement(
            nested(
                Name=5, Resolution=None, MainboardIP=[], SDCPStatus="x", Capabilities=[5, None, "FILE_TRANSFER", [[]]]
            )
        )
        expected = Announcement(BOARD, WIRE_ID, capabilities=("FILE_TRANSFER",), generation=Generation.V1)
        self.assertEqual(found, expected)
        self.assertEqual(parse_announcement(nested(Capabilities="FILE_TRANSFER", SDCPStatus="1")).capabilities, ())
        odd_status = encoded({"Data": {"Attributes": {"MainboardID": BOARD}, "Status": [1]}})
        self.assertIsNone(parse_announcement(odd_status).status)

    def test_resolution(self) -> None:
        """The resolution is two numbers, or unknown."""
        for text, resolution in (
            ("11520x5120", (11520, 5120)),
            (" 8520 X 4320 ", (8520, 4320)),
            ("11520", None),
            ("11520x", None),
            ("x5120", None),
            ("-1x5", None),
            ("1x2x3", None),
            ("9999999x1", None),
            ("", None),
        ):
            self.assertEqual(parse_announcement(nested(Resolution=text)).resolution, resolution, text)


class MessageTests(SynchronousTestCase):
    """What a printer says on its topics."""

    def test_response(self) -> None:
        """An answer tells to which request it belongs and what became of that."""
        message = {
            "Id": WIRE_ID,
            "Data": {"Cmd": 1, "Data": {"Ack": 0}, "RequestID": "8a1f", "MainboardID": BOARD, "TimeStamp": 8567213},
        }
        self.assertEqual(decode_message("response", encoded(message)), Response("8a1f", 1, 0, {"Ack": 0}, WIRE_ID))

    def test_odd_responses(self) -> None:
        """An answer without command, number or id is an answer; only a whole number is an Ack."""
        for data, response in (
            ({}, Response("", None, None, {}, "")),
            ({"RequestID": 5, "Cmd": "256"}, Response("", 256, None, {}, "")),
            ({"RequestID": "r", "Data": None}, Response("r", None, None, {}, "")),
            ({"RequestID": "r", "Data": {"Ack": "0"}}, Response("r", None, 0, {"Ack": "0"}, "")),
            ({"RequestID": "r", "Data": {"Ack": "no"}}, Response("r", None, None, {"Ack": "no"}, "")),
            ({"RequestID": "r", "Data": {"Ack": 1.0}}, Response("r", None, 1, {"Ack": 1.0}, "")),
            ({"RequestID": "r", "Data": {"Ack": 0.5}}, Response("r", None, None, {"Ack": 0.5}, "")),
            ({"RequestID": "r", "Data": {"Ack": False}}, Response("r", None, None, {"Ack": False}, "")),
            ({"RequestID": "r", "Data": {"Ack": None}}, Response("r", None, None, {"Ack": None}, "")),
            ({"RequestID": "r", "Data": {"Ack": [0]}}, Response("r", None, None, {"Ack": [0]}, "")),
            ({"RequestID": "r", "Data": {"Ack": 2**70}}, Response("r", None, None, {"Ack": 2**63 - 1}, "")),
        ):
            with self.subTest(data=data):
                self.assertEqual(decode_message("response", encoded({"Data": data})), response)

    def test_status(self) -> None:
        """A status is read, with the board's uptime."""
        message = {"Id": WIRE_ID, "Data": {"Status": STATUS, "MainboardID": BOARD, "TimeStamp": 8629636}}
        self.assertEqual(
            decode_message("status", encoded(message)), StatusReport(status_from(STATUS), 8629636, WIRE_ID)
        )

    def test_v3_status(self) -> None:
        """A V3 status stands at the top, without Data."""
        body = {"CurrentStatus": [1], "PrintInfo": {"Status": 3}}
        message = {"Status": body, "MainboardID": BOARD, "TimeStamp": 5, "Topic": "sdcp/status/x"}
        self.assertEqual(decode_message("status", encoded(message)), StatusReport(status_from(body), 5, ""))

    def test_uptime(self) -> None:
        """An uptime that is no number is unknown."""
        for stamp, uptime in ((2**32, 2**32), ("7", 7), (None, None), ("x", None), ([], None), (1e300, None)):
            message = decode_message("status", encoded({"Data": {"Status": STATUS, "TimeStamp": stamp}}))
            self.assertEqual(message, StatusReport(status_from(STATUS), uptime, ""))

    def test_status_without_status(self) -> None:
        """A message on the status topic that has none is noted and changes nothing."""
        others: list[dict[str, object]] = [
            {},
            {"Data": {}},
            {"Data": {"Status": None}},
            {"Data": {"Status": {}}},
            {"Data": 5},
        ]
        for found in others:
            self.assertIsInstance(decode_message("status", encoded(found)), Notice)

    def test_attributes(self) -> None:
        """Whatever firmware puts on the attributes topic, a status in it is found and nothing else is taken for one."""
        status = status_from(STATUS)
        shapes: list[tuple[dict[str, object], Status | None]] = [
            ({"Data": {"Attributes": STATUS}}, status),
            ({"Data": {"Attributes": {"Status": STATUS}}}, status),
            ({"Data": {"Status": STATUS}}, status),
            ({"Data": {"Attributes": {"Name": "x"}, "Status": STATUS}}, status),
            ({"Data": {"Attributes": {}, "Status": STATUS}}, status),
            ({"Attributes": {"Name": "x"}, "Status": STATUS}, status),
            ({"Attributes": {"Name": "x", "MainboardID": BOARD}}, None),
            ({"Data": {"Attributes": {"Name": "x"}}}, None),
            ({"Data": {"Attributes": None}}, None),
            ({"Data": {}}, None),
            ({"Data": None}, None),
            ({}, None),
        ]
        for found, expected in shapes:
            with self.subTest(found=found):
                message = decode_message("attributes", encoded({"Id": WIRE_ID, **found}))
                self.assertEqual(message, AttributesReport(expected, WIRE_ID))

    def test_notices(self) -> None:
        """Anything else a printer says is kept for the log, in a bearable size."""
        self.assertEqual(
            decode_message("error", encoded({"Id": "i", "Data": {"ErrorCode": "1"}})),
            Notice("error", {"ErrorCode": "1"}, "i"),
        )
        self.assertEqual(decode_message("new", encoded({"Hello": 1})), Notice("new", {"Hello": 1}, ""))
        large = decode_message("notice", encoded({"Data": {str(n): "x" * 1000 for n in range(1000)}}))
        self.assertLess(len(msgspec.json.encode(large)), 20_000)

    def test_nonsense(self) -> None:
        """Nonsense on any topic is one dropped message."""
        for kind in KINDS:
            for payload in NONSENSE:
                with self.subTest(kind=kind, payload=payload[:40]):
                    self.assertRaises(MalformedMessage, decode_message, kind, payload)

    def test_no_object(self) -> None:
        """The refusal says what was found, and no more of it than fits a line."""
        error = self.assertRaises(MalformedMessage, decode_message, "status", b"[" + b"1," * 1000 + b"1]")
        self.assertEqual(error.message, "expected a JSON object, found list")
        error = self.assertRaises(MalformedMessage, decode_message, "status", b"x" * 1_000_000)
        self.assertLess(len(error.message), 200)

    def test_a_megabyte(self) -> None:
        """A status of a megabyte is read and little of it is kept."""
        message = {"Data": {"Status": {**STATUS, "Junk": ["x" * 1000] * 1000}}}
        found = decode_message("status", encoded(message))
        assert isinstance(found, StatusReport)
        self.assertEqual(found.status.print, status_from(STATUS).print)
        self.assertLess(len(msgspec.json.encode(found)), 30_000)

    def test_deep_nesting(self) -> None:
        """However deep a message nests, it is dropped or read flat, and then compared and told without trouble."""
        for levels in (3, 10, 100, 200, 400, 450, 480, 500, 600, 1000, 5000):
            for read in (parse_announcement, *[lambda p, k=kind: decode_message(k, p) for kind in KINDS]):
                with self.subTest(levels=levels):
                    self.read_and_tell(read, deep(levels))
                    self.read_and_tell(read, deep(levels, "MainboardID"))

    def read_and_tell(self, read: object, payload: bytes) -> None:
        assert callable(read)
        try:
            found: Message | Announcement = read(payload)
        except MalformedMessage:
            return
        self.assertLess(str(found).count("{"), 100)
        self.assertLess(len(msgspec.json.encode(found)), 10_000)
        self.assertEqual(found, read(payload))

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(MESSAGES)
    @example({"Data": {"Status": {"CurrentStatus": 10**30, "Big": 10**30, "Small": -(10**30)}}})
    def test_anything(self, found: dict[str, object]) -> None:
        """Any JSON is read or refused, and what is read can be told to every client."""
        payload = encoded(found)
        for kind in KINDS:
            msgspec.json.encode(decode_message(kind, payload))
        with contextlib.suppress(MalformedMessage):
            msgspec.json.encode(parse_announcement(payload))

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.binary(max_size=200), st.integers(0, 1200))
    def test_any_bytes(self, garbage: bytes, place: int) -> None:
        """Any bytes, also in the middle of a good message, are read or refused."""
        good = encoded(NESTED)
        for payload in (garbage, good[:place] + garbage + good[place + len(garbage) :]):
            for kind in (None, *KINDS):
                with contextlib.suppress(MalformedMessage):
                    found = parse_announcement(payload) if kind is None else decode_message(kind, payload)
                    msgspec.json.encode(found)


class RequestTests(SynchronousTestCase):
    """What is said to a printer."""

    def request(self, command: Command, data: dict[str, object] | None) -> bytes:
        return encode_request(
            command,
            data,
            request_id="8a1f0c5e7b2d4f6091a3c5e7f9b1d3e5",
            wire_id=WIRE_ID,
            mainboard_id=BOARD,
            timestamp=1693671336726,
        )

    def test_as_chitubox(self) -> None:
        """A request is, byte by byte, what the vendor's own program sends."""
        self.assertEqual(
            self.request(Command.ATTRIBUTES, None),
            b'{"Data":{"Cmd":1,"Data":null,"From":0,"MainboardID":"0001D2AB12CD34EF",'
            b'"RequestID":"8a1f0c5e7b2d4f6091a3c5e7f9b1d3e5","TimeStamp":1693671336726},'
            b'"Id":"f25273b12b094c5a8b9513a30ca60049"}',
        )

    def test_fetch(self) -> None:
        """Cmd 256 has its keys in alphabetical order, however they were given; the placeholder stays literal."""
        data: dict[str, object] = {
            "URL": "http://${ipaddr}:58883/0f3d5b7a9c1e4f608a2b4c6d8e0f1a2b.goo",
            "MD5": "9e107d9d372bb6826bd81d3542a419d6",
            "Filename": "plate_a.goo",
            "FileSize": 3541068,
            "Compress": 0,
            "CleanCache": 1,
            "Check": 0,
        }
        self.assertEqual(
            self.request(Command.FETCH, data),
            b'{"Data":{"Cmd":256,"Data":{"Check":0,"CleanCache":1,"Compress":0,"FileSize":3541068,'
            b'"Filename":"plate_a.goo","MD5":"9e107d9d372bb6826bd81d3542a419d6",'
            b'"URL":"http://${ipaddr}:58883/0f3d5b7a9c1e4f608a2b4c6d8e0f1a2b.goo"},'
            b'"From":0,"MainboardID":"0001D2AB12CD34EF",'
            b'"RequestID":"8a1f0c5e7b2d4f6091a3c5e7f9b1d3e5","TimeStamp":1693671336726},'
            b'"Id":"f25273b12b094c5a8b9513a30ca60049"}',
        )

    def test_nothing_to_say(self) -> None:
        """No data is null, never an empty object."""
        self.assertEqual(self.request(Command.PAUSE, {}), self.request(Command.PAUSE, None))

    def test_listed_only(self) -> None:
        """A number that is no listed command cannot be sent: some firmware crashes on it and loses the print."""
        for number in (2, 65, 132, 192, 255, 258, 320, -1):
            self.assertRaises(ValueError, self.request, number, None)

    def test_commands(self) -> None:
        """The listed commands are V1's, and those that change what the machine does are known."""
        self.assertEqual([int(c) for c in Command], [0, 1, 64, 128, 129, 130, 131, 256, 512])
        self.assertEqual({int(c) for c in CHANGING}, {128, 129, 130, 131, 256})

    def test_probe_and_invitation(self) -> None:
        """The datagrams are the bytes that boards know."""
        self.assertEqual(PROBE, bytes.fromhex("4d3939393939"))
        self.assertEqual(invitation(1883), bytes.fromhex("4d363636363620") + b"1883")
        self.assertEqual((invitation(1), invitation(65535)), (b"M66666 1", b"M66666 65535"))
        for port in (0, -1, 65536):
            self.assertRaises(ValueError, invitation, port)

    def test_topics(self) -> None:
        """Topics are read with or without the slash in front."""
        self.assertEqual(request_topic(BOARD), "/sdcp/request/0001D2AB12CD34EF")
        self.assertEqual(parse_topic(f"/sdcp/status/{BOARD}"), ("status", BOARD))
        self.assertEqual(parse_topic(f"sdcp/response/{BOARD}"), ("response", BOARD))
        self.assertEqual(parse_topic(request_topic("a")), ("request", "a"))

    def test_other_topics(self) -> None:
        """Any other topic is refused."""
        for topic in (
            "",
            "/",
            "sdcp",
            "/sdcp/status",
            "/sdcp/status/",
            "//sdcp/status/a",
            "/sdcp/status/a/b",
            "/SDCP/status/a",
            "home/status/a",
            "x" * 70_000,
        ):
            with self.subTest(topic=topic[:40]):
                error = self.assertRaises(MalformedMessage, parse_topic, topic)
                self.assertLess(len(error.message), 200)

    def test_ack_texts(self) -> None:
        """A refusal is said in words, with its number."""
        self.assertEqual(ack_text(Command.START, 1), "the printer is busy (Ack 1)")
        self.assertEqual(ack_text(Command.START, 2), "the printer does not have the file (Ack 2)")
        for ack in (5, 6, 7):
            self.assertEqual(ack_text(Command.START, ack), f"the file does not fit this printer (Ack {ack})")
        self.assertEqual(ack_text(Command.START, 99), "the printer refused (Ack 99)")
        self.assertEqual(ack_text(Command.PAUSE, 1), "the printer refused (Ack 1)")
        self.assertEqual(ack_text(Command.STOP, None), "the printer's answer had no Ack")
