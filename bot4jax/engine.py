"""The engine: ticks to bars, bars to features, features to decisions.

    absorb(bars, ticks)              → bars             as ticks arrive
    reopen(bars, slots)          → bars             where they came out of order
    close(bars)                      → bars, bar        the watermark passed a boundary
    glance(units, state, bar)        → state, seen      what the fallback reads of it
    observe(units, state, bar)       → state, seen      bank, scores, volatility
    conclude(params, state, …, held) → state, decided   nets, trees, vote, sizing

`conclude` is one executable, the forest in it. With XGBoost's own predictor (`asking`)
it is two, `foresee` and `decide`, and the forest is asked while the first runs.

The same compiled functions make training data, backtest, trade on paper and trade
live. `observe` stands alone because training needs features before there are nets;
fusing it with `conclude` saves one dispatch and costs that equality.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from bot4jax.decisions import pack_decisions
from bot4jax.kernels import (
    bank,
    bars,
    clean,
    history,
    outcome,
    quoteless,
    regime,
    sizing,
    vote,
)
from bot4jax.kernels import rebase as rebases
from bot4jax.kernels.absorb import absorb
from bot4jax.kernels.bars import OpenBars
from bot4jax.kernels.calibration import straighten_by, temper
from bot4jax.kernels.outcome import Moments
from bot4jax.kernels.sizing import Risk
from bot4jax.kernels.vote import VoteState
from bot4jax.nets import zoo
from bot4jax.nets.fallback import fallback
from bot4jax.nets.kept import kept_for_nets
from bot4jax.numerics import safe_divide
from bot4jax.state import (
    Deciding,
    Observing,
    Params,
    Rules,
    Seen,
    Settings,
    Units,
    apart,
    rebase,
    rebase_glancing,
)
from bot4jax.trees import forest
from bot4jax.types import CLASSES, Bar, Decisions

Margins = Callable[[Array], Array | np.ndarray]
"""A forest's log odds of feature scores `[S, F]`, asked beside the nets: `[S, C]`."""


class Engine(NamedTuple):
    """The compiled functions; every state argument is donated."""

    absorb: Callable[..., OpenBars]
    reopen: Callable[..., OpenBars]
    """open bars of some symbols, whose ticks are absorbed again in another order"""
    close: Callable[..., tuple[OpenBars, Array, Array]]
    glance: Callable[..., tuple[Observing, Seen]]
    """what the fallback reads, which waits for no other feature"""
    observe: Callable[..., tuple[Observing, Seen]]
    conclude: Callable[..., tuple[Deciding, Array]]
    foresee: Callable[..., tuple[zoo.NetCarry, Array]]
    """the nets of `conclude`"""
    decide: Callable[..., tuple[Deciding, Array]]
    """the rest of it, given what nets and trees say"""
    rebase: Callable[..., tuple[Units, Observing, Deciding]]
    """what is remembered, in the terms of a split"""
    rebase_glancing: Callable[..., tuple[Units, Observing]]
    """the same of what `glance` remembers"""
    rebase_bars: Callable[..., OpenBars]
    apart: Callable[..., Observing]
    """what `glance` remembers, out of what `observe` does"""
    fall_back: Callable[..., Array]
    """what is decided of a glance where `observe` or `conclude` takes too long"""


@kept_for_nets(8)
def compile_engine(settings: Settings) -> Engine:
    """The engine's functions, compiled when first called and never again.

    Whoever asks with equal settings and nets in the same process has the same ones: a
    run and the backtest after it, each fold of one, both passes of a certificate.
    """
    return Engine(
        absorb=jax.jit(absorb, donate_argnums=0),
        reopen=jax.jit(bars.reopen, donate_argnums=0),
        # What stood at the opening is not read: written over, it needs no new memory.
        close=jax.jit(bars.close_bars, donate_argnums=0, keep_unused=True),
        glance=jax.jit(partial(glance, settings), donate_argnums=1),
        observe=jax.jit(partial(observe, settings), donate_argnums=1),
        conclude=jax.jit(partial(conclude, settings), donate_argnums=1),
        foresee=jax.jit(partial(zoo.step, settings.sizes), donate_argnums=1),
        decide=jax.jit(partial(decide, settings), donate_argnums=1),
        rebase=jax.jit(rebase, donate_argnums=(1, 2)),
        rebase_glancing=jax.jit(rebase_glancing, donate_argnums=1),
        rebase_bars=jax.jit(rebases.rebase_bars, donate_argnums=0),
        apart=jax.jit(partial(apart, settings)),
        fall_back=jax.jit(partial(fall_back, settings)),
    )


