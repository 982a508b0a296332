"""The trace: what happens on a broker, in order.

Owns: the events that one listener has collected. Refuses to know: what an event is about (``events.py``), and
who tells of it (``core/recorder.py``).

Read next: ``events.py``, ``broker.py`` (`Broker.tracing`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Self, TypeVar, overload

from mockbroker.events import Event

if TYPE_CHECKING:
    from types import TracebackType

    from mockbroker.core.node import Node

_E = TypeVar("_E", bound=Event)


class Trace(Sequence[Event]):
    """What happens on a node, from the moment that this is made to `stop` or the end of its ``with`` block.

    It is a sequence of events and stays readable afterwards; printed, it has one line for each event. Several
    traces may listen at once.
    """

    def __init__(self, node: Node) -> None:
        self._events: list[Event] = []
        self._node: Node | None = node
        node.add_trace(self)

    def stop(self) -> None:
        """Listen no more. Stopping again does nothing."""
        node, self._node = self._node, None
        if node is not None:
            node.remove_trace(self)

    def record(self, event: Event) -> None:
        """Add an event; the node's recorder does."""
        self._events.append(event)

    def of(self, *kinds: type[_E]) -> list[_E]:
        """Return the events of these classes, in order; a class stands for those derived from it."""
        return [event for event in self._events if isinstance(event, kinds)]

    def json_lines(self) -> Iterator[str]:
        """Return each event as one line of JSON: its class's name under ``event``, then its fields.

        Bodies and byte arrays are shown as UTF-8 text, what is none in it with backslashes.
        """
        import json  # noqa: PLC0415 - a heavy import that only some traces need

        return (json.dumps(event.as_json(), ensure_ascii=False) for event in self._events)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        return self._events[index]

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __str__(self) -> str:
        return "\n".join(map(str, self._events))

    def __repr__(self) -> str:
        state = "listening" if self._node is not None else "stopped"
        return f"<Trace {state}: {len(self._events)} events>"
