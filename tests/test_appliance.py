from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from sdcpd import config as configuration
from sdcpd.appliance import FAREWELL, STOP_WITHIN, Appliance, Part
from sdcpd.config import Config
from sdcpd.errors import ConfigError
from sdcpd.listener import Listener
from tests.fakes import FakeStreams, logged


class Diary(Service):
    """A child that notes what happens to it; ``blocked`` keeps it from stopping."""

    def __init__(self, name: str, diary: list[str]) -> None:
        self.name = name
        self._diary = diary
        self.blocked: Deferred[None] | None = None
        self.broken = False

    def startService(self) -> None:
        if self.broken:
            raise RuntimeError("a bug of ours")
        super().startService()
        self._diary.append(f"{self.name} starts")

    def stopService(self) -> Deferred[None] | None:
        super().stopService()
        self._diary.append(f"{self.name} stops")
        if self.broken:
            raise RuntimeError("a bug of ours")
        return self.blocked


class FakeSupervisor:
    """Whoever started the daemon; it notes what it is told."""

    def __init__(self, told: list[str]) -> None:
        self._told = told

    def reloading(self) -> None:
        self._told.append("reloading")

    def reloaded(self, refusal: str) -> None:
        self._told.append(f"reloaded: {refusal}")

    def stopping(self) -> None:
        self._told.append("stopping")


class FakeDiscovery(Diary):
    """A child that listens by UDP."""

    listening = ("192.0.2.10:50001",)


class ApplianceTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeStreams()
        self.state = Path(self.mktemp())
        self.state.mkdir()
        self.diary: list[str] = []
        self.told: list[str] = []
        """What whoever started the daemon knows."""
        self.config = configuration.parse(
            f"""
            [sdcpd]
            state_directory = {json.dumps(str(self.state))}
            [web]
            listen = ["tcp:8080", "tcp:8443"]
            """
        )
        self.new: Config | ConfigError = self.config
        self.configured: list[Config] = []
        self.breaks: dict[str, Config] = {}
        """Where something of ours fails with which configuration."""
        self.appliance = self.make()

    def make(self) -> Appliance:
        parts = (
            Part("mqtt", ("mqtt",), self.make_mqtt),
            Part("web", ("web",), self.make_web),
            Part("discovery", ("discovery", "mqtt"), self.make_discovery),
            Part("watch", (), lambda config: Diary("watch", self.diary)),
        )
        return Appliance(
            self.config,
            parts,
            reload=self.reload_config,
            reconfigured=self.reconfigured,
            ended=lambda: self.diary.append("ended"),
            clock=self.reactor,
            supervisor=FakeSupervisor(self.told),
        )

    def reconfigured(self, config: Config) -> None:
        self.configured.append(config)
        if self.breaks.get("reconfigured") == config:
            raise RuntimeError("a bug of ours")

    def make_discovery(self, config: Config) -> IService:
        if self.breaks.get("make") == config:
            raise RuntimeError("a bug of ours")
        found = FakeDiscovery("discovery", self.diary)
        found.broken = self.breaks.get("start") == config
        return found

    def reload_config(self) -> Config:
        if self.breaks.get("reload") == self.new:
            raise RuntimeError("a bug of ours")
        if isinstance(self.new, ConfigError):
            raise self.new
        return self.new

    def make_mqtt(self, config: Config) -> IService:
        if config.mqtt.listen == "tcp:1":
            raise ConfigError("[mqtt] listen: nobody can use that")
        return Listener(self.reactor, "[mqtt] listen", config.mqtt.listen, Factory())

    def make_web(self, config: Config) -> IService:
        service = MultiService()
        for number, listen in enumerate(config.web.listen):
            listener = Listener(self.reactor, "[web] listen", listen, Factory())
            if number:
                listener.setName("web 2")
            listener.setServiceParent(service)
        return service

    def start(self) -> None:
        self.appliance.privilegedStartService()
        self.appliance.startService()

    def ports(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = json.loads((self.state / "ports.json").read_bytes())
        return found

    def reload(self, new: Config | ConfigError) -> bool:
        self.new = new
        d = self.appliance.reload()
        self.reactor.pump([0] * 20)
        return self.successResultOf(d)

    def listens(self, *ports: int) -> None:
        """Exactly these ports are open."""
        self.assertEqual(sorted(self.reactor.open), list(ports))

    def mqtt(self, listen: str) -> Config:
        """The configuration with the printers' port elsewhere."""
        return replace(self.config, mqtt=replace(self.config.mqtt, listen=listen))


class StartTests(ApplianceTestCase):
    def test_ports(self) -> None:
        """After the start the log and a file say which ports are in use."""
        lines = logged(self)
        self.start()
        self.listens(1883, 8080, 8443)
        ports = self.ports()
        self.assertEqual(ports["mqtt"][0]["port"], 1883)
        self.assertEqual(ports["mqtt"][0]["endpoint"], "tcp:1883")
        self.assertEqual(ports["[web] listen"][0]["port"], 8080)
        self.assertEqual(ports["web 2"][0]["port"], 8443)
        self.assertEqual(ports["discovery"], [{"address": "192.0.2.10:50001"}])
        self.assertEqual(len([line for line in lines if line.startswith("Listening: ") and ":1883" in line]), 1)
        self.assertEqual([path.name for path in self.state.iterdir()], ["ports.json"])

    def test_free_port(self) -> None:
        """Port 0 is told as the number that it has become."""
        self.config = self.mqtt("tcp:0")
        self.appliance = self.make()
        self.start()
        self.assertGreaterEqual(self.ports()["mqtt"][0]["port"], 50_000)

    def test_busy(self) -> None:
        """A busy port ends the start with one line that names the key."""
        self.reactor.busy.add(8443)
        error = self.assertRaises(SystemExit, self.appliance.privilegedStartService)
        text = str(error.code)
        self.assertTrue(text.startswith("sdcpd: [web] listen: cannot listen on tcp:8443: "), text)
        self.assertNotIn("\n", text)

    def test_unwritable_state(self) -> None:
        """If the file cannot be written, the daemon works all the same."""
        lines = logged(self)
        (self.state / "ports.json").mkdir()
        self.start()
        self.assertTrue(any("Cannot write" in line for line in lines))
        self.assertTrue(self.appliance.running)


class ReloadTests(ApplianceTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.start()
        self.diary.clear()
        self.children = dict(self.appliance.namedServices)

    def same(self, *names: str) -> None:
        """Exactly these children are the same as before."""
        now = self.appliance.namedServices
        self.assertEqual([name for name in self.children if now[name] is self.children[name]], list(names))
        self.assertTrue(all(child.running for child in now.values()))

    def test_unchanged(self) -> None:
        """An unchanged configuration changes nothing."""
        self.assertTrue(self.reload(self.config))
        self.same("mqtt", "web", "discovery", "watch")
        self.assertEqual((self.diary, self.configured), ([], []))

    def test_supervised(self) -> None:
        """Whoever started the daemon hears of each reload's begin and end, and why one was refused."""
        self.reload(self.config)
        self.assertEqual(self.told, ["reloading", "reloaded: "])
        self.told.clear()
        self.reload(self.mqtt("tcp:1884"))
        self.assertEqual(self.told, ["reloading", "reloaded: "])
        for new, why in (
            (ConfigError("[nonsense]: unknown", "Mend it."), "[nonsense]: unknown"),
            (self.mqtt("tcp:1"), "[mqtt] listen: nobody can use that"),
        ):
            self.told.clear()
            self.reload(new)
            self.assertEqual(self.told, ["reloading", f"reloaded: {why}"])

    def test_supervised_error(self) -> None:
        """An error of ours is told as the end of the reload, too: nobody waits for ever."""
        self.breaks["reload"] = self.new = self.mqtt("tcp:1884")
        self.reload(self.new)
        self.assertEqual(self.told, ["reloading", "reloaded: an error in the daemon, see its log"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_only_discovery(self) -> None:
        """Another discovery restarts discovery and cuts no printer off."""
        new = replace(self.config, discovery=replace(self.config.discovery, interval=60.0))
        self.assertTrue(self.reload(new))
        self.same("mqtt", "web", "watch")
        self.assertEqual(self.diary, ["discovery stops", "discovery starts"])
        self.assertEqual((self.configured, self.appliance.config), ([new], new))

    def test_values_only(self) -> None:
        """What no child depends on is taken over without a restart."""
        new = replace(self.config, files=replace(self.config.files, keep="3d"))
        self.assertTrue(self.reload(new))
        self.same("mqtt", "web", "discovery", "watch")
        self.assertEqual(self.configured, [new])

    def test_other_port(self) -> None:
        """Another port is in use and told after the reload, the old one is free."""
        self.assertTrue(self.reload(self.mqtt("tcp:1884")))
        self.same("web", "watch")
        self.listens(1884, 8080, 8443)
        self.assertEqual(self.ports()["mqtt"][0]["port"], 1884)

    def test_same_port(self) -> None:
        """The same port with other options is bound again, though it was just in use."""
        self.assertTrue(self.reload(self.mqtt("tcp:1883:interface=127.0.0.1")))
        self.listens(1883, 8080, 8443)
        self.assertEqual(self.reactor.open[1883][0], "127.0.0.1")

    def test_busy_port(self) -> None:
        """A new port that is busy leaves the old configuration in force, and working."""
        lines = logged(self)
        self.reactor.busy.add(1884)
        self.assertFalse(self.reload(self.mqtt("tcp:1884")))
        self.listens(1883, 8080, 8443)
        self.same("mqtt", "web", "discovery", "watch")
        self.assertEqual((self.appliance.config, self.configured, self.diary), (self.config, [], []))
        self.assertTrue(any("[mqtt] listen" in line and "the old one stays" in line for line in lines))
        self.assertEqual(self.ports()["mqtt"][0]["port"], 1883)
        self.assertTrue(self.reload(self.mqtt("tcp:1885")))

    def test_unmakeable(self) -> None:
        """A part that cannot even be made is no different."""
        logged(self)
        self.assertFalse(self.reload(self.mqtt("tcp:1")))
        self.listens(1883, 8080, 8443)

    def test_second_busy(self) -> None:
        """If the last of several new ports is busy, none of the others is in use."""
        logged(self)
        self.reactor.busy.add(8081)
        web = replace(self.config.web, listen=("tcp:8085", "tcp:8081"))
        self.assertFalse(self.reload(replace(self.mqtt("tcp:1884"), web=web)))
        self.listens(1883, 8080, 8443)
        self.same("mqtt", "web", "discovery", "watch")

    def test_second_busy_after_first(self) -> None:
        """If that shows only when old ports had to be freed, the old ones are bound again."""
        logged(self)
        self.reactor.busy.add(8081)
        web = replace(self.config.web, listen=("tcp:8080", "tcp:8081"))
        self.assertFalse(self.reload(replace(self.mqtt("tcp:1884"), web=web)))
        self.listens(1883, 8080, 8443)
        self.assertEqual(self.appliance.config, self.config)
        self.assertEqual(set(self.appliance.namedServices), set(self.children))
        self.assertTrue(all(child.running for child in self.appliance.namedServices.values()))

    def test_ports_exchanged(self) -> None:
        """Two parts may exchange their ports."""
        web = replace(self.config.web, listen=("tcp:1883",))
        self.assertTrue(self.reload(replace(self.mqtt("tcp:8080"), web=web)))
        self.listens(1883, 8080)
        self.assertEqual(self.ports()["mqtt"][0]["port"], 8080)

    def test_no_way_back(self) -> None:
        """If the old port was taken meanwhile as well, that is said, and everything else works on."""
        lines = logged(self)
        self.reactor.busy.add(1883)
        self.assertFalse(self.reload(self.mqtt("tcp:1883:interface=127.0.0.1")))
        self.listens(8080, 8443)
        self.assertTrue(any("mqtt is down" in line for line in lines))
        self.reactor.busy.clear()
        self.assertTrue(self.reload(self.mqtt("tcp:1884")))
        self.listens(1884, 8080, 8443)

    def test_bug(self) -> None:
        """A bug of ours, wherever in a reload, is logged, and every old part works on; the next reload is a new one."""
        new = self.mqtt("tcp:1884")
        for where in ("reload", "make", "start", "reconfigured"):
            with self.subTest(where=where):
                self.breaks = {where: new}
                self.assertFalse(self.reload(new))
                # A child that fails to start fails to stop, too.
                self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2 if where == "start" else 1)
                self.listens(1883, 8080, 8443)
                self.assertEqual(set(self.appliance.namedServices), set(self.children))
                self.assertTrue(all(child.running for child in self.appliance.namedServices.values()))
                self.assertEqual((self.appliance.config, self.ports()["mqtt"][0]["port"]), (self.config, 1883))
        self.assertEqual(self.configured, [new, self.config])
        self.breaks = {}
        self.assertTrue(self.reload(new))
        self.listens(1884, 8080, 8443)

    def test_broken_stop(self) -> None:
        """An old part that fails to stop is replaced by a sound one of the old configuration."""
        discovery = self.appliance.getServiceNamed("discovery")
        assert isinstance(discovery, Diary)
        discovery.broken = True
        self.assertFalse(self.reload(self.mqtt("tcp:1884")))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.listens(1883, 8080, 8443)
        self.assertIsNot(self.appliance.getServiceNamed("discovery"), discovery)
        self.assertTrue(all(child.running for child in self.appliance.namedServices.values()))

    def test_bug_on_the_way_back(self) -> None:
        """If an old part cannot even be made again, that is said, the others work on, and a later reload mends it."""
        lines = logged(self)
        new = self.mqtt("tcp:1884")
        self.breaks = {"reconfigured": new, "make": self.config}
        self.assertFalse(self.reload(new))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)
        self.assertTrue(any("discovery is down" in line for line in lines))
        self.listens(1883, 8080, 8443)
        self.breaks = {}
        self.assertTrue(self.reload(new))
        self.assertEqual(set(self.appliance.namedServices), set(self.children))
        self.listens(1884, 8080, 8443)

    def test_bad_file(self) -> None:
        """A bad file is refused whole, with place and hint in the log."""
        lines = logged(self)
        self.assertFalse(self.reload(ConfigError("[web] hosts: expected array", "Look at the manual.")))
        self.same("mqtt", "web", "discovery", "watch")
        self.assertEqual(self.configured, [])
        self.assertTrue(any("[web] hosts" in line and "Look at the manual" in line for line in lines))

    def test_state_directory(self) -> None:
        """The state directory cannot change while the daemon runs; nothing else of that file is taken over."""
        logged(self)
        elsewhere = replace(self.config.sdcpd, state_directory="/elsewhere")
        self.assertFalse(self.reload(replace(self.mqtt("tcp:1884"), sdcpd=elsewhere)))
        self.listens(1883, 8080, 8443)

    def test_twice_at_once(self) -> None:
        """Two reloads at once are done one after the other; the last one counts."""
        self.new = self.mqtt("tcp:1884")
        first = self.appliance.reload()
        self.new = self.mqtt("tcp:1885")
        second = self.appliance.reload()
        self.reactor.pump([0] * 20)
        self.assertTrue(self.successResultOf(first))
        self.assertTrue(self.successResultOf(second))
        self.listens(1885, 8080, 8443)


class StopTests(ApplianceTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.start()
        self.diary.clear()

    def child(self, name: str) -> Diary:
        found = self.appliance.getServiceNamed(name)
        assert isinstance(found, Diary)
        return found

    def test_ordered(self) -> None:
        """Jobs and connections end first, then the last answers leave, then everything stops in reverse order."""
        d = self.appliance.stopService()
        self.assertEqual((self.told, self.diary), (["stopping"], ["ended"]))
        self.listens(1883, 8080, 8443)
        self.reactor.advance(FAREWELL)
        self.reactor.pump([0] * 10)
        self.successResultOf(d)
        self.assertEqual(self.diary, ["ended", "watch stops", "discovery stops"])
        self.listens()

    def test_after_reload(self) -> None:
        """A reload does not change the order."""
        new = replace(self.config, discovery=replace(self.config.discovery, interval=60.0))
        self.assertTrue(self.reload(new))
        self.diary.clear()
        d = self.appliance.stopService()
        self.reactor.advance(FAREWELL)
        self.assertEqual(self.diary, ["ended", "watch stops", "discovery stops"])
        self.reactor.pump([0] * 10)
        self.successResultOf(d)

    def test_bounded(self) -> None:
        """A child that never stops keeps the daemon for ten seconds and no longer."""
        lines = logged(self)
        self.child("watch").blocked = Deferred()
        d = self.appliance.stopService()
        self.reactor.advance(STOP_WITHIN - 1)
        self.assertNoResult(d)
        self.reactor.advance(1)
        self.successResultOf(d)
        self.assertTrue(any("Not everything had stopped" in line for line in lines))

    def test_broken_child(self) -> None:
        """A child that fails to stop is logged and keeps the others from nothing."""
        self.child("watch").broken = True
        d = self.appliance.stopService()
        self.reactor.advance(FAREWELL)
        self.reactor.pump([0] * 10)
        self.successResultOf(d)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.listens()

    def test_during_reload(self) -> None:
        """A stop in the middle of a reload stops all the same."""
        self.new = self.mqtt("tcp:1884")
        self.appliance.reload()
        d = self.appliance.stopService()
        self.reactor.advance(FAREWELL)
        self.reactor.pump([0] * 20)
        self.successResultOf(d)
        self.listens()
