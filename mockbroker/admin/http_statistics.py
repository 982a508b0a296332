"""The figures of the management API: how much of what went through, and how fast.

Owns: the counters of messages, lengths and churn, from the moment that a management port opens, and the
logins at that port.
Refuses to know: paths and pages, and what an event means to anybody else.

A management port listens as a trace does, and counts; it keeps no event. A broker without one counts nothing
and pays nothing. Time is the broker's: as a real server does, a rate is the change over the last full sample,
five (virtual) seconds long, so it is the same in every run.

Source: RabbitMQ documentation, "Management HTTP API", ``message_stats``; "Monitoring", "Sampling".

Read next: ``../events.py``, ``http_status.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mockbroker import events
from mockbroker.clock import NS
from mockbroker.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mockbroker.core.node import Node
    from mockbroker.core.vhost import VHost

SAMPLE_NS = 5 * NS
"""How often a server as installed takes samples. Source: "Configuration", ``collect_statistics_interval``."""

_IN = ("publish_in",)
_OUT = ("publish_out",)
_QUEUED = ("publish",)
_PUBLISHED = ("publish", "confirm", "return_unroutable", "drop_unroutable")
_HANDED_OUT = ("deliver", "deliver_no_ack", "get", "get_no_ack")
_DELIVERED = (*_HANDED_OUT, "redeliver", "ack")
_CHURN = (
    "connection_created",
    "connection_closed",
    "channel_created",
    "channel_closed",
    "queue_created",
    "queue_deleted",
)

Row = dict[str, Any]


class Counter:
    """A number, and by how much it changed in the last full sample."""

    __slots__ = ("_at_start", "_before", "_sample", "total")

    def __init__(self, total: int = 0) -> None:
        self.total = total
        self._sample = 0
        self._at_start = total
        self._before = total

    def add(self, amount: int, now_ns: int) -> None:
        """Change the number."""
        sample = now_ns // SAMPLE_NS
        if sample != self._sample:
            self._before = self._at_start if sample == self._sample + 1 else self.total
            self._at_start = self.total
            self._sample = sample
        self.total += amount

    def rate(self, now_ns: int) -> float:
        """Return the change for each second of the last full sample."""
        age = now_ns // SAMPLE_NS - self._sample
        if age == 0:
            change = self._at_start - self._before
        else:
            change = self.total - self._at_start if age == 1 else 0
        return change / (SAMPLE_NS // NS)


Stats = dict[str, Counter]


def _count(stats: Stats, group: tuple[str, ...], name: str, now_ns: int, amount: int = 1) -> None:
    """Count one of a group; they are shown together, those that are 0 as well."""
    counter = stats.get(name)
    if counter is None:
        for each in group:
            stats[each] = Counter()
        counter = stats[name]
    counter.add(amount, now_ns)


class Statistics(Trace):
    """What a management port counts: it listens to the node and keeps no event."""

    keeps_events = False

    def __init__(self, node: Node) -> None:
        self._vhosts: dict[str, tuple[VHost | None, Stats]] = {}
        """Figures by name, and the virtual host that they are of: another may come under the same name."""
        self._exchanges: dict[tuple[str, str], Stats] = {}
        self._queues: dict[tuple[str, str], Stats] = {}
        self._channels: dict[tuple[str, int], Stats] = {}
        self._vhost_of: dict[str, str] = {each.name: each.vhost.name for each in node.connections}
        self._lengths: dict[tuple[str, str], tuple[Counter, Counter]] = {}
        """Ready and unacknowledged messages of each queue. Invariant: `check`."""
        self._streams: set[tuple[str, str]] = set()
        self._churn: Stats = {name: Counter() for name in _CHURN}
        self.logins = {True: 0, False: 0}
        """How many logins at the management port were let in, and how many were not."""
        self._measured = node
        self._measure()
        super().__init__(node)

    def _measure(self) -> None:
        """Take the lengths from the queues: from here on they change by what is recorded."""
        self._lengths.clear()
        for vhost in self._measured.vhosts.values():
            for queue in vhost.queues.values():
                place = (vhost.name, queue.name)
                unacked_count = self._measured.unacked_count(queue)
                self._lengths[place] = Counter(queue.ready_count), Counter(unacked_count)
                if queue.type == "stream":
                    self._streams.add(place)

    def record(self, event: events.Event) -> None:
        """Count an event; the node's recorder calls it in the middle of a step."""
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)

    def check(self) -> None:
        """Assert that the lengths add up to what the queues hold."""
        for vhost in self._measured.vhosts.values():
            for queue in vhost.queues.values():
                counted = tuple(counter.total for counter in self._lengths[vhost.name, queue.name])
                assert counted == (queue.ready_count, self._measured.unacked_count(queue)), queue

    # -- what is counted

    def _published(self, event: events.Published) -> None:
        now_ns, vhost = event.time_ns, event.vhost
        of_vhost = self._of_vhost(vhost)
        exchange = self._exchanges.setdefault((vhost, event.exchange), {})
        _count(exchange, _IN, "publish_in", now_ns)
        if event.queues:
            _count(exchange, _OUT, "publish_out", now_ns, len(event.queues))
        channel = self._channels.setdefault((event.connection, event.channel), {})
        for stats in (channel, of_vhost):
            _count(stats, _PUBLISHED, "publish", now_ns)
            if not event.queues:
                # A mandatory one is taken off again when its return is recorded, right after this.
                stats["drop_unroutable"].add(1, now_ns)
        for queue, _ in event.queues:
            _count(self._queues.setdefault((vhost, queue), {}), _QUEUED, "publish", now_ns)
        self._arrive(vhost, event.queues, now_ns)

    def _of_vhost(self, name: str) -> Stats:
        """The figures of a virtual host; one that was deleted since leaves none behind."""
        vhost = self._measured.vhosts.get(name)
        known, stats = self._vhosts.get(name, (None, {}))
        if known is not vhost:
            stats = {}
            self._vhosts[name] = vhost, stats
            for place in [place for place in self._exchanges if place[0] == name]:
                del self._exchanges[place]
        return stats

    def _arrive(self, vhost: str, queues: events.Places, now_ns: int) -> None:
        for queue, _ in queues:
            self._change(vhost, queue, now_ns, ready=1)

    def _change(self, vhost: str, queue: str, now_ns: int, *, ready: int = 0, unacked: int = 0) -> None:
        lengths = self._lengths.get((vhost, queue))
        if lengths is not None:
            if ready:
                lengths[0].add(ready, now_ns)
            if unacked:
                lengths[1].add(unacked, now_ns)

    def _refused(self, event: events.PublishRefused) -> None:
        self._change(event.vhost, event.queue, event.time_ns, ready=-1)

    def _of_channel(self, event: events.OfChannel) -> Iterable[Stats]:
        """The channel's figures, and those of its virtual host."""
        yield self._channels.setdefault((event.connection, event.channel), {})
        vhost = self._vhost_of.get(event.connection)
        if vhost is not None:
            yield self._of_vhost(vhost)

    def _returned(self, event: events.Returned) -> None:
        for stats in self._of_channel(event):
            stats["drop_unroutable"].add(-1, event.time_ns)
            _count(stats, _PUBLISHED, "return_unroutable", event.time_ns)

    def _confirmed(self, event: events.Confirmed) -> None:
        for stats in self._of_channel(event):
            _count(stats, _PUBLISHED, "confirm", event.time_ns, len(event.delivery_tags))

    def _of_delivery(self, event: events.OfDelivery, name: str) -> None:
        queue = self._queues.setdefault((event.vhost, event.queue), {})
        for stats in (queue, *self._of_channel(event)):
            _count(stats, _DELIVERED, name, event.time_ns)

    def _handed_out(self, event: events.Delivered | events.Got) -> None:
        name = "deliver" if type(event) is events.Delivered else "get"
        self._of_delivery(event, f"{name}_no_ack" if event.auto_ack else name)
        if event.redelivered:
            self._of_delivery(event, "redeliver")
        leaves = 0 if (event.vhost, event.queue) in self._streams else -1
        unacked = 0 if event.auto_ack else 1
        self._change(event.vhost, event.queue, event.time_ns, ready=leaves, unacked=unacked)

    def _acknowledged(self, event: events.Acknowledged) -> None:
        self._of_delivery(event, "ack")
        self._change(event.vhost, event.queue, event.time_ns, unacked=-1)

    def _requeued(self, event: events.Requeued) -> None:
        returns = 0 if (event.vhost, event.queue) in self._streams else 1
        self._change(event.vhost, event.queue, event.time_ns, ready=returns, unacked=-1)

    def _rejected(self, event: events.Rejected) -> None:
        self._change(event.vhost, event.queue, event.time_ns, unacked=-1)

    def _dropped(self, event: events.Dropped) -> None:
        self._change(event.vhost, event.queue, event.time_ns, ready=-1)

    def _dead_lettered(self, event: events.DeadLettered) -> None:
        self._arrive(event.vhost, event.queues, event.time_ns)

    # -- what comes and goes

    def _connection_opened(self, event: events.ConnectionOpened) -> None:
        self._vhost_of[event.connection] = event.vhost
        self._churn["connection_created"].add(1, event.time_ns)

    def _connection_closed(self, event: events.ConnectionClosed) -> None:
        self._vhost_of.pop(event.connection, None)
        self._churn["connection_closed"].add(1, event.time_ns)

    def _channel_opened(self, event: events.ChannelOpened) -> None:
        self._churn["channel_created"].add(1, event.time_ns)

    def _channel_closed(self, event: events.ChannelClosed) -> None:
        self._channels.pop((event.connection, event.channel), None)
        self._churn["channel_closed"].add(1, event.time_ns)

    def _queue_declared(self, event: events.QueueDeclared) -> None:
        place = (event.vhost, event.queue)
        self._lengths[place] = Counter(), Counter()
        if event.type == "stream":
            self._streams.add(place)
        self._churn["queue_created"].add(1, event.time_ns)

    def _queue_deleted(self, event: events.QueueDeleted) -> None:
        place = (event.vhost, event.queue)
        self._queues.pop(place, None)
        self._lengths.pop(place, None)
        self._streams.discard(place)
        self._churn["queue_deleted"].add(1, event.time_ns)

    def _exchange_deleted(self, event: events.ExchangeDeleted) -> None:
        self._exchanges.pop((event.vhost, event.exchange), None)

    def _stopped(self, event: events.Stopped) -> None:
        """Forget the figures, as a server does that starts again."""
        for table in (self._vhosts, self._exchanges, self._queues, self._channels, self._vhost_of):
            table.clear()
        self._churn = {name: Counter() for name in _CHURN}

    def _started(self, event: events.Started) -> None:
        self._measure()

    # -- what is shown

    def of_vhosts(self, names: Iterable[str], now_ns: int) -> Row:
        """Return ``message_stats`` of virtual hosts together; empty when nothing went through them."""
        return _message_stats([self._of_vhost(name) for name in names], now_ns)

    def of_exchange(self, vhost: str, name: str, now_ns: int) -> Row:
        """Return ``message_stats`` of an exchange."""
        self._of_vhost(vhost)
        return _message_stats([self._exchanges.get((vhost, name), {})], now_ns)

    def of_queue(self, vhost: str, name: str, now_ns: int) -> Row:
        """Return ``message_stats`` of a queue."""
        return _message_stats([self._queues.get((vhost, name), {})], now_ns)

    def of_channel(self, connection: str, number: int, now_ns: int) -> Row:
        """Return ``message_stats`` of a channel."""
        return _message_stats([self._channels.get((connection, number), {})], now_ns)

    def length_details(self, now_ns: int, vhosts: Iterable[str], name: str | None = None) -> Row:
        """Return how fast the lengths of all queues in virtual hosts change, or of the one of this name."""
        hosts = set(vhosts)
        pairs = [
            pair for (host, queue), pair in self._lengths.items() if host in hosts and name in (None, queue)
        ]
        ready = sum((pair[0].rate(now_ns) for pair in pairs), start=0.0)
        unacked = sum((pair[1].rate(now_ns) for pair in pairs), start=0.0)
        return {
            "messages_details": {"rate": ready + unacked},
            "messages_ready_details": {"rate": ready},
            "messages_unacknowledged_details": {"rate": unacked},
        }

    def churn_rates(self, now_ns: int) -> Row:
        """Return what came and went."""
        return _with_details(self._churn.items(), now_ns)


