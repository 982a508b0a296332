"""What must be true of a broker, as a model of plain records that follows its trace.

The model decides nothing that the broker is free to decide (who gets a message when several could); it checks
that each event is one that the rules allow, and knows for each message where it is: ready in a queue, held by
one delivery, or gone for a reason that the trace has named.
"""

from __future__ import annotations

from mockbroker import events

from .outages import Outages
from .records import ModelConsumer, ModelQueue


class Model(Outages):
    """Follows a trace event by event; an event that breaks a rule fails an assertion."""

    def follow(self, happened: list[events.Event]) -> None:
        """Follow what has happened in one command, or a part of it that a client has seen."""
        self.forget_workers()
        for index, event in enumerate(happened):
            if not isinstance(event, events.Returned):
                assert self.must_return is None, f"{self.must_return!r} does not come back"
            if isinstance(event, events.Published | events.DeadLettered):
                self._assert_refusals()
            if not isinstance(event, events.PublishRefused):
                self.finish_sending()
            if not self._lets_overtake(event):
                self.arriving.clear()
            self.ahead = happened[index + 1 :]
            kind = type(event).__name__
            for room in (self, self.bindings):
                getattr(room, f"on_{kind}", lambda _event: None)(event)
        self.arriving.clear()
        self._assert_refusals()
        self.finish_sending()
        assert self.must_return is None, f"{self.must_return!r} does not come back"

    def _lets_overtake(self, event: events.Event) -> bool:
        """Whether a message that arrives at a quorum queue may still be on its way there after this event."""
        if isinstance(event, events.DeadLettered):
            return self.queues[event.queue].type == "classic"
        return isinstance(event, events.Delivered | events.Dropped | events.PublishRefused)

    def _assert_refusals(self) -> None:
        assert not self.must_refuse, f"{[queue.name for queue in self.must_refuse]} should have refused it"

    # -- queues

    def on_QueueDeclared(self, event: events.QueueDeclared) -> None:
        assert event.queue not in self.queues
        most = self.facts.limits.get("max-queues")
        assert most is None or len(self.queues) < most, f"{event} is one too many"
        self.queues[event.queue] = ModelQueue(
            event.queue,
            event.type,
            event.durable,
            event.auto_delete,
            event.exclusive,
            event.arguments,
            self.facts,
            used_ns=event.time_ns,
        )

    def on_QueueDeleted(self, event: events.QueueDeleted) -> None:
        queue = self.queues.pop(event.queue)
        if event.reason == "expired":
            expires_ms = queue.number("expires")
            assert expires_ms is not None, f"{event} never expires"
            assert not queue.consumers, f"{event} has consumers"
            assert event.time_ns >= queue.used_ns + expires_ms * 1_000_000, f"{event} comes too early"
        elif event.reason == "auto_delete":
            assert queue.auto_delete
            assert queue.had_consumers
            assert not queue.consumers, f"{event} has consumers"
        elif event.reason == "transient":
            assert not queue.durable

    # -- clients

    def on_ConnectionOpened(self, event: events.ConnectionOpened) -> None:
        most = self.facts.limits.get("max-connections")
        assert most is None or len(self.connections) < most, f"{event} is one too many"
        self.connections[event.connection] = None

    def on_ConnectionClosed(self, event: events.ConnectionClosed) -> None:
        assert not any(channel[0] == event.connection for channel in self.channels)
        del self.connections[event.connection]

    def on_ChannelOpened(self, event: events.ChannelOpened) -> None:
        self.channels[event.connection, event.channel] = None

    def on_PrefetchSet(self, event: events.PrefetchSet) -> None:
        channel = (event.connection, event.channel)
        self.windows.pop(channel, None)
        if event.global_ and event.prefetch_count:
            self.windows[channel] = event.prefetch_count
            if channel in self.facts.transactional and any(where == channel for where, _ in self.held):
                # What waits for a commit is not counted now, and is counted off then all the same.
                self.leaking[channel] = None

    def on_ConsumerAdded(self, event: events.ConsumerAdded) -> None:
        queue = self.queues[event.queue]
        self.close_run(queue)
        arguments = self.facts.consumer_arguments[event.consumer_tag]
        consumer = ModelConsumer(
            event.consumer_tag,
            (event.connection, event.channel),
            event.auto_ack,
            event.prefetch_count,
            event.priority,
            event.exclusive,
            wanted=arguments.get("x-stream-filter"),
        )
        if queue.type == "stream":
            consumer.offset = self.first_offset(queue, arguments.get("x-stream-offset"), event.time_ns)
        if queue.type == "classic":
            alone = event.exclusive or any(each.exclusive for each in queue.consumers.values())
            assert not (alone and queue.consumers), f"{event} and an exclusive consumer"
        queue.consumers[event.consumer_tag] = consumer
        queue.had_consumers = True
        if queue.arguments.get("x-single-active-consumer") and len(queue.consumers) == 1:
            queue.active = consumer
        is_behind = queue.arguments.get("x-single-active-consumer") and len(queue.consumers) > 1
        if not (is_behind and queue.type == "quorum"):
            self._adopt(queue, consumer)
        queue.start_counting_anew()

    def _adopt(self, queue: ModelQueue, consumer: ModelConsumer) -> None:
        """What a former consumer with the tag still holds is the new one's."""
        for (channel, _), holding in self.held.items():
            former = holding.consumer
            if (
                (channel, holding.queue) == (consumer.channel, queue)
                and former
                and former.tag == consumer.tag
            ):
                holding.consumer = consumer
                consumer.unacked += 1
        if consumer.prefetch and queue.type == "quorum":
            consumer.prefetch = max(consumer.prefetch, consumer.unacked)
        elif consumer.prefetch:
            consumer.prefetch += consumer.unacked

    def on_ConsumerCancelled(self, event: events.ConsumerCancelled) -> None:
        queue = self.queues.get(event.queue)
        if queue is not None:
            self.close_run(queue)
            gone = queue.consumers.pop(event.consumer_tag)
            queue.used_ns = event.time_ns
            if gone is queue.active:
                order = sorted(queue.consumers.values(), key=lambda each: -each.priority)
                queue.active = order[0] if order and queue.type == "classic" else None
            queue.start_counting_anew()
