"""One client's connection in bytes, without a socket.

Owns: the order of frames (header, handshake, methods and their content), heartbeats, time-outs, and what is
written when the reader is slow.
Refuses to know: sockets and threads (``endpoint.py`` and the simulation drive it), what methods mean
(``conversation.py``).

Whoever drives a session gives it a function that writes and one that hangs up, and calls `receive` with what
came, `eof` when nothing more will come, `pause_writing` and `resume_writing` when the reader falls behind and
catches up. While writing is paused, deliveries wait here as messages, not as bytes.

Frames that are wrong get the answer that RabbitMQ gives: an error of 501, 504, 505, 541 or, for what its
parser dies of, no word at all (``tests/amqp/bad_input.json``). Nothing that comes in may raise.

Source: AMQP 0-9-1 (2.2, 2.3, 4.2); RabbitMQ documentation, "Heartbeats".

Read next: ``handshake.py``, ``frames.py``, ``conversation.py``.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from mockbroker import erlang_text
from mockbroker.amqp import frames
from mockbroker.amqp.confirms import Confirms
from mockbroker.amqp.conversation import CLOSED, RUNNING, ChannelLink, Conversation
from mockbroker.amqp.fields import FieldError
from mockbroker.amqp.frames import (
    BODY,
    END,
    FRAME_HEAD,
    HEADER,
    HEARTBEAT,
    METHOD,
    UndecodableMethod,
    UnknownMethod,
)
from mockbroker.amqp.handshake import OPENING, Handshake, Refused
from mockbroker.amqp.heartbeat import Heartbeat
from mockbroker.amqp.methods import CONTENT_METHODS, METHODS
from mockbroker.clock import NS, Clock, Timer
from mockbroker.errors import HardError, shortened
from mockbroker.terms import Atom

if TYPE_CHECKING:
    from mockbroker.core.channel import BrokerChannel
    from mockbroker.core.connection import BrokerConnection
    from mockbroker.core.dispatch import Consumer
    from mockbroker.core.node import Node
    from mockbroker.message import Delivery, Message, Properties
    from mockbroker.values import Table

_log = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT_S = 10
CLOSING_TIMEOUT_S = 30
"""How long the client may take for connection.close-ok; a shorter heartbeat shortens it."""
LOST_SYNC_DELAY_S = 3
"""How long the link stays open after an error that ends all reading, so that the client learns of it."""
# Source of the three: RabbitMQ's defaults (handshake_timeout, and rabbit_reader's constants).

HELD_BYTES = 8 * 1024 * 1024
"""So many octets of answers that wait for a slow reader, and its next commands wait too."""

_HEADER_BYTES = 8
_SPOKEN = bytes((0, 0, 9, 1))
_VERSIONS = {_SPOKEN: (0, 9), bytes((1, 1, 0, 9)): (0, 9)}
"""Protocol headers that are accepted, and the version that connection.start then names."""


class _Link(ChannelLink):
    """A channel that puts deliveries and confirms into bytes without the detour through a method's fields."""

    __slots__ = ("_session",)

    def __init__(self, conversation: Conversation, number: int) -> None:
        super().__init__(conversation, number)
        assert isinstance(conversation, _WireConversation)
        self._session = conversation.session

    def deliver(self, delivery: Delivery) -> None:
        """Send basic.deliver."""
        self._session.deliver(self.number, delivery)

    def deliver_run(self, consumer: Consumer, first_tag: int, messages: Iterable[Message]) -> None:
        """Send basic.deliver for each of a run of automatically acknowledged messages."""
        self._session.deliver_run(self.number, consumer.tag, first_tag, messages)

    def confirmed(self, delivery_tag: int, multiple: bool) -> None:
        """Send basic.ack, a publisher confirm; together with others while input is being taken."""
        assert self.channel is not None
        self._session.confirm(self.channel, delivery_tag, multiple)


class _WireConversation(Conversation):
    """A conversation that knows its session, and takes errors that are found in the bytes."""

    def __init__(self, session: Session, node: Node) -> None:
        super().__init__(node, session.send, session.hang_up, _Link)
        self.session = session

    def unblocked(self) -> None:
        """Go on as a conversation does; by the write the session's driver sees that it may read again."""
        super().unblocked()
        self.session.write(b"")

    def refuse(self, error: HardError, method_name: str = "") -> None:
        """End the connection with an error for which `method_name` (or none) is to blame."""
        self._refuse(0, error, method_name)
        self.node.drain()


