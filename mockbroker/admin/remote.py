"""``mockbroker ctl``: rabbitmqctl's commands for a broker that another process serves.

Owns: the command's options and the way over HTTP.
Refuses to know: the commands; ``ctl.py`` runs them, there.

Read next: ``ctl.py``, ``http_status.py``.
"""

from __future__ import annotations

import base64
import http.client
import json
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from mockbroker.admin.ctl_invocation import UNAVAILABLE, USAGE

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

_TIMEOUT_S = 60


class RemoteError(Exception):
    """The other side refuses the command, or there is no other side; the text says which.

    `exit_status` is rabbitmqctl's: 69 where nobody answers.
    """

    def __init__(self, text: str, exit_status: int = UNAVAILABLE) -> None:
        super().__init__(text)
        self.exit_status = exit_status


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of ``ctl``."""
    parser.add_argument(
        "--url",
        required=True,
        help="the management URL that `mockbroker serve --management-port` prints, as http://127.0.0.1:15672",
    )
    parser.add_argument("command", nargs="...", help="as for rabbitmqctl: list_queues name messages; or stop")


def run(arguments: Namespace) -> int:
    """Run one command there and print what it prints; return 0, or rabbitmqctl's exit status with
    one line on standard error."""
    import shlex  # noqa: PLC0415 - only this command needs it

    try:
        sys.stdout.write(command(arguments.url, shlex.join(arguments.command)))
    except RemoteError as error:
        sys.stderr.write(f"mockbroker ctl: {error}\n")
        return error.exit_status
    return 0


def command(url: str, line: str) -> str:
    """Run a command on the broker with this management URL; return its text.

    A name and password in the URL are used; without, guest is.

    Raises RemoteError when it is refused, when nobody answers, and for a URL that is none.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise RemoteError(f"{url!r} is no management URL: it must begin with http:// and name a host", USAGE)
    login = f"{unquote(parts.username or 'guest')}:{unquote(parts.password or 'guest')}"
    headers = {"authorization": "Basic " + base64.b64encode(login.encode()).decode()}
    connection = http.client.HTTPConnection(parts.hostname, parts.port or 15672, timeout=_TIMEOUT_S)
    try:
        connection.request("POST", "/api/mockbroker/ctl", json.dumps({"command": line}), headers)
        response = connection.getresponse()
        answer: Any = json.loads(response.read() or b"{}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise RemoteError(f"cannot ask {parts.hostname}:{parts.port or 15672}: {error}") from None
    finally:
        connection.close()
    if response.status != 200:
        reason = " ".join(str(answer.get("reason", answer)).split())
        raise RemoteError(reason, answer.get("exit_status", UNAVAILABLE))
    return str(answer["output"])
