"""rabbitmqctl in its own words: the texts are those of the real tool, on RabbitMQ 3.10.8 and 4.0.5."""

from __future__ import annotations

import pytest

from mockbroker import BasicProperties, Broker
from mockbroker.admin.ctl import CtlError
from mockbroker.exceptions import ConnectionClosedByBroker

BOTH = pytest.mark.parametrize("rules", ["rabbitmq-3.10", "rabbitmq-4.0"])


def _lines(broker: Broker, command: str) -> list[str]:
    return broker.ctl(command).splitlines()


def _everything(broker: Broker) -> list[str]:
    """What all the listings show."""
    names = ("queues", "consumers", "connections", "vhosts", "users", "permissions", "policies", "bindings")
    return [broker.ctl(f"list_{name}") for name in names]


def _work_queue(rules: str = "rabbitmq-4.0") -> Broker:
    """A durable queue with one message unacknowledged and two ready, and a queue with arguments."""
    broker = Broker(rules=rules)
    channel = broker.connect().channel()
    channel.queue_declare("task_queue", durable=True)
    channel.queue_declare("a queue", arguments={"x-max-length": 5, "x-dead-letter-exchange": ""})
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("task_queue", lambda *delivery: None, consumer_tag="c1")
    for delivery_mode in (2, 1, 2):
        channel.basic_publish("", "task_queue", b"0123456789", BasicProperties(delivery_mode=delivery_mode))
    return broker


@BOTH
def test_list_queues(rules: str) -> None:
    broker = _work_queue(rules)
    assert broker.ctl("list_queues") == (
        "Timeout: 60.0 seconds ...\n"
        "Listing queues for vhost / ...\n"
        "name\tmessages\n"
        "a queue\t0\n"
        "task_queue\t3\n"
    )


def test_the_columns_that_were_asked_for_in_their_order_and_each_once() -> None:
    broker = _work_queue()
    assert _lines(broker, "-q list_queues messages_ready name,messages_unacknowledged name") == [
        "messages_ready\tname\tmessages_unacknowledged",
        "0\ta queue\t0",
        "2\ttask_queue\t1",
    ]


def test_sizes_are_counted_in_bytes_of_bodies() -> None:
    columns = (
        "message_bytes",
        "message_bytes_ready",
        "message_bytes_unacknowledged",
        "message_bytes_persistent",
        "messages_persistent",
    )
    row = _work_queue().list_queues("name", *columns)[1]
    assert [row[column] for column in columns] == [30, 20, 10, 20, 2]


def test_a_queue_that_is_not_durable_holds_nothing_persistent() -> None:
    broker = Broker()
    channel = broker.connect().channel()
    channel.queue_declare("q")
    channel.basic_publish("", "q", b"hello", BasicProperties(delivery_mode=2))
    assert broker.list_queues("messages", "messages_persistent", "message_bytes_persistent") == [
        {"messages": 1, "messages_persistent": 0, "message_bytes_persistent": 0}
    ]


def test_arguments_show_the_queue_type_where_the_server_adds_it() -> None:
    command = "-q list_queues name arguments"
    assert _lines(_work_queue("rabbitmq-3.10"), command)[1:] == [
        'a queue\t[{"x-max-length",5},{"x-dead-letter-exchange",[]}]',
        "task_queue\t[]",
    ]
    assert _lines(_work_queue("rabbitmq-4.0"), command)[1:] == [
        'a queue\t[{"x-dead-letter-exchange",[]},{"x-max-length",5},{"x-queue-type","classic"}]',
        'task_queue\t[{"x-queue-type","classic"}]',
    ]


