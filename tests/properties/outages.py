"""The model's room of the disk: what a restart and a power cut may take, and what not."""

from __future__ import annotations

from mockbroker import events

from .departures import Departures
from .kept_letters import KeptLetters


class Outages(Departures, KeptLetters):
    """Follows the broker down and up again."""

    def on_Synced(self, event: events.Synced) -> None:
        self.settle_synced_letters()
        for queue in self.queues.values():
            alive = [*queue.ready.values(), *queue.unacked.values()]
            for copy in alive:
                copy.is_synced = True
            queue.on_disk = {copy.position: copy for copy in alive if copy.persistent}

    def on_Stopped(self, event: events.Stopped) -> None:
        self.is_power_cut = event.power_cut
        if not event.power_cut:
            return
        for (channel, tag), holding in self.held.items():
            queue, copy = holding.queue, holding.copy
            if queue.type == "classic":
                copy.is_returned = True
            elif queue.type == "quorum":
                self.close_run(queue)
                del queue.unacked[channel, tag]
                consumer = holding.consumer.tag if holding.consumer else f"fetch {tag}"
                self.come_back(queue, copy, queue.next_turn + 1, (consumer, tag), lost=True)
        self.held.clear()
        self.connections.clear()
        for channel in list(self.channels):
            self.forget_channel(channel)
        for queue in self.queues.values():
            queue.take_turn()
            queue.consumers.clear()
            queue.active = None
            if queue.type == "stream":
                queue.unacked.clear()

    def on_Recovered(self, event: events.Recovered) -> None:
        self.is_recovering = True
        queue = self.queues[event.queue]
        alive = [*queue.ready.values(), *queue.unacked.values()]
        kept = {copy.position: copy for copy in alive if copy.persistent}
        if self.is_power_cut:
            for position, copy in kept.items():
                assert position in event.positions or not copy.is_confirmed, (
                    f"{copy} was confirmed, and is lost"
                )
            kept = queue.on_disk
            for copy in kept.values():
                copy.is_returned = True
        assert list(event.positions) == sorted(kept), f"{event} does not hold what the disk held"
        queue.ready, queue.unacked = dict(kept), {}
        queue.on_disk = dict(kept)

    def on_Started(self, event: events.Started) -> None:
        self.is_recovering = False
        self.started_ns = event.time_ns
        self.forget_tries()
        for queue in self.queues.values():
            assert queue.durable, f"{queue.name} is not durable, and is still there"
            if queue.type == "classic":
                queue.used_ns = event.time_ns
