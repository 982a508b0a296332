"""What the model knows of the broker at one moment of its trace; each room of the model follows some events.

Owns: where every message is: ready in a queue, held by one delivery, or on its way as a dead letter.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from mockbroker import events
from mockbroker.rules import Rules

from .facts import ChannelName, Facts
from .records import NORMAL, RETURNED, URGENT, Copy, ModelConsumer, ModelLetter, ModelQueue
from .routing import Bindings

Tag = tuple[ChannelName, int]


@dataclass(eq=False)
class Publish:
    """A publish of a channel: what became of it in each queue, and whether it was answered."""

    copies: list[tuple[ModelQueue, Copy]] = field(default_factory=list)
    is_refused: bool = False
    is_answered: bool = False


@dataclass(eq=False)
class Holding:
    """A delivery that must be settled."""

    queue: ModelQueue
    copy: Copy
    consumer: ModelConsumer | None
    since_ns: int


@dataclass(frozen=True)
class Sent:
    """What a client is about to see: the event, and what the headers have to tell."""

    event: events.Delivered | events.Got
    deaths: tuple[tuple[str, str], ...]
    delivery_count: int | None
    offset: int | None


class State:
    """The state that the rooms of the model share."""

    def __init__(self, facts: Facts, rules: Rules) -> None:
        self.facts = facts
        self.rules = rules
        self.bindings = Bindings(facts)
        self.queues: dict[str, ModelQueue] = {}
        self.held: dict[Tag, Holding] = {}
        self.sent: dict[Tag, Sent] = {}
        self.publishes: dict[ChannelName, list[Publish]] = defaultdict(list)
        self.windows: dict[ChannelName, int] = {}
        """The shared windows in force; a window for each consumer lifts the shared one."""
        self.leaking: dict[ChannelName, None] = {}
        """Channels with such a window where a queue that knows nothing of it has delivered since."""
        self.connections: dict[str, None] = {}
        self.channels: dict[ChannelName, None] = {}
        self.must_refuse: list[ModelQueue] = []
        """Queues too full for the message that was just published to them."""
        self.arriving: list[tuple[ModelQueue, Copy]] = []
        """First publishes of somebody to a quorum queue: what classic queues dead-letter overtakes them."""
        self.must_return: bytes | None = None
        """The mandatory message that was just published and found no queue."""
        self.is_power_cut = False
        self.is_recovering = False
        """Whether queues are coming back: then a limit drops the head also where publishes are refused."""
        self.started_ns = 0
        self.ahead: list[events.Event] = []
        """What else has happened in the same command."""

    @property
    def is_older(self) -> bool:
        return self.rules.name == "rabbitmq-3.10"

    # -- dead letters

    def may_enter(self, names: list[str], deaths: tuple[tuple[str, str], ...]) -> list[str]:
        """The queues that a letter with this history may enter: no circles."""
        return [name for name in names if not self._is_circle(name, deaths)]

    def _is_circle(self, target: str, deaths: tuple[tuple[str, str], ...]) -> bool:
        """Whether the message died in `target` before, and since then nobody has rejected it anywhere."""
        last = max((number for number, (queue, _) in enumerate(deaths) if queue == target), default=None)
        return last is not None and all(reason != "rejected" for _, reason in deaths[last:])

    # -- how messages change places

    def delivery_limit(self, queue: ModelQueue) -> int | None:
        return queue.delivery_limit(negative_is_none=not self.is_older, default=None if self.is_older else 20)

    def come_back(
        self, queue: ModelQueue, copy: Copy, turn: int, holder: tuple[str, int], *, lost: bool
    ) -> None:
        """A message that was held is ready again; `lost` when its channel was, and nobody gave it back."""
        copy.is_returned = True
        copy.returns += 1
        if queue.type == "quorum":
            limit = self.delivery_limit(queue)
            copy.lane = NORMAL if limit is None and not lost else RETURNED
            copy.turn, copy.holder = turn, holder
            if lost and not self.is_older:
                copy.failures += 1
            if limit is not None and copy.returns > limit:
                queue.spent[copy.position] = copy
                return
        queue.ready[copy.position] = copy

    def give_up(self, queue: ModelQueue, copy: Copy, reason: str, position: int | None) -> None:
        """A queue loses a message: it owes a dead letter if it has a dead-letter exchange that is there, or
        keeps letters until it is."""
        exchange = queue.word("dead-letter-exchange")
        if queue.keeps_letters and self.queues.get(queue.name) is queue:
            assert position is not None
            queue.letters[position] = ModelLetter(copy, reason)
            return
        is_there = exchange == "" or exchange in self.bindings.exchanges
        if exchange is not None and is_there and self.queues.get(queue.name) is queue:
            key = queue.word("dead-letter-routing-key")
            queue.given_up.append((position, reason, copy, exchange, key))

    def close_run(self, queue: ModelQueue) -> None:
        """A step of a quorum queue is over: look at what it gave out, which it does consumer by consumer.

        Nothing that stayed had to go first, each consumer got its share in order, and the shares are fair.
        """
        run, queue.run = queue.run, []
        shares: dict[ModelConsumer | None, list[Copy]] = defaultdict(list)
        for copy, consumer in run:
            shares[consumer].append(copy)
            queue.assert_nothing_overtaken(copy, copy)
        for copies in shares.values():
            queue.assert_in_order(copies, queue.name)
        self._check_lanes(queue, [copy for copy, _ in run])
        if queue.active is None:
            self._check_shares(
                queue, {each: len(copies) for each, copies in shares.items() if each is not None}
            )

    def _check_lanes(self, queue: ModelQueue, gone: list[Copy]) -> None:
        """Of what left a quorum queue while urgent messages stayed, at most every third was normal, and older
        than those; where a normal one stayed, about every third of what is younger had to be one.
        """
        urgent = [copy.turn for copy in queue.ready.values() if copy.lane == URGENT]
        normal = [copy.turn for copy in queue.ready.values() if copy.lane == NORMAL]
        taken = [copy for copy in gone if copy.lane == NORMAL]
        fresh = [copy for copy in gone if copy.lane != RETURNED]
        if urgent:
            assert all(copy.turn < min(urgent) for copy in taken), f"{queue.name}: {taken} are too young"
            assert len(taken) <= -(-len(fresh) // 3), f"{queue.name}: {fresh} is not two for one"
        if normal:
            younger = [copy for copy in fresh if copy.lane == URGENT and copy.turn > min(normal)]
            assert len(taken) >= (len(younger) - 1) // 2, f"{queue.name}: {fresh} lets normal ones wait"

    def _check_shares(self, queue: ModelQueue, counts: dict[ModelConsumer, int]) -> None:
        for consumer, count in counts.items():
            for other in queue.consumers.values():
                if other.is_waiting and other is not consumer:
                    assert other.priority <= consumer.priority, f"{consumer} was served before {other}"
                    if other.priority == consumer.priority:
                        assert count <= counts.get(other, 0) + 1, f"{queue.name} is not fair: {counts}"
