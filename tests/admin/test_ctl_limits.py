"""Limits and thresholds in rabbitmqctl's words, as RabbitMQ 3.10.8 and 4.0.5 printed them."""

from __future__ import annotations

import pytest

from mockbroker import Broker
from mockbroker.admin.ctl import CtlError
from mockbroker.exceptions import ChannelClosedByBroker

BOTH = pytest.mark.parametrize("rules", ["rabbitmq-3.10", "rabbitmq-4.0"])


def _broker(rules: str = "rabbitmq-4.0") -> Broker:
    broker = Broker(rules=rules)
    broker.ctl("-q add_vhost blue")
    broker.ctl("-q add_user joe secret")
    return broker


@BOTH
def test_limits_of_a_virtual_host(rules: str) -> None:
    broker = _broker(rules)
    assert broker.ctl("list_vhost_limits -p blue") == 'Listing limits for vhost "blue" ...\n\n'
    assert broker.ctl("list_vhost_limits -p blue --formatter json") == "[]\n"
    assert broker.ctl("""set_vhost_limits -p blue '{"max-queues":10,"max-connections":5}'""") == (
        'Setting vhost limits to "{"max-queues":10,"max-connections":5}" for vhost "blue" ...\n'
    )
    limits = '{"max-connections":5,"max-queues":10}'
    assert broker.ctl("list_vhost_limits -p blue") == f'Listing limits for vhost "blue" ...\n{limits}\n'
    assert broker.ctl("-s list_vhost_limits -p blue") == f"{limits}\n"
    assert broker.ctl("list_vhost_limits -p blue --formatter json") == (
        '{"node":"rabbit@localhost","result":"ok","value":"{\\"max-connections\\":5,\\"max-queues\\":10}"}\n'
    )
    assert f" {limits} " in broker.ctl("list_vhost_limits -p blue --formatter pretty_table")
    assert broker.ctl("list_vhost_limits") == 'Listing limits for vhost "/" ...\n\n'


@BOTH
def test_limits_of_all_virtual_hosts(rules: str) -> None:
    broker = _broker(rules)
    assert broker.ctl("list_vhost_limits --global") == "Listing limits for all vhosts ...\n\n"
    broker.ctl("""set_vhost_limits -p blue '{"max-queues":10}'""")
    assert broker.ctl("list_vhost_limits --global -p nosuch") == (
        'Listing limits for all vhosts ...\nvhost\tlimits\nblue\t{"max-queues":10}\n'
    )
    assert broker.ctl("list_vhost_limits --global --formatter json") == (
        '[\n{"vhost":"blue","limits":"{\\"max-queues\\":10}"}\n]\n'
    )


def test_limits_of_a_virtual_host_are_set_all_at_once() -> None:
    broker = _broker()
    broker.ctl("""set_vhost_limits -p blue '{"max-queues":10,"max-connections":5}'""")
    broker.ctl("""set_vhost_limits -p blue '{"max-queues":7}'""")
    assert broker.ctl("-q list_vhost_limits -p blue") == '{"max-queues":7}\n'
    assert broker.ctl("clear_vhost_limits -p blue") == 'Clearing vhost "blue" limits ...\n'
    assert broker.ctl("-q list_vhost_limits -p blue") == "\n"


def test_a_limit_of_a_virtual_host_is_in_force() -> None:
    broker = _broker()
    channel = broker.connect().channel()
    broker.ctl("""set_vhost_limits '{"max-queues":0}'""")
    with pytest.raises(ChannelClosedByBroker, match=r"queue limit in vhost '/' \(0\) is reached"):
        channel.queue_declare("q")
    broker.ctl("clear_vhost_limits")
    broker.connect().channel().queue_declare("q")


@BOTH
def test_limits_of_a_user(rules: str) -> None:
    broker = _broker(rules)
    assert broker.ctl("list_user_limits") == 'Listing limits for user "guest" ...\n{}\n'
    assert broker.ctl("list_user_limits --global") == "Listing limits for all users ...\n\n"
    assert broker.ctl("""set_user_limits joe '{"max-connections":5,"max-channels":10}'""") == (
        'Setting user limits to "{"max-connections":5,"max-channels":10}" for user "joe" ...\n'
    )
    limits = '{"max-channels":10,"max-connections":5}'
    assert broker.ctl("list_user_limits --user joe") == f'Listing limits for user "joe" ...\n{limits}\n'
    assert broker.ctl("list_user_limits --user joe --formatter json") == (
        '{"message":"{\\"max-channels\\":10,\\"max-connections\\":5}"}\n'
    )
    assert broker.ctl("list_user_limits --global --user nosuch") == (
        f"Listing limits for all users ...\nuser\tlimits\njoe\t{limits}\n"
    )


