"""Training on many devices: symbols lie side by side, weights lie on all of them.

A mesh has one axis, the symbols of a batch. Each device has its own symbols' chunk and
carries; the gradients are added up. Devices may belong to several processes, each of
which has all samples and hands over those of its own devices.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bot4jax.errors import ConfigError
from bot4jax.learn.schedule import Samples
from bot4jax.nets import zoo

AXIS = "symbols"


def mesh_of(devices: int) -> Mesh:
    """The first so many devices of all processes; 0: all of them."""
    known = jax.devices()
    if not devices <= len(known):
        raise ConfigError(
            [
                f"hardware.devices: expected at most {len(known)}, which is all that "
                f"JAX has in this process, found {devices}"
            ]
        )
    return Mesh(np.array(known[: devices or len(known)]), (AXIS,))


def lanes_of(mesh: Mesh, group: int, parts: int) -> int:
    """Symbols of a batch, filled up so that every part and device has as many."""
    unit = mesh.size * parts
    return -(-group // unit) * unit


def on_all(mesh: Mesh, tree: Any) -> Any:
    """The same arrays on every device."""
    return jax.tree.map(partial(_placed, _sharding(mesh, None)), tree)


def carry_shards(mesh: Mesh, carry: zoo.NetCarry) -> zoo.NetCarry:
    """How the leaves of a carry lie: by symbol, and the one index on all devices."""
    by_symbol = _sharding(mesh, 0)
    own: Any = jax.tree.map(lambda _: by_symbol, carry)
    return own._replace(index=_sharding(mesh, None))


def carry_by_symbol(mesh: Mesh, carry: zoo.NetCarry) -> zoo.NetCarry:
    """A carry, each symbol's on the device that has its samples."""
    return jax.tree.map(_placed, carry_shards(mesh, carry), carry)


def batch_by_symbol(mesh: Mesh, batch: Samples) -> Samples:
    """Samples `[T, S, …]`, cut into the devices' symbols."""
    return jax.tree.map(partial(_placed, _sharding(mesh, 1)), batch)


def added_up(mesh: Mesh, grade: Callable, carry: zoo.NetCarry) -> Callable:
    """`gradients` over the mesh: each device its own symbols', added up over all.

    Within a device bars and symbols are one axis of a product, which XLA would gather
    from all devices if it were to cut that axis by itself.
    """
    if mesh.size == 1:
        return grade

    def own(*given: Any) -> tuple:
        gradient, each, after = grade(*given)
        return *lax.psum((gradient, each), AXIS), after

    everywhere, by_symbol = PartitionSpec(), PartitionSpec(None, AXIS)
    carries = jax.tree.map(lambda one: one.spec, carry_shards(mesh, carry))
    return jax.shard_map(
        own,
        mesh=mesh,
        in_specs=(everywhere, carries, by_symbol, everywhere),
        out_specs=(everywhere, everywhere, carries),
        check_vma=False,
    )


def compiled(mesh: Mesh, update: Callable, carry: zoo.NetCarry) -> Callable:
    """The update over the mesh; it may overwrite what it is given first and second."""
    everywhere = _sharding(mesh, None)
    return jax.jit(
        update,
        donate_argnums=(0, 1),
        out_shardings=(everywhere, carry_shards(mesh, carry), everywhere),
    )


def looking(mesh: Mesh, look: Callable) -> Callable:
    """A function that changes nothing over the mesh, its answer whole everywhere."""
    return jax.jit(look, out_shardings=_sharding(mesh, None))


def on_host(tree: Any) -> Any:
    """The arrays of all devices, whole, in this process's memory."""

    def brought(leaf: jax.Array) -> np.ndarray:
        if leaf.is_fully_replicated or leaf.is_fully_addressable:
            return np.asarray(leaf)
        return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))

    return jax.tree.map(brought, tree)


def _sharding(mesh: Mesh, axis: int | None) -> NamedSharding:
    """Cut along an axis, or not at all."""
    spec = () if axis is None else (*[None] * axis, AXIS)
    return NamedSharding(mesh, PartitionSpec(*spec))


def _placed(sharding: NamedSharding, leaf: Any) -> jax.Array:
    """The array on the devices; each process gives what its own of them hold."""
    host = np.asarray(leaf)
    return jax.make_array_from_callback(host.shape, sharding, host.__getitem__)
