"""What can go wrong with a simulation itself, as opposed to the programs in it.

::

    SimulationError
    ├── Deadlock             nobody can ever run again
    ├── RealBlock            a thread blocks for real and keeps the baton
    └── SimulationClosed     the simulation is over
    TaskEnd (BaseException)  unwinds a thread whose process is dead; programs never see it while the
    simulation runs
"""

from __future__ import annotations


class SimulationError(Exception):
    """The simulation cannot go on, or was asked for what it cannot do."""


class Deadlock(SimulationError):
    """Tasks wait for something that neither a message nor the passing of time can bring.

    `str()` lists what each task waits for and what the broker holds for it.
    """


class RealBlock(SimulationError):
    """A simulated thread blocks for real, outside of the simulation's control, so nobody can run."""


class SimulationClosed(SimulationError):
    """The simulation is closed; nothing can be run in it any more."""


class TaskEnd(BaseException):
    """Unwinds the stack of a thread whose process has died."""
