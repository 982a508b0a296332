"""The management API: what real servers answered to the same requests, and what tools do with it."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pika
import pika.exceptions
import pytest

from mockbroker import Broker
from mockbroker.admin.remote import RemoteError, command
from tests.admin.http_api import NOT_FOUND, Api, bad_request

EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}


@pytest.fixture
def broker():
    with Broker() as broker:
        yield broker
        broker.check()


@pytest.fixture
def endpoint(broker):
    with broker.listen(management=True) as endpoint:
        yield endpoint


@pytest.fixture
def api(endpoint):
    api = Api(endpoint.management_url)
    yield api
    api.connection.close()


def test_who_may_call(api):
    assert api("GET", "whoami") == (
        200,
        {"name": "guest", "tags": ["administrator"], "is_internal_user": True},
    )
    assert api("GET", "whoami", auth="guest:wrong") == (
        401,
        {"error": "not_authorized", "reason": "Not_Authorized"},
    )
    assert api("PUT", "users/eve", {"password": "p", "tags": ""}) == (201, None)
    assert api("GET", "overview", auth="eve:p")[1]["reason"] == "Not management user"
    assert api("PUT", "users/eve", {"password": "p", "tags": "management"}) == (204, None)
    assert api("GET", "overview", auth="eve:p")[0] == 200
    assert api("GET", "users", auth="eve:p") == (
        401,
        {"error": "not_authorised", "reason": "Not administrator user"},
    )
    assert api("GET", "queues", auth="eve:p") == (200, [])
    reason = "User not authorised to access virtual host"
    assert api("PUT", "queues/%2F/q", {}, auth="eve:p") == (
        401,
        {"error": "not_authorised", "reason": reason},
    )


def test_paths_and_methods_that_there_are_not(api):
    assert api("GET", "nope") == (404, NOT_FOUND)
    assert api("POST", "overview", {})[0] == 405
    assert "GET" in api.headers["allow"]
    assert api("HEAD", "overview") == (200, None)


def test_vhosts(api):
    assert api("GET", "vhosts/v") == (404, NOT_FOUND)
    assert (
        api("PUT", "vhosts/v", {"description": "d", "tags": "a,b", "default_queue_type": "quorum"})[0] == 201
    )
    _, vhost = api("GET", "vhosts/v")
    assert (vhost["description"], vhost["tags"], vhost["default_queue_type"]) == ("d", ["a", "b"], "quorum")
    assert api("PUT", "vhosts/v") == (204, None)
    _, vhost = api("GET", "vhosts/v")
    assert (vhost["description"], vhost["tags"], vhost["default_queue_type"]) == ("", [], "quorum")
    assert api("GET", "vhosts/v/permissions") == (200, [{"user": "guest", "vhost": "v", **EVERYTHING}])
    assert [row["name"] for row in api("GET", "vhosts")[1]] == ["/", "v"]
    assert api("DELETE", "vhosts/v") == (204, None)
    assert api("DELETE", "vhosts/v") == (404, NOT_FOUND)


def test_users_and_permissions(api, endpoint):
    assert api("PUT", "users/u", {"password": "x"}) == bad_request("tags_not_present")
    assert api("PUT", "users/u", {"password": "x", "tags": ["monitoring"]}) == (201, None)
    _, user = api("GET", "users/u")
    assert user["tags"] == ["monitoring"]
    assert api("PUT", "permissions/%2F/u", {"configure": ""}) == bad_request(
        "[{key_missing,write},{key_missing,read}]"
    )
    assert api("PUT", "permissions/%2F/u", EVERYTHING) == (201, None)
    assert api("PUT", "permissions/%2F/u", EVERYTHING) == (204, None)
    assert api("PUT", "permissions/nope/u", EVERYTHING) == bad_request("vhost_or_user_not_found")
    assert api("GET", "permissions/%2F/u") == (200, {"user": "u", "vhost": "/", **EVERYTHING})
    assert (
        api("PUT", "topic-permissions/%2F/u", {"exchange": "amq.topic", "write": "^a", "read": ".*"})[0]
        == 201
    )
    assert api("GET", "topic-permissions/%2F/u")[1][0]["write"] == "^a"
    assert api("DELETE", "topic-permissions/%2F/u") == (204, None)
    assert api("PUT", "user-limits/u/max-channels", {"value": 5}) == (204, None)
    assert api("GET", "user-limits/u") == (200, [{"user": "u", "value": {"max-channels": 5}}])
    assert api("DELETE", "permissions/%2F/u") == (204, None)
    assert api("DELETE", "permissions/%2F/u") == (404, NOT_FOUND)
    assert api("DELETE", "users/u") == (204, None)
    # A password of which only the hash is known lets its user in all the same.
    assert api("PUT", "users/u", {"password_hash": user["password_hash"], "tags": ""}) == (201, None)
    assert api("PUT", "permissions/%2F/u", EVERYTHING) == (201, None)
    parameters = pika.URLParameters(endpoint.url.replace("guest:guest", "u:x"))
    pika.BlockingConnection(parameters).close()


def test_queues(api):
    assert api("PUT", "queues/%2F/q", {"durable": True}) == (201, None)
    assert api("PUT", "queues/%2F/q", {"durable": True}) == (204, None)
    reason = "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'"
    assert api("PUT", "queues/%2F/q", {"durable": False}) == bad_request(reason)
    assert api("PUT", "queues/%2F/q4", {"durable": "x"}) == bad_request(["not_boolean", "x"])
    assert api("PUT", "queues/%2F/q", b"{") == bad_request("not_json")
    assert api("PUT", "queues/nope/q", {}) == (404, {"error": "not_found", "reason": "vhost_not_found"})
    assert api("PUT", "queues/%2F/amq.q", {})[0] == 401
    assert api("GET", "queues/%2F/nope") == (404, NOT_FOUND)
    status, queue = api("GET", "queues/%2F/q")
    assert (status, queue["name"], queue["messages"], queue["consumer_details"]) == (200, "q", 0, [])
    assert api("DELETE", "queues/%2F/q") == (204, None)
    assert api("DELETE", "queues/%2F/q") == (404, NOT_FOUND)


def test_pages_columns_and_order(api):
    for name in ("a", "b", "c1", "c2"):
        api("PUT", f"queues/%2F/{name}", {})
    assert api("GET", "queues/%2F?columns=name,messages&sort=name&sort_reverse=true")[1][0] == {
        "name": "c2",
        "messages": 0,
    }
    _, page = api("GET", "queues?page=1&page_size=1&name=^c&use_regex=true")
    assert [item["name"] for item in page.pop("items")] == ["c1"]
    assert page == {
        "filtered_count": 2,
        "item_count": 1,
        "page": 1,
        "page_count": 2,
        "page_size": 1,
        "total_count": 4,
    }
    assert api("GET", "queues?page=0")[0] == 400
    assert api("GET", "queues?page=1&name=(&use_regex=true")[0] == 400


def test_messages_in_and_out(api):
    api("PUT", "queues/%2F/q", {})
    publish = {
        "properties": {"delivery_mode": 2},
        "routing_key": "q",
        "payload": "hi",
        "payload_encoding": "string",
    }
    assert api("POST", "exchanges/%2F/amq.default/publish", publish) == (200, {"routed": True})
    assert api("POST", "exchanges/%2F/amq.topic/publish", publish) == (200, {"routed": False})
    binary = publish | {
        "payload": base64.b64encode(b"\xff\0").decode(),
        "payload_encoding": "base64",
        "properties": {},
    }
    assert api("POST", "exchanges/%2F/amq.default/publish", binary) == (200, {"routed": True})
    assert api("POST", "exchanges/%2F/nope/publish", publish)[0] == 404
    assert api("POST", "exchanges/%2F/amq.default/publish", {"routing_key": "q"}) == bad_request(
        "[{key_missing,properties},\n {key_missing,payload},\n {key_missing,payload_encoding}]"
    )
    assert api(
        "POST", "exchanges/%2F/amq.default/publish", publish | {"payload_encoding": "hex"}
    ) == bad_request(["unsupported_encoding", "hex"])
    assert api(
        "POST", "exchanges/%2F/amq.default/publish", publish | {"properties": {"priority": "x"}}
    ) == bad_request(["not_int", "priority"])
    get = {"count": 5, "ackmode": "ack_requeue_true", "encoding": "auto"}
    assert api("POST", "queues/%2F/q/get", get) == (
        200,
        [
            {
                "payload_bytes": 2,
                "redelivered": False,
                "exchange": "",
                "routing_key": "q",
                "message_count": 1,
                "properties": {"delivery_mode": 2},
                "payload": "hi",
                "payload_encoding": "string",
            },
            {
                "payload_bytes": 2,
                "redelivered": False,
                "exchange": "",
                "routing_key": "q",
                "message_count": 0,
                "properties": [],
                "payload": "/wA=",
                "payload_encoding": "base64",
            },
        ],
    )
    _, again = api(
        "POST", "queues/%2F/q/get", get | {"count": 1, "ackmode": "ack_requeue_false", "truncate": 1}
    )
    assert (again[0]["redelivered"], again[0]["payload"]) == (True, "h")
    assert api("DELETE", "queues/%2F/q?if-empty=true") == bad_request("queue 'q' in vhost '/' not empty")
    assert api("DELETE", "queues/%2F/q/contents") == (204, None)
    assert api("POST", "queues/%2F/q/get", get) == (200, [])


def test_exchanges_and_bindings(api):
    assert api("PUT", "exchanges/%2F/e", {"type": "topic"}) == (201, None)
    assert api("PUT", "exchanges/%2F/e", {"type": "direct"})[0] == 400
    assert api("DELETE", "exchanges/%2F/amq.direct")[0] == 401
    api("PUT", "queues/%2F/q", {})
    path = "bindings/%2F/e/e/q/q"
    assert api("POST", path, {"routing_key": "k/é~ x"}) == (201, None)
    assert api.headers["location"] == "q/k%252F%25C3%25A9%257E%2Bx"
    assert api("POST", path, {"routing_key": "", "arguments": {}}) == (201, None)
    assert api.headers["location"] == "q/~"
    assert api("POST", path, {"routing_key": "a", "arguments": {"x": 1}}) == (201, None)
    assert api("POST", "bindings/%2F/e/e/q/nope", {}) == (
        404,
        {"error": "not_found", "reason": "no queue 'nope' in vhost '/'"},
    )
    _, bindings = api("GET", path)
    assert [row["properties_key"][:2] for row in bindings] == ["~", "a~", "k%"]
    for row in bindings:
        key = quote(row["properties_key"], safe="~")
        assert api("GET", f"{path}/{key}") == (200, row)
        assert api("DELETE", f"{path}/{key}") == (204, None)
    assert api("GET", path) == (200, [])
    assert api("DELETE", f"{path}/~") == (404, NOT_FOUND)
    assert api("POST", "bindings/%2F/e/e/e/amq.direct", {"routing_key": "z"}) == (201, None)
    assert len(api("GET", "exchanges/%2F/e/bindings/source")[1]) == 1
    assert len(api("GET", "exchanges/%2F/amq.direct/bindings/destination")[1]) == 1
    assert len(api("GET", "queues/%2F/q/bindings")[1]) == 1
    assert api("DELETE", "exchanges/%2F/e?if-unused=true") == bad_request("exchange 'e' in vhost '/' in use")


@pytest.mark.parametrize("kind", ["policies", "operator-policies"])
def test_policies(api, kind):
    policy = {"pattern": "^q", "definition": {"max-length": 3}, "priority": 1, "apply-to": "queues"}
    assert api("PUT", f"{kind}/%2F/p", policy) == (201, None)
    assert api("PUT", f"{kind}/%2F/p", policy) == (204, None)
    assert api("GET", f"{kind}/%2F/p") == (200, {"vhost": "/", "name": "p", **policy})
    assert api("PUT", f"{kind}/%2F/p2", {"definition": {}}) == bad_request("[{key_missing,pattern}]")
    assert api("PUT", f"{kind}/%2F/p2", policy | {"definition": {"nope": 1}})[0] == 400
    assert api("PUT", f"{kind}/%2F/p2", policy | {"definition": []}) == (500, None)
    assert api("DELETE", f"{kind}/%2F/p") == (204, None)
    assert api("DELETE", f"{kind}/%2F/p") == (404, NOT_FOUND)


def test_connections_channels_and_consumers(api, endpoint):
    properties = {"connection_name": "worker"}
    parameters = pika.URLParameters(endpoint.url)
    parameters.client_properties = properties
    connection = pika.BlockingConnection(parameters)
    channel = connection.channel()
    channel.queue_declare("q")
    channel.basic_qos(prefetch_count=3)
    channel.basic_consume("q", print, consumer_tag="c")
    _, (row,) = api("GET", "connections")
    assert (row["user_provided_name"], row["channel_max"], row["channels"]) == ("worker", 2047, 1)
    assert row["recv_oct"] > 0
    name = quote(row["name"])
    assert api("GET", f"connections/{name}")[1]["name"] == row["name"]
    assert api("GET", f"connections/{name}/channels")[1][0]["consumer_count"] == 1
    _, (consumer,) = api("GET", "consumers/%2F")
    assert (consumer["consumer_tag"], consumer["prefetch_count"], consumer["queue"]["name"]) == ("c", 3, "q")
    assert api("GET", f"channels/{quote(row['name'] + ' (1)')}")[1]["consumer_details"] == [consumer]
    assert api("GET", "overview")[1]["object_totals"]["consumers"] == 1
    assert api("DELETE", f"connections/{name}") == (204, None)
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as caught:
        connection.process_data_events(5)
    assert caught.value.args == (320, "CONNECTION_FORCED - Closed via management plugin")
    assert api("DELETE", f"connections/{name}") == (404, NOT_FOUND)


def test_health(api, broker, endpoint):
    for path in (
        "aliveness-test/%2F",
        "healthchecks/node",
        "health/checks/alarms",
        "health/checks/virtual-hosts",
    ):
        assert api("GET", path) == (200, {"status": "ok"})
    assert api("GET", f"health/checks/port-listener/{endpoint.port}")[0] == 200
    assert api("GET", "health/checks/port-listener/1")[0] == 503
    assert api("GET", "health/checks/protocol-listener/mqtt")[1]["missing"] == "mqtt"
    broker.node.set_alarm("memory")
    assert api("GET", "health/checks/alarms")[0] == 503
    assert api("GET", "nodes")[1][0]["mem_alarm"] is True


def test_definitions_make_a_twin(api):
    api("PUT", "vhosts/v", {})
    api("PUT", "queues/v/q", {"durable": True, "arguments": {"x-max-length": 5}})
    api("PUT", "exchanges/v/e", {"type": "fanout", "durable": True})
    api("POST", "bindings/v/e/e/q/q", {"routing_key": "k"})
    api("PUT", "policies/v/p", {"pattern": "^q", "definition": {"max-length": 7}})
    api("PUT", "vhost-limits/v/max-queues", {"value": 9})
    api("PUT", "users/u", {"password": "x", "tags": "management"})
    _, definitions = api("GET", "definitions")
    with Broker() as twin, twin.listen(management=True) as endpoint:
        other = Api(endpoint.management_url)
        assert other("POST", "definitions", definitions) == (204, None)
        assert other("GET", "definitions") == (200, definitions)
        assert other("GET", "definitions/v")[1]["queues"][0]["name"] == "q"
        status, body = other("POST", "definitions/v", {"exchanges": [{"name": "x", "type": "nope"}]})
        assert status == 400
        assert body["reason"].startswith('exchanges: {"name": "x", "type": "nope"}')
        other.connection.close()


def test_ctl_from_another_terminal(endpoint, broker):
    broker.connect().channel().queue_declare("q")
    assert command(endpoint.management_url, "list_queues -q name messages") == "name\tmessages\nq\t0\n"
    with pytest.raises(RemoteError, match="Command 'nope' not found") as unknown:
        command(endpoint.management_url, "nope")
    with pytest.raises(RemoteError, match="'absent' does not exist") as absent:
        command(endpoint.management_url, "delete_vhost absent")
    assert (unknown.value.exit_status, absent.value.exit_status) == (64, 65)
    with pytest.raises(RemoteError, match="is stopped by the program"):
        command(endpoint.management_url, "stop")
    stopped = []
    endpoint.on_stop = lambda: stopped.append(True)
    command(endpoint.management_url, "stop")
    assert stopped == [True]
    with pytest.raises(RemoteError, match="no management URL"):
        command("amqp://localhost", "list_queues")
    with pytest.raises(RemoteError, match="cannot ask"):
        command("http://127.0.0.1:1", "list_queues")