def test_flags_owner_and_exclusive_consumer() -> None:
    broker = Broker()
    channel = broker.connect().channel()
    channel.queue_declare("mine", exclusive=True, auto_delete=True)
    channel.basic_consume("mine", lambda *delivery: None, exclusive=True, consumer_tag="only")
    columns = "name durable auto_delete exclusive exclusive_consumer_tag state type consumers"
    assert _lines(broker, f"-s list_queues {columns}") == [
        "mine\tfalse\ttrue\ttrue\tonly\trunning\tclassic\t1"
    ]
    (row,) = broker.list_queues("owner_pid", "exclusive_consumer_pid")
    assert row["owner_pid"] == broker.list_connections("pid")[0]["pid"]
    assert row["exclusive_consumer_pid"] == broker.list_channels("pid")[0]["pid"]


def test_the_timestamp_of_the_oldest_message() -> None:
    broker = Broker()
    channel = broker.connect().channel()
    channel.queue_declare("q")
    assert broker.list_queues("head_message_timestamp") == [{"head_message_timestamp": None}]
    for timestamp in (5, 6):
        channel.basic_publish("", "q", b"", BasicProperties(timestamp=timestamp))
    channel.basic_get("q")
    assert broker.list_queues("head_message_timestamp") == [{"head_message_timestamp": 5}]


@BOTH
def test_a_quorum_queue_fills_fewer_columns_and_counts_who_waits(rules: str) -> None:
    broker = Broker(rules=rules)
    channel = broker.connect().channel()
    arguments = {"x-queue-type": "quorum", "x-single-active-consumer": True}
    channel.queue_declare("qq", durable=True, arguments=arguments)
    for _ in range(3):
        channel.basic_publish("", "qq", b"abc")
    channel.basic_qos(prefetch_count=1)
    for tag in "abc":
        channel.basic_consume("qq", lambda *delivery: None, consumer_tag=tag)
    counts = "messages messages_ready messages_unacknowledged consumers"
    blank = (
        "exclusive owner_pid exclusive_consumer_tag message_bytes messages_persistent head_message_timestamp"
    )
    assert _lines(broker, f"-s list_queues name type durable {counts} {blank}") == [
        "qq\tquorum\ttrue\t3\t2\t1\t3\t\t\t\t\t\t"
    ]
    assert _lines(broker, "-s list_queues arguments") == [
        '[{"x-queue-type","quorum"},{"x-single-active-consumer",true}]'
    ]


def test_quiet_silent_and_without_headers() -> None:
    broker = _work_queue()
    banner = ["Timeout: 60.0 seconds ...", "Listing queues for vhost / ..."]
    rows = ["a queue", "task_queue"]
    assert _lines(broker, "list_queues name") == [*banner, "name", *rows]
    assert _lines(broker, "list_queues name --no-table-headers") == [*banner, *rows]
    assert (
        _lines(broker, "-q list_queues name") == _lines(broker, "list_queues --quiet name") == ["name", *rows]
    )
    assert _lines(broker, "list_queues -s name") == _lines(broker, "--silent list_queues name") == rows
    assert _lines(broker, "list_queues name -t 5")[0] == "Timeout: 5.0 seconds ..."


def test_virtual_hosts_are_named_in_three_ways() -> None:
    broker = Broker()
    broker.add_vhost("other")
    for option in ("-p other", "--vhost other", "--vhost=other"):
        assert _lines(broker, f"list_queues {option}")[1:] == ["Listing queues for vhost other ..."]


def test_an_unknown_virtual_host_has_nothing_to_list() -> None:
    broker = _work_queue()
    assert _lines(broker, "list_queues -p nosuch")[1:] == ["Listing queues for vhost nosuch ..."]
    assert _lines(broker, "list_consumers -p nosuch") == ["Listing consumers in vhost nosuch ..."]
    with pytest.raises(CtlError, match="Virtual host 'nosuch' does not exist"):
        broker.ctl("list_permissions -p nosuch")


def test_formatters() -> None:
    broker = _work_queue()
    assert broker.ctl("list_queues name messages --formatter json") == (
        '[\n{"name":"a queue","messages":0}\n,{"name":"task_queue","messages":3}\n]\n'
    )
    assert _lines(broker, "--formatter=csv list_queues name") == ['"name"', '"a queue"', '"task_queue"']
    assert _lines(broker, "list_queues name --formatter pretty_table")[:2] == [
        "Timeout: 60.0 seconds ...",
        "Listing queues for vhost / ...",
    ]
    with pytest.raises(CtlError, match="unknown formatter 'xyz': choose from table, json, csv, pretty_table"):
        broker.ctl("list_queues --formatter xyz")


