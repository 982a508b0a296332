"""Virtual hosts, users and permissions in rabbitmqctl's words, as RabbitMQ 3.10.8 and 4.0.5 printed them."""

from __future__ import annotations

import pytest

from mockbroker import Broker
from mockbroker.admin.ctl import CtlError
from mockbroker.exceptions import ChannelClosedByBroker, ProbableAuthenticationError

BOTH = pytest.mark.parametrize("rules", ["rabbitmq-3.10", "rabbitmq-4.0"])


def _with_users(rules: str = "rabbitmq-4.0") -> Broker:
    """Two users and two virtual hosts besides those that a server comes with."""
    broker = Broker(rules=rules)
    for command in ("add_vhost blue", "add_vhost red", "add_user joe secret", "add_user ann secret"):
        broker.ctl(f"-q {command}")
    return broker


def _complaint(broker: Broker, command: str) -> str:
    with pytest.raises(CtlError) as caught:
        broker.ctl(command)
    return str(caught.value)


@BOTH
def test_topic_permissions(rules: str) -> None:
    broker = _with_users(rules)
    assert broker.ctl("set_topic_permissions -p blue joe amq.topic ^a ^b") == (
        'Setting topic permissions on "amq.topic" for user "joe" in vhost "blue" ...\n'
    )
    broker.ctl("set_topic_permissions -p blue joe nosuch.exchange .* ''")
    broker.ctl("set_topic_permissions -p red joe amq.topic .* .*")
    broker.ctl("set_topic_permissions -p blue ann amq.topic {username} x")
    assert broker.ctl("list_topic_permissions -p blue") == (
        'Listing topic permissions for vhost "blue" ...\n'
        "user\texchange\twrite\tread\n"
        "ann\tamq.topic\t{username}\tx\n"
        "joe\tamq.topic\t^a\t^b\n"
        "joe\tnosuch.exchange\t.*\t\n"
    )
    assert broker.ctl("list_user_topic_permissions joe") == (
        'Listing topic permissions for user "joe" ...\n'
        "blue\tamq.topic\t^a\t^b\n"
        "blue\tnosuch.exchange\t.*\t\n"
        "red\tamq.topic\t.*\t.*\n"
    )
    assert broker.ctl("list_user_topic_permissions ann --formatter json") == (
        '[\n{"vhost":"blue","exchange":"amq.topic","write":"{username}","read":"x"}\n]\n'
    )


@BOTH
def test_topic_permissions_are_cleared_on_an_exchange_or_on_all(rules: str) -> None:
    broker = _with_users(rules)
    for vhost, exchange in (("blue", "amq.topic"), ("blue", "logs"), ("red", "amq.topic")):
        broker.ctl(f"set_topic_permissions -p {vhost} joe {exchange} ^a ^b")
    assert broker.ctl("clear_topic_permissions -p blue joe amq.topic") == (
        'Clearing topic permissions on "amq.topic" for user "joe" in vhost "blue" ...\n'
    )
    assert broker.ctl("-q list_user_topic_permissions joe") == "blue\tlogs\t^a\t^b\nred\tamq.topic\t^a\t^b\n"
    assert broker.ctl("-q clear_topic_permissions -p blue joe nosuch") == ""
    assert broker.ctl("clear_topic_permissions -p blue joe") == (
        'Clearing topic permissions for user "joe" in vhost "blue" ...\n'
    )
    assert broker.ctl("-q list_user_topic_permissions joe") == "red\tamq.topic\t^a\t^b\n"


def test_a_topic_permission_is_in_force_at_once_for_other_keys() -> None:
    broker = _with_users()
    broker.ctl("set_permissions -p blue joe .* .* .*")
    channel = broker.connect("joe", "secret", "blue").channel()
    channel.basic_publish("amq.topic", "b.c", b"")
    broker.ctl("set_topic_permissions -p blue joe amq.topic ^a ^b")
    channel.basic_publish("amq.topic", "b.c", b"")
    with pytest.raises(ChannelClosedByBroker, match=r"access to topic 'b\.d' in exchange 'amq\.topic'"):
        channel.basic_publish("amq.topic", "b.d", b"")


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("clear_topic_permissions -p blue nosuch", "Error:\nUser nosuch does not exist"),
        ("clear_topic_permissions -p blue nosuch amq.topic", "Error:\nUser nosuch does not exist"),
        ("clear_topic_permissions -p nosuch joe", "Error:\nVirtual host nosuch does not exist"),
    ],
)
def test_topic_permissions_of_nobody_are_cleared_without_a_word_by_4_0(command: str, complaint: str) -> None:
    assert _with_users().ctl(f"-q {command}") == ""
    assert _complaint(_with_users("rabbitmq-3.10"), command) == complaint


def test_permissions_in_all_virtual_hosts() -> None:
    broker = _with_users()
    assert broker.ctl("set_permissions_globally joe ^a ^b ^c") == (
        'Setting permissions for user "joe" in all virtual hosts ...\n'
    )
    assert broker.ctl("-s list_user_permissions joe") == (
        "/\t^a\t^b\t^c\nblue\t^a\t^b\t^c\nred\t^a\t^b\t^c\n"
    )