def test_limits_of_a_user_are_set_and_cleared_one_by_one() -> None:
    broker = _broker()
    broker.ctl("""set_user_limits joe '{"max-connections":5,"max-channels":10}'""")
    broker.ctl("""set_user_limits joe '{"max-channels":3}'""")
    broker.ctl("set_user_limits joe {}")
    assert broker.ctl("-q list_user_limits --user joe") == '{"max-channels":3,"max-connections":5}\n'
    assert broker.ctl("clear_user_limits joe max-channels") == (
        'Clearing "max-channels" limit for user "joe" ...\n'
    )
    assert broker.ctl("-q clear_user_limits joe nosuch") == ""
    assert broker.ctl("-q list_user_limits --user joe") == '{"max-connections":5}\n'
    assert broker.ctl("clear_user_limits joe all") == 'Clearing all limits for user "joe" ...\n'
    assert broker.ctl("-q list_user_limits --user joe") == "{}\n"


@BOTH
@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (
            """set_vhost_limits -p blue '{"max-queues":3,"max-channels":7}'""",
            'Validation failed\n\nUnrecognised terms [{<<"max-channels">>,7}] in limits\n',
        ),
        (
            """set_vhost_limits -p blue '{"max-queues":"x"}'""",
            'Validation failed\n\nmax-queues should be a number, actually was <<"x">>\n',
        ),
        ("set_vhost_limits -p blue '[1]'", "limits must be a JSON object, not [1]"),
        ("clear_vhost_limits -p nosuch", "Parameter does not exist"),
        ("clear_vhost_limits", "Parameter does not exist"),
        (
            """set_user_limits joe '{"max-channels":"y","max-queues":7}'""",
            'Unrecognised terms [{<<"max-queues">>,7}] in user-limits',
        ),
        (
            """set_user_limits joe '{"max-channels":2.0}'""",
            "max-channels should be a number, actually was 2.0",
        ),
        ("""set_user_limits nosuch '{"max-channels":4}'""", '{:no_such_user, "nosuch"}'),
        ("clear_user_limits nosuch all", '{:no_such_user, "nosuch"}'),
        ("list_user_limits --user nosuch", '{:no_such_user, "nosuch"}'),
    ],
)
def test_a_limit_that_is_refused_changes_nothing(rules: str, command: str, complaint: str) -> None:
    broker = _broker(rules)
    broker.ctl("""set_vhost_limits -p blue '{"max-queues":9}'""")
    broker.ctl("""set_user_limits joe '{"max-channels":9}'""")
    with pytest.raises(CtlError) as caught:
        broker.ctl(command)
    assert str(caught.value) == f"Error:\n{complaint}"
    assert broker.ctl("-q list_vhost_limits -p blue") == '{"max-queues":9}\n'
    assert broker.ctl("-q list_user_limits --user joe") == '{"max-channels":9}\n'


@BOTH
@pytest.mark.parametrize("command", ["set_vhost_limits -p nosuch {}", "list_vhost_limits -p nosuch"])
def test_limits_of_no_virtual_host(rules: str, command: str) -> None:
    with pytest.raises(CtlError) as caught:
        _broker(rules).ctl(command)
    assert str(caught.value) == "Virtual host 'nosuch' does not exist"


def test_no_memory_at_all_blocks_who_publishes_until_there_is_some() -> None:
    broker = _broker()
    connection = broker.connect()
    told: list[str] = []
    connection.add_on_connection_blocked_callback(lambda _, reason: told.append(str(reason)))
    connection.add_on_connection_unblocked_callback(lambda _: told.append("unblocked"))
    assert broker.ctl("set_vm_memory_high_watermark 0") == (
        "Setting memory threshold on rabbit@localhost to 0 ...\n"
    )
    connection.channel().basic_publish("", "q", b"")
    broker.run()
    assert told == ["low on memory"]
    broker.ctl("set_vm_memory_high_watermark 0.4")
    broker.run()
    assert told == ["low on memory", "unblocked"]


