"""The device's state on disk, written beside the loop: where a restart wakes it.

Between two arrivals the open bars are copied, since the next ticks change them. All the
rest stays as it is until the next bar closes: a thread copies it, and writes both; a
step waits only for a copy that is not done yet. A snapshot is named for the last step
before it, and the journal says how much had been heard by then. A restart lets the host
hear all of that again, which takes it little, while the device sleeps; the newest whole
snapshot wakes it, and it hears the rest.

Every copy is written where the one before it lay. Memory asked for anew each time, and
given back, is cut up by whatever asks in between, and the process grows.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

import jax
import jax.numpy as jnp

from bot4jax.kernels.bars import OpenBars
from bot4jax.learn import checkpoint
from bot4jax.learn.checkpoint import Identity
from bot4jax.runtime.closings import Tape
from bot4jax.runtime.decider import Memory
from bot4jax.runtime.inputs import MARK
from bot4jax.runtime.lane import Lane
from bot4jax.runtime.loop import Trader
from bot4jax.runtime.publish import Arrival
from bot4jax.state import copied

FOLDER = "snapshots"

LAST_S = 120.0
"""So long the last one may take once the run is over; then it is given up."""

LOG = logging.getLogger(__name__)


class Carried(NamedTuple):
    """All that changes on the device from bar to bar."""

    bars: OpenBars
    memory: Memory


State = TypeVar("State", Carried, OpenBars)


@partial(jax.jit, donate_argnums=1, keep_unused=True)
def copied_over(state: State, before: State) -> State:
    """The same numbers in buffers that no step gives away: those of a copy before."""
    return copied(state)


def copy(state: State, before: State) -> State:
    """The same, once it is there; elsewhere if a failure took the copy before."""
    if any(leaf.is_deleted() for leaf in jax.tree.leaves(before)):
        return first_copy(state)
    return jax.block_until_ready(copied_over(state, before))


def first_copy(state: State) -> State:
    """In buffers of its own; `copied_over` is compiled by it."""
    return copy(state, copied(state))


class EngineSnapshots:
    """One run's; the block of a `with` ends once the last one is written, or stalls."""

    def __init__(
        self, folder: Path, identity: Identity, every: int, tape: Tape, trader: Trader
    ) -> None:
        """`every` so many steps one is taken; 0: never."""
        self._folder, self._identity = folder / FOLDER, identity
        self._every, self._tape, self._trader = every, tape, trader
        self._last = 0
        """step of the newest"""
        self._waking: tuple[int, Carried] | None = None
        """bytes of what came in after which the device hears again, and its state"""
        self._writer = Lane("snapshots")
        self._copied: Future[None] | None = None
        self._written: Future[Path] | None = None
        trader.decider.release = self._release
        if every:
            self._bars = first_copy(tape.open_bars)
            self._whole = first_copy(self._state)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._written is not None:
            wait([self._written], LAST_S)
        if self._is_writing:
            text = "the snapshot of step %d is given up: it took longer than %g s"
            LOG.warning(text, self._last, LAST_S)

    def sleep(self, marks: Sequence[bytes]) -> None:
        """Let the device wait for what came after the newest whole snapshot that is
        older than the last step: that is always heard, for it may be the run's end.

        `marks`: how much had been heard, by step from 1 on.
        """
        newest = checkpoint.newest_intact(self._folder, len(marks) - 1)
        if newest is None:
            return
        like = jax.eval_shape(lambda state: state, self._state)
        found, _ = checkpoint.restore(self._folder, like, self._identity, newest)
        state = jax.tree.map(jnp.array, found)
        self._waking = MARK.unpack(marks[newest - 1])[0], state
        self._last = newest
        self._tape.is_asleep = self._trader.is_asleep = True
        self._trader.recovered = f", the device from its snapshot of step {newest}"

    def wake(self, heard: int | None = None) -> None:
        """Go on from the snapshot if more than it had heard comes; None: it does."""
        if self._waking is None or (heard is not None and heard <= self._waking[0]):
            return
        (_, state), self._waking = self._waking, None
        self._tape.open_bars = state.bars
        self._trader.decider.restore(state.memory)
        self._tape.is_asleep = self._trader.is_asleep = False

    def taken(self, arrivals: Iterable[Arrival]) -> Iterator[Arrival]:
        """The same arrivals; where one has closed a bar, the state may be copied.

        What an arrival brings for the next bar lies before the mark of the step that it
        began; what later ones bring does not, and would be heard twice.
        """
        for one in arrivals:
            before = self._trader.step_number
            yield one
            if self._trader.step_number > before:
                self._take()

    def _take(self) -> None:
        step = self._trader.step_number
        if not self._every or step < self._last + self._every or self._is_writing:
            return
        if self._trader.decider.lag():  # its memory is not of this step yet
            return
        self._last, began_s = step, time.perf_counter()
        try:
            self._bars = copy(self._tape.open_bars, self._bars)
        except jax.errors.JaxRuntimeError as error:
            _tell(error)
            return
        state = self._state._replace(bars=self._bars)
        self._trader.stages.add("snapshot", time.perf_counter() - began_s)
        self._copied = self._writer.submit(self._copy, state)
        self._written = self._writer.submit(self._save, step)

    def _copy(self, state: Carried) -> None:
        self._whole = copy(state, self._whole)

    def _save(self, step: int) -> Path:
        # Of JAX's own arrays Orbax leaves a description in memory, each time anew.
        state = jax.device_get(self._whole)
        return checkpoint.save(self._folder, step, state, self._identity)

    def _release(self) -> None:
        """Let nobody change what is still being copied; its failure is told later."""
        if (copying := self._copied) is not None:
            wait([copying])
            self._copied = None

    @property
    def _is_writing(self) -> bool:
        """Whether the one before is still on its way; one that failed is told of."""
        if self._written is None or not self._written.done():
            return self._written is not None
        if (error := self._written.exception()) is not None:
            _tell(error)
            self._writer = Lane("snapshots")  # after a failure one does nothing more
        self._written = None
        return False

    @property
    def _state(self) -> Carried:
        return Carried(self._tape.open_bars, self._trader.decider.memory)


def _tell(error: BaseException) -> None:
    LOG.warning("no snapshot of the engine: %s", error)
