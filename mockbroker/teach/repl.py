"""``mockbroker repl``: Python's prompt with a broker, a connection and a channel ready.

Owns: the names that are there, and the lines to try first.
Refuses to know: how the objects print themselves; that is theirs.

Read next: ``../broker.py``, ``demo.py``.
"""

from __future__ import annotations

import contextlib
from code import interact

import mockbroker
from mockbroker import BasicProperties, Broker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

FIRST_LINES = (
    'ch.queue_declare("hello")',
    'ch.basic_publish("", "hello", b"Hello World!")',
    'print(broker.ctl("list_queues"))',
    'ch.basic_consume("hello", lambda ch, method, properties, body: print(body), auto_ack=True)',
    "broker.run()",
)
"""What a newcomer types first."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of ``mockbroker repl`` to a parser."""
    parser.description = "Open Python's prompt with a broker, a connection and a channel ready."
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the broker (default: 0)")


def namespace(seed: int = 0) -> dict[str, Any]:
    """Return the names that are ready at the prompt."""
    broker = Broker(seed=seed)
    connection = broker.connect()
    return {
        "mockbroker": mockbroker,
        "Broker": Broker,
        "BasicProperties": BasicProperties,
        "broker": broker,
        "conn": connection,
        "ch": connection.channel(),
    }


def banner() -> str:
    """Return what is shown before the first prompt."""
    lines = "\n".join(f"    {line}" for line in FIRST_LINES)
    return (
        f"A broker in virtual time: broker, conn (a connection) and ch (a channel) are ready. Try:\n{lines}"
    )


def run(arguments: Namespace) -> int:
    """Open the prompt; return the exit status when it ends."""
    with contextlib.suppress(ImportError):
        # Importing it is all it takes to have line editing and history at the prompt; Windows has none.
        import readline  # noqa: F401, PLC0415 - see above
    interact(banner(), local=namespace(arguments.seed), exitmsg="")
    return 0