@BOTH
def test_passwords(rules: str) -> None:
    broker = _with_users(rules)
    assert broker.ctl("authenticate_user joe secret") == 'Authenticating user "joe" ...\nSuccess\n'
    assert broker.ctl("-s authenticate_user joe secret") == "Success\n"
    assert broker.ctl("authenticate_user joe secret --formatter json") == '{"message":"Success"}\n'
    assert broker.ctl("authenticate_user joe secret --formatter csv") == "Success\n"
    broker.ctl("set_user_tags joe management")
    assert broker.ctl("clear_password joe") == 'Clearing password for user "joe" ...\n'
    refused = "Error:\nError: failed to authenticate user \"joe\"\nuser 'joe' - invalid credentials"
    assert _complaint(broker, "authenticate_user joe secret") == refused
    with pytest.raises(ProbableAuthenticationError):
        broker.connect("joe", "secret")
    broker.ctl("change_password joe new")
    assert broker.ctl("-q authenticate_user joe new") == "Success\n"
    assert "joe\t[management]" in broker.ctl("list_users")


def test_the_tags_of_a_virtual_host() -> None:
    broker = _with_users()
    assert broker.ctl("set_vhost_tags blue a b,c") == (
        'Setting tags for virtual host "blue" to [a, b,c] ...\n'
    )
    assert "blue\t[a, b,c]\n" in broker.ctl("list_vhosts name tags")
    assert broker.ctl("set_vhost_tags blue") == 'Setting tags for virtual host "blue" to [] ...\n'
    assert "blue\t[]\n" in broker.ctl("list_vhosts name tags")


def test_metadata_of_a_virtual_host_change_where_they_are_named() -> None:
    broker = _with_users()
    assert (
        broker.ctl(
            "update_vhost_metadata blue --description 'my host' --tags x,y --default-queue-type quorum"
        )
        == 'Updating metadata of vhost "blue" ...\n'
    )
    columns = "name description tags default_queue_type"
    assert "blue\tmy host\t[x, y]\tquorum\n" in broker.ctl(f"list_vhosts {columns}")
    broker.ctl("update_vhost_metadata blue --description other")
    assert "blue\tother\t[x, y]\tquorum\n" in broker.ctl(f"list_vhosts {columns}")


def test_a_virtual_host_that_is_there_stays_as_it_is() -> None:
    broker = _with_users()
    broker.ctl("add_vhost blue --description other --tags a --default-queue-type quorum")
    assert "blue\t\t[]\tclassic\n" in broker.ctl("list_vhosts name description tags default_queue_type")


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("update_vhost_metadata nosuch --tags a", "Virtual host 'nosuch' does not exist"),
        (
            "update_vhost_metadata blue",
            "Error (argument validation): not enough arguments.\n"
            "Arguments given:\n\tupdate_vhost_metadata blue",
        ),
        (
            "update_vhost_metadata blue --default-queue-type x",
            "Error (argument validation): Bad argument: Default queue type must be one of: quorum, stream, "
            "classic. Provided: x\nArguments given:\n\tupdate_vhost_metadata blue --default-queue-type x",
        ),
        ("set_permissions_globally nosuch .* .* .*", "Error:\nUser nosuch does not exist"),
        ("set_vhost_tags nosuch a", 'Error:\nVirtual host "nosuch" does not exist'),
        ("list_topic_permissions -p nosuch", "Virtual host 'nosuch' does not exist"),
        ("list_user_topic_permissions nosuch", 'Error:\n{:no_such_user, "nosuch"}'),
        ("set_topic_permissions -p blue nosuch amq.topic .* .*", "Error:\nUser nosuch does not exist"),
        ("set_topic_permissions -p nosuch joe amq.topic .* .*", "Error:\nVirtual host nosuch does not exist"),
        ("set_topic_permissions -p nosuch nosuch amq.topic .* .*", "Error:\nUser nosuch does not exist"),
        ("clear_password nosuch", 'Error:\n{:no_such_user, "nosuch"}'),
        (
            "authenticate_user nosuch x",
            "Error:\nError: failed to authenticate user \"nosuch\"\nuser 'nosuch' - invalid credentials",
        ),
        ("change_password nosuch x", 'Error:\nUser "nosuch" does not exist'),
        ("set_user_tags nosuch x", 'Error:\nUser "nosuch" does not exist'),
    ],
)
def test_complaints(command: str, complaint: str) -> None:
    assert _complaint(_with_users(), command) == complaint


@BOTH
@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("set_topic_permissions -p blue nosuch amq.topic [ ^b", "write"),
        ("set_topic_permissions -p blue joe amq.topic ^a ((", "read"),
        ("set_permissions -p nosuch joe [ ^b ^c", "configure"),
        ("set_permissions -p blue joe ^a ^b ((", "read"),
    ],
)
def test_a_pattern_that_is_none_is_refused_before_anything_else(rules: str, command: str, what: str) -> None:
    broker = _with_users(rules)
    assert _complaint(broker, command).startswith(f"Error:\npermission {what} must be a regular expression")
    assert broker.ctl("-q list_user_permissions joe") == "\n"
    assert broker.ctl("-q list_user_topic_permissions joe") == "\n"
