"""The wording of every refusal, as RabbitMQ gives it.

Owns: the texts that clients may match on. Each function makes one error; whoever finds the fault raises it.
Refuses to know: when a refusal is due. Source of the texts: the recorded scenarios.

Read next: ``errors.py``, ``core/vhost.py``.
"""

from __future__ import annotations

from mockbroker.erlang_text import pretty
from mockbroker.errors import AMQPError, HardError, SoftError
from mockbroker.terms import Characters, term_of
from mockbroker.values import Decimal, octets, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mockbroker.rules import Rules
    from mockbroker.terms import Term


def resource(kind: str, name: str, vhost: str) -> str:
    """Name a queue or an exchange as RabbitMQ's texts do.

    >>> resource("queue", "q", "/")
    "queue 'q' in vhost '/'"
    """
    return f"{kind} '{name}' in vhost '{vhost}'"


# -- absent, locked, in use


def not_found(kind: str, name: str, vhost: str) -> SoftError:
    """404: there is no such queue or exchange."""
    return SoftError("NOT_FOUND", f"no {resource(kind, name, vhost)}")


def exchange_not_found(name: str, vhost: str, rules: Rules) -> SoftError:
    """404: there is no such exchange; its name, of a publish, may be octets that are not UTF-8."""
    return not_found("exchange", _text(octets(name), rules), vhost)


def no_previous_queue() -> SoftError:
    """404: an empty queue name on a channel that has declared none."""
    return SoftError("NOT_FOUND", "no previously declared queue")


def locked_queue(name: str, vhost: str) -> SoftError:
    """405: another connection's exclusive queue, or a declaration that differs in exclusiveness."""
    return SoftError(
        "RESOURCE_LOCKED",
        f"cannot obtain exclusive access to locked {resource('queue', name, vhost)}. "
        "It could be originally declared on another connection or the exclusive property value "
        "does not match that of the original declaration.",
    )


def queue_in_exclusive_use(name: str, vhost: str) -> SoftError:
    """403: a consumer asks for a queue that has an exclusive one, or for exclusiveness where there are
    others."""
    return SoftError("ACCESS_REFUSED", f"{resource('queue', name, vhost)} in exclusive use")


def in_use(kind: str, name: str, vhost: str) -> SoftError:
    """406: deleted with if_unused while in use."""
    return SoftError("PRECONDITION_FAILED", f"{resource(kind, name, vhost)} in use")


def not_empty(name: str, vhost: str) -> SoftError:
    """406: deleted with if_empty while there are messages."""
    return SoftError("PRECONDITION_FAILED", f"{resource('queue', name, vhost)} not empty")


# -- access


def login_refused(mechanism: str = "PLAIN") -> HardError:
    """403: a wrong name or password."""
    return HardError(
        "ACCESS_REFUSED",
        f"Login was refused using authentication mechanism {mechanism}. For details see the broker logfile.",
    )


def vhost_not_found(name: str) -> HardError:
    """530: connection.open for a virtual host that does not exist."""
    return HardError("NOT_ALLOWED", f"vhost {name} not found")


def vhost_access_refused(name: str, username: str) -> HardError:
    """530: connection.open for a virtual host that the user has no permissions in."""
    return HardError("NOT_ALLOWED", f"access to vhost '{name}' refused for user '{username}'")


def access_refused(permission: str, kind: str, name: str, vhost: str, username: str) -> SoftError:
    """403: the user lacks a permission (configure, write or read) on a queue or exchange."""
    shown_name = name or "amq.default"
    return SoftError("ACCESS_REFUSED", _refused(permission, f"{kind} '{shown_name}'", vhost, username))


def topic_access_refused(permission: str, key: str, exchange: str, vhost: str, username: str) -> SoftError:
    """403: the user's topic permission does not cover the routing key."""
    return SoftError(
        "ACCESS_REFUSED", _refused(permission, f"topic '{key}' in exchange '{exchange}'", vhost, username)
    )


def _refused(permission: str, thing: str, vhost: str, username: str) -> str:
    """`permission` is empty where the rules do not name it."""
    access = f"{permission} access" if permission else "access"
    return f"{access} to {thing} in vhost '{vhost}' refused for user '{username}'"


def default_exchange() -> SoftError:
    """403: the default exchange cannot be declared, deleted or bound."""
    return SoftError("ACCESS_REFUSED", "operation not permitted on the default exchange")


def reserved_name(kind: str, name: str) -> SoftError:
    """403: names that begin with ``amq.`` belong to the server."""
    return SoftError("ACCESS_REFUSED", f"{kind} name '{name}' contains reserved prefix 'amq.*'")


def system_exchange(name: str, vhost: str) -> SoftError:
    """403: predeclared exchanges cannot be deleted."""
    return SoftError("ACCESS_REFUSED", f"deletion of system {resource('exchange', name, vhost)} not allowed")


def internal_exchange(name: str, vhost: str) -> SoftError:
    """403: clients cannot publish to an internal exchange."""
    return SoftError("ACCESS_REFUSED", f"cannot publish to internal {resource('exchange', name, vhost)}")


