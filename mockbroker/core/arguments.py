"""Arguments of declarations: which there are, what they may hold, when two declarations are the same.

Owns: the wire names of all optional arguments, and the checks on their values. Refuses to know: what an
argument does once it is accepted (``core/queues/``, ``core/policies.py``). Source: RabbitMQ documentation,
"Queues: Optional Arguments"; recorded scenarios ``declare/invalid-*`` and ``declare/mismatch-*``.

Read next: ``core/vhost.py``, ``core/queues/base.py``.
"""

from __future__ import annotations

from mockbroker.core import refusals
from mockbroker.terms import Atom, Characters, comparable, term_of
from mockbroker.values import LongString, Timestamp, is_integer, octets, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from mockbroker.rules import Rules

EXPIRES = "x-expires"
MESSAGE_TTL = "x-message-ttl"
DEAD_LETTER_EXCHANGE = "x-dead-letter-exchange"
DEAD_LETTER_ROUTING_KEY = "x-dead-letter-routing-key"
DEAD_LETTER_STRATEGY = "x-dead-letter-strategy"
MAX_LENGTH = "x-max-length"
MAX_LENGTH_BYTES = "x-max-length-bytes"
MAX_IN_MEMORY_LENGTH = "x-max-in-memory-length"
MAX_IN_MEMORY_BYTES = "x-max-in-memory-bytes"
MAX_PRIORITY = "x-max-priority"
OVERFLOW = "x-overflow"
QUEUE_MODE = "x-queue-mode"
QUEUE_VERSION = "x-queue-version"
MASTER_LOCATOR = "x-queue-master-locator"
SINGLE_ACTIVE_CONSUMER = "x-single-active-consumer"
QUEUE_TYPE = "x-queue-type"
QUORUM_GROUP_SIZE = "x-quorum-initial-group-size"
DELIVERY_LIMIT = "x-delivery-limit"
MAX_AGE = "x-max-age"
SEGMENT_SIZE = "x-stream-max-segment-size-bytes"
FILTER_SIZE = "x-stream-filter-size-bytes"
CLUSTER_SIZE = "x-initial-cluster-size"
LEADER_LOCATOR = "x-queue-leader-locator"
CONSUMER_TIMEOUT = "x-consumer-timeout"
ALTERNATE_EXCHANGE = "alternate-exchange"

PRIORITY = "x-priority"
CANCEL_ON_FAILOVER = "x-cancel-on-ha-failover"
STREAM_OFFSET = "x-stream-offset"
STREAM_FILTER = "x-stream-filter"
STREAM_MATCH_UNFILTERED = "x-stream-match-unfiltered"

_LONGEST_MS = 315_360_000_000
"""The longest time to live: ten years, on both versions. Source: recorded scenarios
``publish/expiration-huge`` and ``declare/value-ttl-above-32``; the exact bound was asked of the
servers."""

LARGEST_SEGMENT_BYTES = 3_000_000_000
"""The largest size of a stream's segment. Source: recorded scenarios ``declare/value-segment-size-too-large``
and ``policies/segment-size``."""
LEADER_LOCATORS = ("client-local", "random", "least-leaders", "balanced")
MASTER_LOCATORS = ("min-masters", "client-local", "random")

_OVERFLOWS = ("drop-head", "reject-publish", "reject-publish-dlx")
_AGE_UNITS = {"Y": 31_536_000, "M": 2_592_000, "D": 86_400, "h": 3_600, "m": 60, "s": 1}


class _Unacceptable(Exception):
    """Carries RabbitMQ's reason for refusing a value: an Erlang term, or words that the value follows."""

    def __init__(self, reason: str, value: Any = None) -> None:
        super().__init__(reason)
        self._reason = reason
        self._value = value

    def text(self, rules: Rules) -> str:
        """Return the reason as it is shown."""
        if self._value is None:
            return self._reason
        return _quoted(f"{self._reason} '{refusals.shown(self._value, rules, 0)}'")


def _quoted(text: str) -> str:
    return f'"{text}"'


def _check_integer(value: Any) -> int:
    if not is_integer(value):
        raise _Unacceptable(_quoted(f"expected integer, got {type_name(value)}"))
    return int(value)


def _check_not_negative(value: Any) -> int:
    number = _check_integer(value)
    if number < 0:
        raise _Unacceptable(f"{{value_negative,{number}}}")
    return number


def _check_ttl(value: Any) -> None:
    number = _check_not_negative(value)
    if number > _LONGEST_MS:
        raise _Unacceptable(f"{{value_too_large,{number}}}")


def _check_expires(value: Any) -> None:
    if is_integer(value) and value == 0:
        raise _Unacceptable("{value_zero,0}")
    _check_ttl(value)


