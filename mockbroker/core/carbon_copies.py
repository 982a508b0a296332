"""The headers CC and BCC: more routing keys for one message.

Owns: their check, and that BCC is taken away before anybody sees it. Refuses to know: exchanges.
Source: RabbitMQ documentation, "Sender-selected Distribution"; recorded scenarios ``publish/*cc*``.

Read next: ``core/queues/dead_letter.py`` (dead letters keep the keys).
"""

from __future__ import annotations

from mockbroker.core import refusals
from mockbroker.core.queues.dead_letter import Annotated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mockbroker.message import Properties


def with_copies(properties: Properties, routing_key: str) -> tuple[Properties, tuple[str, ...]]:
    """Return the properties without BCC, and all routing keys.

    Raises SoftError 406 when a header is no array of strings.
    """
    headers = properties["headers"]
    copies, blind = (_keys(headers, name) for name in ("CC", "BCC"))
    if "BCC" in headers:
        properties = Annotated(properties)
        properties["headers"] = {name: value for name, value in headers.items() if name != "BCC"}
        properties.other_keys = (*copies, *blind)
        properties.hidden_keys = tuple(blind)
    return properties, (routing_key, *copies, *blind)


def _keys(headers: dict[str, Any], name: str) -> list[str]:
    value = headers.get(name, [])
    if not isinstance(value, list):
        raise refusals.invalid_route_header(name, value)
    return [key for key in value if isinstance(key, str)]
