"""A live server: the calls of the management API, answered by our own, and by RabbitMQ where there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from mockbroker import Broker
from mockbroker.testing.live import LiveServer

pytest_plugins = ["pytester"]

LIVE_URL = os.environ.get("MOCKBROKER_LIVE_URL")

URL_TESTS = """
import pika
import pytest

@pytest.mark.mockbroker(definitions={"queues": [
    {"name": "tasks", "durable": True, "auto_delete": False, "arguments": {}}]})
def test_url(mockbroker_url):
    with pika.BlockingConnection(pika.URLParameters(mockbroker_url)) as connection:
        channel = connection.channel()
        channel.queue_declare("tasks", passive=True)
        assert channel.queue_declare("left-behind", durable=True).method.message_count == 0

@pytest.mark.parametrize("again", [1, 2])
def test_alone(mockbroker_url, again):
    with pika.BlockingConnection(pika.URLParameters(mockbroker_url)) as connection:
        assert connection.channel().queue_declare("same", durable=True).method.message_count == 0
        connection.channel().basic_publish("", "same", b"one")

@pytest.mark.mockbroker(rules=["rabbitmq-3.10", "rabbitmq-4.0"])
def test_rules(mockbroker_url):
    pass

def test_native(mockbroker):
    pass
"""


@pytest.fixture
def server() -> Iterator[tuple[Broker, str, str]]:
    """A broker of ours in the place of a live server: its URL and its management API."""
    broker = Broker()
    with broker.listen(management=True) as endpoint:
        assert endpoint.management_url is not None
        yield broker, endpoint.url.removesuffix("/%2F"), endpoint.management_url


def test_a_virtual_host_lives_as_long_as_the_test(server: tuple[Broker, str, str]) -> None:
    broker, url, management_url = server
    live = LiveServer(url, management_url)
    assert live.has_rules("4.0.1")
    assert not live.has_rules("3.10.8")
    with live.vhost(
        {"queues": [{"name": "tasks", "durable": True, "auto_delete": False, "arguments": {}}]}
    ) as found:
        name = found.rpartition("/")[2]
        assert found == f"{url}/{name}"
        assert list(broker.node.vhosts) == ["/", name]
        assert list(broker.node.vhosts[name].queues) == ["tasks"]
        assert name in broker.node.users["guest"].permissions
    assert list(broker.node.vhosts) == ["/"]


def test_a_virtual_host_goes_when_the_test_fails(server: tuple[Broker, str, str]) -> None:
    broker, url, management_url = server
    with pytest.raises(RuntimeError), LiveServer(url, management_url).vhost():
        raise RuntimeError
    assert list(broker.node.vhosts) == ["/"]


def test_a_consumer_timeout_is_a_policy(server: tuple[Broker, str, str]) -> None:
    broker, url, management_url = server
    with LiveServer(url, management_url).vhost(consumer_timeout_ms=5000) as found:
        policies = broker.node.vhosts[found.rpartition("/")[2]].policies
        assert policies["consumer-timeout"].definition == {"consumer-timeout": 5000}


def test_tests_run_on_the_server_that_is_named(
    server: tuple[Broker, str, str], pytester: pytest.Pytester
) -> None:
    _, url, management_url = server
    check_outcomes(pytester, "--mockbroker-live", url, "--mockbroker-live-management", management_url)


def check_outcomes(pytester: pytest.Pytester, *options: str) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error")
    pytester.makepyfile(URL_TESTS)
    result = pytester.runpytest_subprocess("-rs", *options)
    result.assert_outcomes(passed=4, skipped=2)
    result.stdout.fnmatch_lines_random(["*this test is about rabbitmq-*", "*mockbroker is virtual time*"])


if LIVE_URL:

    def test_tests_run_on_rabbitmq(pytester: pytest.Pytester) -> None:
        check_outcomes(pytester, "--mockbroker-live", str(LIVE_URL))


@pytest.mark.parametrize("url", ["http://127.0.0.1", "127.0.0.1:5672", "amqps://127.0.0.1", "amqp://"])
def test_another_url_is_refused(url: Any) -> None:
    with pytest.raises(ValueError, match="a live server is given as amqp://user:password@host:port, not"):
        LiveServer(url)


def test_a_wrong_password_is_told(server: tuple[Broker, str, str]) -> None:
    _, url, management_url = server
    with pytest.raises(ConnectionError, match="401"):
        LiveServer(url.replace("guest:guest", "guest:wrong"), management_url)
