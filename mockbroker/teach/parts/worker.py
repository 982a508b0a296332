"""The tutorial's programs: a worker whose tasks take a second for each dot, and a producer of tasks.

Owns: what a worker is busy with, and what it has done.
Refuses to know: how the broker chooses a worker. All that a worker sees is its callback.

Read next: ``round_robin.py``, ``fair_dispatch.py``.
"""

from __future__ import annotations

from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from mockbroker import Broker
    from mockbroker.channel import Channel
    from mockbroker.message import BasicProperties, Delivery
    from mockbroker.teach.consoles import Console


def as_text(body: bytes) -> str:
    """Return a task's text; bytes that are no UTF-8 are shown as they were typed."""
    return body.decode("utf-8", "surrogateescape")


def as_body(task: str) -> bytes:
    """Return a task's message body."""
    return task.encode("utf-8", "surrogateescape")


def duration_s(body: bytes) -> int:
    """Return how long a task takes: a second for each dot."""
    return body.count(b".")


class Worker:
    """A consumer of `queue`, printing on `console`.

    `prefetch` None means automatic acknowledgement; a number means manual acknowledgement with that window
    (0: none). `one_at_a_time` is the worker that blocks while it works: what arrives meanwhile waits in its
    own buffer. Otherwise a task only starts a timer, and several may be running. `forgetful` is the one that
    never acknowledges.
    """

    def __init__(
        self,
        broker: Broker,
        console: Console,
        queue: str,
        *,
        prefetch: int | None,
        one_at_a_time: bool = False,
        forgetful: bool = False,
    ) -> None:
        self._clock = broker.clock
        self._console = console
        self._acknowledges = prefetch is not None and not forgetful
        self._one_at_a_time = one_at_a_time
        self._busy = False
        self._buffer: deque[tuple[int, bool, bytes]] = deque()
        self.done_count = 0
        self.busy_s = 0
        self.finished_ns = 0
        self.connection = broker.connect()
        self.channel = self.connection.channel()
        if prefetch:
            self.channel.basic_qos(prefetch_count=prefetch)
        self.consumer_tag = self.channel.basic_consume(queue, self._receive, auto_ack=prefetch is None)

    def _receive(self, channel: Channel, method: Delivery, properties: BasicProperties, body: bytes) -> None:
        if self._one_at_a_time and self._busy:
            self._buffer.append((method.delivery_tag, method.redelivered, body))
        else:
            self._start(method.delivery_tag, method.redelivered, body)

    def _start(self, delivery_tag: int, redelivered: bool, body: bytes) -> None:
        self._busy = True
        self._console.print(f"Received {as_text(body)}" + (" (redelivered)" if redelivered else ""))
        self.connection.call_later(duration_s(body), self._finish, delivery_tag, body)

    def _finish(self, delivery_tag: int, body: bytes) -> None:
        self._console.print(f"{as_text(body)} Done")
        self.done_count += 1
        self.busy_s += duration_s(body)
        self.finished_ns = self._clock.now_ns
        if self._acknowledges:
            self.channel.basic_ack(delivery_tag)
        self._busy = False
        if self._buffer:
            self._start(*self._buffer.popleft())

    def die(self) -> None:
        """Die as a killed process does: the connection is gone, and so is every task that was running."""
        self._console.print("killed")
        self.connection.drop()


def produce(
    broker: Broker,
    console: Console,
    queue: str,
    tasks: Sequence[str],
    *,
    interval_s: float,
    properties: BasicProperties | None = None,
) -> None:
    """Have a producer publish the tasks, the first now and the others `interval_s` apart."""
    connection = broker.connect()
    channel = connection.channel()

    def publish(task: str) -> None:
        console.print(f"Sent {task}")
        channel.basic_publish("", queue, as_body(task), properties)

    for number, task in enumerate(tasks):
        connection.call_later(number * interval_s, publish, task)
