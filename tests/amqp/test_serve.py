"""``mockbroker serve`` as a process: its first lines, its end, its complaints."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pika
import pika.exceptions
import pytest

from mockbroker.admin.remote import command

SERVE = [sys.executable, "-m", "mockbroker", "serve", "--port", "0"]


@contextmanager
def serving(*options):
    process = subprocess.Popen([*SERVE, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate(timeout=10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_url_comes_first_and_a_signal_ends_it_politely(number):
    with serving() as (process, url):
        connection = pika.BlockingConnection(pika.URLParameters(url))
        os.kill(process.pid, number)
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as caught:
            connection.process_data_events(10)
        assert caught.value.args[0] == 320
        assert process.wait(10) == 0


def test_definitions_rules_and_a_stop_from_another_terminal(tmp_path):
    file = tmp_path / "definitions.json"
    queue = {"name": "orders", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}
    file.write_text(json.dumps({"queues": [queue]}))
    options = ("--definitions", str(file), "--management-port", "0", "--rules", "rabbitmq-3.10")
    with serving(*options) as (process, url):
        management_url = process.stdout.readline().strip()
        connection = pika.BlockingConnection(pika.URLParameters(url))
        assert connection._impl.server_properties["version"] == "3.10.8"
        connection.close()
        assert command(management_url, "list_queues -q name") == "name\norders\n"
        command(management_url, "stop")
        assert process.wait(10) == 0


def test_plugins_bring_their_exchange_types():
    with (
        serving("--plugins", "rabbitmq_random_exchange,rabbitmq_sharding") as (_, url),
        pika.BlockingConnection(pika.URLParameters(url)) as connection,
    ):
        channel = connection.channel()
        for kind in ("x-random", "x-modulus-hash"):
            channel.exchange_declare(kind, kind)


def test_definitions_that_are_not_emulated_are_named(tmp_path):
    file = tmp_path / "definitions.json"
    shovel = {"component": "shovel", "name": "move", "vhost": "/", "value": {}}
    file.write_text(json.dumps({"parameters": [shovel], "queues": []}))
    with serving("--definitions", str(file)) as (process, _):
        assert process.stderr.readline() == (
            f"mockbroker serve: {file}: passed over: parameter shovel/move\n"
        )


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--plugins", "rabbitmq_nothing"], "there is no plugin 'rabbitmq_nothing': choose from rabbitmq_"),
        (["--port", "1"], "cannot listen on 127.0.0.1:1"),
        (["--host", "0.0.0.0"], "others could reach the broker at '0.0.0.0'"),
        (["--definitions", "nowhere.json"], "cannot read nowhere.json: No such file or directory"),
    ],
)
def test_bad_input_is_one_line_and_status_2(options, complaint, endpoint):
    if "--port" in options:
        options, complaint = ["--port", str(endpoint.port)], f"cannot listen on 127.0.0.1:{endpoint.port}"
    done = subprocess.run([*SERVE, *options], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"mockbroker serve: {complaint}")
    assert done.stderr.count("\n") == 1
