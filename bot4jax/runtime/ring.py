"""The newest rows of what a run without an end writes down.

Room for all of them is taken at once, and written to, so that the pages are there from
the start: what comes later costs no memory, and no page fault.
"""

import numpy as np
from jaxtyping import Shaped
from numpy.typing import DTypeLike


class Ring:
    """Rows of one type, the newest so many, read in the order they came."""

    def __init__(self, newest: int, dtype: DTypeLike) -> None:
        if newest < 1:
            raise ValueError(f"a ring holds at least one row, not {newest}")
        self._rows = np.full(newest, 0, dtype)
        self.count = 0
        """how many have ever come"""

    def __len__(self) -> int:
        return min(self.count, len(self._rows))

    def add(self, row: object) -> None:
        """A number; where rows have columns, a tuple of them."""
        self._rows[self.count % len(self._rows)] = row
        self.count += 1

    def extend(self, rows: Shaped[np.ndarray, " N"]) -> None:
        """Several at once."""
        self.count += len(rows)
        kept = rows[-len(self._rows) :]
        at = np.arange(self.count - len(kept), self.count) % len(self._rows)
        self._rows[at] = kept

    def since(self, first: int = 0) -> Shaped[np.ndarray, " N"]:
        """A copy, without those that came before the row of this number."""
        begin = max(first, self.count - len(self))
        return self._rows[np.arange(begin, self.count) % len(self._rows)]
