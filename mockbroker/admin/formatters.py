"""How rabbitmqctl prints rows: as a table, JSON, CSV, or a table with lines.

Owns: the four forms, and how values look in them. Erlang's terms show through in each, as they do on a real
server.
Refuses to know: which commands there are and where rows come from.
Source: rabbitmqctl of RabbitMQ 3.10.8 and 4.0.5; the texts in ``tests/admin/test_formatters.py`` were
printed by it.

Read next: ``ctl.py``, ``listings.py``.
"""

from __future__ import annotations

import decimal
import json

from mockbroker.values import Decimal, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Row = dict[str, Any]

_TABLES = ("arguments", "client_properties")
"""Columns that hold an AMQP table: values keep their types."""
_PROPERTY_LISTS = ("effective_policy_definition",)
"""Columns that hold names and values without types."""
_JSON_TEXTS = ("definition", "limits", "value")
"""Columns that hold JSON as a text, in every form."""

_PIDS = ("pid", "channel_pid", "owner_pid", "exclusive_consumer_pid", "connection")
"""Columns that hold process identifiers, which the JSON form writes otherwise."""
_HOSTS = ("host", "peer_host")
"""Columns that hold addresses: four numbers in the JSON form."""


def erlang_term(value: Any) -> str:
    r"""Return an AMQP value as the table form shows it: a list of characters and a string look the same.

    >>> erlang_term({"x-max-length": 5, "x-dead-letter-exchange": "", "n": [72, 101]})
    '[{"x-max-length",5},{"x-dead-letter-exchange",[]},{"n","He"}]'
    """
    if value is None:
        return "undefined"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value) if value else "[]"
    if isinstance(value, bytes):
        return _binary(value)
    if isinstance(value, Decimal):
        return f"{{{value.scale},{value.unscaled}}}"
    if isinstance(value, dict):
        return f"[{','.join(f'{{{_quoted(key)},{erlang_term(item)}}}' for key, item in value.items())}]"
    if isinstance(value, list):
        if value and all(_is_character(item) for item in value):
            return _quoted("".join(map(chr, value)))
        return f"[{','.join(map(erlang_term, value))}]"
    return _float(value) if isinstance(value, float) else str(int(value))


def _is_character(value: Any) -> bool:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return is_number and (32 <= value <= 126 or 160 <= value <= 255 or value in (8, 9, 10, 11, 12, 13, 27))


_ESCAPES = {
    '"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n",
    "\v": "\\v", "\f": "\\f", "\r": "\\r", "\x1b": "\\e",
}  # fmt: skip


def _quoted(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(char, char) for char in text) + '"'


