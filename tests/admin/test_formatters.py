"""How rows look. Every text here was printed by the rabbitmqctl of RabbitMQ 3.10.8 or 4.0.5."""

from __future__ import annotations

import pytest

from mockbroker import Broker
from mockbroker.admin.formatters import as_csv, as_json, as_pretty_table, as_table, erlang_term, table_cell
from mockbroker.values import Decimal, Timestamp

QUEUES = [
    {"name": 'ta\tb"é,c', "durable": False, "messages": 0, "arguments": {}},
    {"name": "qq", "durable": True, "messages": 0, "arguments": {"x-queue-type": "quorum"}},
    {
        "name": "a queue",
        "durable": False,
        "messages": 3,
        "arguments": {
            "x-max-length": 5,
            "x-message-ttl": 1000000,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "dl",
        },
    },
    {"name": "sac", "durable": False, "messages": 0, "arguments": {"x-single-active-consumer": True}},
]


def test_a_table_has_tabs_between_its_cells() -> None:
    assert as_table(QUEUES) == [
        "name\tdurable\tmessages\targuments",
        'ta\tb"é,c\tfalse\t0\t[]',
        'qq\ttrue\t0\t[{"x-queue-type","quorum"}]',
        'a queue\tfalse\t3\t[{"x-max-length",5},{"x-message-ttl",1000000},'
        '{"x-dead-letter-exchange",[]},{"x-dead-letter-routing-key","dl"}]',
        'sac\tfalse\t0\t[{"x-single-active-consumer",true}]',
    ]
    assert as_table(QUEUES, headers=False) == as_table(QUEUES)[1:]


def test_json_keeps_the_types_of_arguments() -> None:
    assert as_json(QUEUES) == [
        "[",
        '{"name":"ta\\tb\\"é,c","durable":false,"messages":0,"arguments":[]}',
        ',{"name":"qq","durable":true,"messages":0,"arguments":[["x-queue-type","longstr","quorum"]]}',
        ',{"name":"a queue","durable":false,"messages":3,"arguments":[["x-max-length","signedint",5],'
        '["x-message-ttl","signedint",1000000],["x-dead-letter-exchange","longstr",""],'
        '["x-dead-letter-routing-key","longstr","dl"]]}',
        ',{"name":"sac","durable":false,"messages":0,"arguments":[["x-single-active-consumer","bool",true]]}',
        "]",
    ]


def test_json_of_nested_tables_and_words() -> None:
    row = {
        "client_properties": {"product": "p", "capabilities": {"basic.nack": True}},
        "protocol": (0, 9, 1),
        "tags": ["a", "b"],
        "effective_policy_definition": {"max-length": 10},
        "consumer_utilisation": None,
    }
    assert as_json([row])[1] == (
        '{"client_properties":[["product","longstr","p"],["capabilities","table",[["basic.nack","bool",true]]]],'
        '"protocol":[0,9,1],"tags":["a","b"],"effective_policy_definition":[["max-length",10]],'
        '"consumer_utilisation":""}'
    )


def test_an_array_in_json_repeats_its_keys_and_a_cell_shows_no_tab() -> None:
    row = {"name": "ta\tb", "arguments": {"arr": [1, 2, None], "ea": [], "u": "é"}}
    assert as_json([row])[1] == (
        '{"name":"ta\\tb","arguments":[["arr","array",{"signedint":1,"signedint":2,"void":"undefined"}],'
        '["ea","array",[]],["u","longstr","é"]]}'
    )
    line = as_pretty_table([row])[3]
    assert "\x1b(B ta      b \x1b(0x" in line
    assert '{<<"u">>,longstr,<<"Ã©">>}' in line


def test_csv_quotes_every_cell() -> None:
    assert as_csv(QUEUES[:3]) == [
        '"name","durable","messages","arguments"',
        '"ta\tb""é,c","false","0","[]"',
        '"qq","true","0","[{""x-queue-type"",""quorum""}]"',
        '"a queue","false","3","[{""x-max-length"",5},{""x-message-ttl"",1000000},'
        '{""x-dead-letter-exchange"",[]},{""x-dead-letter-routing-key"",""dl""}]"',
    ]


