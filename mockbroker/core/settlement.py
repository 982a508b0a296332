"""Settling: the three ways, and the order in which queues hear of it.

Owns: how deliveries that are settled together are grouped. Refuses to know: what a queue then does.

Read next: ``core/channel.py``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mockbroker.core.queues.base import Queue
    from mockbroker.message import Delivery

ACK, REQUEUE, DISCARD = "ack", "requeue", "discard"
"""The three ways to settle a delivery."""


def by_queue_and_consumer(deliveries: list[Delivery]) -> list[list[Delivery]]:
    """Group deliveries as RabbitMQ's channel does before it tells the queues: by queue, then by consumer.

    Queues come by name, in each first what basic.get fetched, one by one, then the consumers by tag. Source:
    recorded scenario ``acks/recover-several-consumers``.
    """
    groups: dict[tuple[Queue, str | int], list[Delivery]] = {}
    for delivery in deliveries:
        consumer = delivery.consumer
        key = (delivery.queue, delivery.delivery_tag if consumer is None else consumer.tag)
        group = groups.get(key)
        if group is None:
            groups[key] = [delivery]
        else:
            group.append(delivery)
    if len(groups) == 1:
        return [deliveries]
    return [groups[key] for key in sorted(groups, key=_told_order)]


def _told_order(key: tuple[Queue, str | int]) -> tuple[str, bool, int, str]:
    queue, tag = key
    if isinstance(tag, int):
        return (queue.name, False, tag, "")
    return (queue.name, True, 0, tag)