def _binary(data: bytes) -> str:
    """Return bytes: as a text where they are one, as numbers otherwise."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return f"<<{','.join(map(str, data))}>>"
    return _quoted(text) if text.isprintable() and text else f"<<{','.join(map(str, data))}>>"


def _float(number: float) -> str:
    """Return a number with a fraction, plainly or with an exponent, whichever is shorter.

    >>> _float(1.5), _float(100.0), _float(100000.0), _float(1e22), _float(0.1), _float(-0.00001)
    ('1.5', '100.0', '1.0e5', '1.0e22', '0.1', '-1.0e-5')
    """
    shortest = decimal.Decimal(repr(number)).normalize()
    sign, figures, exponent = shortest.as_tuple()
    assert isinstance(exponent, int), "a number on the wire is finite"
    fraction = "".join(map(str, figures[1:])) or "0"
    scientific = f"{'-' if sign else ''}{figures[0]}.{fraction}e{exponent + len(figures) - 1}"
    plain = f"{shortest:f}" + (".0" if exponent >= 0 else "")
    return scientific if len(scientific) < len(plain) else plain


def table_cell(column: str, value: Any) -> str:
    """Return a value as the table form shows it; None is an empty cell."""
    if column in _TABLES:
        return erlang_term(value)
    if column in _PROPERTY_LISTS:
        return f"[{', '.join(f'{{<<{_quoted(key)}>>, {_bare_term(item)}}}' for key, item in value.items())}]"
    return _plain_cell(column, value, list_form="[{}]".format, separator=", ")


def _pretty_cell(column: str, value: Any) -> str:
    """The same for the table with lines, where lists lose their brackets and keep their types."""
    if column in _TABLES:
        return "".join(
            f"{{<<{_quoted(key)}>>,{type_name(item)},{_typed_term(item)}}}" for key, item in value.items()
        )
    if column in _PROPERTY_LISTS:
        return "".join(f"{{<<{_quoted(key)}>>,{_bare_term(item)}}}" for key, item in value.items())
    return _plain_cell(column, value, list_form=str, separator="")


def _plain_cell(column: str, value: Any, *, list_form: Callable[[str], str], separator: str) -> str:
    if value is None:
        return ""
    if column in _JSON_TEXTS:
        return _json(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"{{{','.join(map(str, value))}}}"
    if isinstance(value, list):
        return list_form(separator.join(map(str, value)))
    return str(value)


def _bare_term(value: Any) -> str:
    return f"<<{_quoted(value)}>>" if isinstance(value, str) else erlang_term(value)


def _typed_term(value: Any) -> str:
    """Return an AMQP value with its types; each byte is shown alone, and so not all text is legible."""
    if isinstance(value, str):
        return f"<<{_quoted(value.encode().decode('latin-1'))}>>" if value else "<<>>"
    if isinstance(value, dict):
        items = (
            f"{{<<{_quoted(key)}>>,{type_name(item)},{_typed_term(item)}}}" for key, item in value.items()
        )
        return f"[{','.join(items)}]"
    if isinstance(value, list):
        return f"[{','.join(f'{{{type_name(item)},{_typed_term(item)}}}' for item in value)}]"
    return erlang_term(value)


def _json_cell(column: str, value: Any) -> str:
    """Return a value as JSON text; None is an empty text."""
    if value is None:
        return '""'
    if column in _TABLES:
        return _json_value(value)
    if column in _PROPERTY_LISTS:
        return _json([list(item) for item in value.items()])
    if column in _PIDS:
        return _json(_pid_seen_from_outside(value))
    if column in _HOSTS and value.replace(".", "").isdecimal():
        return _json([int(part) for part in value.split(".")])
    return _json(_json(value) if column in _JSON_TEXTS else value)


def _pid_seen_from_outside(pid: str) -> str:
    """Return a process identifier as rabbitmqctl's own node names it: by a number for the server's node.

    >>> _pid_seen_from_outside("<rabbit@localhost.1735689600.50000.1>")
    '#PID<11000.50000.1>'
    """
    _, number, serial = pid.strip("<>").rsplit(".", 2)
    return f"#PID<11000.{number}.{serial}>"


def _json_value(value: Any) -> str:
    """Return an AMQP value as JSON text with its types. An array becomes an object that repeats its keys."""
    if isinstance(value, dict):
        items = (
            f"[{_json(key)},{_json(type_name(item))},{_json_value(item)}]" for key, item in value.items()
        )
        return f"[{','.join(items)}]"
    if isinstance(value, Decimal):
        return _json([value.scale, value.unscaled])
    if isinstance(value, list):
        members = ",".join(f"{_json(type_name(item))}:{_json_value(item)}" for item in value)
        return f"{{{members}}}" if members else "[]"
    if isinstance(value, bytes):
        return _json(value.decode("utf-8", "backslashreplace"))
    return '"undefined"' if value is None else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def as_table(rows: Sequence[Row], *, headers: bool = True) -> list[str]:
    """Return lines of cells with tabs between them, under a line of names; nothing when there are no rows."""
    lines = ["\t".join(rows[0])] if rows and headers else []
    return lines + ["\t".join(table_cell(*item) for item in row.items()) for row in rows]


def as_csv(rows: Sequence[Row], *, headers: bool = True) -> list[str]:
    """Return lines of quoted cells with commas between them."""

    def quoted(cells: Sequence[str]) -> str:
        return ",".join('"' + cell.replace('"', '""') + '"' for cell in cells)

    lines = [quoted(list(rows[0]))] if rows else []
    return lines + [quoted([table_cell(*item) for item in row.items()]) for row in rows]


def as_json(rows: Sequence[Row], *, headers: bool = True) -> list[str]:
    """Return one JSON list of objects, an object a line."""
    objects = (",".join(f"{_json(item[0])}:{_json_cell(*item)}" for item in row.items()) for row in rows)
    return ["[", *(f"{',' if number else ''}{{{text}}}" for number, text in enumerate(objects)), "]"]


_TO_LINES, _TO_TEXT = "\x1b(0", "\x1b(B"
_BOLD, _NORMAL = "\x1b[1m", "\x1b[0m"


def as_pretty_table(rows: Sequence[Row], *, headers: bool = True) -> list[str]:
    """Return a table with lines, drawn with a VT100's line characters; nothing when there are no rows."""
    if not rows:
        return []
    names = list(rows[0])
    cells = [[_pretty_cell(*item).expandtabs() for item in row.items()] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]

    def rule(left: str, middle: str, right: str) -> str:
        return f"{_TO_LINES}{left}{middle.join('q' * (width + 2) for width in widths)}{right}{_TO_TEXT}"

    def line(texts: Sequence[str], form: Callable[[str], str] = str) -> str:
        bar = f"{_TO_LINES}x{_TO_TEXT}"
        padded = (
            f" {form(text)}{' ' * (width - len(text))} " for text, width in zip(texts, widths, strict=True)
        )
        return bar + bar.join(padded) + bar

    lines = [rule("l", "w", "k"), line(names, lambda name: f"{_BOLD}{name}{_NORMAL}")]
    for row in cells:
        lines += [rule("t", "n", "u"), line(row)]
    return [*lines, rule("m", "v", "j")]


FORMATTERS: dict[str, Callable[..., list[str]]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
    "pretty_table": as_pretty_table,
}
"""Name, as ``--formatter`` takes it, -> function of rows."""

QUIET = ("json", "csv")
"""Formatters that leave out everything but the rows."""
