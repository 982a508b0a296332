"""What a failed test shows of its broker: as text, and as one HTML page.

Owns: the layout. Refuses to know: pytest (``plugin.py``) and where a page is kept.

Read next: ``views.py``, ``plugin.py``.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from mockbroker import events
from mockbroker.testing.views import QueueView
from mockbroker.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mockbroker.broker import Broker
    from mockbroker.core.node import Node

SHOWN_EVENTS = 200
"""How many of the last events a report shows."""
KEPT_EVENTS = 100_000
"""How many events a fixture keeps for measures and assertions: some tens of megabytes at the most."""


class Recording(Trace):
    """A fixture's trace: it keeps the last events, `KEPT_EVENTS` at least; `forgotten_count` says what is
    gone."""

    def __init__(self, node: Node) -> None:
        self.forgotten_count = 0
        super().__init__(node)

    def record(self, event: events.Event) -> None:
        """Add an event; the node's recorder does."""
        super().record(event)
        if len(self._events) >= 2 * KEPT_EVENTS:
            self.forgotten_count += KEPT_EVENTS
            del self._events[:KEPT_EVENTS]


def text(broker: Broker, trace: Trace) -> str:
    """Return seed, rules, the queues, who holds which message, and the last events.

    Whoever asks holds the broker's lock, if it is shared.
    """
    node = broker.node
    lines = [f"rules {node.rules.name}, seed {node.seed}, {broker.clock.now:g} s on the broker's clock"]
    lines += ["", "queues:", *_or_none(_queue_lines(broker))]
    lines += ["", "unacknowledged:", *_or_none(_holder_lines(broker))]
    shown = trace[-SHOWN_EVENTS:]
    lines += ["", f"the last {len(shown)} of {_count(trace)} events:", *_or_none(map(str, shown))]
    return "\n".join(lines)


def _count(trace: Trace) -> int:
    return len(trace) + getattr(trace, "forgotten_count", 0)


def _or_none(lines: Iterable[str]) -> list[str]:
    return list(lines) or ["(none)"]


def _views(broker: Broker) -> Iterator[tuple[str, QueueView]]:
    for vhost in broker.node.vhosts.values():
        for name in sorted(vhost.queues):
            where = repr(name) if vhost.name == "/" else f"{name!r} of {vhost.name!r}"
            yield where, QueueView(broker, name, vhost.name)


def _queue_lines(broker: Broker) -> Iterator[str]:
    for where, view in _views(broker):
        yield (
            f"{where}: {view.ready_count} ready, {len(view.unacked)} unacknowledged, "
            f"{len(view.consumers)} consumers; {view.waits_because}"
        )


def _holder_lines(broker: Broker) -> Iterator[str]:
    for where, view in _views(broker):
        for held in view.unacked:
            seen = ", and its callback has not run" if held.is_seen is False else ""
            who = f"{held.consumer_tag!r} of " if held.consumer_tag else ""
            channel = held.channel.partition(" -> ")[0] + held.channel[held.channel.rindex(" (") :]
            what = f"{where} #{held.position} {held.body[:40]!r}"
            yield f"{what}: {who}{channel}, tag {held.delivery_tag}{seen}"


_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem; color: #1c1c1c; background: #fff }
pre, td { font: 12px/1.5 ui-monospace, monospace } table { border-collapse: collapse; width: 100% }
td { padding: .1rem .6rem; border-bottom: 1px solid #e4e4e4; vertical-align: top }
td:first-child { text-align: right; white-space: nowrap; color: #666 } input { width: 20rem }
.Published { background: #eef5ff } .Delivered, .Got { background: #eefaf0 } .Acknowledged { color: #197a32 }
.Requeued, .Returned { background: #fff8e3 } .ErrorSent, .Rejected, .Dropped, .Stopped { background: #fdecea }
@media (prefers-color-scheme: dark) { body { color: #e6e6e6; background: #181818 } td { border-color: #333 }
.Published, .Delivered, .Got, .Requeued, .Returned, .ErrorSent, .Rejected, .Dropped, .Stopped
{ color: #111 } }
"""

_FILTER = """
const field = document.querySelector("input"), rows = [...document.querySelectorAll("tr")];
field.addEventListener("input", () => rows.forEach(row => {
  row.hidden = !row.textContent.toLowerCase().includes(field.value.toLowerCase());
}));
"""


def html(title: str, summary: str, trace: Trace) -> str:
    """Return a page of its own with `summary` and every event that the trace holds; a field filters them."""
    rows = "\n".join(
        f'<tr class="{type(event).__name__}"><td>{events.seconds_text(event.time_ns)} s</td>'
        f"<td>{escape(event.text)}</td></tr>"
        for event in trace
    )
    head = f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
    return (
        f"{head}\n<style>{_STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n"
        f"<pre>{escape(summary.partition(_LAST_EVENTS)[0])}</pre>\n"
        f'<p><label>Show events with <input type="search" placeholder="a queue, a tag, a body"></label></p>\n'
        f"<table>{rows}</table>\n<script>{_FILTER}</script></body></html>\n"
    )


_LAST_EVENTS = "\nthe last "
