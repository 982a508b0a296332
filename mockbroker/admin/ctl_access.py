"""rabbitmqctl's commands about virtual hosts, users and permissions.

Owns: these commands, their banners and the texts of their failures.
Refuses to know: what a permission or a tag does (``core/access.py``).
Source: rabbitmqctl of RabbitMQ 3.10.8 and 4.0.5.

Read next: ``ctl_invocation.py``, ``../core/administration.py``.
"""

from __future__ import annotations

from mockbroker.admin import listings
from mockbroker.admin.ctl_invocation import (
    DATA_ERROR,
    NO_USER,
    NOT_ENOUGH,
    SOFTWARE,
    BadArgument,
    Command,
    Failure,
    Invocation,
    Message,
    Misuse,
    says,
)
from mockbroker.admin.definitions import set_metadata
from mockbroker.core.access import check_pattern
from mockbroker.errors import HardError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mockbroker.admin.ctl_invocation import Rows


def _permissions(invocation: Invocation) -> Rows:
    return listings.list_permissions(invocation.node, invocation.vhost.name)


def _topic_permissions(invocation: Invocation) -> Rows:
    return listings.list_topic_permissions(invocation.node, invocation.vhost.name)


def _user_permissions(invocation: Invocation) -> Rows:
    user = invocation.stored_user(invocation.arguments[0])
    return listings.list_user_permissions(invocation.node, user.name)


def _user_topic_permissions(invocation: Invocation) -> Rows:
    permissions = invocation.stored_user(invocation.arguments[0]).topic_permissions
    return [
        {"vhost": vhost, "exchange": exchange, "write": write, "read": read}
        for (vhost, exchange), (write, read) in sorted(permissions.items())
    ]


_NO_QUEUE_TYPE = {
    "rabbitmq-3.10": "Error:\ninvalid_queue_type",
    "rabbitmq-4.0": '{{:error, :invalid_queue_type, "{}"}}',
}
_QUEUE_TYPES = ("quorum", "stream", "classic")
_METADATA = {
    "--description": "description",
    "--tags": "tags",
    "--default-queue-type": "default_queue_type",
}
"""Options that describe a virtual host -> what a definition calls them."""
_METADATA_OPTIONS = dict.fromkeys(_METADATA, True)


def _metadata(invocation: Invocation) -> dict[str, str]:
    return {
        name: invocation.options[option] for option, name in _METADATA.items() if option in invocation.options
    }


def _add_vhost(invocation: Invocation) -> None:
    """Add a virtual host; one that is there stays as it is."""
    (name,), node, metadata = invocation.arguments, invocation.node, _metadata(invocation)
    kind = metadata.get("default_queue_type", "classic")
    if kind not in _QUEUE_TYPES:
        raise Failure(_NO_QUEUE_TYPE[invocation.rules].format(kind))
    if name not in node.vhosts:
        set_metadata(node.add_vhost(name), metadata)


def _update_vhost_metadata(invocation: Invocation) -> None:
    """Change what is said of a virtual host; what is not named stays."""
    metadata = _metadata(invocation)
    if not metadata:
        raise Misuse(NOT_ENOUGH)
    kind = metadata.get("default_queue_type", "classic")
    if kind not in _QUEUE_TYPES:
        types = ", ".join(_QUEUE_TYPES)
        raise BadArgument(f"Default queue type must be one of: {types}. Provided: {kind}")
    set_metadata(invocation.named_vhost(invocation.arguments[0]), metadata)


def _set_vhost_tags(invocation: Invocation) -> None:
    name, *tags = invocation.arguments
    if name not in invocation.node.vhosts:
        raise Failure(f'Error:\nVirtual host "{name}" does not exist', DATA_ERROR)
    set_metadata(invocation.node.vhosts[name], {"tags": tags})


def _delete_vhost(invocation: Invocation) -> None:
    invocation.node.delete_vhost(invocation.named_vhost(invocation.arguments[0]).name)


