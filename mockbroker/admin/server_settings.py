"""What a whole server is set to, as installed: global parameters, feature flags, deprecated features.

Owns: their names and states. They can be read and not changed: nothing here depends on them.
Refuses to know: who asks (``http_settings.py``, ``ctl_settings.py``).
Source: RabbitMQ documentation, "Feature Flags", "Deprecated Features"; the answers of RabbitMQ 3.10.8 and
4.0.5.

Read next: ``http_settings.py``, ``ctl_settings.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mockbroker.core.node import Node

Row = dict[str, Any]

_HAS_CLUSTER_TAGS = {"rabbitmq-3.10": False, "rabbitmq-4.0": True}


def global_parameters(node: Node) -> list[Row]:
    """Return what every server has: a name for the cluster, made of the seed; on 4.0 also its tags."""
    tags = [{"name": "cluster_tags", "value": []}] if _HAS_CLUSTER_TAGS[node.rules.name] else []
    return [*tags, {"name": "internal_cluster_id", "value": f"rabbitmq-cluster-id-{node.seed}"}]


_FLAGS_OF_BOTH = {
    "classic_mirrored_queue_version": "rabbit",
    "drop_unroutable_metric": "rabbitmq_management_agent",
    "empty_basic_get_metric": "rabbitmq_management_agent",
    "implicit_default_bindings": "rabbit",
    "maintenance_mode_status": "rabbit",
    "quorum_queue": "rabbit",
    "stream_queue": "rabbit",
    "user_limits": "rabbit",
    "virtual_host_metadata": "rabbit",
}
"""Flag that both versions have -> the plugin that brings it."""

_REQUIRED_SINCE = (
    "classic_queue_type_delivery_support",
    "direct_exchange_routing_v2",
    "feature_flags_v2",
    "listener_records_in_ets",
    "message_containers",
    "restart_streams",
    "stream_filtering",
    "stream_sac_coordinator_unblock_group",
    "stream_single_active_consumer",
    "stream_update_config_command",
    "tracking_records_in_ets",
)
_STABLE_SINCE = (
    "message_containers_deaths_v2",
    "quorum_queue_non_voters",
    "rabbit_exchange_type_local_random",
    "rabbitmq_4.0.0",
)


def _flag(name: str, stability: str, provider: str = "rabbit", *, state: str = "enabled") -> Row:
    return {
        "name": name,
        "desc": "",
        "doc_url": "",
        "state": state,
        "stability": stability,
        "provided_by": provider,
    }


_FLAGS = {
    "rabbitmq-3.10": [_flag(name, "stable", provider) for name, provider in _FLAGS_OF_BOTH.items()],
    "rabbitmq-4.0": [
        *(_flag(name, "required", provider) for name, provider in _FLAGS_OF_BOTH.items()),
        *(_flag(name, "required") for name in _REQUIRED_SINCE),
        *(_flag(name, "stable") for name in _STABLE_SINCE),
        _flag("detailed_queues_endpoint", "stable", "rabbitmq_management"),
        _flag("khepri_db", "experimental", state="disabled"),
    ],
}
"""Name of the rules -> the flags of a server as installed."""


def feature_flags(node: Node) -> list[Row]:
    """Return the feature flags of a server as installed, by name; their descriptions are left out."""
    return sorted(_FLAGS[node.rules.name], key=lambda row: row["name"])


_DEPRECATED = (
    ("queue_master_locator", "permitted_by_default", "rabbit"),
    ("management_metrics_collection", "permitted_by_default", "rabbitmq_management_agent"),
    ("global_qos", "permitted_by_default", "rabbit"),
    ("ram_node_type", "permitted_by_default", "rabbit"),
    ("transient_nonexcl_queues", "permitted_by_default", "rabbit"),
    ("amqp_address_v1", "permitted_by_default", "rabbit"),
    ("classic_queue_mirroring", "removed", "rabbit"),
)


def deprecated_features() -> list[Row]:
    """Return the deprecated features that a server knows; their descriptions are left out."""
    return [
        {"name": name, "desc": "", "deprecation_phase": phase, "doc_url": "", "provided_by": provider}
        for name, phase, provider in _DEPRECATED
    ]
