"""rabbitmqctl's listings of what a server is set to, and of queues that do not answer.

Owns: these commands, their banners and columns.
Refuses to know: what there is (``server_settings.py``, ``definitions.py``).
Source: rabbitmqctl of RabbitMQ 3.10.8 and 4.0.5.

Read next: ``ctl_invocation.py``, ``server_settings.py``.
"""

from __future__ import annotations

from operator import itemgetter

from mockbroker.admin import server_settings
from mockbroker.admin.columns import Listing, choose
from mockbroker.admin.ctl_invocation import Command, says
from mockbroker.admin.definitions import parameter_rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mockbroker.admin.ctl_invocation import Invocation, Rows

_NO_TEXTS = dict.fromkeys(("desc", "doc_url"), "the descriptions are RabbitMQ's")
_FLAG = Listing({name: itemgetter(name) for name in ("name", "state", "stability", "provided_by")}, _NO_TEXTS)
_DEPRECATED = Listing(
    {name: itemgetter(name) for name in ("name", "deprecation_phase", "provided_by")}, _NO_TEXTS
)
_UNRESPONSIVE = Listing(
    {
        name: itemgetter(name)
        for name in ("name", "durable", "auto_delete", "arguments", "pid", "recoverable_slaves")
    }
)


def _parameters(invocation: Invocation) -> Rows:
    rows = parameter_rows(invocation.vhost)
    return [{name: row[name] for name in ("component", "name", "value")} for row in rows]


def _feature_flags(invocation: Invocation) -> Rows:
    chosen = choose(_FLAG, invocation.columns or ["name", "state"], invocation.node)
    return [chosen.row(row) for row in server_settings.feature_flags(invocation.node)]


def _deprecated_features(invocation: Invocation) -> Rows:
    chosen = choose(_DEPRECATED, invocation.columns or ["name", "deprecation_phase"], invocation.node)
    rows = sorted(server_settings.deprecated_features(), key=itemgetter("name"))
    return [chosen.row(row) for row in rows]


def _unresponsive_queues(invocation: Invocation) -> Rows:
    """List nothing: every queue answers."""
    choose(_UNRESPONSIVE, invocation.columns, invocation.node)
    return []


COMMANDS = {
    "list_parameters": Command(_parameters, says('Listing runtime parameters for vhost "{vhost}" ...')),
    "list_global_parameters": Command(
        lambda invocation: server_settings.global_parameters(invocation.node),
        says("Listing global runtime parameters ..."),
    ),
    "list_feature_flags": Command(_feature_flags, says("Listing feature flags ..."), most=None),
    "list_deprecated_features": Command(
        _deprecated_features, says("Listing deprecated features ..."), most=None, since=("rabbitmq-4.0",)
    ),
    "list_unresponsive_queues": Command(
        _unresponsive_queues,
        says("Listing unresponsive queues for vhost {vhost} ..."),
        most=None,
        options={"--local": False, "--queue-timeout": True},
        streams=True,
    ),
}
"""Name -> command."""
