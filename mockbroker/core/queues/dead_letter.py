"""Dead-lettering: a message that a queue gives up is published again, with the history of its deaths.

Owns: the death headers, and where a dead letter goes. Refuses to know: why a queue gives a message up; it
names the reason: rejected, expired, maxlen or delivery_limit. Refuses to know, too, what becomes of a letter
that no queue takes: here it is gone (``at_least_once.py`` keeps it). Source: RabbitMQ documentation, "Dead
Letter Exchanges"; recorded area ``dlx``.

Read next: ``core/queues/at_least_once.py``, ``core/queues/classic.py``, ``core/vhost.py``.
"""

from __future__ import annotations

from mockbroker.values import Int64, Timestamp, is_integer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from mockbroker.core.node import Node
    from mockbroker.core.queues.base import Queue
    from mockbroker.message import Message, Properties
    from mockbroker.rules import Rules


class UnreadableDeathsError(Exception):
    """A client has made up a history of deaths that nobody can read, where the rules believe in it.

    RabbitMQ differs: the queue crashes, see docs/differences.md.
    """


class Annotated(dict[str, "Any"]):
    """The properties of a message that the broker knows more of than it tells.

    `other_keys` are those that it is routed by besides its own, where the header CC does not tell them: BCC
    keys were taken from the headers, and a dead letter that got a key of its own has no others. `hidden_keys`
    are the BCC keys, for good. `deaths` is the history that the broker itself wrote, where the rules do not
    trust the headers for it; `published_deaths` has the header that a client wrote instead, if any did.
    `expiration` is the property that a death took away; `failures` counts deliveries from quorum queues that
    failed, where the rules keep that across dead-lettering.
    """

    __slots__ = ("deaths", "expiration", "failures", "hidden_keys", "other_keys", "published_deaths")

    def __init__(self, fields: Properties) -> None:
        super().__init__(fields)
        self.other_keys: tuple[str, ...] | None = getattr(fields, "other_keys", None)
        self.hidden_keys: tuple[str, ...] = getattr(fields, "hidden_keys", ())
        self.deaths: list[dict[str, Any]] = getattr(fields, "deaths", [])
        self.published_deaths: tuple[Any, ...] = getattr(fields, "published_deaths", ())
        self.expiration: str | None = getattr(fields, "expiration", None)
        self.failures: int = getattr(fields, "failures", 0)


def routing_keys(message: Message) -> tuple[str, ...]:
    """Return all keys that the message is routed by: its own, then those of the headers CC and BCC."""
    key, properties = message[1], message[3]
    if properties is None:
        return (key,)
    others = getattr(properties, "other_keys", None)
    return (key, *(_copies(properties) if others is None else others))


def _visible_keys(message: Message) -> list[str]:
    """Return the message's own key and those of the header CC."""
    return [message[1], *_copies(message[3] or {})]


def _told_keys(message: Message, rules: Rules) -> list[str]:
    """Return the keys that a death tells.

    Some rules take the hidden keys out of all that there are, one by one from the front. Source: recorded
    scenarios ``dlx/routing-keys-*``.
    """
    if not rules.deaths_tell_all_keys_but_hidden:
        return _visible_keys(message)
    keys = list(routing_keys(message))
    for hidden in getattr(message[3], "hidden_keys", ()):
        if hidden in keys:
            keys.remove(hidden)
    return keys


def _copies(properties: Properties) -> list[str]:
    """Return the keys of the header CC."""
    keys = (properties.get("headers") or {}).get("CC")
    return [key for key in keys if isinstance(key, str)] if isinstance(keys, list) else []


def routed(queue: Queue, letter: Message, keys: Sequence[str]) -> tuple[Queue, ...]:
    """Return the queues for a letter of `queue`: none where its exchange does not exist.

    Exchanges that look at headers see an x-death that a client wrote where the rules keep the broker's own
    apart. Where the rules have it so, requesters whose names are among the keys get the letter at once.
    Source: recorded scenarios ``dlx/headers-exchange-sees-no-x-death`` and ``direct-reply-to/dead-letter*``.
    """
    node, source = queue.node, queue.vhost.exchanges.get(letter[0])
    if source is None:
        return ()
    if source is queue.vhost.default_exchange:
        if node.rules.requesters_get_dead_letters:
            node.fast_replies.deliver(node.fast_replies.consumers_named(keys), letter)
    elif isinstance(letter[3], Annotated) and not node.rules.trusts_published_deaths:
        letter = _with_published_deaths(letter, letter[3])
    return queue.vhost.find_route_unasked(source, keys, letter)


def _with_published_deaths(letter: Message, properties: Annotated) -> Message:
    headers = {name: value for name, value in properties["headers"].items() if name != "x-death"}
    if properties.published_deaths:
        headers["x-death"] = properties.published_deaths[0]
    return (*letter[:3], {**properties, "headers": headers}, letter[4])


def without_circles(letter: Message, queues: Iterable[Queue], reason: str) -> list[Queue]:
    """Return the queues that a letter may enter: see `_is_circle`."""
    properties = letter[3]
    assert properties is not None
    headers = properties["headers"]
    return [queue for queue in queues if not _is_circle(headers, queue.name, reason)]


