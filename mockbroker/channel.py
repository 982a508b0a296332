"""A channel as a program sees it: pika's ``BlockingChannel``, in virtual time.

Owns: the callbacks of consumers, and the translation of refusals into exceptions.
Refuses to know: AMQP's rules; each method is one operation of the core (``core/channel.py``).

A delivery waits in the connection's inbox until it is served; see ``docs/internals.md``, "When things
happen".

Read next: ``core/channel.py``, ``inbox.py``.
"""

from __future__ import annotations

from _thread import get_ident
from collections import deque

from mockbroker import exceptions
from mockbroker.answers import CancelledByBroker, Frame, Returned, ReturnedMessage
from mockbroker.clock import to_ns
from mockbroker.errors import AMQPError, SoftError
from mockbroker.inbox import ChannelInbox
from mockbroker.message import (
    BasicProperties,
    Delivery,
    GetOk,
    check_short_string,
    copy_table,
    properties_of,
    snapshot,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Any, Self

    from mockbroker.connection import Connection
    from mockbroker.core.replies import Reply
    from mockbroker.message import Message

    OnMessage = Callable[["Channel", Delivery, BasicProperties, bytes], object]
    Fetched = tuple[Delivery | None, BasicProperties | None, bytes | None]


class Channel:
    """A channel of a `Connection`. Methods and their arguments are those of pika's ``BlockingChannel``.

    Whatever the broker refuses raises `ChannelClosedByBroker` (the channel is closed then) or
    `ConnectionClosedByBroker`; a call on a closed channel raises `ChannelWrongStateError`.
    """

    def __init__(self, connection: Connection, number: int) -> None:
        self.connection = connection
        self.channel_number = number
        self._broker = connection.broker
        self._node = connection.broker.node
        self._inbox = connection.inbox
        self._sink = ChannelInbox(self, connection.inbox, connection.broker.server.order)
        self._core = connection.core.open_channel(number, self._sink)
        self._on_return: list[Callable[..., object]] = []
        self._on_cancel: list[Callable[..., object]] = []
        self._close_reason: exceptions.AMQPError | None = None
        self._generator: _Generator | None = None

    # -- the state

    @property
    def is_open(self) -> bool:
        """Whether the channel can be used."""
        return self._core.is_open

    @property
    def is_closed(self) -> bool:
        """The opposite of `is_open`."""
        return not self._core.is_open

    @property
    def consumer_tags(self) -> list[str]:
        """The tags of the consumers on this channel."""
        return self._core.consumer_tags

    def _call(self, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Do one operation of the core and what follows from it; translate its refusal."""
        if get_ident() != self._broker.owner:
            return self._broker.enter(self._call, operation, *args, **kwargs)
        if not self._core.is_open:
            raise self._wrong_state()
        if self._core.connection.is_blocked:
            self.connection.await_unblocked()
        try:
            reply = operation(*args, **kwargs)
        except AMQPError as error:
            raise self._refused(error) from None
        if self._node.work:
            self._node.drain()
        return reply

    def _tell(self, operation: Callable[..., None], /, *args: Any) -> None:
        """Do one operation that has no reply: what the broker does not read now waits."""
        if get_ident() != self._broker.owner:
            self._broker.enter(self._tell, operation, *args)
        elif self._core.is_open and self._core.connection.is_blocked:
            self._hold(operation, *args)
        else:
            self._call(operation, *args)

    def _wrong_state(self) -> exceptions.AMQPError:
        return exceptions.ChannelWrongStateError("Channel is closed.")

    def _refused(self, error: AMQPError) -> exceptions.AMQPError:
        """Close what the error closes; return the exception that tells the program."""
        core = self._core
        error = core.connection.told(error)
        if isinstance(error, SoftError):
            self._close_reason = exceptions.ChannelClosedByBroker(error.reply_code, error.reply_text)
            core.connection.refuse(core, error)
            self._node.drain()
            return self._close_reason
        core.connection.give_up(core)
        return self.connection.refused(error)

    def closed_by_broker(self, error: SoftError) -> None:
        """The broker has closed the channel of its own accord: who waits on it is told."""
        self._close_reason = exceptions.ChannelClosedByBroker(error.reply_code, error.reply_text)

    def _check_not_closed(self) -> None:
        """Raise what has closed the channel, unless that was the program: for those who wait on it."""
        reason = self._close_reason or self.connection.close_reason
        by_program = (exceptions.ChannelClosedByClient, exceptions.ConnectionClosedByClient)
        if not self._core.is_open and reason is not None and not isinstance(reason, by_program):
            raise reason

    # -- publishing

    def basic_publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes | str,
        properties: Any = None,
        mandatory: bool = False,
    ) -> None:
        """Publish a message; a string body is encoded as UTF-8. Routing, queueing and dispatch are done when
        it returns.

        Raises `ChannelClosedByBroker` 404 (no such exchange), 403, 406; after `confirm_delivery` also
        `NackError` (refused) and `UnroutableError` (mandatory, and no queue for it). Source: basic.publish.
        """
        broker = self._broker
        if get_ident() != broker.owner:
            broker.enter(self.basic_publish, exchange, routing_key, body, properties, mandatory)
            return
        core = self._core
        if not core.is_open:
            raise self._wrong_state()
        if type(body) is not bytes:
            body = _encoded(body)
        if properties is not None:
            properties = snapshot(properties)
        if self._node.alarms and core.connection.block():
            self._hold(core.basic_publish, exchange, routing_key, body, properties, mandatory)
        else:
            try:
                core.basic_publish(exchange, routing_key, body, properties, mandatory)
            except AMQPError as error:
                raise self._refused(error) from None
            except TypeError:
                check_short_string("exchange", exchange)
                check_short_string("routing_key", routing_key)
                raise
            if self._node.work:
                self._node.drain()
        if core.confirming:
            self._await_confirm()

    def _hold(self, operation: Callable[..., Any], /, *args: Any) -> None:
        """Keep what the broker does not read while the connection is blocked; it is done afterwards."""
        self.connection.held.append((self._do_held, (operation, *args)))

    def _do_held(self, operation: Callable[..., Any], /, *args: Any) -> None:
        """Do what was held; what is refused closes the channel, and the next call says so."""
        if self._core.is_open:
            try:
                operation(*args)
            except AMQPError as error:
                self._refused(error)

    def _await_confirm(self) -> None:
        sink = self._sink
        self.connection.await_unblocked()
        self._check_not_closed()
        self._node.input_drained()
        returned, sink.returned_messages = sink.returned_messages, []
        nacked, sink.nacked_tags = sink.nacked_tags, []
        if nacked or returned:
            messages = [
                ReturnedMessage(
                    Returned(312, "NO_ROUTE", message[0], message[1]), properties_of(message), message[2]
                )
                for message in returned
            ]
            raise exceptions.NackError(messages) if nacked else exceptions.UnroutableError(messages)

    def confirm_delivery(self) -> None:
        """Switch publisher confirms on: from now on a publish returns once the broker has taken the
        message over."""
        self._call(self._core.confirm_select)

    def add_on_return_callback(self, callback: Callable[..., object]) -> None:
        """Have `callback(channel, method, properties, body)` called for each message that comes back."""
        self._on_return.append(checked_callable("callback", callback))

    def tell_returned(self, reply_code: int, reply_text: str, message: Message) -> None:
        """Call the return callbacks; the connection's inbox does."""
        if not self._core.confirming:
            self._sink.returned_messages.clear()
        method = Returned(reply_code, reply_text, message[0], message[1])
        for callback in list(self._on_return):
            callback(self, method, properties_of(message), message[2])

    # -- consuming

    def basic_qos(self, prefetch_size: int = 0, prefetch_count: int = 0, global_qos: bool = False) -> None:
        """Limit how many unacknowledged messages consumers to come may hold, each (or all of the channel:
        `global_qos`).

        `prefetch_count` is from 0 (without limit) to 65535. Source: RabbitMQ documentation, "Consumer
        Prefetch".
        """
        if not isinstance(prefetch_count, int) or not 0 <= prefetch_count <= 65535:
            raise ValueError(f"prefetch_count must be an integer from 0 to 65535, not {prefetch_count!r}")
        self._call(self._core.basic_qos, prefetch_size, prefetch_count, global_qos)

    def basic_consume(
        self,
        queue: str,
        on_message_callback: OnMessage,
        auto_ack: bool = False,
        exclusive: bool = False,
        consumer_tag: str | None = None,
        arguments: dict[str, Any] | None = None,
    ) -> str:
        """Have `on_message_callback(channel, method, properties, body)` called for the queue's messages;
        return the tag.

        Raises `DuplicateConsumerTag`; `ChannelClosedByBroker` 404, 403 (exclusive use), 405 (another
        connection's queue), 406.
        """
        checked_callable("on_message_callback", on_message_callback)
        return self._consume(queue, on_message_callback, auto_ack, exclusive, consumer_tag, arguments)

    def _consume(
        self,
        queue: str,
        callback: Callable[..., object],
        auto_ack: bool,
        exclusive: bool,
        consumer_tag: str | None,
        arguments: dict[str, Any] | None,
    ) -> str:
        check_short_string("queue", queue)
        tag = check_short_string("consumer_tag", consumer_tag or "")
        if self._core.consumer_tagged(tag) is not None:
            raise exceptions.DuplicateConsumerTag(tag)
        reply = self._call(
            self._core.basic_consume,
            queue,
            tag,
            no_ack=bool(auto_ack),
            exclusive=bool(exclusive),
            arguments=_table(arguments),
            context=(self, callback),
        )
        return str(reply.consumer_tag)

    def basic_cancel(self, consumer_tag: str) -> list[tuple[Delivery, BasicProperties, bytes]]:
        """End a consumer. What it was sent and has not seen is returned to the queue, or, with auto_ack,
        to the caller."""
        if get_ident() != self._broker.owner:
            return self._broker.enter(self.basic_cancel, consumer_tag)  # type: ignore[no-any-return]  # as declared
        consumer = self._core.consumer_tagged(consumer_tag)
        self._call(self._core.basic_cancel, consumer_tag)
        if consumer is None:
            return []
        unseen = self._inbox.unseen(consumer)
        consumer.context = None
        if not consumer.ack_required:
            return [(each, properties_of(each.message), each.message[2]) for each in unseen]
        for delivery in unseen:
            self._call(self._core.basic_nack, delivery.delivery_tag, requeue=True)
        return []

    def add_on_cancel_callback(self, callback: Callable[..., object]) -> None:
        """Have `callback(frame)` called when the broker cancels a consumer; ``frame.method.consumer_tag``
        says which."""
        self._on_cancel.append(checked_callable("callback", callback))

    def tell_cancelled(self, consumer_tag: str) -> None:
        """Call the cancel callbacks; the connection's inbox does."""
        if self._generator is not None and self._generator.tag == consumer_tag:
            self._generator.is_cancelled = True
        for callback in list(self._on_cancel):
            callback(Frame(self.channel_number, CancelledByBroker(consumer_tag)))

    def basic_get(self, queue: str, auto_ack: bool = False) -> Fetched:
        """Fetch one message: (method, properties, body), or three times None when nothing is ready."""
        reply = self._call(self._core.basic_get, check_short_string("queue", queue), bool(auto_ack))
        if not isinstance(reply, GetOk):
            return None, None, None
        return reply, properties_of(reply.message), reply.message[2]

    def start_consuming(self) -> None:
        """Serve everybody until this channel has no consumer left: `stop_consuming` ends it.

        Raises `WouldBlockForever` when nothing that is scheduled anywhere could end it, `ReentrancyError`
        inside a callback, and what closed the channel, if something did.
        """
        if not self._core.is_open:
            raise self._wrong_state()
        self._broker.wait(
            lambda: not self._core.consumer_tags or not self._core.is_open,
            None,
            f"start_consuming of channel {self.channel_number} waits for messages",
        )
        self._check_not_closed()

    def stop_consuming(self, consumer_tag: str | None = None) -> None:
        """Cancel one consumer, or all of this channel."""
        tags = self.consumer_tags if consumer_tag is None else [consumer_tag]
        for tag in tags:
            self.basic_cancel(tag)

    def consume(
        self,
        queue: str,
        auto_ack: bool = False,
        exclusive: bool = False,
        arguments: dict[str, Any] | None = None,
        inactivity_timeout: float | None = None,
        consumer_tag: str | None = None,
    ) -> Iterator[Fetched]:
        """Iterate over the queue's messages: (method, properties, body).

        After `inactivity_timeout` virtual seconds without one it yields three times None. `cancel` ends it.
        Without a limit, a wait that nothing can end raises `WouldBlockForever`.
        """
        generator = self._generator
        key = (queue, bool(auto_ack), bool(exclusive))
        if generator is None:
            generator = _Generator(key)
            generator.tag = self._consume(queue, generator.put, auto_ack, exclusive, consumer_tag, arguments)
            self._generator = generator
        elif generator.key != key:
            raise ValueError(
                f"this channel consumes with {generator.key!r} already, not with {key!r}: cancel first"
            )
        return self._generate(generator, inactivity_timeout)

    def _generate(self, generator: _Generator, inactivity_timeout: float | None) -> Iterator[Fetched]:
        while self._generator is generator:
            if not generator.waiting and not generator.is_cancelled:
                deadline_ns = None
                if inactivity_timeout is not None:
                    deadline_ns = self._broker.clock.now_ns + to_ns(inactivity_timeout)
                self._broker.wait(
                    lambda: bool(generator.waiting) or generator.is_cancelled or not self._core.is_open,
                    deadline_ns,
                    f"consume({generator.key[0]!r}) waits for a message",
                )
            self._check_not_closed()
            if not self._core.is_open:
                self._generator = None
            elif generator.waiting:
                yield generator.waiting.popleft()
            elif generator.is_cancelled:
                self._generator = None
            else:
                yield None, None, None

    def cancel(self) -> int:
        """End the iteration of `consume`; return how many messages went back to the queue unseen."""
        generator, self._generator = self._generator, None
        if generator is None:
            return 0
        unseen = [each[0] for each in generator.waiting]
        generator.waiting.clear()
        if not self._core.is_open:
            return 0
        auto_ack = generator.key[1]
        lost = self.basic_cancel(generator.tag)
        if not auto_ack:
            for delivery in unseen:
                self.basic_nack(delivery.delivery_tag, requeue=True)
        return len(unseen) + len(lost)

    def get_waiting_message_count(self) -> int:
        """How many messages `consume` could yield without waiting."""
        return len(self._generator.waiting) if self._generator is not None else 0

    # -- settling

    def basic_ack(self, delivery_tag: int = 0, multiple: bool = False) -> None:
        """Acknowledge a delivery, or with `multiple` all up to it (0: all there are).

        Raises `ChannelClosedByBroker` 406 for a tag that is not outstanding.
        """
        if get_ident() != self._broker.owner:
            self._broker.enter(self.basic_ack, delivery_tag, multiple)
            return
        core = self._core
        if not core.is_open:
            raise self._wrong_state()
        if core.connection.is_blocked:
            self._hold(core.basic_ack, delivery_tag, multiple)
            return
        try:
            core.basic_ack(delivery_tag, multiple)
        except AMQPError as error:
            raise self._refused(error) from None
        if self._node.work:
            self._node.drain()

    def basic_nack(self, delivery_tag: int = 0, multiple: bool = False, requeue: bool = True) -> None:
        """Return a delivery to its place (`requeue`), or drop it; with `multiple` all up to it."""
        self._tell(self._core.basic_nack, delivery_tag, multiple, requeue)

    def basic_reject(self, delivery_tag: int = 0, requeue: bool = True) -> None:
        """Return a delivery to its place in the queue (`requeue`), or drop it."""
        self._tell(self._core.basic_reject, delivery_tag, requeue)

    def basic_recover(self, requeue: bool = False) -> None:
        """Have everything that is unacknowledged delivered again. RabbitMQ wants `requeue` (else 540)."""
        self._call(self._core.basic_recover, requeue)

    # -- queues and exchanges

    def queue_declare(
        self,
        queue: str,
        passive: bool = False,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: dict[str, Any] | None = None,
    ) -> Frame:
        """Declare a queue; an empty name lets the broker choose. ``.method`` has queue, message_count,
        consumer_count.

        Raises `ChannelClosedByBroker` 404 (passive, absent), 405 (exclusive elsewhere), 406 (declared
        otherwise), 403.
        """
        return self._frame(
            self._call(
                self._core.queue_declare,
                check_short_string("queue", queue),
                bool(passive),
                bool(durable),
                bool(exclusive),
                bool(auto_delete),
                _table(arguments),
            )
        )

    def queue_bind(
        self,
        queue: str,
        exchange: str,
        routing_key: str | None = None,
        arguments: dict[str, Any] | None = None,
    ) -> Frame:
        """Bind a queue to an exchange; without a routing key the queue's name is the key."""
        key = queue if routing_key is None else routing_key
        return self._name_call(self._core.queue_bind, queue, exchange, key, arguments)

    def queue_unbind(
        self,
        queue: str,
        exchange: str | None = None,
        routing_key: str | None = None,
        arguments: dict[str, Any] | None = None,
    ) -> Frame:
        """Remove a binding; one that is not there is no error."""
        key = queue if routing_key is None else routing_key
        return self._name_call(self._core.queue_unbind, queue, exchange or "", key, arguments)

    def _name_call(
        self,
        operation: Callable[..., Reply],
        first: str,
        second: str,
        key: str,
        arguments: dict[str, Any] | None,
    ) -> Frame:
        for name in (first, second, key):
            check_short_string("a name or routing key", name)
        return self._frame(self._call(operation, first, second, key, _table(arguments)))

    def queue_purge(self, queue: str) -> Frame:
        """Drop the ready messages; ``.method.message_count`` says how many."""
        return self._frame(self._call(self._core.queue_purge, check_short_string("queue", queue)))

    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False) -> Frame:
        """Delete a queue; ``.method.message_count`` says how many messages went with it."""
        check_short_string("queue", queue)
        return self._frame(self._call(self._core.queue_delete, queue, bool(if_unused), bool(if_empty)))

    def exchange_declare(
        self,
        exchange: str,
        exchange_type: Any = "direct",
        passive: bool = False,
        durable: bool = False,
        auto_delete: bool = False,
        internal: bool = False,
        arguments: dict[str, Any] | None = None,
    ) -> Frame:
        """Declare an exchange: direct, fanout, topic or headers.

        Raises `ChannelClosedByBroker` 404 (passive, absent), 406 (declared otherwise), 403 (reserved name).
        """
        kind = getattr(exchange_type, "value", exchange_type)  # pika.ExchangeType
        return self._frame(
            self._call(
                self._core.exchange_declare,
                check_short_string("exchange", exchange),
                check_short_string("exchange_type", kind),
                bool(passive),
                bool(durable),
                bool(auto_delete),
                bool(internal),
                _table(arguments),
            )
        )

    def exchange_delete(self, exchange: str | None = None, if_unused: bool = False) -> Frame:
        """Delete an exchange."""
        name = check_short_string("exchange", exchange or "")
        return self._frame(self._call(self._core.exchange_delete, name, bool(if_unused)))

    def exchange_bind(
        self,
        destination: str,
        source: str,
        routing_key: str = "",
        arguments: dict[str, Any] | None = None,
    ) -> Frame:
        """Bind an exchange to another: what `source` routes to it goes on from `destination`."""
        return self._name_call(self._core.exchange_bind, destination, source, routing_key, arguments)

    def exchange_unbind(
        self,
        destination: str | None = None,
        source: str | None = None,
        routing_key: str = "",
        arguments: dict[str, Any] | None = None,
    ) -> Frame:
        """Remove a binding between exchanges; one that is not there is no error."""
        return self._name_call(
            self._core.exchange_unbind, destination or "", source or "", routing_key, arguments
        )

    # -- transactions, and the end

    def tx_select(self) -> Frame:
        """Make the channel transactional: publishes and settlements wait for the commit."""
        return self._frame(self._call(self._core.tx_select))

    def tx_commit(self) -> Frame:
        """Carry out what the transaction holds."""
        return self._frame(self._call(self._core.tx_commit))

    def tx_rollback(self) -> Frame:
        """Forget what the transaction holds."""
        return self._frame(self._call(self._core.tx_rollback))

    def flow(self, active: bool) -> bool:
        """Ask for content to flow. RabbitMQ answers true, and refuses (540) to stop it."""
        return bool(self._call(self._core.channel_flow, active).active)

    def _frame(self, reply: Reply) -> Frame:
        return Frame(self.channel_number, reply)

    def close(self, reply_code: int = 0, reply_text: str = "Normal shutdown") -> None:
        """Close the channel: what is unacknowledged returns to its queues.

        Raises `ChannelWrongStateError` when it is closed already.
        """
        self._call(self._core.close)
        self._close_reason = exceptions.ChannelClosedByClient(reply_code, reply_text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_open:
            self.close()

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        consumers = ", ".join(self.consumer_tags) or "none"
        return (
            f"<Channel {self.channel_number} {state}: {len(self._core.unacked)} unacked, "
            f"consumers: {consumers}, prefetch {self._core.prefetch_count or 'unlimited'}>"
        )


class _Generator:
    """The consumer behind `Channel.consume`."""

    __slots__ = ("is_cancelled", "key", "tag", "waiting")

    def __init__(self, key: tuple[str, bool, bool]) -> None:
        self.key = key
        self.tag = ""
        self.waiting: deque[tuple[Delivery, BasicProperties, bytes]] = deque()
        self.is_cancelled = False

    def put(self, channel: Channel, method: Delivery, properties: BasicProperties, body: bytes) -> None:
        """Take a delivery in."""
        self.waiting.append((method, properties, body))


def _encoded(body: Any) -> bytes:
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    raise TypeError(f"body must be bytes or a string, not {body!r}")


def _table(arguments: dict[str, Any] | None) -> dict[str, Any]:
    if not arguments:
        return {}
    if not isinstance(arguments, dict):
        raise TypeError(f"arguments must be a dict or None, not {arguments!r}")
    return copy_table(arguments)


def checked_callable(what: str, callback: Any) -> Any:
    """Return `callback` when it can be called; `what` names it in the TypeError."""
    if not callable(callback):
        raise TypeError(f"{what} must be callable, not {callback!r}")
    return callback
