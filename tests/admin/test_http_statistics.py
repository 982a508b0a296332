"""Figures of the management API: what is counted, in whose time, and that lengths add up."""

from __future__ import annotations

import random

import pytest

from mockbroker import BasicProperties, Broker
from mockbroker.admin.http_statistics import SAMPLE_NS, Counter, Statistics
from mockbroker.exceptions import AMQPError
from tests.admin.http_api import managed


def totals(stats):
    """The figures without their rates."""
    return {name: value for name, value in stats.items() if not name.endswith("_details")}


def test_a_rate_is_that_of_the_last_full_sample():
    counter = Counter()
    counter.add(10, 1)
    assert counter.rate(SAMPLE_NS - 1) == 0.0
    assert counter.rate(SAMPLE_NS) == 2.0
    assert counter.rate(2 * SAMPLE_NS - 1) == 2.0
    assert counter.rate(2 * SAMPLE_NS) == 0.0
    counter.add(5, SAMPLE_NS)
    assert (counter.total, counter.rate(SAMPLE_NS)) == (15, 2.0)
    assert counter.rate(2 * SAMPLE_NS) == 1.0
    counter.add(1, 9 * SAMPLE_NS)
    assert counter.rate(9 * SAMPLE_NS) == 0.0
    assert counter.rate(10 * SAMPLE_NS) == 0.2


def test_a_counter_that_starts_high_has_not_changed():
    assert Counter(7).rate(0) == 0.0
    assert Counter(7).rate(SAMPLE_NS) == 0.0


def test_what_goes_through_is_counted_everywhere_that_it_passes():
    with managed() as (broker, api):
        channel = broker.connect().channel()
        channel.queue_declare("q")
        channel.exchange_declare("e", "fanout")
        channel.queue_bind("q", "e")
        channel.confirm_delivery()
        for _ in range(4):
            channel.basic_publish("e", "", b"x")
        channel.basic_publish("e", "", b"x", BasicProperties(), mandatory=False)
        channel.basic_publish("", "nowhere", b"x")
        method, _, _ = channel.basic_get("q")
        channel.basic_nack(method.delivery_tag)
        method, _, _ = channel.basic_get("q")
        channel.basic_ack(method.delivery_tag)
        channel.basic_get("q", auto_ack=True)
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume("q", print)
        deliveries = {
            "get": 2,
            "get_no_ack": 1,
            "deliver": 1,
            "deliver_no_ack": 0,
            "deliver_get": 4,
            "redeliver": 1,
            "ack": 1,
        }
        publishes = {"publish": 6, "confirm": 6, "return_unroutable": 0, "drop_unroutable": 1}
        assert totals(api("GET", "queues/%2F/q")[1]["message_stats"]) == {**deliveries, "publish": 5}
        assert totals(api("GET", "overview")[1]["message_stats"]) == {**deliveries, **publishes}
        assert totals(api("GET", "vhosts/%2F")[1]["message_stats"]) == {**deliveries, **publishes}
        assert totals(api("GET", "channels")[1][0]["message_stats"]) == {**deliveries, **publishes}
        assert totals(api("GET", "exchanges/%2F/e")[1]["message_stats"]) == {
            "publish_in": 5,
            "publish_out": 5,
        }
        assert totals(api("GET", "exchanges/%2F/amq.default")[1]["message_stats"]) == {"publish_in": 1}
        assert "message_stats" not in api("GET", "exchanges/%2F/amq.topic")[1]


def test_a_return_is_no_drop():
    with managed() as (broker, api):
        channel = broker.connect().channel()
        channel.basic_publish("", "nowhere", b"x", mandatory=True)
        assert totals(api("GET", "vhosts/%2F")[1]["message_stats"]) == {
            "publish": 1,
            "confirm": 0,
            "return_unroutable": 1,
            "drop_unroutable": 0,
        }