def test_a_table_with_lines() -> None:
    assert as_pretty_table([{"user": "guest", "tags": ["administrator", "monitoring"]}]) == [
        "\x1b(0lqqqqqqqwqqqqqqqqqqqqqqqqqqqqqqqqqk\x1b(B",
        "\x1b(0x\x1b(B \x1b[1muser\x1b[0m  \x1b(0x\x1b(B \x1b[1mtags\x1b[0m                    \x1b(0x\x1b(B",
        "\x1b(0tqqqqqqqnqqqqqqqqqqqqqqqqqqqqqqqqqu\x1b(B",
        "\x1b(0x\x1b(B guest \x1b(0x\x1b(B administratormonitoring \x1b(0x\x1b(B",
        "\x1b(0mqqqqqqqvqqqqqqqqqqqqqqqqqqqqqqqqqj\x1b(B",
    ]


def test_arguments_in_a_table_with_lines() -> None:
    line = as_pretty_table([QUEUES[2]])[3]
    assert (
        '{<<"x-max-length">>,signedint,5}{<<"x-message-ttl">>,signedint,1000000}'
        '{<<"x-dead-letter-exchange">>,longstr,<<>>}{<<"x-dead-letter-routing-key">>,longstr,<<"dl">>}'
    ) in line


@pytest.mark.parametrize("form", [as_table, as_csv, as_pretty_table])
def test_no_rows_print_nothing(form: object) -> None:
    assert callable(form)
    assert form([]) == []
    assert as_json([]) == ["[", "]"]


def test_values_look_as_erlang_prints_them() -> None:
    arguments = {
        "z": None,
        "b": b"\x00\xff",
        "arr": [1, "two", 72, None],
        "ints": [72, 101],
        "t": {"k": "v"},
        "big": 1099511627776,
        "dec": Decimal(2, 125),
        "ts": Timestamp(1735689600),
        "bool": False,
        "e": {},
        "ea": [],
        "u": 'é"q"\\ \n',
        "empty": "",
    }
    assert erlang_term(arguments) == (
        '[{"z",undefined},{"b",<<0,255>>},{"arr",[1,"two",72,undefined]},{"ints","He"},{"t",[{"k","v"}]},'
        '{"big",1099511627776},{"dec",{2,125}},{"ts",1735689600},{"bool",false},{"e",[]},{"ea",[]},'
        '{"u","é\\"q\\"\\\\ \\n"},{"empty",[]}]'
    )
    numbers = {"f": 1.5, "f2": 100000.0, "f3": 1e22, "f4": 0.1, "n": -5}
    assert erlang_term(numbers) == '[{"f",1.5},{"f2",1.0e5},{"f3",1.0e22},{"f4",0.1},{"n",-5}]'


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("messages", None, ""),
        ("protocol", (0, 9, 1), "{0,9,1}"),
        ("tags", [], "[]"),
        ("tags", ["management", "monitoring"], "[management, monitoring]"),
        ("effective_policy_definition", {"a": 10, "b": "x"}, '[{<<"a">>, 10}, {<<"b">>, <<"x">>}]'),
        ("definition", {"max-length": 10, "message-ttl": 60000}, '{"max-length":10,"message-ttl":60000}'),
    ],
)  # fmt: skip
def test_cells(column: str, value: object, text: str) -> None:
    assert table_cell(column, value) == text


def test_pids_and_addresses_in_json() -> None:
    broker = Broker()
    connection = broker.connect()
    connection.channel()
    assert broker.ctl("list_connections pid host peer_host --formatter json") == (
        '[\n{"pid":"#PID<11000.50002.0>","host":[127,0,0,1],"peer_host":[127,0,0,1]}\n]\n'
    )
    assert broker.ctl("list_channels pid connection --formatter json") == (
        '[\n{"pid":"#PID<11000.50002.1>","connection":"#PID<11000.50002.0>"}\n]\n'
    )