def _check_max_priority(value: Any) -> None:
    number = _check_not_negative(value)
    if number > 255:
        raise _Unacceptable(f"{{max_value_exceeded,{number}}}")


def _check_string(value: Any) -> str:
    if isinstance(value, LongString):
        return value.decode("latin-1")
    if not isinstance(value, str):
        raise _Unacceptable(f"{{unacceptable_type,{type_name(value)}}}")
    return value


def _check_bool(value: Any) -> None:
    if not isinstance(value, bool):
        raise _Unacceptable(f"{{unacceptable_type,{type_name(value)}}}")


def _one_of(words: Iterable[str], reason: str) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if _check_string(value) not in words:
            raise _Unacceptable(reason)

    return check


def _check_queue_mode(value: Any) -> None:
    if _check_string(value) not in ("default", "lazy"):
        raise _Unacceptable("unsupported queue mode", value)


def _check_queue_version(value: Any) -> None:
    if _check_not_negative(value) not in (1, 2):
        raise _Unacceptable("unsupported queue version", value)


def _check_group_size(value: Any) -> None:
    number = _check_not_negative(value)
    if number == 0:
        raise _Unacceptable("{value_zero,0}")


def parse_age_s(text: str) -> int | None:
    """Return the seconds of an age such as ``7D`` or ``1h``, None when it is none.

    Units are Y, M, D, h, m, s. Raises HardError 541 for what does not begin with a digit: a real server's
    process dies of it. Source: RabbitMQ documentation, "Streams"; recorded scenario
    ``streams/max-age-invalid``.
    """
    unit = text.lstrip("0123456789")
    if unit == text:
        raise refusals.internal_error()
    number = int(text[: len(text) - len(unit)])
    return number * _AGE_UNITS[unit] if number and unit in _AGE_UNITS else None


def _check_max_age(value: Any) -> None:
    if parse_age_s(_check_string(value)) is None:
        raise _Unacceptable("invalid_max_age")


_QUEUE_CHECKS: dict[str, Callable[[Any], object]] = {
    EXPIRES: _check_expires,
    MESSAGE_TTL: _check_ttl,
    DEAD_LETTER_EXCHANGE: _check_string,
    DEAD_LETTER_ROUTING_KEY: _check_string,
    DEAD_LETTER_STRATEGY: _one_of(("at-most-once", "at-least-once"), "invalid_dlx_strategy"),
    MAX_LENGTH: _check_not_negative,
    MAX_LENGTH_BYTES: _check_not_negative,
    MAX_IN_MEMORY_LENGTH: _check_not_negative,
    MAX_IN_MEMORY_BYTES: _check_not_negative,
    MAX_PRIORITY: _check_max_priority,
    OVERFLOW: _one_of(_OVERFLOWS, "invalid_overflow"),
    QUEUE_MODE: _check_queue_mode,
    QUEUE_VERSION: _check_queue_version,
    SINGLE_ACTIVE_CONSUMER: _check_bool,
    QUEUE_TYPE: _check_string,
    QUORUM_GROUP_SIZE: _check_group_size,
    MAX_AGE: _check_max_age,
    SEGMENT_SIZE: _check_not_negative,
    CLUSTER_SIZE: _check_group_size,
    LEADER_LOCATOR: _one_of(LEADER_LOCATORS, "invalid_queue_locator_arg"),
}
"""Argument -> check, in the order in which RabbitMQ applies them."""

_CONSUMER_CHECKS: dict[str, Callable[[Any], object]] = {
    PRIORITY: _check_integer,
    CANCEL_ON_FAILOVER: _check_bool,
}

_CLASSIC = frozenset(
    (
        EXPIRES,
        MESSAGE_TTL,
        DEAD_LETTER_EXCHANGE,
        DEAD_LETTER_ROUTING_KEY,
        MAX_LENGTH,
        MAX_LENGTH_BYTES,
        MAX_PRIORITY,
        OVERFLOW,
        QUEUE_MODE,
        QUEUE_VERSION,
        SINGLE_ACTIVE_CONSUMER,
        QUEUE_TYPE,
        MASTER_LOCATOR,
    )
)
_QUORUM = (
    DEAD_LETTER_EXCHANGE,
    DEAD_LETTER_ROUTING_KEY,
    DEAD_LETTER_STRATEGY,
    EXPIRES,
    MAX_LENGTH,
    MAX_LENGTH_BYTES,
    MAX_IN_MEMORY_LENGTH,
    MAX_IN_MEMORY_BYTES,
    OVERFLOW,
    SINGLE_ACTIVE_CONSUMER,
    QUEUE_TYPE,
    QUORUM_GROUP_SIZE,
    DELIVERY_LIMIT,
    MESSAGE_TTL,
    LEADER_LOCATOR,
)
_STREAM = (MAX_LENGTH_BYTES, QUEUE_TYPE, MAX_AGE, SEGMENT_SIZE, CLUSTER_SIZE, LEADER_LOCATOR)
_OF_TYPE = {"classic": _CLASSIC, "quorum": frozenset(_QUORUM), "stream": frozenset(_STREAM)}
QUEUE_TYPES = tuple(_OF_TYPE)
_TYPED = _CLASSIC.union(_QUORUM, _STREAM)
"""Arguments that belong to a queue type; any other is accepted and ignored."""
_COMPARED = {
    "classic": (*(argument for argument in _QUEUE_CHECKS if argument in _CLASSIC), MASTER_LOCATOR),
    "quorum": _QUORUM,
    "stream": _STREAM,
}
"""Queue type -> what is compared on redeclaring, in the order in which RabbitMQ does."""


