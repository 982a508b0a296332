"""A connection as a program sees it: pika's ``BlockingConnection``, in virtual time.

Owns: its channels as the program sees them, its inbox, and the timers that die with it.
Refuses to know: AMQP's rules (``core/connection.py``).

Read next: ``channel.py``, ``broker.py``.
"""

from __future__ import annotations

from _thread import get_ident
from collections import deque

from mockbroker import exceptions
from mockbroker.channel import Channel, checked_callable
from mockbroker.clock import to_ns
from mockbroker.errors import AMQPError, HardError
from mockbroker.inbox import Inbox
from mockbroker.message import copy_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Self

    from mockbroker.broker import Broker
    from mockbroker.clock import Timer

CAPABILITIES = {
    "publisher_confirms": True,
    "exchange_exchange_bindings": True,
    "basic.nack": True,
    "consumer_cancel_notify": True,
    "connection.blocked": True,
    "authentication_failure_close": True,
}
"""What a program on the native API can do, as pika announces it."""


class Connection:
    """A connection to a `Broker`. Make one with `Broker.connect`."""

    def __init__(
        self,
        broker: Broker,
        *,
        username: str,
        password: str,
        virtual_host: str,
        client_properties: dict[str, Any] | None,
        peer_host: str,
    ) -> None:
        self.broker = broker
        self.inbox = Inbox(broker.server.order)
        self.close_reason: exceptions.AMQPError | None = None
        self._timers: dict[Timer, None] = {}
        self._has_left = False
        self._channels: dict[int, Channel] = {}
        self._on_blocked: list[Callable[..., object]] = []
        self._on_unblocked: list[Callable[..., object]] = []
        self.held: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        """What the program sent while the connection was blocked: the broker reads it afterwards."""
        node = broker.node
        announced = {
            "product": "mockbroker",
            "capabilities": CAPABILITIES,
            **copy_table(client_properties or {}),
        }
        try:
            user = node.authenticate(username, password, peer_host)
        except HardError as error:
            raise exceptions.ProbableAuthenticationError(str(error)) from None
        try:
            self.core = node.open_connection(self, user, virtual_host, announced, peer_host=peer_host)
        except HardError as error:
            raise exceptions.ProbableAccessDeniedError(str(error)) from None

    # -- what the core tells

    def connection_closed(self, error: HardError) -> None:
        """connection.close by the broker, of its own accord."""
        self.close_reason = exceptions.ConnectionClosedByBroker(error.reply_code, error.reply_text)
        self._ended()

    def link_lost(self) -> None:
        """The link died: the broker crashed."""
        self.close_reason = exceptions.StreamLostError("the link to the broker was lost")
        self._ended()

    def blocked(self, reason: str) -> None:
        """connection.blocked: the broker is short of something, and publishes wait."""
        self.inbox.put((self._tell, (self._on_blocked, reason)))

    def unblocked(self) -> None:
        """connection.unblocked: what was held goes on."""
        self.inbox.put((self._tell, (self._on_unblocked,)))
        self.broker.node.next_turn(self._go_on)

    def _go_on(self) -> None:
        """Do the first thing that was held, and the next one when all that this one caused is done."""
        if self.held and not self.core.is_blocked:
            call, args = self.held.popleft()
            call(*args)
            self.broker.node.next_turn(self._go_on)
        else:
            self.broker.node.input_drained()

    def await_unblocked(self) -> None:
        """Let time pass until the broker reads from this connection again, serving everybody.

        Raises `WouldBlockForever` when nothing that is scheduled ends the alarm, `ReentrancyError` in a
        callback.
        """
        if self.core.is_blocked:
            self.broker.wait(
                lambda: not self.core.is_blocked,
                None,
                f"connection {self.core.name} is blocked: the broker reads nothing from it while it is "
                f"low on {' & '.join(self.broker.node.alarms)}",
            )

    def refused(self, error: AMQPError) -> exceptions.AMQPError:
        """An operation was refused in a way that closes the connection: close it; return the exception
        that says so."""
        self.close_reason = exceptions.ConnectionClosedByBroker(error.reply_code, error.reply_text)
        self.core.refuse(None, error)
        self.broker.node.drain()
        self._ended()
        return self.close_reason

    def _tell(self, callbacks: list[Callable[..., object]], *args: Any) -> None:
        for callback in list(callbacks):
            callback(self, *args)

    def _ended(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self.inbox.clear()

    # -- channels

    def channel(self, channel_number: int | None = None) -> Channel:
        """Open a channel; without a number the lowest that is free is taken.

        Raises ValueError for a number out of range or in use, `ConnectionWrongStateError` on a closed
        connection, `ConnectionClosedByBroker` 530 above the user's limit of channels.
        """
        if get_ident() != self.broker.owner:
            return self.broker.enter(self.channel, channel_number)  # type: ignore[no-any-return]  # as declared
        self._check_open()
        most = self.broker.node.rules.channel_max
        if channel_number is None:
            channel_number = next((n for n in range(1, most + 1) if n not in self.core.channels), None)
            if channel_number is None:
                raise ValueError(f"all {most} channels of this connection are in use")
        elif not 1 <= channel_number <= most:
            raise ValueError(f"channel_number must be from 1 to {most}, not {channel_number!r}")
        elif channel_number in self.core.channels:
            raise ValueError(f"channel {channel_number} of this connection is in use")
        try:
            channel = Channel(self, channel_number)
        except HardError as error:
            raise self.refused(error) from None
        self._channels[channel_number] = channel
        return channel

    @property
    def is_open(self) -> bool:
        """Whether the connection can be used."""
        return self.core.is_open and not self._has_left

    @property
    def is_closed(self) -> bool:
        """The opposite of `is_open`."""
        return not self.is_open

    def _check_open(self) -> None:
        if not self.is_open:
            raise exceptions.ConnectionWrongStateError("Connection is closed.")

    # -- time

    def process_data_events(self, time_limit: float | None = 0) -> None:
        """Serve what has arrived on this connection.

        With a `time_limit` (virtual seconds, None: without limit) wait until something arrives, serving
        everybody meanwhile. Raises `ReentrancyError` inside a callback, `WouldBlockForever` for a wait that
        nothing can end.
        """
        broker = self.broker
        if get_ident() != broker.owner:
            broker.enter(self.process_data_events, time_limit)
            return
        broker.check_not_serving("process_data_events")
        self._check_not_lost()
        self._check_open()
        before = self.inbox.served
        broker.serve(self.inbox)
        if self.inbox.served == before and time_limit != 0:
            deadline_ns = (
                None if time_limit is None else broker.clock.now_ns + _checked_ns("time_limit", time_limit)
            )
            broker.wait(
                lambda: self.inbox.served > before or not self.is_open,
                deadline_ns,
                "process_data_events waits for something to arrive",
            )
        self._check_not_lost()

    def sleep(self, duration: float) -> None:
        """Let `duration` virtual seconds pass, serving everybody."""
        if get_ident() != self.broker.owner:
            self.broker.enter(self.sleep, duration)
            return
        deadline_ns = self.broker.clock.now_ns + _checked_ns("duration", duration)
        self._check_not_lost()
        self._check_open()
        self.broker.wait(lambda: not self.is_open, deadline_ns, "sleep")
        self._check_not_lost()

    def _check_not_lost(self) -> None:
        """Raise what has closed the connection, unless that was the program: for those who wait on it."""
        by_program = isinstance(self.close_reason, exceptions.ConnectionClosedByClient)
        if not self.is_open and self.close_reason is not None and not by_program:
            raise self.close_reason

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call `callback(*args)` in `delay` virtual seconds, unless this connection has ended by then.

        This is how a worker is busy for a while: one that dies acknowledges nothing. Returns a timer with
        ``cancel()``.
        """
        if get_ident() != self.broker.owner:
            return self.broker.enter(self.call_later, delay, callback, *args)  # type: ignore[no-any-return]  # a Timer
        self._check_open()
        checked_callable("callback", callback)
        timer = self.broker.clock.call_later(delay, self._fire, callback, args)
        timer.args = (timer, callback, args)
        self._timers[timer] = None
        return timer

    def _fire(self, timer: Timer, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        del self._timers[timer]
        callback(*args)

    def remove_timeout(self, timer: Timer) -> None:
        """Take a `call_later` back."""
        self._timers.pop(timer, None)
        timer.cancel()

    def add_callback_threadsafe(self, callback: Callable[[], object]) -> None:
        """Have `callback()` called when this connection is served next: the one call that any thread may
        make."""
        checked_callable("callback", callback)
        self._check_open()
        self.inbox.put((callback, ()))

    # -- notices

    def add_on_connection_blocked_callback(self, callback: Callable[..., object]) -> None:
        """Have `callback(connection, reason)` called when the broker blocks publishers."""
        self._on_blocked.append(checked_callable("callback", callback))

    def add_on_connection_unblocked_callback(self, callback: Callable[..., object]) -> None:
        """Have `callback(connection)` called when publishers may go on."""
        self._on_unblocked.append(checked_callable("callback", callback))

    def update_secret(self, new_secret: str, reason: str) -> None:
        """Renew the secret of a user who logs in with a token; with passwords it has no effect, as on
        RabbitMQ."""
        if not isinstance(new_secret, str) or not isinstance(reason, str):
            raise TypeError(f"new_secret and reason must be strings, not {new_secret!r} and {reason!r}")
        self._check_open()

    # -- the end

    def close(self, reply_code: int = 200, reply_text: str = "Normal shutdown") -> None:
        """Close the connection: channels end, what is unacknowledged returns, exclusive queues go.

        Raises `ConnectionWrongStateError` when it is closed already.
        """
        if get_ident() != self.broker.owner:
            self.broker.enter(self.close, reply_code, reply_text)
            return
        self._check_open()
        self._leave(exceptions.ConnectionClosedByClient(reply_code, reply_text))

    def drop(self) -> None:
        """Let the link die without a goodbye, as when a worker's process is killed. Dropping it again does
        nothing."""
        if get_ident() != self.broker.owner:
            self.broker.enter(self.drop)
            return
        if self.is_open:
            self._leave(exceptions.StreamLostError("the link was dropped"))

    def _leave(self, reason: exceptions.AMQPError) -> None:
        """End the connection; one that is blocked ends once the broker has read what the program had sent."""
        self.close_reason = reason
        self._ended()
        if self.core.is_blocked:
            self._has_left = True
            for channel in self.core.channels.values():
                for consumer in channel.consumers.values():
                    consumer.context = None  # nobody is there to see a delivery
            self.held.append((self.core.close, ()))
        else:
            self.core.close()
        self.broker.node.drain()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_open:
            self.close()

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<Connection {self.core.name} {state}: {len(self.core.channels)} channels>"


def _checked_ns(what: str, seconds: float) -> int:
    ns = to_ns(seconds)
    if ns < 0:
        raise ValueError(f"{what} must not be negative, not {seconds!r}")
    return ns
