"""The rows of benchmarks that are laid beside no target, as a table of their own."""

from collections.abc import Iterator, Sequence

from benchmarks.markdown import table, told
from benchmarks.result import Result, Row

SHOWN = ("nets", "trees", "train", "latency", "soak", "ingest", "orders", "start")
SHOWN += ("backtest", "peers")
"""Benchmarks whose every row is shown."""
MACHINES_OWN = "product_"
"""How the stages begin that only measure the machine's matrix products."""
HEAD = ("bench", "preset", "symbols", "what", "whose", "median", "p99", "floor")


def section(results: Sequence[Result]) -> str:
    """One line a row, in the order of the benchmarks' names."""
    shown = sorted(
        (one for one in results if one.bench in SHOWN),
        key=lambda one: (one.bench, one.preset, one.symbols),
    )
    lines = [line for one in shown for line in _lines(one)]
    return table(HEAD, lines) if lines else ""


def _lines(result: Result) -> Iterator[list[str]]:
    for row in result.rows:
        if not row.stage.startswith(MACHINES_OWN):
            about = [f"`{result.bench}`", result.preset, f"{result.symbols:,}"]
            yield [*about, f"`{row.stage}`", row.impl, *_values(row)]


def _values(row: Row) -> list[str]:
    return [told(value, row.unit) for value in (row.p50, row.p99, row.floor)]