def queue_type_of(arguments: dict[str, Any]) -> str:
    """Return the queue type that the arguments ask for: ``classic`` when they name none."""
    kind = arguments.get(QUEUE_TYPE, "classic")
    return kind if isinstance(kind, str) else "classic"


def check_queue_arguments(name: str, vhost: str, arguments: dict[str, Any], rules: Rules) -> None:
    """Refuse arguments that a new queue cannot have: first wrong values of its own, then other types' ones.

    The latter come in the order in which they were sent; where the rules add a type that was not sent, they
    are sorted. Raises SoftError 406 with RabbitMQ's text for the first that is wrong, HardError 541 for some.
    Source: recorded scenario ``declare/order-of-argument-checks``.
    """
    if not arguments:
        return
    _check_queue_type(name, vhost, arguments, rules)
    kind = queue_type_of(arguments)
    own = _OF_TYPE[kind].union(rules.arguments_of_every_queue_type)
    for argument, check in _QUEUE_CHECKS.items():
        if argument in arguments and argument in own:
            try:
                check(arguments[argument])
                if argument == DEAD_LETTER_ROUTING_KEY and DEAD_LETTER_EXCHANGE not in arguments:
                    raise _Unacceptable("routing_key_but_no_dlx_defined")
            except _Unacceptable as reason:
                raise refusals.invalid_argument(argument, name, vhost, reason.text(rules)) from None
    is_sorted = rules.added_queue_type_sorts_arguments and QUEUE_TYPE not in arguments
    for argument in sorted(arguments) if is_sorted else arguments:
        if argument in _TYPED and argument not in own:
            raise refusals.invalid_argument_for_type(argument, name, vhost, f"rabbit_{kind}_queue")


def _check_queue_type(name: str, vhost: str, arguments: dict[str, Any], rules: Rules) -> None:
    kind = arguments.get(QUEUE_TYPE, "classic")
    try:
        if _check_string(kind) not in _OF_TYPE:
            raise _Unacceptable("unsupported queue type", kind)
    except _Unacceptable as reason:
        raise refusals.invalid_argument(QUEUE_TYPE, name, vhost, reason.text(rules)) from None


def check_stream_sizes(arguments: dict[str, Any], rules: Rules) -> None:
    """Refuse a size of segments or filters that a stream cannot have: SoftError 406.

    Source: recorded scenarios ``declare/value-segment-size-too-large`` and ``declare/value-filter-size``.
    """
    if arguments.get(SEGMENT_SIZE, 0) > LARGEST_SEGMENT_BYTES:
        raise refusals.segment_too_large(SEGMENT_SIZE)
    if rules.stream_filters and FILTER_SIZE in arguments:
        size = arguments[FILTER_SIZE]
        is_number = is_integer(size) or isinstance(size, Timestamp)
        if not is_number or not 16 <= size <= 255:
            raise refusals.wrong_filter_size(FILTER_SIZE)


def check_consumer_arguments_of(
    kind: str, name: str, vhost: str, arguments: dict[str, Any], rules: Rules
) -> None:
    """Refuse arguments that consumers of a queue type cannot have, then wrong values: SoftError 406.

    One that no queue type knows is accepted, whatever its value. Source: recorded scenario
    ``consumer-cancel/on-failover-any-value``.
    """
    known = rules.consumer_arguments
    for argument in sorted({each for names in known.values() for each in names}):
        if argument in arguments and argument not in known[kind]:
            raise refusals.invalid_argument_for_type(argument, name, vhost, f"rabbit_{kind}_queue")
    for argument, check in _CONSUMER_CHECKS.items():
        if argument in arguments and argument in known[kind]:
            try:
                check(arguments[argument])
            except _Unacceptable as reason:
                raise refusals.invalid_argument(argument, name, vhost, reason.text(rules)) from None


