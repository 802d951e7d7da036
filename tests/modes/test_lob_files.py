"""`experiment=lob` from files as a user has them, beside a benchmark written anew.

What stands here knows the files alone: its features, labels, cuts and units are written
from their description, its line is scikit-learn's, and so is its macro-F1.
"""

import json
from typing import NamedTuple

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from bot4jax import run
from bot4jax.learn.lob_contest import ALWAYS, ENSEMBLE, LINEAR
from tests.contract import check_summary

WARM = 100
"""Events that only let nets remember."""

SMALL = ["mode=lob", "experiment=lob", "debug=tiny", "ensemble.members=[gru,trees]"]
SMALL += ["lob.lane=250", f"lob.warm={WARM}", "train.epochs=1", "run.name=lob"]

TIE = 3e-3
"""Of macro-F1: two solvers, each exact to some 1e-6 of a probability, may name another
class in one of the thousand rows that are judged, or in two."""


class Day(NamedTuple):
    """One share's books on one day."""

    symbol: str
    at: np.ndarray
    """days"""
    price: np.ndarray
    """rows × levels × ask, bid"""
    size: np.ndarray
    given: dict[int, np.ndarray]
    """classes in the file, by k"""


class Benchmark(NamedTuple):
    """Rows that count in training and in the test, with their classes."""

    x: np.ndarray
    y: np.ndarray
    asked: np.ndarray
    truth: np.ndarray

    @property
    def always(self) -> float:
        """Macro-F1 of the largest class of training."""
        largest = np.bincount(self.y).argmax()
        return float(f1_score(self.truth, 0 * self.truth + largest, average="macro"))

    @property
    def linear(self) -> float:
        """Macro-F1 of a line on rows of which every class weighs alike."""
        centre, width = self.x.mean(0), self.x.std(0)
        width = np.where(width > 1e-12, width, 1)
        x, asked = (
            np.clip((one - centre) / width, -5, 5) for one in (self.x, self.asked)
        )
        model = LogisticRegression(
            C=0.01, class_weight="balanced", tol=1e-8, max_iter=5_000
        )
        said = model.fit(x, self.y).predict(asked)
        return float(f1_score(self.truth, said, average="macro"))


def walk(seed: int, events: int, start: int) -> tuple[np.ndarray, np.ndarray]:
    """Mids in ticks, and queues `[N, L, 2]` whose imbalance leads them."""
    rng = np.random.default_rng(seed)
    lean = np.zeros(events)
    for t in range(1, events):
        lean[t] = 0.9 * lean[t - 1] + rng.normal()
    moved = np.sign(lean + rng.normal(size=events)) * (rng.random(events) < 0.4)
    mids = start + np.cumsum(np.concatenate([[0], moved[:-1]])).astype(int)
    size = rng.integers(1, 9, (events, 10, 2))
    size[:, 0, 1] += np.rint(4 * np.maximum(lean, 0)).astype(int)
    size[:, 0, 0] += np.rint(4 * np.maximum(-lean, 0)).astype(int)
    return mids, size


def ladder(mids: np.ndarray) -> np.ndarray:
    """Ten levels a side around mids in ticks, `[N, L, 2]`, in ticks."""
    steps = 1 + np.arange(10)
    return np.stack([mids[:, None] + steps, mids[:, None] - steps], axis=2)


def mean_of_last(mid: np.ndarray, rows: int) -> np.ndarray:
    """NaN before there are so many."""
    found = np.full(len(mid), np.nan)
    for t in range(rows - 1, len(mid)):
        found[t] = mid[t + 1 - rows : t + 1].mean()
    return found


def moves(mid: np.ndarray, rows: int, kind: str) -> np.ndarray:
    """Mean of the next rows over that of the last ones, or over the mid, less 1."""
    behind = mean_of_last(mid, rows)
    ahead = np.append(behind[rows:], np.full(rows, np.nan))
    return ahead / (mid if kind == "honest" else behind) - 1


def features(day: Day, horizons: list[int]) -> np.ndarray:
    """Levels beside the mid, queues, last move, flow, imbalance, place in the mean."""
    (ask, bid), (a, b) = day.price[:, 0].T, day.size[:, 0].T
    mid = (ask + bid) / 2
    flow = np.zeros(len(mid))
    flow[1:] += (bid[1:] >= bid[:-1]) * b[1:] - (bid[1:] <= bid[:-1]) * b[:-1]
    flow[1:] += (ask[1:] >= ask[:-1]) * a[:-1] - (ask[1:] <= ask[:-1]) * a[1:]
    own = [np.append(0, np.log(mid[1:] / mid[:-1])), flow / (a + b), (b - a) / (a + b)]
    own += [mid / mean_of_last(mid, k) - 1 for k in horizons]
    levels = day.price / mid[:, None, None] - 1, np.log(1 + day.size)
    return np.column_stack([*own, *(one.reshape(len(mid), -1) for one in levels)])


