"""The model's room of what comes in: publishes, their answers, and dead letters."""

from __future__ import annotations

from mockbroker import events
from mockbroker.clock import MS

from .records import URGENT, Copy, ModelQueue, Publisher
from .state import Publish, State


class Arrivals(State):
    """Follows messages into their queues."""

    def _add(
        self,
        event: events.Published | events.DeadLettered,
        queue: ModelQueue,
        copy: Copy,
    ) -> Copy:
        self.close_run(queue)
        self._meet(event, queue, copy)
        if queue.type == "classic" and queue.refuses_publishes:
            is_too_much = queue.is_above_limit(extra=1, extra_bytes=len(copy.body))
        else:
            is_too_much = (
                isinstance(event, events.Published)
                and self.facts.committing is None  # there nobody hears before all is published
                and queue.type == "quorum"
                and queue.refuses_publishes
                and queue.is_above_limit()
            )
        if is_too_much:
            self.must_refuse.append(queue)
        assert copy.position == queue.next_position, f"{event} does not come next in {queue.name}"
        queue.next_position += 1
        copy.published_ns = event.time_ns
        ttl_ms = queue.number("message-ttl") if queue.type != "stream" else None
        if ttl_ms is not None:
            due_ns = event.time_ns + ttl_ms * MS
            copy.expires_ns = due_ns if copy.expires_ns is None else min(copy.expires_ns, due_ns)
        copy.turn = queue.take_turn()
        if queue.type == "quorum" and copy.priority >= 5 and not self.is_older:
            copy.lane = URGENT
        queue.ready[copy.position] = copy
        if isinstance(event, events.DeadLettered):
            for target, overtaken in self.arriving:
                if target is queue and overtaken is not copy:
                    overtaken.turn = queue.take_turn()
        queue.look_at_limits()
        return copy

    def _meet(self, event: events.Published | events.DeadLettered, queue: ModelQueue, copy: Copy) -> None:
        """Note who publishes to a quorum queue: the first time, that takes a while."""
        if isinstance(event, events.Published):
            publisher: Publisher = (event.connection, event.channel)
        elif self.queues[event.queue].keeps_letters:
            publisher = event.queue
        else:
            return
        if queue.type == "quorum" and publisher not in queue.publishers:
            queue.publishers[publisher] = None
            self.arriving.append((queue, copy))

    def on_Published(self, event: events.Published) -> None:
        channel = (event.connection, event.channel)
        properties = event.properties or {}
        headers = properties.get("headers", {})
        asked = self.facts.asked.pop(event.body)
        assert asked.channel == channel, f"{event} comes from another channel"
        copies = tuple(headers.get("CC", ()))
        keys = (event.routing_key, *copies, *asked.blind_keys)
        if channel in self.facts.transactional:
            assert self.facts.committing == channel, f"{event} is not committed"
            assert {name for name, _ in event.queues} <= set(self.queues)
        else:
            assert not self.facts.is_alarmed, f"{event} during an alarm"
            later = [body for body, each in self.facts.asked.items() if each.channel == channel]
            assert all(int(body[1:]) > int(event.body[1:]) for body in later), f"{event} overtakes another"
            wanted = self.bindings.reached(event.exchange, keys, self.queues)
            assert [name for name, _ in event.queues] == wanted, f"{event} is routed elsewhere than {wanted}"
        publish = Publish()
        self.publishes[channel].append(publish)
        ttl_ms = properties.get("expiration")
        for name, position in event.queues:
            copy = Copy(
                body=event.body,
                position=position,
                persistent=properties.get("delivery_mode") == 2,
                priority=properties.get("priority", 0),
                key=event.routing_key,
                copies=copies,
                blind_keys=asked.blind_keys,
                label=headers.get("x-stream-filter-value"),
                expires_ns=None if ttl_ms is None else event.time_ns + int(ttl_ms) * MS,
            )
            queue = self.queues[name]
            publish.copies.append((queue, self._add(event, queue, copy)))
        if asked.mandatory and not event.queues:
            self.must_return = event.body

    def on_PublishRefused(self, event: events.PublishRefused) -> None:
        queue = self.queues[event.queue]
        queue.next_position -= 1
        copy = queue.ready.pop(queue.next_position)
        assert copy.body == event.body
        if queue.type == "stream":
            assert self.is_older, f"{event}, which it should take"
            assert copy.deaths, f"{event}, which is no dead letter"
            return
        if queue.type == "classic":
            is_full = queue.is_above_limit(extra=1, extra_bytes=len(copy.body))
        else:
            is_full = queue.is_above_limit(fifths=4)
        if not (queue.refuses_publishes and is_full):
            # A quorum queue tells those whom it refuses nothing of a policy that makes room.
            assert queue.type == "quorum", f"{event} without need"
            assert queue.was_full_at not in (None, self.facts.policy_changes), f"{event} without need"
        if queue in self.must_refuse:
            self.must_refuse.remove(queue)
        if queue.word("overflow") == "reject-publish-dlx":
            # The event comes after the queue has asked for the dead letter, before the letter is published.
            self.give_up(queue, copy, "maxlen", None)
        for publishes in self.publishes.values():
            for latest in publishes[-1:]:
                latest.is_refused = latest.is_refused or (queue, copy) in latest.copies

    def on_Returned(self, event: events.Returned) -> None:
        assert event.body == self.must_return, f"{event} was not mandatory, or has queues"
        self.must_return = None

    def on_Confirmed(self, event: events.Confirmed) -> None:
        for publish in self._answered(event, refused=False):
            for queue, copy in publish.copies:
                copy.is_confirmed = True
                is_on_disk = (
                    queue.type != "classic" or not (queue.durable and copy.persistent) or copy.is_synced
                )
                assert is_on_disk or copy is not queue.ready.get(copy.position), (
                    f"{event}: {copy} is not safe"
                )

    def on_Nacked(self, event: events.Nacked) -> None:
        self._answered(event, refused=True)

    def _answered(self, event: events.Confirmed | events.Nacked, *, refused: bool) -> list[Publish]:
        channel = (event.connection, event.channel)
        assert channel in self.facts.confirming, f"{event} although nobody wants to know"
        publishes = [self.publishes[channel][tag - 1] for tag in event.delivery_tags]
        for publish in publishes:
            assert not publish.is_answered, f"{event} once more"
            assert publish.is_refused == refused, f"{event} is not what the queues said"
            publish.is_answered = True
        return publishes

    # -- dead letters

    def on_DeadLettered(self, event: events.DeadLettered) -> None:
        queue = self.queues[event.queue]
        index = next(
            number
            for number, (position, reason, *_) in enumerate(queue.given_up)
            if (position, reason) == (event.position, event.reason)
        )
        # What the limits of a quorum queue drop in one step comes first and newest first; steps are not told.
        is_pushed_out = queue.type == "quorum" and event.reason == "maxlen"
        assert not index or event.position is None or is_pushed_out, (
            f"{event} comes before those that were given up earlier"
        )
        _, _, copy, exchange, key = queue.given_up.pop(index)
        keys = copy.keys if key is None else (key,)
        assert (event.exchange, event.routing_key) == (exchange, keys[0])
        self.check_targets(event, copy, self.bindings.reached(exchange, keys, self.queues))
        for name, position in event.queues:
            self._add(event, self.queues[name], self.letter_of(event, copy, position, keys))

    def check_targets(self, event: events.DeadLettered, copy: Copy, reached: list[str]) -> None:
        """A letter goes where the bindings lead, but not in a circle."""
        deaths = (*copy.deaths, (event.queue, event.reason))
        told = [name for name, _ in event.queues]
        if self.is_older and len(set(deaths)) > 2:
            # There the header's order, which is turned round each time, decides what a circle is.
            assert set(told) <= set(reached), f"{event} goes elsewhere than {reached}"
        else:
            wanted = self.may_enter(reached, deaths)
            assert told == wanted, f"{event} goes elsewhere than {wanted}"

    def letter_of(self, event: events.DeadLettered, copy: Copy, position: int, keys: tuple[str, ...]) -> Copy:
        """What enters a queue as the dead letter of `copy`, routed by `keys`."""
        return Copy(
            body=copy.body,
            position=position,
            persistent=copy.persistent,
            priority=copy.priority,
            key=keys[0],
            copies=tuple(each for each in copy.copies if each in keys[1:]),
            blind_keys=tuple(each for each in copy.blind_keys if each in keys[1:]),
            label=copy.label,
            deaths=(*copy.deaths, (event.queue, event.reason)),
            failures=copy.failures,
        )
