"""One run in a process of its own: ``python -m benchmarks.single CASE PEER FACTOR`` prints it as JSON."""

from __future__ import annotations

import dataclasses
import gc
import json
import sys

from benchmarks.cases import chosen
from benchmarks.measure import Unsupported
from benchmarks.peers import PEERS, share_of

LIMIT = "L2"


def run(case_name: str, peer_name: str, factor: float) -> dict[str, object]:
    """A result as a dict, or the reason why there is none under ``unsupported``."""
    (case,) = chosen(case_name)
    try:
        if peer_name == LIMIT:
            size = case.scaled(factor)
            gc.collect()
            result = case.limit(size, **case.options)
        else:
            size = case.scaled(factor * share_of(peer_name, case))
            peer = PEERS[peer_name]()
            gc.collect()
            result = case.workload(peer, size, **case.options)
    except (Unsupported, ModuleNotFoundError) as reason:
        return {"unsupported": str(reason)}
    return {"size": size, **dataclasses.asdict(result)}


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], sys.argv[2], float(sys.argv[3]))))