# -- declarations


def shown(value: Any, rules: Rules, column: int) -> str:
    """Show a table value that begins at `column` as Erlang prints it, but strings bare."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return _text(value, rules)
    return printed(value, rules, column)


def _text(raw: bytes, rules: Rules) -> str:
    """Show octets as a text, whether they are UTF-8 or not."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        encoding = "latin-1" if rules.bytes_are_shown_as_latin1 else "utf-8"
        return raw.decode(encoding, "surrogateescape")


def printed(value: Any, rules: Rules, column: int) -> str:
    """Show a table value that begins at `column` as Erlang prints it."""
    return pretty(term_of(value), column, unicode=rules.terms_are_shown_in_unicode)


def octets_of(reason: Term, rules: Rules, column: int = 0) -> str:
    """Show a term that begins at `column` as texts do that know octets only.

    Some rules send each octet as a character. Source: recorded scenarios ``publish/expiration-leftover`` and
    ``streams/offset-unprintable``.
    """
    text = pretty(reason, column, unicode=False)
    if rules.bytes_are_shown_as_latin1:
        return octets(text).decode("latin-1")
    return text


def term(value: Any) -> str:
    """Show a JSON value as Erlang prints it.

    >>> print(term({"a": [None, "", True]}))
    #{<<"a">> => [null,<<>>,true]}
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return pretty(value, unicode=False)
    if isinstance(value, str):
        return pretty(octets(value), unicode=False)
    if isinstance(value, dict):
        return f"#{{{','.join(f'{term(key)} => {term(value[key])}' for key in sorted(value))}}}"
    if isinstance(value, list):
        if value and all(type(each) is int and 0 <= each <= 255 for each in value):
            return pretty(Characters(value), unicode=False)
        return f"[{','.join(map(term, value))}]"
    return str(value)


def inequivalent(what: str, kind: str, name: str, vhost: str, received: Any, current: Any) -> SoftError:
    """406: redeclared with another property or argument."""
    head = f"inequivalent arg '{what}' for {resource(kind, name, vhost)}"
    return SoftError("PRECONDITION_FAILED", f"{head}: received {received} but current is {current}")


def inequivalent_values(
    what: str, kind: str, name: str, vhost: str, received: Any, current: Any, rules: Rules
) -> AMQPError:
    """406: redeclared with another value, both of which are there. A decimal makes it 541."""
    if isinstance(received, Decimal) or isinstance(current, Decimal):
        return internal_error()
    texts = ["none" if value is None else f"'{shown(value, rules, 1)}'" for value in (received, current)]
    return inequivalent(what, kind, name, vhost, *texts)


def described(value: Any, rules: Rules, *, present: bool) -> str:
    """Describe an argument's value beside one that is absent: ``none`` or its value and type."""
    if not present:
        return "none"
    before = "the value '"
    return f"{before}{shown(value, rules, len(before))}' of type '{type_name(value)}'"


def invalid_argument(argument: str, name: str, vhost: str, reason: str, kind: str = "queue") -> SoftError:
    """406: an argument of a declaration that is not acceptable."""
    return SoftError(
        "PRECONDITION_FAILED", f"invalid arg '{argument}' for {resource(kind, name, vhost)}: {reason}"
    )


def invalid_argument_for_type(argument: str, name: str, vhost: str, module: str) -> SoftError:
    """406: an argument that this queue type does not have."""
    return SoftError(
        "PRECONDITION_FAILED",
        f"invalid arg '{argument}' for {resource('queue', name, vhost)} of queue type {module}",
    )


def invalid_argument_type(argument: str, kind: str, name: str, vhost: str, value: Any) -> SoftError:
    """406: an argument that names something and is not a string."""
    return SoftError(
        "PRECONDITION_FAILED",
        f"invalid type '{type_name(value)}' for arg '{argument}' in {resource(kind, name, vhost)}",
    )


def invalid_property(what: str, name: str, vhost: str) -> SoftError:
    """406: a property that this queue type does not have."""
    return SoftError("PRECONDITION_FAILED", f"invalid property '{what}' for {resource('queue', name, vhost)}")


def server_named_not_for(module: str) -> SoftError:
    """406: this queue type cannot be server-named."""
    return SoftError("PRECONDITION_FAILED", f"Cannot declare a server-named queue for type {module}")


def segment_too_large(argument: str) -> SoftError:
    """406: segments of a stream that are larger than there may be."""
    return SoftError("PRECONDITION_FAILED", f"Exceeded max value for {argument}")


def wrong_filter_size(argument: str) -> SoftError:
    """406: a stream's filter that is too small, too large or no number."""
    return SoftError("PRECONDITION_FAILED", f"Invalid value for  {argument}")


_ATOMS = frozenset(
    (
        *("classic", "default", "exchange", "header", "internal", "log", "match", "none", "null", "ok"),
        *("queue", "queues", "rabbit", "random", "rpc", "stream", "true", "undefined"),
    )
)
"""Words that mean something to RabbitMQ's node, and are no exchange type: the usual ones of thousands."""


