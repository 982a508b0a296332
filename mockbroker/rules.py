"""What differs from one RabbitMQ version to another, as one frozen value.

Owns: the differences that recordings of the real servers show, and the servers' default limits.
Refuses to know: where a rule is applied. Whoever needs one reads the field from the node's `Rules`.

Read next: ``core/node.py``; ``docs/supported.md`` names the recorded scenarios behind each field.
"""

from __future__ import annotations

from types import MappingProxyType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


_LIMITS = (
    "delivery-limit",
    "expires",
    "max-in-memory-bytes",
    "max-in-memory-length",
    "max-length",
    "max-length-bytes",
    "message-ttl",
)
"""What operators may limit by their policies."""
_NOT_FOR_CLASSIC = (
    "dead-letter-strategy",
    "delivery-limit",
    "initial-cluster-size",
    "max-age",
    "stream-max-segment-size-bytes",
)
_NOT_FOR_QUORUM = (
    "initial-cluster-size",
    "max-age",
    "queue-master-locator",
    "queue-mode",
    "stream-max-segment-size-bytes",
)
_NOT_FOR_STREAM = (
    "dead-letter-exchange",
    "dead-letter-routing-key",
    "dead-letter-strategy",
    "delivery-limit",
    "expires",
    "max-in-memory-bytes",
    "max-in-memory-length",
    "max-length",
    "message-ttl",
    "overflow",
    "queue-master-locator",
    "queue-mode",
)


class Rules:
    """The rules of one RabbitMQ version. Instances cannot be changed; `RULES` has one for each version."""

    __slots__ = ()

    name: str
    version: str
    mechanisms: tuple[str, ...]
    preferred_protocol: bytes

    # Limits that people meet on a server as installed. Source: RabbitMQ documentation, "Configuration".
    channel_max: int = 2047
    frame_max_bytes: int = 131_072
    heartbeat_s: int = 60
    dead_letter_retry_ms: int = 180_000
    max_message_bytes: int

    # access
    names_refused_permission: bool
    unknown_policy_keys: tuple[str, ...]
    operator_policy_keys: tuple[str, ...]
    policy_keys_not_for: Mapping[str, tuple[str, ...]]
    master_locators_are_checked_apart: bool
    queues_have_consumer_timeout: bool
    policy_targets: tuple[str, ...]
    policy_targets_text: str
    channel_limit_names_node: bool
    topic_permissions_cover_copies: bool
    # exchanges
    exchange_types: tuple[str, ...]
    unknown_exchange_type_closes_connection: bool
    equal_numbers_are_one: bool
    headers_count_milliseconds: bool
    hashes_headers_with_type: bool
    says_that_history_has_no_queue: bool
    # texts
    bytes_are_shown_as_latin1: bool
    shortens_ascii_only: bool
    terms_are_shown_in_unicode: bool
    # queues
    arguments_of_every_queue_type: tuple[str, ...]
    vhosts_have_default_queue_type: bool
    added_queue_type_sorts_arguments: bool
    queue_limit_is_checked_late: bool
    bad_master_locator_is_internal_error: bool
    default_queue_type_in_equivalence: bool
    # dead-lettering
    trusts_published_deaths: bool
    tells_last_death: bool
    routing_key_override_drops_cc: bool
    retried_letters_keep_hidden_copies: bool
    deaths_tell_all_keys_but_hidden: bool
    requesters_get_dead_letters: bool
    # quorum queues
    quorum_default_delivery_limit: int | None
    quorum_negative_delivery_limit_is_none: bool
    quorum_delivery_limit_widens_window: bool
    quorum_get_shows_first_delivery: bool
    quorum_consumers_go_by_tag: bool
    quorum_failures_outlive_dead_lettering: bool
    quorum_hears_its_own_confirms: bool
    quorum_priorities: bool
    quorum_priority_takes_over_single_active: bool
    quorum_limit_gone_lets_publishers_in: bool
    # properties
    odd_delivery_mode_is_refused: bool
    expiration_is_rewritten: bool
    user_id_is_checked_last: bool
    # transactions
    commit_keeps_queues: bool
    # streams
    consumer_arguments: Mapping[str, tuple[str, ...]]
    stream_filters: bool
    stream_takes_dead_letters: bool
    stream_letters_keep_expiration: bool
    stream_keeps_annotations: bool
    stream_turns_bytes_into_text: bool
    stream_property_headers: Mapping[str, str]
    stream_shows_transient: bool
    stream_nack_is_refused: bool
    stream_prefetch_text: str
    stream_automatic_ack_text: str

    def __repr__(self) -> str:
        return f"<Rules {self.name}>"


