"""The talk before the talk: from connection.start to connection.open.

Owns: the order of the handshake, how a client proves who it is, and what client and server agree on.
Refuses to know: bytes and frames (``session.py``), users and virtual hosts (it asks the core).

::

    starting   start-ok with the right password     tune              tuning
    tuning     tune-ok within the limits                              opening
    opening    open of a virtual host               open-ok           (the conversation begins)

Whatever else comes before `opening` is refused by closing the link; from then on errors are told. RabbitMQ
waits for three seconds before it closes the link on such a client, to slow attackers down; here it happens at
once.

Source: AMQP 0-9-1 (2.2.4); RabbitMQ documentation, "Authentication, Authorisation, Access Control"; recorded
scenarios of the area ``server-properties``.

Read next: ``session.py``, ``core/access.py``.
"""

from __future__ import annotations

from mockbroker.amqp.fields import FieldError, decode_table
from mockbroker.amqp.frames import MIN_FRAME_BYTES
from mockbroker.errors import HardError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mockbroker.core.access import User
    from mockbroker.core.node import Node
    from mockbroker.rules import Rules
    from mockbroker.values import Table

STARTING, TUNING, OPENING = "starting", "tuning", "opening"

_CAPABILITIES = (
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
)
ANONYMOUS_USER = ("guest", "guest")
"""Who a client without a name is. Source: RabbitMQ 4.0, settings anonymous_login_user and _pass."""


class Refused(Exception):
    """The client breaks the handshake's rules: the link is closed without a word. The text is for the log."""


def server_properties(rules: Rules) -> Table:
    """Return what the server tells of itself in connection.start. Source: `server-properties/handshake`."""
    return {
        "capabilities": dict.fromkeys(_CAPABILITIES, True),
        "cluster_name": "mockbroker@localhost",
        "copyright": "The authors of mockbroker.",
        "information": "mockbroker answers as RabbitMQ does. Licensed under the MIT license.",
        "platform": "Python",
        "product": "RabbitMQ",
        "version": rules.version,
    }


class Handshake:
    """One client's way in. `send` is called with each method for the client."""

    def __init__(self, node: Node, send: Callable[[int, str, Table], None], peer_host: str) -> None:
        self._node = node
        self._rules = node.rules
        self._send = send
        self._peer_host = peer_host
        self.state = STARTING
        self.user: User | None = None
        self.mechanism = ""
        self.client_properties: Table = {}
        self.channel_max = self._rules.channel_max
        self.frame_max_bytes = MIN_FRAME_BYTES
        self.heartbeat_s = 0

    def start(self, version: tuple[int, int]) -> None:
        """Send connection.start for this major and minor version of the protocol."""
        self._send(
            0,
            "connection.start",
            {
                "version_major": version[0],
                "version_minor": version[1],
                "server_properties": server_properties(self._rules),
                "mechanisms": " ".join(self._rules.mechanisms),
                "locales": "en_US",
            },
        )

    def handle(self, method_name: str, fields: Table) -> str | None:
        """Take one method of channel 0; return the virtual host when the client asks to open it.

        Raises `Refused` when the link is to be closed; HardError when the client is told why: 403 for a login
        that fails (to a client with the capability authentication_failure_close), 504 for a method out of
        order.
        """
        if self.state is STARTING and method_name == "connection.start-ok":
            self._log_in(fields)
        elif self.state is TUNING and method_name == "connection.tune-ok":
            self._tune(fields)
        elif self.state is OPENING and method_name == "connection.open":
            return str(fields["virtual_host"])
        elif self.state is OPENING:
            raise HardError("CHANNEL_ERROR", "unexpected method in connection state opening")
        else:
            raise Refused(f"{method_name} in connection state {self.state}")
        return None

    def _log_in(self, fields: Table) -> None:
        self.client_properties = fields["client_properties"]
        self.mechanism = fields["mechanism"]
        username, password = self._credentials(self.mechanism, fields["response"])
        try:
            self.user = self._node.authenticate(username, password, self._peer_host)
        except HardError as error:
            capabilities = self.client_properties.get("capabilities")
            if (
                not isinstance(capabilities, dict)
                or capabilities.get("authentication_failure_close") is not True
            ):
                raise Refused(error.reply_text) from None
            raise HardError(
                "ACCESS_REFUSED",
                f"Login was refused using authentication mechanism {self.mechanism}. "
                "For details see the broker logfile.",
            ) from None
        rules = self._rules
        self._send(
            0,
            "connection.tune",
            {
                "channel_max": rules.channel_max,
                "frame_max": rules.frame_max_bytes,
                "heartbeat": rules.heartbeat_s,
            },
        )
        self.state = TUNING

    def _credentials(self, mechanism: str, response: bytes) -> tuple[str, str]:
        """Return name and password of a start-ok's response. Raises `Refused` for one that has none."""
        if mechanism not in self._rules.mechanisms:
            raise Refused(f"unknown authentication mechanism {mechanism!r}")
        if mechanism == "ANONYMOUS":
            return ANONYMOUS_USER
        if mechanism == "PLAIN":
            parts = response.split(b"\0")
            if len(parts) != 3 or parts[0]:
                raise Refused(f"invalid PLAIN response of {len(response)} octets")
            return _text(parts[1]), _text(parts[2])
        try:
            table = decode_table(response, 0, len(response))
        except FieldError as error:
            raise Refused(f"invalid AMQPLAIN response: {error}") from None
        username, password = table.get("LOGIN"), table.get("PASSWORD")
        if not isinstance(username, str) or not isinstance(password, str):
            raise Refused("an AMQPLAIN response needs LOGIN and PASSWORD as long strings")
        return username, password

    def _tune(self, fields: Table) -> None:
        rules = self._rules
        self.frame_max_bytes = _agreed(
            "frame_max", fields["frame_max"], MIN_FRAME_BYTES, rules.frame_max_bytes
        )
        self.channel_max = _agreed("channel_max", fields["channel_max"], 1, rules.channel_max)
        self.heartbeat_s = fields["heartbeat"]
        self.state = OPENING


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _agreed(name: str, asked: int, minimum: int, maximum: int) -> int:
    """Return what the client asks for, if the server allows it; 0 means no limit, and the server has one."""
    if not minimum <= asked <= maximum:
        raise Refused(f"negotiated {name} = {asked} is not between {minimum} and {maximum}")
    return asked
