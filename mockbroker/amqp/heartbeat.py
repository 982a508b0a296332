"""Signs of life in both directions.

Owns: when a heartbeat frame is due, and when a silent client counts as dead.
Refuses to know: frames and sockets; it looks at two counters of octets.

Half the agreed time without a word from us, and a heartbeat goes out. The client's octets are looked at once
in the agreed time; when they have not changed at two looks in a row, so after two to three times the agreed
time, the client is gone.

Source: RabbitMQ documentation, "Detecting Dead TCP Connections with Heartbeats and TCP Keepalives".

Read next: ``session.py``, ``clock.py``.
"""

from __future__ import annotations

from mockbroker.amqp.frames import HEARTBEAT_FRAME
from mockbroker.clock import NS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from mockbroker.clock import Clock, Timer

    class Link(Protocol):
        """What is watched: both counters grow with each octet."""

        octets_in: int
        octets_out: int

        @property
        def is_full(self) -> bool:
            """Whether the client is not read at present, so that its heartbeats cannot be seen."""

        def write(self, data: bytes) -> None:
            """Write a heartbeat frame."""


class Heartbeat:
    """Sends a heartbeat in `interval_s` seconds of silence, calls `on_silence` when the client has none."""

    def __init__(self, clock: Clock, interval_s: int, link: Link, on_silence: Callable[[], object]) -> None:
        self._clock = clock
        self._interval_ns = interval_s * NS
        self._link = link
        self._on_silence = on_silence
        self._seen_out = link.octets_out
        self._seen_in = link.octets_in
        self._silent_looks = 0
        self._sender = self._after(self._interval_ns // 2, self._look_at_ours)
        self._receiver = self._after(self._interval_ns, self._look_at_theirs)

    def _after(self, delay_ns: int, look: Callable[[], None]) -> Timer:
        return self._clock.schedule(self._clock.now_ns + delay_ns, look, housekeeping=True)

    def _look_at_ours(self) -> None:
        self._sender = self._after(self._interval_ns // 2, self._look_at_ours)
        if self._link.octets_out == self._seen_out:
            self._link.write(HEARTBEAT_FRAME)
        else:
            self._seen_out = self._link.octets_out

    def _look_at_theirs(self) -> None:
        if self._link.octets_in != self._seen_in or self._link.is_full:
            self._seen_in = self._link.octets_in
            self._silent_looks = 0
        elif self._silent_looks:
            self._on_silence()
            return
        else:
            self._silent_looks = 1
        self._receiver = self._after(self._interval_ns, self._look_at_theirs)

    def stop(self) -> None:
        """Look no more."""
        self._sender.cancel()
        self._receiver.cancel()
