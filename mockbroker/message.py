"""Messages, and the record of a delivery.

Owns: the shape of a message, its properties, and what a consumer is handed.
Refuses to know: queues, channels and what becomes of a message.

A message is an exact tuple ``(exchange, routing_key, body, properties, expires_ns)``, shared by all queues
that hold it. Exact tuples of atoms are the cheapest thing to queue: the garbage collector stops tracking
them. ``properties`` is None or a dict with the set ones of the 14 basic properties; neither it nor its
headers change once the message is published. ``expires_ns`` is None or the time on the broker's clock at
which the message's time to live ends.

`BasicProperties` is what programs write and read: each publish takes a snapshot of it, each delivery makes a
new one.

Read next: ``core/channel.py``, ``core/queues/classic.py``.
"""

from __future__ import annotations

from math import isfinite

from mockbroker.values import ByteArray, Decimal, Float32, Timestamp, octets, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mockbroker.core.dispatch import Consumer
    from mockbroker.core.queues.base import Queue

    Properties = dict[str, Any]
    Message = tuple[str, str, bytes, Properties | None, int | None]

PERSISTENT = 2
"""The delivery mode of a persistent message; 1 is transient."""

_SHORT_STRINGS = (
    "content_type",
    "content_encoding",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "type",
    "user_id",
    "app_id",
    "cluster_id",
)
_INTEGER_LIMITS = {"delivery_mode": 255, "priority": 255, "timestamp": 2**64 - 1}

PROPERTY_NAMES = (
    "content_type",
    "content_encoding",
    "headers",
    "delivery_mode",
    "priority",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "timestamp",
    "type",
    "user_id",
    "app_id",
    "cluster_id",
)
"""The basic properties in the order of the specification. Source: AMQP 0-9-1, class basic."""


class BasicProperties:
    """The 14 properties of a message, under pika's names; one that is not set is None.

    `timestamp` counts seconds since 1970, `expiration` is a string of milliseconds, `delivery_mode` 2 is
    persistent, `headers` a dict. pika's own ``BasicProperties`` is accepted wherever this one is.

    >>> BasicProperties(delivery_mode=2, headers={"retries": 0})
    <BasicProperties(["headers={'retries': 0}", "delivery_mode=2"])>
    """

    content_type: str | None = None
    content_encoding: str | None = None
    headers: dict[str, Any] | None = None
    delivery_mode: int | None = None
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    timestamp: int | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    cluster_id: str | None = None

    def __init__(
        self,
        content_type: str | None = None,
        content_encoding: str | None = None,
        headers: dict[str, Any] | None = None,
        delivery_mode: int | None = None,
        priority: int | None = None,
        correlation_id: str | None = None,
        reply_to: str | None = None,
        expiration: str | None = None,
        message_id: str | None = None,
        timestamp: int | None = None,
        type: str | None = None,
        user_id: str | None = None,
        app_id: str | None = None,
        cluster_id: str | None = None,
    ) -> None:
        # Only what is set is kept: an empty object costs one allocation, a snapshot one short dict.
        fields = locals()
        own = self.__dict__
        for name in PROPERTY_NAMES:
            if fields[name] is not None:
                own[name] = fields[name]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BasicProperties):
            return NotImplemented
        return _set_fields(self) == _set_fields(other)

    __hash__ = None  # type: ignore[assignment]  # mutable, as pika's are

    def __repr__(self) -> str:
        fields = _set_fields(self)
        shown = ", ".join(f'"{name}={fields[name]!r}"' for name in PROPERTY_NAMES if name in fields)
        return f"<BasicProperties([{shown}])>"


def _set_fields(properties: Any) -> Properties:
    """Return the properties that are set, of our class or of pika's."""
    try:
        given = vars(properties)
    except TypeError:
        raise TypeError(f"properties must be BasicProperties or None, not {properties!r}") from None
    return {name: value for name, value in given.items() if value is not None}


def snapshot(properties: Any) -> Properties | None:
    """Return what a message keeps of `properties` (our class or pika's): a checked copy, None when nothing is
    set.

    Raises TypeError or ValueError that names the property, its value and the rule.
    """
    fields = _set_fields(properties)
    for name, value in fields.items():
        if name == "expiration" and type(value) is str and len(value) < 64:
            continue
        fields[name] = _checked(name, value)
    return fields or None


def _checked(name: str, value: Any) -> Any:
    if name in _INTEGER_LIMITS:
        value = getattr(value, "value", value)  # pika.DeliveryMode
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"property {name} must be an integer, not {value!r}")
        if not 0 <= value <= _INTEGER_LIMITS[name]:
            raise ValueError(f"property {name} must be from 0 to {_INTEGER_LIMITS[name]}, not {value!r}")
        return int(value)
    if name == "headers":
        if not isinstance(value, dict):
            raise TypeError(f"property headers must be a dict, not {value!r}")
        return copy_table(value)
    if name not in _SHORT_STRINGS:
        raise TypeError(f"there is no basic property {name!r} (set to {value!r})")
    return check_short_string(f"property {name}", value)


