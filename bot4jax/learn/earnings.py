"""What each trial earned, bar by bar: kept beside the ledger, to choose among them.

One Parquet file a trial, `trials/<digest>.parquet`, named by its bytes: they are looked
at before anything reads them, for a flipped bit can end the process that reads Parquet.
"""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from bot4jax import durable

FOLDER = "trials"


class Earned(NamedTuple):
    """Net profits of the bars of a test span whose worth is known."""

    ends_ns: Int[np.ndarray, " T"]
    """their boundaries, ns since 1970 UTC, rising"""
    profits: Float[np.ndarray, " T"]
    """share of the capital"""

    @property
    def span(self) -> tuple[int, ...]:
        """First and last boundary; trials of one span can be compared bar by bar."""
        return tuple(self.ends_ns[[0, -1]].tolist()) if len(self.ends_ns) else ()


def keep(root: Path, earned: Earned) -> str:
    """Write what a trial earned, whole and durable on return; its digest."""
    table = io.BytesIO()
    pl.DataFrame(earned._asdict()).write_parquet(table)
    digest = hashlib.sha256(table.getvalue()).hexdigest()
    path = place(root, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.write(path, table.getvalue())
    return digest


def read(root: Path, digest: str) -> Earned | None:
    """What was kept under this digest; None where it is missing or is not that."""
    try:
        whole = place(root, digest).read_bytes()
    except OSError:
        return None
    if hashlib.sha256(whole).hexdigest() != digest:
        return None
    table = pl.read_parquet(io.BytesIO(whole))
    return Earned(*(table[name].to_numpy() for name in Earned._fields))


def place(root: Path, digest: str) -> Path:
    """Where it lies."""
    return root / FOLDER / f"{digest}.parquet"


def side_by_side(all_of_a_span: Sequence[Earned]) -> Float[np.ndarray, "T N"]:
    """Profits by bar and trial; 0 where a trial's worth was not known, what happened
    then having fallen to its next bar."""
    bars = np.unique(np.concatenate([one.ends_ns for one in all_of_a_span]))
    table = np.zeros((len(bars), len(all_of_a_span)))
    for column, one in enumerate(all_of_a_span):
        table[np.searchsorted(bars, one.ends_ns), column] = one.profits
    return table
