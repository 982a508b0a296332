"""What the broker answers to a method: one class for each answer, with AMQP's field names.

Owns: the answers' shape. Refuses to know: who sends them and how; ``basic.get-ok`` is
`mockbroker.message.GetOk`.

Read next: ``core/channel.py``.
"""

from __future__ import annotations


class Reply:
    """An answer: `name` is the method's AMQP name, `fields` its fields in order."""

    __slots__: tuple[str, ...] = ()
    name = ""

    @property
    def fields(self) -> dict[str, object]:
        """The answer's fields by their AMQP names."""
        return {field: getattr(self, field) for field in self.__slots__}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Reply):
            return NotImplemented
        return self.name == other.name and self.fields == other.fields

    def __hash__(self) -> int:
        return hash((self.name, *self.fields.values()))

    def __repr__(self) -> str:
        shown = ", ".join(f"'{field}={value}'" for field, value in self.fields.items())
        return f"<{type(self).__name__}([{shown}])>"


class Ok(Reply):
    """An answer without fields, such as ``queue.bind-ok``."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:  # type: ignore[override]  # the one class whose name is given to it
        """The method's AMQP name."""
        return self._name

    @property
    def fields(self) -> dict[str, object]:
        """None at all."""
        return {}

    def __repr__(self) -> str:
        return f"<{self._name}>"


EXCHANGE_DECLARE_OK = Ok("exchange.declare-ok")
EXCHANGE_DELETE_OK = Ok("exchange.delete-ok")
EXCHANGE_BIND_OK = Ok("exchange.bind-ok")
EXCHANGE_UNBIND_OK = Ok("exchange.unbind-ok")
QUEUE_BIND_OK = Ok("queue.bind-ok")
QUEUE_UNBIND_OK = Ok("queue.unbind-ok")
BASIC_QOS_OK = Ok("basic.qos-ok")
BASIC_RECOVER_OK = Ok("basic.recover-ok")
BASIC_GET_EMPTY = Ok("basic.get-empty")
CONFIRM_SELECT_OK = Ok("confirm.select-ok")
TX_SELECT_OK = Ok("tx.select-ok")
TX_COMMIT_OK = Ok("tx.commit-ok")
TX_ROLLBACK_OK = Ok("tx.rollback-ok")
CHANNEL_CLOSE_OK = Ok("channel.close-ok")


class QueueDeclareOk(Reply):
    """The queue's name, its ready messages and its consumers."""

    __slots__ = ("queue", "message_count", "consumer_count")  # noqa: RUF023 - the protocol's order
    name = "queue.declare-ok"

    def __init__(self, queue: str, message_count: int, consumer_count: int) -> None:
        self.queue = queue
        self.message_count = message_count
        self.consumer_count = consumer_count


class QueuePurgeOk(Reply):
    """How many ready messages were purged."""

    __slots__ = ("message_count",)
    name = "queue.purge-ok"

    def __init__(self, message_count: int) -> None:
        self.message_count = message_count


class QueueDeleteOk(Reply):
    """How many ready messages went with the queue."""

    __slots__ = ("message_count",)
    name = "queue.delete-ok"

    def __init__(self, message_count: int) -> None:
        self.message_count = message_count


class BasicConsumeOk(Reply):
    """The consumer's tag, given or generated."""

    __slots__ = ("consumer_tag",)
    name = "basic.consume-ok"

    def __init__(self, consumer_tag: str) -> None:
        self.consumer_tag = consumer_tag


class BasicCancelOk(Reply):
    """The tag of the consumer that was cancelled."""

    __slots__ = ("consumer_tag",)
    name = "basic.cancel-ok"

    def __init__(self, consumer_tag: str) -> None:
        self.consumer_tag = consumer_tag


class ChannelFlowOk(Reply):
    """Whether content flows: always, RabbitMQ does not stop it on request."""

    __slots__ = ("active",)
    name = "channel.flow-ok"

    def __init__(self, active: bool) -> None:
        self.active = active
