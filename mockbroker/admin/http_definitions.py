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


def export_all(request: Request) -> Row:
    """Everything."""
    return definitions.export(request.node)


def export_vhost(request: Request, name: str) -> Row:
    """Everything in one virtual host."""
    request.vhost(name)
    return definitions.export(request.node, name)


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
    try:
        definitions.load(request.node, given, vhost)
    except ValueError as error:
        raise bad_request(str(error)) from None


ROUTES = (
    Route("GET", "definitions", export_all, "administrator"),
    Route("POST", "definitions", import_all, "administrator"),
    Route("GET", "definitions/*", export_vhost, "administrator"),
    Route("POST", "definitions/*", import_vhost, "administrator"),
)
