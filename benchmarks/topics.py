"""The topic tables of W5: bindings, routing keys, and a trie that answers what must arrive."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from random import Random
from typing import Any

QUEUES = [f"t{number}" for number in range(100)]
KINDS = "rse"  # region, service, event: the three words of a key

# Share of the bindings, and pattern: a letter is a word of that kind.
SHAPES = [
    (0.30, "r.s.*"),
    (0.20, "r.#"),
    (0.20, "*.s.e"),
    (0.15, "#.e"),
    (0.10, "r.s.e"),
    (0.05, "r.*.e.#"),
]


class Vocabulary:
    """Words drawn by chance. More bindings, more words: the number of matches per key stays the same."""

    def __init__(self, binding_count: int, seed: int) -> None:
        self.random = Random(seed)
        self.size = binding_count // 5

    def word(self, kind: str) -> str:
        return f"{kind}{self.random.randrange(self.size)}"

    def fill(self, pattern: str) -> str:
        return ".".join(self.word(part) if part in KINDS else part for part in pattern.split("."))

    def key_for(self, pattern: str) -> str:
        """A routing key that matches the binding key."""
        words: list[str] = []
        for place, part in enumerate(pattern.split(".")):
            if part == "*":
                words.append(self.word(KINDS[min(place, 2)]))
            elif part == "#":
                words.extend(self.word(KINDS[i]) for i in range(self.random.randrange(1, 3)))
            else:
                words.append(part)
        return ".".join(words)


def bindings(count: int) -> list[tuple[str, str]]:
    """`count` different pairs of binding key and queue, in the mixture of SHAPES."""
    words = Vocabulary(count, seed=7)
    shares, shapes = zip(*SHAPES, strict=True)
    pairs: dict[tuple[str, str], None] = {}
    while len(pairs) < count:
        (shape,) = words.random.choices(shapes, shares)
        pairs[words.fill(shape), words.random.choice(QUEUES)] = None
    return list(pairs)


def routing_keys(table: list[tuple[str, str]], count: int, distinct: int) -> list[str]:
    """`count` keys, `distinct` different ones, a few of them frequent; half were made to match a binding."""
    words = Vocabulary(len(table), seed=11)
    pool: dict[str, None] = {}
    while len(pool) < distinct:
        is_made_to_match = words.random.random() < 0.5
        pool[words.key_for(words.random.choice(table)[0] if is_made_to_match else "*.*.*")] = None
    keys = list(pool)
    if distinct >= count:
        return keys[:count]
    draw = words.random.expovariate
    return [keys[min(int(draw(4 / distinct)), distinct - 1)] for _ in range(count)]


class Trie:
    """Binding keys by their words: ``*`` is one word, ``#`` any number of them, none included."""

    def __init__(self) -> None:
        self.root: dict[str | None, Any] = {}

    def add(self, pattern: str, destination: str) -> None:
        node = self.root
        for word in pattern.split("."):
            node = node.setdefault(word, {})
        node.setdefault(None, []).append(destination)

    def match(self, routing_key: str) -> set[str]:
        words = routing_key.split(".")
        count = len(words)
        found: set[str] = set()
        open_ends = [(self.root, 0)]
        push = open_ends.append
        while open_ends:
            node, position = open_ends.pop()
            rest = node.get("#")
            if rest is not None:
                found.update(rest.get(None, ()))
                if len(rest) > 1 or None not in rest:
                    for further in range(position, count + 1):
                        push((rest, further))
            if position == count:
                found.update(node.get(None, ()))
                continue
            exact, any_word = node.get(words[position]), node.get("*")
            if exact is not None:
                push((exact, position + 1))
            if any_word is not None:
                push((any_word, position + 1))
        return found


def expected_deliveries(table: Iterable[tuple[str, str]], keys: Iterable[str]) -> int:
    """How many messages must lie in the queues when each key was published once."""
    trie = Trie()
    for pattern, queue in table:
        trie.add(pattern, queue)
    copies = cache(lambda key: len(trie.match(key)))
    return sum(map(copies, keys))
