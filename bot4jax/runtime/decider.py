"""The device's half of a step: what it remembers, and what it decides from a bar.

All that the members are asked of the device, and of XGBoost beside it, is asked by a
thread of its own, in turn. So the host waits for none of it longer than it wants to,
and a bar that was decided without it enters the memory all the same, in its place. The
fallback, which decides then, has a thread and a memory of its own (`fallback.py`). It
looks at a bar first where its step has a deadline; where none can be missed, last.
"""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from bot4jax.decisions import Decided, unmoved, unpack_decisions
from bot4jax.engine import Engine
from bot4jax.errors import Halted
from bot4jax.runtime.closings import Bars, Closed
from bot4jax.runtime.deadline import Voice, is_in_time, is_there
from bot4jax.runtime.fallback import Fallback, Glanced, Held
from bot4jax.runtime.lane import Lane
from bot4jax.state import Deciding, Observing, Params, Seen, Units, copied

HAND_OVER_S = 0.001
"""The device's thread gets the interpreter for so long, to set the device to work: who
keeps it may do so for five times as long."""

LARGEST_LAG = 256
"""Bars that may wait for the device: 40 MiB of them with 1,024 symbols."""

LAST_S = 120.0
"""The device may take so long over all that still wait when no more follow."""


class Stalled(Halted):
    """The device does not come back; journal and venue have nothing to do with it."""


class Remembered(NamedTuple):
    """What features and members carry from bar to bar."""

    units: Units
    """what bars are measured in; a split changes them"""
    observing: Observing
    deciding: Deciding


class Memory(NamedTuple):
    """What the device carries from bar to bar."""

    members: Remembered
    fallback: Glanced


class Looked(NamedTuple):
    """A bar that the device has been shown."""

    seen: Future[Seen]
    """by the members"""
    glanced: Callable[[], Future[Seen]]
    """by the fallback, which is asked by the first call"""


class Shown(NamedTuple):
    """As much of a bar's `Seen` as is told of it, still on the device."""

    values: jax.Array
    """feature scores `[S, F]`"""
    volatility: jax.Array
    """of one bar's log return `[S]`"""