def asking(engine: Engine, margins: Margins) -> Engine:
    """The engine whose forest is asked by itself, beside the nets.

    Only scores go out and log odds come in; on a CPU the way out is a view. No call
    donates the scores, so that they may be read while the nets run.
    """

    def conclude(
        params: Params, state: Deciding, seen: Seen, ints: Array, floats: Array, held
    ) -> tuple[Deciding, Array]:
        carry, by_nets = engine.foresee(params.nets, state.carry, seen.values)
        by_trees = jax.device_put(margins(seen.values))
        remembered = state._replace(carry=carry)
        return engine.decide(
            params, remembered, by_nets, by_trees, seen, ints, floats, held
        )

    return engine._replace(conclude=conclude)


def glance(
    settings: Settings,
    units: Units,
    state: Observing,
    ints: Int[Array, "B S"],
    floats: Float[Array, "D S"],
) -> tuple[Observing, Seen]:
    """A closed bar into the scores that the fallback reads, and risk."""
    scaler = jax.tree.map(lambda column: column[settings.reads], units.scaler)
    return observe(
        replace(settings, plan=settings.glancing),
        units._replace(scaler=scaler),
        *(state, ints, floats),
    )


def observe(
    settings: Settings,
    units: Units,
    state: Observing,
    ints: Int[Array, "B S"],
    floats: Float[Array, "D S"],
) -> tuple[Observing, Seen]:
    """A closed bar into feature scores and risk."""
    bar = bars.unpack_bar(ints, floats)
    columns = history.bar_columns(bar, state.bank.past, units.scales, ranks=())
    banked, raw = bank.update(settings.plan, units.scales, state.bank, bar)
    scored = clean.clean(units.scaler, raw, bar.live, units.clip)
    moments = outcome.push_moments(state.moments, columns)
    counts = state.counts + jnp.stack([scored.masked, scored.clamped])
    is_silent = banked.past.silent > history.STALE_BARS
    seen = Seen(
        values=scored.values,
        usable=scored.usable,
        risk=_risk(moments),
        half_spread=_half_spread(settings, bar, columns),
    )
    silent = state.silent + is_silent.astype(jnp.int32)
    return Observing(banked, moments, counts, silent), seen


def conclude(
    settings: Settings,
    params: Params,
    state: Deciding,
    seen: Seen,
    ints: Int[Array, "B S"],
    floats: Float[Array, "D S"],
    held: Float[Array, " S"],
) -> tuple[Deciding, Float[Array, " P"]]:
    """Feature scores into decisions, packed; see `decisions.py`."""
    carry, by_nets = zoo.step(settings.sizes, params.nets, state.carry, seen.values)
    by_trees = forest.margins(params.forest, seen.values)
    remembered = state._replace(carry=carry)
    return decide(
        settings, params, remembered, by_nets, by_trees, seen, ints, floats, held
    )


def decide(
    settings: Settings,
    params: Params,
    state: Deciding,
    by_nets: Float[Array, "N S C"],
    by_trees: Float[Array, "S C"],
    seen: Seen,
    ints: Int[Array, "B S"],
    floats: Float[Array, "D S"],
    held: Float[Array, " S"],
) -> tuple[Deciding, Float[Array, " P"]]:
    """The nets' log probabilities and the forest's log odds into decisions."""
    bar = bars.unpack_bar(ints, floats)
    horizon = settings.layout.horizon
    learnt = outcome.mature(state.pending, bar, params.threshold, settings.has_barriers)
    weighing = vote.learn(params.vote, state.vote, learnt, horizon)
    within = regime.by_volatility(params.regime_edges, seen.risk.volatility)
    forecasts = calibrated(settings, params, by_nets, by_trees, within)
    said = fallback(params.fallback, seen.values[:, settings.reads])
    decisions, voted = _decide(
        settings, params.rules, weighing, forecasts, said, seen, bar, held
    )
    remembered = jnp.concatenate([forecasts, jnp.log(decisions.probability)[None]], 0)
    pending = outcome.push_pending(state.pending, remembered, seen.risk.volatility, bar)
    packed = pack_decisions(decisions, voted)
    return Deciding(state.carry, weighing, pending), packed


def fall_back(
    settings: Settings,
    rules: Rules,
    seen: Seen,
    ints: Int[Array, "B S"],
    floats: Float[Array, "D S"],
    held: Float[Array, " S"],
) -> Float[Array, " P"]:
    """Decisions without any member, packed: the fallback's, and nothing is opened.

    `seen` is what `glance` saw.
    """
    bar, members = bars.unpack_bar(ints, floats), len(settings.members)
    silent = jnp.full((members, bar.live.shape[0], len(CLASSES)), jnp.nan)
    nobody, said = vote.init_vote(members), fallback(rules.fallback, seen.values)
    decisions, voted = _decide(settings, rules, nobody, silent, said, seen, bar, held)
    each = jnp.broadcast_to(voted.probability, silent.shape)
    late = decisions._replace(
        member_probability=each, flags=decisions.flags | sizing.Clamp.TOO_SLOW
    )
    return pack_decisions(late, voted)


