"""Octets as RabbitMQ's error texts show them."""

from __future__ import annotations

import pytest

from mockbroker.amqp import erlang_text


@pytest.mark.parametrize(
    ("raw", "unicode", "text"),
    [
        (b"", True, "<<>>"),
        (b"abc", True, '<<"abc">>'),
        (b'a"\\\n', True, '<<"a\\"\\\\\\n">>'),
        (b"a\0", True, "<<97,0>>"),
        (b"\x7f", True, "<<127>>"),
        ("é".encode(), True, '<<"é"/utf8>>'),
        (b"\xe9", True, '<<"é">>'),
        (b"\x80", False, "<<128>>"),
        (b"\xe9", False, '<<"\udce9">>'),
    ],
)
def test_octets(raw, unicode, text):
    assert erlang_text.pretty(raw, 0, unicode=unicode) == text


def test_long_lines_are_broken_before_column_80():
    shown = erlang_text.pretty(b"\x80" * 30, 21, unicode=True).split("\n")
    assert [line.strip() for line in shown] == ["<<" + "128," * 14, "128," * 14, "128,128>>"]
    assert shown[1].startswith(" " * 23 + "128")


def test_a_pair_is_broken_when_it_is_too_long():
    assert erlang_text.pair("name", 5, 0) == "{name,5}"
    assert erlang_text.pair("name", 5, 75) == "{name,\n" + " " * 76 + "5}"


def test_a_long_frame_is_quoted_in_part():
    quoted = erlang_text.quoted_frame(4, b"abcdefghijklmnopqrst", unicode=True)
    assert quoted == 'type 4, first 16 octets = <<"abcdefghijklmnop">>'
