"""Length limits: what a full queue does.

Owns: when a queue is full, by number and by bytes of bodies. What is unacknowledged does not count.
Refuses to know: how a queue keeps its messages; it says how many there are and drops its head.
Source: RabbitMQ documentation, "Queue Length Limit"; recorded area ``length-limits``.

Read next: ``core/queues/classic.py``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mockbroker.core.queues.settings import Settings


def is_above(settings: Settings, count: int, body_bytes: int) -> bool:
    """Whether `count` messages of `body_bytes` in all are more than the limits allow."""
    if settings.max_length is not None and count > settings.max_length:
        return True
    return settings.max_length_bytes is not None and body_bytes > settings.max_length_bytes
