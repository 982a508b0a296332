"""What quorum queues and streams refuse, in RabbitMQ's words.

Owns: the texts for operations that only other queue types have. Each function makes one error; the queue
that finds the fault raises it. Refuses to know: when a refusal is due. Source of the texts: recorded areas
``quorum`` and ``streams``.

Read next: ``core/refusals.py``, ``core/queues/quorum.py``, ``core/queues/stream.py``.
"""

from __future__ import annotations

from mockbroker.core import refusals
from mockbroker.errors import HardError, SoftError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mockbroker.core.queues.base import Queue
    from mockbroker.core.vhost import VHost


def _named(queue: Queue) -> str:
    return refusals.resource("queue", queue.name, queue.vhost.name)


def global_qos(queue: Queue) -> HardError:
    """540: a consumer on a channel with a shared prefetch window."""
    return refusals.not_implemented(f"{_named(queue)} does not support global qos")


def conditional_delete(queue: Queue, flag: str) -> HardError:
    """540: queue.delete of a quorum queue with a condition; `flag` is ``if-unused`` or ``if-empty``."""
    return refusals.not_implemented(
        f"cannot delete {_named(queue)}. queue.delete operations with {flag} flag set are not supported by "
        "quorum queues"
    )


def get_from_single_active(queue: Queue) -> SoftError:
    """405: basic.get from a quorum queue with a single active consumer."""
    return SoftError(
        "RESOURCE_LOCKED",
        f"cannot obtain access to locked {_named(queue)}. basic.get operations are not supported by quorum "
        "queues with single active consumer",
    )


def for_stream(queue: Queue, operation: str) -> HardError:
    """540: an operation that streams do not have."""
    return refusals.not_implemented(f"{operation} not supported by stream queues {_named(queue)}")


def automatic_ack(queue: Queue) -> HardError:
    """540: a consumer of a stream that acknowledges automatically."""
    return refusals.not_implemented(
        queue.node.rules.stream_automatic_ack_text.format(queue=queue.name, vhost=queue.vhost.name)
    )


def no_prefetch(queue: Queue) -> SoftError:
    """406: a consumer of a stream without a prefetch window."""
    text = queue.node.rules.stream_prefetch_text
    return SoftError("PRECONDITION_FAILED", text.format(queue=queue.name, vhost=queue.vhost.name))


def check_replicated(
    vhost: VHost,
    name: str,
    *,
    durable: bool,
    exclusive: bool,
    auto_delete: bool,
) -> None:
    """Refuse what a queue that is kept on several nodes cannot be: SoftError 406."""
    for is_refused, what in (
        (auto_delete, "auto-delete"),
        (exclusive, "exclusive-owner"),
        (not durable, "non-durable"),
    ):
        if is_refused:
            raise refusals.invalid_property(what, name, vhost.name)
