"""The broker's end of a connection: who is there, in which virtual host, with which channels.

Owns: the channels by number, and what ends with the connection: they and its exclusive queues.
Refuses to know: sockets, frames and handshakes.

Read next: ``core/channel.py``, ``core/node.py``.
"""

from __future__ import annotations

from mockbroker.core import refusals
from mockbroker.core.channel import BrokerChannel
from mockbroker.errors import SoftError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mockbroker.core.access import User
    from mockbroker.core.node import Node
    from mockbroker.core.sinks import ChannelSink, ConnectionSink
    from mockbroker.core.vhost import VHost
    from mockbroker.errors import AMQPError, HardError


class BrokerConnection:
    """A connection that is open."""

    __slots__ = (
        "channels",
        "client_properties",
        "is_blocked",
        "is_open",
        "name",
        "node",
        "opened_ns",
        "peer_host",
        "sink",
        "tags",
        "user",
        "vhost",
    )

    def __init__(
        self,
        node: Node,
        sink: ConnectionSink,
        user: User,
        vhost: VHost,
        client_properties: dict[str, Any],
        *,
        peer_host: str,
        name: str,
    ) -> None:
        self.node = node
        self.sink = sink
        self.user = user
        self.tags = user.tags
        """The user's tags when he logged in: what changes later counts for later connections."""
        self.vhost = vhost
        self.client_properties = client_properties
        self.peer_host = peer_host
        self.name = name
        self.opened_ns = node.clock.now_ns
        self.is_open = True
        self.is_blocked = False
        """Whether nothing that the client sends is read, because the node is low on something."""
        self.channels: dict[int, BrokerChannel] = {}

    def has_capability(self, name: str) -> bool:
        """Whether the client announced a capability, such as ``consumer_cancel_notify``."""
        capabilities = self.client_properties.get("capabilities")
        return isinstance(capabilities, dict) and capabilities.get(name) is True

    @property
    def topic_variables(self) -> dict[str, str]:
        """What stands for the variables in a topic permission."""
        return {"username": self.user.name, "vhost": self.vhost.name}

    def check_user_id(self, user_id: str) -> None:
        """Refuse a message in somebody else's name: SoftError 406, unless the user had the tag
        ``impersonator`` when he logged in."""
        if user_id != self.user.name and "impersonator" not in self.tags:
            raise refusals.user_id_mismatch(user_id, self.user.name)

    def check_new_channel(self) -> None:
        """Refuse one more channel above the user's limit: HardError 530."""
        self.node.limits.check_new_channel(self.user)

    def open_channel(self, number: int, sink: ChannelSink) -> BrokerChannel:
        """Open a channel; the number must be free. Raises HardError 530 above the user's limit."""
        self.check_new_channel()
        channel = BrokerChannel(self, number, sink)
        self.channels[number] = channel
        if self.node.trace is not None:
            self.node.trace.channel_opened(channel)
        return channel

    def told(self, error: AMQPError) -> AMQPError:
        """Return the error that the client is told of: 541 in place of one whose text cannot be shortened.

        Source: recorded scenario ``errors/long-text-beyond-ascii``.
        """
        if error.is_cut_beyond_ascii and self.node.rules.shortens_ascii_only:
            return refusals.internal_error()
        return error

    def refuse(self, channel: BrokerChannel | None, error: AMQPError) -> None:
        """Do what an error asks for: end the channel, or the connection. The client has been told."""
        if self.node.trace is not None:
            self.node.trace.error_sent(self, channel if isinstance(error, SoftError) else None, error)
        if isinstance(error, SoftError) and channel is not None:
            if channel.is_open:
                channel.close()
        else:
            self.close()

    def give_up(self, channel: BrokerChannel) -> None:
        """End the channel whose operation is about to close the connection.

        It is the first to go: what it held reaches whoever waits for it, on this connection too. What it held
        of a quorum queue is given to them as well, but too late: it is lost on the way, and comes back once
        more. Source: recorded scenarios ``errors/hard-error-ends-channel-first*``.
        """
        if channel.is_open:
            for other in self.channels.values():
                for consumer in other.consumers.values():
                    if consumer.queue.acts_late:
                        consumer.lose_link()
            channel.close()
            self.node.drain()

    def block(self) -> bool:
        """A publish arrives: return whether the connection is blocked, and tell the client when it becomes
        so.

        The adapter keeps that publish, and what the client sends after it, until ``sink.unblocked()``.
        """
        if not self.is_blocked and self.node.alarms:
            self.is_blocked = True
            self.sink.blocked(f"low on {' & '.join(sorted(self.node.alarms))}")
        return self.is_blocked

    def unblock(self) -> None:
        """No alarm is left: the client may go on."""
        if self.is_blocked:
            self.is_blocked = False
            self.sink.unblocked()

    def close_channel(self, channel: BrokerChannel, error: SoftError) -> None:
        """End a channel of the broker's own accord, and tell the client."""
        channel.sink.closed(error)
        if self.node.trace is not None:
            self.node.trace.error_sent(self, channel, error)
        channel.close()
        self.node.drain()

    def close_forced(self, error: HardError) -> None:
        """End the connection of the broker's own accord, and tell the client."""
        self.sink.connection_closed(error)
        if self.node.trace is not None:
            self.node.trace.error_sent(self, None, error)
        self.close()

    def close(self) -> None:
        """End the connection in good order: its channels, then its exclusive queues."""
        if not self.is_open:
            return
        self.is_open = False
        channels = list(self.channels.values())
        for channel in channels:  # first all consumers: nothing is to return to one of this connection's
            channel.end_consumers()
        for channel in channels:
            channel.close()
        self.node.connection_gone(self)
        # What its queues drop of what came back is dead-lettered before they go.
        self.node.later(self._delete_own_queues)

    def _delete_own_queues(self) -> None:
        for queue in [each for each in self.vhost.queues.values() if each.exclusive_to is self]:
            self.vhost.delete_queue(queue, "exclusive")

    def drop(self) -> None:
        """The link is lost: the same, without a goodbye."""
        self.close()

    def check(self) -> None:
        """Assert the connection's invariants."""
        for number, channel in self.channels.items():
            assert channel.number == number, f"{channel!r} is filed under {number}"
            channel.check()

    def __repr__(self) -> str:
        who = f"{self.user.name!r} in {self.vhost.name!r}"
        return f"<connection {self.name} of {who}: {len(self.channels)} channels>"
