"""Pages of settings: parameters, feature flags, deprecated features, logins; what 3.10.8 and 4.0.5 answer."""

from __future__ import annotations

import pytest

from tests.admin.http_api import NOT_FOUND, Api, bad_request, managed


def test_limits_and_operator_policies_are_parameters():
    with managed() as (_, api):
        assert api("GET", "parameters") == (200, [])
        path = "parameters/vhost-limits/%2F/limits"
        limits = {"value": {"max-queues": 5}, "vhost": "/", "component": "vhost-limits", "name": "limits"}
        assert api("PUT", path, {"value": {"max-queues": 9, "max-connections": 9}}) == (201, None)
        assert api("PUT", path, {"value": {"max-queues": 5}}) == (204, None)
        assert api("GET", path) == (200, limits)
        assert api("GET", "vhost-limits") == (200, [{"vhost": "/", "value": {"max-queues": 5}}])
        policy = {"pattern": "^q", "definition": {"max-length": 4}, "priority": 0, "apply-to": "queues"}
        assert api("PUT", "operator-policies/%2F/op", policy) == (201, None)
        operator_policy = {"value": policy, "vhost": "/", "component": "operator_policy", "name": "op"}
        assert api("GET", "parameters") == (200, [limits, operator_policy])
        assert api("GET", "parameters/operator_policy") == (200, [operator_policy])
        assert api("GET", "parameters/vhost-limits/%2F") == (200, [limits])
        assert api("GET", "parameters/federation") == (200, [])
        assert api("DELETE", "parameters/operator_policy/%2F/op") == (204, None)
        assert api("GET", "operator-policies") == (200, [])
        assert api("DELETE", path) == (204, None)
        assert api("DELETE", path) == (404, NOT_FOUND)
        assert api("GET", "vhost-limits/%2F") == (200, [])


def test_a_parameter_that_is_refused_changes_nothing():
    with managed() as (_, api):
        path = "parameters/vhost-limits/%2F/limits"
        api("PUT", path, {"value": {"max-queues": 5}})
        text = 'Validation failed\n\nUnrecognised terms [{&lt;&lt;"z"&gt;&gt;,1}] in limits\n'
        assert api("PUT", path, {"value": {"max-queues": 6, "z": 1}}) == bad_request(text)
        assert api("PUT", path, {}) == bad_request("[{key_missing,value}]")
        assert api("PUT", path, {"value": 7})[0] == 400
        assert api("GET", "vhost-limits") == (200, [{"vhost": "/", "value": {"max-queues": 5}}])
        assert api("PUT", "parameters/nope/%2F/x", {"value": 1}) == bad_request(
            "Validation failed\n\ncomponent nope not found\n"
        )
        assert api("GET", "parameters/vhost-limits/nope") == (404, NOT_FOUND)
        assert api("GET", "parameters/nope/%2F/x") == (404, NOT_FOUND)


@pytest.mark.parametrize(
    ("rules", "others"),
    [("rabbitmq-3.10", []), ("rabbitmq-4.0", [{"name": "cluster_tags", "value": []}])],
)
def test_global_parameters_can_be_read(rules, others):
    with managed(rules) as (_, api):
        row = {"name": "internal_cluster_id", "value": "rabbitmq-cluster-id-0"}
        assert api("GET", "global-parameters") == (200, [*others, row])
        assert api("GET", "global-parameters/internal_cluster_id") == (200, row)
        assert api("GET", "global-parameters/nope") == (404, NOT_FOUND)
        assert api("PUT", "global-parameters/x", {"value": 1})[0] == 405


@pytest.mark.parametrize(
    ("rules", "names", "of_quorum_queues", "for_all"),
    [("rabbitmq-3.10", 9, "stable", 401), ("rabbitmq-4.0", 26, "required", 200)],
)
def test_feature_flags(rules, names, of_quorum_queues, for_all):
    with managed(rules) as (_, api):
        _, flags = api("GET", "feature-flags")
        assert len({flag["name"] for flag in flags}) == len(flags) == names
        assert [flag["name"] for flag in flags] == sorted(flag["name"] for flag in flags)
        flag = next(flag for flag in flags if flag["name"] == "quorum_queue")
        assert (flag["state"], flag["stability"]) == ("enabled", of_quorum_queues)
        disabled = [flag["name"] for flag in flags if flag["state"] != "enabled"]
        assert disabled == (["khepri_db"] if rules == "rabbitmq-4.0" else [])
        api("PUT", "users/u", {"password": "p", "tags": "management"})
        assert api("GET", "feature-flags", auth="u:p")[0] == for_all


