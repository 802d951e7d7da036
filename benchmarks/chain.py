"""From windows to probabilities as it would be put together from libraries.

Of every feature the fastest function that a test finds to compute the same, then scores
by NumPy, PyTorch's nets and XGBoost's predictor. Windows lie there, made beforehand and
always the same: whoever uses libraries has to keep them from bar to bar, which is not
counted.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xgboost
from jaxtyping import Float

from benchmarks import bars
from benchmarks.contest import Entry, contest
from benchmarks.peers import peer as peers
from benchmarks.peers.cheapest import cheapest
from benchmarks.peers.peer import Peer
from bot4jax.kernels.clean import Scaler
from bot4jax.registry import FeatureSpec
from bot4jax.runtime.progress import Report

PATIENCE_S = 0.3
"""While choosing: the slowest, whose calls add up to more, are called three times."""

Raw = Float[np.ndarray, "S F"]


class Function(NamedTuple):
    """A peer with the windows that it reads."""

    peer: Peer
    windows: Sequence[np.ndarray]

    def call(self) -> Any:
        return self.peer.values(*self.windows)


def bound(
    chosen: Iterable[Peer],
    specs: Sequence[FeatureSpec],
    columns: bars.Columns,
    window: int,
    since_first: bool = False,
) -> list[Function]:
    """The peers, ready to be called; of features that are not asked for, none.

    What is carried is defined by all bars since the first, which peers are given only
    `since_first`: their windows are as long as those of others.
    """
    by_name, found = {spec.name: spec for spec in specs}, []
    for own in peers.known(list(chosen), by_name):
        length = peers.reach(own, by_name, window)
        if since_first and any(by_name[name].carried for name in own.features):
            length = len(columns.record.ints)
        windows = [columns.window(name, length) for name in own.columns]
        found.append(Function(own, windows))
    return found


def fastest(
    functions: Sequence[Function], steps: int, report: Report
) -> list[Function]:
    """Those that yield all features in the least time, measured in turns."""
    entries = [Entry("choosing", own.peer.library, own.call) for own in functions]
    rows = contest(entries, steps, 1, report, PATIENCE_S)
    names = [frozenset(own.peer.features) for own in functions]
    chosen = cheapest(names, [row.p50 for row in rows])
    return [functions[number] for number in chosen]


class Features:
    """Values of all features `[S, F]`, in the order of names; 0 where nobody yields."""

    def __init__(
        self, functions: Sequence[Function], names: Sequence[str], symbols: int
    ) -> None:
        place = {name: row for row, name in enumerate(names)}
        self.functions, self.names, self.symbols = functions, names, symbols
        self.rows = [[place[name] for name in own.peer.features] for own in functions]

    def __call__(self) -> Raw:
        found = np.zeros((len(self.names), self.symbols))
        for own, rows in zip(self.functions, self.rows, strict=True):
            found[rows] = own.call()
        return found.T

    @property
    def libraries(self) -> dict[str, list[Function]]:
        """Functions by the library that does their work."""
        own: dict[str, list[Function]] = {}
        for one in self.functions:
            own.setdefault(one.peer.library, []).append(one)
        return own

    def by(self, library: str) -> "Features":
        """What one library yields."""
        return Features(self.libraries[library], self.names, self.symbols)

    def without(self, names: Sequence[str]) -> "Features":
        """The same without the functions that yield any of these."""
        left = [own for own in self.functions if not {*own.peer.features} & {*names}]
        return Features(left, self.names, self.symbols)


class Scores:
    """Robust scores, float32, clamped; what is no number or out of range is 0."""

    def __init__(
        self, scaler: Scaler, clip: float, specs: Sequence[FeatureSpec]
    ) -> None:
        self.centre, self.width = (np.asarray(one, np.float64) for one in scaler)
        self.clip = clip
        self.low = np.array([spec.low for spec in specs])
        self.high = np.array([spec.high for spec in specs])

    def __call__(self, raw: Raw) -> Float[np.ndarray, "S F"]:
        score = np.clip((raw - self.centre) / self.width, -self.clip, self.clip)
        valid = (raw >= self.low) & (raw <= self.high)
        return np.where(valid, score, 0).astype(np.float32, order="C")


@dataclass(frozen=True)
class Chain:
    """One call from windows to what every member says."""

    features: Callable[[], Raw]
    scores: Callable[[Raw], np.ndarray]
    members: Sequence[Callable[[np.ndarray], np.ndarray]]
    """nets, forest"""

    def __call__(self) -> list[np.ndarray]:
        scores = self.scores(self.features())
        return [say(scores) for say in self.members]


def predictors(
    booster: xgboost.Booster, threads: int, device: str
) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """XGBoost's own probabilities of rows on the host: in place, and by its matrix.

    In place it reads rows only where it computes.
    """

    def by_matrix(rows: np.ndarray) -> np.ndarray:
        return booster.predict(xgboost.DMatrix(rows, nthread=threads))

    booster.set_param({"nthread": threads, "device": device})
    in_place = {"xgboost": booster.inplace_predict} if device == "cpu" else {}
    return in_place | {"xgboost_dmatrix": by_matrix}
