"""What the broker has sent and a client has not yet seen: one inbox for each connection, and their common
order.

Owns: the order in which all connections are served, and the call of callbacks.
Refuses to know: AMQP's rules (the core has applied them when something arrives here) and time.

Read next: ``broker.py`` (who serves when), ``channel.py``.
"""

from __future__ import annotations

from collections import deque

from mockbroker.errors import LivelockError
from mockbroker.message import Delivery, properties_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mockbroker.channel import Channel
    from mockbroker.core.dispatch import Consumer
    from mockbroker.errors import SoftError
    from mockbroker.message import Message

MAX_DELIVERIES = 1_000_000
"""How many deliveries one instant may have before it counts as a livelock, unless told otherwise."""


class Run:
    """Deliveries with consecutive tags to one consumer that acknowledges automatically, waiting as bare
    messages."""

    __slots__ = ("consumer", "messages", "next_tag")

    def __init__(self, consumer: Consumer, next_tag: int, messages: deque[Message]) -> None:
        self.consumer = consumer
        self.next_tag = next_tag
        self.messages = messages

    def take(self) -> Delivery:
        """Take the next delivery."""
        tag = self.next_tag
        self.next_tag = tag + 1
        return Delivery(self.consumer, self.consumer.queue, self.messages.popleft(), tag, tag, False)


class Inbox:
    """What waits for one connection, oldest first.

    Invariant: the common order has one token for each entry, and `_served_early` more, for entries that the
    connection served out of turn: those tokens are passed over when they come up.
    """

    __slots__ = ("_order", "_served_early", "entries", "running", "served")

    def __init__(self, order: deque[Inbox]) -> None:
        self.entries: deque[Any] = deque()
        self.running: Run | None = None
        """The run that is being served: what is left of it is in no other place."""
        self.served = 0
        """How many entries the client has seen."""
        self._order = order
        self._served_early = 0

    def put(self, entry: Any) -> None:
        """Add a delivery, a run, or a call (function and arguments) that is due to the client."""
        self.entries.append(entry)
        self._order.append(self)

    def take_early(self) -> Any:
        """Take the oldest entry out of turn."""
        self._served_early += 1
        return self.entries.popleft()

    def put_back(self, entry: Any) -> None:
        """Put an entry back that was taken out and is not finished."""
        self.entries.appendleft(entry)
        self._order.appendleft(self)

    def passes(self) -> bool:
        """Whether this turn was used up before."""
        if self._served_early:
            self._served_early -= 1
            return True
        return False

    def unseen(self, consumer: Consumer) -> list[Delivery]:
        """Return the deliveries to `consumer` that wait here; a run is emptied.

        Cost: the size of the inbox.
        """
        waiting = [] if self.running is None else [self.running]
        unseen: list[Delivery] = []
        for entry in (*waiting, *self.entries):
            if getattr(entry, "consumer", None) is consumer:
                if isinstance(entry, Delivery):
                    unseen.append(entry)
                else:
                    while entry.messages:
                        unseen.append(entry.take())
        return unseen

    def clear(self) -> None:
        """Throw everything away: nobody is there to see it."""
        self._served_early += len(self.entries)
        self.entries.clear()


class ChannelInbox:
    """The client's end of a channel, as the core calls it. Everything goes to the connection's inbox."""

    __slots__ = ("_entries", "_inbox", "_order", "channel", "nacked_tags", "returned_messages")

    def __init__(self, channel: Channel, inbox: Inbox, order: deque[Inbox]) -> None:
        self.channel = channel
        self._inbox = inbox
        self._entries = inbox.entries
        self._order = order
        self.nacked_tags: list[int] = []
        self.returned_messages: list[Message] = []

    def deliver(self, delivery: Delivery) -> None:
        """basic.deliver: it waits to be served."""
        self._entries.append(delivery)
        self._order.append(self._inbox)

    def deliver_run(self, consumer: Consumer, first_tag: int, messages: deque[Message]) -> None:
        """Many deliveries at once."""
        self._inbox.put(Run(consumer, first_tag, messages))

    def returned(self, reply_code: int, reply_text: str, message: Message) -> None:
        """basic.return: noted for the publish that waits for it, and for the callbacks."""
        self.returned_messages.append(message)
        self._inbox.put((self.channel.tell_returned, (reply_code, reply_text, message)))

    def confirmed(self, delivery_tag: int, multiple: bool) -> None:
        """A publisher confirm: a publish that did not raise is confirmed, so nobody needs to be told."""

    def nacked(self, delivery_tag: int, multiple: bool) -> None:
        """A publish was refused: noted for the publish that waits for it."""
        self.nacked_tags.append(delivery_tag)

    def consumer_cancelled(self, consumer_tag: str) -> None:
        """basic.cancel by the broker."""
        self._inbox.put((self.channel.tell_cancelled, (consumer_tag,)))

    def closed(self, error: SoftError) -> None:
        """channel.close by the broker, of its own accord."""
        self.channel.closed_by_broker(error)


