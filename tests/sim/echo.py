"""A served address that needs no broker: it answers in capitals."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Echo:
    """Answers each run of bytes in capitals; `quit` makes it hang up."""

    def __init__(
        self, write: Callable[[bytes], object], hang_up: Callable[[], object], peer: tuple[str, int]
    ) -> None:
        self._write = write
        self._hang_up = hang_up
        self.received: list[bytes] = []

    def receive(self, data: bytes) -> None:
        """Answer."""
        self.received.append(data)
        self._write(data.upper())
        if data == b"quit":
            self._hang_up()

    def eof(self) -> None:
        """Remember that the client is gone."""
        self.received.append(b"<eof>")
