"""The servers that sdcpd is compared with: installed if they can be, and started with a configuration of ours.

One decision: each is set up as its friends would for this load: no statistics, no limits, no delays, and as little
log as it can be told to write. amqtt is installed beside the virtual environment, not into it; it stays in ``build/``.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.processes import Bench, Child
from tests.bench.table import say

__all__ = ["Missing", "amqtt", "mosquitto", "nginx"]

# With any limit of messages in flight 2.0.11 stops delivering to this subscriber at QoS 1 and 2 after a while.
_MOSQUITTO = """\
listener {port} 127.0.0.1
allow_anonymous true
user {user}
set_tcp_nodelay true
max_connections -1
max_inflight_messages 0
max_queued_messages 10000
max_queued_bytes 0
sys_interval 0
persistence false
log_dest none
connection_messages false
"""
_AMQTT = """\
listeners:
  default:
    type: tcp
    bind: 127.0.0.1:{port}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
"""
# One process, as sdcpd is. It neither hashes what it receives nor waits for the disk.
_NGINX = """\
daemon off;
master_process off;
user {user};
pid {place}/nginx.pid;
error_log stderr crit;
events {{ }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_max_body_size 0;
    client_body_temp_path {place}/arriving;
    proxy_temp_path {place}/unused;
    fastcgi_temp_path {place}/unused;
    uwsgi_temp_path {place}/unused;
    scgi_temp_path {place}/unused;
    server {{
        listen 127.0.0.1:{port};
        root {place}/files;
        dav_methods PUT DELETE;
    }}
}}
"""
_AMQTT_AT = Path(__file__).resolve().parents[2] / "build" / "bench" / "amqtt"


class Missing(Exception):
    """A server cannot be had here; the reason."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _started(child: Child, port: int) -> tuple[Child, int]:
    deadline = time.monotonic() + 20
    while child.alive and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return child, port
    raise Missing(f"does not start: {child.last_words()[-200:]}")


def _installed(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")


def _of_debian(name: str) -> str:
    """The program of this package of Debian, installed if root asks for it; ``Missing`` if it is not to be had."""
    program = _installed(name)
    if program is None and os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"installing {name} (apt-get install -y {name})")
        subprocess.run(["apt-get", "install", "-y", "-qq", name], stdout=subprocess.DEVNULL, check=False)
        if Path("/run/systemd/system").exists():  # Debian starts what it installs; nobody asked for that
            subprocess.run(["systemctl", "disable", "--quiet", "--now", name], check=False)
        program = _installed(name)
    if program is None:
        raise Missing(f"not installed (apt-get install {name})")
    return program


def mosquitto(bench: Bench) -> tuple[Child, int]:
    """Debian's mosquitto, and its port."""
    program = _of_debian("mosquitto")
    port = _free_port()
    config = bench.directory / "mosquitto.conf"
    config.write_text(_MOSQUITTO.format(port=port, user=getpass.getuser()))
    return _started(bench.rival("mosquitto", [program, "-c", str(config)]), port)


def amqtt(bench: Bench) -> tuple[Child, int]:
    """amqtt from PyPI, and its port."""
    program = _AMQTT_AT / "bin" / "amqtt"
    if not program.exists():
        say("installing amqtt (pip install --target build/bench/amqtt amqtt)")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(_AMQTT_AT), "amqtt"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Missing(f"pip could not install it: {done.stderr.strip()[-200:]}")
    port = _free_port()
    config = bench.directory / "amqtt.yaml"
    config.write_text(_AMQTT.format(port=port))
    command = [sys.executable, str(program), "-c", str(config)]
    return _started(bench.rival("amqtt", command, {"PYTHONPATH": str(_AMQTT_AT)}), port)


def nginx(bench: Bench) -> tuple[Child, int]:
    """Debian's nginx, and its port: files are sent and fetched at any name."""
    program = _of_debian("nginx")
    place, port = bench.directory / "nginx", _free_port()
    (place / "files").mkdir(parents=True)
    config = place / "nginx.conf"
    config.write_text(_NGINX.format(port=port, user=getpass.getuser(), place=place))
    return _started(bench.rival("nginx", [program, "-p", str(place), "-e", "stderr", "-c", str(config)]), port)
