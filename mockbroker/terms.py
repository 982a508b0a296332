"""Erlang's terms: the form in which RabbitMQ keeps the values of tables, and in which it compares them.

Owns: table values as terms, and when two terms are the same. Refuses to know: what is compared and why, how
terms are hashed (``core/exchanges/erlang.py``) and printed (``erlang_text.py``).

A term is what Python has for it: `Atom`, ``bytes`` for a binary, ``int``, ``float``, ``tuple``, and ``list``
for a proper list. A value has its type beside it wherever it is inside another one, and in a table: an array
is a list of ``(type, value)``, a table one of ``(name, type, value)``, in the order in which they came.

Read next: ``values.py``, ``core/exchanges/headers.py``.
"""

from __future__ import annotations

from math import copysign

from mockbroker.values import Decimal, octets, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from mockbroker.values import Table

    Term: TypeAlias = "Atom | bytes | int | float | tuple[Term, ...] | list[Term]"
    Identity: TypeAlias = "tuple[tuple[bytes, str, Any], ...]"


class Atom(str):
    """An atom, called by its name. Only ASCII names are known here."""

    __slots__ = ()


class Characters(bytes):
    """A list of character codes below 256, which Erlang shows as text where all of them print."""

    __slots__ = ()


UNDEFINED = Atom("undefined")


def term_of(value: Any) -> Term:
    """Return a table value as a term, without its type.

    >>> term_of([5, "a"]), term_of({})
    ([('signedint', 5), ('longstr', b'a')], [])
    """
    if isinstance(value, str):
        return octets(value)
    if value is None:
        return UNDEFINED
    if isinstance(value, bool):
        return Atom("true" if value else "false")
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, Decimal):
        return (value.scale, value.unscaled)
    if isinstance(value, dict):
        return [(term_of(name), *typed(item)) for name, item in value.items()]
    return [typed(item) for item in value]


def typed(value: Any) -> tuple[Term, ...]:
    """Return a table value as a term, with its type before it.

    >>> typed("a")
    ('longstr', b'a')
    """
    return (Atom(type_name(value)), term_of(value))


def comparable(term: Term, *, exactly: bool) -> Any:
    """Return a term in a form that is equal, hashes and sorts as the term does; of one kind, if to be sorted.

    With `exactly` 5 and 5.0 differ, and so do 0.0 and -0.0: Erlang's ``=:=`` since release 27. Without it
    numbers are the same when they are equal: its ``==``.

    >>> comparable(5, exactly=False) == comparable(5.0, exactly=False)
    True
    """
    if isinstance(term, float) and exactly:
        return ("float", term, copysign(1.0, term))
    if isinstance(term, tuple):
        return ("tuple", *[comparable(item, exactly=exactly) for item in term])
    if isinstance(term, list):
        return tuple([comparable(item, exactly=exactly) for item in term])
    return term


def table_identity(table: Table, *, exactly: bool = True) -> Identity:
    """Return what tells one table from another: each name with the type and the value, whatever their order.

    It hashes and sorts; see `comparable` for `exactly`. Inside arrays and tables the order counts. Source:
    recorded scenarios ``exchanges/binding-argument-*``.

    >>> table_identity({"b": 1, "a": 2}) == table_identity({"a": 2, "b": 1})
    True
    """
    if not table:
        return ()
    return tuple(
        sorted(
            (
                octets(name),
                type_name(value),
                comparable(term_of(value), exactly=exactly),
            )
            for name, value in table.items()
        )
    )