@pytest.mark.parametrize(
    ("threshold", "is_low"),
    [
        *[(text, True) for text in ("0", "0.0", "absolute 0", "absolute 0MB", "absolute -5")],
        *[(text, False) for text in ("1e-3", "1", "absolute 1", "absolute 1GB")],
    ],
)
def test_which_thresholds_raise_the_memory_alarm(threshold: str, is_low: bool) -> None:
    for before in (True, False):
        broker = _broker()
        if before:
            broker.set_alarm("memory")
        broker.ctl(f"set_vm_memory_high_watermark {threshold}")
        assert ("memory" in broker.node.alarms) is is_low


def test_the_banner_of_a_threshold_in_bytes() -> None:
    assert _broker().ctl("set_vm_memory_high_watermark absolute 1GB") == (
        "Setting memory threshold on rabbit@localhost to 1GB bytes ...\n"
    )


@pytest.mark.parametrize(
    ("limit", "bytes_"),
    [
        ("5000", 5000),
        ("-5", -5),
        *[("2k", 2 * 2**10), ("2kiB", 2 * 2**10), ("2kB", 2 * 10**3)],
        *[("2M", 2 * 2**20), ("2MiB", 2 * 2**20), ("2MB", 2 * 10**6)],
        *[("2G", 2 * 2**30), ("2GiB", 2 * 2**30), ("2GB", 2 * 10**9)],
    ],
)
def test_the_limit_of_the_disk(limit: str, bytes_: int) -> None:
    broker = _broker()
    assert broker.ctl(f"set_disk_free_limit {limit}") == (
        f"Setting disk free limit on rabbit@localhost to {limit} bytes ...\n"
    )
    assert broker.node.disk_free_limit_bytes == bytes_
    assert broker.node.alarms == {}


def test_a_limit_above_what_the_disk_has_raises_its_alarm() -> None:
    broker = _broker()
    free = broker.node.disk_free_bytes
    broker.ctl(f"set_disk_free_limit {free + 1}")
    assert list(broker.node.alarms) == ["disk"]
    assert "Free disk space alarm on node rabbit@localhost" in broker.ctl("status")
    broker.ctl(f"set_disk_free_limit {free}")
    assert broker.node.alarms == {}
    assert broker.node.disk_free_bytes == free


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("set_vm_memory_high_watermark xyz", "Bad argument."),
        ("set_vm_memory_high_watermark 50MB", "Bad argument."),
        (
            "set_vm_memory_high_watermark 1.1",
            "Bad argument: The threshold should be a fraction between 0.0 and 1.0",
        ),
        (
            "set_vm_memory_high_watermark -1",
            "Bad argument: The threshold should be a fraction between 0.0 and 1.0",
        ),
        ("set_vm_memory_high_watermark absolute", "not enough arguments."),
        ("set_vm_memory_high_watermark absolute xyz", "Bad argument."),
        ("set_vm_memory_high_watermark absolute 5XB", "Bad argument: Invalid units."),
        (
            "set_vm_memory_high_watermark absolute 1.5GB",
            "Bad argument: The threshold should be an integer.",
        ),
        ("set_vm_memory_high_watermark nosuch 1", "too many arguments."),
        ("set_disk_free_limit xyz", "Bad argument."),
        ("set_disk_free_limit 50TB", "Bad argument."),
        ("set_disk_free_limit 1.5GB", "Bad argument."),
        ("set_disk_free_limit mem_relative", "not enough arguments."),
        ("set_disk_free_limit mem_relative xyz", "Bad argument."),
        ("set_disk_free_limit mem_relative -1.5", "Bad argument."),
        ("set_disk_free_limit nosuch 1", "too many arguments."),
    ],
)
def test_thresholds_that_are_none(command: str, reason: str) -> None:
    broker = _broker()
    broker.set_alarm("memory")
    with pytest.raises(CtlError) as caught:
        broker.ctl(command)
    assert str(caught.value) == f"Error (argument validation): {reason}\nArguments given:\n\t{command}"
    assert list(broker.node.alarms) == ["memory"]


def test_a_disk_is_not_relative_to_a_memory_that_is_not_there() -> None:
    with pytest.raises(CtlError, match="mem_relative has no meaning here: the model has no memory"):
        _broker().ctl("set_disk_free_limit mem_relative 1.5")