def test_list_consumers() -> None:
    broker = _work_queue()
    channel = broker.connect().channel()
    channel.queue_declare("sac", arguments={"x-single-active-consumer": True})
    for tag in ("s1", "s2"):
        channel.basic_consume(
            "sac", lambda *delivery: None, consumer_tag=tag, auto_ack=True, arguments={"x-priority": 3}
        )
    columns = "queue_name consumer_tag ack_required prefetch_count active activity_status arguments"
    assert _lines(broker, f"list_consumers {columns}") == [
        "Listing consumers in vhost / ...",
        columns.replace(" ", "\t"),
        'sac\ts1\tfalse\t0\ttrue\tsingle_active\t[{"x-priority",3}]',
        'sac\ts2\tfalse\t0\tfalse\twaiting\t[{"x-priority",3}]',
        "task_queue\tc1\ttrue\t1\ttrue\tup\t[]",
    ]


def test_columns_of_consumers_come_in_an_order_of_their_own() -> None:
    assert _lines(_work_queue(), "-q list_consumers arguments queue_name") == [
        "queue_name\targuments",
        "task_queue\t[]",
    ]


@BOTH
def test_the_head_of_a_priority_queue_is_the_most_urgent_message(rules: str) -> None:
    broker = Broker(rules=rules)
    channel = broker.connect().channel()
    channel.queue_declare("prio", arguments={"x-max-priority": 5})
    for priority in range(3):
        channel.basic_publish("", "prio", b"", BasicProperties(priority=priority, timestamp=100 + priority))
    channel.basic_get("prio")
    assert broker.list_queues("head_message_timestamp") == [{"head_message_timestamp": 102}]


def test_list_channels_and_connections() -> None:
    broker = _work_queue()
    connection = broker.connect(peer_host="::1")
    connection.channel().confirm_delivery()
    transactional = connection.channel()
    transactional.tx_select()
    transactional.basic_publish("", "task_queue", b"")
    columns = (
        "number user vhost transactional confirm consumer_count messages_unacknowledged messages_uncommitted"
    )
    assert _lines(broker, f"-s list_channels {columns} acks_uncommitted prefetch_count") == [
        "1\tguest\t/\tfalse\tfalse\t1\t1\t0\t0\t1",
        "1\tguest\t/\tfalse\ttrue\t0\t0\t0\t0\t0",
        "2\tguest\t/\ttrue\tfalse\t0\t0\t1\t0\t0",
    ]
    assert _lines(broker, "list_channels")[:2] == [
        "Listing channels ...",
        "pid\tuser\tconsumer_count\tmessages_unacknowledged",
    ]
    assert _lines(broker, "list_connections user peer_host state channels protocol ssl")[1:] == [
        "user\tpeer_host\tstate\tchannels\tprotocol\tssl",
        "guest\t127.0.0.1\trunning\t1\t{0,9,1}\tfalse",
        "guest\t::1\trunning\t2\t{0,9,1}\tfalse",
    ]
    pids = [row["pid"] for row in (*broker.list_channels("pid"), *broker.list_connections("pid"))]
    assert len(set(pids)) == 5


def test_the_window_of_a_channel_is_listed_by_3_10_only() -> None:
    broker = Broker(rules="rabbitmq-3.10")
    channel = broker.connect().channel()
    channel.basic_qos(prefetch_count=7, global_qos=True)
    assert _lines(broker, "-s list_channels prefetch_count global_prefetch_count") == ["0\t7"]
    with pytest.raises(CtlError, match="global_prefetch_count are not supported"):
        Broker().ctl("list_channels global_prefetch_count")


