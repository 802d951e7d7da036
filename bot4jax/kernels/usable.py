"""Which values mean something: present, warm, heard, within range, of numbers alone.

Masks are applied here, once, to all features; no kernel repeats them.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from bot4jax.kernels import history, reading
from bot4jax.kernels.past import Past
from bot4jax.kernels.planning import Plan
from bot4jax.types import Bar


class RawFeatures(NamedTuple):
    """The catalogue's values as defined, and which of them mean something."""

    values: Float[Array, "S F"]
    usable: Bool[Array, "S F"]


def count_sound(
    plan: Plan, sound: Int[Array, "C S"], columns: dict[str, Array]
) -> Int[Array, "C S"]:
    """Bars since a column was no number: as long is masked what reads it.

    A feature may make a number of what is none: a comparison with NaN is false, and a
    variance that is none counts as flat.
    """
    if not (names := plan.watched):
        return sound
    is_number = jnp.isfinite(jnp.stack([columns[name] for name in names]))
    return jnp.where(is_number, sound + 1, 0)


def count_whole(whole: Int[Array, "2 S"], bar: Bar) -> Int[Array, "2 S"]:
    """Bars since one whose quotes, and one whose trades, are not all known.

    A bar that was conflated lacks quotes; one that was masked as well, trades.
    """
    lacks_quotes = bar.conflated > 0
    lacks_trades = lacks_quotes & (bar.live <= 0)
    return jnp.where(jnp.stack([lacks_quotes, lacks_trades]), 0, whole + 1)


def gather(
    plan: Plan,
    named: dict[str, Array],
    past: Past,
    sound: Int[Array, "C S"],
    whole: Int[Array, "2 S"],
) -> RawFeatures:
    """All features in the catalogue's order; absent ones are zero and unusable."""
    zero, window = jnp.zeros(plan.layout.symbols, jnp.float32), plan.layout.window
    if not plan.specs:
        nothing = jnp.zeros((len(zero), 0))
        return RawFeatures(nothing, nothing > 0)
    values = jnp.stack([named.get(spec.name, zero) for spec in plan.specs]).T
    needed = jnp.array([spec.reach(window) for spec in plan.specs], jnp.int32)
    low = jnp.array([spec.low for spec in plan.specs], jnp.float32)
    high = jnp.array([spec.high for spec in plan.specs], jnp.float32)
    is_present = jnp.array([spec in plan.present for spec in plan.specs])
    known = _known_whole(plan, _known(plan, past.age, sound), whole)
    warm = known >= needed[None]
    heard = (past.silent <= history.STALE_BARS)[:, None]
    valid = (values >= low[None]) & (values <= high[None]) & jnp.isfinite(values)
    return RawFeatures(values, is_present[None] & warm & heard & valid)


def _known(
    plan: Plan, age: Int[Array, " S"], sound: Int[Array, "C S"]
) -> Int[Array, "S F"]:
    """Bars since a symbol began, and since all that a feature reads were numbers."""
    since = dict(zip(plan.watched, sound, strict=True))
    read = [reading.columns(spec) for spec in plan.specs]
    groups = list(dict.fromkeys(read))

    def least(names: frozenset[str]) -> Int[Array, " S"]:
        watched = [since[name] for name in sorted(names) if name in since]
        return jnp.stack([age, *watched]).min(0)

    known = jnp.stack([least(names) for names in groups])
    return known[jnp.array([groups.index(names) for names in read])].T


def _known_whole(
    plan: Plan, known: Int[Array, "S F"], whole: Int[Array, "2 S"]
) -> Int[Array, "S F"]:
    """The same, and since no quote and no trade that a feature reads was unseen."""
    needs = reading.needs_quotes, reading.needs_trades
    for since, is_needed in zip(whole, needs, strict=True):
        concerned = jnp.array([is_needed(spec) for spec in plan.specs])[None]
        known = jnp.where(concerned, jnp.minimum(known, since[:, None]), known)
    return known
