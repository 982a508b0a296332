"""rabbitmqctl's commands about policies and operator policies.

Owns: these commands, their banners and the texts of their failures.
Refuses to know: what a policy may define and does (``core/policies.py``).
Source: rabbitmqctl of RabbitMQ 3.10.8 and 4.0.5.

Read next: ``ctl_invocation.py``, ``../core/policies.py``.
"""

from __future__ import annotations

from mockbroker.admin import listings
from mockbroker.admin.ctl_invocation import Command, Failure, Invocation, Misuse, says
from mockbroker.errors import PolicyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mockbroker.admin.ctl_invocation import Rows


def _policies(*, operator: bool) -> Callable[[Invocation], Rows]:
    return lambda invocation: listings.list_policies(
        invocation.node, invocation.vhost.name, operator=operator
    )


def _policy_banner(what: str) -> Callable[[Invocation], list[str]]:
    def banner(invocation: Invocation) -> list[str]:
        name, pattern, definition = invocation.arguments
        priority = invocation.options.get("--priority", "0")
        return [
            f'Setting {what} "{name}" for pattern "{pattern}" to "{definition}" with priority "{priority}" '
            f'for vhost "{invocation.vhost_name}" ...'
        ]

    return banner


def _set_policy(*, operator: bool) -> Callable[[Invocation], None]:
    def run(invocation: Invocation) -> None:
        name, pattern, text = invocation.arguments
        priority = invocation.options.get("--priority", "0")
        if not priority.removeprefix("-").isdecimal():
            raise Misuse(f"Invalid options for this command:\n--priority : {priority}")
        vhost = invocation.vhost
        definition = invocation.json(text)
        try:
            invocation.node.set_policy(
                vhost.name,
                name,
                pattern,
                definition,
                int(priority),
                invocation.options.get("--apply-to", "all"),
                operator=operator,
            )
        except PolicyError as error:
            raise Failure(f"Error:\n{error.reason}") from None

    return run


def _clear_policy(*, operator: bool) -> Callable[[Invocation], None]:
    def run(invocation: Invocation) -> None:
        name, vhost = invocation.arguments[0], invocation.vhost
        if name not in (vhost.operator_policies if operator else vhost.policies):
            raise Failure("Error:\nParameter does not exist")
        invocation.node.delete_policy(vhost.name, name, operator=operator)

    return run


_OPTIONS = {"--priority": True, "--apply-to": True}

COMMANDS = {
    "list_policies": Command(_policies(operator=False), says('Listing policies for vhost "{vhost}" ...')),
    "list_operator_policies": Command(
        _policies(operator=True), says('Listing operator policy overrides for vhost "{vhost}" ...')
    ),
    "set_policy": Command(
        _set_policy(operator=False), _policy_banner("policy"), least=3, most=3, options=_OPTIONS
    ),
    "set_operator_policy": Command(
        _set_policy(operator=True),
        _policy_banner("operator policy override"),
        least=3,
        most=3,
        options=_OPTIONS,
    ),
    "clear_policy": Command(
        _clear_policy(operator=False), says('Clearing policy "{0}" on vhost "{vhost}" ...'), least=1, most=1
    ),
    "clear_operator_policy": Command(
        _clear_policy(operator=True),
        says('Clearing operator policy "{0}" on vhost "{vhost}" ...'),
        least=1,
        most=1,
    ),
}
"""Name -> command."""