def calibrated(
    settings: Settings,
    params: Params,
    by_nets: Float[Array, "N S C"],
    by_trees: Float[Array, "S C"],
    within: Int[Array, " S"],
) -> Float[Array, "M S C"]:
    """Every member's log probabilities, in the order of `members`, calibrated as in
    the regime that each symbol is within."""
    named = dict(zip(settings.sizes.members, by_nets, strict=True))
    named["trees"] = jax.nn.log_softmax(by_trees, axis=-1)
    raw = jnp.stack([named[name] for name in settings.members])
    tempered = temper(raw, regime.of_regime(params.temperature, within)[..., None])
    if not settings.is_isotonic:
        return tempered
    own = jax.tree.map(lambda column: column[:, :-1], params.curves)
    return jnp.log(straighten_by(own, jnp.exp(tempered), within))


def pooled(
    settings: Settings,
    rules: Rules,
    weight: Float[Array, " M"],
    forecasts: Float[Array, "M S C"],
    by_fallback: Float[Array, "S C"],
    within: Int[Array, " S"],
) -> vote.Vote:
    """The vote of members that have these weights, calibrated as in each regime."""
    (own,) = regime.of_regime(rules.vote_temperature[None], within)
    voted = vote.pool(weight, jnp.exp(forecasts), by_fallback, own[:, None])
    if not settings.is_isotonic:
        return voted
    curves = jax.tree.map(lambda column: column[:, -1:], rules.curves)
    (meant,) = straighten_by(curves, voted.probability[None], within)
    return voted._replace(probability=meant)


def _decide(
    settings: Settings,
    rules: Rules,
    weighing: VoteState,
    forecasts: Float[Array, "M S C"],
    by_fallback: Float[Array, "S C"],
    seen: Seen,
    bar: Bar,
    held: Float[Array, " S"],
) -> tuple[Decisions, vote.Vote]:
    live, horizon = bar.live > 0, settings.layout.horizon
    healthy = vote.is_healthy(forecasts, live)
    weight = vote.weights(rules.vote, weighing, healthy)
    within = regime.by_volatility(rules.regime_edges, seen.risk.volatility)
    voted = pooled(settings, rules, weight, forecasts, by_fallback, within)
    confidence = _confidence(voted)
    is_sure = confidence >= rules.confidence_floor
    target, flags = sizing.targets(
        rules.sizing,
        sizing.forecast(
            rules.sizing, voted.probability, seen.risk.volatility * horizon**0.5
        ),
        seen.risk,
        horizon,
        confidence,
        seen.half_spread,
        held,
        live & is_sure & healthy.any(),
    )
    flags = flags | jnp.where(live, 0, sizing.Clamp.NOT_LIVE)
    flags = flags | jnp.where(healthy.any(), 0, sizing.Clamp.NO_MEMBER)
    decisions = Decisions(
        probability=voted.probability,
        member_probability=jnp.exp(forecasts),
        confidence=confidence,
        disagreement=voted.disagreement,
        regime=jnp.int32(0),
        intent=jnp.where(live, target, held),
        flags=flags.astype(jnp.int32),
    )
    return decisions, voted


def _confidence(voted: vote.Vote) -> Float[Array, " S"]:
    """1 for a certain, unanimous forecast; 0 for an even or a divided one."""
    certain = 1 - vote.entropy(voted.probability) / np.log(3).item()
    return jnp.clip(certain, 0.0, 1.0) * (1 - voted.disagreement)


def _half_spread(
    settings: Settings, bar: Bar, columns: dict[str, Array]
) -> Float[Array, " S"]:
    """As the bar shows it; without quotes what the venue will take for it."""
    if settings.half_spread is None:
        return columns["relative_spread"] / 2
    mid = history.price(bar)
    return safe_divide(quoteless.half_spread(mid, settings.half_spread), mid)


def _risk(moments: Moments) -> Risk:
    """One factor: the mean return of the live symbols."""
    return Risk(
        volatility=outcome.volatility(moments),
        beta=safe_divide(
            moments.covariance,
            jnp.broadcast_to(moments.market_variance, moments.covariance.shape),
        ),
        market_volatility=jnp.sqrt(moments.market_variance),
    )
