"""One update of all nets: gradients of a chunk, judged, and a step of AdamW."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Bool, Float

from bot4jax.learn.schedule import Pace, Samples
from bot4jax.nets import zoo
from bot4jax.nets.sizes import NetSizes

REST = 1.1
"""× the rate, after an update that something was learnt from, until it is whole."""


class Form(NamedTuple):
    """What an update is compiled for."""

    sizes: NetSizes
    parts: int
    """that a batch is cut into, so that the memory of one is enough"""
    products: str
    """type that matrices are multiplied in; sums and states are float32"""


Grade = Callable[..., tuple[zoo.NetParams, Float[Array, " M"], zoo.NetCarry]]
"""`gradients` of a form, over however many devices."""


class Fitting(NamedTuple):
    """What one update hands to the next."""

    params: zoo.NetParams
    mean: zoo.NetParams
    optimiser: Any
    ease: Float[Array, ""]
    """share of the rate that is gone at: less than 1 after updates that failed"""


class Health(NamedTuple):
    """What one update says of itself; rows of layers as `zoo.by_layer` names them."""

    loss: Float[Array, " M"]
    gradient_norm: Float[Array, " M"]
    update_ratio: Float[Array, " M"]
    """norm of the update over the norm of the weights"""
    layer_gradient: Float[Array, " L"]
    """root mean square of the gradient's entries"""
    not_finite: Float[Array, " L"]
    """share of the gradient's entries"""
    norm: Float[Array, ""]
    """of the whole gradient"""
    is_clipped: Bool[Array, ""]
    is_skipped: Bool[Array, ""]


def begin(params: zoo.NetParams) -> Fitting:
    """Before the first update."""
    zeros = jax.tree.map(jnp.zeros_like, params)
    start: Any = optax.scale_by_adam().init(params)  # type: ignore
    return Fitting(params, zeros, start, jnp.ones(()))


def update(
    sizes: NetSizes,
    grade: Grade,
    state: Fitting,
    carry: zoo.NetCarry,
    batch: Samples,
    worth: Float[Array, ""],
    pace: Pace,
) -> tuple[Fitting, zoo.NetCarry, Health]:
    """One step of AdamW (Loshchilov & Hutter 2019); matrices decay, the rest does not.

    `grade(params, carry, batch, worth)` is `gradients` of a form.

    `worth` is the weight of an ordinary batch: a poorer one moves the nets less.
    Nothing is learnt from a gradient that is not finite or has exploded; what it did to
    the states is forgotten, and the next steps are shorter.
    """
    features = batch.features.shape[2]
    gradient, each, after = grade(state.params, carry, batch, worth)
    norm = optax.tree.norm(gradient)
    learnt, change = _learnt(sizes, features, state, gradient, norm, pace)
    after = jax.tree.map(lambda new: jnp.where(jnp.isfinite(new), new, 0), after)
    ratio = norms(change) / jnp.maximum(norms(learnt.params), 1e-12)
    layers = zoo.by_layer(sizes, features, gradient).values()
    health = Health(
        loss=each / jnp.maximum(batch.weights.sum(), 1e-6),
        gradient_norm=norms(gradient),
        update_ratio=ratio,
        layer_gradient=jnp.stack([_root_mean_square(layer) for layer in layers]),
        not_finite=jnp.stack([_share_not_finite(layer) for layer in layers]),
        norm=norm,
        is_clipped=norm > pace.clip_norm,
        is_skipped=~is_sane(norm, pace),
    )
    return learnt, after, health


def is_sane(norm: Float[Array, ""], pace: Pace) -> Bool[Array, ""]:
    """Whether something can be learnt from a gradient; what is not a number is not."""
    return norm <= pace.explosion


def _learnt(
    sizes: NetSizes,
    features: int,
    state: Fitting,
    gradient: zoo.NetParams,
    norm: Float[Array, ""],
    pace: Pace,
) -> tuple[Fitting, zoo.NetParams]:
    """The state after the step, and how far the weights moved."""
    sane = is_sane(norm, pace)
    shrink = jnp.minimum(1.0, pace.clip_norm / jnp.maximum(norm, 1e-12))
    clipped = jax.tree.map(lambda g: jnp.where(sane, g * shrink, 0), gradient)
    with jax.numpy_dtype_promotion("standard"):  # Optax counts in integers
        direction, moved = optax.scale_by_adam().update(clipped, state.optimiser)
    rate = jnp.where(sane, pace.rate * state.ease, 0)
    change = jax.tree.map(
        lambda d, p, m: -rate * (d + pace.decay * m * p),
        direction,
        state.params,
        zoo.decay_mask(sizes, features),
    )
    params = jax.tree.map(jnp.add, state.params, change)
    mean = jax.tree.map(
        lambda old, new: old + pace.averaging * (new - old), state.mean, params
    )
    moved = jax.tree.map(
        lambda new, old: jnp.where(sane, new, old), moved, state.optimiser
    )
    rested = jnp.minimum(1.0, state.ease * REST)
    ease = jnp.where(sane, rested, state.ease * pace.cut)
    return Fitting(params, mean, moved, ease), change


