"""A program that fails in one order out of six; a module, so that other processes can import it."""

from __future__ import annotations

import time


def only_in_a_rare_order(sim):
    """Fails only when c, then b, then a go first at the same instant."""
    order = sim.shared.setdefault("order", [])

    def note(name):
        time.sleep(1)
        order.append(name)

    for name in "abc":
        sim.spawn(note, name, name=name)


def not_backwards(sim):
    assert sim.shared["order"] != ["c", "b", "a"]
