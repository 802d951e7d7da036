"""`python -m benchmarks.plot`: the results of `bench=features` as one picture.

Left, what a bar costs a symbol as symbols grow in number. Right, the ten features that
pay most of one call, beside their fastest peers. Written beside the results.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.result import RESULTS, Result, Row, read
from benchmarks.shares import WHOLE, fastest

OURS, THEIRS = "#20639b", "#c0563f"
SLOWEST = 10


def main(folder: Path = RESULTS / "features") -> int:
    """Draw whatever results of the preset there are."""
    results = [read(path) for path in sorted(folder.glob("cpu-*.json"))]
    if not results:
        print(
            f"plot: {folder.name} holds no result; run bench=features", file=sys.stderr
        )
        return 3
    path = folder / "cpu.svg"
    with matplotlib.rc_context({"svg.hashsalt": "bot4jax", "svg.fonttype": "none"}):
        drawn(sorted(results, key=lambda one: one.symbols)).savefig(
            path, metadata={"Date": None}
        )
    print(f"plot {path.name}")
    return 0


def drawn(results: Sequence[Result]) -> Figure:
    """The picture; its right half is of 1,024 symbols where there are some."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_growth(left, results)
    shown = next((one for one in results if one.symbols == 1024), results[-1])
    _draw_slowest(right, shown)
    return figure


def slowest(result: Result) -> list[Row]:
    """The features that pay most of the call, the dearest first."""
    paid = [row for row in result.rows if row.unit == "ms of the bank"]
    return sorted(paid, key=lambda row: -row.p50)[:SLOWEST]


def peers_of(result: Result) -> dict[str, Row]:
    """By feature the fastest peer."""
    rows = [row for row in result.rows if row.impl != "bot4jax"]
    return fastest([row for row in rows if row.unit == "ms"])


def _draw_growth(axes: Axes, results: Sequence[Result]) -> None:
    symbols = [one.symbols for one in results]
    banks = [one.row(WHOLE, "ms") for one in results]
    ours = [row.p50 * 1e3 / s for row, s in zip(banks, symbols, strict=True) if row]
    totals = [sum(row.p50 for row in peers_of(one).values()) for one in results]
    theirs = [total * 1e3 / s for total, s in zip(totals, symbols, strict=True)]
    axes.loglog(symbols, ours, "o-", color=OURS, label="all features, bot4jax")
    axes.loglog(symbols, theirs, "s-", color=THEIRS, label="those with a peer, fastest")
    axes.set_xlabel("symbols")
    axes.set_ylabel("µs a symbol and bar, median")
    axes.set_xticks(symbols, [f"{s:,}" for s in symbols])
    axes.minorticks_off()
    axes.legend(frameon=False)


def _draw_slowest(axes: Axes, result: Result) -> None:
    rows, peers = slowest(result)[::-1], peers_of(result)
    place = range(len(rows))
    axes.barh(
        [at + 0.2 for at in place],
        [row.p50 for row in rows],
        0.4,
        color=OURS,
        label="share of the call",
    )
    known = [
        (at, peers[row.stage]) for at, row in enumerate(rows) if row.stage in peers
    ]
    axes.barh(
        [at - 0.2 for at, _ in known],
        [row.p50 for _, row in known],
        0.4,
        color=THEIRS,
        label="fastest peer",
    )
    axes.set_yticks(place, [row.stage for row in rows])
    axes.set_xscale("log")
    axes.set_xlabel(f"ms for {result.symbols:,} symbols, median")
    axes.legend(frameon=False)


if __name__ == "__main__":
    sys.exit(main())
