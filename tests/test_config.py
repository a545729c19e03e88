"""The configuration: defaults, the shipped file, and every refusal with its place and its hint."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.config import Config, Files, KnownPrinter, load, parse
from sdcpd.errors import ConfigError
from sdcpd.sections import Section

SHIPPED = Path(__file__).parents[1] / "etc" / "sdcpd" / "sdcpd.toml"
TEXT = 'a text in "quotes"'
LIST = 'a list such as ["..."]'
ENDPOINT = "expected an endpoint such as tcp:1883 or tcp:8080:interface=127.0.0.1, found "
INTERFACE = "expected an address after interface=, found "
NETWORK = "expected an address or a network such as 192.168.1.0/24, found "
TARGET = "expected an IPv4 address, address:port or network such as 192.168.1.0/24, found "
SIZE = 'expected bytes or a size such as "2GiB", found '
SPAN = 'expected a time such as "30d" or "12h", or "" for ever, found '
SLUG = "expected a name of a-z, 0-9 and -, at most 32 long, found "
ID = 'mainboard_id = "0001D2AB12CD34EF"\n'

KEYS = "[[mqtt.clients.keys]]\n"
HASH = f"sha256 = '{'ab' * 32}'\n"

REFUSED = [
    # unknown keys, at each level
    ("wbe = 1", "wbe: unknown key; known here: " + ", ".join(Config.__struct_fields__)),
    ("[wbe]", "wbe: unknown key; known here: " + ", ".join(Config.__struct_fields__)),
    ("[mqtt]\nport = 1883", "[mqtt] port: unknown key; known here: listen"),
    ("[files]\nquoat = 1", "[files] quoat: unknown key; known here: quota, keep, max_size, reserve, ctb_key_file"),
    ("[access]\ntrust = {}", "[access] trust: unknown key; known here: trusted"),
    ("[printers.a]\nid = 1", "[printers.a] id: unknown key; known here: mainboard_id, name, address, port"),
    ('["a`b"]', "a`b: unknown key; known here: " + ", ".join(Config.__struct_fields__)),
    # wrong types
    ("web = 5", "[web]: expected a table, found a whole number"),
    ("[[web]]", f"[web]: expected a table, found {LIST}"),
    ("[discovery]\nport = '3000'", f"[discovery] port: expected a whole number, found {TEXT}"),
    ("[discovery]\nport = true", "[discovery] port: expected a whole number, found true or false"),
    ("[discovery]\nport = 1.5", "[discovery] port: expected a whole number, found a number"),
    ("[discovery]\nport = 2024-01-01", "[discovery] port: expected a whole number, found date"),
    ("[discovery]\ninterval = '30s'", f"[discovery] interval: expected a number, found {TEXT}"),
    ("[discovery]\ntargets = '10.0.0.1'", f"[discovery] targets: expected {LIST}, found {TEXT}"),
    ("[web]\nlisten = 'tcp:8080'", f"[web] listen: expected {LIST}, found {TEXT}"),
    ("[web]\nhosts = ['a', 5]", f"[web] hosts item 2: expected {TEXT}, found a whole number"),
    ("[sdcpd]\nsite = 1", f"[sdcpd] site: expected {TEXT}, found a whole number"),
    ("[files]\nquota = 2.5", f"[files] quota: expected a whole number or {TEXT}, found a number"),
    ("[files]\nkeep = 5", f"[files] keep: expected {TEXT}, found a whole number"),
    ("printers = 5", "[printers]: expected a table, found a whole number"),
    ("[printers]\na = 5", "[printers.a]: expected a table, found a whole number"),
    (f"[printers.b]\n{ID}[printers.a]\nport = 'x'", f"[printers.a] port: expected a whole number, found {TEXT}"),
    # words out of a list
    ("[status]\nmode = 'on'", "[status] mode: expected off or trusted or public, found 'on'"),
    ("[plate]\ngate = 'on'", "[plate] gate: expected after-print or always or off, found 'on'"),
    (
        "[sdcpd]\nlog_level = 'all'",
        "[sdcpd] log_level: expected debug or info or warn or error or critical, found 'all'",
    ),
    (
        "[access.trusted]\n'10.0.0.0/8' = ['view', 'edit']",
        "[access] trusted '10.0.0.0/8' scopes item 2: expected view or upload or queue or control or plate"
        " or admin, found 'edit'",
    ),
    ("[access.trusted]\nlan = 'view'", f"[access] trusted 'lan' scopes: expected {LIST}, found {TEXT}"),
    ("[access]\ntrusted = []", f"[access] trusted: expected a table, found {LIST}"),
    ("access = 1", "[access]: expected a table, found a whole number"),
    # a path that is none
    ('[sdcpd]\nstate_directory = "/srv/\\u0000"', "[sdcpd] state_directory: expected a path, found "),
    # numbers out of range
    ("[discovery]\nport = 0", "[discovery] port: expected 1 to 65535, found 0"),
    ("[discovery]\nport = 65536", "[discovery] port: expected 1 to 65535, found 65536"),
    ("[discovery]\ninterval = 0.5", "[discovery] interval: expected 1 to 3600, found 0.5"),
    ("[discovery]\ninterval = nan", "[discovery] interval: expected 1 to 3600, found nan"),
    ("[discovery]\ninterval = inf", "[discovery] interval: expected 1 to 3600, found inf"),
    (f"[printers.a]\n{ID}port = -1", "[printers.a] port: expected 0 to 65535, found -1"),
    # endpoints
    ("[mqtt]\nlisten = '1883'", f"[mqtt] listen: {ENDPOINT}'1883'"),
    ("[mqtt]\nlisten = 'ssl:8883'", f"[mqtt] listen: {ENDPOINT}'ssl:8883'"),
    ("[downloads]\nlisten = 'unix:/run/x'", f"[downloads] listen: {ENDPOINT}'unix:/run/x'"),
    ("[web]\nlisten = ['tcp:8080', 'http:80']", f"[web] listen: {ENDPOINT}'http:80'"),
    ("[mqtt]\nlisten = 'systemd:'", f"[mqtt] listen: {ENDPOINT}'systemd:'"),
    ("[mqtt]\nlisten = 'systemd:domain=INET6:index=0'", f"[mqtt] listen: {ENDPOINT}'systemd:domain=INET6:index=0'"),
    (
        "[downloads]\nlisten = 'systemd:name=a:domain=UNIX'",
        f"[downloads] listen: {ENDPOINT}'systemd:name=a:domain=UNIX'",
    ),
    ("[mqtt]\nlisten = 'tcp:0:interface='", f"[mqtt] listen: {INTERFACE}'tcp:0:interface='"),
    ("[web]\nlisten = ['tcp:80:interface=:backlog=5']", f"[web] listen: {INTERFACE}'tcp:80:interface=:backlog=5'"),
    # addresses
    ("[web]\nproxies = ['proxy.lan']", f"[web] proxies: {NETWORK}'proxy.lan'"),
    ("[access.trusted]\nlan = ['view']", f"[access] trusted: {NETWORK}'lan'"),
    ("[discovery]\ntargets = ['printer.lan']", f"[discovery] targets: {TARGET}'printer.lan'"),
    ("[discovery]\ntargets = ['10.0.0.1:']", f"[discovery] targets: {TARGET}'10.0.0.1:'"),
    ("[discovery]\ntargets = ['10.0.0.1:0']", f"[discovery] targets: {TARGET}'10.0.0.1:0'"),
    ("[discovery]\ntargets = ['10.0.0.1:65536']", f"[discovery] targets: {TARGET}'10.0.0.1:65536'"),
    ("[discovery]\ntargets = ['10.0.0.0/33']", f"[discovery] targets: {TARGET}'10.0.0.0/33'"),
    ("[discovery]\ntargets = ['fe80::1']", f"[discovery] targets: {TARGET}'fe80::1'"),
    (
        "[discovery]\ntargets = ['10.0.0.0/19']",
        "[discovery] targets: expected a network of at most 4096 addresses (/20), found '10.0.0.0/19'",
    ),
    (f"[printers.a]\n{ID}address = 'x'", f"[printers.a] address: {TARGET}'x'"),
    # sizes and spans
    ("[files]\nquota = -1", f"[files] quota: {SIZE}-1"),
    ("[files]\nquota = ''", f"[files] quota: {SIZE}''"),
    ("[files]\nquota = '2 gallons'", f"[files] quota: {SIZE}'2 gallons'"),
    ("[files]\nmax_size = '-1GiB'", f"[files] max_size: {SIZE}'-1GiB'"),
    ("[files]\nmax_size = 0", "[files] max_size: expected at least 1 byte, found 0"),
    ("[files]\nreserve = '10000000TiB'", f"[files] reserve: {SIZE}'10000000TiB'"),
    (f"[files]\nreserve = '{'9' * 400}'", f"[files] reserve: {SIZE}'{'9' * 400}'"),
    ("[files]\nkeep = '30'", f"[files] keep: {SPAN}'30'"),
    ("[files]\nkeep = '1y'", f"[files] keep: {SPAN}'1y'"),
    (f"[files]\nkeep = '{'9' * 400}d'", f"[files] keep: {SPAN}'{'9' * 400}d'"),
    # printers among each other
    (f"[printers.Saturn]\n{ID}", f"[printers.Saturn]: {SLUG}'Saturn'"),
    (f"[printers.-a]\n{ID}", f"[printers.-a]: {SLUG}'-a'"),
    (f"[printers.{'a' * 33}]\n{ID}", f"[printers.{'a' * 33}]: {SLUG}'{'a' * 33}'"),
    (f"[printers.'a.b']\n{ID}", f"[printers.a.b]: {SLUG}'a.b'"),
    ("[printers.a]\nname = 'A'", "[printers.a] mainboard_id: expected the printer's MainboardID, found ''"),
    (
        "[printers.a]\nmainboard_id = 'a b'",
        "[printers.a] mainboard_id: expected the printer's MainboardID, found 'a b'",
    ),
    (
        f"[printers.a]\n{ID}[printers.b]\n{ID.lower()}",
        "[printers.b] mainboard_id: 'a' has the same; each printer has its own",
    ),
    # ports of printers' own
    (
        f"[printers.a]\n{ID}port = 7001\n[printers.b]\nmainboard_id = 'B'\nport = 7001",
        "[printers.b] port: 7001 is that of [printers.a] port already",
    ),
    (f"[printers.a]\n{ID}port = 8080", "[printers.a] port: 8080 is that of [web] listen already"),
    (f"[printers.a]\n{ID}port = 1883", "[printers.a] port: 1883 is that of [mqtt] listen already"),
    (f"[printers.a]\n{ID}port = 8081", "[printers.a] port: 8081 is that of [downloads] listen already"),
    (
        f"[mqtt.clients]\nlisten = 'ssl:port=8883:privateKey=k'\n[printers.a]\n{ID}port = 8883",
        "[printers.a] port: 8883 is that of [mqtt.clients] listen already",
    ),
    (
        f"[web]\nlisten = ['unix:/run/x']\n[printers.a]\n{ID}port = 7001",
        "[printers.a] port: expected an endpoint in [web] listen that has a port, found ['unix:/run/x']",
    ),
    # who comes in at the clients' port
    ("[mqtt.clients]\nport = 1", "[mqtt.clients] port: unknown key; known here: listen, anonymous, keys"),
    ("[mqtt.clients]\nanonymous = 1", "[mqtt.clients] anonymous: expected true or false, found a whole number"),
    ("[mqtt]\nclients = 1", "[mqtt] clients: expected a table, found a whole number"),
    ("[mqtt.clients]\nkeys = ['a']", f"[mqtt.clients.keys] item 1: expected a table, found {TEXT}"),
    (f"{KEYS}nam = 'a'", "[mqtt.clients.keys] item 1 nam: unknown key; known here: name, sha256, scopes"),
    (f"{KEYS}scopes = ['al']", "[mqtt.clients.keys] item 1 scopes item 1: expected view or upload or queue or control"),
    (f"{KEYS}name = 'a b'", "[mqtt.clients.keys] item 1 name: expected letters, digits, - and _, found 'a b'"),
    (f"{KEYS}name = 'a'", "[mqtt.clients.keys] item 1 sha256: expected 64 hexadecimal digits, found 0 characters"),
    (f"{KEYS}name = 'a'\n{HASH}{KEYS}name = 'a'\n{HASH}", "[mqtt.clients.keys] item 2 name: 'a' is there twice"),
    ("[mqtt.clients]\nlisten = '1884'", f"[mqtt.clients] listen: {ENDPOINT}'1884'"),
    # TOML itself
    ("[web", "expected TOML: "),
    ("[web]\n[web]", "expected TOML: Cannot declare ('web',) twice"),
    ("[mqtt]\nlisten = 'tcp:1'\nlisten = 'tcp:2'", "expected TOML: Cannot overwrite a value"),
]

SIZES: list[tuple[int | str, int]] = [
    (0, 0),
    (1, 1),
    (2**63 - 1, 2**63 - 1),
    ("1", 1),
    ("1B", 1),
    ("1k", 1000),
    ("1 kB", 1000),
    ("1KiB", 1024),
    ("1.5 MiB", 1572864),
    ("2MB", 2000000),
    ("2GiB", 2**31),
    ("2g", 2 * 10**9),
    (" 1 TiB ", 2**40),
    ("1tb", 10**12),
]
SPANS = [
    ("", 0.0),
    ("0d", 0.0),
    ("90s", 90.0),
    ("5 min", 300.0),
    ("12h", 43200.0),
    ("1.5d", 129600.0),
    ("2w", 1209600.0),
]


class ParseTests(SynchronousTestCase):
    """What a text is read as."""

    def test_empty(self) -> None:
        """An empty file is every default."""
        self.assertEqual(parse(""), Config())

    def test_every_section(self) -> None:
        """Each key can be set."""
        config = parse(
            """
            [sdcpd]
            state_directory = "/srv/sdcpd"
            site = "cellar"
            default_printer = "left"
            log_level = "debug"
            [discovery]
            port = 3001
            interfaces = ["eth0", "127.0.0.1"]
            targets = ["10.0.0.1", "10.0.0.2:3005", "10.0.16.0/20", "10.0.0.9/24"]
            interval = 5
            [mqtt]
            listen = "tcp:0"
            [mqtt.clients]
            listen = "ssl:8883:privateKey=/etc/key.pem"
            anonymous = true
            [[mqtt.clients.keys]]
            name = "ha"
            sha256 = "abababababababababababababababababababababababababababababababab"
            scopes = ["view", "control"]
            [downloads]
            listen = "systemd:domain=INET:index=0"
            [web]
            listen = ["tcp:80", "ssl:443", "unix:/run/sdcpd.sock", "tcp6:80"]
            hosts = ["hub.example"]
            origins = ["https://hub.example"]
            proxies = ["10.0.0.1", "fd00::/8"]
            rate = 0
            burst = 7
            [mdns]
            enabled = false
            sl1 = false
            [status]
            mode = "public"
            [access.trusted]
            "10.0.0.0/8" = ["view", "upload"]
            [files]
            quota = "20GiB"
            keep = "30d"
            max_size = 1000
            reserve = 0
            ctb_key_file = "/etc/sdcpd/ctb.key"
            [journal]
            url = "postgresql://sdcpd@localhost/sdcpd"
            [plate]
            gate = "off"
            [printers.left]
            mainboard_id = "0001D2AB12CD34EF"
            name = "Left"
            address = "10.0.0.3"
            port = 3000
            [printers.0-right]
            mainboard_id = "0001D2AB12CD34F0"
            """
        )
        for name in Config.__struct_fields__:
            section = getattr(config, name)
            self.assertNotEqual(section, getattr(Config(), name), name)
            if isinstance(section, Section):
                for key in section.__struct_fields__:
                    self.assertNotEqual(getattr(section, key), getattr(type(section)(), key), f"{name} {key}")
        self.assertEqual(config.printers["left"], KnownPrinter("0001D2AB12CD34EF", "Left", "10.0.0.3", 3000))
        self.assertEqual(config.access.trusted, {"10.0.0.0/8": ("view", "upload")})
        self.assertEqual(config.discovery.interval, 5.0)

    def test_refused(self) -> None:
        """Whatever cannot be used is refused with its place, what was found and what would do."""
        for text, message in REFUSED:
            with self.subTest(text=text[:60]):
                error = self.assertRaises(ConfigError, parse, text)
                self.assertTrue(error.message.startswith(message), error.message)

    def test_beyond_toml(self) -> None:
        """Numbers without end and nesting without bottom are errors like any other, at the start and at a reload."""
        for text in ("port = " + "1" * 5000, "port = " + "[" * 5000, "port = " + "{a = " * 5000):
            self.assertTrue(self.assertRaises(ConfigError, parse, text).message.startswith("expected TOML: "))

    def test_own_ports(self) -> None:
        """A printer's own port is bound where the web server is; one without a port has none."""
        listen = r"tcp6:80:interface=\:\:1"
        text = f"[printers.a]\n{ID}port = 7001\n[printers.b]\nmainboard_id = 'B'\n[web]\nlisten = ['{listen}']"
        self.assertEqual(parse(text).own_ports, {"a": (r"tcp6:7001:interface=\:\:1",)})
        self.assertEqual(Config().own_ports, {})

    def test_hint(self) -> None:
        """Who does not know the MainboardID is told where it can be seen."""
        error = self.assertRaises(ConfigError, parse, "[printers.a]")
        self.assertIn("GET /v1/printers", error.hint)

    def test_endpoint_hint(self) -> None:
        """Whoever cannot write an endpoint is told how."""
        for text in ("systemd:", "1883", "tcp:0:interface="):
            self.assertTrue(self.assertRaises(ConfigError, parse, f"[mqtt]\nlisten = '{text}'").hint.endswith("."))

    def test_default_printer(self) -> None:
        """The default printer may be one that is yet to be discovered."""
        self.assertEqual(parse("[sdcpd]\ndefault_printer = 'left'").sdcpd.default_printer, "left")

    def test_sizes(self) -> None:
        """Sizes are bytes, or numbers with the units that people write."""
        for text, size in SIZES:
            with self.subTest(text=text):
                files = Files(quota=text, max_size=text, reserve=text)
                found = (files.quota_bytes, files.max_size_bytes, files.reserve_bytes)
                self.assertEqual(found, (size, size, size))

    def test_ctb_key(self) -> None:
        """A file with 48 bytes that are not the key is refused, so that no layer is shown as noise."""
        self.assertIsNone(Files().ctb_key())
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "zeros").write_bytes(bytes(48))
        (folder / "short").write_bytes(bytes(47))
        for name, words in (
            ("zeros", "expected the key and IV with the SHA-256"),
            ("short", "expected 48 bytes"),
            ("missing", f"'{folder / 'missing'}' cannot be read"),
            ("nul\\u0000", "cannot be read: embedded null byte"),
        ):
            path = folder / "sdcpd.toml"
            path.write_text(f'[files]\nctb_key_file = "{folder / name}"\n')
            with self.assertRaises(ConfigError) as caught:
                load(path)
            self.assertIn("[files] ctb_key_file: ", caught.exception.message)
            self.assertIn(words, caught.exception.message)

    def test_spans(self) -> None:
        """Times are numbers with a unit; nothing means for ever."""
        for text, seconds in SPANS:
            with self.subTest(text=text):
                self.assertEqual(Files(keep=text).keep_seconds, seconds)

    def test_equal(self) -> None:
        """A file that says the same in other words changes nothing at a reload."""
        self.assertEqual(parse("[web]\n[mqtt]\n"), parse("# nothing"))
        self.assertNotEqual(parse("[web]\nlisten = ['tcp:80']"), parse(""))


