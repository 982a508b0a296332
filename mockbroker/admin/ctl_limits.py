"""rabbitmqctl's limits: of virtual hosts, of users, and the thresholds below which alarms go off.

Owns: these commands, their banners and the texts of their failures.
Refuses to know: what a limit does (``core/limits.py``), and what an alarm does.
Source: rabbitmqctl of RabbitMQ 3.10.8 and 4.0.5; RabbitMQ documentation, "Memory and Disk Alarms".

Memory never runs out here, so a threshold of nothing raises the memory alarm, as on a server, and any other
lifts it. The disk's free space is the model's, and is compared with its limit.

Read next: ``ctl_invocation.py``, ``../core/limits.py``.
"""

from __future__ import annotations

import json
import re

from mockbroker.admin.ctl_invocation import (
    NOT_ENOUGH,
    TOO_MANY,
    BadArgument,
    Command,
    Failure,
    Invocation,
    Message,
    Misuse,
    says,
)
from mockbroker.core.limits import (
    USER_LIMITS,
    VHOST_LIMITS,
    check_user_limit,
    check_vhost_limit,
)
from mockbroker.errors import PolicyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from mockbroker.admin.ctl_invocation import Answer


def _limits(
    invocation: Invocation, text: str, known: Sequence[str], check: Callable[[str, Any], None]
) -> dict[str, Any]:
    """Return the limits in a JSON text. Raises `Failure` for one that is refused, an unknown one first."""
    limits = invocation.json(text)
    if not isinstance(limits, dict):
        raise Failure(f"Error:\nlimits must be a JSON object, not {text}")
    for name in sorted(limits, key=lambda name: name in known):
        try:
            check(name, limits[name])
        except PolicyError as error:
            raise Failure(f"Error:\n{error.reason}") from None
    return limits


def _shown(limits: dict[str, int]) -> dict[str, int]:
    return dict(sorted(limits.items()))


def _as_text(limits: dict[str, int]) -> str:
    return json.dumps(_shown(limits), separators=(",", ":"))


def _set_vhost_limits(invocation: Invocation) -> None:
    """Set the limits; those that are not named are no limits any more."""
    vhost = invocation.vhost
    limits = _limits(invocation, invocation.arguments[0], VHOST_LIMITS, check_vhost_limit)
    _forget_vhost_limits(invocation)
    for name, value in limits.items():
        invocation.node.set_vhost_limit(vhost.name, name, value)


def _forget_vhost_limits(invocation: Invocation) -> None:
    for name in VHOST_LIMITS:
        invocation.node.clear_vhost_limit(invocation.vhost.name, name)


def _clear_vhost_limits(invocation: Invocation) -> None:
    vhost = invocation.node.vhosts.get(invocation.vhost_name)
    if vhost is None or not vhost.limits:
        raise Failure("Error:\nParameter does not exist")
    _forget_vhost_limits(invocation)


def _list_vhost_limits(invocation: Invocation) -> Answer:
    if "--global" not in invocation.options:
        limits = invocation.vhost.limits
        return _as_text(limits) if limits else []
    vhosts = sorted(invocation.node.vhosts.items())
    return [{"vhost": name, "limits": _shown(vhost.limits)} for name, vhost in vhosts if vhost.limits]


def _list_vhost_limits_banner(invocation: Invocation) -> list[str]:
    if "--global" in invocation.options:
        return ["Listing limits for all vhosts ..."]
    return [f'Listing limits for vhost "{invocation.vhost_name}" ...']


def _set_user_limits(invocation: Invocation) -> None:
    """Set the limits that are named; the others stay."""
    name, text = invocation.arguments
    limits = _limits(invocation, text, USER_LIMITS, check_user_limit)
    user = invocation.stored_user(name)
    for limit, value in limits.items():
        invocation.node.set_user_limit(user.name, limit, value)


def _clear_user_limits(invocation: Invocation) -> None:
    name, limit = invocation.arguments
    user = invocation.stored_user(name)
    for each in USER_LIMITS if limit == _ALL else (limit,):
        invocation.node.clear_user_limit(user.name, each)


_ALL = "all"


def _clear_user_limits_banner(invocation: Invocation) -> list[str]:
    name, limit = invocation.arguments
    which = "all limits" if limit == _ALL else f'"{limit}" limit'
    return [f'Clearing {which} for user "{name}" ...']


def _list_user_limits(invocation: Invocation) -> Answer:
    if "--global" not in invocation.options:
        return Message(_as_text(invocation.stored_user(_whose(invocation)).limits))
    users = sorted(invocation.node.users.items())
    return [{"user": name, "limits": _shown(user.limits)} for name, user in users if user.limits]


def _whose(invocation: Invocation) -> str:
    return invocation.options.get("--user", "guest")


