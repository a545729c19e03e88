from __future__ import annotations

import gc
import os
import resource
import sys

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.process import COLLECTION, SWITCH, Interpreter, guarded, next_descriptor, raise_limit
from tests.fakes import logged


class DescriptorTests(SynchronousTestCase):
    def test_raised(self) -> None:
        """The daemon has as many descriptors as the machine lets it have, and who wants to know can read how many."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 512), hard))
        lines = logged(self, "debug")
        self.assertEqual(raise_limit(), hard)
        self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE), (hard, hard))
        self.assertEqual([line for line in lines if str(hard) in line], lines)
        self.assertEqual(len(lines), 1)

    def test_next(self) -> None:
        """The number that is said to be next is the next one."""
        number = next_descriptor()
        with open(os.devnull) as file:
            self.assertEqual(file.fileno(), number)
            self.assertGreater(next_descriptor(), number)


class GuardedTests(SynchronousTestCase):
    def test_failure(self) -> None:
        """A periodic task that fails is logged and keeps the next from nothing."""
        done = []

        def fail() -> None:
            raise RuntimeError("a bug of ours")

        for _ in range(2):
            guarded(fail, lambda: done.append(1))
        self.assertEqual(len(done), 2)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)


class InterpreterTests(SynchronousTestCase):
    """The garbage collector, which would take half of the time when thousands wait, and the interpreter's lock."""

    def test_told(self) -> None:
        """While the daemon runs cycles are looked for seldom and threads change often; then it is as it was before."""
        before, interval = gc.get_threshold(), sys.getswitchinterval()
        self.addCleanup(gc.set_threshold, *before)
        self.addCleanup(sys.setswitchinterval, interval)
        service = Interpreter()
        service.startService()
        self.assertEqual(gc.get_threshold(), COLLECTION)
        self.assertTrue(gc.isenabled(), "cycles are found all the same")
        self.assertAlmostEqual(sys.getswitchinterval(), SWITCH)
        service.stopService()
        self.assertEqual((gc.get_threshold(), sys.getswitchinterval()), (before, interval))
