from __future__ import annotations

import uuid
from typing import Any

from sdcpd.codec.status import Status
from sdcpd.files import wire_name
from sdcpd.web.octoprint.host import Flavour
from tests.web.octoprint.rig import OctoPrintCase
from tests.web.rig import MARS, P, printing


class VersionTests(OctoPrintCase):
    def test_version(self) -> None:
        """A slicer's test finds an OctoPrint: the key ``api`` and a text that begins so."""
        found = self.get("api/version")
        self.assertEqual((found["api"], found["server"]), ("0.1", "1.11.8"))
        self.assertEqual(found["text"], "OctoPrint 1.11.8 (sdcpd 1.2.3)")
        self.assertEqual(found["capabilities"], {"upload-by-put": True})

    def test_flavours(self) -> None:
        """Each flavour's text begins as the slicer that asks there demands it."""
        for flavour, begin in (
            (Flavour.OCTOPRINT, "OctoPrint"),
            (Flavour.PRUSALINK, "PrusaLink"),
            (Flavour.SLA, "Prusa SLA"),
        ):
            found = self.rig.get(f"{P}{flavour.value.decode()}/api/version").json
            self.assertEqual(found["text"].partition(" (")[0].removesuffix(" 1.11.8"), begin)

    def test_server(self) -> None:
        """The server has a version and no safe mode."""
        self.assertEqual(self.get("api/server"), {"version": "1.11.8", "safemode": None})


class SettingsTests(OctoPrintCase):
    def test_settings(self) -> None:
        """What clients look up is there: the identifier, the name, no SD card, no camera, no secret."""
        found = self.get("api/settings")
        self.assertEqual(found["appearance"]["name"], "Saturn 3 Ultra")
        self.assertIs(found["feature"]["sdSupport"], False)
        self.assertEqual(
            {"webcamEnabled", "streamUrl", "snapshotUrl", "flipH", "flipV", "rotate90"} - set(found["webcam"]), set()
        )
        self.assertIn("appkeys", found["plugins"])
        self.assertIsNone(found["api"]["key"])
        uuid.UUID(found["plugins"]["discovery"]["upnpUuid"])

    def test_identifier(self) -> None:
        """Home Assistant knows a printer again by its identifier, under any name and address, and two apart."""
        first = self.get("api/settings")["plugins"]["discovery"]["upnpUuid"]
        self.rig.announce(name="Renamed", address="192.168.1.101")
        self.assertEqual(self.get("api/settings")["plugins"]["discovery"]["upnpUuid"], first)
        self.rig.announce(MARS, "Mars", "192.168.1.102")
        other = self.rig.get(f"/printers/{MARS}/api/settings").json
        self.assertNotEqual(other["plugins"]["discovery"]["upnpUuid"], first)

    def test_read_only(self) -> None:
        """Nobody changes the daemon's settings from here."""
        self.assertIn("sdcpd.toml", self.refuses(self.post("api/settings", {"api": {"key": "x"}}), 403))
        self.assertIn("/v1/keys", self.refuses(self.post("api/settings/apikey", {}), 403))


class ProfileTests(OctoPrintCase):
    def test_profile(self) -> None:
        """There is one profile, of a machine without bed and chamber heaters; what nobody knows is null."""
        found = self.get("api/printerprofiles")["profiles"]
        self.assertEqual(list(found), ["_default"])
        profile = found["_default"]
        self.assertEqual((profile["id"], profile["name"]), ("_default", "ELEGOO Saturn 3 Ultra"))
        self.assertEqual((profile["heatedBed"], profile["heatedChamber"]), (False, False))
        self.assertEqual((profile["current"], profile["default"]), (True, True))
        self.assertEqual(set(profile["axes"]), {"x", "y", "z", "e"})
        self.assertEqual(profile["axes"]["z"], {"speed": None, "inverted": False})
        self.assertEqual(profile["extruder"]["count"], 1)
        self.assertEqual([profile["volume"][name] for name in ("width", "depth", "height")], [None] * 3)
        self.assertEqual(profile["resource"], f"http://hub.local{P}/api/printerprofiles/_default")
        self.assertEqual(self.get("api/printerprofiles/_default"), profile)

    def test_volume(self) -> None:
        """The volume is the one that the selected file was sliced for."""
        file = self.store()
        self.api.selection.select(self.printer, file)
        bed = self.rig.get("/v1/files/plate.goo/metadata").json["sliced"]["bed"]
        volume = self.get("api/printerprofiles/_default")["volume"]
        self.assertEqual([volume["width"], volume["depth"], volume["height"]], bed)

    def test_others(self) -> None:
        """There is no other profile, and none can be made, changed or removed."""
        self.assertIn("'mk3'", self.refuses(self.rig.get(f"{P}/api/printerprofiles/mk3"), 404))
        for method, path in (("POST", ""), ("PATCH", "/_default"), ("DELETE", "/_default")):
            self.refuses(self.rig.ask(method, f"{P}/api/printerprofiles{path}", b"{}"), 403)