def test_list_exchanges_and_bindings() -> None:
    broker = Broker()
    channel = broker.connect().channel()
    channel.exchange_declare("logs", "fanout", durable=True, arguments={"alternate-exchange": "ae"})
    channel.exchange_declare("tmp", "topic", auto_delete=True, internal=True)
    channel.queue_declare("q")
    channel.queue_bind("q", "logs", "k", {"x-match": "all", "n": 1})
    channel.exchange_bind("tmp", "logs", "z")
    exchanges = _lines(broker, "list_exchanges name type durable auto_delete internal arguments policy")
    assert exchanges[:2] == [
        "Listing exchanges for vhost / ...",
        "name\ttype\tdurable\tauto_delete\tinternal\targuments\tpolicy",
    ]
    assert 'logs\tfanout\ttrue\tfalse\tfalse\t[{"alternate-exchange","ae"}]\t' in exchanges
    assert "tmp\ttopic\tfalse\ttrue\ttrue\t[]\t" in exchanges
    assert "\tdirect\ttrue\tfalse\tfalse\t[]\t" in exchanges
    assert _lines(broker, "list_bindings") == [
        "Listing bindings for vhost /...",
        "source_name\tsource_kind\tdestination_name\tdestination_kind\trouting_key\targuments",
        "\texchange\tq\tqueue\tq\t[]",
        "logs\texchange\ttmp\texchange\tz\t[]",
        'logs\texchange\tq\tqueue\tk\t[{"n",1},{"x-match","all"}]',
    ]


def test_virtual_hosts_come_and_go() -> None:
    broker = Broker()
    assert broker.ctl("add_vhost blue --description 'my host' --tags a,b --default-queue-type quorum") == (
        'Adding vhost "blue" ...\n'
    )
    assert broker.ctl("-q add_vhost blue") == ""
    assert _lines(broker, "list_vhosts name description tags default_queue_type tracing") == [
        "Listing vhosts ...",
        "name\tdescription\ttags\tdefault_queue_type\ttracing",
        "/\tDefault virtual host\t[]\tclassic\tfalse",
        "blue\tmy host\t[a, b]\tquorum\tfalse",
    ]
    assert broker.ctl("delete_vhost blue") == 'Deleting vhost "blue" ...\n'
    with pytest.raises(CtlError, match="Virtual host 'blue' does not exist"):
        broker.ctl("delete_vhost blue")


def test_users_and_permissions() -> None:
    broker = Broker()
    assert _lines(broker, "add_user joe secret")[0] == 'Adding user "joe" ...'
    assert broker.ctl("set_user_tags joe management monitoring") == (
        'Setting tags for user "joe" to [management, monitoring] ...\n'
    )
    assert _lines(broker, "list_users") == [
        "Listing users ...",
        "user\ttags",
        "guest\t[administrator]",
        "joe\t[management, monitoring]",
    ]
    assert (
        broker.ctl("set_permissions joe ^a .* ''") == 'Setting permissions for user "joe" in vhost "/" ...\n'
    )
    assert _lines(broker, "list_permissions") == [
        'Listing permissions for vhost "/" ...',
        "user\tconfigure\twrite\tread",
        "guest\t.*\t.*\t.*",
        "joe\t^a\t.*\t",
    ]
    assert _lines(broker, "-q list_user_permissions joe") == ["vhost\tconfigure\twrite\tread", "/\t^a\t.*\t"]
    assert broker.ctl("change_password joe new") == 'Changing password for user "joe" ...\n'
    broker.connect("joe", "new")
    broker.ctl("clear_permissions joe")
    assert broker.ctl("-q list_user_permissions joe") == "\n"


def test_a_deleted_user_is_sent_away() -> None:
    broker = Broker()
    broker.ctl("-q add_user joe secret")
    broker.ctl("-q set_permissions joe .* .* .*")
    channel = broker.connect("joe", "secret").channel()
    assert broker.ctl("delete_user joe") == 'Deleting user "joe" ...\n'
    with pytest.raises(ConnectionClosedByBroker, match="CONNECTION_FORCED - user 'joe' is deleted"):
        channel.connection.process_data_events()
    assert broker.list_connections() == []


