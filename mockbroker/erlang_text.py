"""Terms as Erlang shows them, because RabbitMQ's errors quote what they refuse.

Owns: the two ways of showing a term, and where the second one breaks its lines.
Refuses to know: which error quotes what.

Source: the answers of RabbitMQ 3.10.8 and 4.0.5 that ``tests/amqp/bad_input.json`` holds, recorded scenarios
``exchanges/headers-x-match-*``, and what ``io:format`` of Erlang/OTP 25 and 27 prints.

Read next: ``terms.py``, ``core/refusals.py``, ``amqp/frames.py``.
"""

from __future__ import annotations

from mockbroker.terms import Atom, Characters
from mockbroker.values import octets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from mockbroker.terms import Term

_LINE = 80
_ESCAPES = {8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 27: "\\e", 34: '\\"', 92: "\\\\"}
_SHOWN_OCTETS = 16
_EXACT_INTEGERS = 2**53
_BEHIND_THE_TAG = 0
_TAG_INDENTS = (_BEHIND_THE_TAG, 4, 1)
"""How far the rest of a tuple that begins with an atom may be indented: as the first of these with which no
such tuple reaches behind the middle of the line, or else as the last."""


def plain(raw: bytes) -> str:
    """Show octets as numbers, as ``~w`` does.

    >>> plain(b"ab")
    '<<97,98>>'
    """
    return f"<<{','.join(map(str, raw))}>>"


def atom(name: str) -> str:
    """Show an atom: in quotes when it is more than letters.

    >>> atom("direct"), atom("x-random")
    ('direct', "'x-random'")
    """
    return f"'{name}'" if "-" in name else name


def pretty(term: Term, column: int = 0, *, unicode: bool) -> str:
    r"""Show a term as ``~p`` does (``~tp`` with `unicode`): octets as text where all of them print.

    `column` is where the term begins; one that reaches the end of the line is broken into several. Without
    `unicode` a text has the octets themselves, as surrogate escapes where they are not UTF-8.

    >>> pretty(b"abc", unicode=True), pretty(b"ab\0", unicode=True), pretty([(Atom("long"), 5)], unicode=True)
    ('<<"abc">>', '<<97,98,0>>', '[{long,5}]')
    """
    for tag_indent in _TAG_INDENTS:
        printer = _Printer(tag_indent, unicode=unicode)
        text = printer.shown(term, column, 0)
        if not printer.is_too_deep:
            break
    return text


class _Printer:
    """Shows one term, on several lines where it must."""

    def __init__(self, tag_indent: int, *, unicode: bool) -> None:
        self._tag_indent = tag_indent
        self._unicode = unicode
        self.is_too_deep = False

    def shown(self, term: Term, column: int, closing: int) -> str:
        """Show a term that begins at `column` and is followed by so many closing brackets."""
        text = self._flat(term)
        if self._fits(text, column, closing):
            return text
        if isinstance(term, list) and term:
            return f"[{self._items(term, column + 1, closing + 1)}]"
        if isinstance(term, tuple):
            return f"{{{self._fields(term, column, closing + 1)}}}"
        if isinstance(term, bytes) and _is_numbers(text):
            return _broken_into_lines(text[2:-2].split(","), column, closing)
        return text

    def _fits(self, text: str, column: int, closing: int) -> bool:
        return self._width(text) < _LINE - 1 - column - closing

    def _width(self, text: str) -> int:
        return len(text) if self._unicode else len(octets(text))

    def _flat(self, term: Term) -> str:
        if isinstance(term, list):
            return f"[{','.join(map(self._flat, term))}]"
        if isinstance(term, tuple):
            return f"{{{','.join(map(self._flat, term))}}}"
        if isinstance(term, Characters):
            return _characters(term)
        if isinstance(term, bytes):
            return _octets(term, unicode=self._unicode)
        return _atomic(term)

    def _fields(self, fields: tuple[Term, ...], column: int, closing: int) -> str:
        tag = fields[0]
        if not isinstance(tag, Atom):
            return self._items(fields, column + 1, closing)
        behind = len(tag) + 2
        is_behind = self._tag_indent == _BEHIND_THE_TAG or behind <= self._tag_indent
        self.is_too_deep |= column + (behind + 1 if is_behind else self._tag_indent) >= _LINE // 2
        if is_behind:
            return f"{tag},{self._items(fields[1:], column + behind, closing)}"
        return tag + self._rest(fields[1:], column + self._tag_indent, column + behind - 1, closing)

    def _items(self, items: Sequence[Term], column: int, closing: int) -> str:
        """Show what begins at `column` and goes on there on further lines."""
        first, rest = items[0], items[1:]
        text = self.shown(first, column, 0 if rest else closing)
        at = _LINE if _is_composed(first, text) else column + self._width(text)
        return text + self._rest(rest, column, at, closing)

    def _rest(self, items: Sequence[Term], column: int, at: int, closing: int) -> str:
        """Show what follows the text that ends at `at`; what is short and not composed stays on that line."""
        text = ""
        for position, item in enumerate(items):
            is_last = position == len(items) - 1
            flat = self._flat(item)
            if not _is_composed(item, flat) and self._fits("," + flat, at, closing if is_last else 1):
                text += "," + flat
                at += self._width(flat) + 1
            else:
                text += f",\n{' ' * column}{self.shown(item, column, closing if is_last else 0)}"
                at = _LINE if _is_composed(item, flat) else column + self._width(flat)
        return text


