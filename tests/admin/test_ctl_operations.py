"""Closing connections and asking after the node, as rabbitmqctl of RabbitMQ 3.10.8 and 4.0.5 does."""

from __future__ import annotations

import pytest

from mockbroker import Broker
from mockbroker.admin.ctl import CtlError
from mockbroker.exceptions import ConnectionClosedByBroker

BOTH = pytest.mark.parametrize("rules", ["rabbitmq-3.10", "rabbitmq-4.0"])


def _busy(rules: str = "rabbitmq-4.0") -> Broker:
    """Connections: two of guest and one of joe in ``/``, and one of joe in ``blue``."""
    broker = Broker(rules=rules)
    broker.ctl("-q add_vhost blue")
    broker.ctl("-q add_user joe secret")
    for vhost in ("/", "blue"):
        broker.ctl(f"-q set_permissions -p {vhost} joe .* .* .*")
    broker.connect()
    broker.connect()
    broker.connect("joe", "secret")
    broker.connect("joe", "secret", "blue")
    return broker


def _who(broker: Broker) -> list[tuple[str, str]]:
    return [(row["user"], row["vhost"]) for row in broker.list_connections("user", "vhost")]


@BOTH
def test_all_connections_of_a_virtual_host_are_closed(rules: str) -> None:
    broker = _busy(rules)
    assert broker.ctl("close_all_connections 'good bye'") == (
        "Closing all connections in vhost /, reason: good bye...\nClosed 3 connections\n"
    )
    assert _who(broker) == [("joe", "blue")]
    assert broker.ctl("-q close_all_connections -p nosuch bye") == "Closed 0 connections\n"
    assert broker.ctl("close_all_connections bye --formatter json") == (
        '{"node":"rabbit@localhost","result":"ok","value":"Closed 0 connections"}\n'
    )


def test_so_many_connections_are_closed_and_told_why() -> None:
    broker = Broker()
    first, second = broker.connect(), broker.connect()
    assert broker.ctl("close_all_connections --limit 1 bye") == (
        "Closing 1 connections in vhost /, reason: bye...\nClosed 1 connections\n"
    )
    with pytest.raises(ConnectionClosedByBroker, match="CONNECTION_FORCED - bye"):
        first.process_data_events()
    assert second.is_open
    assert broker.ctl("close_all_connections --limit 0 bye") == (
        "Closing all connections in vhost /, reason: bye...\nClosed 1 connections\n"
    )


def test_the_connections_of_all_virtual_hosts_are_closed() -> None:
    broker = _busy()
    assert broker.ctl("close_all_connections --global --limit 3 bye") == (
        "Closing all connections to node rabbit@localhost (across all vhosts), reason: bye...\n"
        "Closed 3 connections\n"
    )
    assert broker.ctl("-q close_all_connections --global bye") == "Closed 1 connections\n"
    assert _who(broker) == []


@pytest.mark.parametrize("limit", ["x", "-1"])
def test_a_number_of_connections_that_is_none(limit: str) -> None:
    broker = _busy()
    with pytest.raises(CtlError) as caught:
        broker.ctl(f"close_all_connections --limit {limit} bye")
    assert str(caught.value) == (
        f"Error (argument validation): Invalid options for this command:\n--limit : {limit}\n"
        f"Arguments given:\n\tclose_all_connections --limit {limit} bye"
    )
    assert len(_who(broker)) == 4


@BOTH
def test_the_connections_of_a_user_are_closed(rules: str) -> None:
    broker = _busy(rules)
    assert broker.ctl("close_all_user_connections joe bye") == (
        "Closing connections of user joe, reason: bye...\n"
    )
    assert _who(broker) == [("guest", "/"), ("guest", "/")]
    assert broker.ctl("-q close_all_user_connections nosuch bye") == ""


@pytest.mark.parametrize(("rules", "version"), [("rabbitmq-3.10", "3.10.8"), ("rabbitmq-4.0", "4.0.5")])
def test_version(rules: str, version: str) -> None:
    assert Broker(rules=rules).ctl("version") == f"{version}\n"


@BOTH
def test_a_node_is_up(rules: str) -> None:
    broker = Broker(rules=rules)
    assert broker.ctl("ping -t 5") == (
        "Will ping rabbit@localhost. This only checks if the OS process is running and registered with epmd. "
        "Timeout: 5000 ms.\nPing succeeded\n"
    )
    assert "Timeout: 60000 ms." in broker.ctl("ping")
    assert broker.ctl("ping --formatter json") == '{"message":"Ping succeeded"}\n'
    assert broker.ctl("await_startup") == ""