def _message_stats(several: list[Stats], now_ns: int) -> Row:
    """Add the figures up; ``deliver_get`` is everything that was handed out."""
    named = [(name, counter) for stats in several for name, counter in stats.items()]
    handed_out = [("deliver_get", counter) for name, counter in named if name in _HANDED_OUT]
    return _with_details(named + handed_out, now_ns)


def _with_details(named: Iterable[tuple[str, Counter]], now_ns: int) -> Row:
    row: Row = {}
    for name, counter in named:
        row[name] = row.get(name, 0) + counter.total
        rate = row.setdefault(f"{name}_details", {"rate": 0.0})
        rate["rate"] += counter.rate(now_ns)
    return dict(sorted(row.items()))


_HANDLERS: Mapping[type[events.Event], Callable[[Statistics, Any], None]] = {
    events.Published: Statistics._published,
    events.PublishRefused: Statistics._refused,
    events.Returned: Statistics._returned,
    events.Confirmed: Statistics._confirmed,
    events.Delivered: Statistics._handed_out,
    events.Got: Statistics._handed_out,
    events.Acknowledged: Statistics._acknowledged,
    events.Requeued: Statistics._requeued,
    events.Rejected: Statistics._rejected,
    events.Dropped: Statistics._dropped,
    events.DeadLettered: Statistics._dead_lettered,
    events.ConnectionOpened: Statistics._connection_opened,
    events.ConnectionClosed: Statistics._connection_closed,
    events.ChannelOpened: Statistics._channel_opened,
    events.ChannelClosed: Statistics._channel_closed,
    events.QueueDeclared: Statistics._queue_declared,
    events.QueueDeleted: Statistics._queue_deleted,
    events.ExchangeDeleted: Statistics._exchange_deleted,
    events.Stopped: Statistics._stopped,
    events.Started: Statistics._started,
}