def gradients(
    form: Form,
    params: zoo.NetParams,
    carry: zoo.NetCarry,
    batch: Samples,
    worth: Float[Array, ""],
) -> tuple[zoo.NetParams, Float[Array, " M"], zoo.NetCarry]:
    """Of the whole batch: the gradient, the sum of each net's log losses, each by its
    weight, and the carry behind it.

    With several parts they are gone through one after the other and their gradients
    added up.
    """
    grade = jax.value_and_grad(partial(losses, form), has_aux=True)
    if form.parts > 1:
        return _added_up(form.parts, grade, params, carry, batch, worth)
    (_, (each, after)), gradient = grade(params, carry, batch, worth)
    return gradient, each, after


def _added_up(
    parts: int,
    grade: Callable,
    params: zoo.NetParams,
    carry: zoo.NetCarry,
    batch: Samples,
    worth: Float[Array, ""],
) -> tuple[zoo.NetParams, Float[Array, " M"], zoo.NetCarry]:
    def turn(total: zoo.NetParams, part: tuple) -> tuple[zoo.NetParams, tuple]:
        memory, rings, age, rows = part
        own = zoo.NetCarry(memory, rings, age, carry.index)
        (_, said), gradient = grade(params, own, rows, worth)
        return jax.tree.map(jnp.add, total, gradient), said

    symbols = _dealt((carry.memory, carry.rings, carry.age), 0, parts)
    nothing = jax.tree.map(jnp.zeros_like, params)
    rows = (*symbols, _dealt(batch, 1, parts))
    gradient, (each, after) = lax.scan(turn, nothing, rows)
    memory, rings, age = _gathered((after.memory, after.rings, after.age))
    carried = zoo.NetCarry(memory, rings, age, after.index[-1])
    return gradient, each.sum(0), carried


def losses(
    form: Form,
    params: zoo.NetParams,
    carry: zoo.NetCarry,
    batch: Samples,
    worth: Float[Array, ""],
) -> tuple[Float[Array, ""], tuple[Float[Array, " M"], zoo.NetCarry]]:
    """Sum over nets of the weighted log loss; beside it each net's own."""
    features = jnp.asarray(batch.features)
    after, forecast = zoo.unroll(form.sizes, params, carry, features, form.products)
    asked = batch.labels[:, None, :, None].astype(jnp.int32)
    asked = jnp.broadcast_to(asked, (*forecast.shape[:3], 1))
    chosen = jnp.take_along_axis(forecast, asked, 3)[..., 0]
    each = -(chosen * batch.weights[:, None]).sum((0, 2))
    return each.sum() / worth, (each, after)


def norms(tree: zoo.NetParams) -> Float[Array, " M"]:
    """Euclidean norm of each net's own weights, in a tree like `NetParams`."""
    return jnp.stack([optax.tree.norm(own) for own in tree.nets])


def _root_mean_square(layer: list[Array]) -> Float[Array, ""]:
    squares = sum((jnp.square(piece).sum() for piece in layer), jnp.zeros(()))
    return jnp.sqrt(squares / sum(piece.size for piece in layer))


def _share_not_finite(layer: list[Array]) -> Float[Array, ""]:
    broken = [jnp.sum(~jnp.isfinite(one), dtype=jnp.float32) for one in layer]
    return sum(broken, jnp.zeros(())) / sum(piece.size for piece in layer)


def _dealt(tree: Any, axis: int, parts: int) -> Any:
    """Symbols dealt out in turn, `[parts, …]`."""

    def cut(leaf: Array) -> Array:
        before, own, after = leaf.shape[:axis], leaf.shape[axis], leaf.shape[axis + 1 :]
        rows = jnp.reshape(leaf, (*before, own // parts, parts, *after))
        return jnp.moveaxis(rows, axis + 1, 0)

    return jax.tree.map(cut, tree)


def _gathered(tree: Any) -> Any:
    """The symbols of `[parts, S, …]` as they lay before they were dealt out."""

    def whole(leaf: Array) -> Array:
        rows = jnp.moveaxis(leaf, 0, 1)
        return rows.reshape(rows.shape[0] * rows.shape[1], *rows.shape[2:])

    return jax.tree.map(whole, tree)