def test_automatic_acknowledgement_has_a_figure_of_its_own():
    with managed() as (broker, api):
        channel = broker.connect().channel()
        channel.queue_declare("q")
        channel.basic_consume("q", lambda *_: None, auto_ack=True)
        channel.basic_publish("", "q", b"x")
        stats = api("GET", "queues/%2F/q")[1]["message_stats"]
        assert (stats["deliver"], stats["deliver_no_ack"], stats["deliver_get"]) == (0, 1, 1)


def test_rates_are_of_the_brokers_time():
    with managed() as (broker, api):
        channel = broker.connect().channel()
        channel.queue_declare("q")
        for _ in range(10):
            channel.basic_publish("", "q", b"x")
        broker.clock.advance(5)
        queue = api("GET", "queues/%2F/q")[1]
        assert queue["message_stats"]["publish_details"] == {"rate": 2.0}
        assert queue["messages_details"] == {"rate": 2.0}
        assert queue["messages_ready_details"] == {"rate": 2.0}
        for _ in range(5):
            channel.basic_get("q")
        broker.clock.advance(5)
        totals_now = api("GET", "overview")[1]["queue_totals"]
        assert totals_now["messages_details"] == {"rate": 0.0}
        assert totals_now["messages_ready_details"] == {"rate": -1.0}
        assert totals_now["messages_unacknowledged_details"] == {"rate": 1.0}
        assert api("GET", "vhosts/%2F")[1]["messages_unacknowledged_details"] == {"rate": 1.0}
        broker.clock.advance(5)
        assert api("GET", "queues/%2F/q")[1]["message_stats"]["publish_details"] == {"rate": 0.0}


def test_churn():
    with managed() as (broker, api):
        connection = broker.connect()
        connection.channel().queue_declare("q")
        connection.channel().queue_delete("q")
        connection.channel().close()
        expected = {
            "connection_created": 1,
            "connection_closed": 0,
            "channel_created": 3,
            "channel_closed": 1,
            "queue_created": 1,
            "queue_deleted": 1,
        }
        assert totals(api("GET", "overview")[1]["churn_rates"]) == expected
        node = api("GET", "nodes")[1][0]
        assert {name: node[name] for name in expected} == expected
        connection.close()
        assert api("GET", "overview")[1]["churn_rates"]["connection_closed"] == 1


def test_a_queue_and_a_channel_that_come_again_start_at_nothing():
    with managed() as (broker, api):
        connection = broker.connect()
        for _ in range(2):
            channel = connection.channel(1)
            channel.queue_declare("q")
            channel.exchange_declare("e", "fanout")
            channel.basic_publish("", "q", b"x")
            channel.basic_publish("e", "", b"x")
            assert api("GET", "queues/%2F/q")[1]["message_stats"]["publish"] == 1
            assert api("GET", "exchanges/%2F/e")[1]["message_stats"]["publish_in"] == 1
            assert api("GET", "channels")[1][0]["message_stats"]["publish"] == 2
            channel.queue_delete("q")
            channel.exchange_delete("e")
            channel.close()


@pytest.mark.parametrize("page", ["vhosts/v", "exchanges/v/amq.default"])
def test_a_virtual_host_that_comes_again_starts_at_nothing(page):
    with managed() as (broker, api):
        for _ in range(2):
            api("PUT", "vhosts/v")
            assert "message_stats" not in api("GET", page)[1]
            broker.connect(virtual_host="v").channel().basic_publish("", "nowhere", b"x")
            assert 1 in api("GET", page)[1]["message_stats"].values()
            api("DELETE", "vhosts/v")


def test_a_restart_forgets_the_figures_and_not_the_lengths():
    with managed() as (broker, api):
        channel = broker.connect().channel()
        channel.queue_declare("q", durable=True)
        channel.basic_publish("", "q", b"x", BasicProperties(delivery_mode=2))
        broker.restart()
        queue = api("GET", "queues/%2F/q")[1]
        assert "message_stats" not in queue
        assert queue["messages"] == 1
        assert api("GET", "overview")[1]["churn_rates"]["queue_created"] == 0
        broker.clock.advance(5)
        assert api("GET", "queues/%2F/q")[1]["messages_details"] == {"rate": 0.0}


