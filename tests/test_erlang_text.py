"""Terms as RabbitMQ's error texts show them."""

from __future__ import annotations

import pytest

from mockbroker import erlang_text
from mockbroker.terms import Atom, Characters, term_of
from mockbroker.values import ByteArray, Decimal


@pytest.mark.parametrize(
    ("raw", "unicode", "text"),
    [
        (b"", True, "<<>>"),
        (b"abc", True, '<<"abc">>'),
        (b'a"\\\n', True, '<<"a\\"\\\\\\n">>'),
        (b"a\0", True, "<<97,0>>"),
        (b"\x7f", True, "<<127>>"),
        ("é\x01".encode(), True, "<<195,169,1>>"),
        ("日".encode(), True, '<<"日"/utf8>>'),
        ("日".encode(), False, "<<230,151,165>>"),
        ("é".encode(), True, '<<"é"/utf8>>'),
        (b"\xe9", True, '<<"é">>'),
        (b"\x80", False, "<<128>>"),
        (b"\xe9", False, '<<"\udce9">>'),
    ],
)
def test_octets(raw, unicode, text):
    assert erlang_text.pretty(raw, 0, unicode=unicode) == text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b'a"\t', r'"a\"\t"'),
        (b"\x7f", "[127]"),
        (b"\xe9", '"\udce9"'),
        (b"a\0", "[97,0]"),
        (b"\0" * 60, None),
    ],
)
def test_characters(raw, text):
    expected = text or f"[{','.join('0' * 60)}]"
    assert erlang_text.pretty(Characters(raw), unicode=False) == expected


def test_long_lines_are_broken_before_column_80():
    shown = erlang_text.pretty(b"\x80" * 30, 21, unicode=True).split("\n")
    assert [line.strip() for line in shown] == ["<<" + "128," * 14, "128," * 14, "128,128>>"]
    assert shown[1].startswith(" " * 23 + "128")


def test_a_pair_is_broken_when_it_is_too_long():
    pair = (Atom("name"), 5)
    assert erlang_text.pretty(pair, 0, unicode=True) == "{name,5}"
    assert erlang_text.pretty(pair, 75, unicode=True) == "{name,\n" + " " * 76 + "5}"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (0.1, "0.1"),
        (0.0001, "0.0001"),
        (-0.00012, "-1.2e-4"),
        (100.0, "100.0"),
        (1000.0, "1.0e3"),
        (12345678.0, "12345678.0"),
        (-1500000.0, "-1.5e6"),
        (2.0**53 - 1, "9007199254740991.0"),
        (2.0**53, "9.007199254740992e15"),
        (1.5e-7, "1.5e-7"),
        (5e-324, "5.0e-324"),
        (1e22, "1.0e22"),
    ],
)
def test_a_number_has_the_fewest_digits_and_an_exponent_where_that_is_shorter(number, text):
    assert erlang_text.pretty(number, 0, unicode=True) == text


# What Erlang/OTP 25 and 27 print from this column on.
@pytest.mark.parametrize(
    ("value", "column", "lines"),
    [
        ([], 40, ["[]"]),
        ([True, None, Decimal(1, 5)], 0, ["[{bool,true},{void,undefined},{decimal,{1,5}}]"]),
        ([0, 1, 2], 40, ["[{signedint,0},", "{signedint,1},", "{signedint,2}]"]),
        ({"a": {"b": 1}}, 40, ['[{<<"a">>,table,', '[{<<"b">>,signedint,1}]}]']),
        (["a" * 60], 40, ["[{longstr,", f'<<"{"a" * 60}">>}}]']),
        (["a" * 60], 0, [f'[{{longstr,<<"{"a" * 60}">>}}]']),
        (["a" * 90], 0, [f'[{{longstr,<<"{"a" * 90}">>}}]']),
        (
            {"a" * 36: ["b" * 60]},
            28,
            [f'[{{<<"{"a" * 36}">>,', "array,", "[{longstr,", f'<<"{"b" * 60}">>}}]}}]'],
        ),
        (
            [[ByteArray(b"\xff\x00" * 12), 5]],
            1,
            [
                "[{array,[{binary,<<255,0,255,0,255,0,255,0,255,0,255,0,255,0,255,0,255,0,255,",
                "0,255,0,255,0>>},",
                "{signedint,5}]}]",
            ],
        ),
    ],
)
def test_a_long_term_is_broken_into_lines(value, column, lines):
    shown = erlang_text.pretty(term_of(value), column, unicode=True)
    assert [line.strip() for line in shown.split("\n")] == lines


def test_further_lines_are_indented_to_where_they_belong():
    shown = erlang_text.pretty(term_of(["w" * 40, ["x" * 40]]), 3, unicode=True)
    assert [len(line) - len(line.lstrip()) for line in shown.split("\n")] == [0, 4]
    shown = erlang_text.pretty(term_of({"a" * 40: ["b" * 30]}), 3, unicode=True)
    assert [len(line) - len(line.lstrip()) for line in shown.split("\n")] == [0, 5]


def test_a_long_frame_is_quoted_in_part():
    quoted = erlang_text.quoted_frame(4, b"abcdefghijklmnopqrst", unicode=True)
    assert quoted == 'type 4, first 16 octets = <<"abcdefghijklmnop">>'
