"""Our compiled step on random bars: `observe` and `conclude`, as a run calls them.

The stage is that of `bench=step`. Bars are random ones in which every symbol trades, of
which libraries read the same windows; the scaler is fitted on the last of them.
"""

from itertools import cycle
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from benchmarks import bars
from benchmarks.stage import Alone, Stage
from bot4jax.decisions import unpack_decisions
from bot4jax.engine import Engine
from bot4jax.kernels import clean
from bot4jax.kernels.usable import RawFeatures
from bot4jax.learn.dataset import BarRecord
from bot4jax.nets import zoo
from bot4jax.runtime.progress import Report
from bot4jax.state import Params, Seen, init_deciding, init_observing
from bot4jax.trees.forest import Forest


class Met(NamedTuple):
    """What the bank has seen in the last bar of the record."""

    values: Float[np.ndarray, "S F"]
    usable: Bool[np.ndarray, "S F"]
    scores: Float[np.ndarray, "S F"]


class OwnStep:
    """The engine's functions with their states, called bar after bar."""

    def __init__(
        self, stage: Stage, record: BarRecord, forest: Forest | None, report: Report
    ) -> None:
        self.settings, self.engine = stage.setting.settings, stage.setting.engine
        self.alone: Alone = stage.alone
        symbols = self.settings.layout.symbols
        self.given = [
            jax.device_put(bar) for bar in zip(record.ints, record.floats, strict=True)
        ]
        self.bars = cycle(self.given)
        self.held = jax.device_put(np.zeros(symbols, np.float32))
        self.params, self.met = self._met(stage.kept.params, forest, report)
        self.carry = zoo.init_carry(self.settings.sizes, symbols)
        self.seen = self._seen(self.met.scores)
        self.begin()

    def begin(self) -> None:
        """The members remember nothing of anyone."""
        self.deciding = init_deciding(self.settings)

    def whole(self) -> np.ndarray:
        """From a closed bar on the device to decisions on the host."""
        bar = next(self.bars)
        self.observing, seen = _observe(self.engine, self.params, self.observing, bar)
        self.deciding, packed = self.engine.conclude(
            self.params, self.deciding, seen, *bar, self.held
        )
        return np.asarray(packed)

    def features(self) -> Seen:
        """Features, their scores, and what risk is measured by."""
        self.observing, seen = _observe(
            self.engine, self.params, self.observing, next(self.bars)
        )
        return seen

    def nets(self) -> Array:
        """The nets by themselves."""
        self.carry, said = self.alone.nets(
            self.params.nets, self.carry, self.seen.values
        )
        return said

    def forest(self) -> Array:
        """The forest by itself."""
        return self.alone.forest(self.params.forest, self.seen.values)

    def said(self, scores: Float[np.ndarray, "S F"]) -> dict[str, np.ndarray]:
        """Every member's probabilities `[S, C]` of a bar that was scored so."""
        self.deciding, packed = self.engine.conclude(
            *(self.params, self.deciding, self._seen(scores)),
            *(*self.given[-1], self.held),
        )
        members = self.settings.members
        found = unpack_decisions(np.asarray(packed), len(members), len(scores))
        return dict(zip(members, found.member_probability, strict=True))

    def _met(
        self, params: Params, forest: Forest | None, report: Report
    ) -> tuple[Params, Met]:
        """The bank walks through the record; values are scores of a blank scaler."""
        features = len(self.settings.plan.specs)
        scales = bars.unit_scales(self.settings.layout.symbols)
        units = params.units._replace(scales=scales)
        bare = units._replace(
            scaler=clean.init_scaler(features), clip=jnp.float32(jnp.inf)
        )
        self.observing = init_observing(self.settings, scales)
        for done, bar in enumerate(self.given, 1):
            self.observing, self.seen = self.engine.observe(bare, self.observing, *bar)
            report("bars of the record", done, len(self.given))
        raw = RawFeatures(self.seen.values, self.seen.usable)
        scaler = clean.fit_scaler(np.asarray(raw.values), np.asarray(raw.usable))
        live = jnp.ones(len(raw.values), jnp.int32)
        scored = jax.jit(clean.clean)(scaler, raw, live, units.clip)
        met = Met(*map(np.array, (raw.values, raw.usable, scored.values)))
        params = params._replace(units=units._replace(scaler=scaler))
        if forest is not None:
            params = params._replace(forest=forest)
        return params, met

    def _seen(self, scores: Float[np.ndarray, "S F"]) -> Seen:
        return self.seen._replace(values=jnp.asarray(scores))


def _observe(engine: Engine, params: Params, state: Any, bar: tuple) -> tuple:
    return engine.observe(params.units, state, *bar)