class LoadTests(SynchronousTestCase):
    """What happens to a file."""

    def path(self, content: bytes) -> Path:
        path = Path(self.mktemp())
        path.write_bytes(content)
        return path

    def test_read(self) -> None:
        """A file is read, also one that an editor began with a byte order mark."""
        self.assertEqual(load(self.path(b"[sdcpd]\nsite = 'a'")).sdcpd.site, "a")
        self.assertEqual(load(self.path(b"\xef\xbb\xbf[sdcpd]\nsite = '\xc3\xa4'")).sdcpd.site, "ä")

    def test_missing(self) -> None:
        """A file that is not there is named, with the reason."""
        path = Path(self.mktemp())
        error = self.assertRaises(ConfigError, load, path)
        self.assertEqual(error.message, f"{path}: cannot be read: No such file or directory")

    def test_not_utf8(self) -> None:
        """A file in another encoding is named."""
        path = self.path(b"[sdcpd]\nsite = '\xe4'")
        error = self.assertRaises(ConfigError, load, path)
        self.assertTrue(error.message.startswith(f"{path}: expected UTF-8 text: "), error.message)

    def test_place_and_hint(self) -> None:
        """An error inside names the file first and keeps its hint."""
        path = self.path(b"[printers.a]")
        error = self.assertRaises(ConfigError, load, path)
        self.assertTrue(error.message.startswith(f"{path}: [printers.a] mainboard_id: "), error.message)
        self.assertIn("GET /v1/printers", error.hint)