def _is_composed(term: Term, text: str) -> bool:
    return bool(term) and (isinstance(term, list | tuple) or (isinstance(term, bytes) and _is_numbers(text)))


def _is_numbers(text: str) -> bool:
    return text.startswith("<<") and text != "<<>>" and not text.startswith('<<"')


def _atomic(term: Atom | float) -> str:
    if isinstance(term, Atom):
        return atom(term)
    return _number(term) if isinstance(term, float) else str(term)


def _number(number: float) -> str:
    """Show the fewest digits that mean `number`, with an exponent where that is shorter.

    >>> _number(100.0), _number(1000.0), _number(0.00012)
    ('100.0', '1.0e3', '1.2e-4')
    """
    mantissa, _, power = repr(abs(number)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return repr(number)
    point = len(digits) - len(fraction) + int(power or 0)  # so many digits stand before it
    digits = digits.rstrip("0")
    with_exponent = f"{digits[0]}.{digits[1:] or '0'}e{point - 1}"
    if point > 0:
        digits = digits.ljust(point, "0")
        text = f"{digits[:point]}.{digits[point:] or '0'}"
    else:
        text = f"0.{'0' * -point}{digits}"
    if abs(number) >= _EXACT_INTEGERS or len(with_exponent) < len(text):
        text = with_exponent
    return f"-{text}" if number < 0 else text


def _characters(raw: bytes) -> str:
    if _all_print(raw):
        return f'"{_escaped(raw.decode("utf-8", "surrogateescape"))}"'
    return f"[{','.join(map(str, raw))}]"


def _all_print(raw: bytes) -> bool:
    return all(32 <= octet <= 126 or octet >= 160 or octet in _ESCAPES for octet in raw)


def _octets(raw: bytes, *, unicode: bool) -> str:
    if not raw:
        return "<<>>"
    if unicode and not raw.isascii():
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            pass
        else:
            return f'<<"{_escaped(text)}"/utf8>>' if all(map(_prints, text)) else plain(raw)
    if _all_print(raw):
        text = raw.decode("latin-1") if unicode else raw.decode("utf-8", "surrogateescape")
        return f'<<"{_escaped(text)}">>'
    return plain(raw)


def _prints(character: str) -> bool:
    code = ord(character)
    return 32 <= code <= 126 or (code >= 160 and code not in (0xFFFE, 0xFFFF)) or code in _ESCAPES


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)


def _broken_into_lines(numbers: list[str], column: int, closing: int) -> str:
    column += 2
    indent = "\n" + " " * column
    text, at = "<<", column
    for i, number in enumerate(numbers):
        item = number if i == len(numbers) - 1 else number + ","
        if at + len(item) >= _LINE - closing:
            text, at = text + indent, column
        text, at = text + item, at + len(item)
    return text + ">>"


def quoted_frame(kind: int, payload: bytes, *, unicode: bool) -> str:
    """Say which frame an error is about: its type and its first octets.

    >>> quoted_frame(3, b"abc", unicode=True)
    'type 3, all octets = <<"abc">>'
    """
    which = "all" if len(payload) <= _SHOWN_OCTETS else f"first {_SHOWN_OCTETS}"
    text = f"type {kind}, {which} octets = "
    return text + pretty(payload[:_SHOWN_OCTETS], len(text), unicode=unicode)
