"""What a scenario says and expects, as values: decoding, normalising, comparing.

Owns: the written form of values and bodies, stable names for what differs from run to run, the merging of
publisher confirms, and the text that shows a difference.
Refuses to know: who runs a scenario and how, so that every runner (in-process, over the wire, on a live
server) gives the same transcript for the same behaviour. FORMAT.md specifies it.

Read next: ``replay.py``.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mockbroker.message import PROPERTY_NAMES
from mockbroker.values import (
    ByteArray,
    Decimal,
    Float32,
    Int8,
    Int16,
    Int32,
    Int64,
    LongString,
    Timestamp,
    UInt8,
    UInt16,
    UInt32,
)

Scenario = dict[str, Any]
Step = dict[str, Any]
Event = dict[str, Any]
Seen = dict[str, list[Event]]

SHOWN_BODY_BYTES = 256
"""A longer body is described, not shown."""

WIRE_STEPS = {"frame", "raw"}
HANDSHAKE_OPTIONS = {"mechanism", "protocol_header", "heartbeat", "channel_max", "frame_max", "show"}

_TYPES: dict[str, type] = {
    "$int8": Int8,
    "$uint8": UInt8,
    "$int16": Int16,
    "$uint16": UInt16,
    "$int32": Int32,
    "$uint32": UInt32,
    "$int64": Int64,
    "$float32": Float32,
    "$timestamp": Timestamp,
}
_FORMS = {kind: form for form, kind in _TYPES.items()}
_WIDTH_IS_NOT_SHOWN = (Int32, Int64)


def decode_value(value: Any) -> Any:
    """Return the table value that a scenario's JSON stands for."""
    if isinstance(value, list):
        return [decode_value(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        form, content = next(iter(value.items()))
        if form in _TYPES:
            return _TYPES[form](content)
        if form == "$decimal":
            return Decimal(*content)
        if form == "$bytes":
            return ByteArray(bytes.fromhex(content))
        if form == "$longstr":
            return LongString(bytes.fromhex(content))
    return {key: decode_value(item) for key, item in value.items()}


def show_value(value: Any) -> Any:
    """Return the JSON that shows a table value; the width of plain integers is not shown."""
    kind = type(value)
    if kind in _FORMS:
        plain = float(value) if kind is Float32 else int(value)
        return plain if kind in _WIDTH_IS_NOT_SHOWN else {_FORMS[kind]: plain}
    if kind is Decimal:
        return {"$decimal": list(value)}
    if kind is ByteArray:
        return {"$bytes": value.hex()}
    if kind is LongString:
        return {"$longstr": value.hex()}
    if kind is dict:
        return {key: show_value(item) for key, item in value.items()}
    if kind is list:
        return [show_value(item) for item in value]
    return value


def decode_body(body: Any) -> bytes:
    """Return the bytes that a step's body stands for."""
    if isinstance(body, str):
        return body.encode()
    if "$hex" in body:
        return bytes.fromhex(body["$hex"])
    text, times = body["$repeat"]
    return bytes(text.encode() * times)


def show_body(body: bytes) -> Any:
    """Return the JSON that shows a message's body."""
    if len(body) > SHOWN_BODY_BYTES:
        if body == body[:1] * len(body):
            return {"$repeat": [body[:1].decode("latin-1"), len(body)]}
        return {"$size": len(body)}
    try:
        return body.decode()
    except UnicodeDecodeError:
        return {"$hex": body.hex()}


def decode_properties(properties: dict[str, Any]) -> dict[str, Any] | None:
    """Return a step's properties as a message keeps them: None when there are none."""
    return {name: decode_value(value) for name, value in properties.items() if value is not None} or None


def show_properties(properties: dict[str, Any] | None) -> dict[str, Any]:
    """Return the JSON that shows a message's properties, in the order of the specification."""
    if not properties:
        return {}
    return {name: show_value(properties[name]) for name in PROPERTY_NAMES if name in properties}


_GENERATED = re.compile(r"amq\.(?:gen|ctag)-[\w-]+")
_REPLY_TO = re.compile(r"amq\.rabbitmq\.reply-to\.[\w.+/=-]+")
_PROCESS = re.compile(r"<\d+\.\d+\.\d+>")


class Names:
    """Stable names for what differs from server to server: ``$gen1``, ``$reply1``, ``$pid``, ``$node``."""

    def __init__(self, vhost: str = "/", node: str | None = None) -> None:
        self._vhost = vhost
        self._node = node
        self._stable: dict[str, str] = {}
        self._generated: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def _name(self, generated: str, kind: str) -> str:
        if generated not in self._stable:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            name = f"${kind}{self._counts[kind]}"
            self._stable[generated] = name
            self._generated[name] = generated
        return self._stable[generated]

    def _text(self, text: str) -> str:
        if self._vhost != "/":
            text = text.replace(self._vhost, "/")
        if self._node is not None:
            text = text.replace(self._node, "$node")
        if "amq." in text:
            text = _GENERATED.sub(lambda match: self._name(match.group(), "gen"), text)
            text = _REPLY_TO.sub(lambda match: self._name(match.group(), "reply"), text)
        return _PROCESS.sub("$pid", text) if "<" in text else text

    def normalised(self, value: Any, key: str | None = None) -> Any:
        """Return `value` with stable names in all its texts; `key` is the one it stands under."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return [self.normalised(item, key) for item in value]
        if isinstance(value, dict):
            if key == "x-death" and isinstance(value.get("time"), dict):
                value = {**value, "time": "$time"}
            return {self._text(name): self.normalised(item, name) for name, item in value.items()}
        return value

    def resolved(self, value: Any) -> Any:
        """Return `value` with the generated names in place of the stable ones, as steps need them."""
        if isinstance(value, str):
            return self._generated.get(value, value)
        if isinstance(value, list):
            return [self.resolved(item) for item in value]
        if isinstance(value, dict):
            return {name: self.resolved(item) for name, item in value.items()}
        return value


class _Confirms:
    """The publishes of one channel in confirm mode that wait for their confirm."""

    def __init__(self) -> None:
        self._count = 0
        self.waiting: dict[int, None] = {}

    def published(self) -> None:
        self._count += 1
        self.waiting[self._count] = None

    def settle(self, tag: int, multiple: bool) -> list[int]:
        """Return the tags that one confirm stands for."""
        tags = [waiting for waiting in self.waiting if waiting <= tag] if multiple else [tag]
        for settled in tags:
            self.waiting.pop(settled, None)
        return tags


class Transcript:
    """Collects what a client sees, step by step; keys are connections (``A``) and channels (``A.1``)."""

    def __init__(self, vhost: str = "/", node: str | None = None) -> None:
        self.names = Names(vhost, node)
        self._confirms: dict[str, _Confirms] = {}
        self._local: list[tuple[str, Event]] = []
        self._arrived: list[tuple[str, Event]] = []

    @property
    def is_waiting_for_confirms(self) -> bool:
        """Whether a publish is neither confirmed nor nacked yet."""
        return any(confirms.waiting for confirms in self._confirms.values())

    @property
    def has_arrived(self) -> list[tuple[str, Event]]:
        """What has arrived in this step so far."""
        return self._arrived

    def note(self, key: str, event: Event) -> None:
        """Add what the runner itself has to say about the step; it stands before all that arrives."""
        self._local.append((key, event))

    def arrived(self, connection: str, channel_number: int, event: Event) -> None:
        """Add an event that the broker sent."""
        key = f"{connection}.{channel_number}" if channel_number else connection
        self._arrived.append((key, self._followed(key, event)))

    def _followed(self, key: str, event: Event) -> Event:
        """Keep the books on publisher confirms; one that arrives becomes `confirmed` or `nacked`."""
        kind = event["ev"]
        if kind == "confirm.select-ok":
            self.confirms_begin(key)
        elif kind in ("channel.close", "channel.close-ok"):
            self._confirms.pop(key, None)
        elif kind in ("connection.close", "closed"):
            self.connection_ends(key)
        elif kind in ("basic.ack", "basic.nack"):
            confirms = self._confirms.get(key) or _Confirms()
            tags = confirms.settle(event["delivery_tag"], event["multiple"])
            return {"ev": "confirmed" if kind == "basic.ack" else "nacked", "tags": tags}
        return event

    def confirms_begin(self, key: str) -> None:
        """Take note that a channel is in confirm mode (with no_wait there is no answer that says so)."""
        self._confirms.setdefault(key, _Confirms())

    def publishes(self, key: str) -> None:
        """Take note of a publish on a channel."""
        if key in self._confirms:
            self._confirms[key].published()

    def connection_ends(self, connection: str) -> None:
        """Forget what the channels of a connection waited for."""
        for key in [key for key in self._confirms if key.split(".")[0] == connection]:
            del self._confirms[key]

    def end_step(self) -> Seen:
        """Return what was seen in this step, normalised, and begin the next one."""
        seen: Seen = {}
        for key, event in self._local + self._arrived:
            seen.setdefault(key, []).append(event)
        self._local, self._arrived = [], []
        return {
            key: [self.names.normalised(_tidied(event)) for event in merged(seen[key])]
            for key in sorted(seen)
        }


def _tidied(event: Event) -> Event:
    return {
        name: value
        for name, value in event.items()
        if name != "no_wait" and not name.startswith("reserved_") and not (name == "properties" and not value)
    }


_AFTER_DELIVERIES = ("confirmed", "nacked", "tx.commit-ok")


def merged(events: list[Event]) -> list[Event]:
    """Merge the confirms of one channel and step into one event of each kind.

    It stands where the last of them came; it, and tx.commit-ok, come after the deliveries that directly
    follow, and `confirmed` before a `nacked` beside it: servers promise no order there.
    """
    for kind in ("confirmed", "nacked"):
        places = [place for place, event in enumerate(events) if event["ev"] == kind]
        if places:
            tags = sorted(tag for place in places for tag in events[place]["tags"])
            rest = [None if place in places else event for place, event in enumerate(events)]
            rest[places[-1]] = {"ev": kind, "tags": tags}
            events = [event for event in rest if event is not None]
    ordered: list[Event] = []
    for event in events:
        place = len(ordered)
        if event["ev"] == "basic.deliver":
            while place and ordered[place - 1]["ev"] in _AFTER_DELIVERIES:
                place -= 1
        ordered.insert(place, event)
    for place in range(len(ordered) - 1):
        if (ordered[place]["ev"], ordered[place + 1]["ev"]) == ("nacked", "confirmed"):
            ordered[place], ordered[place + 1] = ordered[place + 1], ordered[place]
    return ordered


def line(value: Any) -> str:
    """Return `value` as one line of JSON."""
    return json.dumps(value, ensure_ascii=False)


def _canonical(value: Any) -> str:
    """The order of keys is no part of an expectation, but the type of a number is."""
    return json.dumps(value, sort_keys=True)


def difference(steps: list[Step], expected: list[Seen], observed: list[Seen]) -> str | None:
    """Return text about the first step that differs (``-`` expected, ``+`` observed), or None."""
    for index, (want, got) in enumerate(zip(expected, observed, strict=False)):
        if _canonical(want) != _canonical(got):
            return "\n".join(_step_difference(index, steps[index], want, got))
    if len(expected) != len(observed):
        return f"{len(expected)} steps expected, {len(observed)} observed"
    return None


def _step_difference(index: int, step: Step, want: Seen, got: Seen) -> Iterator[str]:
    yield f"step {index}: {line(step)}"
    for key in sorted({*want, *got}):
        expected, observed = want.get(key, []), got.get(key, [])
        for place in range(max(len(expected), len(observed))):
            pair = [events[place] if place < len(events) else None for events in (expected, observed)]
            if _canonical(pair[0]) == _canonical(pair[1]):
                continue
            for sign, event in zip("-+", pair, strict=True):
                if event is not None:
                    yield f"    {key} {sign} {line(event)}"


def needs_wire(scenario: Scenario) -> bool:
    """Whether a scenario has frames or options of the handshake, that mean nothing without bytes."""
    return any(
        step["op"] in WIRE_STEPS or (step["op"] == "connect" and HANDSHAKE_OPTIONS & step.keys())
        for step in scenario["steps"]
    )


SUFFIXES = (".json", ".jsonl", ".jsonl.gz")


def expand(paths: Iterable[Path]) -> list[Path]:
    """Return files as they are given; a folder stands for all scenario files below it, ordered by name."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(file for file in path.rglob("*") if file.name.endswith(SUFFIXES))
        else:
            files.append(path)
    return files


def read(path: Path) -> list[Scenario]:
    """Return the scenarios of one .json, .jsonl or .jsonl.gz file.

    Raises ValueError that names the file when it has another ending or is not JSON.
    """
    if not path.name.endswith(SUFFIXES):
        raise ValueError(f"{path} is no scenario file: its name must end in {', '.join(SUFFIXES)}")
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    try:
        if path.suffix == ".json":
            return [json.loads(text)]
        return [json.loads(row) for row in text.splitlines() if row.strip()]
    except ValueError as error:
        raise ValueError(f"{path} is no scenario file: {error}") from error
