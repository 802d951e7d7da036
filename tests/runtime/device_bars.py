"""A tape on the device without anything behind it: frames in, closed bars out."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bot4jax.engine import Engine
from bot4jax.kernels import bars
from bot4jax.kernels.absorb import absorb
from bot4jax.kernels.rebase import rebase_bars
from bot4jax.runtime.closings import Closed, Tape
from bot4jax.runtime.feed import Feed
from bot4jax.runtime.publish import Arrival
from bot4jax.types import Frame


def _unused(*arguments: object) -> None:
    raise AssertionError("a tape neither observes nor decides")


PARTS: dict[str, Any] = dict.fromkeys(Engine._fields, _unused) | {
    "absorb": jax.jit(absorb, donate_argnums=0),
    "reopen": jax.jit(bars.reopen, donate_argnums=0),
    "close": jax.jit(bars.close_bars, donate_argnums=0, keep_unused=True),
    "rebase_bars": jax.jit(rebase_bars, donate_argnums=0),
}
ENGINE = Engine(**PARTS)


def tape_of(feed: Feed, anchors: np.ndarray | None = None) -> Tape:
    """Its prices are counted from the anchors, increments; without any from 100."""
    if anchors is None:
        anchors = np.full(len(feed.universe.instruments), 100)
    opened = bars.init_bars(jnp.asarray(anchors, jnp.float32))
    return Tape(ENGINE, feed, opened, jnp.int32(0), feed.universe)


def arrivals(frames: Iterable[Frame], idles: bool = False) -> Iterator[Arrival]:
    """Each frame as it was sent; with a moment of silence after every third."""
    for number, one in enumerate(frames):
        yield Arrival(one, 0.0, one.sent_ns)
        if idles and number % 3 == 0:
            yield Arrival(None, 0.0, one.sent_ns)


def rows_of(closed: Iterable[Closed]) -> list[tuple[np.ndarray, np.ndarray]]:
    """`BAR_INTS` and `BAR_FLOATS` of every bar."""
    return [(np.asarray(one.ints), np.asarray(one.floats)) for one in closed]


def closed_on_device(
    feed: Feed, frames: Sequence[Frame], anchors: np.ndarray | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The bars that the frames close."""
    return rows_of(tape_of(feed, anchors).closed(arrivals(frames)))
