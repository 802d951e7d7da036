"""What the device makes of the events of a feed: the closed bars, as arrays."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

from bot4jax.kernels.absorb import absorb
from bot4jax.kernels.bars import begin_anew, close_bars, init_bars
from bot4jax.kernels.rebase import rebase_bars
from bot4jax.runtime.batches import Anew, Batch, Close

ABSORB, BEGIN_ANEW = jax.jit(absorb), jax.jit(begin_anew)
CLOSE, REBASE = jax.jit(close_bars), jax.jit(rebase_bars)


def closed_on_device(
    events: Iterable[Batch | Anew | Close], symbols: int, anchor: float = 100.0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows of `BAR_INTS` and `BAR_FLOATS` of every bar that closes."""
    bars, closed = init_bars(jnp.full(symbols, anchor)), []
    for event in events:
        if isinstance(event, Batch):
            bars = ABSORB(bars, jax.device_put(event.packed.copy()), jnp.int32(0))
        elif isinstance(event, Anew):
            bars = BEGIN_ANEW(bars, event.slots)
        else:
            bars, ints, floats = CLOSE(bars)
            closed.append((np.asarray(ints), np.asarray(floats)))
            if event.terms is not None:
                bars = REBASE(bars, event.terms)
    return closed