class _RabbitMQ310(Rules):
    __slots__ = ()
    name = "rabbitmq-3.10"
    version = "3.10.8"
    mechanisms = ("PLAIN", "AMQPLAIN")
    preferred_protocol = bytes((0, 0, 9, 1))
    max_message_bytes = 134_217_728
    names_refused_permission = False
    unknown_policy_keys = ("consumer-timeout", "stream-filter-size-bytes", "target-group-size")
    operator_policy_keys = _LIMITS
    policy_keys_not_for = MappingProxyType(
        {
            "classic": (*_NOT_FOR_CLASSIC, "queue-leader-locator"),
            "quorum": _NOT_FOR_QUORUM,
            "stream": _NOT_FOR_STREAM,
        }
    )
    master_locators_are_checked_apart = True
    queues_have_consumer_timeout = False
    policy_targets = ("all", "queues", "exchanges")
    policy_targets_text = "'queues', 'exchanges' or 'all'"
    channel_limit_names_node = False
    topic_permissions_cover_copies = False
    equal_numbers_are_one = True
    headers_count_milliseconds = False
    arguments_of_every_queue_type = ()
    vhosts_have_default_queue_type = False
    added_queue_type_sorts_arguments = False
    queue_limit_is_checked_late = False
    odd_delivery_mode_is_refused = True
    exchange_types = ("direct", "fanout", "headers", "topic")
    unknown_exchange_type_closes_connection = True
    hashes_headers_with_type = True
    says_that_history_has_no_queue = False
    bytes_are_shown_as_latin1 = False
    shortens_ascii_only = False
    terms_are_shown_in_unicode = False
    bad_master_locator_is_internal_error = True
    default_queue_type_in_equivalence = False
    trusts_published_deaths = True
    tells_last_death = False
    routing_key_override_drops_cc = True
    retried_letters_keep_hidden_copies = False
    deaths_tell_all_keys_but_hidden = False
    requesters_get_dead_letters = True
    quorum_default_delivery_limit = None
    quorum_negative_delivery_limit_is_none = False
    quorum_delivery_limit_widens_window = True
    quorum_get_shows_first_delivery = True
    quorum_consumers_go_by_tag = True
    quorum_failures_outlive_dead_lettering = False
    quorum_hears_its_own_confirms = False
    quorum_priorities = False
    quorum_priority_takes_over_single_active = False
    quorum_limit_gone_lets_publishers_in = False
    expiration_is_rewritten = False
    user_id_is_checked_last = False
    commit_keeps_queues = False
    consumer_arguments = MappingProxyType(
        {
            "classic": ("x-priority", "x-credit", "x-cancel-on-ha-failover"),
            "quorum": ("x-priority", "x-credit"),
            "stream": ("x-stream-offset", "x-credit"),
        }
    )
    stream_filters = False
    stream_takes_dead_letters = False
    stream_letters_keep_expiration = False
    stream_keeps_annotations = False
    stream_turns_bytes_into_text = False
    stream_property_headers = MappingProxyType({"x-basic-type": "type", "x-basic-app-id": "app_id"})
    stream_shows_transient = False
    stream_nack_is_refused = True
    stream_prefetch_text = "consumer prefetch count is not set for 'queue '{queue}' in vhost '{vhost}''"
    stream_automatic_ack_text = (
        "automatic acknowledgement not supported by stream queues queue '{queue}' in vhost '{vhost}'"
    )