class _Incoming:
    """What has come of a message on one channel."""

    __slots__ = ("chunks", "fields", "is_closing", "method", "properties", "remaining")

    def __init__(self) -> None:
        # Invariant: between messages `fields` is None and `method` is basic.publish; `remaining` is None
        # until the content header is there.
        self.method = frames.PUBLISH
        self.fields: Table | None = None
        self.remaining: int | None = None
        self.properties = b""
        self.chunks: list[bytes] = []
        self.is_closing = False


def _quoting(code: str, text: str) -> HardError:
    """Return an error whose text may quote octets that are no UTF-8, as surrogate escapes."""
    error = HardError(code)
    error.reply_text = f"{code} - {text}"
    return error


class Session:
    """The server's end of one AMQP 0-9-1 connection.

    `write` takes bytes for the client; `hang_up` is called once, when nothing more will be written: the link
    is closed after what was written has gone out. `peer_host` decides what loopback users may do. `clock` is
    the time of heartbeats and time-outs: the node's, unless the client lives in another time than the broker.
    """

    def __init__(
        self,
        node: Node,
        write: Callable[[bytes], object],
        *,
        hang_up: Callable[[], object] = lambda: None,
        peer_host: str = "127.0.0.1",
        name: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._node = node
        self._write = write
        self._hang_up = hang_up
        self._clock = clock if clock is not None else node.clock
        self._name = name
        self.peer_host = peer_host
        self.handshake = Handshake(node, self.send, peer_host)
        self._conversation: _WireConversation | None = None
        self._take: Callable[[bytes], int] = self._take_protocol_header
        self._rest = b""
        self._incoming: dict[int, _Incoming] = {}
        self._body_max = frames.MIN_FRAME_BYTES - frames.OVERHEAD_BYTES
        self._is_paused = False
        # Invariant: empty unless writing is paused; `held_octets` counts those that are bytes already.
        self._held: deque[bytes | Iterator[bytes]] = deque()
        self.held_octets = 0
        self._confirms = Confirms(self._write_ack)
        self._is_taking_input = False
        self._has_stopped = False
        """Whether whole frames wait in `_rest` until the client has read what it asked for."""
        self._heartbeat: Heartbeat | None = None
        self._timeout: Timer | None = None
        self._set_timeout(HANDSHAKE_TIMEOUT_S)
        self.is_over = False
        self.octets_in = 0
        self.octets_out = 0

    @property
    def is_full(self) -> bool:
        """Whether the client should not be read for now: too many answers wait, or an alarm blocks it."""
        connection = self.connection
        return self.held_octets > HELD_BYTES or (connection is not None and connection.is_blocked)

    @property
    def is_holding(self) -> bool:
        """Whether something waits here for the reader to catch up."""
        return bool(self._held)

    @property
    def connection(self) -> BrokerConnection | None:
        """The core's connection, once the handshake is done."""
        return self._conversation.connection if self._conversation is not None else None

    # What comes in

    def receive(self, data: bytes) -> None:
        """Take bytes from the client, however they were cut. Answers are written before it returns."""
        if self.is_over:
            return
        self.octets_in += len(data)
        self._go_on(data)

    def _go_on(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        self._is_taking_input = True
        try:
            self._rest = data[self._take(data) :]
        except Exception:
            self._fail()
        self._node.input_drained()
        self._is_taking_input = False
        self._confirms.flush()

    def eof(self) -> None:
        """Take note that the client is gone: its channels end, what it had not acknowledged goes back."""
        if not self.is_over:
            self.hang_up()
            self._node.input_drained()

    def _fail(self) -> None:
        """Survive a fault of our own: it is logged, and costs this connection as a crash of RabbitMQ does."""
        _log.exception("connection %s failed", self._name)
        self._rest = b""
        try:
            if self._conversation is not None and self._conversation.state is RUNNING:
                self._conversation.refuse(HardError("INTERNAL_ERROR"))
            else:
                self.hang_up()
        except Exception:
            _log.exception("connection %s cannot even be closed", self._name)
            self.is_over = True
            self._hang_up()

    def _take_protocol_header(self, data: bytes) -> int:
        if len(data) < _HEADER_BYTES:
            return 0
        version = _VERSIONS.get(data[4:8]) if data.startswith(b"AMQP") else None
        if version is None:
            self.write(b"AMQP" + self._spoken(data))
            self.hang_up()
            return len(data)
        self._take = self._take_frames
        self.handshake.start(version)
        return _HEADER_BYTES + self._take_frames(data[_HEADER_BYTES:])

    def _spoken(self, header: bytes) -> bytes:
        """Return the version to name to a client whose header is refused."""
        is_later_0_9 = header.startswith(b"AMQP\0\0") and header[6] >= 9
        return _SPOKEN if is_later_0_9 else self._node.rules.preferred_protocol

    def _take_frames(self, data: bytes) -> int:
        """Take the whole frames at the head of `data`; return where the rest begins."""
        position, end = 0, len(data)
        take, handle = self._take, self._handle_frame
        # RabbitMQ lets a frame be as large as frame_max without its own eight octets.
        payload_max = self._body_max + frames.OVERHEAD_BYTES
        while end - position >= 7:
            kind, number, size = FRAME_HEAD.unpack_from(data, position)
            after = position + 7 + size
            if size > payload_max:
                self._lose_sync(
                    kind, b"", f"{{frame_too_large,{size},{payload_max - frames.OVERHEAD_BYTES}}}"
                )
                return end
            if after >= end:
                break
            payload = data[position + 7 : after]
            if data[after] != END:
                quoted = len(self._quote(kind, payload).rpartition("\n")[2]) + 2
                marker = (Atom("invalid_frame_end_marker"), data[after])
                self._lose_sync(kind, payload, erlang_text.pretty(marker, quoted, unicode=True))
                return end
            if self.held_octets > HELD_BYTES:
                self._has_stopped = True
                break
            handle(kind, number, payload)
            position = after + 1
            if self._take is not take:
                return end
            payload_max = self._body_max + frames.OVERHEAD_BYTES
        return position

    def _take_nothing(self, data: bytes) -> int:
        return len(data)

    def _handle_frame(self, kind: int, number: int, payload: bytes) -> None:
        conversation = self._conversation
        if conversation is None:
            self._shake_hands(kind, number, payload)
        elif conversation.state is not RUNNING:
            if number == 0 and kind == METHOD:
                self._handle_when_closing(conversation, payload)
        elif number == 0:
            self._handle_on_connection(conversation, kind, payload)
        else:
            try:
                self._handle_on_channel(conversation, kind, number, payload)
            except UnknownMethod:
                self.hang_up()
            except FieldError:
                self.hang_up()
            except HardError as error:
                conversation.refuse(error, self._blamed(error, payload))

    @staticmethod
    def _blamed(error: HardError, payload: bytes) -> str:
        """The method that an error in the bytes names: the one whose fields are wrong."""
        return frames.method_name(payload) if isinstance(error, UndecodableMethod) else ""

    # Before the conversation

    def _shake_hands(self, kind: int, number: int, payload: bytes) -> None:
        handshake = self.handshake
        method_name = ""
        try:
            if number != 0:
                raise self._unexpected(kind, payload)
            if kind == HEARTBEAT and not payload:
                return
            self._check_method_frame(kind, payload)
            method_name = frames.method_name(payload)
            method, fields = frames.decode_method(payload)
            virtual_host = handshake.handle(method.name, fields)
            if virtual_host is not None:
                self._open(virtual_host)
            elif handshake.state is OPENING:
                self._tuned()
        except (Refused, UnknownMethod, UndecodableMethod, FieldError) as error:
            _log.debug("connection %s refused: %s", self._name, error)
            self.hang_up()
        except HardError as error:
            self._refuse_in_handshake(error, method_name)

    def _refuse_in_handshake(self, error: HardError, method_name: str) -> None:
        is_login = method_name == "connection.start-ok"
        if self.handshake.state is OPENING or (is_login and error.reply_code == 403):
            blamed = METHODS.get("" if is_login else method_name)
            fields = {
                "reply_code": error.reply_code,
                "reply_text": error.reply_text,
                "class_id": blamed.class_id if blamed else 0,
                "method_id": blamed.method_id if blamed else 0,
            }
            self.send(0, "connection.close", fields)
        self.hang_up()

    def _tuned(self) -> None:
        self._body_max = self.handshake.frame_max_bytes - frames.OVERHEAD_BYTES
        if self.handshake.heartbeat_s:
            self._heartbeat = Heartbeat(self._clock, self.handshake.heartbeat_s, self, self.hang_up)

    def _open(self, virtual_host: str) -> None:
        handshake = self.handshake
        assert handshake.user is not None
        conversation = _WireConversation(self, self._node)
        conversation.open(
            handshake.user,
            virtual_host,
            handshake.client_properties,
            peer_host=self.peer_host,
            name=self._name,
        )
        self._conversation = conversation
        self._cancel_timeout()
        _log.info(
            "connection %s: user '%s' opened virtual host '%s'", self._name, handshake.user.name, virtual_host
        )
        self.send(0, "connection.open-ok", {})
        self._node.drain()

    # Frames in the conversation

    def _check_method_frame(self, kind: int, payload: bytes) -> None:
        """Raise HardError 501 for a frame that is none, 505 for one that has no place on channel 0."""
        if kind == METHOD and len(payload) >= 4:
            return
        if kind == BODY or (kind == HEADER and len(payload) >= frames.CONTENT_HEAD.size):
            raise self._unexpected(kind, payload)
        raise self._unknown(kind, payload)

    def _handle_on_connection(self, conversation: _WireConversation, kind: int, payload: bytes) -> None:
        if kind == HEARTBEAT and not payload:
            return
        method_name = ""
        try:
            self._check_method_frame(kind, payload)
            method_name = frames.method_name(payload)
            method, fields = frames.decode_method(payload)
        except UnknownMethod:
            self.hang_up()
        except (UndecodableMethod, FieldError):
            conversation.refuse(HardError("INTERNAL_ERROR"))
        except HardError as error:
            conversation.refuse(error, method_name)
        else:
            conversation.handle(0, method.name, fields)

    def _handle_when_closing(self, conversation: _WireConversation, payload: bytes) -> None:
        try:
            conversation.handle(0, frames.decode_method(payload)[0].name, {})
        except (UnknownMethod, HardError, FieldError):
            self.hang_up()

    def _handle_on_channel(
        self, conversation: _WireConversation, kind: int, number: int, payload: bytes
    ) -> None:
        incoming = self._incoming.get(number)
        if kind == METHOD and len(payload) >= 4:
            if incoming is None:
                incoming = self._new_channel(number)
            if incoming.fields is not None:
                self._refuse_out_of_order(conversation, incoming)
            elif payload.startswith(frames.PUBLISH_IDS):
                incoming.fields = frames.decode_publish(payload)
            else:
                method, fields = frames.decode_method(payload)
                if method.name in CONTENT_METHODS:  # no client's, and refused when its content is there
                    incoming.method, incoming.fields = method, fields
                    return
                conversation.handle(number, method.name, fields)
                self._note_closing(number, incoming, method.name)
        elif kind == BODY:
            self._take_body(conversation, number, incoming or self._new_channel(number), payload)
        elif kind == HEADER and len(payload) >= frames.CONTENT_HEAD.size:
            self._take_header(conversation, number, incoming or self._new_channel(number), payload)
        elif kind == HEARTBEAT and not payload:
            raise self._unexpected(kind, payload)
        else:
            raise self._unknown(kind, payload)

    def _new_channel(self, number: int) -> _Incoming:
        """Make room for one more channel, whatever the frame says.

        Raises HardError 530 when there are as many as were agreed on. RabbitMQ counts channels and does not
        mind their numbers (`errors/channel-above-negotiated`).
        """
        count, limit = len(self._incoming), self.handshake.channel_max
        if count >= limit:
            raise HardError(
                "NOT_ALLOWED",
                f"number of channels opened ({count}) has reached the negotiated channel_max ({limit})",
            )
        incoming = self._incoming[number] = _Incoming()
        return incoming

    def _note_closing(self, number: int, incoming: _Incoming, method_name: str) -> None:
        """Forget a channel whose number is free again: close was answered by close-ok."""
        if method_name == "channel.close-ok" or (method_name == "channel.close" and not incoming.is_closing):
            self._incoming.pop(number, None)

    def _take_header(
        self, conversation: _WireConversation, number: int, incoming: _Incoming, payload: bytes
    ) -> None:
        class_id, weight, body_bytes = frames.CONTENT_HEAD.unpack_from(payload)
        if incoming.fields is None or incoming.remaining is not None or weight:
            self._refuse_out_of_order(conversation, incoming)
        elif class_id != frames.PUBLISH.class_id:
            expected = frames.PUBLISH.class_id
            text = f"expected content header for class {expected}, got one for class {class_id} instead"
            conversation.refuse(HardError("UNEXPECTED_FRAME", text), incoming.method.name)
        else:
            incoming.properties = payload[frames.CONTENT_HEAD.size :]
            if body_bytes:
                incoming.remaining = body_bytes
            else:
                self._publish(conversation, number, incoming, b"")

    def _take_body(
        self, conversation: _WireConversation, number: int, incoming: _Incoming, payload: bytes
    ) -> None:
        if incoming.remaining is None:
            self._refuse_out_of_order(conversation, incoming)
            return
        remaining = incoming.remaining - len(payload)
        if remaining:
            # Octets beyond the announced size are taken too, and the message never ends: RabbitMQ's way
            # (`errors/body-longer-than-announced`). Keeping them would only cost memory.
            incoming.remaining = remaining
            if remaining > 0:
                incoming.chunks.append(payload)
        elif incoming.chunks:
            incoming.chunks.append(payload)
            self._publish(conversation, number, incoming, b"".join(incoming.chunks))
        else:
            self._publish(conversation, number, incoming, payload)

    def _publish(
        self, conversation: _WireConversation, number: int, incoming: _Incoming, body: bytes
    ) -> None:
        fields, method = incoming.fields, incoming.method
        assert fields is not None
        properties = frames.decode_properties(incoming.properties)
        incoming.fields = incoming.remaining = None
        if incoming.chunks:
            incoming.chunks = []
        incoming.method = frames.PUBLISH
        conversation.handle(number, method.name, fields, properties, body)

    # Errors in the bytes

    def _refuse_out_of_order(self, conversation: _WireConversation, incoming: _Incoming) -> None:
        if incoming.fields is None:
            text, blamed = "expected method frame, got non method frame instead", ""
        elif incoming.remaining is None:
            class_id, blamed = frames.PUBLISH.class_id, incoming.method.name
            text = f"expected content header for class {class_id}, got non content header frame instead"
        else:
            text, blamed = "expected content body, got non content body frame instead", incoming.method.name
        conversation.refuse(HardError("UNEXPECTED_FRAME", text), blamed)

    def _quote(self, kind: int, payload: bytes) -> str:
        return erlang_text.quoted_frame(kind, payload, unicode=self._node.rules.terms_are_shown_in_unicode)

    def _unknown(self, kind: int, payload: bytes) -> HardError:
        return _quoting("FRAME_ERROR", f"{self._quote(kind, payload)}: unknown_frame")

    def _unexpected(self, kind: int, payload: bytes) -> HardError:
        return _quoting("UNEXPECTED_FRAME", self._quote(kind, payload))

    def _lose_sync(self, kind: int, payload: bytes, problem: str) -> None:
        """End a connection whose bytes can no longer be cut into frames; nothing more is read."""
        error = _quoting("FRAME_ERROR", f"{self._quote(kind, payload)}: {problem}")
        conversation = self._conversation
        self._take = self._take_nothing
        if conversation is not None and conversation.state is RUNNING:
            conversation.refuse(error)
            self._set_timeout(LOST_SYNC_DELAY_S)
        elif conversation is None:
            self._refuse_in_handshake(error, "")
        else:
            self.hang_up()

    # What goes out

    def send(
        self,
        channel_number: int,
        method_name: str,
        fields: Table,
        properties: Properties | None = None,
        body: bytes | None = None,
    ) -> None:
        """Write one method, with its content if it has a body."""
        if method_name.endswith(".close"):
            fields = fields | {"reply_text": shortened(fields["reply_text"])}
            self._note_close(channel_number)
        payload = frames.encode_method(method_name, fields)
        if body is None:
            self.write(frames.frame(METHOD, channel_number, payload))
        else:
            head = FRAME_HEAD.pack(METHOD, channel_number, len(payload)) + payload
            self.write(head + frames.encode_content(channel_number, properties, body, self._body_max))

    def _note_close(self, channel_number: int) -> None:
        """Remember that we have asked for an end: the other side answers, or runs out of time."""
        if channel_number:
            self._incoming[channel_number].is_closing = True
        else:
            self._incoming.clear()
            heartbeat_s = self.handshake.heartbeat_s
            self._set_timeout(min(heartbeat_s or CLOSING_TIMEOUT_S, CLOSING_TIMEOUT_S))

    def confirm(self, channel: BrokerChannel, delivery_tag: int, multiple: bool) -> None:
        """Write basic.ack, a publisher confirm; while input is being taken, one ack may speak for several."""
        self._confirms.add(channel, delivery_tag, multiple)
        if not self._is_taking_input:
            self._confirms.flush()

    def _write_ack(self, channel_number: int, delivery_tag: int, multiple: bool) -> None:
        self._write_next(frames.encode_ack(channel_number, delivery_tag, multiple))

    def write(self, data: bytes) -> None:
        """Write whole frames, after those that wait."""
        if self._confirms.waiting:
            self._confirms.flush()
        self._write_next(data)

    def _write_next(self, data: bytes) -> None:
        if self._is_paused or self._held:
            self._held.append(data)
            self.held_octets += len(data)
        else:
            self.octets_out += len(data)
            self._write(data)

    def deliver(self, channel_number: int, delivery: Delivery) -> None:
        """Write basic.deliver; while writing is paused the message waits."""
        if self._confirms.waiting:
            self._confirms.flush()
        run = (channel_number, delivery.consumer_tag, delivery.delivery_tag, delivery.redelivered)
        if self._is_paused or self._held:
            self._held.append(self._encoded(*run, (delivery.message,)))
        else:
            exchange, routing_key, body, properties, _ = delivery.message
            data = frames.encode_delivery(*run, exchange, routing_key, properties, body, self._body_max)
            self.octets_out += len(data)
            self._write(data)

    def deliver_run(
        self, channel_number: int, consumer_tag: str, first_tag: int, messages: Iterable[Message]
    ) -> None:
        """Write basic.deliver for each message; those that come while writing is paused wait."""
        self._confirms.flush()
        self._held.append(self._encoded(channel_number, consumer_tag, first_tag, False, messages))
        if not self._is_paused:
            self._write_held()

    def _encoded(
        self, number: int, consumer_tag: str, first_tag: int, redelivered: bool, messages: Iterable[Message]
    ) -> Iterator[bytes]:
        encode, body_max = frames.encode_delivery, self._body_max
        for delivery_tag, (exchange, routing_key, body, properties, _) in enumerate(messages, first_tag):
            yield encode(
                number,
                consumer_tag,
                delivery_tag,
                redelivered,
                exchange,
                routing_key,
                properties,
                body,
                body_max,
            )

    def pause_writing(self) -> None:
        """Take note that the reader is slow: deliveries wait from now on."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """Write what waits, until writing is paused again; then go on with the commands that had to wait."""
        self._is_paused = False
        self._write_held()
        if self._has_stopped and not self._held:
            self._has_stopped = False
            self._go_on(b"")

    def _write_held(self) -> None:
        held, write = self._held, self._write
        while held and not self._is_paused:
            first = held.popleft()
            if isinstance(first, bytes):
                self.held_octets -= len(first)
                data: bytes | None = first
            elif (data := next(first, None)) is not None:
                held.appendleft(first)
            if data is not None:
                self.octets_out += len(data)
                write(data)

    # The end

    def shut_down(self, reason: str = "shutdown") -> None:
        """Tell the client that the server stops: connection.close 320, or the end of the handshake."""
        conversation = self._conversation
        if conversation is not None and conversation.state is RUNNING:
            text = f"broker forced connection closure with reason '{reason}'"
            conversation.refuse(HardError("CONNECTION_FORCED", text))
        elif conversation is None:
            self.hang_up()

    def hang_up(self) -> None:
        """End the session: nothing more is read or written."""
        if self.is_over:
            return
        self._confirms.flush()
        self.is_over = True
        self._take = self._take_nothing
        self._rest = b""
        self._cancel_timeout()
        if self._heartbeat is not None:
            self._heartbeat.stop()
        if self._conversation is not None and self._conversation.state is not CLOSED:
            self._conversation.lost()
        self._incoming.clear()
        _log.info("connection %s closed", self._name)
        self._hang_up()

    def _set_timeout(self, seconds: int) -> None:
        self._cancel_timeout()
        due_ns = self._clock.now_ns + seconds * NS
        self._timeout = self._clock.schedule(due_ns, self.hang_up, housekeeping=True)

    def _cancel_timeout(self) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None
