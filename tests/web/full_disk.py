"""Run in a mount namespace of its own: the whole web tree over a journal whose disk fills up, asked as a client asks.

One decision: what was seen goes out as one line of JSON, and the test that started this judges it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from sdcpd.codec.sdcp import Command
from sdcpd.codec.status import Status
from sdcpd.progress import Job, JobState
from tests.journal.full_disk import fill
from tests.web.rig import MARS, SATURN, Reply, Rig, goo, printing

BASE = f"/v1/printers/{SATURN}"
IDLE = f"/v1/printers/{MARS}"
JOB = Job("filler", SATURN, "a.goo", "0" * 32, 1, "a.goo", JobState.STOPPED, 0.0, message="x" * 1000)


def told(reply: Reply) -> list[object]:
    """Status, and the refusal's code."""
    return [reply.status, reply.error["code"] if reply.status >= 400 else None]


def main(directory: Path) -> None:
    rig = Rig(directory)
    for number, (known, name) in enumerate(((SATURN, "Saturn 3 Ultra"), (MARS, "Saturn left"))):
        rig.announce(known, name, f"192.168.1.10{number}")
    links = {known: rig.connect(known) for known in (SATURN, MARS)}
    rig.put()
    rig.put("second.goo", goo(b"others"))
    rig.publish(printing(5))
    rig.publish(printing(5), MARS)
    waiting = rig.post(f"{BASE}/queue", {"file": "plate.goo"}).json["job"]["id"]
    rig.publish(Status((0,), 0), MARS)
    plate = rig.get(IDLE).json["plate"]

    def word() -> Reply:
        return rig.post(f"{IDLE}/plate", {"clear": True, "revision": rig.get(IDLE).json["plate"]["revision"]})

    seen: dict[str, Any] = {"plate before": plate["state"]}
    fill(directory / "ballast")
    for number in range(2000):  # the write-ahead log has room for a while
        replies = told(word()) if number % 20 == 19 else None
        if replies is not None and replies[0] != 200:
            seen["first confirmation"] = replies
            break
        rig.journal.write(replace(JOB, id=f"j{number}")).addErrback(lambda _: None)
    seen["plate after"] = rig.get(IDLE).json["plate"]["state"]
    seen["confirmation"] = told(word())
    wish = {"file": "second.goo", "plate_clear": True}
    seen["print"] = told(rig.post(f"{IDLE}/print", wish))
    seen["queue"] = told(rig.post(f"{IDLE}/queue", {"file": "second.goo", "start": True}))
    seen["queue for any"] = told(rig.post("/v1/queue", {"file": "second.goo"}))
    seen["start"] = told(rig.post(f"/v1/jobs/{waiting}/start", {}))
    job = rig.get(f"/v1/jobs/{waiting}").json
    seen["waiting"] = [job["start"], job["state"]]
    seen["jobs"] = len([found for found in rig.get("/v1/jobs").json if found["file"] == "second.goo"])
    for verb in ("pause", "stop"):
        pending = rig.begin("POST", f"{BASE}/{verb}")
        links[SATURN].answer()
        seen[verb] = told(pending.reply)
    cursor = rig.get("/v1/updates?timeout=0").json["cursor"]
    poll = rig.begin("GET", f"/v1/updates?since={cursor}")
    rig.publish(printing(6))
    seen["updates"] = [printer["layer"] for printer in poll.reply.json["printers"].values()]
    seen["status"] = [element["status"]["PrintInfo"]["CurrentLayer"] for element in rig.get("/status").json]
    seen["healthz"] = rig.get("/healthz").body.decode()
    rig.jobs.sweep()
    sent = [request["Cmd"] for request in links[MARS].sent]
    seen["starts"] = sent.count(Command.START)
    (directory / "ballast").unlink()
    rig.clock.advance(5)
    seen["with room"] = [told(word())[0], rig.post(f"{IDLE}/queue", {"file": "second.goo"}).status]
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
