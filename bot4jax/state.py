"""What a step is given and what it carries: three kinds of data, three types.

`Settings` are static, and a change compiles anew. `Params` are what learning and
configuration decide; a change does not. `State` is carried from bar to bar, donated,
and all that a restart needs beside the params.
"""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from bot4jax.kernels import bank, bars, outcome, planning, vote
from bot4jax.kernels import rebase as rebases
from bot4jax.kernels.bank import BankState
from bot4jax.kernels.bars import OpenBars
from bot4jax.kernels.calibration import Curves
from bot4jax.kernels.clean import Scaler
from bot4jax.kernels.history import Scales
from bot4jax.kernels.outcome import Moments, Pending
from bot4jax.kernels.planning import Plan
from bot4jax.kernels.rebase import Terms
from bot4jax.kernels.sizing import Risk, SizingParams
from bot4jax.kernels.vote import VoteParams, VoteState
from bot4jax.nets import zoo
from bot4jax.nets.fallback import FallbackParams
from bot4jax.trees.forest import Forest
from bot4jax.types import Layout

Tree = TypeVar("Tree")


@dataclass(frozen=True)
class Settings:
    """Static: what is compiled into the step."""

    plan: Plan
    sizes: zoo.NetSizes
    members: tuple[str, ...]
    has_barriers: bool = False
    """labels end at the first close beyond their edge, not only with the horizon"""
    is_isotonic: bool = False
    """forecasts go through `Params.curves`, and the vote's own once more"""
    fallback: tuple[str, ...] = ()
    """features that the fallback reads, as far as they are fed"""
    regimes: int = 1
    """that a calibration tells apart; 1: all times alike"""
    half_spread: float | None = None
    """share of the price from the mid to either quote, where the source shows none;
    None: it shows them"""

    @property
    def layout(self) -> Layout:
        return self.plan.layout

    @cached_property
    def glancing(self) -> Plan:
        """Of the fallback's features alone."""
        return planning.part(self.plan, self.fallback)

    @cached_property
    def reads(self) -> Int[np.ndarray, " K"]:
        """Where they stand among all features."""
        names = [spec.name for spec in self.plan.specs]
        own = [names.index(spec.name) for spec in self.glancing.specs]
        return np.array(own, np.int32)


class Units(NamedTuple):
    """Frozen on the training bars: what features are measured in."""

    scales: Scales
    scaler: Scaler
    clip: Float[Array, ""]
    """robust standard deviations at which feature scores are clamped"""
    latency: Int[Array, ""]
    """FRACTION units from a boundary to the first executable price"""


class Rules(NamedTuple):
    """How forecasts become decisions: as much of `Params` as needs no member."""

    fallback: FallbackParams
    regime_edges: Float[Array, "S E"]
    vote_temperature: Float[Array, " R"]
    curves: Curves
    vote: VoteParams
    sizing: SizingParams
    confidence_floor: Float[Array, ""]


class Params(NamedTuple):
    """What learning and configuration decide; changing them does not recompile."""

    units: Units
    nets: zoo.NetParams
    forest: Forest
    fallback: FallbackParams
    regime_edges: Float[Array, "S E"]
    """volatility of a bar's log return that parts each symbol's `E + 1` regimes"""
    temperature: Float[Array, "M R"]
    vote_temperature: Float[Array, " R"]
    curves: Curves
    """by regime, of every member, then of the vote; read only if `is_isotonic`"""
    threshold: Float[Array, ""]
    """class edge in units of σ √h"""
    vote: VoteParams
    sizing: SizingParams
    confidence_floor: Float[Array, ""]

    @property
    def rules(self) -> Rules:
        return Rules(*(getattr(self, name) for name in Rules._fields))


class Observing(NamedTuple):
    """Carried by `observe`, and, of few features, by `glance`."""

    bank: BankState
    moments: Moments
    counts: Int[Array, "2 F"]
    """symbols masked and clamped so far, for each feature; reported, never read"""
    silent: Int[Array, " S"]
    """bars so far at which a symbol had been silent too long, so that all its features
    were masked; reported, never read"""