def test_policies() -> None:
    broker = _work_queue()
    definition = '{"max-length":10,"message-ttl":60000}'
    assert broker.ctl(f"set_policy short ^t '{definition}' --priority 1 --apply-to queues") == (
        f'Setting policy "short" for pattern "^t" to "{definition}" with priority "1" for vhost "/" ...\n'
    )
    assert broker.ctl("""set_operator_policy op ^t '{"max-length":5}'""") == (
        'Setting operator policy override "op" for pattern "^t" to "{"max-length":5}" with priority "0" '
        'for vhost "/" ...\n'
    )
    assert _lines(broker, "list_policies") == [
        'Listing policies for vhost "/" ...',
        "vhost\tname\tpattern\tapply-to\tdefinition\tpriority",
        f"/\tshort\t^t\tqueues\t{definition}\t1",
    ]
    assert _lines(broker, "-s list_operator_policies") == ['/\top\t^t\tall\t{"max-length":5}\t0']
    assert _lines(broker, "-s list_queues name policy operator_policy effective_policy_definition") == [
        "a queue\t\t\t[]",
        'task_queue\tshort\top\t[{<<"max-length">>, 5}, {<<"message-ttl">>, 60000}]',
    ]
    assert broker.ctl("clear_policy short") == 'Clearing policy "short" on vhost "/" ...\n'
    assert broker.ctl("clear_operator_policy op") == 'Clearing operator policy "op" on vhost "/" ...\n'
    assert broker.list_queues("policy") == [{"policy": ""}, {"policy": ""}]


def test_operator_policies_are_listed_by_4_0_only() -> None:
    with pytest.raises(CtlError, match="effective_policy_definition,operator_policy are not supported"):
        Broker(rules="rabbitmq-3.10").ctl("list_queues operator_policy effective_policy_definition")


@BOTH
def test_queues_are_purged_and_deleted(rules: str) -> None:
    broker = _work_queue(rules)
    assert broker.ctl("purge_queue task_queue") == "Purging queue 'task_queue' in vhost '/' ...\n"
    assert broker.list_queues("messages")[1] == {"messages": 1}
    assert broker.ctl("delete_queue 'a queue' --if-empty --if-unused") == (
        "Deleting queue 'a queue' on vhost '/' if queue is empty and if queue is unused ...\n"
        "Queue was successfully deleted with 0 ready messages\n"
    )
    assert (
        broker.ctl("-q delete_queue task_queue") == "Queue was successfully deleted with 0 ready messages\n"
    )
    assert broker.list_queues() == []


@pytest.mark.parametrize(
    ("rules", "texts"),
    [
        (
            "rabbitmq-3.10",
            (
                "Queue is not empty",
                "Queue is in use",
                "JSON decoding error. Reason: badarg",
                "not_found",
                "invalid_queue_type",
            ),
        ),
        (
            "rabbitmq-4.0",
            (
                "{:amqp_error, :precondition_failed, ~c\"queue 'task_queue' in vhost '/' not empty\", :none}",
                "{:amqp_error, :precondition_failed, ~c\"queue 'task_queue' in vhost '/' in use\", :none}",
                'Could not parse JSON document: {error,{failed_to_decode_json,<<"{">>}}',
                "Object (queue, stream, exchange, etc) was not found",
                '{:error, :invalid_queue_type, "x"}',
            ),
        ),
    ],
)
def test_complaints_that_versions_word_differently(rules: str, texts: tuple[str, ...]) -> None:
    broker = _work_queue(rules)
    for command, text in zip(
        (
            "delete_queue task_queue -e",
            "delete_queue task_queue -u",
            "set_policy x ^x {",
            "purge_queue nosuch",
            "add_vhost blue --default-queue-type x",
        ),
        texts,
        strict=True,
    ):
        with pytest.raises(CtlError) as caught:
            broker.ctl(command)
        assert str(caught.value).removeprefix("Error:\n") == text