def test_who_does_not_look_pays_nothing():
    with Broker() as broker:
        with broker.listen():
            assert broker.node.trace is None
        with broker.listen(management=True):
            assert broker.node.trace is not None
        assert broker.node.trace is None


_QUEUES = {
    "short": {"x-max-length": 4, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"},
    "strict": {"x-max-length": 3, "x-overflow": "reject-publish"},
    "brief": {"x-message-ttl": 2000, "x-max-priority": 3},
    "dead": {},
    "quorum": {"x-queue-type": "quorum", "x-delivery-limit": 2, "x-max-length": 6},
    "stream": {"x-queue-type": "stream", "x-max-length-bytes": 500},
}
_STEPS = (
    *("publish",) * 6,
    *("get",) * 3,
    *("ack", "nack", "purge", "advance", "consume", "cancel", "channel", "restart", "crash"),
)


class _Traffic:
    """A program that does anything that changes the length of a queue, drawn from a seed."""

    def __init__(self, broker, seed):
        self.broker = broker
        self.draw = random.Random(seed)
        self.open_connection()
        for name, arguments in _QUEUES.items():
            self.channel.queue_declare(name, durable=True, arguments=arguments)
            self.channel.queue_bind(name, "amq.fanout")

    def open_connection(self):
        self.connection = self.broker.connect()
        self.open_channel()

    def open_channel(self):
        self.channel = self.connection.channel()
        self.channel.basic_qos(prefetch_count=3)
        self.tags = []

    def step(self):
        name = self.draw.choice(_STEPS)
        try:
            getattr(self, f"_{name}")()
            self.broker.run()
        except AMQPError:
            if not self.connection.is_open:
                self.open_connection()
            elif not self.channel.is_open:
                self.open_channel()

    def _publish(self):
        exchange, key = self.draw.choice([("amq.fanout", "")] + [("", name) for name in _QUEUES])
        properties = BasicProperties(delivery_mode=self.draw.choice([1, 2]), priority=self.draw.randrange(4))
        self.channel.basic_publish(exchange, key, bytes(self.draw.randrange(20)), properties)

    def _get(self):
        self.channel.basic_get(self.draw.choice(list(_QUEUES)), auto_ack=self.draw.random() < 0.3)

    def _ack(self):
        self.channel.basic_ack(0, multiple=True)

    def _nack(self):
        self.channel.basic_nack(0, multiple=True, requeue=self.draw.random() < 0.6)

    def _purge(self):
        self.channel.queue_purge(self.draw.choice(list(_QUEUES)))

    def _advance(self):
        self.broker.clock.advance(self.draw.choice([0.1, 1, 7]))

    def _consume(self):
        auto_ack = self.draw.random() < 0.4
        queue = self.draw.choice(list(_QUEUES))
        self.tags.append(self.channel.basic_consume(queue, lambda *_: None, auto_ack=auto_ack))

    def _cancel(self):
        if self.tags:
            self.channel.basic_cancel(self.tags.pop())

    def _channel(self):
        self.channel.close()
        self.open_channel()

    def _restart(self):
        if self.draw.random() < 0.3:
            self.broker.restart()
            self.open_connection()

    def _crash(self):
        if self.draw.random() < 0.3:
            self.broker.crash()
            self.open_connection()


@pytest.mark.parametrize("rules", ["rabbitmq-3.10", "rabbitmq-4.0"])
@pytest.mark.parametrize("seed", range(4))
def test_counted_lengths_add_up_to_what_the_queues_hold(rules, seed):
    with Broker(rules=rules) as broker:
        statistics = Statistics(broker.node)
        traffic = _Traffic(broker, seed)
        late = Statistics(broker.node)
        for _ in range(150):
            traffic.step()
            statistics.check()
            late.check()
        statistics.stop()
        late.stop()
