"""The talk of one connection, method by method, without bytes.

Owns: which channels are open or being closed, which operation a method asks for, what is answered, who is
told of which error, and what a client said while an alarm blocks it.
Refuses to know: frames, sockets and the handshake (they come before and below), and the rules of the broker:
it calls the core's operations and passes on what they say.

::

    connection   method                        action                            then
    running      connection.close              end the connection, close-ok      closed
    running      connection.update-secret      update-secret-ok                  running
    running      other on channel 0            504 unexpected method             closing
    closing      connection.close              close-ok                          closing
    closing      connection.close-ok           hang up                           closed
    closing      other                         nothing                           closing

    channel      method                        action                            then
    not open     channel.open                  open-ok                           open
    not open     other on a queue without name 404 no previously declared queue  closing
    not open     other                         504 expected 'channel.open'       (connection closing)
    open         channel.close                 end the channel, close-ok         not open
    open         access.request                request-ok                        open
    open         an operation                  its reply, or its error           open, closing
    open         other                         503 unimplemented method          (connection closing)
    closing      channel.close-ok              nothing                           not open
    closing      channel.close                 close-ok                          closing
    open or closing: channel.open              504 second 'channel.open'         (connection closing)
    closing      other                         nothing                           closing

From its first basic.publish during an alarm, what a client says is kept and taken when the alarm is over.

Source: AMQP 0-9-1 (1.4.2.6, 1.5.2.6); recorded scenarios of the areas ``errors`` and ``blocked``.

Read next: ``methods.py``, ``core/channel.py``.
"""

from __future__ import annotations

from collections import deque

from mockbroker.amqp.methods import METHODS
from mockbroker.core import refusals
from mockbroker.errors import AMQPError, HardError, SoftError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Protocol

    from mockbroker.core.access import User
    from mockbroker.core.channel import BrokerChannel
    from mockbroker.core.connection import BrokerConnection
    from mockbroker.core.dispatch import Consumer
    from mockbroker.core.node import Node
    from mockbroker.message import Delivery, Message, Properties
    from mockbroker.values import Table

    class Send(Protocol):
        """Passes one method on to the client; content methods have properties (or None) and a body."""

        def __call__(
            self,
            channel_number: int,
            method_name: str,
            fields: Table,
            properties: Properties | None = None,
            body: bytes | None = None,
        ) -> None: ...


RUNNING, CLOSING, CLOSED = "running", "closing", "closed"

_OPERATIONS: dict[str, str] = {
    name: name.translate({ord("."): "_", ord("-"): "_"})
    for name in (
        "channel.flow",
        "exchange.declare",
        "exchange.delete",
        "exchange.bind",
        "exchange.unbind",
        "queue.declare",
        "queue.bind",
        "queue.unbind",
        "queue.purge",
        "queue.delete",
        "basic.qos",
        "basic.consume",
        "basic.cancel",
        "basic.get",
        "basic.ack",
        "basic.nack",
        "basic.reject",
        "basic.recover",
        "basic.recover-async",
        "confirm.select",
        "tx.select",
        "tx.commit",
        "tx.rollback",
    )
}
"""Method -> operation of `BrokerChannel`: what a client may send on an open channel but publish and close."""

_TICKET = 1
_ON_LAST_QUEUE = (
    "queue.bind",
    "queue.unbind",
    "queue.purge",
    "queue.delete",
    "basic.consume",
    "basic.get",
)
"""The methods in which a queue without a name is the one that the channel declared last."""

_GET_OK_FIELDS = tuple(name for name, _ in METHODS["basic.get-ok"].fields)


