"""Small nets with nothing at zero, for the tests of all nets."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from bot4jax.nets import zoo
from bot4jax.nets.sizes import (
    NETS,
    CNNSizes,
    GRUSizes,
    LSTMSizes,
    NetSizes,
    TransformerSizes,
)

FEATURES, SYMBOLS, BARS = 7, 3, 18

SMALL = NetSizes(
    stem=8,
    lstm=LSTMSizes(widths=(6, 5)),
    gru=GRUSizes(widths=(4,)),
    cnn=CNNSizes(channels=(6, 6), dilations=(1, 3), kernel=3),
    transformer=TransformerSizes(
        width=8, blocks=2, heads=4, key_heads=2, feed_forward=6, context=6
    ),
    members=NETS,
)
"""Rings of 3, 7 and 6 slots: they wrap early and at different bars."""

quick = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
"""Compiles in half the time."""

unroll = quick(zoo.unroll, static_argnums=(0, 4))
module_unroll = quick(lambda module, *given: module.unroll(*given))


def nothing(layer):
    """What a recurrent layer remembers before its first bar."""
    return tuple(np.zeros(length, np.float32) for length in layer.memory)


@partial(quick, static_argnums=0)
def by_steps(sizes, params, carry, xs):
    """What serving says of the same bars."""
    return jax.lax.scan(partial(zoo.step, sizes, params), carry, xs)


def exact(sizes, params, carry, xs):
    """The truth: the same bars in float64, from the same numbers."""

    def widened(leaf):
        leaf = np.asarray(leaf)
        return jnp.asarray(leaf, np.float64 if leaf.dtype == np.float32 else None)

    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        asked = jax.tree.map(widened, (params, carry, xs))
        return jax.tree.map(np.asarray, unroll(sizes, *asked, jnp.float64))


def noisy(sizes, seed=0, scale=0.3):
    """Weights with noise on all of them: a fresh head or bias hides what it reads."""
    random = np.random.default_rng(seed)
    return jax.tree.map(
        lambda w: w + jnp.asarray(random.normal(0, scale, w.shape), jnp.float32),
        zoo.init(sizes, FEATURES, seed),
    )


def inputs(seed=1, bars=BARS, symbols=SYMBOLS, features=FEATURES):
    random = np.random.default_rng(seed)
    return jnp.asarray(random.normal(size=(bars, symbols, features)), jnp.float32)


def warmed(sizes, params):
    """A carry in use: its rings have wrapped and stand somewhere in the middle."""
    carry = zoo.init_carry(sizes, SYMBOLS)._replace(index=jnp.int32(11))
    return by_steps(sizes, params, carry, inputs(seed=8))[0]