def test_deprecated_features_and_those_in_use():
    with managed() as (broker, api):
        _, features = api("GET", "deprecated-features")
        phases = {feature["name"]: feature["deprecation_phase"] for feature in features}
        assert phases["global_qos"] == "permitted_by_default"
        assert phases["classic_queue_mirroring"] == "removed"
        assert api("GET", "deprecated-features/used") == (200, [])
        channel = broker.connect().channel()
        channel.queue_declare("exclusive", exclusive=True)
        channel.queue_declare("durable", durable=True)
        assert api("GET", "deprecated-features/used") == (200, [])
        channel.basic_qos(prefetch_count=1, global_qos=True)
        channel.queue_declare("transient")
        used = {feature["name"] for feature in api("GET", "deprecated-features/used")[1]}
        assert used == {"global_qos", "transient_nonexcl_queues"}


def test_logins_are_counted():
    with managed() as (_, api):
        assert api("GET", "auth") == (200, {"oauth_enabled": False})
        api("GET", "whoami", auth="guest:wrong")
        _, (attempts,) = api("GET", "auth/attempts/rabbit@localhost")
        assert attempts == {
            "protocol": "http",
            "auth_attempts": 3,
            "auth_attempts_failed": 1,
            "auth_attempts_succeeded": 2,
        }
        assert api("GET", "auth/attempts/rabbit@localhost/source") == (200, [])
        assert api("GET", "auth/attempts/nope") == (404, NOT_FOUND)
        assert api("GET", "auth/attempts/nope/source") == (404, NOT_FOUND)


def test_a_hashed_password_lets_its_user_in():
    with managed() as (_, api):
        _, answer = api("GET", "auth/hash_password/secret")
        user = {"password_hash": answer["ok"], "tags": "management"}
        assert api("PUT", "users/u", user) == (201, None)
        assert api("GET", "whoami", auth="u:secret")[0] == 200
        assert api("GET", "whoami", auth="u:other")[0] == 401


@pytest.mark.parametrize(
    ("path", "only"),
    [
        ("version", "rabbitmq-4.0"),
        ("deprecated-features", "rabbitmq-4.0"),
        ("auth/hash_password/x", "rabbitmq-4.0"),
        ("queues/detailed", "rabbitmq-4.0"),
        ("health/checks/node-is-mirror-sync-critical", "rabbitmq-3.10"),
    ],
)
@pytest.mark.parametrize("rules", ["rabbitmq-3.10", "rabbitmq-4.0"])
def test_pages_of_one_version(path, only, rules):
    with managed(rules) as (_, api):
        assert api("GET", path)[0] == (200 if rules == only else 404)


def test_who_may_see_settings():
    with managed("rabbitmq-3.10") as (_, api):
        assert api("GET", "auth") == (200, {"enable_uaa": False, "uaa_client_id": "", "uaa_location": ""})
        for tag in ("management", "policymaker", "monitoring"):
            api("PUT", f"users/{tag}", {"password": "p", "tags": tag})
        refused = (401, {"error": "not_authorised", "reason": "User not authorised to access object"})
        assert api("GET", "parameters", auth="management:p") == refused
        assert api("GET", "global-parameters", auth="monitoring:p") == refused
        assert api("GET", "parameters", auth="policymaker:p") == (200, [])
        path = "auth/attempts/rabbit@localhost"
        assert api("GET", path, auth="policymaker:p")[1]["reason"] == "Not monitor user"
        assert api("GET", path, auth="monitoring:p")[0] == 200


def test_two_management_ports_count_for_themselves():
    with managed() as (broker, api), broker.listen(management=True) as second:
        other = Api(second.management_url)
        channel = broker.connect().channel()
        channel.basic_publish("", "nowhere", b"x")
        for each in (api, other):
            assert each("GET", "overview")[1]["message_stats"]["publish"] == 1
            assert each("GET", "auth/attempts/rabbit@localhost")[1][0]["auth_attempts"] == 2
        other.connection.close()