class ChannelLink:
    """One channel of a conversation: the sink that its `BrokerChannel` sends through.

    A byte session may subclass it to write deliveries in a shorter way.
    """

    __slots__ = ("channel", "conversation", "number", "send")

    def __init__(self, conversation: Conversation, number: int) -> None:
        self.conversation = conversation
        self.number = number
        self.send = conversation.send
        # None: the broker has closed the channel and close-ok is not there yet.
        self.channel: BrokerChannel | None = None

    def deliver(self, delivery: Delivery) -> None:
        """Send basic.deliver."""
        exchange, routing_key, body, properties, _ = delivery.message
        fields = {
            "consumer_tag": delivery.consumer_tag,
            "delivery_tag": delivery.delivery_tag,
            "redelivered": delivery.redelivered,
            "exchange": exchange,
            "routing_key": routing_key,
        }
        self.send(self.number, "basic.deliver", fields, properties, body)

    def deliver_run(self, consumer: Consumer, first_tag: int, messages: Iterable[Message]) -> None:
        """Send basic.deliver for each of a run of automatically acknowledged messages."""
        for delivery_tag, (exchange, routing_key, body, properties, _) in enumerate(messages, first_tag):
            fields = {
                "consumer_tag": consumer.tag,
                "delivery_tag": delivery_tag,
                "redelivered": False,
                "exchange": exchange,
                "routing_key": routing_key,
            }
            self.send(self.number, "basic.deliver", fields, properties, body)

    def returned(self, reply_code: int, reply_text: str, message: Message) -> None:
        """Send basic.return."""
        exchange, routing_key, body, properties, _ = message
        fields = {
            "reply_code": reply_code,
            "reply_text": reply_text,
            "exchange": exchange,
            "routing_key": routing_key,
        }
        self.send(self.number, "basic.return", fields, properties, body)

    def confirmed(self, delivery_tag: int, multiple: bool) -> None:
        """Send basic.ack, a publisher confirm."""
        self.send(self.number, "basic.ack", {"delivery_tag": delivery_tag, "multiple": multiple})

    def nacked(self, delivery_tag: int, multiple: bool) -> None:
        """Send basic.nack, a negative publisher confirm."""
        fields = {"delivery_tag": delivery_tag, "multiple": multiple, "requeue": False}
        self.send(self.number, "basic.nack", fields)

    def consumer_cancelled(self, consumer_tag: str) -> None:
        """Send basic.cancel to a client that announced that it understands it.

        Source: RabbitMQ documentation, "Consumer Cancel Notification"; recorded scenario
        `consumer-cancel/no-notify-without-capability`.
        """
        if self.conversation.announced("consumer_cancel_notify"):
            self.send(self.number, "basic.cancel", {"consumer_tag": consumer_tag, "no_wait": True})

    def closed(self, error: AMQPError) -> None:
        """Send channel.close for an error that no method caused."""
        self.channel = None
        self.send(self.number, "channel.close", _close_fields(error, ""))