class AbsentTests(OctoPrintCase):
    def test_empty(self) -> None:
        """What the real server has and this one has not is empty, as with the real server without it."""
        for path, document in (
            ("api/system/commands", {"core": [], "plugin": [], "custom": []}),
            ("api/system/commands/core", []),
            ("api/slicing", {}),
            ("api/languages", {"language_packs": {}}),
        ):
            self.assertEqual(self.get(path), document)
        found = self.get("api/timelapse")
        self.assertEqual((found["files"], found["unrendered"], found["config"]), ([], [], {"type": "off"}))

    def test_commands(self) -> None:
        """There is no system command to run, and no other source of them."""
        self.refused(self.post("api/system/commands/core/shutdown", {}), 404, "Command not found")
        self.assertIn("'root'", self.refuses(self.rig.get(f"{P}/api/system/commands/root"), 404))

    def test_refused(self) -> None:
        """Users, plugins and logs are refused with what there is instead."""
        for path, status, word in (
            ("api/access/users", 403, "keys"),
            ("api/users", 403, "keys"),
            ("api/plugin/psucontrol", 404, "plugin"),
            ("api/plugin/a/b", 404, "plugin"),
            ("plugin/logging/logs", 404, "journalctl"),
        ):
            self.assertIn(word, self.refuses(self.rig.get(f"{P}/{path}"), status))
        self.refuses(self.post("api/plugin/psucontrol", {"command": "turnPSUOff"}), 404)


class LayerTests(OctoPrintCase):
    def values(self) -> Any:
        return self.get("plugin/DisplayLayerProgress/values")

    def test_idle(self) -> None:
        """While nothing prints a small display gets dashes, and gets them with 200 also while the printer is off."""
        for _ in range(2):
            found = self.values()
            self.assertEqual(set(found["layer"].values()) | set(found["height"].values()), {"-"})
            self.assertEqual((found["print"]["progress"], found["print"]["estimatedEndTime"]), ("-", "-"))
            self.switch_off()
        self.assertEqual(found["print"]["printerState"], "offline")

    def test_printing(self) -> None:
        """A print is told with its layers, its heights, its pace and the time of day at which it ends."""
        file = self.store()
        self.rig.publish(printing(1, 4, filename=wire_name(file), current_ticks=60_000, total_ticks=240_000))
        found = self.values()
        self.assertEqual((found["layer"]["current"], found["layer"]["total"]), ("1", "4"))
        self.assertEqual(found["layer"]["averageLayerDuration"], "0h:01m:00s")
        self.assertEqual(found["layer"]["averageLayerDurationInSeconds"], 60)
        self.assertEqual((found["print"]["progress"], found["print"]["printerState"]), ("25", "printing"))
        self.assertEqual((found["print"]["timeLeft"], found["print"]["timeLeftInSeconds"]), ("0h:03m:00s", 180))
        self.assertRegex(found["print"]["estimatedEndTime"], r"\A[0-2][0-9]:[0-5][0-9]\Z")
        self.assertEqual(found["currentFilename"], "plate.goo")
        self.assertRegex(found["height"]["current"], r"\A[0-9]+\.[0-9]{2}\Z")
        self.assertEqual(found["height"]["total"], found["height"]["current"])  # it has one layer
        self.assertEqual((found["fanSpeed"], found["feedrate"]), ("-", "-"))
        self.rig.publish(Status((0,)))
        self.assertEqual(self.values()["layer"]["current"], "-")