def _list_user_limits_banner(invocation: Invocation) -> list[str]:
    if "--global" in invocation.options:
        return ["Listing limits for all users ..."]
    return [f'Listing limits for user "{_whose(invocation)}" ...']


# Thresholds


_RELATIVE, _ABSOLUTE = "mem_relative", "absolute"
_QUANTITY = re.compile(r"(-?[0-9]+)(.*)", re.ASCII)
_FRACTION = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_UNITS = {
    "": 1,
    "k": 2**10, "kiB": 2**10, "M": 2**20, "MiB": 2**20, "G": 2**30, "GiB": 2**30,
    "kB": 10**3, "MB": 10**6, "GB": 10**9,
}  # fmt: skip
"""Source: RabbitMQ documentation, "Memory and Disk Alarms": units of limits."""


def _is_quantity(text: str) -> bool:
    found = _QUANTITY.fullmatch(text)
    return found is not None and found[2] in _UNITS


def _bytes(text: str) -> int:
    """Return a quantity in bytes, as ``50MB`` or ``1GiB``."""
    found = _QUANTITY.fullmatch(text)
    assert found is not None, "it was looked at before"
    return int(found[1]) * _UNITS[found[2]]


def _check_two_words(arguments: list[str], keyword: str) -> None:
    """Refuse a keyword without its value, and two words of which the first is not the keyword."""
    if arguments == [keyword]:
        raise Misuse(NOT_ENOUGH)
    if len(arguments) == 2 and arguments[0] != keyword:
        raise Misuse(TOO_MANY)


def _set_disk_free_limit(invocation: Invocation) -> None:
    _check_two_words(invocation.arguments, _RELATIVE)
    text, node = invocation.arguments[-1], invocation.node
    if len(invocation.arguments) == 2:
        if not _FRACTION.fullmatch(text) or float(text) < 0:
            raise BadArgument
        raise Failure(
            f"{_RELATIVE} has no meaning here: the model has no memory that a disk could be relative to"
        )
    if not _is_quantity(text):
        raise BadArgument
    node.set_disk_free(node.disk_free_bytes, _bytes(text))


def _set_memory_threshold(invocation: Invocation) -> None:
    """Raise the memory alarm when the threshold is nothing, else lift it."""
    _check_two_words(invocation.arguments, _ABSOLUTE)
    text = invocation.arguments[-1]
    is_low = _bytes(_checked_threshold(text)) <= 0 if len(invocation.arguments) == 2 else not _fraction(text)
    (invocation.node.set_alarm if is_low else invocation.node.clear_alarm)("memory")


def _checked_threshold(text: str) -> str:
    """Return a quantity that is one. Raises `Misuse` with the reason why it is none."""
    if _is_quantity(text):
        return text
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise BadArgument
    reason = "The threshold should be an integer." if found[2].startswith(".") else "Invalid units."
    raise BadArgument(reason)


def _fraction(text: str) -> float:
    """Return a fraction of the memory. Raises `Misuse` when it is none."""
    if not _FRACTION.fullmatch(text):
        raise BadArgument
    if not 0 <= float(text) <= 1:
        raise BadArgument("The threshold should be a fraction between 0.0 and 1.0")
    return float(text)


def _disk_banner(invocation: Invocation) -> list[str]:
    unit = "times the total RAM" if len(invocation.arguments) == 2 else "bytes"
    return [f"Setting disk free limit on {invocation.node.name} to {invocation.arguments[-1]} {unit} ..."]


def _memory_banner(invocation: Invocation) -> list[str]:
    unit = " bytes" if len(invocation.arguments) == 2 else ""
    return [f"Setting memory threshold on {invocation.node.name} to {invocation.arguments[-1]}{unit} ..."]


COMMANDS = {
    "set_vhost_limits": Command(
        _set_vhost_limits, says('Setting vhost limits to "{0}" for vhost "{vhost}" ...'), least=1, most=1
    ),
    "clear_vhost_limits": Command(_clear_vhost_limits, says('Clearing vhost "{vhost}" limits ...')),
    "list_vhost_limits": Command(_list_vhost_limits, _list_vhost_limits_banner, options={"--global": False}),
    "set_user_limits": Command(
        _set_user_limits, says('Setting user limits to "{1}" for user "{0}" ...'), least=2, most=2
    ),
    "clear_user_limits": Command(_clear_user_limits, _clear_user_limits_banner, least=2, most=2),
    "list_user_limits": Command(
        _list_user_limits, _list_user_limits_banner, options={"--global": False, "--user": True}
    ),
    "set_vm_memory_high_watermark": Command(_set_memory_threshold, _memory_banner, least=1, most=2),
    "set_disk_free_limit": Command(_set_disk_free_limit, _disk_banner, least=1, most=2),
}
"""Name -> command."""
