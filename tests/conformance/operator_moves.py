"""What an operator does in the middle of a random conversation.

Owns: the choice of policies, users, permissions, limits, alarms and restarts; what an alarm leaves possible.
Refuses to know: who answers, and how a conversation is told; both are the generator's.

Read next: ``generator.py``, ``families.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .families import SHORT_WAIT_S, Arguments, limits_definition, policy_definition
from .transcript import Step

if TYPE_CHECKING:
    from .generator import Generator

RESOURCES = ("memory", "disk")
DISK_S = 3.0
"""Longer than a server needs to have all on disk; what a kill takes before that is chance."""
UP_AGAIN_S = 2.0
"""Longer than replicated queues need to choose a leader, once the server is up."""
MOST_RESTARTS = 2
SHORT_WAIT: Step = {"op": "wait", "seconds": SHORT_WAIT_S}
_NAME_PATTERNS = (
    ".*",
    ".*",
    "^q",
    "^x",
    "^(q1|x1)$",
    "^(q[12]|x|amq)",
    "[^1]$",
    "^amq\\.(default|topic)",
    "",
)
_KEY_PATTERNS = (".*", "^red", "dark", "^(blue|\\*)", "^{username}", "")
_PUBLISHING = "basic.publish"


def policy(generator: Generator) -> Step | None:
    """Set one of two policies, or delete it."""
    if generator.policies and generator.chance(0.35):
        return {"op": "policy.delete", "name": generator.pick(generator.policies)}
    if generator.chance(0.15):
        pattern, scope = "^x", "exchanges"
        definition: Arguments = {"alternate-exchange": generator.pick_exchange_name()}
    else:
        pattern, scope = generator.rng.choice(["^q", "^q1$", ".*"]), "queues"
        definition = policy_definition(generator)
    return _set("policy", generator, pattern, definition, scope)


def operator_policy(generator: Generator) -> Step | None:
    """Set one of two operator policies, or delete it."""
    if generator.operator_policies and generator.chance(0.35):
        return {"op": "operator-policy.delete", "name": generator.pick(generator.operator_policies)}
    definition = limits_definition(generator) or {"max-length": 2}
    return _set(
        "operator-policy", generator, generator.rng.choice(["^q", "^q1$", ".*"]), definition, "queues"
    )


def _set(kind: str, generator: Generator, pattern: str, definition: Arguments, scope: str) -> Step:
    number = generator.rng.randint(1, 2)
    return {
        "op": f"{kind}.set",
        "name": f"p{number}",
        "pattern": pattern,
        "definition": definition,
        "priority": number + generator.rng.choice([0, 2]),  # never the same: which one then wins is chance
        "apply_to": scope,
    }


# Access


def user(generator: Generator) -> Step | None:
    """Make a user who may do everything, make one anew, or delete one."""
    if len(generator.users) == len(generator.user_names) and generator.chance(0.3):
        name = generator.pick(generator.users)
        theirs = [connection for connection, user in generator.logins.items() if user == name]
        return {"op": "user.delete", "name": name} if generator.may_end(theirs) else None
    name = generator.rng.choice(generator.user_names)
    if name in generator.users and generator.chance(0.7):
        return None
    tags = generator.rng.choice(["", "", "administrator", "management", "impersonator"])
    step = {"op": "user.set", "name": name, "password": "secret", "tags": tags}
    if name not in generator.users:
        everything = dict.fromkeys(("configure", "write", "read"), ".*")
        generator.must_follow.append({"op": "permissions.set", "user": name, **everything})
    return step


def permissions(generator: Generator) -> Step | None:
    """Change what a user may do, for names or for routing keys."""
    name = generator.pick(generator.users)
    if name is None:
        return None
    rng = generator.rng
    kind = rng.choices(["all", "none", "keys", "every key"], [12, 1, 5, 1])[0]
    if kind == "none":
        return {"op": "permissions.clear", "user": name}
    if kind == "every key":
        return {"op": "topic-permissions.clear", "user": name}
    if kind == "keys":
        exchange = generator.pick({*generator.exchanges, "amq.topic"})
        patterns = {right: rng.choice(_KEY_PATTERNS) for right in ("write", "read")}
        return {"op": "topic-permissions.set", "user": name, "exchange": exchange, **patterns}
    patterns = {right: rng.choice(_NAME_PATTERNS) for right in ("configure", "write", "read")}
    return {"op": "permissions.set", "user": name, **patterns}


def limit(generator: Generator) -> Step:
    """Limit the queues of the virtual host or the channels of a user, or lift such a limit."""
    rng = generator.rng
    name = generator.pick(generator.users)
    if name is not None and generator.chance(0.4):
        if generator.chance(0.3):
            return {"op": "user-limit.clear", "user": name, "name": "max-channels"}
        return {"op": "user-limit.set", "user": name, "name": "max-channels", "value": rng.randint(0, 3)}
    if generator.chance(0.3):
        return {"op": "vhost-limit.clear", "name": "max-queues"}
    return {"op": "vhost-limit.set", "name": "max-queues", "value": rng.choice([-1, 0, 1, 2, 3])}


# The server


def alarm(generator: Generator) -> Step | None:
    """Let an alarm go off, or end one; those that are on do not stay for long."""
    if generator.alarms and generator.chance(0.6):
        generator.must_follow.append(SHORT_WAIT)  # what was held back begins to live now
        return {"op": "alarm.clear", "resource": generator.pick(generator.alarms)}
    off = set(RESOURCES) - generator.alarms
    return {"op": "alarm.set", "resource": generator.pick(off)} if off else None


def restart(generator: Generator) -> Step | None:
    """Restart the server, or kill it once everything is on disk."""
    if generator.restarts == MOST_RESTARTS:
        return None
    generator.must_follow.append({"op": "wait", "seconds": UP_AGAIN_S})
    is_shared = any(len(set(generator.consumers_of(queue))) > 1 for queue in generator.queues)
    if is_shared or generator.chance(0.5):  # what a kill does to shared quorum queues: docs/differences.md
        return {"op": "restart"}
    generator.must_follow.insert(0, {"op": "kill"})
    return {"op": "wait", "seconds": DISK_S}


def is_possible(generator: Generator, step: Step) -> bool:
    """Whether a step has one outcome while alarms are on.

    Only one channel may publish then: which of several is read first, once the alarms are over, is chance.
    Its connection is not read any more, so it can do nothing that is answered, and it may not go away.
    What it sends is read at one go in the end: whether a return or a refusal overtakes what else the broker
    has to say, or an acknowledgement a publish, is chance as well.
    """
    if not generator.alarms or generator.publisher is None:
        return True
    at = step.get("conn") or step.get("at", "")
    if at == generator.publisher:
        has_reply = "mandatory" in step or "reply_to" in step.get("properties", {})
        return step["op"] == _PUBLISHING and not has_reply
    return at.partition(".")[0] != generator.publisher.partition(".")[0] and step["op"] != _PUBLISHING


def learn(generator: Generator, step: Step) -> None:
    """Take note of what an operator did, and of who publishes during an alarm."""
    match step["op"]:
        case "policy.set":
            generator.policies.add(step["name"])
        case "policy.delete":
            generator.policies.discard(step["name"])
        case "operator-policy.set":
            generator.operator_policies.add(step["name"])
        case "operator-policy.delete":
            generator.operator_policies.discard(step["name"])
        case "user.set":
            generator.users.add(step["name"])
        case "user.delete":
            generator.users.discard(step["name"])
        case "alarm.set":
            generator.alarms.add(step["resource"])
        case "alarm.clear":
            generator.alarms.discard(step["resource"])
            if not generator.alarms:
                generator.publisher = None
        case "restart" | "kill":
            generator.restarts += 1
        case "basic.publish" if generator.alarms:
            generator.publisher = step["at"]


MOVES: dict[str, Callable[[Generator], Step | None]] = {
    "policy": policy,
    "operator policy": operator_policy,
    "user": user,
    "permissions": permissions,
    "limit": limit,
    "alarm": alarm,
    "restart": restart,
}
