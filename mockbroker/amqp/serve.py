"""``mockbroker serve``: a broker for programs in other processes, until a signal or ``ctl stop`` ends it.

Owns: the command's options, its first lines of output, and its end.
Refuses to know: how bytes move (``endpoint.py``) and what the broker does with them.

Read next: ``endpoint.py``, ``../admin/remote.py``.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mockbroker.broker import Broker
from mockbroker.clock import WallClock
from mockbroker.rules import RULES

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from mockbroker.amqp.endpoint import Endpoint

_GOODBYE_S = 1.0
"""How long clients may take to answer that the server stops."""
_BAD_INPUT = 2


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of ``serve``."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=5672, help="port; 0 picks a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--management-port",
        type=int,
        metavar="PORT",
        help="also serve the management HTTP API on this port; 0 picks a free one",
    )
    parser.add_argument("--rules", choices=list(RULES), default="rabbitmq-4.0", help="default: %(default)s")
    parser.add_argument(
        "--plugins", metavar="NAMES", default="", help="RabbitMQ plugins that are enabled, with commas"
    )
    parser.add_argument(
        "--definitions", type=Path, metavar="FILE", help="load these definitions (JSON) first"
    )
    parser.add_argument(
        "--loopback-users",
        metavar="NAMES",
        help="users who may connect from this machine only, with commas (default: guest; '' for none)",
    )
    parser.add_argument(
        "--allow-remote", action="store_true", help="allow a --host that other machines can reach"
    )
    parser.add_argument("--log", action="store_true", help="log connections and errors to standard error")


def run(arguments: Namespace) -> int:
    """Serve until SIGINT, SIGTERM or a stop by the management API; return the exit status.

    2 and one line on standard error: a port in use, a host that must be asked for, an unknown plugin, bad
    definitions, no pamqp.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if arguments.log:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    users = "guest" if arguments.loopback_users is None else arguments.loopback_users
    try:
        broker = Broker(
            rules=arguments.rules,
            clock=WallClock(),
            epoch=int(time.time()),
            loopback_users=[name for name in users.split(",") if name],
            plugins=[name for name in arguments.plugins.split(",") if name],
        )
        _load(broker, arguments.definitions)
        endpoint = _listen(broker, arguments)
    except (OSError, ValueError, ImportError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        sys.stderr.write(f"mockbroker serve: {reason}\n")
        return _BAD_INPUT
    endpoint.on_stop = stop.set
    lines = [endpoint.url] + ([endpoint.management_url] if endpoint.management_url is not None else [])
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    stop.wait()
    endpoint.close(_GOODBYE_S)
    broker.close()
    return 0


def _load(broker: Broker, file: Path | None) -> None:
    """Load definitions, and name on standard error what of them is passed over.

    Raises ValueError that names the file and what is wrong with it.
    """
    if file is None:
        return
    from mockbroker.admin import definitions  # noqa: PLC0415 - most servers start empty

    try:
        given = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(given, dict):
            raise ValueError("definitions must be a JSON object")
        ignored = definitions.load(broker.node, given)
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    if ignored:
        sys.stderr.write(f"mockbroker serve: {file}: passed over: {', '.join(ignored)}\n")


def _listen(broker: Broker, arguments: Namespace) -> Endpoint:
    # An empty list of loopback users says as clearly as the option itself that others are to come in.
    allow_remote = arguments.allow_remote or arguments.loopback_users == ""
    port = arguments.management_port
    return broker.listen(
        arguments.host,
        arguments.port,
        management=port is not None,
        management_port=port or 0,
        allow_remote=allow_remote,
    )
