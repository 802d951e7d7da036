"""The device's half of a step: what it remembers, and what it decides from a bar.

The fallback's decision begins first, where there is a deadline. All members' counts if
it comes in time; the members' memory goes on from the bar either way.
"""

import time
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Float

from bot4jax.decisions import Decided, unpack_decisions
from bot4jax.engine import Deciding, Engine, Observing, Params, Seen, Units
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.deadline import is_in_time

Held = Float[np.ndarray, " S"]


class Decider:
    """Carries the device's state from one bar to the next."""

    def __init__(
        self,
        engine: Engine,
        params: Params,
        observing: Observing,
        deciding: Deciding,
        members: int,
    ) -> None:
        self._engine, self._params, self._members = engine, params, members
        self.observing, self.deciding = observing, deciding
        self.patience: Callable[[int], float | None] = _awaited
        """seconds that a step's decision may take, then the fallback's counts; None:
        it is awaited"""

    @property
    def units(self) -> Units:
        """What bars are measured in; a split changes them."""
        return self._params.units

    def restore(self, units: Units, observing: Observing, deciding: Deciding) -> None:
        """Go on from what was remembered elsewhere."""
        self._params = self._params._replace(units=units)
        self.observing, self.deciding = observing, deciding

    def observe(self, closed: Closed) -> Seen:
        """Remember the bar; the device may still be at work."""
        units = self._params.units
        self.observing, seen = self._engine.observe(
            units, self.observing, closed.ints, closed.floats
        )
        return seen

    def decide(self, step: int, closed: Closed, seen: Seen, held: Held) -> np.ndarray:
        """The decisions that count, packed. What comes late is never read."""
        patience_s = self.patience(step)
        if patience_s is None:
            return np.asarray(self._conclude(closed, seen, held))
        until_s = time.perf_counter() + patience_s
        spare = self._spare(closed, seen, held)
        packed = self._conclude(closed, seen, held)
        return np.asarray(packed if is_in_time(packed, until_s) else spare)

    def repeat(
        self, closed: Closed, seen: Seen, held: Held, known: bytes
    ) -> np.ndarray | None:
        """The decisions that a journal knows, once more; None if they come otherwise.

        They were the fallback's where all members' were late.
        """
        raw = np.asarray(self._conclude(closed, seen, held))
        if packed_bytes(raw) != known:
            raw = np.asarray(self._spare(closed, seen, held))
        return raw if packed_bytes(raw) == known else None

    def rebase(self, closed: Closed) -> None:
        """Remember the past in the terms of a split, once its last bar is decided."""
        if closed.terms is None:
            return
        units, self.observing, self.deciding = self._engine.rebase(
            self._params.units, self.observing, self.deciding, closed.terms
        )
        self._params = self._params._replace(units=units)

    def unpacked(self, raw: np.ndarray, held: Held) -> Decided:
        """The decisions by their names."""
        return unpack_decisions(raw, self._members, len(held))

    def _conclude(self, closed: Closed, seen: Seen, held: Held) -> jax.Array:
        """All members' decisions, packed; the device may still be at work."""
        self.deciding, packed = self._engine.conclude(
            self._params,
            self.deciding,
            seen,
            closed.ints,
            closed.floats,
            jax.device_put(held),
        )
        return packed

    def _spare(self, closed: Closed, seen: Seen, held: Held) -> jax.Array:
        """The fallback's decisions, packed."""
        return self._engine.spare(
            self._params, seen, closed.ints, closed.floats, jax.device_put(held)
        )


def _awaited(step: int) -> None:
    """However long it takes."""


def packed_bytes(raw: Float[np.ndarray, " P"]) -> bytes:
    """Decisions as the journal keeps them."""
    return raw.astype("<f4").tobytes()