class Seen(NamedTuple):
    """What a bar looked like."""

    values: Float[Array, "S F"]
    """feature scores, within ±clip; 0 where unusable"""
    usable: Bool[Array, "S F"]
    risk: Risk
    half_spread: Float[Array, " S"]
    """share of price"""


class Deciding(NamedTuple):
    """Carried by `conclude`."""

    carry: zoo.NetCarry
    vote: VoteState
    pending: Pending


class State(NamedTuple):
    """Everything that a restart needs."""

    bars: OpenBars
    observing: Observing
    deciding: Deciding


def init_state(settings: Settings, units: Units, anchors: Float[Array, " S"]) -> State:
    """The state before the first tick."""
    return State(
        bars.init_bars(anchors),
        init_observing(settings, units.scales),
        init_deciding(settings),
    )


@partial(jax.jit, static_argnums=0)
def init_observing(settings: Settings, scales: Scales) -> Observing:
    """Nothing remembered of any bar, in one program for all arrays."""
    features = len(settings.plan.specs)
    return Observing(
        bank.init(settings.plan),
        outcome.init_moments(scales),
        jnp.zeros((2, features), jnp.int32),
        jnp.zeros(settings.layout.symbols, jnp.int32),
    )


def apart(settings: Settings, state: Observing) -> Observing:
    """What `glance` would remember by now; none of it is shared, so both may go on."""
    own = Observing(
        bank.part(settings.plan, settings.glancing, state.bank),
        state.moments,
        state.counts[:, settings.reads],
        state.silent,
    )
    return copied(own)


def copied(state: Tree) -> Tree:
    """The same in buffers of its own: a step gives away those that it is given."""
    return _copied(state)


@jax.jit
def _copied(state: Tree) -> Tree:
    """One program for all arrays: one for each shape takes a start longer."""
    return jax.tree.map(jnp.copy, state)


def counting_anew(state: Observing) -> Observing:
    """The same memory, of which nothing has been reported yet."""
    return state._replace(
        counts=jnp.zeros_like(state.counts), silent=jnp.zeros_like(state.silent)
    )


def init_deciding(settings: Settings) -> Deciding:
    layout, members = settings.layout, len(settings.members)
    return Deciding(
        zoo.init_carry(settings.sizes, layout.symbols),
        vote.init_vote(members),
        outcome.init_pending(layout.horizon, members + 1, layout.symbols),
    )


def reset_observing(
    settings: Settings, scales: Scales, state: Observing, is_fresh: Bool[Array, " S"]
) -> Observing:
    """Slots that change hands see nothing of their former symbol."""
    return Observing(
        bank.reset(settings.plan, state.bank, is_fresh),
        outcome.reset_moments(state.moments, scales, is_fresh),
        state.counts,
        jnp.where(is_fresh, 0, state.silent),
    )


def reset_deciding(state: Deciding, is_fresh: Bool[Array, " S"]) -> Deciding:
    """Nets and labels forget a slot's former symbol; the members keep their weights."""
    return Deciding(
        zoo.reset(state.carry, is_fresh),
        state.vote,
        outcome.reset_pending(state.pending, is_fresh),
    )


def rebase(
    units: Units, observing: Observing, deciding: Deciding, terms: Terms
) -> tuple[Units, Observing, Deciding]:
    """Units, history and pending labels of symbols whose terms have changed."""
    pending = rebases.rebase_pending(deciding.pending, terms)
    own = rebase_glancing(units, observing, terms)
    return *own, deciding._replace(pending=pending)


def rebase_glancing(
    units: Units, observing: Observing, terms: Terms
) -> tuple[Units, Observing]:
    """Units and history of symbols whose terms have changed."""
    own = observing.bank
    banked = own._replace(
        past=rebases.rebase_past(own.past, terms),
        windows=rebases.rebase_windows(own.windows, terms),
    )
    return (
        units._replace(scales=rebases.rebase_scales(units.scales, terms)),
        observing._replace(bank=banked),
    )