def check_stream_offset(name: str, vhost: str, arguments: dict[str, Any], rules: Rules) -> None:
    """Refuse an x-stream-offset that is none.

    Raises SoftError 406, and HardError 541 for what a real server's process dies of: another type, or a text
    that neither is a name nor begins with a digit. Source: recorded scenarios ``streams/offset-*``.
    """
    if STREAM_OFFSET not in arguments:
        return
    offset = arguments[STREAM_OFFSET]
    if is_integer(offset) or isinstance(offset, Timestamp) or offset in ("first", "last", "next"):
        return
    if isinstance(offset, LongString):
        age_s = parse_age_s(offset.decode("latin-1"))
    elif isinstance(offset, str):
        age_s = parse_age_s(offset)
    else:
        raise refusals.internal_error()
    if age_s is None:
        reason = (Atom("invalid_stream_offset_arg"), (Atom("longstr"), term_of(offset)))
        raise refusals.invalid_argument(STREAM_OFFSET, name, vhost, refusals.octets_of(reason, rules))


def check_same_queue_arguments(
    name: str, vhost: str, current: dict[str, Any], received: dict[str, Any], rules: Rules
) -> None:
    """Refuse a redeclaration whose arguments differ from the queue's: SoftError 406 naming both values.

    Those that queues of its type have are compared, and no others. Source: recorded scenarios
    ``declare/redeclare-*``.
    """
    current, received = dict(current), dict(received)
    for one, other in ((current, received), (received, current)):
        if rules.default_queue_type_in_equivalence or other.get(QUEUE_TYPE) == "classic":
            one.setdefault(QUEUE_TYPE, "classic")
    compared = _COMPARED[queue_type_of(current)]
    more = [each for each in rules.arguments_of_every_queue_type if each not in compared]
    check_same_arguments("queue", name, vhost, current, received, (*compared, *more), rules)


def check_same_arguments(
    kind: str,
    name: str,
    vhost: str,
    current: dict[str, Any],
    received: dict[str, Any],
    names: Iterable[str],
    rules: Rules,
) -> None:
    """Refuse a redeclaration where one of the arguments called `names` differs: SoftError 406."""
    for argument in names:
        is_there, was_there = argument in received, argument in current
        if not (is_there or was_there):
            continue
        new, old = received.get(argument), current.get(argument)
        if is_there and was_there:
            if _same_value(old, new):
                continue
            raise refusals.inequivalent_values(argument, kind, name, vhost, new, old, rules)
        raise refusals.inequivalent(
            argument,
            kind,
            name,
            vhost,
            refusals.described(new, rules, present=is_there),
            refusals.described(old, rules, present=was_there),
        )


def _same_value(old: Any, new: Any) -> bool:
    """Whether two values are the same whatever their type: recorded ``declare/mismatch-not-by-type``."""
    return bool(comparable(term_of(old), exactly=True) == comparable(term_of(new), exactly=True))


def exchange_argument(
    argument: str, kind: str, name: str, vhost: str, arguments: dict[str, Any]
) -> str | None:
    """Return an argument that names an exchange, None when it is not there.

    Raises SoftError 406 when it is no string.
    """
    if argument not in arguments:
        return None
    value = arguments[argument]
    if isinstance(value, LongString):
        return value.decode("utf-8", "surrogateescape")
    if not isinstance(value, str):
        raise refusals.invalid_argument_type(argument, kind, name, vhost, value)
    return value


def expiration_ms(text: str, rules: Rules) -> int:
    """Return the milliseconds of the property ``expiration``.

    Leading digits are read as Erlang's ``string:to_integer`` does, a sign included; what is left over is
    refused. Raises SoftError 406. Source: recorded scenarios ``publish/expiration-*``.
    """
    digits = text[1:] if text[:1] in ("+", "-") else text
    length = len(digits) - len(digits.lstrip("0123456789"))
    if not length:
        raise refusals.invalid_expiration(text, Atom("no_integer"), rules)
    number, rest = int(digits[:length]), digits[length:]
    if text[0] == "-":
        number = -number
    if rest:
        leftover = Characters(octets(rest))
        raise refusals.invalid_expiration(text, (Atom("leftover_string"), leftover), rules)
    if number < 0:
        raise refusals.invalid_expiration(text, (Atom("value_negative"), number), rules)
    if number > _LONGEST_MS:
        raise refusals.invalid_expiration(text, (Atom("value_too_large"), number), rules)
    return number


def check_master_locator(arguments: dict[str, Any]) -> None:
    """Refuse an unknown x-queue-master-locator as RabbitMQ 3.10 does, after all other arguments: HardError
    541."""
    locator = arguments.get(MASTER_LOCATOR, "random")
    name = locator.decode("latin-1") if isinstance(locator, bytes) else locator
    if name not in MASTER_LOCATORS:
        raise refusals.internal_error()
