"""What decisions without a label would have said, on the panel of US equities.

    python -m benchmarks.ended PATH

Universe, horizon and test span are those of `experiment=us_daily`. A decision is met if
its share is live on its day and on the next. It ends over an end if its share is not
traded any more on the last day of the horizon, in a halt if it is again later on. Both
are counted, with what the last known price would have returned; and of three forecasts
that need no fit the IC is shown, with the labels that members are judged by, and with
those over an end beside.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from benchmarks.markdown import table
from bot4jax.config import load
from bot4jax.data.daily import Daily
from bot4jax.data.listing import ABSENT
from bot4jax.data.sources import open_source
from bot4jax.learn.labels import forward_returns, is_tradable
from bot4jax.learn.metrics import information_coefficient
from bot4jax.modes.setting import spans

CALM = 20
"""Days whose mean square return says how calm a share is."""


class Met(NamedTuple):
    """Decisions that were met and whose horizon lies in the panel, by how they end."""

    live: Bool[np.ndarray, "T S"]
    ended: Bool[np.ndarray, "T S"]
    halted: Bool[np.ndarray, "T S"]


def met(live: Bool[np.ndarray, "T S"], horizon: int) -> Met:
    """Each decision under one of the three."""
    days = np.arange(len(live))[:, None]
    last = np.where(live, days, -1).max(0)
    is_over = (last < len(live) - ABSENT) & (days + horizon > last)
    everywhere = np.ones_like(live)
    found = is_tradable(live, horizon, everywhere)
    known = is_tradable(live, horizon)
    return Met(known, found & ~known & is_over, found & ~known & ~is_over)


def forecasts(close: Float[np.ndarray, "T S"]) -> dict[str, Float[np.ndarray, "T S"]]:
    """Of closes alone."""
    moved = np.diff(np.log(close), axis=0, prepend=np.log(close[:1]))
    total = np.cumsum(moved**2, axis=0)
    total[CALM:] -= total[:-CALM].copy()
    return {
        "the last return": moved,
        "the last five": np.log(close / np.vstack([close[:1]] * 5 + [close[:-5]])),
        "calm": -np.sqrt(total),
    }


def lines(path: Path, returned: float) -> Iterator[tuple[str, ...]]:
    """One for each forecast, of a panel whose shares end at that return."""
    own_data = f"data.path={path}", f"data.delisting_return={returned}"
    config = load(["experiment=us_daily", *own_data])
    split, horizon = spans(config), config.labels.horizon
    source = open_source(config, split.bars)
    assert isinstance(source, Daily)
    panel, test = source.panel, slice(split.test.start, split.test.stop)
    own = Met(*(one[test] for one in met(panel.live, horizon)))
    ahead = forward_returns(panel.open, panel.close, horizon)[test]

    def told(chosen: Bool[np.ndarray, "T S"]) -> str:
        found = ahead[chosen]
        error = found.std() / max(len(found), 1) ** 0.5
        mean = f" ({1e2 * found.mean():+.2f} ± {1.96e2 * error:.2f})"
        return f"{len(found):,}" + mean * bool(len(found))

    for name, said in forecasts(panel.close).items():
        found = [
            information_coefficient(said[test], ahead, rows.astype(float), horizon)
            for rows in (own.live, own.live | own.ended)
        ]
        skill = (f"{one.mean:+.4f} ({one.t:+.2f})" for one in found)
        yield (f"{returned:g}", *map(told, own), name, *skill)


def main(path: Path) -> None:
    heads = ("delisting return", "live (mean, %)", "over an end", "in a halt")
    heads += ("forecast", "IC (t) of live ones", "and over an end")
    rows = [one for returned in (0.0, -0.3) for one in lines(path, returned)]
    print(table(heads, rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
