"""One clock for all processes of a run, as long as its machine is up.

Delays, ages of ticks and the ends of pauses are differences of times, and a restart
hears of what a former process has stamped. So it counts on from that one's look at the
wall; were the wall clock set in between, all of these would be wrong by as much.

The machine's own clock tells nothing after a boot, nor in another machine: then the
wall is looked at anew.
"""

import logging
from contextlib import suppress
from pathlib import Path

import msgspec

from bot4jax import durable
from bot4jax.runtime.folder import CLOCK
from bot4jax.runtime.steady import steady_clock

BOOT = Path("/proc/sys/kernel/random/boot_id")
TIMES = Path("/proc/self/ns/time")
"""The kernel's name for the clocks that this process sees; containers may differ."""

SET = (
    "The wall clock was set by %+.3f s since this run looked at it first. The run goes "
    "on by its own clock. To begin with the wall's, remove %s while no engine runs."
)
NOTICED_S = 0.5
"""What the clock was set by is told from here on."""

LOG = logging.getLogger(__name__)


class Look(msgspec.Struct, frozen=True):
    """At the wall clock, once in a run."""

    machine: str
    """and since when it is up; empty: nobody can tell"""
    offset_ns: int
    """what the wall clock was ahead of the machine's own"""


def count_on(folder: Path) -> float:
    """Take over the clock of the run in this folder, or leave it one; s that the wall
    clock was set by meanwhile.

    Before anything reads the time in this process.
    """
    own, path = steady_clock(), folder / CLOCK
    here, former = Look(machine(), own.offset_ns), found(path)
    if former is None or not here.machine or former.machine != here.machine:
        durable.write(path, msgspec.json.encode(here) + b"\n")
        return 0.0
    own.offset_ns = former.offset_ns
    set_s = (here.offset_ns - former.offset_ns) / 1e9
    if not abs(set_s) <= NOTICED_S:
        LOG.warning(SET, set_s, path)
    return set_s


def found(path: Path) -> Look | None:
    """A former process's look; None where there is none that can be read."""
    with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return msgspec.json.decode(path.read_bytes(), type=Look)
    return None


def machine() -> str:
    """This machine since it is up, to be known again; empty where that has no name."""
    with suppress(OSError):
        clocks = TIMES.readlink() if TIMES.is_symlink() else ""
        return f"{BOOT.read_text().strip()} {clocks}".strip()
    return ""