class Server:
    """Serves inboxes: calls the callbacks for what is in them, in the order in which the broker sent it.

    `is_serving` is true while a callback runs.
    """

    __slots__ = ("_calls", "is_serving", "order", "served", "shield")

    def __init__(self) -> None:
        self.order: deque[Inbox] = deque()
        self.is_serving = False
        self._calls = 0
        self.served = 0
        """How many deliveries have been served in all."""
        self.shield: Callable[..., None] | None = None
        """Calls a callback with the broker's lock released, while other threads use the broker."""

    def serve_all(self, max_deliveries: int) -> int:
        """Serve every inbox until all are empty; return the number of deliveries.

        Raises `LivelockError` above `max_deliveries`.
        """
        order = self.order
        served = self._calls = 0
        self.is_serving = True
        try:
            while order:
                inbox = order.popleft()
                if inbox.passes():
                    continue
                served += self._serve(inbox, inbox.entries.popleft(), max_deliveries - served)
        finally:
            self.is_serving = False
            self.served += served
        return served

    def serve_one(self, inbox: Inbox, max_deliveries: int) -> int:
        """Serve one inbox out of turn until it is empty; return the number of deliveries."""
        served = self._calls = 0
        self.is_serving = True
        try:
            while inbox.entries:
                entry = inbox.take_early()
                served += self._serve(inbox, entry, max_deliveries - served)
        finally:
            self.is_serving = False
            self.served += served
        return served

    def _serve(self, inbox: Inbox, entry: Any, allowed: int) -> int:
        """Serve one entry; return the number of deliveries. A callback that raises leaves the rest where
        it is."""
        inbox.served += 1
        kind = type(entry)
        if kind is Delivery:
            consumer = entry.consumer
            if consumer.context is None or not consumer.channel.is_open:
                return 0
            if allowed < 1:
                inbox.put_back(entry)
                raise _livelock(consumer, entry.message)
            self._call_back(entry)
            return 1
        if kind is Run:
            return self._serve_run(inbox, entry, allowed)
        function, args = entry
        self._calls += 1
        if self._calls > MAX_DELIVERIES:
            inbox.put_back(entry)
            raise LivelockError(
                f"this instant does not end: more than {MAX_DELIVERIES} callbacks have been served, and no "
                "time passes. Does a callback of add_callback_threadsafe add itself again?"
            )
        if self.shield is None:
            function(*args)
        else:
            self.shield(function, *args)
        return 0

    def _serve_run(self, inbox: Inbox, run: Run, allowed: int) -> int:
        consumer, messages = run.consumer, run.messages
        served = 0
        inbox.running = run
        try:
            while messages and consumer.context is not None and consumer.channel.is_open:
                if served == allowed:
                    raise _livelock(consumer, messages[0])
                served += 1
                self._call_back(run.take())
        except BaseException:
            if messages and consumer.context is not None and consumer.channel.is_open:
                inbox.put_back(run)
            raise
        finally:
            inbox.running = None
        return served

    def _call_back(self, delivery: Delivery) -> None:
        consumer = delivery.consumer
        assert consumer is not None
        channel, callback = consumer.context
        message = delivery.message
        if self.shield is None:
            callback(channel, delivery, properties_of(message), message[2])
        else:
            self.shield(callback, channel, delivery, properties_of(message), message[2])


def _livelock(consumer: Consumer, message: Message) -> LivelockError:
    return LivelockError(
        f"this instant does not end: queue {consumer.queue.name!r} has delivered {message[2]!r} "
        f"to consumer {consumer.tag!r}, once more than max_deliveries allows. "
        "Does a callback requeue what it gets, or publish to the queue that it consumes?"
    )