class _RabbitMQ40(Rules):
    __slots__ = ()
    name = "rabbitmq-4.0"
    version = "4.0.5"
    mechanisms = ("PLAIN", "AMQPLAIN", "ANONYMOUS")
    preferred_protocol = bytes((3, 1, 0, 0))  # AMQP 1.0 with SASL
    max_message_bytes = 16_777_216
    names_refused_permission = True
    unknown_policy_keys = ()
    operator_policy_keys = (
        *_LIMITS,
        "overflow",
        "queue-master-locator",
        "queue-version",
        "target-group-size",
    )
    policy_keys_not_for = MappingProxyType(
        {
            "classic": (
                *_NOT_FOR_CLASSIC,
                "max-in-memory-bytes",
                "max-in-memory-length",
                "target-group-size",
            ),
            "quorum": _NOT_FOR_QUORUM,
            "stream": (*_NOT_FOR_STREAM, "target-group-size"),
        }
    )
    master_locators_are_checked_apart = False
    queues_have_consumer_timeout = True
    policy_targets = ("all", "queues", "exchanges", "classic_queues", "quorum_queues", "streams")
    policy_targets_text = (
        "one of: 'queues', 'classic_queues',  'quorum_queues', 'streams', 'exchanges', or 'all'"
    )
    channel_limit_names_node = True
    topic_permissions_cover_copies = True
    equal_numbers_are_one = False
    headers_count_milliseconds = True
    arguments_of_every_queue_type = ("x-queue-leader-locator",)
    vhosts_have_default_queue_type = True
    added_queue_type_sorts_arguments = True
    queue_limit_is_checked_late = True
    odd_delivery_mode_is_refused = False
    exchange_types = ("direct", "fanout", "headers", "topic", "x-local-random")
    unknown_exchange_type_closes_connection = False
    hashes_headers_with_type = False
    says_that_history_has_no_queue = True
    bytes_are_shown_as_latin1 = True
    shortens_ascii_only = True
    terms_are_shown_in_unicode = True
    bad_master_locator_is_internal_error = False
    default_queue_type_in_equivalence = True
    trusts_published_deaths = False
    tells_last_death = True
    routing_key_override_drops_cc = False
    retried_letters_keep_hidden_copies = True
    deaths_tell_all_keys_but_hidden = True
    requesters_get_dead_letters = False
    quorum_default_delivery_limit = 20
    quorum_negative_delivery_limit_is_none = True
    quorum_delivery_limit_widens_window = False
    quorum_get_shows_first_delivery = False
    quorum_consumers_go_by_tag = False
    quorum_failures_outlive_dead_lettering = True
    quorum_hears_its_own_confirms = True
    quorum_priorities = True
    quorum_priority_takes_over_single_active = True
    quorum_limit_gone_lets_publishers_in = True
    expiration_is_rewritten = True
    user_id_is_checked_last = True
    commit_keeps_queues = True
    consumer_arguments = MappingProxyType(
        {
            "classic": ("x-priority", "x-credit"),
            "quorum": ("x-priority", "x-credit"),
            "stream": ("x-stream-offset", "x-stream-filter", "x-stream-match-unfiltered", "x-credit"),
        }
    )
    stream_filters = True
    stream_takes_dead_letters = True
    stream_letters_keep_expiration = True
    stream_keeps_annotations = True
    stream_turns_bytes_into_text = True
    stream_property_headers = MappingProxyType(
        {"x-basic-type": "type", "x-basic-priority": "priority", "x-basic-expiration": "expiration"}
    )
    stream_shows_transient = True
    stream_nack_is_refused = False
    stream_prefetch_text = "consumer prefetch count is not set for stream queue '{queue}' in vhost '{vhost}'"
    stream_automatic_ack_text = (
        "automatic acknowledgement not supported by stream queue '{queue}' in vhost '{vhost}'"
    )


RULES: dict[str, Rules] = {rules.name: rules for rules in (_RabbitMQ310(), _RabbitMQ40())}
"""Name -> rules: ``rabbitmq-3.10`` and ``rabbitmq-4.0``."""


def rules_named(name: str | Rules) -> Rules:
    """Return the rules with this name; `Rules` are returned as they are.

    Raises ValueError that lists the names there are.
    """
    if isinstance(name, Rules):
        return name
    try:
        return RULES[name]
    except (KeyError, TypeError):
        raise ValueError(f"there are no rules named {name!r}: choose from {', '.join(RULES)}") from None