_IN_PIECES = (
    "Could not parse JSON document: {error,\n                                   {failed_to_decode_json,"
)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{aaaaaaaa", 'Could not parse JSON document: {error,{failed_to_decode_json,<<"{aaaaaaaa">>}}'),
        ("{aaaaaaaaa", f'{_IN_PIECES}<<"{{aaaaaaaaa">>}}}}'),
        ("{aaaaaaaaaaa", f'{_IN_PIECES}<<"{{aaaaaaaaaaa">>}}}}'),
        ("{aaaaaaaaaaaa", f'{_IN_PIECES}\n{" " * 39}<<"{{aaaaaaaaaaaa">>}}}}'),
        ('a"\\\\b', 'Could not parse JSON document: {error,{failed_to_decode_json,<<"a\\"\\\\\\\\b">>}}'),
        ("{é", 'Could not parse JSON document: {error,{failed_to_decode_json,<<"{é"/utf8>>}}'),
        ("", "Could not parse JSON document: {error,{failed_to_decode_json,<<>>}}"),
    ],
)
def test_what_is_no_json_is_shown_as_an_erlang_term(text: str, complaint: str) -> None:
    with pytest.raises(CtlError) as caught:
        Broker().ctl(f"set_user_limits guest '{text}'")
    assert str(caught.value) == f"Error:\n{complaint}"


def test_a_listing_without_rows_is_an_empty_line_unless_rows_come_one_by_one() -> None:
    broker = Broker()
    assert broker.ctl("list_policies") == 'Listing policies for vhost "/" ...\n\n'
    assert broker.ctl("-s list_policies") == "\n"
    assert broker.ctl("list_policies --formatter json") == "[]\n"
    assert broker.ctl("list_policies --formatter csv") == "\r\n\r\n\n"
    assert "\x1b[1mOutput\x1b[0m" in broker.ctl("list_policies --formatter pretty_table")
    assert "[]" in broker.ctl("list_policies --formatter pretty_table")
    for listing in ("queues", "consumers", "channels", "connections", "bindings"):
        assert broker.ctl(f"-q list_{listing}") == ""
        assert broker.ctl(f"list_{listing} --formatter json") == "[\n]\n"


def test_json_says_that_something_was_done() -> None:
    broker = Broker()
    done = '{"node":"rabbit@localhost","result":"ok"}\n'
    assert broker.ctl("add_vhost blue --formatter json") == done
    assert broker.ctl("await_startup --formatter json") == done
    assert broker.ctl("add_vhost red --formatter csv") == ""


def test_commands_that_a_version_has_not() -> None:
    broker = Broker(rules="rabbitmq-3.10")
    for command in ("set_permissions_globally guest .* .* .*", "update_vhost_metadata / --tags a"):
        with pytest.raises(CtlError, match=f"\nCommand '{command.split()[0]}' not found. \n"):
            broker.ctl(command)
        assert Broker().ctl(f"-q {command}") == ""


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("clear_permissions nosuch", "Error:\nUser nosuch does not exist"),
        ("clear_permissions -p nosuch guest", "Error:\nVirtual host nosuch does not exist"),
        ("delete_user nosuch", 'Error:\nUser "nosuch" does not exist'),
    ],
)
def test_what_is_not_there_is_cleared_without_a_word_by_4_0(command: str, complaint: str) -> None:
    assert Broker().ctl(f"-q {command}") == ""
    with pytest.raises(CtlError) as caught:
        Broker(rules="rabbitmq-3.10").ctl(command)
    assert str(caught.value) == complaint


