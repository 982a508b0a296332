"""For those who write tests: fixtures, faults, measures, assertions, Hypothesis strategies, lint.

Owns nothing: it gathers rooms that stand on the door and look into the core.
Refuses to know: AMQP's rules.

The rooms, by what one wants to know:

- ``plugin.py``: the pytest fixtures ``mockbroker``, ``mockbroker_url``, ``mockbroker_sim``,
  ``mockbroker_pika``, the marker and the options
- ``faults.py``: what goes wrong, and exactly when
- ``views.py``, ``explain.py``: what is in a queue, and how a message came to be where it is
- ``fairness.py``, ``assertions.py``, ``lint.py``: what a trace says about a program
- ``strategies.py``, ``machine.py``: what Hypothesis draws

Read next: ``history.py`` (how a trace is followed), ``docs/testing.md``.
"""
