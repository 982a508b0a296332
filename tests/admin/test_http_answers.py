"""Odd requests, and users who may not do everything: what RabbitMQ 3.10.8 and 4.0.5 answered to the same."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from mockbroker import BasicProperties
from tests.admin.http_api import NOT_FOUND, bad_request, managed

MESSAGE = {"properties": {}, "routing_key": "q", "payload": "x", "payload_encoding": "string"}
GET = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}


def refused(reason):
    return 401, {"error": "not_authorised", "reason": reason}


@pytest.fixture
def api():
    with managed() as (_, api):
        yield api


@pytest.fixture
def api310():
    with managed("rabbitmq-3.10") as (_, api):
        yield api


# Requests


def test_logging_in(api):
    assert api("GET", "whoami", headers={}) == (401, None)
    assert api.headers["www-authenticate"] == 'Basic realm="RabbitMQ Management"'
    assert api("GET", "whoami", headers={"authorization": "Basic !!"}) == (400, None)
    wrong = (401, {"error": "not_authorized", "reason": "Not_Authorized"})
    assert api("GET", "whoami", headers={"authorization": "Bearer x"}) == wrong
    assert "www-authenticate" not in api.headers


def test_logging_in_to_the_older_one(api310):
    wrong = (401, {"error": "not_authorized", "reason": "Login failed"})
    assert api310("GET", "whoami", auth="guest:wrong") == wrong
    assert "www-authenticate" in api310.headers
    assert api310("GET", "whoami") == (200, {"name": "guest", "tags": ["administrator"]})


def test_methods(api):
    assert api("PATCH", "queues/%2F/q", {}) == (405, None)
    assert api.headers["allow"] == "HEAD, GET, PUT, DELETE, OPTIONS"
    assert api("GET", "queues/%2F/q/contents") == (405, None)
    assert api.headers["allow"] == "DELETE, OPTIONS"
    assert "content-type" not in api.headers
    assert api("OPTIONS", "queues/%2F/q/get") == (200, None)
    assert api.headers["allow"] == "POST, OPTIONS"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "not_json"),
        (b"[]", "not_json"),
        (
            b'"x"',
            "invalid payload: the request body JSON-decoded to a string. Is the input doubly-JSON-encoded?",
        ),
        (b"null", "[{key_missing,users}]"),
        (b"", "[{key_missing,users}]"),
    ],
)
def test_bodies(api, body, reason):
    assert api("POST", "users/bulk-delete", body) == bad_request(reason)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "vhost-limits/%2F/max-queues"),
        ("PUT", "user-limits/guest/max-channels"),
        ("PUT", "operator-policies/%2F/p"),
        ("POST", "definitions"),
        ("POST", "definitions/%2F"),
    ],
)
def test_some_paths_need_a_body_that_says_it_is_json(api, method, path):
    login = {"authorization": "Basic " + base64.b64encode(b"guest:guest").decode()}
    assert api(method, path, {}, headers=login) == (415, None)
    assert api(method, path, {}, headers={**login, "content-type": "text/plain"}) == (415, None)
    typed = {**login, "content-type": "application/json; charset=utf-8"}
    assert api(method, path, {}, headers=typed)[0] in (204, 400)
    assert api("PUT", "queues/%2F/q", {}, headers=login) == (201, None)


def test_pages_that_there_are_not(api):
    invalid = bad_request("Pagination parameters are invalid")
    for query in ("page=x", "page=1&page_size=x", "page=1&name=(&use_regex=true"):
        assert api("GET", f"queues?{query}") == invalid
    for query, shown in (
        ("page=0", "page number 0, page size undefined"),
        ("page=1&page_size=0", "page number 1, page size 0"),
        ("page=1&page_size=501", "page number 1, page size 501"),
    ):
        answer = {
            "error": "invalid_pagination_parameters",
            "reason": f"Invalid pagination parameters: {shown}",
        }
        assert api("GET", f"queues?{query}") == (400, answer)
    assert api("GET", "queues?page=1&page_size=500")[1]["page_count"] == 0
    api("PUT", "queues/%2F/q", {})
    reason = "Page out of range, page: 2 page size: 100, len: 1"
    assert api("GET", "queues?page=2") == (400, {"error": "page_out_of_range", "reason": reason})


def test_lists_that_have_no_pages(api, api310):
    for path in ("bindings", "permissions", "policies", "consumers"):
        assert isinstance(api("GET", f"{path}?page=1")[1], list)
    for path in ("queues", "exchanges", "connections", "channels", "vhosts"):
        assert api("GET", f"{path}?page=1")[1]["page"] == 1
    assert api("GET", "users?page=1")[1]["total_count"] == 1
    assert isinstance(api310("GET", "users?page=1")[1], list)


def test_columns(api):
    api("PUT", "queues/%2F/q", {})
    api("POST", "exchanges/%2F/amq.default/publish", MESSAGE)
    path = "queues?columns=name,messages_details.rate,message_stats.publish,nope,nope.x"
    row = {"name": "q", "messages_details": {"rate": 0.0}, "message_stats": {"publish": 1}}
    assert api("GET", path) == (200, [row])
    assert api("GET", "queues?columns=nope") == (200, [[]])
    assert api("GET", "vhosts/%2F?columns=name,tracing") == (200, {"name": "/", "tracing": False})


def test_a_list_may_do_without_figures(api):
    api("PUT", "queues/%2F/q", {})
    api("PUT", "policies/%2F/p", {"pattern": "q", "definition": {"max-length": 1}})
    identity = {
        "name": "q",
        "vhost": "/",
        "node": "rabbit@localhost",
        "type": "classic",
        "state": "running",
        "durable": False,
        "auto_delete": False,
        "exclusive": False,
        "arguments": {"x-queue-type": "classic"},
    }
    lengths = {"messages": 0, "messages_ready": 0, "messages_unacknowledged": 0}
    for path in ("queues/%2F/q", "queues/%2F"):
        _, answer = api("GET", f"{path}?disable_stats=true")
        assert answer in (identity, [identity])
        _, answer = api("GET", f"{path}?disable_stats=true&enable_queue_totals=true")
        assert answer in ({**identity, **lengths, "policy": "p"}, [{**identity, **lengths, "policy": "p"}])


# What there is


def test_what_a_queue_has_not_is_null_on_its_page(api, api310):
    for each in (api, api310):
        each("PUT", "queues/%2F/q", {})
        queue = each("GET", "queues/%2F/q")[1]
        for key in ("policy", "operator_policy", "exclusive_consumer_tag", "single_active_consumer_tag"):
            assert queue[key] is None
    assert "policy" not in api("GET", "queues")[1][0]
    assert api("GET", "queues/detailed")[1][0]["policy"] is None
    assert api310("GET", "queues")[1][0]["policy"] is None


def test_whose_a_queue_is():
    with managed() as (broker, api):
        channel = broker.connect().channel()
        channel.queue_declare("mine", exclusive=True)
        channel.queue_declare("one", arguments={"x-single-active-consumer": True})
        channel.basic_consume("one", print, consumer_tag="first")
        channel.basic_consume("mine", print, consumer_tag="only", exclusive=True)
        mine = api("GET", "queues/%2F/mine")[1]
        details = mine["owner_pid_details"]
        assert (mine["exclusive"], mine["exclusive_consumer_tag"]) == (True, "only")
        assert details["name"].startswith(f"{details['peer_host']}:{details['peer_port']} -> ")
        assert api("GET", "queues/%2F/one")[1]["single_active_consumer_tag"] == "first"
        assert api("GET", "channels")[1][0]["connection_details"] == details


def test_a_replicated_queue_has_members(api):
    for kind in ("quorum", "stream"):
        api("PUT", f"queues/%2F/{kind}", {"durable": True, "arguments": {"x-queue-type": kind}})
        queue = api("GET", f"queues/%2F/{kind}")[1]
        assert (queue["leader"], queue["members"], queue["online"]) == (
            "rabbit@localhost",
            ["rabbit@localhost"],
            ["rabbit@localhost"],
        )


def test_the_active_consumer_of_a_quorum_queue_has_another_name_on_3_10():
    for rules, name in (
        ("rabbitmq-3.10", "single_active_consumer_ctag"),
        ("rabbitmq-4.0", "single_active_consumer_tag"),
    ):
        with managed(rules=rules) as (broker, api):
            channel = broker.connect().channel()
            arguments = {"x-queue-type": "quorum", "x-single-active-consumer": True}
            channel.queue_declare("q", durable=True, arguments=arguments)
            channel.basic_consume("q", print, consumer_tag="first")
            queue = api("GET", "queues/%2F/q")[1]
            assert {key: queue[key] for key in queue if key.startswith("single")} == {name: "first"}


def test_delivery_limit_and_publishers_of_a_quorum_queue_on_4_0():
    for rules, given, told in (
        ("rabbitmq-4.0", {}, {"delivery_limit": 20, "publishers": 2}),
        ("rabbitmq-4.0", {"x-delivery-limit": 5}, {"delivery_limit": 5, "publishers": 2}),
        ("rabbitmq-4.0", {"x-delivery-limit": -1}, {"delivery_limit": "unlimited", "publishers": 2}),
        ("rabbitmq-3.10", {"x-delivery-limit": 5}, {}),
    ):
        with managed(rules=rules) as (broker, api):
            connection = broker.connect()
            channels = [connection.channel() for _ in range(4)]
            channels[0].queue_declare("q", durable=True, arguments={"x-queue-type": "quorum", **given})
            for channel in channels[:3]:
                channel.basic_publish("", "q", b"m")
            channels[1].close()
            queue = api("GET", "queues/%2F/q")[1]
            assert {key: queue[key] for key in ("delivery_limit", "publishers") if key in queue} == told


def test_ready_messages_of_a_quorum_queue_by_lane_on_4_0():
    for rules, lanes in (
        (
            "rabbitmq-4.0",
            {"messages_ready_high": 0, "messages_ready_normal": 3, "messages_ready_returned": 1},
        ),
        ("rabbitmq-3.10", {}),
    ):
        with managed(rules=rules) as (broker, api):
            channel = broker.connect().channel()
            channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
            for priority in (9, 1, 9, 1, 4):
                channel.basic_publish("", "q", b"m", BasicProperties(priority=priority))
            for _ in range(2):
                channel.basic_get("q")
            channel.basic_nack(1)
            queue = api("GET", "queues/%2F/q")[1]
            shown = {key: queue[key] for key in queue if key.startswith("messages_ready_")}
            shown.pop("messages_ready_details")
            assert shown == lanes


def test_bindings_of_what_is_not_there(api):
    assert api("GET", "exchanges/%2F/nope/bindings/source") == (200, [])
    assert api("GET", "exchanges/%2F/nope/bindings/destination") == (200, [])
    api("PUT", "queues/%2F/q", {})
    assert len(api("GET", "exchanges/%2F/amq.default/bindings/source")[1]) == 1


def test_arguments(api):
    assert api("PUT", "queues/%2F/q", {"arguments": {"x-max-length": 10}}) == (201, None)
    reason = (
        "inequivalent arg 'x-max-length' for queue 'q' in vhost '/': "
        "received none but current is the value '10' of type 'long'"
    )
    assert api("PUT", "queues/%2F/q", {}) == bad_request(reason)
    assert api("PUT", "queues/%2F/there", {"node": "nope"}) == bad_request("Node nope could not be contacted")
    assert api("PUT", "queues/%2F/here", {"node": "rabbit@localhost"}) == (201, None)
    assert api("PUT", "queues/%2F/empty", {"arguments": []}) == (201, None)
    assert api("PUT", "queues/%2F/text", {"arguments": "x"})[0] == 400


def test_exchange_types(api, api310):
    for each in (api, api310):
        unknown = bad_request("invalid exchange type 'nope'")
        assert each("PUT", "exchanges/%2F/e", {"type": "nope"}) == unknown
    assert api("PUT", "exchanges/%2F/e", {"type": "x-local-random"}) == (201, None)
    names = [kind["name"] for kind in api310("GET", "overview")[1]["exchange_types"]]
    assert names == ["direct", "fanout", "headers", "topic"]
    kinds = {kind["name"]: kind["description"] for kind in api("GET", "nodes")[1][0]["exchange_types"]}
    assert (kinds["x-local-random"], kinds["topic"].split()[1]) == ("", "topic")


def test_plugins(api):
    assert api("GET", "nodes")[1][0]["enabled_plugins"] == ["rabbitmq_management"]
    with managed(plugins=["rabbitmq_random_exchange"]) as (_, other):
        node = other("GET", "nodes/rabbit@localhost")[1]
        assert node["enabled_plugins"] == ["rabbitmq_management", "rabbitmq_random_exchange"]
        assert "x-random" in {kind["name"] for kind in node["exchange_types"]}
        assert other("PUT", "exchanges/%2F/e", {"type": "x-random"}) == (201, None)


# Messages


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"payload": {"a": 1}}, "payload_not_string"),
        ({"payload": "!!", "payload_encoding": "base64"}, ["not_base64", "!!"]),
        ({"properties": {"headers": {"a": None}}}, "null_not_allowed"),
        ({"properties": {"headers": {"a": [1, {"b": None}]}}}, "null_not_allowed"),
        ({"properties": {"headers": 5}}, "headers must be an object"),
        ({"properties": {"type": 5}}, ["not_string", "type"]),
        (
            {"properties": {"user_id": "eve"}},
            "406 PRECONDITION_FAILED - user_id property set to 'eve' but authenticated user was 'guest'",
        ),
        (
            {"properties": {"expiration": "x"}},
            "406 PRECONDITION_FAILED - invalid expiration 'x': no_integer",
        ),
    ],
)
def test_publishes_that_are_refused(api, change, reason):
    api("PUT", "queues/%2F/q", {})
    assert api("POST", "exchanges/%2F/amq.default/publish", MESSAGE | change) == bad_request(reason)
    assert api("GET", "queues/%2F/q")[1]["messages"] == 0


def test_a_publish_that_a_queue_refuses(api):
    api("PUT", "queues/%2F/q", {"arguments": {"x-max-length": 1, "x-overflow": "reject-publish"}})
    assert api("POST", "exchanges/%2F/amq.default/publish", MESSAGE) == (200, {"routed": True})
    assert api("POST", "exchanges/%2F/amq.default/publish", MESSAGE) == bad_request(
        "rejected Unable to publish message. Check queue limits."
    )


def test_a_publish_to_an_internal_exchange(api):
    api("PUT", "exchanges/%2F/i", {"type": "fanout", "internal": True})
    assert api("POST", "exchanges/%2F/i/publish", MESSAGE) == bad_request(
        "403 ACCESS_REFUSED - cannot publish to internal exchange 'i' in vhost '/'"
    )


def test_what_is_missing_is_told_in_two_ways(api, api310):
    path = "exchanges/%2F/nope/publish"
    assert api("POST", path, MESSAGE) == (404, {"error": "not_found", "reason": "exchange_not_found"})
    assert api310("POST", path, MESSAGE) == bad_request("404 NOT_FOUND - no exchange 'nope' in vhost '/'")
    path = "queues/%2F/nope/get"
    assert api("POST", path, GET) == (404, {"error": "not_found", "reason": "queue_not_found"})
    text = "NOT_FOUND - no queue 'nope' in vhost '/'"
    assert api310("POST", path, GET) == (404, {"error": "not_found", "reason": text})


def test_headers_come_back_as_they_went(api):
    api("PUT", "queues/%2F/q", {})
    headers = {"a": 1, "l": ["x", 1.5, True, {"b": 2}]}
    api("POST", "exchanges/%2F/amq.default/publish", MESSAGE | {"properties": {"headers": headers}})
    assert api("POST", "queues/%2F/q/get", GET)[1][0]["properties"] == {"headers": headers}


def test_getting(api):
    api("PUT", "queues/%2F/q", {})
    for _ in range(3):
        api("POST", "exchanges/%2F/amq.default/publish", MESSAGE | {"payload": "hello"})
    assert len(api("POST", "queues/%2F/q/get", GET | {"count": -1})[1]) == 3
    assert api("POST", "queues/%2F/q/get", GET | {"count": 0}) == (200, [])
    assert api("POST", "queues/%2F/q/get", GET | {"truncate": "2"})[1][0]["payload"] == "he"
    assert api("POST", "queues/%2F/q/get", GET | {"count": "x"}) == bad_request(["not_integer", "x"])
    assert api("POST", "queues/%2F/q/get", {"count": 1}) == bad_request(
        "[{key_missing,ackmode},{key_missing,encoding}]"
    )
    api("PUT", "queues/%2F/s", {"durable": True, "arguments": {"x-queue-type": "stream"}})
    assert api("POST", "queues/%2F/s/get", GET) == bad_request(
        "540 basic.get not supported by stream queues queue 's' in vhost '/'"
    )


def test_actions_on_mirrors(api, api310):
    for each in (api, api310):
        each("PUT", "queues/%2F/q", {})
        assert each("POST", "queues/%2F/q/actions", {"action": "nope"}) == bad_request(["unknown", "nope"])
        assert each("POST", "queues/%2F/nope/actions", {"action": "sync"}) == (404, NOT_FOUND)
    assert api310("POST", "queues/%2F/q/actions", {"action": "sync"}) == (204, None)
    assert api("POST", "queues/%2F/q/actions", {"action": "sync"}) == bad_request(["unknown", "sync"])


# Users and virtual hosts


def test_users(api, api310):
    hashed = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
    both = {"password": "x", "password_hash": hashed, "tags": ""}
    assert api("PUT", "users/u", both) == bad_request("both_password_and_password_hash_are_provided")
    assert api("PUT", "users/u", {"password": "x", "administrator": True}) == (201, None)
    assert api("GET", "users/u")[1]["tags"] == ["administrator"]
    limited = {"password": "x", "tags": "", "limits": {"max-channels": 3}}
    assert api("PUT", "users/u", limited) == (204, None)
    assert api("GET", "user-limits") == (200, [{"user": "u", "value": {"max-channels": 3}}])
    assert api("PUT", "users/u", limited | {"limits": {"nope": 3}, "tags": "monitoring"})[0] == 400
    assert api("GET", "users/u")[1]["tags"] == []
    assert api("GET", "user-limits/guest") == (200, [])
    assert api("POST", "users/bulk-delete", {"users": ["nope", "u"]}) == (204, None)
    assert api("GET", "users/u") == (404, NOT_FOUND)
    assert api310("POST", "users/bulk-delete", {"users": ["nope"]}) == bad_request(["no_such_user", "nope"])


def test_patterns_that_are_none(api):
    api("PUT", "users/u", {"password": "p", "tags": ""})
    bad = {"configure": "", "write": "(", "read": "", "exchange": "e"}
    fault = [list(b"missing )"), 1]
    for path, shown in (("permissions/%2F/u", [40]), ("topic-permissions/%2F/u", "(")):
        assert api("PUT", path, bad) == bad_request(["invalid_regexp", shown, fault])
        for no_text in (None, 5, {}):
            assert api("PUT", path, bad | {"write": no_text}) == (500, None)
        assert api("GET", path) == (404, NOT_FOUND)


def test_starting_a_vhost(api):
    assert api("POST", "vhosts/%2F/start/rabbit@localhost", {}) == (204, None)
    reason = "Request to node nope failed with nodedown"
    assert api("POST", "vhosts/%2F/start/nope", {}) == bad_request(reason)
    reason = 'Request to node rabbit@localhost failed with {no_such_vhost,<<"v">>}'
    assert api("POST", "vhosts/v/start/rabbit@localhost", {}) == bad_request(reason)


def test_definitions_as_a_file(api):
    assert api("GET", "definitions?download=all.json")[0] == 200
    assert api.headers["content-disposition"] == "attachment; filename=all.json"
    assert api("GET", "definitions?download=a%0Ab")[0] == 200
    assert "content-disposition" not in api.headers
    assert api("GET", "definitions/nope") == bad_request("vhost_not_found")


def test_definitions_that_a_server_refuses(api):
    unknown = {"parameters": [{"component": "foo", "name": "limits", "value": {}}]}
    reason = r'<<"Validation failed\n\ncomponent foo not found\n (//foo/limits)">>'
    assert api("POST", "definitions/%2F", unknown) == bad_request(reason)
    status, body = api("POST", "definitions", {"users": [{"name": "u", "password": "x"}]})
    assert (status, body["reason"].rpartition(": ")[2]) == (400, "tags_not_present")
    assert api("GET", "users/u") == (404, NOT_FOUND)
    nowhere = {"source": "nope", "destination": "q", "destination_type": "queue", "routing_key": ""}
    assert api("POST", "definitions/%2F", {"bindings": [nowhere]}) == (204, None)


def test_health(api):
    assert api("GET", "healthchecks/node/rabbit@localhost") == (200, {"status": "ok"})
    assert api("GET", "healthchecks/node/nope") == (404, NOT_FOUND)
    path = "health/checks/certificate-expiration"
    assert api("GET", f"{path}/1/days") == (200, {"status": "ok"})
    assert api("GET", f"{path}/x/days") == bad_request("Invalid expiration value.")
    assert api("GET", f"{path}/1/parsecs") == bad_request(
        "Time unit not recognised. Supported units: days, weeks, months, years."
    )


# Who may do what


def test_tags_and_virtual_hosts(api):
    for tag in ("management", "monitoring", "administrator"):
        api("PUT", f"users/{tag}", {"password": "p", "tags": tag})
    api("PUT", "queues/%2F/q", {})
    api("PUT", "policies/%2F/p", {"pattern": "q", "definition": {"max-length": 1}})
    closed = refused("User not authorised to access virtual host")
    for path in ("queues", "bindings", "exchanges", "policies"):
        assert api("GET", path, auth="monitoring:p") == (200, [])
        assert api("GET", f"{path}/%2F", auth="monitoring:p") == closed
        assert api("GET", f"{path}/%2F", auth="administrator:p") == api("GET", f"{path}/%2F")
        assert api("GET", path, auth="administrator:p") == api("GET", path)
    for path in ("consumers", "vhost-limits"):
        assert api("GET", f"{path}/%2F", auth="monitoring:p") == (200, [])
        assert api("GET", f"{path}/%2F", auth="management:p") == closed
    assert [row["name"] for row in api("GET", "vhosts", auth="monitoring:p")[1]] == ["/"]
    assert api("GET", "vhosts", auth="management:p") == (200, [])
    assert api("GET", "vhosts/%2F", auth="monitoring:p") == refused("Not administrator user")
    assert api("PUT", "queues/%2F/q", {}, auth="administrator:p") == refused("Access refused.")
    assert api("GET", "aliveness-test/%2F", auth="administrator:p") == refused("Access refused.")


def test_what_a_user_may_not_touch(api):
    api("PUT", "queues/%2F/q", {})
    api("PUT", "users/u", {"password": "p", "tags": "policymaker"})
    api("PUT", "permissions/%2F/u", {"configure": "", "write": "", "read": ""})
    text = "ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'u'"
    assert api("POST", "queues/%2F/q/get", GET, auth="u:p") == refused(text)
    text = "403 ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user 'u'"
    assert api("POST", "exchanges/%2F/amq.default/publish", MESSAGE, auth="u:p") == bad_request(text)
    policy = {"pattern": "x", "definition": {"max-length": 1}}
    assert api("PUT", "policies/%2F/p", policy, auth="u:p") == (201, None)
    assert api("PUT", "operator-policies/%2F/p", policy, auth="u:p") == refused("Not administrator user")
    api("PUT", "users/u", {"password": "p", "tags": "management"})
    not_yours = refused("User not authorised to access object")
    assert api("PUT", "policies/%2F/p", policy, auth="u:p") == not_yours


def test_other_peoples_connections():
    with managed() as (broker, api):
        for name in ("u", "eve"):
            api("PUT", f"users/{name}", {"password": "p", "tags": "management"})
            api("PUT", f"permissions/%2F/{name}", {"configure": ".*", "write": ".*", "read": ".*"})
        connection = broker.connect(username="u", password="p")
        channel = connection.channel()
        channel.queue_declare("q")
        channel.basic_consume("q", print)
        _, (row,) = api("GET", "connections")
        name = quote(row["name"])
        not_yours = refused("User not authorised to access object")
        brief = {"name": row["name"], "vhost": "/", "user": "u", "node": "rabbit@localhost"}
        for auth in ("u:p", "guest:guest"):
            assert api("GET", f"connections/{name}", auth=auth) == (200, row)
            assert api("GET", "connections/username/u", auth=auth) == (200, [brief])
            assert api("GET", f"channels/{name}%20(1)", auth=auth)[0] == 200
            assert len(api("GET", "consumers", auth=auth)[1]) == 1
            assert api("GET", "overview", auth=auth)[1]["object_totals"]["channels"] == 1
        for path in (f"connections/{name}", f"channels/{name}%20(1)", "connections/username/u"):
            assert api("GET", path, auth="eve:p") == not_yours
        assert api("DELETE", f"connections/{name}", auth="eve:p") == not_yours
        assert api("DELETE", "connections/username/u", auth="eve:p") == not_yours
        assert api("GET", "consumers", auth="eve:p") == (200, [])
        assert api("GET", "connections", auth="eve:p") == (200, [])
        overview = api("GET", "overview", auth="eve:p")[1]
        assert overview["object_totals"] == {"channels": 0, "connections": 0, "exchanges": 7, "queues": 1}
        assert "listeners" not in overview
        assert connection.is_open