class Decider:
    """Carries the device's memory from one bar to the next."""

    def __init__(
        self, engine: Engine, params: Params, memory: Memory, members: int
    ) -> None:
        self._engine, self._params, self._members = engine, params, members
        self._memory = memory.members
        """the lane's alone"""
        self._lane = Lane("device")
        self._fallback = Fallback(
            engine, params.rules, memory.fallback, lambda: self.release()
        )
        self._late: deque[Future[Any]] = deque()
        """decisions that nobody has waited for"""
        self._due: Callable[[], Future[Seen]] | None = None
        """the fallback's look at the last bar, where nothing could be late"""
        self.patience: Callable[[int], float | None] = lambda step: None
        """seconds that a step's decision may take; None: it is awaited"""
        self.release: Callable[[], None] = lambda: None
        """waits for whoever still reads the memory"""

    @property
    def memory(self) -> Memory:
        """Once the device has heard every bar; the next one takes it away."""
        self._look()
        members = self._lane.submit(lambda: self._memory)
        return Memory(members.result(), self._fallback.memory().result())

    def lag(self) -> int:
        """Bars that were decided before members have concluded, or the fallback has
        looked at, them; raises what has ended the latter.

        A look that could wait is awaited here, as the members' decision was.
        """
        if self._due is not None:
            self._look()
            self._fallback.settle()
        while self._late and self._late[0].done():
            self._late.popleft()
        return max(len(self._late), self._fallback.lag())

    def rehearse(self, bars: Bars) -> None:
        """Compile all that a step may ever ask for: one on a copy of the memory."""
        kept, held = self.memory, np.zeros(bars.ints.shape[1], np.float32)
        self.restore(copied(kept))
        self.follow_up(bars)
        looked = self.observe(bars)
        self._fallback.decide(bars, looked.glanced(), held)
        self._lane.submit(self._conclude, bars, looked.seen, held)
        self.restore(kept)

    def catch_up(self) -> None:
        """Once no bar follows: until the last is concluded, but not for ever."""
        self._look()
        last = self._lane.submit(lambda: jax.block_until_ready(self._memory))
        lasts = last, self._fallback.caught_up()
        if wait(lasts, LAST_S).not_done:
            raise Stalled(
                f"The device has not concluded the last bars within {LAST_S:g} s: "
                "something stalls it. All steps are journaled, and nothing rests at "
                "the venue. Look at the machine, then start the run again."
            )
        for one in lasts:
            one.result()

    def restore(self, memory: Memory) -> None:
        """Go on from what was remembered elsewhere."""
        self._look()
        restored = self._fallback.restore(memory.fallback)
        self._lane.submit(setattr, self, "_memory", memory.members).result()
        restored.result()

    def observe(self, closed: Bars | Closed, step: int | None = None) -> Looked:
        """Have the bar remembered; the device may still be at work.

        `step`: of the decision that is to come, which may have a deadline.
        """
        if self.lag() >= LARGEST_LAG:
            raise Stalled(
                f"The device has not concluded any of the last {LARGEST_LAG} bars, for "
                "the members or for the fallback: something stalls it. Look at the "
                "machine, then go on from the journal."
            )
        glanced = cache(partial(self._fallback.glance, closed))
        has_deadline = step is not None and self.patience(step) is not None
        if has_deadline:
            wait([glanced()], HAND_OVER_S)
        self._due = None if has_deadline else glanced
        seen = self._lane.submit(self._observe, closed)
        wait([seen], HAND_OVER_S)
        return Looked(seen, glanced)

    def shown(self, looked: Looked) -> Future[Shown]:
        """What is told of the bar, and nothing that would keep the rest alive."""
        return self._lane.submit(_shown, looked.seen)

    def decide(
        self, step: int, closed: Closed, looked: Looked, held: Held
    ) -> np.ndarray:
        """The decisions that count, packed. What comes late is never read."""
        patience_s = self.patience(step)
        if patience_s is None:
            return self.repeat(closed, looked, held, Voice.MEMBERS)
        until_s = time.perf_counter() + patience_s
        instead = self._fallback.decide(closed, looked.glanced(), held)
        packed = self._lane.submit(self._conclude, closed, looked.seen, held)
        if is_in_time(packed, until_s):
            return packed.result()
        self._late.append(packed)
        if is_there(instead):
            return np.asarray(instead.result())
        return unmoved(held, self._members)

    def repeat(
        self, closed: Closed, looked: Looked, held: Held, voice: Voice
    ) -> np.ndarray:
        """The decisions of a journaled step once more, by whoever made them then."""
        packed = self._lane.submit(self._conclude, closed, looked.seen, held)
        everybody = packed.result()
        if voice is Voice.MEMBERS:
            return everybody
        if voice is Voice.NOBODY:
            return unmoved(held, self._members)
        instead = self._fallback.decide(closed, looked.glanced(), held)
        return np.asarray(instead.result())

    def follow_up(self, closed: Bars | Closed) -> None:
        """What can wait until the bar is decided and its orders have left.

        The fallback looks at it, where it has not, and the past is remembered in the
        terms of a split.
        """
        self._look()
        if closed.terms is not None:
            self._fallback.rebase(closed)
            self._lane.submit(self._rebase, closed)

    def unpacked(self, raw: np.ndarray, held: Held) -> Decided:
        """The decisions by their names."""
        return unpack_decisions(raw, self._members, len(held))

    def _look(self) -> None:
        """Have the fallback look at the last bar, if it has not."""
        if self._due is not None:
            self._due()

    def _observe(self, closed: Bars | Closed) -> Seen:
        self.release()
        own = self._memory
        observing, seen = self._engine.observe(
            own.units, own.observing, closed.ints, closed.floats
        )
        self._memory = own._replace(observing=observing)
        return seen

    def _conclude(
        self, closed: Bars | Closed, seen: Future[Seen], held: Held
    ) -> np.ndarray:
        """All members' decisions, packed."""
        own = self._memory
        deciding, packed = self._engine.conclude(
            self._params._replace(units=own.units),
            own.deciding,
            seen.result(),
            closed.ints,
            closed.floats,
            jax.device_put(held),
        )
        self._memory = own._replace(deciding=deciding)
        return np.asarray(packed)

    def _rebase(self, closed: Bars | Closed) -> None:
        self._memory = Remembered(*self._engine.rebase(*self._memory, closed.terms))


def _shown(seen: Future[Seen]) -> Shown:
    found = seen.result()
    return Shown(found.values, found.risk.volatility)


def packed_bytes(raw: Float[np.ndarray, " P"]) -> bytes:
    """Decisions as the journal keeps them."""
    return raw.astype("<f4").tobytes()