def bury(queue: Queue, message: Message, reason: str, position: int | None = None) -> None:
    """Publish a message that `queue` gave up to its dead-letter exchange, if it has one.

    `position` is the place that it had in the queue, None when it never had one.

    The publish waits in the node's list of work: it comes after what the queue is doing now.
    """
    exchange = queue.settings.dead_letter_exchange
    if exchange is not None:
        routing_key = queue.settings.dead_letter_routing_key
        queue.node.later(_publish, queue, message, reason, position, exchange, routing_key)


def let_letters_overtake(node: Node) -> None:
    """Publish the dead letters that are under way, with those that these cause, while somebody waits for a
    queue: they come before the rest of the present operation. Those of queues that act late do not.
    """
    others = []
    while node.work:
        callback, args = node.work.popleft()
        if callback is _publish and not args[0].acts_late:
            callback(*args)
        else:
            others.append((callback, args))
    node.work.extend(others)


def _publish(
    queue: Queue,
    message: Message,
    reason: str,
    position: int | None,
    exchange: str,
    routing_key: str | None,
) -> None:
    if exchange not in queue.vhost.exchanges:
        return
    try:
        letter = letter_of(queue, message, reason, exchange, routing_key)
    except UnreadableDeathsError:
        return
    keys = routing_keys(letter) if routing_key is None else (routing_key,)
    targets = without_circles(letter, routed(queue, letter, keys), reason)
    trace = queue.node.trace
    if trace is not None:
        trace.dead_lettered(queue, position, letter, reason, targets)
    for target in targets:
        target.publish(letter)


def letter_of(queue: Queue, message: Message, reason: str, exchange: str, routing_key: str | None) -> Message:
    """Return the message as it is published after its death; without `routing_key` it keeps its own.

    Raises `UnreadableDeathsError`.
    """
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
        "routing-keys": _told_keys(message, rules),
    }
    if "expiration" in properties:
        death["original-expiration"] = properties.expiration = properties.pop("expiration")
    if rules.trusts_published_deaths:
        deaths, is_first = _published(headers.get("x-death")), "x-death" not in headers
    else:
        deaths, is_first = properties.deaths, not properties.deaths
        if is_first and "x-death" in headers:
            properties.published_deaths = (headers["x-death"],)
    if is_first:
        headers.update(_death_headers("first", death))
    if rules.tells_last_death:
        headers.update(_death_headers("last", death))
    properties.deaths = _with(deaths, death)
    headers["x-death"] = properties.deaths
    if routing_key is not None:
        properties.other_keys = ()
        if rules.routing_key_override_drops_cc:
            headers.pop("CC", None)
    properties["headers"] = headers
    return (exchange, message[1] if routing_key is None else routing_key, message[2], properties, None)


def readdressed(
    queue: Queue, message: Message, letter: Message, exchange: str, routing_key: str | None
) -> tuple[Message, tuple[str, ...]]:
    """Return a letter that is sent again, and the keys that it is routed by.

    `message` is what died. Its keys count as they were published, whatever the first try made of them, but
    for hidden copies where the rules forget these. Source: ``quorum/at-least-once-copies*`` and
    ``quorum/at-least-once-key-by-policy``.
    """
    if routing_key is not None:
        keys: tuple[str, ...] = (routing_key,)
    elif queue.node.rules.retried_letters_keep_hidden_copies:
        keys = routing_keys(message)
    else:
        keys = tuple(_visible_keys(message))
    properties = Annotated(letter[3] or {})
    properties.other_keys = keys[1:]
    return (exchange, keys[0], letter[2], properties, letter[4]), keys


def _published(header: Any) -> list[dict[str, Any]]:
    """Read the history in a header, as the rules do that believe it: one entry for each queue and reason.

    A header that is no list tells nothing. A single entry is left as it is. RabbitMQ 3.10 turns the order
    round each time; that shows from the third death on. Source: recorded scenarios
    ``dlx/different-reasons-same-queue`` and ``dlx/published-x-death-*``. Raises `UnreadableDeathsError`.
    """
    if not isinstance(header, list):
        return []
    if not all(isinstance(death, dict) for death in header):
        raise UnreadableDeathsError
    if len(header) < 2:
        return header
    groups: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    for death in header:
        groups.setdefault((death.get("queue"), death.get("reason")), []).append(death)
    deaths = [{**same[0], "count": same[0].get("count", Int64(len(same)))} for same in groups.values()]
    return deaths[::-1]


def _death_headers(which: str, death: dict[str, Any]) -> dict[str, Any]:
    return {f"x-{which}-death-{name}": death[name] for name in ("exchange", "queue", "reason")}


def _with(deaths: list[dict[str, Any]], death: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the history with one more death: newest first, one entry for each queue and reason.

    A count of nothing stays nothing. Raises `UnreadableDeathsError` for one that is no number.
    """
    same = [
        each
        for each in deaths
        if each.get("queue") == death["queue"] and each.get("reason") == death["reason"]
    ]
    others = [each for each in deaths if each not in same]
    if not same:
        return [death, *others]
    count = same[0].get("count", 0)
    if count is not None:
        if not is_integer(count):
            raise UnreadableDeathsError
        count = Int64(count + 1)
    return [{**same[0], "count": count}, *others]


def _is_circle(headers: dict[str, Any], target: str, reason: str) -> bool:
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
