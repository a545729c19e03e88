from __future__ import annotations

import re
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # has no types
from openapi_spec_validator import validate

from sdcpd.codec.status import Status
from sdcpd.web.openapi import openapi
from sdcpd.web.routes import Route
from tests.web.rig import MARS, SATURN, WebCase, printing


class OpenapiTests(WebCase):
    """``/openapi.json`` and whether it is true."""

    def setUp(self) -> None:
        super().setUp()
        self.document: Any = self.rig.get("/openapi.json").json

    def test_valid(self) -> None:
        """The description is a valid OpenAPI document of this version."""
        validate(self.document)
        self.assertEqual((self.document["openapi"], self.document["info"]["version"]), ("3.1.0", "1.2.3"))

    def test_every_route(self) -> None:
        """Every route is in it, with what it needs, and nothing else is."""
        described = {(m.upper(), path) for path, item in self.document["paths"].items() for m in item}
        routes = {(r.method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", r.path)): r for r in self.rig.web.routes}
        self.assertEqual(described, set(routes))
        for (method, path), route in routes.items():
            operation = self.document["paths"][path][method.lower()]
            self.assertTrue(operation["summary"].endswith((".", ":")) or len(operation["summary"]) > 20)
            self.assertIn(route.scope or "no scope", operation["description"])
            named = {p["name"] for p in operation["parameters"]}
            self.assertEqual(named, {p.name for p in route.query} | set(re.findall(r"{(\w+)}", path)))
            self.assertIn(str(route.status), operation["responses"])
            self.assertEqual("requestBody" in operation, route.takes is not None or bool(route.upload))

    def test_operation_ids(self) -> None:
        """Each operation has a name of its own that a generator can make a function of."""
        found = [op["operationId"] for item in self.document["paths"].values() for op in item.values()]
        self.assertEqual(len(found), len(set(found)))
        for name in found:
            self.assertTrue(re.fullmatch("[a-z][A-Za-z0-9]*", name), name)

    def check(self, method: str, target: str, path: str, reply: Any) -> None:
        responses = self.document["paths"][path][method.lower()]["responses"]
        self.assertIn(str(reply.status), responses, (method, target, reply.body))
        content = responses[str(reply.status)].get("content", {})
        kind = reply.headers.get("content-type", "").partition(";")[0]
        if not content:
            self.assertEqual(reply.body, b"")
            return
        self.assertIn(kind, content, (method, target))
        schema = content[kind].get("schema")
        if schema is not None:
            jsonschema.validate(
                reply.json,
                {**schema, "components": self.document["components"]},
                cls=jsonschema.Draft202012Validator,
            )

    def test_real_answers(self) -> None:
        """What the daemon really answers is what the description says, good answers and refusals."""
        self.rig.announce(SATURN)
        link = self.rig.connect(SATURN)
        self.rig.announce(MARS, "Mars 4")
        self.rig.publish(Status((0,)))
        one, printer = "/v1/printers/{name}", f"/v1/printers/{SATURN}"
        put = self.rig.put()
        self.check("PUT", "", "/v1/files/{name}", put)
        self.check("PUT", "", "/v1/files/{name}", self.rig.put(".x"))
        posted = self.rig.post(f"{printer}/print", {"file": "plate.goo"})
        self.check("POST", "", f"{one}/print", posted)
        job = posted.json["job"]["id"]
        self.check("POST", "", f"{one}/print", self.rig.post(f"{printer}/print", {"file": "plate.goo"}))
        self.check("POST", "", f"{one}/print", self.rig.post(f"{printer}/print", {"name": 1}))
        self.check("POST", "", f"{one}/print", self.rig.ask("POST", f"{printer}/print", b"{"))
        self.check("POST", "", f"{one}/print", self.rig.post(f"/v1/printers/{MARS}/print", {"file": "plate.goo"}))
        self.check("DELETE", "", "/v1/files/{name}", self.rig.ask("DELETE", "/v1/files/plate.goo"))
        self.rig.fleet.happened(SATURN, "noted", {"text": "hello", "n": 1, "none": None})
        for target, path in (
            ("/openapi.json", "/openapi.json"),
            ("/", "/"),
            ("/healthz", "/healthz"),
            ("/status", "/status"),
            ("/status?enums=name", "/status"),
            ("/status?status=x", "/status"),
            (f"/printers/{SATURN}/status", "/printers/{name}/status"),
            ("/printers/moon/status", "/printers/{name}/status"),
            ("/v1/printers", "/v1/printers"),
            (printer, one),
            ("/v1/printers/moon", one),
            ("/v1/history", "/v1/history"),
            ("/v1/history?result=x", "/v1/history"),
            ("/v1/history?cursor=x", "/v1/history"),
            ("/v1/history?printer=moon", "/v1/history"),
            ("/v1/history/totals", "/v1/history/totals"),
            ("/v1/history.csv", "/v1/history.csv"),
            ("/v1/history/x", "/v1/history/{print_id}"),
            ("/v1/jobs", "/v1/jobs"),
            (f"/v1/jobs/{job}", "/v1/jobs/{job_id}"),
            ("/v1/jobs/x", "/v1/jobs/{job_id}"),
            ("/v1/files", "/v1/files"),
            ("/v1/files/x", "/v1/files/{name}"),
            ("/v1/updates?events=recent", "/v1/updates"),
            ("/v1/updates?since=x&strict=1", "/v1/updates"),
            ("/v1/updates?kinds=x", "/v1/updates"),
            ("/v1/updates?printers=x", "/v1/updates"),
            (f"/printers/{SATURN}/v1/updates", "/printers/{name}/v1/updates"),
        ):
            self.check("GET", target, path, self.rig.get(target))
            if "{" not in path:
                self.check("GET", target, path, self.rig.get(target, address="203.0.113.5"))
        link.answer()
        self.check("POST", "", f"{one}/stop", self.rig.ask("POST", f"{printer}/stop"))
        self.check("POST", "", f"{one}/pause", self.rig.ask("POST", f"{printer}/pause"))
        self.rig.publish(printing(5))
        pending = self.rig.begin("POST", f"{printer}/pause")
        link.answer()
        self.check("POST", "", f"{one}/pause", pending.reply)
        self.check("POST", "", f"{one}/plate", self.rig.post(f"{printer}/plate", {"clear": True, "revision": 0}))
        self.check("DELETE", "", "/v1/files/{name}", self.rig.ask("DELETE", "/v1/files/plate.goo"))
        self.rig.publish(Status((0,)))
        self.check("POST", "", f"{one}/plate", self.rig.post(f"{printer}/plate", {"clear": True, "revision": 0}))
        self.check("POST", "", f"{one}/plate", self.rig.post(f"{printer}/plate", {"clear": False}))
        self.check("GET", "", "/status", self.rig.get("/status", {"If-None-Match": "*"}))

    def test_no_docstring(self) -> None:
        """A handler without a word of its own is described by its route."""
        route = Route("GET", "/x", None, lambda call: None)  # type: ignore[arg-type, return-value]
        described: Any = openapi([route], "1")
        self.assertEqual(described["paths"]["/x"]["get"]["summary"], "GET /x")
