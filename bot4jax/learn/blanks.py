"""Parameters that nothing was fitted to: types and shapes of what will be."""

import jax.numpy as jnp

from bot4jax.kernels import calibration, clean, history, vote
from bot4jax.kernels.sizing import SizingParams
from bot4jax.learn import isotonic
from bot4jax.nets import fallback, zoo
from bot4jax.schema.learning import Trees
from bot4jax.state import Params, Settings, Units
from bot4jax.trees import forest
from bot4jax.types import CLASSES


def blank_units(settings: Settings) -> Units:
    """In which nothing can be measured."""
    number = jnp.float32(0)
    each = jnp.zeros(settings.layout.symbols, jnp.float32)
    levels = jnp.zeros(history.BOOK_LEVELS, jnp.float32)
    scales = history.Scales(each, each, levels)
    scaler = clean.init_scaler(len(settings.plan.specs))
    return Units(scales, scaler, number, jnp.int32(0))


def blank_params(settings: Settings, trees: Trees) -> Params:
    """By which nothing can be decided."""
    symbols, features = settings.layout.symbols, len(settings.plan.specs)
    members, regimes, number = len(settings.members), settings.regimes, jnp.float32(0)
    each = jnp.zeros(symbols, jnp.float32)
    classes = jnp.zeros(len(CLASSES), jnp.float32)
    return Params(
        units=blank_units(settings),
        nets=zoo.init(settings.sizes, features, 0),
        forest=forest.blank(trees.rounds * len(CLASSES), trees.depth, len(CLASSES)),
        fallback=fallback.blank(len(settings.reads)),
        regime_edges=jnp.zeros((symbols, regimes - 1), jnp.float32),
        temperature=jnp.zeros((members, regimes), jnp.float32),
        vote_temperature=jnp.zeros(regimes, jnp.float32),
        curves=isotonic.stacked(
            [calibration.identity(members + 1, len(CLASSES))] * regimes
        ),
        threshold=number,
        vote=vote.VoteParams(number, number, number, number),
        sizing=SizingParams(
            classes, classes, number, each, number, number, number, number
        ),
        confidence_floor=number,
    )
