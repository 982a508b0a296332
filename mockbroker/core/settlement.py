"""Settling: the three ways, and the order in which queues hear of it.

Owns: how deliveries that are settled together are grouped, and what settling means for credit and for a
shared window. Refuses to know: tags (``core/channel.py`` takes the deliveries out of its ledger), and what a
queue then does.

Read next: ``core/channel.py``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mockbroker.core.channel import BrokerChannel
    from mockbroker.core.dispatch import Consumer
    from mockbroker.core.queues.base import Queue
    from mockbroker.core.transaction import Settlement, Transaction
    from mockbroker.message import Delivery

ACK, REQUEUE, DISCARD = "ack", "requeue", "discard"
"""The three ways to settle a delivery."""


def settle(channel: BrokerChannel, deliveries: list[Delivery], how: str) -> None:
    """Settle deliveries, for each queue and consumer apart: credit returns, and deliveries go on.

    Where a queue refuses, later ones have not heard: their deliveries are still outstanding.
    Source: recorded scenario ``streams/nack-between-queues``.
    """
    is_opened = _count_off(channel, deliveries)
    _tell_queues(channel, deliveries, how)
    if is_opened:
        _resume_suspended(channel)


def _count_off(channel: BrokerChannel, deliveries: list[Delivery]) -> bool:
    """Take deliveries that are about to be settled off a shared window; return whether that opens it."""
    if channel.limiter is None:
        return False
    return channel.limiter.release(sum(delivery.consumer is not None for delivery in deliveries))


def _resume_suspended(channel: BrokerChannel) -> None:
    """Let the queues that a shared window held back try again."""
    if channel.limiter is not None:
        for queue in channel.limiter.resume():
            queue.resume(channel)


def _tell_queues(channel: BrokerChannel, deliveries: list[Delivery], how: str) -> None:
    """Tell the queues of what is settled, each in turn."""
    parts = by_queue_and_consumer(deliveries)[::-1]
    if how != ACK and len(parts) > 1 and any(part[0].queue.refuses_returns for part in parts):
        channel.end_consumers()  # the connection is about to end: what returns before does not reach it
    try:
        while parts:
            part = parts.pop()
            settle_in(channel, part[0].queue, part, how)
    finally:
        for part in parts:
            channel.restore(part)
    if channel.watch is not None:
        channel.watch.settled()


def settle_in(channel: BrokerChannel, queue: Queue, deliveries: list[Delivery], how: str) -> None:
    """Settle deliveries of one queue: credit returns to their consumers, then the queue hears of it."""
    parked: dict[Consumer, None] = {}
    trace = channel.node.trace
    for delivery in deliveries:
        if trace is not None:
            trace.settled(channel, delivery, how)
        consumer = delivery.consumer
        if consumer is not None:
            consumer.credit += 1
            if consumer.parked_at:
                parked[consumer] = None
    if how == REQUEUE:
        if parked:
            queue.unpark(parked)
        queue.requeue(deliveries)
        return
    if how == DISCARD:
        queue.discard(deliveries)
    elif queue.keeps_book:
        for delivery in deliveries:
            queue.settled(delivery)
    if parked:
        queue.unpark(parked)
        queue.dispatch()


def settle_around(channel: BrokerChannel, transaction: Transaction, publish: Callable[[], bool]) -> bool:
    """Carry out what a transaction settled, before and after it publishes; return what `publish` does.

    All is counted off a shared window before anything is delivered, and what comes back does so before
    that. Source: recorded scenarios ``tx/global-qos-at-commit`` and ``tx/order-of-commit``.
    """
    is_opened = _count_off(channel, transaction.deliveries)
    first, rest = _split_at_commit(transaction.settlements)
    _settle_at_commit(channel, first)
    result = publish()
    _settle_at_commit(channel, rest)
    if is_opened:
        _resume_suspended(channel)
    return result


def _split_at_commit(settlements: list[Settlement]) -> tuple[list[Settlement], list[Settlement]]:
    """Split what a transaction settled: what queues hear of before its publishes, and what after.

    Publishes are sent first, and some settlements overtake them on the way to some queues; none that is sent
    after one that a queue will refuse.
    """
    first: list[Settlement] = []
    rest: list[Settlement] = []
    is_refused = False
    for how, deliveries in settlements:
        overtaking: list[Delivery] = []
        late: list[Delivery] = []
        for each in deliveries:
            overtakes = not is_refused and each.queue.hears_first(is_ack=how == ACK)
            (overtaking if overtakes else late).append(each)
        first.append((how, overtaking))
        rest.append((how, late))
        is_refused = is_refused or (how != ACK and any(each.queue.refuses_returns for each in late))
    return first, rest


def _settle_at_commit(channel: BrokerChannel, settlements: list[Settlement]) -> None:
    """Carry out what a transaction settled; where a queue refuses, what comes after it is outstanding
    still."""
    waiting = settlements[::-1]
    try:
        while waiting:
            how, deliveries = waiting.pop()
            if deliveries:
                _tell_queues(channel, deliveries, how)
    finally:
        for _, deliveries in waiting:
            channel.restore(deliveries)


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
