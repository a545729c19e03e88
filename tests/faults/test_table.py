"""Which test shows which fault of the reference's table (sdcp.md 8.4), and that none is forgotten.

F35 to F43 are faults of V3 printers, which the daemon does not drive yet.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.simulator import fault_kinds, outside_kinds
from sdcpd.simulator.faults import FAULTS

OF_THE_DAEMON = "F31"
NUMBERS = [*(f"F{number}" for number in range(1, 35)), "F44"]
MESSAGES, NETWORK, PRINTS, TRANSFERS = (f"faults.test_{n}" for n in ("messages", "network", "prints", "transfers"))
PRINT_TESTS = "end_to_end.test_print.PrintTests"
TABLE = {
    "F1": [f"{NETWORK}.LossyTests.test_udp"],
    "F2": [f"{NETWORK}.BadReplyTests.test_replies"],
    "F3": [f"{NETWORK}.WrongAddressTests.test_source_wins"],
    "F4": [f"{NETWORK}.SameNameTests.test_moved"],
    "F5": [f"{NETWORK}.IgnoredTests.test_third", f"{NETWORK}.FirewalledTests.test_fourth"],
    "F6": [
        f"{NETWORK}.OwnedTests.test_taken_over",
        f"{NETWORK}.OwnedTests.test_adopted",
        "end_to_end.test_takeover.TakeoverTests.test_taken_and_back",
    ],
    "F7": [f"{NETWORK}.SplitTests.test_single_bytes", f"{NETWORK}.JoinedTests.test_one_segment"],
    "F8": [f"{NETWORK}.IntruderTests.test_closed"],
    "F9": [f"{NETWORK}.TwinTests.test_session_moves"],
    "F10": [f"{NETWORK}.SilentTests.test_{name}" for name in ("half_open", "power_cut", "cut")],
    "F11": [f"{NETWORK}.PingTests.test_every_second", f"{NETWORK}.NoKeepaliveTests.test_none"],
    "F12": [f"{NETWORK}.DoubledTests.test_dup"],
    "F13": [f"{NETWORK}.EarlyTests.test_before_subscribe"],
    "F14": [f"{NETWORK}.FilterTests.test_filters"],
    "F15": [f"{MESSAGES}.ResponseTests.test_odd"],
    "F16": [f"{MESSAGES}.ResponseTests.test_silent", f"{MESSAGES}.ResponseTests.test_late"],
    "F17": [f"{MESSAGES}.StatusTests.test_odd", f"{MESSAGES}.StatusTests.test_unknown_number"],
    "F18": [f"{MESSAGES}.AttributesTests.test_shapes"],
    "F19": [f"{MESSAGES}.GarbageTests.test_garbage"],
    "F20": [
        f"{TRANSFERS}.HabitTests.test_{name}"
        for name in ("never", "head_only", "garbage", "get_only", "get_twice", "range")
    ],
    "F21": [
        *(f"{TRANSFERS}.DropTests.test_{name}" for name in ("from_zero", "range", "never", "with_link")),
        f"{PRINT_TESTS}.test_network_cut_in_the_download",
        f"{PRINT_TESTS}.test_printer_gives_the_download_up",
    ],
    "F22": [
        f"{TRANSFERS}.SlowTests.test_stalled",
        f"{TRANSFERS}.SlowTests.test_slow",
        "web.test_downloads.DownloadTests.test_stalled_reader",
    ],
    "F23": [f"{TRANSFERS}.FailureTests.test_once", f"{TRANSFERS}.FailureTests.test_for_good"],
    "F24": [f"{TRANSFERS}.StaleTests.test_stale"],
    "F25": [f"{TRANSFERS}.StaleTests.test_fast"],
    "F26": [f"{TRANSFERS}.LostTests.test_link_lost"],
    "F27": [f"{TRANSFERS}.ForeignTests.test_other_address"],
    "F28": [f"{PRINTS}.RefusalTests.test_refused"],
    "F29": [f"{PRINTS}.RefusalTests.test_ignored"],
    "F30": [f"{PRINTS}.RebootTests.test_reboot"],
    "F31": [
        f"{PRINT_TESTS}.test_daemon_killed_in_the_print",
        f"{PRINT_TESTS}.test_ordered_restart_in_the_print",
        "end_to_end.test_restart.TransferRestartTests.test_started_by_a_word",
        "end_to_end.test_restart.TransferRestartTests.test_given_up",
    ],
    "F32": [f"{PRINTS}.ScreenTests.test_{name}" for name in ("paused", "stopped", "swapped", "another_file")],
    "F33": [f"{PRINTS}.ScreenTests.test_completed_screen"],
    "F34": [f"{PRINTS}.RebootTests.test_uptime_wraps"],
    "F44": [f"{NETWORK}.StormTests.test_storm"],
}


class TableTests(SynchronousTestCase):
    """The table is whole."""

    def test_none_forgotten(self) -> None:
        """Every fault of V1 printers has a test."""
        self.assertEqual(list(TABLE), NUMBERS)
        self.assertEqual([number for number, tests in TABLE.items() if not tests], [])

    def test_all_exist(self) -> None:
        """Every test of the table is there under its name."""
        for number, names in TABLE.items():
            for name in names:
                module, kind, test = f"tests.{name}".rsplit(".", 2)
                found = getattr(getattr(import_module(module), kind), test, None)
                self.assertTrue(callable(found), f"{number}: {name}")

    def test_every_fault_has_a_number(self) -> None:
        """Every fault that the simulator offers belongs to the table."""
        offered = {*fault_kinds.__all__, *outside_kinds.__all__}
        self.assertEqual({fault.__name__ for fault in FAULTS.values()}, offered)
        self.assertEqual([fault.name for fault in FAULTS.values() if fault.number not in NUMBERS], [])

    def test_every_number_has_a_fault(self) -> None:
        """Every fault of the table but the daemon's own restart can be had of the simulator by a name."""
        named = {fault.number for fault in FAULTS.values()}
        self.assertEqual([number for number in NUMBERS if number not in named], [OF_THE_DAEMON])

    def test_documented(self) -> None:
        """The simulator's documentation has every number, and every fault by its name."""
        text = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
        said = set(re.findall(r"\bF\d+\b", text))
        self.assertEqual([number for number in NUMBERS if number not in said], [])
        self.assertEqual([name for name in FAULTS if f"`{name}`" not in text], [])
