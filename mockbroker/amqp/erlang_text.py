"""Octets as Erlang shows them, because RabbitMQ's frame errors quote what they could not read.

Owns: the two ways of showing octets, and where the second breaks its lines.
Refuses to know: which error quotes what.

Source: the answers of RabbitMQ 3.10.8 and 4.0.5 that ``tests/amqp/bad_input.json`` holds.

Read next: ``frames.py``, ``session.py``.
"""

from __future__ import annotations

_LINE = 80
_ESCAPES = {8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 27: "\\e", 34: '\\"', 92: "\\\\"}
_SHOWN_OCTETS = 16


def plain(raw: bytes) -> str:
    """Show octets as numbers, as ``~w`` does.

    >>> plain(b"ab")
    '<<97,98>>'
    """
    return f"<<{','.join(map(str, raw))}>>"


def pretty(raw: bytes, column: int, *, unicode: bool) -> str:
    r"""Show octets as ``~p`` does (``~tp`` with `unicode`): as text where all of them print, else as numbers.

    `column` is where the text begins; lines of numbers are broken before column 80. Without `unicode` the
    text has the octets themselves, as surrogate escapes where they are not UTF-8.

    >>> pretty(b"abc", 0, unicode=True), pretty(b"ab\0", 0, unicode=True)
    ('<<"abc">>', '<<97,98,0>>')
    """
    if not raw:
        return "<<>>"
    if unicode and not raw.isascii():
        try:
            return f'<<"{_escaped(raw.decode())}"/utf8>>'
        except UnicodeDecodeError:
            pass
    if all(32 <= octet <= 126 or octet >= 160 or octet in _ESCAPES for octet in raw):
        text = raw.decode("latin-1") if unicode else raw.decode("utf-8", "surrogateescape")
        return f'<<"{_escaped(text)}">>'
    return _broken_into_lines([str(octet) for octet in raw], column)


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)


def _broken_into_lines(numbers: list[str], column: int) -> str:
    column += 2
    indent = "\n" + " " * column
    text, at = "<<", column
    for i, number in enumerate(numbers):
        item = number if i == len(numbers) - 1 else number + ","
        if at + len(item) >= _LINE:
            text, at = text + indent, column
        text, at = text + item, at + len(item)
    return text + ">>"


def pair(name: str, value: int, column: int) -> str:
    """Show the tuple ``{name,value}`` that begins at `column`; it is broken when it reaches column 79."""
    if column + len(name) + len(str(value)) + 3 < _LINE - 1:
        return f"{{{name},{value}}}"
    return f"{{{name},\n{' ' * (column + 1)}{value}}}"


def quoted_frame(kind: int, payload: bytes, *, unicode: bool) -> str:
    """Say which frame an error is about: its type and its first octets.

    >>> quoted_frame(3, b"abc", unicode=True)
    'type 3, all octets = <<"abc">>'
    """
    which = "all" if len(payload) <= _SHOWN_OCTETS else f"first {_SHOWN_OCTETS}"
    text = f"type {kind}, {which} octets = "
    return text + pretty(payload[:_SHOWN_OCTETS], len(text), unicode=unicode)
