"""The model's room of what goes out and what comes back: deliveries, settlements, and what queues drop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mockbroker import events
from mockbroker.clock import MS

from .facts import ChannelName
from .records import Copy, ModelConsumer, ModelQueue
from .state import Holding, Sent, State


class Departures(State):
    """Follows messages out of their queues, and back."""

    def _leave(self, queue: ModelQueue, event: events.Delivered | events.Got) -> Copy:
        copy = queue.ready.pop(event.position)
        if isinstance(event, events.Delivered) and queue.type == "quorum":
            queue.run.append((copy, queue.consumers[event.consumer_tag]))
        else:
            queue.assert_nothing_overtaken(copy, event)
        is_in_time = copy.expires_ns is None or copy.expires_ns >= event.time_ns
        assert is_in_time or queue.may_overtake, f"{event} has expired"
        return copy

    def _send(
        self,
        queue: ModelQueue,
        event: events.Delivered | events.Got,
        copy: Copy,
        consumer: ModelConsumer | None,
    ) -> None:
        channel = (event.connection, event.channel)
        tag = (channel, event.delivery_tag)
        assert copy.body == event.body, f"{event} carries something else"
        count = copy.returns or copy.failures
        is_again = {"classic": copy.is_returned, "quorum": count > 0, "stream": False}[queue.type]
        assert event.redelivered == is_again, f"{event} has the wrong flag"
        shows_count = queue.type == "quorum" and (count or (self.is_older and isinstance(event, events.Got)))
        self.sent[tag] = Sent(
            event,
            copy.deaths,
            count if shows_count else None,
            event.position if queue.type == "stream" else None,
        )
        if not event.auto_ack:
            assert tag not in self.held, "a delivery tag is used twice"
            self.held[tag] = Holding(queue, copy, consumer, event.time_ns)
            queue.unacked[tag] = copy

    def on_Got(self, event: events.Got) -> None:
        queue = self.queues[event.queue]
        self.close_run(queue)
        queue.used_ns = event.time_ns
        self._send(queue, event, self._leave(queue, event), None)

    def on_Delivered(self, event: events.Delivered) -> None:
        queue = self.queues[event.queue]
        consumer = queue.consumers[event.consumer_tag]
        channel = consumer.channel
        assert channel == (event.connection, event.channel), f"{event} goes to another channel"
        assert consumer.has_credit, f"{event} is beyond the window of {consumer.prefetch}"
        if queue.type == "stream":
            copy = self._read(queue, consumer, event)
        else:
            self._check_turn(queue, consumer, event)
            copy = self._leave(queue, event)
            consumer.served += 1
            if event.auto_ack and queue.type == "quorum":
                consumer.unsettled += 1
        self._send(queue, event, copy, consumer)
        if not event.auto_ack:
            consumer.unacked += 1
            self._check_window(queue, channel, event)
        if not consumer.has_credit or self.windows:
            queue.start_counting_anew()

    def _check_window(self, queue: ModelQueue, channel: ChannelName, event: events.Delivered) -> None:
        """A window that consumers of a channel share is kept by classic queues; the others do not know it.

        What an operation settles counts no more when the first of its queues delivers.
        """
        limit = self.windows.get(channel)
        if limit is not None and queue.type != "classic":
            self.leaking[channel] = None
        if limit is not None and channel not in self.leaking:
            settled = [
                ((each.connection, each.channel), each.delivery_tag)
                for each in self.ahead
                if isinstance(each, events.Acknowledged | events.Rejected | events.Requeued)
            ]
            in_flight = [
                tag
                for tag, each in self.held.items()
                if tag[0] == channel and each.consumer and tag not in settled
            ]
            assert len(in_flight) <= limit, f"{event} is beyond the channel's window of {limit}"

    def _read(self, stream: ModelQueue, consumer: ModelConsumer, event: events.Delivered) -> Copy:
        """A stream's consumer reads the next message that it wants; the message stays."""
        following = next(self.unread(stream, consumer), None)
        assert following == event.position, f"{event}, and {consumer} has to read {following}"
        consumer.offset = event.position + 1
        return stream.ready[event.position]

    def _check_turn(self, queue: ModelQueue, consumer: ModelConsumer, event: events.Delivered) -> None:
        others = [each for each in queue.consumers.values() if each is not consumer]
        if queue.arguments.get("x-single-active-consumer"):
            active = queue.active
            if active is not consumer:
                assert queue.type == "quorum", f"{event} goes past the single active consumer"
                # It may have to make way for a higher priority, once it holds nothing.
                is_gone = active is None or active.tag not in queue.consumers
                assert is_gone or (not self.is_older and not active.unacked), f"{event} goes past {active}"
                assert self.is_older or all(each.priority <= consumer.priority for each in others), (
                    f"{event} goes past a higher priority"
                )
                queue.active = consumer
        elif queue.type == "classic":
            for other in others:
                if other.has_credit and other.channel not in self.windows:
                    assert other.priority <= consumer.priority, f"{event} goes past a higher priority"
                    if other.priority == consumer.priority:
                        assert consumer.served <= other.served, f"{event} is not fair: {queue.consumers}"

    # -- settling

    def _release(self, event: events.OfDelivery) -> Holding:
        tag = ((event.connection, event.channel), event.delivery_tag)
        holding = self.held.pop(tag)
        queue, copy = holding.queue, holding.copy
        assert (queue.name, copy.position) == (event.queue, event.position), f"{event} settles something else"
        self.close_run(queue)
        del queue.unacked[tag]
        is_gone = (
            holding.consumer is None or queue.consumers.get(holding.consumer.tag) is not holding.consumer
        )
        if queue.type == "quorum" and is_gone:
            queue.used_ns = event.time_ns  # who is gone has left with the last of what he held
        if holding.consumer is not None:
            holding.consumer.unacked -= 1
            queue.start_counting_anew()
        return holding

    def on_Acknowledged(self, event: events.Acknowledged) -> None:
        self._release(event)

    def on_Rejected(self, event: events.Rejected) -> None:
        holding = self._release(event)
        if holding.queue.type == "stream":
            return
        if holding.queue.type == "quorum" and not self.is_older:
            holding.copy.failures += 1
        self.give_up(holding.queue, holding.copy, "rejected", event.position)

    def on_Requeued(self, event: events.Requeued) -> None:
        holding = self._release(event)
        queue = holding.queue
        if queue.type == "stream":
            return
        channel = (event.connection, event.channel)
        is_lost = self._is_closing(channel)
        turn = queue.next_turn + 1 if is_lost else queue.take_turn()
        tag = holding.consumer.tag if holding.consumer else f"fetch {event.delivery_tag}"
        self.come_back(queue, holding.copy, turn, (tag, event.delivery_tag), lost=is_lost)
        is_spent = holding.copy.position in queue.spent
        if is_spent and self.is_older and not is_lost and holding.consumer and holding.consumer.prefetch:
            holding.consumer.prefetch += 1

    def _is_closing(self, channel: ChannelName) -> bool:
        """Whether its end is what returns the channel's messages now.

        No error comes between; and the channel's consumers have gone before, who get nothing more.
        """
        for event in self.ahead:
            is_of_consumer = isinstance(event, events.Delivered | events.ConsumerCancelled)
            if is_of_consumer and (event.connection, event.channel) == channel:
                return False
            if isinstance(event, events.ChannelClosed) and (event.connection, event.channel) == channel:
                return True
            is_error = isinstance(event, events.ErrorSent) and event.connection == channel[0]
            if is_error and event.channel in (None, channel[1]):
                return False
        return False

    def on_ChannelClosed(self, event: events.ChannelClosed) -> None:
        channel = (event.connection, event.channel)
        assert not any(where == channel for where, _ in self.held), f"{event} leaves something behind"
        for queue in self.queues.values():
            queue.take_turn()  # what the channel held came back together
        self.forget_channel(channel)

    def forget_channel(self, channel: ChannelName) -> None:
        books: list[dict[ChannelName, Any]] = [self.channels, self.publishes, self.windows, self.leaking]
        for book in (*books, self.facts.confirming, self.facts.transactional):
            book.pop(channel, None)
        for queue in self.queues.values():
            queue.publishers.pop(channel, None)
        self.facts.forget(channel)

    # -- what queues drop

    def on_Dropped(self, event: events.Dropped) -> None:
        queue = self.queues[event.queue]
        if event.reason == "delivery_limit":
            copy = queue.spent.pop(event.position)
        else:
            copy = queue.ready.pop(event.position)
        assert copy.body == event.body
        if event.reason in ("expired", "maxlen"):
            self._check_drop(queue, copy, event)
        if event.reason == "purged":
            self.close_run(queue)
        else:
            self.give_up(queue, copy, event.reason, event.position)

    def _check_drop(self, queue: ModelQueue, copy: Copy, event: events.Dropped) -> None:
        if queue.type == "quorum":
            queue.run.append((copy, None))
        elif queue.number("message-ttl") == 0 and queue.word("dead-letter-exchange") is None:
            # What nobody takes at once is dropped wherever it stands.
            assert (
                event.reason == "maxlen"
                or copy.published_ns == event.time_ns
                or not self._is_overtaken(queue, copy)
            )
        else:
            queue.assert_nothing_overtaken(copy, event)
        if event.reason == "expired":
            assert copy.expires_ns is not None, f"{event} has no time to live"
            assert copy.expires_ns <= event.time_ns, f"{event} comes too early"
        else:
            may_drop = queue.drops_head or self.facts.is_policy_changing or self.is_recovering
            assert may_drop, f"{event} although publishes are refused"
            assert queue.is_above_limit(extra=1, extra_bytes=len(copy.body)), f"{event} comes without need"

    def _is_overtaken(self, queue: ModelQueue, copy: Copy) -> bool:
        return any(queue.precedes(each, copy) for each in queue.ready.values())

    # -- streams

    def unread(self, stream: ModelQueue, consumer: ModelConsumer) -> Iterator[int]:
        """The offsets that a consumer has still to read."""
        for offset in range(consumer.offset, stream.next_position):
            if consumer.wanted is None or self.is_older or stream.ready[offset].label == consumer.wanted:
                yield offset

    def first_offset(self, stream: ModelQueue, spec: int | str | None, now_ns: int) -> int:
        """Where a consumer begins that asks for `spec`."""
        end = stream.next_position
        if isinstance(spec, int):
            return spec
        if spec == "1s":
            young = [
                copy.position for copy in stream.ready.values() if copy.published_ns >= now_ns - 1000 * MS
            ]
            return min(young, default=end)
        return {"first": 0, "last": max(end - 1, 0), "next": end, None: end}[spec]
