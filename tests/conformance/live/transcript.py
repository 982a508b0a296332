"""From the events that arrived to the transcript: one object per step, free of what differs from run to run.

Owns the names that the server made up and the publisher confirms that are outstanding. It sends nothing.
Next: `runner.py` (who collects the events), `../FORMAT.md` (the rules of comparison).
"""

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .client import Event

Seen = dict[str, list[Event]]

_MADE_UP = re.compile(
    r"(?P<reply>amq\.rabbitmq\.reply-to\.[\w.+/=-]+)|(?P<gen>amq\.(?:gen|ctag)-[\w-]+)|(?P<pid><\d+\.\d+\.\d+>)"
)
_SETTLED_LATE = {"confirmed", "nacked", "tx.commit-ok"}


class Names:
    """The stable names (`$gen1`, `$reply1`) of what the server named, in order of first sight."""

    def __init__(self, vhost: str, node: str) -> None:
        self._vhost = vhost
        self._node = node
        self._short: dict[str, str] = {}
        self._real: dict[str, str] = {}

    def shown(self, value: Any) -> Any:
        """A value as the transcript has it."""
        match value:
            case str():
                return _MADE_UP.sub(
                    self._stable, value.replace(self._vhost, "/").replace(self._node, "$node")
                )
            case list():
                return [self.shown(item) for item in value]
            case dict():
                return {self.shown(key): self.shown(item) for key, item in value.items()}
        return value

    def _stable(self, match: re.Match[str]) -> str:
        kind, real = match.lastgroup, match.group()
        if kind == "pid":
            return "$pid"
        if real not in self._short:
            number = 1 + sum(short.startswith(f"${kind}") for short in self._real)
            self._short[real] = f"${kind}{number}"
            self._real[self._short[real]] = real
        return self._short[real]

    def real(self, value: Any) -> Any:
        """The other way, for a value in a step."""
        match value:
            case str():
                return self._real.get(value, value)
            case list():
                return [self.real(item) for item in value]
            case dict():
                return {key: self.real(item) for key, item in value.items()}
        return value


class Confirms:
    """Which publishes still wait for their confirm, per channel (`"A.1"`)."""

    def __init__(self) -> None:
        self._next_tag: dict[str, int] = {}
        self._waiting: dict[str, set[int]] = {}

    @property
    def outstanding(self) -> bool:
        """Whether any publish waits."""
        return any(self._waiting.values())

    def select(self, channel: str) -> None:
        """The channel is in confirm mode from here on."""
        self._next_tag.setdefault(channel, 1)
        self._waiting.setdefault(channel, set())

    def publish(self, channel: str) -> None:
        """A publish is sent; it gets the next tag where the channel is in confirm mode."""
        if channel in self._next_tag:
            self._waiting[channel].add(self._next_tag[channel])
            self._next_tag[channel] += 1

    def forget(self, prefix: str) -> None:
        """A channel (`"A.1"`) or all channels of a connection (`"A"`) are gone."""
        for channel in list(self._next_tag):
            if channel == prefix or channel.startswith(prefix + "."):
                del self._next_tag[channel], self._waiting[channel]

    def settle(self, channel: str, event: Event) -> Event:
        """What a server's basic.ack or basic.nack says, with the tags that it stands for."""
        waiting = self._waiting.get(channel, set())
        tag = event["delivery_tag"]
        tags = sorted(t for t in waiting if t <= tag) if event["multiple"] else [tag]
        waiting.difference_update(tags)
        return {"ev": "confirmed" if event["ev"] == "basic.ack" else "nacked", "tags": tags}


def seen(events: Iterable[tuple[str, Event]], names: Names) -> Seen:
    """The transcript of one step, from `(channel, event)` pairs in order of arrival."""
    per_channel: Seen = {}
    for key, event in events:
        per_channel.setdefault(key, []).append(event)
    # Sorted: names are given in the order of the channels.
    return {
        key: [names.shown(_tidy(event)) for event in _in_order(per_channel[key])]
        for key in sorted(per_channel)
    }


def _tidy(event: Event) -> Event:
    """Without what is never shown, and with the times of deaths masked."""
    event = {
        key: value
        for key, value in event.items()
        if key != "no_wait" and not (key == "properties" and not value)
    }
    headers = event.get("properties", {}).get("headers", {})
    if isinstance(headers.get("x-death"), list):
        deaths = [_without_time(death) for death in headers["x-death"]]
        event["properties"] = event["properties"] | {"headers": headers | {"x-death": deaths}}
    return event


def _without_time(death: Any) -> Any:
    if isinstance(death, Mapping) and isinstance(death.get("time"), Mapping):
        return {**death, "time": "$time"}
    return death


def _in_order(events: list[Event]) -> list[Event]:
    """One channel's events of a step, with confirms merged and put where they cannot race with deliveries."""
    merged = _merge(_merge(events, "confirmed"), "nacked")
    ordered: list[Event] = []
    for event in merged:
        place = len(ordered)
        if event["ev"] == "basic.deliver":
            while place and ordered[place - 1]["ev"] in _SETTLED_LATE:
                place -= 1
        ordered.insert(place, event)
    for i, (first, second) in enumerate(itertools.pairwise(ordered)):
        if (first["ev"], second["ev"]) == ("nacked", "confirmed"):
            ordered[i : i + 2] = [second, first]
            break
    return ordered


def _merge(events: list[Event], kind: str) -> list[Event]:
    """All events of the kind as one, where the last of them stood."""
    places = [i for i, event in enumerate(events) if event["ev"] == kind]
    if not places:
        return events
    tags = sorted(tag for i in places for tag in events[i]["tags"])
    return [
        {"ev": kind, "tags": tags} if i == places[-1] else event
        for i, event in enumerate(events)
        if i == places[-1] or event["ev"] != kind
    ]
