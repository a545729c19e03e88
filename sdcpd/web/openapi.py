"""``/openapi.json``, generated from the routes and their types.

One decision: nothing about the API is written twice. Paths, parameters and scopes come from the ``Route`` values,
schemas from the very structs that are encoded, descriptions from the handlers' docstrings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from sdcpd.web.errors import ErrorDocument
from sdcpd.web.multipart import FORM
from sdcpd.web.routes import Route

__all__ = ["openapi"]

_PART = re.compile(r"<(?:\w+:)?(\w+)>")
_UPLOADS: Mapping[str, object] = {
    FORM: {
        "schema": {
            "type": "object",
            "properties": {"file": {"type": "string", "contentMediaType": "application/octet-stream"}},
            "required": ["file"],
        }
    }
}


def openapi(routes: Iterable[Route], version: str) -> Mapping[str, object]:
    """The OpenAPI 3.1 document of these routes."""
    routes = list(routes)
    types: list[Any] = [ErrorDocument]
    for kind in (kind for route in routes for kind in (route.gives, route.takes, route.form.document)):
        if kind is not None and kind not in types:
            types.append(kind)
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(map(repr, types), schemas, strict=True))
    paths: dict[str, dict[str, object]] = {}
    for route in routes:
        path = _PART.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "sdcpd",
            "version": version,
            "description": "The open hub for networked resin 3D printers: the native API.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(route: Route, schema_of: Mapping[str, Any]) -> dict[str, object]:
    text = (route.handle.__doc__ or "").strip()
    operation: dict[str, object] = {
        "operationId": _operation_id(route),
        "summary": text.splitlines()[0] if text else f"{route.method} {route.path}",
        "description": f"Needs the scope `{route.scope}`." if route.scope else "Needs no scope.",
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in _PART.findall(route.path)
        ]
        + [{"name": p.name, "in": "query", "description": p.meaning, "schema": {"type": p.type}} for p in route.query],
        "responses": _responses(route, schema_of),
    }
    if route.takes is not None:
        body = {"application/json": {"schema": schema_of[repr(route.takes)]}}
        operation["requestBody"] = {"required": True, "content": body}
    if route.upload:
        operation["requestBody"] = {"required": True, "content": {route.upload: _UPLOADS.get(route.upload, {})}}
    return operation


def _operation_id(route: Route) -> str:
    words = re.findall(r"[a-z0-9]+", _PART.sub(r"by \1", route.path).lower())
    return route.method.lower() + "".join(word.capitalize() for word in words)


def _responses(route: Route, schema_of: Mapping[str, Any]) -> dict[str, object]:
    good: dict[str, object] = {"description": HTTPStatus(route.status).phrase}
    if route.gives is not None:
        good["content"] = {route.content: {"schema": schema_of[repr(route.gives)]}}
    elif route.content:
        good["content"] = {route.content: {}}
    responses: dict[str, object] = {str(route.status): good}
    refusals = {*route.also}
    if route.scope is not None:
        refusals.add(403)
    if route.query or route.takes is not None:
        refusals.add(400)
    for status in sorted(refusals):
        refusal: dict[str, object] = {"description": HTTPStatus(status).phrase}
        if status >= 400:
            refusal["content"] = {"application/json": {"schema": schema_of[repr(route.form.document)]}}
        responses[str(status)] = refusal
    return responses
