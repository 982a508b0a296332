"""Random scenarios: plausible conversations, each step chosen from what the conversation has led to.

Owns: what is known of a conversation in progress (names, outstanding tags, modes), and the choice of steps.
Refuses to know: who answers. Whoever runs the steps tells the generator what was seen.

A seed and a family name give one conversation, as long as the answers are the same. What no broker
promises is left out: a channel consumes from one queue only (two queues race), nothing is requeued on a
channel with a shared window, a stream's messages are not counted (a server's count comes late), a message
with a short time to live is followed by a wait that is longer, and no classic queue takes the name of one
from which a channel may still hold something (see docs/differences.md).

Read next: ``families.py``, ``operator_moves.py``, ``compare.py``.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from . import operator_moves
from .families import BASE_WEIGHTS, FAMILIES, SHORT_TTL_MS, Arguments
from .transcript import Event, Seen, Step

ROUTING_KEYS = ("red", "blue", "red.dark", "red.dark.old", "")
BINDING_KEYS = ("red", "blue", "red.*", "red.#", "#", "*", "*.dark", "#.old", "")
REPLY_QUEUE = "amq.rabbitmq.reply-to"


class _Channel:
    """What is known of an open channel."""

    def __init__(self) -> None:
        self.outstanding: list[int] = []
        self.held_from: set[str] = set()
        """The queues from which it has had something to acknowledge."""
        self.settled = 77
        self.consumers: dict[str, str] = {}
        self.former: dict[str, set[str]] = {}
        """Tag -> the queues that consumers with it have consumed from."""
        self.no_ack: set[str] = set()
        self.mode = ""
        self.has_shared_window = False
        self.has_short_ttl = False
        """Whether a message that it published expires soon: in a transaction, once that is committed."""

    @property
    def queue(self) -> str | None:
        """The one queue that it consumes from."""
        return next(iter(self.consumers.values()), None)


class Generator:
    """Chooses steps; `learn` tells it what each led to."""

    def __init__(self, seed: int, family_name: str, *, wide: bool = False) -> None:
        self.rng = random.Random(f"{family_name}-{seed}")
        self.family = FAMILIES[family_name]
        self.exchanges: dict[str, Step] = {}
        self.queues: dict[str, Step] = {}
        self.policies: set[str] = set()
        self.operator_policies: set[str] = set()
        self.user_names = tuple(f"{letter}{seed}" for letter in ("amy", "bob"))
        self.users: set[str] = set()
        self.logins: dict[str, str] = {}
        """Connection -> the user who opened it, empty for the server's own."""
        self.alarms: set[str] = set()
        self.publisher: str | None = None
        """The channel that published during an alarm."""
        self.restarts = 0
        self.must_follow: list[Step] = []
        self.length = self.rng.randint(30, 90) if wide else self.rng.randint(12, 40)
        self.may_redeliver = not self.family.is_durable or self.rng.random() < 0.6
        """Where there are restarts, either nothing is transient or nothing comes back: a server's queue that
        lost messages may flag no redelivery any more (see docs/differences.md)."""
        self._connection_names = "ABCDE" if wide else "ABC"
        self._channel_numbers = range(1, 4 if wide else 3)
        self._queue_names = [f"q{number}" for number in range(1, 7 if wide else 4)]
        self._exchange_names = [f"x{number}" for number in range(1, 5 if wide else 4)]
        self._connections: set[str] = set()
        self._channels: dict[str, _Channel] = {}
        self._reply_names: set[str] = set()
        self._types: dict[str, str | None] = {}
        self._making_way: set[str] = set()
        """Quorum queues where the single active consumer may have to make way."""
        self._serial = 0
        self._last_count = 0
        weights = BASE_WEIGHTS | self.family.weights
        self._moves = [(MOVES[name], weight) for name, weight in weights.items() if weight]

    # Choosing

    def next(self) -> Step:
        """Return the next step."""
        if self.must_follow:
            return self.must_follow.pop(0)
        if not self._connections:
            return {"op": "connect", "conn": "A"}
        if not self._channels:
            return self._open_channel() or {"op": "connect", "conn": "A"}
        if not self.queues:
            first = self._declare_queue()
            if operator_moves.is_possible(self, first):
                return first
        moves, weights = zip(*self._moves, strict=True)
        while True:
            chosen: Step | None = self.rng.choices(moves, weights)[0](self)
            if chosen is not None and operator_moves.is_possible(self, chosen):
                return chosen

    @property
    def has_more_to_do(self) -> bool:
        """Whether a step must follow before the conversation may end."""
        return bool(self.must_follow)

    def ending(self) -> Iterator[Step]:
        """Count each queue on a channel of its own, then read what it holds; call `learn` in between."""
        for resource in sorted(self.alarms):
            yield {"op": "alarm.clear", "resource": resource}
            yield operator_moves.SHORT_WAIT
        yield {"op": "connect", "conn": "Z"}
        for number, name in enumerate(sorted(self.queues), 1):
            if self._is_stream(name):
                continue
            at = f"Z.{number}"
            yield {"op": "channel.open", "at": at}
            yield {"op": "queue.declare", "at": at, "queue": name, "passive": True}
            while at in self._channels and self._last_count > 0:
                yield {"op": "basic.get", "at": at, "queue": name, "no_ack": True}

    def chance(self, probability: float) -> bool:
        """Say yes with this probability."""
        return self.rng.random() < probability

    def pick(self, things: Iterable[str]) -> str | None:
        """Return one of the things, in no favour of any; None when there is none."""
        ordered = sorted(things)
        return self.rng.choice(ordered) if ordered else None

    def pick_queue_name(self) -> str:
        """Return a queue's name, whether it exists or not."""
        return self.rng.choice(self._queue_names)

    def pick_exchange_name(self) -> str:
        """Return an exchange's name, whether it exists or not."""
        return self.rng.choice(self._exchange_names)

    def _arguments_of(self, queue: str | None) -> Arguments:
        return self.queues.get(queue or "", {}).get("arguments", {})

    def _queue_type(self, queue: str | None) -> str | None:
        return self._arguments_of(queue).get("x-queue-type")

    def _is_single_active(self, queue: str) -> bool:
        return "x-single-active-consumer" in self._arguments_of(queue)

    def _is_stream(self, queue: str | None) -> bool:
        return self._queue_type(queue) == "stream"

    def _may_be_taken(self, queue: str) -> bool:
        """Whether a queue may be made with this name: not while something is unsettled of a classic one that
        is gone (see docs/differences.md)."""
        known = self.queues.get(queue, {})
        is_there = known and not known.get("auto_delete") and "x-expires" not in known.get("arguments", {})
        return bool(is_there or self._types.get(queue)) or not any(
            queue in channel.held_from and (channel.outstanding or channel.mode == "tx")
            for channel in self._channels.values()
        )

    def consumers_of(self, queue: str) -> list[str]:
        """The channels that consume from a queue, once for each consumer."""
        return [
            at
            for at, channel in self._channels.items()
            for name in channel.consumers.values()
            if name == queue
        ]

    def _at(self, op: str, at: str | None = None, **fields: Any) -> Step:
        return {"op": op, "at": at or self.pick(self._channels), **fields}

    # Connections and channels

    def _connect(self) -> Step | None:
        free = set(self._connection_names) - self._connections
        if not free:
            return None
        step = {"op": "connect", "conn": min(free)}
        if self.users and self.chance(0.8):
            step |= {"user": self.pick(self.users), "password": "secret"}
        return step

    def _close_connection(self) -> Step | None:
        if len(self._connections) < 2:
            return None
        name = self.pick(self._connections)
        if not self.may_end([name]):
            return None
        return {"op": self.rng.choice(["close", "drop"]), "conn": name}

    def may_end(self, connections: Collection[str | None]) -> bool:
        """Whether their end has one outcome: which of several channels returns its messages first varies."""
        holding = [at for at, channel in self._channels.items() if channel.outstanding]
        return sum(at.partition(".")[0] in connections for at in holding) <= 1

    def _open_channel(self) -> Step | None:
        every = {f"{name}.{number}" for name in self._connections for number in self._channel_numbers}
        free = every - self._channels.keys()
        return {"op": "channel.open", "at": self.pick(free)} if free else None

    def _close_channel(self) -> Step:
        return self._at("channel.close", reply_code=200, reply_text="bye")

    def _qos(self) -> Step:
        step = self._at("basic.qos", prefetch_count=self.rng.choice([0, 1, 1, 2, 3]))
        if self.chance(0.15):
            step["global"] = True
        return step

    def _select_mode(self) -> Step | None:
        at = self.pick(self._channels)
        assert at is not None
        if self._channels[at].mode and not self.chance(0.05):
            return None
        wants_tx = self.chance(0.7 if self.family is FAMILIES["tx"] else 0.2)
        return self._at("tx.select" if wants_tx else "confirm.select", at)

    def _end_transaction(self) -> Step | None:
        at = self.pick(at for at, channel in self._channels.items() if channel.mode == "tx")
        if at is None:
            return None
        if self._has_short_ttl or self._channels[at].has_short_ttl:
            self.must_follow.append(operator_moves.SHORT_WAIT)
        return self._at("tx.commit" if self.chance(0.75) else "tx.rollback", at)

    # Exchanges and queues

    def _declare_exchange(self) -> Step:
        name = self.pick_exchange_name()
        if name in self.exchanges and self.chance(0.8):
            return {**self.exchanges[name], "at": self.pick(self._channels)}
        kind = self.rng.choice(["direct", "fanout", "topic", "topic", "headers"])
        step = self._at("exchange.declare", exchange=name, type=kind)
        durable = 0.75 if self.family.is_durable else 0.3
        for flag, probability in (("durable", durable), ("auto_delete", 0.1), ("internal", 0.05)):
            if self.chance(probability):
                step[flag] = True
        if self.chance(0.2):
            step["arguments"] = {"alternate-exchange": self.pick_exchange_name()}
        return step

    def _delete_exchange(self) -> Step | None:
        name = self.pick(self.exchanges)
        if name is None:
            return None
        step = self._at("exchange.delete", exchange=name)
        if self.chance(0.4):
            step["if_unused"] = True
        return step

    def _redeclare(self) -> Step | None:
        """Declare what is there once more, with something changed."""
        kind = self.rng.choice(["queues", "exchanges"])
        name = self.pick(getattr(self, kind))
        if name is None:
            return None
        if self._is_stream(name) or not self._may_be_taken(name):
            return None
        known = getattr(self, kind)[name]
        step = {**known, "at": self.pick(self._channels)}
        if self.chance(0.4):
            flag = self.rng.choice(
                ["durable", "auto_delete", "exclusive" if kind == "queues" else "internal"]
            )
            step[flag] = not step.get(flag, False)
        elif kind == "exchanges":
            step["type"] = self.rng.choice(["direct", "topic", "nonsense"])
        else:
            step["arguments"] = self._changed_arguments(known.get("arguments", {}))
        return step

    def _changed_arguments(self, arguments: Arguments) -> Arguments:
        """Drop an argument, or give one another value, of another type now and then."""
        if arguments and self.chance(0.4):
            gone = self.pick(arguments)
            return {name: value for name, value in arguments.items() if name != gone}
        name = self.rng.choice(["x-max-length", "x-message-ttl", "x-overflow", "x-max-priority", "x-expires"])
        if name in ("x-message-ttl", "x-expires"):  # no time that is over before the conversation is
            numbers = [60_000, 70_000, {"$int64": 70_000}, {"$int16": 30_000}]
        else:
            numbers = [1, 7, {"$int64": 7}, {"$int8": 7}]
        return {**arguments, name: self.rng.choice([*numbers, -1, 2.5, "7", "drop-head", True, None])}

    def _declare_server_named(self) -> Step:
        return self._at("queue.declare", queue="", exclusive=self.chance(0.5), auto_delete=self.chance(0.3))

    def _declare_queue(self) -> Step:
        name = self.pick_queue_name()
        if self._is_stream(name) or not self._may_be_taken(name):
            return self._declare_server_named()
        if name in self.queues and self.chance(0.8):
            return {**self.queues[name], "at": self.pick(self._channels)}
        arguments = self.family.queue_arguments(self)
        if self._types.setdefault(name, arguments.get("x-queue-type")) != arguments.get("x-queue-type"):
            return self._declare_server_named()  # a name keeps its type: see docs/differences.md
        step = self._at("queue.declare", queue=name)
        if "x-queue-type" in arguments:
            step["durable"] = True
        else:
            durable = 0.75 if self.family.is_durable else 0.4
            for flag, probability in (("durable", durable), ("auto_delete", 0.08), ("exclusive", 0.04)):
                if self.chance(probability):
                    step[flag] = True
        if arguments:
            step["arguments"] = arguments
        return step

    def _delete_queue(self) -> Step:
        step = self._at("queue.delete", queue=self.pick(self.queues))
        if self.chance(0.3):
            step[self.rng.choice(["if_unused", "if_empty"])] = True
        return step

    def _count(self) -> Step | None:
        name = self.pick(self.queues)
        return None if self._is_stream(name) else self._at("queue.declare", queue=name, passive=True)

    def _purge(self) -> Step | None:
        name = self.pick(self.queues)
        if self.family.is_durable and self._queue_type(name) != "quorum":
            return None  # 4.0.5 takes what comes after it for delivered: see docs/differences.md
        return self._at("queue.purge", queue=name)

    def _source(self) -> str:
        return self.pick({*self.exchanges, "amq.topic", "amq.fanout", "amq.direct", "amq.headers"}) or ""

    def _binding(self, source: str) -> dict[str, Any]:
        kind = self.exchanges[source]["type"] if source in self.exchanges else source[len("amq.") :]
        if kind == "headers":
            match = self.rng.choice(["all", "any", "all-with-x", "any-with-x"])
            wanted = {name: self.rng.randint(1, 2) for name in ("h", "k", "x-k") if self.chance(0.5)}
            return {"routing_key": "", "arguments": {"x-match": match, **wanted}}
        return {"routing_key": self.rng.choice(BINDING_KEYS if kind == "topic" else ROUTING_KEYS)}

    def _bind(self) -> Step:
        source = self._source()
        op = "queue.bind" if self.chance(0.8) else "queue.unbind"
        return self._at(op, queue=self.pick(self.queues), exchange=source, **self._binding(source))

    def _bind_exchange(self) -> Step | None:
        destination, source = self.pick(self.exchanges), self._source()
        if destination is None:
            return None
        op = "exchange.bind" if self.chance(0.8) else "exchange.unbind"
        return self._at(op, destination=destination, source=source, **self._binding(source))

    # Messages

    def _publish(self) -> Step:
        self._serial += 1
        if self.chance(0.6):
            step = self._at("basic.publish", exchange="", routing_key=self.pick(self.queues))
        else:
            step = self._at(
                "basic.publish", exchange=self._source(), routing_key=self.rng.choice(ROUTING_KEYS)
            )
        if self.chance(0.15):
            step["mandatory"] = True
        step["body"] = f"m{self._serial}"
        if properties := self._properties():
            step["properties"] = properties
        if self._has_short_ttl or properties.get("expiration") == str(SHORT_TTL_MS):
            self.must_follow.append(operator_moves.SHORT_WAIT)
        return step

    def _properties(self) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        if self.family.is_durable and self.may_redeliver:
            properties["delivery_mode"] = 2
        elif self.chance(0.4):
            properties["delivery_mode"] = self.rng.choice([1, 2, 2])
        if self.chance(0.6 if self.family in (FAMILIES["priority"], FAMILIES["quorum"]) else 0.15):
            properties["priority"] = self.rng.randint(0, 7)
        if self.chance(0.2):
            properties["headers"] = {
                name: self.rng.randint(1, 2) for name in ("h", "k", "x-k") if self.chance(0.6)
            }
        if self.chance(0.06):
            header = self.rng.choice(["CC", "CC", "BCC"])
            properties.setdefault("headers", {})[header] = [self.pick_queue_name()]
        if self.chance(0.1):
            properties["correlation_id"] = f"id{self._serial}"
        if self.chance(0.3 if self.family is FAMILIES["ttl"] else 0.04):
            properties["expiration"] = self.rng.choice(["0", str(SHORT_TTL_MS), "60000"])
        return properties

    @property
    def _has_short_ttl(self) -> bool:
        ttls = (step.get("arguments", {}).get("x-message-ttl") for step in self.queues.values())
        return SHORT_TTL_MS in ttls

    def _consume(self) -> Step | None:
        at = self.pick(self._channels)
        assert at is not None
        channel = self._channels[at]
        if len(channel.consumers) >= 3:
            return None
        queue = channel.queue or self.pick(self.queues)
        assert queue is not None
        step = self._at("basic.consume", at, queue=queue, consumer_tag=self._tag(channel, queue))
        if self._is_stream(queue):
            step["arguments"] = {"x-stream-offset": self.rng.choice(["first", "last", "next", 0, 1, 3])}
            return step
        if not self.may_redeliver or self.chance(0.25):
            step["no_ack"] = True
        if self.chance(0.03):
            step["exclusive"] = True
        if self.chance(0.15):
            step["arguments"] = {"x-priority": self.rng.randint(-2, 3)}
        return step

    def _tag(self, channel: _Channel, queue: str) -> str:
        """Choose a new tag, or one that is free again.

        None that had to do with the same quorum queue: that breaks 3.10.8, see docs/differences.md.
        """
        self._serial += 1
        is_quorum = self._queue_type(queue) == "quorum"
        free = self.pick(
            tag
            for tag, queues in channel.former.items()
            if tag not in channel.consumers and not (is_quorum and queue in queues)
        )
        return f"c{self._serial}" if free is None or self.chance(0.5) else free

    def _cancel(self) -> Step | None:
        at = self.pick(at for at, channel in self._channels.items() if channel.consumers)
        if at is None:
            return None
        tag = self.pick(self._channels[at].consumers)
        assert tag is not None
        queue = self._channels[at].consumers[tag]
        if self._is_single_active(queue) and len(self.consumers_of(queue)) > 1:
            return None  # it may break a queue of 3.10.8: see docs/differences.md
        return self._at("basic.cancel", at, consumer_tag=tag)

    def _get(self) -> Step:
        step = self._at("basic.get", queue=self.pick(self.queues))
        if not self.may_redeliver or self.chance(0.3):
            step["no_ack"] = True
        return step

    def _settle(self) -> Step | None:
        at = self.pick(at for at, channel in self._channels.items() if channel.outstanding)
        if at is None:
            return None
        channel = self._channels[at]
        tag = channel.outstanding[0] if self.chance(0.5) else self.rng.choice(channel.outstanding)
        op = self.rng.choices(["basic.ack", "basic.nack", "basic.reject"], [5, 2, 2])[0]
        step = self._at(op, at, delivery_tag=tag)
        if op != "basic.reject" and self.chance(0.3):
            step["multiple"] = True
        if op != "basic.ack" and self.chance(0.5) and self._may_return(channel):
            step["requeue"] = True
        if op != "basic.ack" and self._has_short_ttl:
            # A dead letter begins to live now.
            self.must_follow.append(operator_moves.SHORT_WAIT)
        return step

    def _may_return(self, channel: _Channel) -> bool:
        """Whether what the channel gives back has one outcome: not under a shared window, and not where a
        consumer may have to make way, which 4.0.5 forgets then (see docs/differences.md)."""
        return not channel.has_shared_window and not channel.held_from & self._making_way

    def _recover(self) -> Step | None:
        at = self.pick(at for at, channel in self._channels.items() if self._may_return(channel))
        return self._at("basic.recover", at, requeue=True) if at else None

    def _reply(self) -> Step:
        """Ask for direct replies, ask a question, or answer one."""
        self._serial += 1
        known = self.pick(self._reply_names)
        if known is not None and self.chance(0.6):
            return self._at("basic.publish", exchange="", routing_key=known, body=f"m{self._serial}")
        if self.chance(0.4):
            tag = f"c{self._serial}"
            return self._at("basic.consume", queue=REPLY_QUEUE, consumer_tag=tag, no_ack=self.chance(0.9))
        step = self._publish()
        step.setdefault("properties", {})["reply_to"] = REPLY_QUEUE
        return step

    def _wait(self) -> Step:
        return operator_moves.SHORT_WAIT

    # Mistakes

    def _mistake(self) -> Step | None:
        if self.alarms:
            return None
        at = self.pick(self._channels)
        assert at is not None
        mistakes: list[Step] = [
            {"op": "basic.ack", "at": at, "delivery_tag": 999},
            {"op": "basic.reject", "at": at, "delivery_tag": self._channels[at].settled, "requeue": True},
            {"op": "basic.nack", "at": at, "delivery_tag": 0, "multiple": True},
            {"op": "basic.get", "at": at, "queue": "absent"},
            {"op": "basic.consume", "at": at, "queue": "absent", "consumer_tag": "never"},
            {"op": "basic.publish", "at": at, "exchange": "absent", "routing_key": "red", "body": "lost"},
            {"op": "exchange.declare", "at": at, "exchange": "absent", "type": "direct", "passive": True},
            {"op": "exchange.delete", "at": at, "exchange": "amq.direct"},
            {"op": "queue.bind", "at": at, "queue": "absent", "exchange": "amq.topic", "routing_key": "red"},
            {"op": "queue.unbind", "at": at, "queue": "absent", "exchange": "absent", "routing_key": "red"},
            {"op": "queue.delete", "at": at, "queue": "absent"},
            {"op": "basic.cancel", "at": at, "consumer_tag": "unknown"},
            {"op": "tx.commit", "at": at},
            {"op": "basic.get", "at": at, "queue": ""},
            {
                "op": "basic.publish",
                "at": at,
                "exchange": "",
                "body": "x",
                "properties": {"expiration": "soon"},
            },
            {
                "op": "basic.publish",
                "at": at,
                "exchange": "",
                "body": "x",
                "properties": {"user_id": "other"},
            },
            {"op": "queue.declare", "at": at, "queue": "amq.mine"},
            {"op": "exchange.declare", "at": at, "exchange": "", "type": "direct"},
            {"op": "channel.open", "at": at},
        ]
        return self.rng.choice(mistakes)

    # Learning

    def learn(self, step: Step, seen: Seen) -> None:
        """Take note of what a step led to."""
        operator_moves.learn(self, step)
        channel = self._channels.get(step.get("at", ""))
        if step["op"] in ("close", "drop"):
            self._connection_lost(step["conn"])
        elif channel is not None and step["op"] in ("basic.ack", "basic.nack", "basic.reject"):
            tag = step["delivery_tag"]
            channel.settled = tag
            multiple = step.get("multiple", False)
            channel.outstanding = [
                other for other in channel.outstanding if other != tag and not (multiple and other < tag)
            ]
        elif channel is not None and step["op"] == "basic.recover":
            channel.outstanding = []
        elif channel is not None and step.get("properties", {}).get("expiration") == str(SHORT_TTL_MS):
            channel.has_short_ttl = True
        for key, events in seen.items():
            for event in events:
                self._learn_of_names(step, key, event)
                self._learn_of_channel(step, key, event)

    def _learn_of_names(self, step: Step, key: str, event: Event) -> None:
        kind = event["ev"]
        reply_to = event.get("properties", {}).get("reply_to", "")
        if reply_to.startswith("$reply"):
            self._reply_names.add(reply_to)
        if kind == "connected":
            self._connections.add(key)
            self.logins[key] = step.get("user", "")
        elif kind in ("connection.close", "closed"):
            self._connection_lost(key)
        elif kind == "queue.declare-ok":
            self._last_count = event["message_count"]
            if not step.get("passive"):
                # A server-named queue is known by its stable name.
                self.queues[event["queue"]] = {**step, "queue": event["queue"]}
        elif kind == "exchange.declare-ok" and not step.get("passive"):
            self.exchanges[step["exchange"]] = step
        elif kind == "queue.delete-ok":
            self.queues.pop(step["queue"], None)
        elif kind == "exchange.delete-ok":
            self.exchanges.pop(step["exchange"], None)
        elif kind == "channel.close" and (gone := _ABSENT.match(event["reply_text"])):
            (self.queues if gone["kind"] == "queue" else self.exchanges).pop(gone["name"], None)

    def _learn_of_channel(self, step: Step, key: str, event: Event) -> None:
        kind = event["ev"]
        if kind == "channel.open-ok":
            self._channels[key] = _Channel()
        elif kind in ("channel.close", "channel.close-ok"):
            self._channels.pop(key, None)
        channel = self._channels.get(key)
        if channel is None:
            return
        if kind == "basic.consume-ok" and step["queue"] != REPLY_QUEUE:
            tag, queue = event["consumer_tag"], step["queue"]
            channel.consumers[tag] = queue
            channel.former.setdefault(tag, set()).add(queue)
            may_make_way = self._queue_type(queue) == "quorum" and self._is_single_active(queue)
            if may_make_way and "x-priority" in step.get("arguments", {}):
                self._making_way.add(queue)
            (channel.no_ack.add if step.get("no_ack") else channel.no_ack.discard)(tag)
        elif kind in ("basic.cancel", "basic.cancel-ok"):
            channel.consumers.pop(event["consumer_tag"], None)
        elif kind == "basic.deliver" and event["consumer_tag"] not in channel.no_ack:
            channel.outstanding.append(event["delivery_tag"])
            if queue := channel.consumers.get(event["consumer_tag"]):
                channel.held_from.add(queue)
        elif kind == "basic.get-ok":
            self._last_count = event["message_count"]
            if not step.get("no_ack"):
                channel.outstanding.append(event["delivery_tag"])
                channel.held_from.add(step["queue"])
        elif kind == "basic.get-empty":
            self._last_count = 0
        elif kind == "basic.qos-ok" and step.get("global"):
            channel.has_shared_window |= step["prefetch_count"] > 0
        elif kind in ("tx.select-ok", "confirm.select-ok"):
            channel.mode = kind.partition(".")[0]

    def _connection_lost(self, name: str) -> None:
        self._connections.discard(name)
        self._channels = {
            at: channel for at, channel in self._channels.items() if at.partition(".")[0] != name
        }


_ABSENT = re.compile(r"NOT_FOUND - no (?P<kind>queue|exchange) '(?P<name>[^']*)'")

MOVES: dict[str, Callable[[Generator], Step | None]] = {
    "publish": Generator._publish,
    "consume": Generator._consume,
    "cancel": Generator._cancel,
    "get": Generator._get,
    "settle": Generator._settle,
    "recover": Generator._recover,
    "qos": Generator._qos,
    "declare queue": Generator._declare_queue,
    "declare server-named queue": Generator._declare_server_named,
    "redeclare": Generator._redeclare,
    "delete queue": Generator._delete_queue,
    "count": Generator._count,
    "purge": Generator._purge,
    "bind": Generator._bind,
    "declare exchange": Generator._declare_exchange,
    "delete exchange": Generator._delete_exchange,
    "bind exchange": Generator._bind_exchange,
    "connect": Generator._connect,
    "close connection": Generator._close_connection,
    "open channel": Generator._open_channel,
    "close channel": Generator._close_channel,
    "select mode": Generator._select_mode,
    "end transaction": Generator._end_transaction,
    "reply": Generator._reply,
    "wait": Generator._wait,
    "mistake": Generator._mistake,
    **operator_moves.MOVES,
}