def _add_user(invocation: Invocation) -> None:
    name, password = invocation.arguments
    if not name:
        raise BadArgument("user cannot be an empty string")
    if name in invocation.node.users:
        raise Failure(f'Error:\nUser "{name}" already exists', SOFTWARE)
    invocation.node.set_user(name, password)
    if "quiet" not in invocation.options and "silent" not in invocation.options:
        invocation.said.append(
            "Done. Don't forget to grant the user permissions to some virtual hosts! "
            "See 'rabbitmqctl help set_permissions' to learn more."
        )


def _delete_user(invocation: Invocation) -> None:
    """Delete a user. RabbitMQ differs: 4.0 says nothing where there is none."""
    name = invocation.arguments[0]
    if name in invocation.node.users or invocation.rules == "rabbitmq-3.10":
        invocation.node.delete_user(invocation.user(name).name)


def _change_password(invocation: Invocation) -> None:
    name, password = invocation.arguments
    invocation.node.set_user(name, password, invocation.user(name).tags)


def _clear_password(invocation: Invocation) -> None:
    """Let nobody in with a password."""
    user = invocation.stored_user(invocation.arguments[0])
    invocation.node.set_user(user.name, None, user.tags)


def _authenticate_user(invocation: Invocation) -> Message:
    name, password = invocation.arguments
    try:
        invocation.node.authenticate(name, password)
    except HardError:
        raise Failure(
            f"Error:\nError: failed to authenticate user \"{name}\"\nuser '{name}' - invalid credentials",
            DATA_ERROR,
        ) from None
    return Message("Success")


def _set_user_tags(invocation: Invocation) -> None:
    name, *tags = invocation.arguments
    invocation.node.set_user(name, invocation.user(name).password, tuple(tags))


def _has_user(invocation: Invocation, name: str) -> None:
    if name not in invocation.node.users:
        raise Failure(f"Error:\nUser {name} does not exist", NO_USER)


def _has_vhost(invocation: Invocation) -> None:
    if invocation.vhost_name not in invocation.node.vhosts:
        raise Failure(f"Error:\nVirtual host {invocation.vhost_name} does not exist")


def _check_patterns(**patterns: str) -> None:
    for what, pattern in patterns.items():
        try:
            check_pattern(what, pattern)
        except ValueError as error:
            raise Failure(f"Error:\n{error}") from None


def _set_permissions(invocation: Invocation) -> None:
    name, configure, write, read = invocation.arguments
    _check_patterns(configure=configure, write=write, read=read)
    _has_user(invocation, name)
    _has_vhost(invocation)
    invocation.node.set_permissions(name, invocation.vhost_name, configure, write, read)


def _set_permissions_globally(invocation: Invocation) -> None:
    """Grant permissions in each virtual host that there is."""
    name, configure, write, read = invocation.arguments
    _check_patterns(configure=configure, write=write, read=read)
    _has_user(invocation, name)
    for vhost in invocation.node.vhosts:
        invocation.node.set_permissions(name, vhost, configure, write, read)


def _is_there_to_clear(invocation: Invocation) -> bool:
    """Whether user and virtual host are there. RabbitMQ differs: 3.10 fails without, 4.0 says nothing."""
    if invocation.rules == "rabbitmq-3.10":
        _has_user(invocation, invocation.arguments[0])
        _has_vhost(invocation)
    node = invocation.node
    return invocation.arguments[0] in node.users and invocation.vhost_name in node.vhosts


def _clear_permissions(invocation: Invocation) -> None:
    if _is_there_to_clear(invocation):
        invocation.node.clear_permissions(invocation.arguments[0], invocation.vhost_name)


def _set_topic_permissions(invocation: Invocation) -> None:
    """Limit keys on an exchange, whether it is there or not."""
    name, exchange, write, read = invocation.arguments
    _check_patterns(write=write, read=read)
    _has_user(invocation, name)
    _has_vhost(invocation)
    invocation.node.set_topic_permissions(name, invocation.vhost_name, exchange, write, read)


