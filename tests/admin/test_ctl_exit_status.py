"""The exit status of a command that fails, as rabbitmqctl of RabbitMQ 3.10.8 and 4.0.5 ended."""

from __future__ import annotations

import pytest

from mockbroker import Broker
from mockbroker.admin.ctl import CtlError

OLD, NEW = "rabbitmq-3.10", "rabbitmq-4.0"

STATUSES = {
    "frobnicate": 64,
    "delete_queue": 64,
    "delete_queue absent": 64,
    "delete_queue a b c": 64,
    "list_queues frob": 64,
    "list_queues --frob": 64,
    "list_queues -t x": 64,
    "set_policy --priority x p ^x '{\"max-length\":1}'": 64,
    "set_vhost_tags absent x": 65,
    "delete_vhost absent": 65,
    "list_permissions -p absent": 65,
    "set_vm_memory_high_watermark x": 65,
    "set_disk_free_limit frob": 65,
    "set_disk_free_limit mem_relative frob": 65,
    "authenticate_user guest wrong": 65,
    "add_user '' x": 65,
    "set_permissions absent .* .* .*": 67,
    "set_topic_permissions absent amq.topic .* .*": 67,
    "set_user_tags absent x": 67,
    "change_password absent x": 67,
    "set_permissions guest '(' .* .*": 69,
    "set_permissions -p absent guest .* .* .*": 69,
    "list_user_permissions absent": 69,
    "list_user_topic_permissions absent": 69,
    "list_user_limits --user absent": 69,
    "clear_password absent": 69,
    "set_user_limits absent '{\"max-channels\":1}'": 69,
    "clear_user_limits absent max-channels": 69,
    "set_policy p '(' '{\"max-length\":1}'": 69,
    "set_policy p ^x '{\"max-length\":-1}'": 69,
    "set_policy p ^x notjson": 69,
    "set_policy --apply-to frob p ^x '{\"max-length\":1}'": 69,
    'set_operator_policy p ^x \'{"overflow":"x"}\'': 69,
    "clear_policy absent": 69,
    "clear_operator_policy absent": 69,
    'set_vhost_limits \'{"max-queues":"x"}\'': 69,
    "set_vhost_limits 3": 69,
    "clear_vhost_limits": 69,
    "close_connection 1.2.3 bye": 69,
    "add_user guest guest": 70,
}
"""Command -> exit status of both versions."""

STATUSES_THAT_DIFFER = {
    "delete_user absent": (67, 0),
    "clear_permissions absent": (67, 0),
    "clear_permissions -p absent guest": (69, 0),
    "clear_topic_permissions absent": (67, 0),
    "delete_queue -e busy": (64, 69),
    "purge_queue absent": (69, 65),
    "list_deprecated_features frob": (64, 64),
    "update_vhost_metadata absent --description x": (64, 65),
    "set_permissions_globally absent .* .* .*": (64, 67),
}
"""Command -> exit status of 3.10 and of 4.0, where these are not the same or have other reasons."""


def exit_status(rules: str, command: str) -> int:
    broker = Broker(rules=rules)
    channel = broker.connect().channel()
    channel.queue_declare("busy")
    channel.basic_publish("", "busy", b"m")
    try:
        broker.ctl(command)
    except CtlError as error:
        return error.exit_status
    return 0


@pytest.mark.parametrize("rules", [OLD, NEW])
@pytest.mark.parametrize("command", STATUSES)
def test_exit_status(rules: str, command: str) -> None:
    assert exit_status(rules, command) == STATUSES[command]


@pytest.mark.parametrize("command", STATUSES_THAT_DIFFER)
def test_exit_status_that_versions_do_not_share(command: str) -> None:
    assert tuple(exit_status(rules, command) for rules in (OLD, NEW)) == STATUSES_THAT_DIFFER[command]
