"""The commands of rabbitmqctl: the listings, what is done to queues, and the table of all commands.

Owns: the table, and the commands about queues and the other things that are listed.
Refuses to know: options that all commands share, and printing (``ctl.py``); the commands of operators
(``ctl_access.py``, ``ctl_limits.py``, ``ctl_policies.py``, ``ctl_operations.py``,
``ctl_settings.py``).
Source: rabbitmqctl of RabbitMQ 3.10.8 and 4.0.5.

Read next: ``ctl.py``, ``ctl_invocation.py``, ``listings.py``.
"""

from __future__ import annotations

from mockbroker.admin import ctl_access, ctl_limits, ctl_operations, ctl_policies, ctl_settings, listings
from mockbroker.admin.ctl_invocation import (
    DATA_ERROR,
    UNAVAILABLE,
    USAGE,
    Command,
    Failure,
    Invocation,
    says,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mockbroker.admin.ctl_invocation import Rows
    from mockbroker.core.node import Node
    from mockbroker.core.queues.base import Queue


def _of_vhost(listing: Callable[[Node, str, list[str]], Rows]) -> Callable[[Invocation], Rows]:
    """Return a command that lists what is in a virtual host: nothing where there is none of that name."""

    def run(invocation: Invocation) -> Rows:
        is_there = invocation.vhost_name in invocation.node.vhosts
        rows = listing(invocation.node, invocation.vhost_name if is_there else "/", invocation.columns)
        return rows if is_there else []

    return run


def _queues(invocation: Invocation) -> Rows:
    rows = _of_vhost(listings.list_queues)(invocation)
    return [] if "--offline" in invocation.options else rows


def _of_node(listing: Callable[[Node, list[str]], Rows]) -> Callable[[Invocation], Rows]:
    return lambda invocation: listing(invocation.node, invocation.columns)


_NO_QUEUE_TO_PURGE = {
    "rabbitmq-3.10": ("Error:\nnot_found", UNAVAILABLE),
    "rabbitmq-4.0": ("Object (queue, stream, exchange, etc) was not found", DATA_ERROR),
}


def _queue(invocation: Invocation) -> Queue | None:
    vhost = invocation.node.vhosts.get(invocation.vhost_name)
    return vhost.queues.get(invocation.arguments[0]) if vhost is not None else None


def _purge_queue(invocation: Invocation) -> None:
    queue = _queue(invocation)
    if queue is None:
        raise Failure(*_NO_QUEUE_TO_PURGE[invocation.node.rules.name])
    queue.purge()
    invocation.node.drain()


def _delete_queue_banner(invocation: Invocation) -> list[str]:
    conditions = " and ".join(
        text
        for options, text in ((_IF_EMPTY, "if queue is empty"), (_IF_UNUSED, "if queue is unused"))
        if any(option in invocation.options for option in options)
    )
    where = f"Deleting queue '{invocation.arguments[0]}' on vhost '{invocation.vhost_name}'"
    return [f"{where} {conditions} ..." if conditions else f"{where} ..."]


_IF_EMPTY, _IF_UNUSED = ("--if-empty", "-e"), ("--if-unused", "-u")


_REFUSED_BY_4_0 = (
    "{{:amqp_error, :precondition_failed, ~c\"queue '{queue}' in vhost '{vhost}' {reason}\", :none}}"
)


_QUEUE_IS_NOT_EMPTY = {"rabbitmq-3.10": "Queue is not empty", "rabbitmq-4.0": "not empty"}


_QUEUE_IS_IN_USE = {"rabbitmq-3.10": "Queue is in use", "rabbitmq-4.0": "in use"}


def _delete_queue(invocation: Invocation) -> None:
    queue = _queue(invocation)
    if queue is None:
        raise Failure("Error:\nQueue not found", USAGE)
    rules = invocation.node.rules.name
    for options, is_met, reason in (
        (_IF_EMPTY, not queue.ready_count, _QUEUE_IS_NOT_EMPTY[rules]),
        (_IF_UNUSED, not queue.ring.all, _QUEUE_IS_IN_USE[rules]),
    ):
        if not is_met and any(option in invocation.options for option in options):
            form, status = ("{reason}", USAGE) if rules == "rabbitmq-3.10" else (_REFUSED_BY_4_0, UNAVAILABLE)
            text = form.format(reason=reason, queue=queue.name, vhost=queue.vhost.name)
            raise Failure(f"Error:\n{text}", status)
    count = queue.vhost.delete_queue(queue)
    invocation.node.drain()
    invocation.said.append(f"Queue was successfully deleted with {count} ready messages")


COMMANDS: dict[str, Command] = {
    "list_queues": Command(
        _queues,
        says("Listing queues for vhost {vhost} ..."),
        most=None,
        options={"--online": False, "--offline": False, "--local": False},
        shows_timeout=True,
        streams=True,
    ),
    "list_consumers": Command(
        _of_vhost(listings.list_consumers),
        says("Listing consumers in vhost {vhost} ..."),
        most=None,
        streams=True,
    ),
    "list_channels": Command(
        _of_node(listings.list_channels), says("Listing channels ..."), most=None, streams=True
    ),
    "list_connections": Command(
        _of_node(listings.list_connections), says("Listing connections ..."), most=None, streams=True
    ),
    "list_exchanges": Command(
        _of_vhost(listings.list_exchanges),
        says("Listing exchanges for vhost {vhost} ..."),
        most=None,
        streams=True,
    ),
    "list_bindings": Command(
        _of_vhost(listings.list_bindings),
        says("Listing bindings for vhost {vhost}..."),
        most=None,
        streams=True,
    ),
    "purge_queue": Command(_purge_queue, says("Purging queue '{0}' in vhost '{vhost}' ..."), least=1, most=1),
    "delete_queue": Command(
        _delete_queue,
        _delete_queue_banner,
        least=1,
        most=1,
        options=dict.fromkeys((*_IF_EMPTY, *_IF_UNUSED), False),
    ),
    **ctl_access.COMMANDS,
    **ctl_limits.COMMANDS,
    **ctl_policies.COMMANDS,
    **ctl_operations.COMMANDS,
    **ctl_settings.COMMANDS,
}
"""Name -> command."""