class ShippedTests(SynchronousTestCase):
    """The file that the package installs."""

    def setUp(self) -> None:
        self.text = SHIPPED.read_text()
        self.example = re.search(r"^# \[printers\.[^#]*\n(?:# .*\n)+", self.text, re.MULTILINE)

    def test_defaults(self) -> None:
        """The shipped file changes nothing: each value in it is the default."""
        self.assertEqual(load(SHIPPED), Config())

    def test_complete(self) -> None:
        """Every key is in it, with exactly its default, in the order of the code."""
        found = tomllib.loads(self.text)
        default = msgspec.to_builtins(Config())
        del default["printers"]
        self.assertEqual(list(found), list(default))
        for section, keys in default.items():
            self.compare(found[section], keys, section)

    def compare(self, found: dict[str, object], default: dict[str, object], place: str) -> None:
        self.assertEqual(list(found), list(default), place)
        for key, value in default.items():
            shipped = found[key]
            if isinstance(value, dict) and isinstance(shipped, dict) and value:
                self.compare(shipped, value, f"{place} {key}")
            else:
                self.assertEqual(tuple(shipped) if isinstance(shipped, list) else shipped, value, f"{place} {key}")

    def test_example_key(self) -> None:
        """The example of a key works as soon as its marks are taken away and the empty list is gone."""
        block = re.search(r"^# \[\[mqtt\.clients\.keys\]\]\n(?:# .*\n)+", self.text, re.MULTILINE)
        assert block is not None
        example = re.sub("^# ", "", block[0], flags=re.MULTILINE)
        text = self.text.replace("keys = []\n", "").replace(block[0], example)
        self.assertEqual([key.name for key in parse(text).mqtt.clients.keys], ["home-assistant"])

    def test_explained(self) -> None:
        """Each key has a line above it that says why one would set it."""
        lines = self.text.splitlines()
        for above, line in pairwise(lines):
            if re.match(r"\w+ = ", line):
                self.assertRegex(above, r"^# .*[.;,\]}]$", line)

    def test_example(self) -> None:
        """The example of a printer works as soon as its marks are taken away, and it has every key."""
        assert self.example is not None
        example = re.sub("^# ", "", self.example[0], flags=re.MULTILINE)
        printers = parse(self.text + example).printers
        self.assertEqual(list(printers), ["saturn"])
        self.assertEqual(set(tomllib.loads(example)["printers"]["saturn"]), set(KnownPrinter.__struct_fields__))
