"""The model's room of dead letters that must not get lost: a queue keeps each until all others have it."""

from __future__ import annotations

from mockbroker import events
from mockbroker.clock import MS

from .arrivals import Arrivals
from .records import ModelLetter, ModelQueue

WINDOW = 32
"""How many letters of a queue are under way at a time."""
RETRY_MS = 180_000


class KeptLetters(Arrivals):
    """Follows letters from the death of a message to the last queue that has to have it."""

    sending: tuple[ModelQueue, int, ModelLetter] | None = None
    """The letter that is being sent: refusals that follow are of it."""

    def finish_sending(self) -> None:
        """No refusal comes any more: whoever was sent the letter has it, or will once it is on disk."""
        if self.sending is not None:
            queue, position, letter = self.sending
            self.sending = None
            if letter.is_done:
                del queue.letters[position]

    def _route(self, queue: ModelQueue, letter: ModelLetter) -> tuple[str | None, tuple[str, ...], list[str]]:
        """Exchange, keys, and the queues that they lead to, by the settings and bindings of now."""
        exchange, key = queue.word("dead-letter-exchange"), queue.word("dead-letter-routing-key")
        copy, is_again = letter.copy, letter.looked_at_ns is not None
        if key is not None:
            keys: tuple[str, ...] = (key,)
        else:
            keys = (copy.key, *copy.copies) if is_again and self.is_older else copy.keys
        is_there = exchange == "" or exchange in self.bindings.exchanges
        reached = self.bindings.reached(exchange or "", keys, self.queues) if is_there else []
        return exchange, keys, [name for name in reached if name not in letter.settled]

    def _look_at(self, queue: ModelQueue, letter: ModelLetter, now_ns: int) -> None:
        """A letter's turn has come: the first time, it is the turn of those that died before as well."""
        if letter.looked_at_ns is None:
            for other in queue.letters.values():
                if other is letter:
                    break
                assert other.looked_at_ns is not None, f"{letter} overtakes {other}"
        elif letter.tried_ns is not None:
            assert now_ns >= letter.tried_ns + RETRY_MS * MS, f"{letter} is sent again too early"
        letter.looked_at_ns = now_ns
        under_way = [each for each in queue.letters.values() if each.looked_at_ns is not None]
        assert len(under_way) <= WINDOW, f"{len(under_way)} letters of {queue.name} are under way"

    def on_DeadLettered(self, event: events.DeadLettered) -> None:
        queue = self.queues[event.queue]
        letter = queue.letters.get(-1 if event.position is None else event.position)
        if letter is None:
            super().on_DeadLettered(event)
            return
        assert event.position is not None
        assert event.reason == letter.reason
        exchange, keys, reached = self._route(queue, letter)
        assert (event.exchange, event.routing_key) == (exchange, keys[0])
        absent = [name for name in reached if not (letter.is_home and name == queue.name)]
        self.check_targets(event, letter.copy, absent)
        is_again = letter.looked_at_ns is not None
        self._look_at(queue, letter, event.time_ns)
        letter.tried_ns = event.time_ns
        letter.missing = dict.fromkeys(reached if is_again else [name for name, _ in event.queues])
        for name, position in event.queues:
            target = self.queues[name]
            copy = self._add(event, target, self.letter_of(event, letter.copy, position, keys))
            if target is queue and self.is_older:
                letter.is_home = True
            elif target not in self.must_refuse:
                del letter.missing[name]
                needs_disk = copy.persistent and target.durable and target.type == "classic"
                (letter.unsynced if needs_disk else letter.settled)[name] = None
        self.sending = (queue, event.position, letter)

    def on_PublishRefused(self, event: events.PublishRefused) -> None:
        super().on_PublishRefused(event)
        if self.sending is not None:
            queue, _, letter = self.sending
            for had in (letter.unsynced, letter.settled):
                had.pop(event.queue, None)
            letter.missing[event.queue] = None
            letter.is_home = letter.is_home and event.queue != queue.name

    def on_DeadLetterKept(self, event: events.DeadLetterKept) -> None:
        queue = self.queues[event.queue]
        letter = queue.letters[event.position]
        assert not letter.is_done, f"{event} though every queue has it"
        assert not letter.unsynced, f"{event} before the disk has it"
        if letter.tried_ns != event.time_ns:
            deaths = (*letter.copy.deaths, (event.queue, event.reason))
            _, _, reached = self._route(queue, letter)
            assert self.is_older or not self.may_enter(reached, deaths), f"{event} though there is a route"
            self._look_at(queue, letter, event.time_ns)

    def on_DeadLetterGivenUp(self, event: events.DeadLetterGivenUp) -> None:
        queue = self.queues[event.queue]
        letter = queue.letters.pop(event.position)
        if queue.keeps_letters:
            assert letter.settled, f"{event} though nobody has it"
            assert not self._route(queue, letter)[2], f"{event} though somebody is missing it"

    def settle_synced_letters(self) -> None:
        """The disk has everything: what was sent to durable queues is there."""
        for queue in self.queues.values():
            for position, letter in list(queue.letters.items()):
                letter.settled |= letter.unsynced
                letter.unsynced.clear()
                if letter.is_done:
                    del queue.letters[position]

    def forget_workers(self) -> None:
        """Who keeps no letters any more is a stranger when he does again."""
        for queue in self.queues.values():
            for name in [each for each in queue.publishers if isinstance(each, str)]:
                if name not in self.queues or not self.queues[name].keeps_letters:
                    del queue.publishers[name]

    def forget_tries(self) -> None:
        """The broker was down: all letters go out as for the first time."""
        for queue in self.queues.values():
            for letter in queue.letters.values():
                for book in (letter.missing, letter.unsynced, letter.settled):
                    book.clear()
                letter.tried_ns = letter.looked_at_ns = None
                letter.is_home = False
            queue.publishers.clear()
