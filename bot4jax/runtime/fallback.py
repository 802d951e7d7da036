"""The fallback's half of a step: its own thread, its own executable, its own memory.

Where a step has a deadline it is asked before all members are. It waits for nothing
that they do.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from bot4jax.engine import Engine
from bot4jax.runtime.closings import Bars, Closed
from bot4jax.runtime.lane import Lane
from bot4jax.state import Observing, Rules, Seen, Units

Held = Float[np.ndarray, " S"]


class Glanced(NamedTuple):
    """What the fallback carries from bar to bar."""

    units: Units
    """what bars are measured in; a split changes them"""
    observing: Observing
    """of the features that it reads"""


class Fallback:
    """Who decides where the members are late."""

    def __init__(
        self,
        engine: Engine,
        rules: Rules,
        memory: Glanced,
        release: Callable[[], None],
    ) -> None:
        """`release` waits for whoever still reads the memory."""
        self._engine, self._rules, self._release = engine, rules, release
        self._memory = memory
        """the lane's alone"""
        self._lane = Lane("fallback")
        self._looks: deque[Future[Seen]] = deque()
        """done once the device is"""

    def lag(self) -> int:
        """Bars that it has still to look at; raises what has ended it."""
        while self._looks and self._looks[0].done():
            self._looks.popleft().result()
        return len(self._looks)

    def settle(self) -> None:
        """Wait until it has looked at every bar that it was given."""
        wait(self._looks)

    def memory(self) -> Future[Glanced]:
        """Once every bar is heard; the next one takes it away."""
        return self._lane.submit(lambda: self._memory)

    def caught_up(self) -> Future[Any]:
        """Once the last bar is looked at."""
        return self._lane.submit(lambda: jax.block_until_ready(self._memory))

    def restore(self, memory: Glanced) -> Future[None]:
        """Go on from what was remembered elsewhere."""
        return self._lane.submit(setattr, self, "_memory", memory)

    def glance(self, closed: Bars | Closed) -> Future[Seen]:
        """Have the bar remembered; the device may still be at work."""
        seen = self._lane.submit(self._glance, closed)
        self._looks.append(self._lane.submit(seen_by_now, seen))
        return seen

    def decide(
        self, closed: Bars | Closed, seen: Future[Seen], held: Held
    ) -> Future[jax.Array]:
        """Its decisions, packed; the device may still be at work."""
        return self._lane.submit(self._decide, closed, seen, held)

    def rebase(self, closed: Bars | Closed) -> None:
        """Remember the past in the terms of a split."""
        self._lane.submit(self._rebase, closed)

    def _glance(self, closed: Bars | Closed) -> Seen:
        self._release()
        own = self._memory
        observing, seen = self._engine.glance(*own, closed.ints, closed.floats)
        self._memory = own._replace(observing=observing)
        return seen

    def _decide(
        self, closed: Bars | Closed, seen: Future[Seen], held: Held
    ) -> jax.Array:
        return self._engine.fall_back(
            self._rules,
            seen.result(),
            closed.ints,
            closed.floats,
            jax.device_put(held),
        )

    def _rebase(self, closed: Bars | Closed) -> None:
        rebased = self._engine.rebase_glancing(*self._memory, closed.terms)
        self._memory = Glanced(*rebased)


def seen_by_now(seen: Future[Seen]) -> Seen:
    """The same, computed."""
    return jax.block_until_ready(seen.result())
