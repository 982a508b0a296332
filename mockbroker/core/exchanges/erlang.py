"""Erlang's numbers: the hash and the chance that the hashing exchanges of RabbitMQ are made of.

Owns: ``erlang:phash2/1``, the generator ``exs1024`` of Erlang's module ``rand``, and the jump consistent hash
that draws from it. Refuses to know: messages and exchanges.

Source: Erlang/OTP documentation: ``phash2`` is the same in every release; the values in
``tests/core/exchanges/test_erlang.py`` come from Erlang/OTP 25 and 27.

Read next: ``terms.py``, ``core/exchanges/consistent_hash.py``.
"""

from __future__ import annotations

import re
from struct import pack, unpack

from mockbroker.terms import Atom

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mockbroker.terms import Term

ERLANG_INTEGER = re.compile(r"[+-]?[0-9]+")
"""What Erlang reads as an integer."""

PHASH2_RANGE = 1 << 27
"""`phash2` is below this number."""

_MASK_32 = 0xFFFFFFFF
_MASK_64 = 0xFFFFFFFFFFFFFFFF
_GOLDEN = 0x9E3779B9
"""2**32 divided by the golden ratio; each kind of term is mixed with a multiple of it."""
_SMALL = range(-(1 << 27), 1 << 27)
"""The integers that are hashed as one word of 32 bits."""
_EMPTY_LIST_ALONE = 3468870702
_EMPTY_LIST_INSIDE = 2
_CHARACTERS = range(256)
_BLOCK_BYTES = 12


def phash2(term: Term) -> int:
    """Return ``erlang:phash2(Term)``, a number below 2**27. Cost: proportional to the size of the term.

    >>> phash2(b"a"), phash2(Atom("undefined")), phash2((Atom("longstr"), b"a"))
    (112802447, 45914356, 65711459)
    """
    return _hashed(term, 0) % PHASH2_RANGE


def _times(count: int) -> int:
    return _GOLDEN * count & _MASK_32


def _hashed(term: Term, start: int) -> int:
    """Mix a term into the hash of what came before it."""
    if isinstance(term, Atom):
        # An atom alone, or first of all, is its name's hash: known as poor, and kept for compatibility.
        return _mixed(_name_hash(term), 0, start, _times(3)) if start else _name_hash(term)
    if isinstance(term, bytes):
        return _hashed_binary(term, _times(13) + start & _MASK_32)
    if isinstance(term, int):
        return _hashed_integer(term, start)
    if isinstance(term, float):
        high, low = unpack(">II", pack(">d", term + 0.0))  # there is one zero
        return _mixed(high, low, start, _times(12))
    if isinstance(term, tuple):
        start = _mixed(len(term), 0, start, _times(9))
        for item in term:
            start = _hashed(item, start)
        return start
    return _hashed_list(term, start)


def _hashed_integer(number: int, start: int) -> int:
    if number in _SMALL:
        if number < 0:
            start = _mixed(-number, 0, start, _GOLDEN)
        return _mixed(number & _MASK_32, 0, start, _GOLDEN)
    constant = _times(10 if number < 0 else 11)
    rest = abs(number)
    while rest:
        start = _mixed(rest & _MASK_32, rest >> 32 & _MASK_32, start, constant)
        rest >>= 64
    return start


def _hashed_list(items: list[Term], start: int) -> int:
    """Mix a list: characters are taken four at a time, up to the first item that is none."""
    if not items:
        return _mixed(_EMPTY_LIST_INSIDE, 0, start, _times(2)) if start else _EMPTY_LIST_ALONE
    word = count = 0
    for item in items:
        if type(item) is int and item in _CHARACTERS:
            word = (word << 8) + item
            count += 1
            if count == 4:
                start = _mixed(word, 0, start, _times(4))
                word = count = 0
            continue
        if count:
            start = _mixed(word, 0, start, _times(4))
            word = count = 0
        start = _hashed(item, start)
    if count:
        start = _mixed(word, 0, start, _times(4))
    return _hashed_list([], start)


def _name_hash(name: str) -> int:
    """The hash that P. J. Weinberger made for symbol tables."""
    value = 0
    for octet in name.encode():
        value = (value << 4) + octet
        if top := value & 0xF0000000:
            value ^= top >> 24
            value ^= top
    return value


def _hashed_binary(octets: bytes, start: int) -> int:
    """Bob Jenkins' hash of 1996; the length shares the last word with up to three octets."""
    if not octets:
        return start
    a = b = _GOLDEN
    c = start
    whole = len(octets) - len(octets) % _BLOCK_BYTES
    for at in range(0, whole, _BLOCK_BYTES):
        x, y, z = unpack("<III", octets[at : at + _BLOCK_BYTES])
        a, b, c = _jenkins(a + x, b + y, c + z)
    rest = octets[whole:]
    x, y, z = unpack("<III", rest[:8].ljust(8, b"\0") + b"\0" + rest[8:].ljust(3, b"\0"))
    return _jenkins(a + x, b + y, c + z + len(octets))[2]


def _mixed(x: int, y: int, start: int, constant: int) -> int:
    return _jenkins(constant + x, constant + y, start)[2]


def _jenkins(a: int, b: int, c: int) -> tuple[int, int, int]:
    """One round of Bob Jenkins' mixing, on words of 32 bits."""
    for right, left, back in ((13, 8, 13), (12, 16, 5), (3, 10, 15)):
        a = (a - b - c & _MASK_32) ^ ((c & _MASK_32) >> right)
        b = (b - c - a ^ a << left) & _MASK_32
        c = (c - a - b & _MASK_32) ^ (b >> back)
    return a, b, c


class _Exs1024:
    """Erlang's generator ``exs1024`` (xorshift1024*), seeded with the same number three times."""

    __slots__ = ("_used", "_words")

    def __init__(self, seed: int) -> None:
        low = seed + 1 & 0x1FFFFF
        first, second, third = (low * factor & 0x1FFFFF for factor in (2097131, 2097133, 2097143))
        state = first << 43 | second << 22 | third << 1 | 1
        words = []
        for _ in range(16):
            state ^= state >> 12
            state = (state ^ state << 25) & _MASK_64
            state ^= state >> 27
            words.append(state * 2685821657736338717 & _MASK_64)
        self._words = words[::-1]
        self._used = 0

    def uniform(self) -> float:
        """Draw a number from 0 to 1."""
        words, at = self._words, self._used
        following = (at + 1) % 16
        first, second = words[at], words[following]
        second ^= second << 31 & _MASK_64
        second ^= second >> 11
        words[following] = new = first ^ first >> 30 ^ second
        self._used = following
        return (new * 1181783497276652981 & _MASK_64) / (1 << 64)


def jump_consistent_hash(key: int, bucket_count: int) -> int:
    """Return the bucket of `key`, from 0 up to `bucket_count` - 1. Cost: the logarithm of `bucket_count`.

    Source: J. Lamping and E. Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm"; RabbitMQ draws from
    ``exs1024``, which looks at the lowest 21 bits of the key only.
    """
    bucket = following = 0
    draws = _Exs1024(key)
    while following < bucket_count:
        bucket = following
        following = int((bucket + 1) / draws.uniform())
    return bucket
