"""Dead-lettering: a message that a queue gives up is published again, with the history of its deaths.

Owns: the death headers, and where a dead letter goes. Refuses to know: why a queue gives a message up; it
names the reason: rejected, expired, maxlen or delivery_limit. Source: RabbitMQ documentation, "Dead Letter
Exchanges"; recorded area ``dlx``.

Read next: ``core/queues/classic.py``, ``core/vhost.py``.
"""

from __future__ import annotations

from mockbroker.values import Int64, Timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mockbroker.core.queues.base import Queue
    from mockbroker.message import Message, Properties


class Annotated(dict[str, "Any"]):
    """The properties of a message that the broker knows more of than it tells.

    `blind_keys` are the BCC keys that were taken from the headers; `deaths` the history that the broker
    itself wrote, where the rules do not trust the headers for it; `failures` counts deliveries from quorum
    queues that failed, where the rules keep that across dead-lettering.
    """

    __slots__ = ("blind_keys", "deaths", "failures")

    def __init__(self, fields: Properties) -> None:
        super().__init__(fields)
        self.blind_keys: tuple[str, ...] = getattr(fields, "blind_keys", ())
        self.deaths: list[dict[str, Any]] = getattr(fields, "deaths", [])
        self.failures: int = getattr(fields, "failures", 0)


def routing_keys(message: Message) -> tuple[str, ...]:
    """Return all keys that the message is routed by: its own, then those of the headers CC and BCC."""
    key, properties = message[1], message[3]
    if properties is None:
        return (key,)
    return (key, *visible_keys(properties), *getattr(properties, "blind_keys", ()))


def visible_keys(properties: Properties) -> list[str]:
    """Return the keys of the header CC."""
    keys = (properties.get("headers") or {}).get("CC")
    return [key for key in keys if isinstance(key, str)] if isinstance(keys, list) else []


def bury(queue: Queue, message: Message, reason: str, position: int | None = None) -> None:
    """Publish a message that `queue` gave up to its dead-letter exchange, if it has one.

    `position` is the place that it had in the queue, None when it never had one.

    The publish waits in the node's list of work: it comes after what the queue is doing now.
    """
    exchange = queue.settings.dead_letter_exchange
    if exchange is not None:
        routing_key = queue.settings.dead_letter_routing_key
        queue.node.later(_publish, queue, message, reason, position, exchange, routing_key)


def _publish(
    queue: Queue,
    message: Message,
    reason: str,
    position: int | None,
    exchange: str,
    routing_key: str | None,
) -> None:
    vhost = queue.vhost
    source = vhost.exchanges.get(exchange)
    if source is None:
        return
    letter = _letter(queue, message, reason, exchange, routing_key)
    keys = routing_keys(letter) if routing_key is None else (routing_key,)
    properties = letter[3]
    assert properties is not None
    headers = properties["headers"]
    targets = [
        target
        for target in vhost.find_route_unasked(source, keys, letter)
        if not _is_cycle(headers, target.name, reason)
    ]
    trace = queue.node.trace
    if trace is not None:
        trace.dead_lettered(queue, position, letter, reason, targets)
    for target in targets:
        if not target.publish(letter) and trace is not None:
            trace.refused(target, letter)


def _letter(queue: Queue, message: Message, reason: str, exchange: str, routing_key: str | None) -> Message:
    """Return the message as it is published after its death."""
    rules = queue.node.rules
    old = {} if message[3] is None else message[3]
    properties = Annotated(old)
    headers = dict(old.get("headers") or {})
    death: dict[str, Any] = {
        "count": Int64(1),
        "reason": reason,
        "queue": queue.name,
        "time": Timestamp(queue.node.wall_time_s),
        "exchange": message[0],
        "routing-keys": [message[1], *visible_keys(old)],
    }
    if "expiration" in properties:
        death["original-expiration"] = properties.pop("expiration")
    if rules.trusts_published_deaths:
        deaths = _grouped(headers.get("x-death"))
    else:
        deaths = properties.deaths
    if not deaths:
        headers.update(_death_headers("first", death))
    if rules.tells_last_death:
        headers.update(_death_headers("last", death))
    properties.deaths = _with(deaths, death)
    headers["x-death"] = properties.deaths
    if routing_key is not None:
        properties.blind_keys = ()
        if rules.routing_key_override_drops_cc:
            headers.pop("CC", None)
    properties["headers"] = headers
    return (exchange, message[1] if routing_key is None else routing_key, message[2], properties, None)


def _grouped(published: Any) -> list[dict[str, Any]]:
    """Read the history in a header: one entry for each queue and reason, the oldest first.

    RabbitMQ 3.10 turns the order round each time; that shows from the third death on. Source: recorded
    scenario ``dlx/different-reasons-same-queue``.
    """
    groups: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    for death in published if isinstance(published, list) else ():
        if isinstance(death, dict):
            groups.setdefault((death.get("queue"), death.get("reason")), []).append(death)
    deaths = [{**same[0], "count": same[0].get("count", Int64(len(same)))} for same in groups.values()]
    return deaths[::-1]


def _death_headers(which: str, death: dict[str, Any]) -> dict[str, Any]:
    return {f"x-{which}-death-{name}": death[name] for name in ("exchange", "queue", "reason")}


def _with(deaths: list[dict[str, Any]], death: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the history with one more death: newest first, one entry for each queue and reason."""
    same = [
        each
        for each in deaths
        if each.get("queue") == death["queue"] and each.get("reason") == death["reason"]
    ]
    others = [each for each in deaths if each not in same]
    if not same:
        return [death, *others]
    count = same[0].get("count", 0)
    return [{**same[0], "count": Int64(count + 1)}, *others]


def _is_cycle(headers: dict[str, Any], target: str, reason: str) -> bool:
    """Whether the message has been in `target` before and no rejection has happened since.

    Such a letter is dropped; with a rejection in it, somebody decides at each round.
    """
    if reason == "rejected":
        return False
    deaths = headers["x-death"]
    for index, death in enumerate(deaths):
        if death.get("queue") == target:
            return all(each.get("reason") != "rejected" for each in deaths[: index + 1])
    return False