def check_short_string(what: str, value: Any) -> str:
    """Return `value` when it is a string of at most 255 bytes; `what` names it in the error."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a string, not {value!r}")
    if len(value) > 63 and (size := len(octets(value))) > 255:
        raise ValueError(f"{what} must have at most 255 bytes, not {size}: {value[:40]!r}...")
    return value


def copy_table(table: dict[str, Any]) -> dict[str, Any]:
    """Copy a table deeply, with each value in the form that the broker keeps.

    A date becomes a `Timestamp`, a ``decimal.Decimal`` a `Decimal`, a tuple a list, bytes a `ByteArray`.
    Raises TypeError for a key that is no string or a value that has no AMQP type, ValueError for one out of
    range, and for a number that is infinite or not one: a server ends the connection for it.
    """
    copy = {}
    for key, value in table.items():
        check_short_string("a table's key", key)
        copy[key] = _copy_value(value)
    return copy


def _copy_value(value: Any) -> Any:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"an integer in a table must fit 64 bits, not {value!r}")
        return value
    if kind is float or kind is Float32:
        if not isfinite(value):
            raise ValueError(f"a number in a table must be finite, not {value!r}")
        return value
    if kind is dict:
        return copy_table(value)
    if kind is list or kind is tuple:
        return [_copy_value(item) for item in value]
    if kind is bytes or kind is bytearray:
        return ByteArray(value)
    if hasattr(value, "timestamp") and hasattr(value, "utcoffset"):
        return Timestamp(_seconds(value))
    if hasattr(value, "as_tuple") and hasattr(value, "quantize"):
        return _decimal(value)
    if isinstance(value, dict):
        return copy_table(value)
    type_name(value)
    return value


def _seconds(date: Any) -> int:
    """Seconds since 1970 of a datetime; one without a zone counts as UTC, as pika has it."""
    if date.tzinfo is None:
        from datetime import UTC  # noqa: PLC0415 - only programs that use dates pay for the import

        date = date.replace(tzinfo=UTC)
    return int(date.timestamp())


def _decimal(number: Any) -> Decimal:
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(f"a decimal in a table must be a finite number, not {number!r}")
    unscaled = int("".join(map(str, digits))) * 10 ** max(exponent, 0)
    return Decimal(max(-exponent, 0), -unscaled if sign else unscaled)


def properties_of(message: Message) -> BasicProperties:
    """Return a new `BasicProperties` with what the message carries; changing it harms nobody."""
    fields = message[3]
    properties = BasicProperties.__new__(BasicProperties)
    if fields is not None:
        own = properties.__dict__
        own.update(fields)
        if "headers" in fields:
            own["headers"] = _given_value(fields["headers"])
    return properties


def _given_value(value: Any) -> Any:
    """Copy a table value into the form that pika gives a program."""
    if isinstance(value, dict):
        return {key: _given_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_given_value(item) for item in value]
    if isinstance(value, Timestamp):
        from datetime import UTC, datetime  # noqa: PLC0415 - only programs that use dates pay for the import

        return datetime.fromtimestamp(value, tz=UTC)
    if isinstance(value, Decimal):
        from decimal import Decimal as Number  # noqa: PLC0415 - only programs that use decimals pay for the import

        return Number(value.unscaled).scaleb(-value.scale)
    return value


def is_persistent(message: Message) -> bool:
    """Whether the message asks to be kept on disk (delivery mode 2)."""
    properties = message[3]
    return properties is not None and properties.get("delivery_mode") == PERSISTENT


class Delivery:
    """One message handed to one consumer: the ``method`` that a callback gets, and the entry of the channel's
    ledger.

    Its class carries the fields of basic.deliver. `position` is the message's place in its queue.
    """

    __slots__ = ("consumer", "delivery_tag", "message", "position", "queue", "redelivered")

    def __init__(
        self,
        consumer: Consumer | None,
        queue: Queue,
        message: Message,
        position: int,
        delivery_tag: int,
        redelivered: bool,
    ) -> None:
        self.consumer = consumer
        self.queue = queue
        self.message = message
        self.position = position
        self.delivery_tag = delivery_tag
        self.redelivered = redelivered

    @property
    def consumer_tag(self) -> str:
        """The tag of the consumer that it went to."""
        return self.consumer.tag if self.consumer is not None else ""

    @property
    def exchange(self) -> str:
        """The exchange that the message was published to."""
        return self.message[0]

    @property
    def routing_key(self) -> str:
        """The routing key that the message was published with."""
        return self.message[1]

    def __repr__(self) -> str:
        return (
            f"<Basic.Deliver(['consumer_tag={self.consumer_tag}', 'delivery_tag={self.delivery_tag}', "
            f"'exchange={self.exchange}', 'redelivered={self.redelivered}', "
            f"'routing_key={self.routing_key}'])>"
        )


class GetOk(Delivery):
    """What basic.get fetched; `message_count` is the number of ready messages left behind."""

    __slots__ = ("message_count",)
    name = "basic.get-ok"
    message_count: int

    def __repr__(self) -> str:
        return (
            f"<Basic.GetOk(['delivery_tag={self.delivery_tag}', 'exchange={self.exchange}', "
            f"'message_count={self.message_count}', 'redelivered={self.redelivered}', "
            f"'routing_key={self.routing_key}'])>"
        )
