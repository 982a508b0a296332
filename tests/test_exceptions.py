"""The exceptions: pika's names, pika's tree, and pika's own classes catch them."""

from __future__ import annotations

import subprocess
import sys

import pika.exceptions
import pytest

from mockbroker import Broker, exceptions

SHARED = [name for name in exceptions.__all__ if hasattr(pika.exceptions, name)]
OF_CLIENTS = [name for name in SHARED if name != "ReentrancyError"]


def test_most_names_are_pikas() -> None:
    own = {"LivelockError", "MockbrokerError", "PolicyError", "ThreadError", "WouldBlockForever"}
    assert set(exceptions.__all__) - set(SHARED) == own


@pytest.mark.parametrize("name", OF_CLIENTS)
def test_the_tree_is_pikas(name: str) -> None:
    ours, theirs = getattr(exceptions, name), getattr(pika.exceptions, name)
    for other in OF_CLIENTS:
        if issubclass(theirs, getattr(pika.exceptions, other)):
            assert issubclass(ours, getattr(exceptions, other))


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ChannelClosedByBroker(404, "NOT_FOUND"),
        exceptions.ConnectionClosedByBroker(320, "CONNECTION_FORCED"),
        exceptions.StreamLostError("gone"),
        exceptions.NackError([]),
        exceptions.UnroutableError([]),
        exceptions.DuplicateConsumerTag("c"),
        exceptions.ReentrancyError("run", "why"),
        exceptions.ProbableAuthenticationError("no"),
    ],
)
def test_pikas_classes_catch_ours(error: Exception) -> None:
    name = type(error).__name__
    with pytest.raises(getattr(pika.exceptions, name)) as info:
        raise error
    assert isinstance(info.value, getattr(exceptions, name))
    assert type(error).__module__.startswith("mockbroker.")


def test_a_program_written_for_pika_catches_what_the_broker_refuses() -> None:
    channel = Broker().connect().channel()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as info:
        channel.queue_declare("absent", passive=True)
    assert info.value.reply_code == 404
    with pytest.raises(pika.exceptions.AMQPError):
        channel.queue_declare("absent")


def test_errors_show_code_and_text_as_pikas_do() -> None:
    for kind in ("ChannelClosedByBroker", "ConnectionClosedByBroker"):
        ours = getattr(exceptions, kind)(406, "PRECONDITION_FAILED - x")
        theirs = getattr(pika.exceptions, kind)(406, "PRECONDITION_FAILED - x")
        assert repr(ours) == repr(theirs)
        assert (ours.reply_code, ours.reply_text, ours.args) == (
            theirs.reply_code,
            theirs.reply_text,
            theirs.args,
        )


def test_pika_is_not_imported_for_it() -> None:
    program = (
        "import sys; from mockbroker import exceptions; "
        "error = exceptions.ChannelClosedByBroker(404, 'x'); "
        "assert type(error) is exceptions.ChannelClosedByBroker; "
        "assert 'pika' not in sys.modules; "
        "import pika.exceptions; "
        "assert isinstance(exceptions.ChannelClosedByBroker(404, 'x'), pika.exceptions.ChannelClosedByBroker)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
