"""What members lose when they can no longer tell one family of features from chance.

Features of a family say much the same: permuted one by one, each is stood in for by the
others, and none seems to matter. Source: López de Prado (2020), Machine Learning for
Asset Managers, section 6.5, clustered permutation importance; the clusters here are the
catalogue's categories.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from bot4jax import engine
from bot4jax.learn import bootstrap
from bot4jax.learn.bootstrap import Interval
from bot4jax.nets import zoo
from bot4jax.nets.fallback import fallback
from bot4jax.state import Params, Settings
from bot4jax.trees import forest

SYMBOLS = 32
"""Symbols that are asked, spread evenly over the universe: for each family a variant of
them goes through the nets, all at once."""

BARS = 1_000
"""Bars that are asked at most, the last ones: as many variants of all features as there
are families lie in memory at once."""

REPEATS = 2
"""Permutations of each family; their mean is taken."""

ENSEMBLE = "ensemble"


class Asked(NamedTuple):
    """A span that nothing was fitted on, as the engine saw it."""

    features: Float[np.ndarray, "T S F"]
    weight: Float[np.ndarray, "T W"]
    """in the vote: every member, then the fallback"""
    classes: Int[np.ndarray, "T S"]
    weights: Float[np.ndarray, "T S"]
    horizon: int
    regime: Int[np.ndarray, "T S"]

    def of(self, symbols: Int[np.ndarray, " K"]) -> "Asked":
        """The same of some symbols, over the last bars."""
        columns = (self.features, self.classes, self.weights, self.regime)
        features, classes, weights, regime = (
            one[-BARS:][:, symbols] for one in columns
        )
        return self._replace(
            features=features,
            weight=self.weight[-BARS:],
            classes=classes,
            weights=weights,
            regime=regime,
        )


def permutation_importance(
    settings: Settings, params: Params, asked: Asked, seed: int
) -> dict[str, dict[str, Interval]]:
    """By family, then by forecaster: nats of log loss that its permutation adds.

    The nets begin with nothing, as permuted ones must; so do those they are compared
    with. The interval is of time, as that of a log loss is. Without a single
    label nothing is known.
    """
    own = asked.of(chosen(asked.weights))
    if not own.weights.any():
        return {}
    families = columns_by_family(settings)
    walk = jax.jit(partial(forecasts, settings))
    random = np.random.default_rng(seed)
    added = np.mean(
        [
            increase(walk, params, own, list(families.values()), random)
            for _ in range(REPEATS)
        ],
        axis=0,
    )
    names = [*settings.members, ENSEMBLE]
    return {
        family: {
            name: bootstrap.mean(added[:, m, k], own.weights, asked.horizon).interval
            for m, name in enumerate(names)
        }
        for k, family in enumerate(families)
    }


def chosen(weights: Float[np.ndarray, "T S"]) -> Int[np.ndarray, " K"]:
    """At most `SYMBOLS` of those that have labels, evenly spread."""
    known = np.flatnonzero((weights > 0).any(0))
    places = np.linspace(0, len(known) - 1, min(SYMBOLS, len(known)))
    return known[np.round(places).astype(int)]


def columns_by_family(settings: Settings) -> Mapping[str, Bool[np.ndarray, " F"]]:
    """Which features belong to each family that the source can feed at all."""
    plan = settings.plan
    family = np.array([spec.category for spec in plan.specs])
    present = dict.fromkeys(spec.category for spec in plan.present)
    return {name: family == name for name in present}


def increase(
    walk: Callable[..., Array],
    params: Params,
    asked: Asked,
    families: Sequence[Bool[np.ndarray, " F"]],
    random: np.random.Generator,
) -> Float[np.ndarray, "T N K S"]:
    """Log loss with each of `K` families permuted, less that of the rows as they are.

    All stand side by side as symbols of their own, so that nets go through time once.
    """
    permuted = [shuffled(asked.features, columns, random) for columns in families]
    together = np.concatenate([asked.features, *permuted], axis=1)
    regime = np.tile(asked.regime, (1, len(families) + 1))
    said = np.asarray(walk(params, together, asked.weight[:, :-1], regime))
    shape = *said.shape[:2], len(families) + 1, asked.classes.shape[1]
    told = said.reshape(*shape, said.shape[-1])
    truth = asked.classes[:, None, None, :, None].astype(np.int64)
    truth = np.broadcast_to(truth, (*shape, 1))
    loss = -np.take_along_axis(told, truth, -1)[..., 0]
    return loss[:, :, 1:] - loss[:, :, :1]


def shuffled(
    features: Float[np.ndarray, "T S F"],
    columns: Bool[np.ndarray, " F"],
    random: np.random.Generator,
) -> Float[np.ndarray, "T S F"]:
    """The columns of each symbol in another order of time, all in the same one."""
    count, symbols = features.shape[:2]
    order = random.permuted(np.tile(np.arange(count)[:, None], symbols), axis=0)
    moved = np.take_along_axis(features[:, :, columns], order[:, :, None], axis=0)
    found = features.copy()
    found[:, :, columns] = moved
    return found


def forecasts(
    settings: Settings,
    params: Params,
    features: Float[Array, "T S F"],
    weights: Float[Array, "T M"],
    regimes: Int[Array, "T S"],
) -> Float[Array, "T N S C"]:
    """Log probabilities of every member, then of the ensemble, as the engine says."""

    def step(carry, given):
        values, own, within = given
        carry, by_nets = zoo.step(settings.sizes, params.nets, carry, values)
        by_trees = forest.margins(params.forest, values)
        said = engine.calibrated(settings, params, by_nets, by_trees, within)
        by_fallback = fallback(params.fallback, values[:, settings.reads])
        voted = engine.pooled(settings, params.rules, own, said, by_fallback, within)
        return carry, jnp.concatenate([said, jnp.log(voted.probability)[None]])

    start = zoo.init_carry(settings.sizes, features.shape[1])
    return jax.lax.scan(step, start, (features, weights, regimes))[1]