def sides(days: list[Day]) -> list[list[Day]]:
    """Before 60 % of all events, behind 70 %, and between."""
    edges = np.quantile(np.concatenate([one.at for one in days]), [0.6, 0.7])
    which = [(x.at >= edges[0]).astype(int) + (x.at >= edges[1]) for x in days]
    parts = (
        [part(one, rows == number) for one, rows in zip(days, which, strict=True)]
        for number in range(3)
    )
    return [[one for one in side if len(one.at)] for side in parts]


def part(day: Day, rows: np.ndarray) -> Day:
    given = {k: own[rows] for k, own in day.given.items()}
    return Day(day.symbol, day.at[rows], day.price[rows], day.size[rows], given)


def benchmark(days: list[Day], kind: str, k: int, ks: list[int], block: int):
    """One label at one horizon: rows of training, and of the test."""
    train, _, test = sides(days)
    horizons = [one // block for one in ks]

    def moved(day: Day) -> np.ndarray:
        return moves(day.price[:, 0].mean(1), k // block, kind)

    def classes(day: Day) -> np.ndarray:
        found = moved(day)
        if kind == "published":
            named = 3 - day.given[k]
        else:
            same = [abs(moved(x)) for x in train if x.symbol == day.symbol]
            edge = np.nanquantile(np.concatenate(same), 0.33)
            named = 1 + (found > edge).astype(int) - (found < -edge)
        return np.where(np.isnan(found), -1, named)[WARM:]

    def scores(day: Day) -> np.ndarray:
        own = [features(x, horizons) for x in train if x.symbol == day.symbol]
        rows = np.concatenate([x[~np.isnan(x).any(1)] for x in own])
        width = np.where(rows.std(0) > 0, rows.std(0), 1)
        found = (features(day, horizons) - rows.mean(0)) / width
        return np.clip(np.nan_to_num(found), -5, 5)[WARM:].astype(np.float32)

    pairs = []
    for side in (train, test):
        x = np.concatenate([scores(one) for one in side])
        y = np.concatenate([classes(one) for one in side])
        pairs += [x[y >= 0], y[y >= 0]]
    return Benchmark(*pairs)


def write_fi2010(folder, shares: int = 2, rows: int = 700) -> list[Day]:
    """Three days of shares at 0.26 and 0.39; what a reader of the files finds."""
    names = ["Train_Dst_NoAuction_DecPre_CF_1"]
    names += [f"Test_Dst_NoAuction_DecPre_CF_{n}" for n in (1, 2)]
    found = []
    for day, name in enumerate(names):
        columns = [
            share_of_day(10 * day + n, 2_600 + 1_300 * n, rows) for n in range(shares)
        ]
        np.savetxt(folder / f"{name}.txt", np.hstack(columns), fmt="%.7e")
        read = np.loadtxt(folder / f"{name}.txt")
        for n, own in enumerate(np.hsplit(read, shares)):
            book = own[:40].T.reshape(rows, 10, 4)
            given = {k: own[144 + i].astype(int) for i, k in enumerate(KS)}
            at = day + np.arange(rows) / rows
            parts = book[..., [0, 2]], book[..., [1, 3]]
            found.append(Day(f"share {n + 1}", at, *parts, given))
    return found


KS = [10, 20, 30, 50, 100]


def share_of_day(seed: int, start: int, rows: int) -> np.ndarray:
    """Columns of a file: the book, 104 features that mean nothing, five classes."""
    mids, size = walk(seed, rows, start)
    price = ladder(mids) * 1e-4
    found = np.zeros((149, rows))
    book = np.stack(
        [price[..., 0], size[..., 0] * 1e-3, price[..., 1], size[..., 1] * 1e-3]
    )
    found[:40] = book.transpose(2, 0, 1).reshape(40, rows)
    for i, k in enumerate(KS):
        moved = np.nan_to_num(moves(mids * 1.0, k // 10, "smoothed"))
        found[144 + i] = 2 - (moved > 1e-4) + (moved < -1e-4)
    return found


def write_lobster(folder, symbols=("AAA", "BBB"), events: int = 2_500) -> list[Day]:
    """A session of two shares, a message each tenth of a second; every ninth is an
    execution of a hidden order, which leaves the book as it is."""
    found = []
    for n, symbol in enumerate(symbols):
        mids, size = walk(n, events, 5_000 + 2_000 * n)
        size[:, 1, 0] += np.arange(events) % 2  # each message but a hidden one shows
        price, is_hidden = ladder(mids), np.arange(events) % 9 == 8
        for one in (price, size):
            one[is_hidden] = one[np.flatnonzero(is_hidden) - 1]
        book = np.stack([price[..., 0], size[..., 0], price[..., 1], size[..., 1]], 2)
        seconds = 34_200 + np.arange(events) / 10
        kind = np.where(is_hidden, 5, 1)
        told = zip(seconds, kind, price[:, 0, 1], strict=True)
        lines = [f"{s:.1f},{x},1,100,{100 * p},1" for s, x, p in told]
        stem = f"{symbol}_2012-06-21_34200000_57600000"
        (folder / f"{stem}_message_10.csv").write_text("\n".join(lines) + "\n")
        np.savetxt(
            folder / f"{stem}_orderbook_10.csv",
            100 * book.reshape(events, 40),
            fmt="%d",
            delimiter=",",
        )
        # bars begin with the first whole second; the last one's end is cut off
        kept = np.arange(events)
        kept = kept[(kept >= 10) & (kept < events - 10) & ~is_hidden]
        at, prices, sizes = seconds[kept] / 86_400, price[kept] * 1.0, size[kept] * 1.0
        found.append(Day(symbol, at, prices, sizes, {}))
    return found


def told(words: list[str], root, capsys):
    """The command line, and what its run wrote."""
    assert run.main([*SMALL, *words, f"run.root={root}"]) == 0
    assert str(root / "lob") in capsys.readouterr().out
    summary = json.loads((root / "lob" / "summary.json").read_text())
    check_summary(summary)
    return summary, (root / "lob" / "report.html").read_text()


def check(summary, days: list[Day], kinds: list[str], ks: list[int], block: int):
    """Every label: the largest class to the last digit, and the line but for ties."""
    assert [(x["label"], x["horizon"]) for x in summary["labels"]] == [
        (kind, k) for kind in kinds for k in ks
    ]
    for one in summary["labels"]:
        truth = benchmark(days, one["label"], one["horizon"], ks, block)
        scores = one["scores"]
        assert list(scores) == [ALWAYS, LINEAR, "gru", "trees", ENSEMBLE]
        shares = np.bincount(truth.truth, minlength=3) / len(truth.truth)
        assert one["classes"] == pytest.approx(shares, abs=1e-12)
        assert scores[ALWAYS]["macro_f1"] == pytest.approx(truth.always, abs=1e-12)
        assert scores[LINEAR]["macro_f1"] == pytest.approx(truth.linear, abs=TIE)
        lead = scores[ENSEMBLE]["macro_f1"] - scores[LINEAR]["macro_f1"]
        assert scores[ENSEMBLE]["above_linear"] == pytest.approx(lead)


def test_fi2010_from_its_files_to_the_report(tmp_path, capsys):
    days = write_fi2010(tmp_path)
    words = ["data=fi2010", f"data.path={tmp_path}"]
    summary, report = told(words, tmp_path, capsys)
    check(summary, days, ["smoothed", "honest", "published"], KS, block=10)
    assert summary["shares"] == {"0": 2, "1": 2, "2": 2}
    assert "labels of k events look k/10 rows ahead" in report
    assert "by every 10th event: " in report
    assert f"Left out: the first {WARM} rows of each of " in report
    assert "the rows whose label would reach beyond them" in report
    assert "rows of the test without a label" in report
    assert "Label: published" in report


def test_lobster_from_its_files_to_the_report(tmp_path, capsys):
    days = write_lobster(tmp_path)
    words = ["data=lobster", f"data.path={tmp_path}", "lob.horizons=[10,50]"]
    summary, report = told(words, tmp_path, capsys)
    check(summary, days, ["smoothed", "honest"], [10, 50], block=1)
    assert (
        "Books of AAA, BBB from <b>lobster</b>, 1 day, 10 levels, by event: " in report
    )
    assert f"Left out: the first {WARM} events of each of " in report
    assert "events of the test without a label" in report