def _clear_topic_permissions(invocation: Invocation) -> None:
    """Lift the limits on keys on an exchange, or on all of the virtual host."""
    name, *exchanges = invocation.arguments
    node, vhost = invocation.node, invocation.vhost_name
    if not _is_there_to_clear(invocation):
        return
    permissions = dict(node.user(name).topic_permissions)
    node.clear_topic_permissions(name, vhost)
    for (host, exchange), (write, read) in permissions.items():
        if exchanges and host == vhost and exchange not in exchanges:
            node.set_topic_permissions(name, vhost, exchange, write, read)


def _clear_topic_permissions_banner(invocation: Invocation) -> list[str]:
    name, *exchanges = invocation.arguments
    on = f' on "{exchanges[0]}"' if exchanges else ""
    return [f'Clearing topic permissions{on} for user "{name}" in vhost "{invocation.vhost_name}" ...']


def _tags_banner(what: str) -> Callable[[Invocation], list[str]]:
    def banner(invocation: Invocation) -> list[str]:
        name, *tags = invocation.arguments
        return [f'Setting tags for {what} "{name}" to [{", ".join(tags)}] ...']

    return banner


_ONLY_4_0 = ("rabbitmq-4.0",)

COMMANDS = {
    "list_vhosts": Command(
        lambda invocation: listings.list_vhosts(invocation.node, invocation.columns),
        says("Listing vhosts ..."),
        most=None,
        streams=True,
    ),
    "list_users": Command(
        lambda invocation: listings.list_users(invocation.node), says("Listing users ..."), streams=True
    ),
    "list_permissions": Command(_permissions, says('Listing permissions for vhost "{vhost}" ...')),
    "list_user_permissions": Command(
        _user_permissions, says('Listing permissions for user "{0}" ...'), least=1, most=1
    ),
    "list_topic_permissions": Command(
        _topic_permissions, says('Listing topic permissions for vhost "{vhost}" ...')
    ),
    "list_user_topic_permissions": Command(
        _user_topic_permissions,
        says('Listing topic permissions for user "{0}" ...'),
        least=1,
        most=1,
        has_headers=False,
    ),
    "add_vhost": Command(
        _add_vhost, says('Adding vhost "{0}" ...'), least=1, most=1, options=_METADATA_OPTIONS
    ),
    "update_vhost_metadata": Command(
        _update_vhost_metadata,
        says('Updating metadata of vhost "{0}" ...'),
        least=1,
        most=1,
        options=_METADATA_OPTIONS,
        since=_ONLY_4_0,
    ),
    "set_vhost_tags": Command(_set_vhost_tags, _tags_banner("virtual host"), least=1, most=None),
    "delete_vhost": Command(_delete_vhost, says('Deleting vhost "{0}" ...'), least=1, most=1),
    "add_user": Command(_add_user, says('Adding user "{0}" ...'), least=2, most=2),
    "delete_user": Command(_delete_user, says('Deleting user "{0}" ...'), least=1, most=1),
    "authenticate_user": Command(_authenticate_user, says('Authenticating user "{0}" ...'), least=2, most=2),
    "change_password": Command(
        _change_password, says('Changing password for user "{0}" ...'), least=2, most=2
    ),
    "clear_password": Command(_clear_password, says('Clearing password for user "{0}" ...'), least=1, most=1),
    "set_user_tags": Command(_set_user_tags, _tags_banner("user"), least=1, most=None),
    "set_permissions": Command(
        _set_permissions, says('Setting permissions for user "{0}" in vhost "{vhost}" ...'), least=4, most=4
    ),
    "set_permissions_globally": Command(
        _set_permissions_globally,
        says('Setting permissions for user "{0}" in all virtual hosts ...'),
        least=4,
        most=4,
        since=_ONLY_4_0,
    ),
    "clear_permissions": Command(
        _clear_permissions,
        says('Clearing permissions for user "{0}" in vhost "{vhost}" ...'),
        least=1,
        most=1,
    ),
    "set_topic_permissions": Command(
        _set_topic_permissions,
        says('Setting topic permissions on "{1}" for user "{0}" in vhost "{vhost}" ...'),
        least=4,
        most=4,
    ),
    "clear_topic_permissions": Command(
        _clear_topic_permissions, _clear_topic_permissions_banner, least=1, most=2
    ),
}
"""Name -> command."""
