"""Unmodified blocking programs, several at once, in virtual time: see ``docs/simulation.md``.

`Simulation` runs them; `explore` runs them in many orders; `crash_everywhere` ends them at every point.
"""

from mockbroker.sim.crashes import crash_everywhere
from mockbroker.sim.errors import Deadlock, RealBlock, SimulationClosed, SimulationError
from mockbroker.sim.explore import explore, schedules
from mockbroker.sim.runs import Failure, Report
from mockbroker.sim.schedules import Choices
from mockbroker.sim.simulation import Simulation
from mockbroker.sim.task import Task

__all__ = [
    "Choices",
    "Deadlock",
    "Failure",
    "RealBlock",
    "Report",
    "Simulation",
    "SimulationClosed",
    "SimulationError",
    "Task",
    "crash_everywhere",
    "explore",
    "schedules",
]