def unknown_exchange_type(kind: str, rules: Rules) -> SoftError | HardError:
    """503 for the connection on 3.10, 406 for the channel on 4.0.

    A word that the server uses for something else is an invalid type. Source: recorded scenarios
    ``exchanges/declare-invalid-type*``.
    """
    text = f"{'invalid' if not kind or kind in _ATOMS else 'unknown'} exchange type '{kind}'"
    if rules.unknown_exchange_type_closes_connection:
        return HardError("COMMAND_INVALID", text)
    return SoftError("PRECONDITION_FAILED", text)


def bad_match_type(value: Any, rules: Rules) -> SoftError:
    """406: x-match of a headers binding is not a string."""
    before = f"Invalid x-match field type {type_name(value)} (value "
    text = printed(value, rules, len(before))
    return SoftError("PRECONDITION_FAILED", f"{before}{text}); expected longstr")


def bad_match_value(value: str | bytes, rules: Rules) -> SoftError:
    """406: x-match of a headers binding is none of the four words."""
    before = "Invalid x-match field value "
    text = printed(value, rules, len(before))
    return SoftError("PRECONDITION_FAILED", f"{before}{text}; expected all, any, all-with-x, or any-with-x")


# -- publishing


def invalid_expiration(text: str, reason: Term, rules: Rules) -> SoftError:
    """406: an expiration that is not a number of milliseconds."""
    head = f"invalid expiration '{text}': "
    return SoftError("PRECONDITION_FAILED", head + octets_of(reason, rules, len(head)))


def invalid_route_header(header: str, value: Any) -> SoftError:
    """406: CC or BCC is not an array of strings."""
    return SoftError(
        "PRECONDITION_FAILED",
        f'invalid message: {{unacceptable_type_in_header,"{header}",{type_name(value)}}}',
    )


def unknown_delivery_mode(mode: int) -> SoftError:
    """406: a delivery mode other than 1 and 2."""
    return SoftError("PRECONDITION_FAILED", f"invalid message: {{delivery_mode_unknown,{mode}}}")


def too_large(body_bytes: int, limit_bytes: int) -> SoftError:
    """406: a body above the message size limit."""
    return SoftError(
        "PRECONDITION_FAILED", f"message size {body_bytes} is larger than configured max size {limit_bytes}"
    )


def user_id_mismatch(given: str, username: str) -> SoftError:
    """406: the property user_id is not the connection's user."""
    return SoftError(
        "PRECONDITION_FAILED", f"user_id property set to '{given}' but authenticated user was '{username}'"
    )


def no_fast_reply_consumer() -> SoftError:
    """406: reply_to names the pseudo-queue, and the channel does not consume from it."""
    return SoftError("PRECONDITION_FAILED", "fast reply consumer does not exist")


def not_implemented(text: str) -> HardError:
    """540: a part of the protocol that RabbitMQ does not implement."""
    return HardError("NOT_IMPLEMENTED", text)


def internal_error() -> HardError:
    """541: what makes a real server's process die."""
    return HardError("INTERNAL_ERROR")


# -- consuming


def tag_in_use(tag: str) -> HardError:
    """530: a consumer tag that the channel uses already."""
    return HardError("NOT_ALLOWED", f"attempt to reuse consumer tag '{tag}'")


def unknown_delivery_tag(tag: int) -> SoftError:
    """406: a tag that is not outstanding on this channel."""
    return SoftError("PRECONDITION_FAILED", f"unknown delivery tag {tag}")


def delivery_ack_timeout(channel_number: int, timeout_ms: int) -> SoftError:
    """406: a delivery was not acknowledged in time."""
    return SoftError(
        "PRECONDITION_FAILED",
        f"delivery acknowledgement on channel {channel_number} timed out. "
        f"Timeout value used: {timeout_ms} ms. "
        "This timeout value can be configured, see consumers doc guide to learn more",
    )


# -- modes


def cannot_switch(from_mode: str, to_mode: str) -> SoftError:
    """406: a channel is either in confirm or in transaction mode."""
    return SoftError("PRECONDITION_FAILED", f"cannot switch from {from_mode} to {to_mode} mode")


def not_transactional() -> SoftError:
    """406: commit or rollback without tx.select."""
    return SoftError("PRECONDITION_FAILED", "channel is not transactional")


def partial_commit() -> SoftError:
    """406: a transaction that could not be carried out whole."""
    return SoftError("PRECONDITION_FAILED", "partial tx completion")


def stream_not_found(name: str, vhost: str) -> HardError:
    """506: a commit to a stream that is gone."""
    return HardError("RESOURCE_ERROR", f"Stream not found for queue '{name}' in vhost '{vhost}'")


def shutdown() -> HardError:
    """320: the broker stops."""
    return HardError("CONNECTION_FORCED", "broker forced connection closure with reason 'shutdown'")


def forced(reason: str) -> HardError:
    """320: an operator closes the connection."""
    return HardError("CONNECTION_FORCED", reason)