def test_a_connection_is_closed_by_its_pid() -> None:
    broker = Broker()
    connection, other = broker.connect(), broker.connect()
    pid = broker.list_connections("pid")[0]["pid"]
    assert broker.ctl(f"close_connection '{pid}' 'good bye'") == (
        f"Closing connection {pid}, reason: good bye...\n"
    )
    assert broker.ctl(f"-q close_connection '{pid}' again") == "", "one that is gone is no error"
    assert not connection.is_open or other.is_open
    with pytest.raises(ConnectionClosedByBroker, match="CONNECTION_FORCED - good bye"):
        connection.process_data_events()
    other.process_data_events()


def test_status() -> None:
    broker = _work_queue("rabbitmq-3.10")
    lines = _lines(broker, "status")
    assert lines[0] == "Status of node rabbit@localhost ..."
    for line in (
        "RabbitMQ version: 3.10.8",
        "Connection count: 1",
        "Queue count: 2",
        "Virtual host count: 1",
    ):
        assert line in lines


@BOTH
@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("list_queue", "\nCommand 'list_queue' not found. \nDid you mean 'list_queues'? \n"),
        ("frobnicate", "\nCommand 'frobnicate' not found. \n"),
        ("", "rabbitmqctl needs a command, as in 'list_queues'"),
        ("list_queues 'name", 'cannot split "list_queues \'name" into words: No closing quotation'),
        ("list_queues name foo bar", "Error (argument validation): Info key(s) bar,foo are not supported"),
        ("list_bindings nosuch", "Error (argument validation): Info key(s) nosuch are not supported"),
        ("list_queues memory", "column memory has no meaning here: a queue is no process here"),
        (
            "list_queues --nosuch",
            "Error (argument validation): Invalid options for this command:\n--nosuch : \n"
            "Arguments given:\n\tlist_queues --nosuch",
        ),
        (
            "list_queues -t abc",
            "Error (argument validation): Invalid options for this command:\n-t : abc\n"
            "Arguments given:\n\tlist_queues -t abc",
        ),
        (
            "list_queues -p",
            "Error (argument validation): Invalid options for this command:\n-p : \n"
            "Arguments given:\n\tlist_queues -p",
        ),
        ("add_vhost", "Error (argument validation): not enough arguments.\nArguments given:\n\tadd_vhost"),
        (
            "status extra",
            "Error (argument validation): too many arguments.\nArguments given:\n\tstatus extra",
        ),
        (
            "add_user '' x",
            "Error (argument validation): Bad argument: user cannot be an empty string\n"
            "Arguments given:\n\tadd_user  x",
        ),
        (
            "set_policy p ^x {} --priority x",
            "Error (argument validation): Invalid options for this command:\n--priority : x\n"
            "Arguments given:\n\tset_policy p ^x {} --priority x",
        ),
        ("delete_vhost nosuch", "Virtual host 'nosuch' does not exist"),
        ("add_user guest x", 'Error:\nUser "guest" already exists'),
        ("set_user_tags nosuch x", 'Error:\nUser "nosuch" does not exist'),
        ("list_user_permissions nosuch", 'Error:\n{:no_such_user, "nosuch"}'),
        ("set_permissions nosuch .* .* .*", "Error:\nUser nosuch does not exist"),
        ("set_permissions -p nosuch guest .* .* .*", "Error:\nVirtual host nosuch does not exist"),
        ("clear_policy nosuch", "Error:\nParameter does not exist"),
        (
            """set_policy p ^x '{"nosuch":1}'""",
            'Error:\nValidation failed\n\n[{<<"nosuch">>,1}] are not recognised policy settings\n',
        ),
        ("delete_queue nosuch", "Error:\nQueue not found"),
        ("delete_queue -p nosuch q", "Error:\nQueue not found"),
        ("close_connection nosuch bye", 'Error:\nError:\n{:invalid_pid_syntax, "nosuch"}'),
    ],
)
def test_complaints_leave_the_broker_as_it_was(rules: str, command: str, complaint: str) -> None:
    broker = _work_queue(rules)
    before = _everything(broker)
    with pytest.raises(CtlError) as caught:
        broker.ctl(command)
    assert str(caught.value) == complaint
    assert _everything(broker) == before
    broker.check()
