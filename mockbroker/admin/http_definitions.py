"""Definitions over HTTP.

Owns: the paths below ``/api/definitions``.
Refuses to know: what definitions look like (``definitions.py``).

Source: RabbitMQ documentation, "Schema Definition Export and Import".

Read next: ``definitions.py``, ``http_requests.py``.
"""

from __future__ import annotations

import json
from typing import Any

from mockbroker.admin import definitions
from mockbroker.admin.http_requests import Request, Route, Row, bad_request


def export_all(request: Request) -> Any:
    """Everything."""
    return _as_file(request, definitions.export(request.node))


def export_vhost(request: Request, name: str) -> Any:
    """Everything in one virtual host."""
    if name not in request.node.vhosts:
        raise bad_request("vhost_not_found")
    request.vhost(name)
    return _as_file(request, definitions.export(request.node, name))


def _as_file(request: Request, exported: Row) -> tuple[int, Row, dict[str, str]]:
    """Answer with a file to save under the name that the query asks for."""
    name = request.query.get("download", "")
    is_name = name.isprintable() and name.isascii()
    return 200, exported, {"content-disposition": f"attachment; filename={name}"} if name and is_name else {}


def import_all(request: Request) -> None:
    """Declare everything that the body defines."""
    _load(request, None)


def import_vhost(request: Request, name: str) -> None:
    """Declare everything that the body defines, in one virtual host."""
    request.vhost(name)
    _load(request, name)


def _load(request: Request, vhost: str | None) -> None:
    try:
        given: Any = json.loads(request.raw_body or b"{}")
    except ValueError:
        raise bad_request("failed_to_parse_json") from None
    if not isinstance(given, dict):
        raise bad_request("failed_to_parse_json")
    for row in given.get("parameters", ()):
        component = row.get("component")
        if component not in definitions.PARAMETERS:
            where = f"{row.get('vhost', vhost)}/{component}/{row.get('name')}"
            text = f"Validation failed\\n\\ncomponent {component} not found\\n ({where})"
            raise bad_request(f'<<"{text}">>')
    try:
        definitions.load(request.node, given, vhost)
    except ValueError as error:
        raise bad_request(str(error)) from None


ROUTES = (
    Route("GET", "definitions", export_all, "administrator"),
    Route("POST", "definitions", import_all, "administrator", needs_json_type=True),
    Route("GET", "definitions/*", export_vhost, "administrator"),
    Route("POST", "definitions/*", import_vhost, "administrator", needs_json_type=True),
)
