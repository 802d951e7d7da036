"""The nets that plugins bring, asked before anything is fitted what a net must keep.

Of ours the tests and the certificate hold it. A net that serves otherwise than it was
trained fits well and forecasts badly, and one that trains on later bars does so too: a
backtest would call both a model without skill.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from bot4jax.errors import ConfigError
from bot4jax.nets.carry import Carry, Net
from bot4jax.nets.packing import assemble, packed, plan
from bot4jax.registry import NETS
from bot4jax.schema import Config

BARS = 64
"""What a net is asked about, unrolled in two halves, so that what it remembers of the
first counts as well."""

NEEDED = "width", "period", "init_state", "step", "unroll"

APART = 1e-4
"""Largest difference of the two forms, relative to max(1, |value|): other shapes add in
another order. Of our own nets with `nets=full` it was 4e-6 at most, on a CPU."""


def expect_nets(config: Config) -> None:
    """Refuse members of plugins that are no nets, or do not serve as they train."""
    brought = [name for name in config.ensemble.members if name in NETS]
    found = [fault(name, config.nets.stem, config.run.seed) for name in brought]
    if problems := [one for one in found if one is not None]:
        raise ConfigError(problems)


def fault(name: str, inputs: int, seed: int) -> str | None:
    """What is wrong with the net of a plugin, as one problem of the configuration."""
    net = NETS[name](inputs, np.random.default_rng(seed))
    said = f"ensemble.members: the plugin's '{name}'"
    if told := lacking(net):
        return (
            f"{said} makes a {type(net).__name__} {told}; a net is an nnx.Module with "
            f"weights that has {', '.join(NEEDED)}, as Net of bot4jax/nets/carry.py "
            "says, and Recurrent of bot4jax/nets/recurrent.py makes one of layers"
        )
    net = assemble(plan(net), packed(net))  # its weights as JAX's own arrays
    rows = np.random.default_rng(seed).normal(size=(BARS, inputs)).astype(np.float32)
    stepped, unrolled = (jax.jit(partial(form, net))(rows) for form in FORMS)
    return unequal(said, np.asarray(stepped), np.asarray(unrolled), net.width)


def lacking(net: Any) -> str:
    """What it does not have of what every net has; nothing where it has it all."""
    if missing := [one for one in NEEDED if not hasattr(net, one)]:
        return f"without {', '.join(missing)}"
    if not isinstance(net, nnx.Module):
        return "that is no nnx.Module"
    return "" if jax.tree.leaves(nnx.state(net)) else "without any weight"


def unequal(
    said: str, stepped: np.ndarray, unrolled: np.ndarray, width: int
) -> str | None:
    """What two forms say that they should not; None where they say the same."""
    shapes, expected = (stepped.shape, unrolled.shape), (BARS, width)
    if shapes != (expected, expected):
        return (
            f"{said} says {shapes[0]} numbers of {BARS} bars by step and {shapes[1]} "
            f"by unroll; {expected} were expected, one vector of its width a bar"
        )
    if not (np.isfinite(stepped).all() and np.isfinite(unrolled).all()):
        return (
            f"{said} says what is no finite number of rows as usual as a normal "
            "distribution draws; guard its divisions, roots and logarithms"
        )
    far = np.abs(stepped - unrolled) / np.maximum(np.abs(stepped), 1)
    bars = np.flatnonzero((far > APART).any(axis=1))
    if not bars.size:
        return None
    return (
        f"{said} serves otherwise than it trains: step and unroll differ by up to "
        f"{far.max():.3g} in {bars.size} of {BARS} bars, first in bar {bars[0]}, and "
        f"{APART:g} was allowed; make both say the same, each bar from itself and "
        "earlier ones alone"
    )


def by_steps(net: Net, xs: Float[Array, "T F"]) -> Float[Array, "T H"]:
    """What it serves, bar by bar."""
    return lax.scan(net.step, net.init_state(), xs)[1]


def by_passes(net: Net, xs: Float[Array, "T F"]) -> Float[Array, "T H"]:
    """What it trains on, in two passes; a net that takes many symbols side by side has
    a second one beside, which must not be heard."""
    if getattr(net, "takes_many", False):
        own = net.init_state()
        memory, rings = jax.tree.map(lambda one: jnp.stack([one, one]), own[:2])
        clock = own.clock._replace(age=jnp.zeros(2))
        carry, both = Carry(memory, rings, clock), jnp.stack([xs, -xs[::-1]], axis=1)
        return in_halves(net, carry, both)[:, 0]
    return in_halves(net, net.init_state(), xs)


def in_halves(net: Net, carry: Carry, xs: Float[Array, "T *S F"]) -> Array:
    first, second = jnp.split(xs, 2)
    carry, early = net.unroll(carry, first)
    return jnp.concatenate([early, net.unroll(carry, second)[1]])


FORMS: tuple[Any, ...] = (by_steps, by_passes)