class Conversation:
    """What one client says and is told, from the end of the handshake to the end of the connection.

    `send` is called with each method for the client, in the order in which the broker sends; `hang_up` when
    there is nothing more to say: what was sent may still go out, then the link is closed.
    """

    def __init__(
        self,
        node: Node,
        send: Send,
        hang_up: Callable[[], None],
        link_type: type[ChannelLink] = ChannelLink,
    ) -> None:
        self.node = node
        self.send = send
        self.state = RUNNING
        self.connection: BrokerConnection | None = None
        self._hang_up = hang_up
        self._link_type = link_type
        self._links: dict[int, ChannelLink] = {}
        self._held: deque[tuple[int, str, Table, Properties | None, bytes]] = deque()
        """What a blocked client said, from the publish that blocked it on: taken when the alarm is over."""
        self._is_lost = False

    def open(
        self,
        user: User,
        virtual_host: str,
        client_properties: Table,
        *,
        peer_host: str,
        name: str | None = None,
    ) -> None:
        """Open the connection in the core: the client is authenticated and has sent connection.open.

        `name` is the connection's name, where the addresses of both ends are known.
        Raises HardError as `Node.open_connection` does; the conversation has not begun then.
        """
        self.connection = self.node.open_connection(
            self, user, virtual_host, client_properties, peer_host=peer_host, name=name
        )

    def announced(self, capability: str) -> bool:
        """Whether the client's properties name this capability as its own."""
        assert self.connection is not None
        return self.connection.has_capability(capability)

    def handle(
        self,
        channel_number: int,
        method_name: str,
        fields: Table,
        properties: Properties | None = None,
        body: bytes = b"",
    ) -> None:
        """Take one method of the client; answers and their consequences are sent before it returns.

        `fields` has all fields of the method but the reserved ones; `properties` and `body` come with
        basic.publish. Errors of the protocol are answered, never raised.
        """
        if self.state is not RUNNING:
            self._handle_in_closing(channel_number, method_name)
        elif self._held or (method_name == "basic.publish" and self._is_blocked()):
            self._held.append((channel_number, method_name, fields, properties, body))
        else:
            self._take(channel_number, method_name, fields, properties, body)

    @property
    def is_held_back(self) -> bool:
        """Whether what the client says waits for the end of an alarm; it need not be read any more."""
        return bool(self._held)

    def _is_blocked(self) -> bool:
        assert self.connection is not None
        return self.connection.block()

    def _take(
        self, channel_number: int, method_name: str, fields: Table, properties: Properties | None, body: bytes
    ) -> None:
        link = self._links.get(channel_number)
        try:
            if channel_number == 0:
                self._handle_on_connection(method_name)
            elif link is None:
                self._open_channel(channel_number, method_name, fields)
            else:
                self._handle_on_channel(link, method_name, fields, properties, body)
        except AMQPError as error:
            self._refuse(channel_number, error, method_name)
        self.node.drain()

    def lost(self) -> None:
        """Take note that the client is gone without a word.

        A blocked one is not missed before the alarm is over. Source: `blocked/drop-while-blocked`.
        """
        if self._held:
            self._is_lost = True
            return
        if self.state is RUNNING:
            self._end()
            assert self.connection is not None
            self.connection.drop()
            self.node.drain()
        self.state = CLOSED

    # What the client may say

    def _handle_in_closing(self, channel_number: int, method_name: str) -> None:
        if channel_number != 0 or self.state is CLOSED:
            return
        if method_name == "connection.close":
            self.send(0, "connection.close-ok", {})
        elif method_name == "connection.close-ok":
            self.state = CLOSED
            self._hang_up()

    def _handle_on_connection(self, method_name: str) -> None:
        assert self.connection is not None
        if method_name == "connection.close":
            self._end()
            self.connection.close()
            self.send(0, "connection.close-ok", {})
            self.state = CLOSED
            self._hang_up()
        elif method_name == "connection.update-secret":
            # RabbitMQ's own users have no secret that expires: any new one is accepted and means nothing.
            self.send(0, "connection.update-secret-ok", {})
        else:
            raise HardError("CHANNEL_ERROR", "unexpected method in connection state running")

    def _open_channel(self, channel_number: int, method_name: str, fields: Table) -> None:
        """Take the first method on a channel; whichever it is, it may be one channel too many."""
        connection = self.connection
        assert connection is not None
        link = self._link_type(self, channel_number)
        try:
            if method_name == "channel.open":
                link.channel = connection.open_channel(channel_number, link)
            else:
                connection.check_new_channel()
        except HardError as error:
            # A limit on channels is no fault of a method. Source: `limits/user-max-channels*`.
            self._refuse(channel_number, error, "")
            return
        if method_name in _ON_LAST_QUEUE and not fields["queue"]:
            # Which queue is meant is asked before all else. Source: `errors/no-previous-queue-not-open`.
            self._links[channel_number] = link
            raise refusals.no_previous_queue()
        if method_name != "channel.open":
            raise HardError("CHANNEL_ERROR", "expected 'channel.open'")
        self._links[channel_number] = link
        self.send(channel_number, "channel.open-ok", {})

    def _handle_on_channel(
        self, link: ChannelLink, method_name: str, fields: Table, properties: Properties | None, body: bytes
    ) -> None:
        channel = link.channel
        if method_name == "channel.open":
            raise HardError("CHANNEL_ERROR", "second 'channel.open' seen")
        if channel is None:
            self._handle_in_channel_closing(link, method_name)
        elif method_name == "basic.publish":
            channel.basic_publish(**fields, properties=properties, body=body)
        elif method_name == "channel.close":
            del self._links[link.number]
            channel.close()
            self.send(link.number, "channel.close-ok", {})
        elif method_name == "access.request":
            # A thing of AMQP 0-8: the ticket is always the same and means nothing.
            self.send(link.number, "access.request-ok", {"ticket": _TICKET})
        else:
            self._operate(channel, method_name, fields)

    def _handle_in_channel_closing(self, link: ChannelLink, method_name: str) -> None:
        if method_name == "channel.close-ok":
            del self._links[link.number]
        elif method_name == "channel.close":
            self.send(link.number, "channel.close-ok", {})

    def _operate(self, channel: BrokerChannel, method_name: str, fields: Table) -> None:
        operation = _OPERATIONS.get(method_name)
        if operation is None:
            raise HardError("COMMAND_INVALID", "unimplemented method")
        reply = getattr(channel, operation)(**_as_arguments(fields))
        if reply is None or fields.get("no_wait"):
            return
        if reply.name == "basic.get-ok":
            answer = {name: getattr(reply, name) for name in _GET_OK_FIELDS}
            self.send(channel.number, reply.name, answer, reply.message[3], reply.message[2])
        else:
            self.send(channel.number, reply.name, reply.fields)

    # Errors

    def refuse(self, error: HardError, method_name: str = "") -> None:
        """End the connection for an error found below the methods; no name: no method is to blame."""
        self._refuse(0, error, method_name)
        self.node.drain()

    def _refuse(self, channel_number: int, error: AMQPError, method_name: str) -> None:
        """Tell the client, then let the core do what the error asks for."""
        assert self.connection is not None
        error = self.connection.told(error)
        if isinstance(error, SoftError):
            link = self._links[channel_number]
            channel, link.channel = link.channel, None
            self.send(channel_number, "channel.close", _close_fields(error, method_name))
            if channel is not None:
                self.connection.refuse(channel, error)
        else:
            blamed = self._links.get(channel_number)
            if blamed is not None and blamed.channel is not None:
                self.connection.give_up(blamed.channel)
            self._say_goodbye(error, method_name)
            self.connection.refuse(None, error)

    def _say_goodbye(self, error: AMQPError, method_name: str) -> None:
        self._end()
        self.state = CLOSING
        self.send(0, "connection.close", _close_fields(error, method_name))

    def _end(self) -> None:
        for link in self._links.values():
            link.channel = None
        self._links.clear()
        self._held.clear()

    # What the broker says on its own

    def connection_closed(self, error: HardError) -> None:
        """Send connection.close for an error that no method caused, such as the broker's stop."""
        self._say_goodbye(error, "")

    def link_lost(self) -> None:
        """Hang up without a word: the broker is gone."""
        self._end()
        self.state = CLOSED
        self._hang_up()

    def blocked(self, reason: str) -> None:
        """Send connection.blocked to a client that announced that it understands it.

        From the publish on that caused this, nothing that the client says is taken.
        Source: RabbitMQ documentation, "Blocked Connection Notifications".
        """
        if self.announced("connection.blocked"):
            self.send(0, "connection.blocked", {"reason": reason})

    def unblocked(self) -> None:
        """Send connection.unblocked to a client that understands it; go on with what it said meanwhile."""
        if self.announced("connection.blocked"):
            self.send(0, "connection.unblocked", {})
        self.node.next_turn(self._take_held)

    def _take_held(self) -> None:
        """Take one method, and the next one when all that this one caused is done."""
        if self._held and not (self._held[0][1] == "basic.publish" and self._is_blocked()):
            self._take(*self._held.popleft())
            self.node.next_turn(self._take_held)
        elif self._is_lost and not self._held:
            self.lost()


def _as_arguments(fields: Table) -> dict[str, Any]:
    """The fields under the names that the core's operations use for them."""
    arguments = {name: value for name, value in fields.items() if name != "no_wait"}
    if "global" in arguments:
        arguments["global_"] = arguments.pop("global")
    return arguments


def _close_fields(error: AMQPError, method_name: str) -> Table:
    """The fields of channel.close and connection.close; no name means that no method is to blame.

    An internal error without a text of its own is no method's fault: a process of the server has died.
    Source: recorded scenarios `streams/max-age-invalid`, `exchanges/recent-history-exchange-nowhere`.
    """
    is_blamed = method_name and error.reply_text != "INTERNAL_ERROR"
    class_id, method_id = METHODS[method_name][1:3] if is_blamed else (0, 0)
    return {
        "reply_code": error.reply_code,
        "reply_text": error.reply_text,
        "class_id": class_id,
        "method_id": method_id,
    }
