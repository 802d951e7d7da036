"""What the bank costs as symbols grow in number, and what of it costs most."""

from collections.abc import Sequence

from benchmarks import cold, plot
from benchmarks.markdown import table, told
from benchmarks.result import Result, Row
from benchmarks.shares import WHOLE

BASE, MOST = 1024, 16_384
"""Symbols to compare with, and how many there may be."""
RATIOS = ("total", "median", "without_entropies", "without_largest")
HEAD = (
    "symbols",
    "bank, median",
    "p99",
    "a symbol",
    f"over {BASE:,}",
    "peers over ours",
    "median ratio",
    "without two entropies",
    "without the largest",
    "compiled anew",
    "from the cache",
)
DEAREST = ("of one call for all", "pays", "fastest peer alone")


def section(results: Sequence[Result]) -> str:
    """Both tables, where the number of symbols to compare with was measured."""
    banks = {one.symbols: one for one in results if one.row(WHOLE, "ms")}
    if BASE not in banks:
        return ""
    base = banks[BASE]
    sizes = table(HEAD, [_size(banks[s], base) for s in sorted(banks)])
    parts = table(DEAREST, [_part(base, row) for row in plot.slowest(base)])
    return "\n\n".join([sizes, _aims(base, banks.get(MOST)), parts])


def _aims(base: Result, most: Result | None) -> str:
    """The medians beside what is to be reached; a symbol's cost among many too."""
    cold_s, cached_s = (base.row(stage, "s") for stage in cold.STAGES)
    found = {
        f"The bank of {BASE:,} symbols, median": (_whole(base).p50, 10, "ms"),
        "The bank compiled anew": (cold_s and cold_s.p50, 25, "s"),
        "The bank from the cache": (cached_s and cached_s.p50, 3, "s"),
        f"A symbol among {MOST:,}, over one among {BASE:,}": (
            most and _each(most) / _each(base),
            1.25,
            "×",
        ),
    }
    return "\n".join(
        f"- {what}: {told(value, unit)}, of at most {told(limit, unit)}: "
        f"{'met' if value <= limit else 'missed'}."
        for what, (value, limit, unit) in found.items()
        if value is not None
    )


def _size(bank: Result, base: Result) -> list[str]:
    whole = _whole(bank)
    waits = [bank.row(stage, "s") for stage in cold.STAGES]
    return [
        f"{bank.symbols:,}",
        told(whole.p50, "ms"),
        told(whole.p99, "ms"),
        f"{_each(bank):.3g} µs",
        f"{_each(bank) / _each(base):.3g}",
        *(told(bank.ratios.get(name), "×") for name in RATIOS),
        *(told(wait and wait.p50, "s") for wait in waits),
    ]


def _part(base: Result, row: Row) -> list[str]:
    peer = plot.peers_of(base).get(row.stage)
    beside = f"{peer.impl}, {told(peer.p50, 'ms')}" if peer else "–"
    return [f"`{row.stage}`", f"{row.p50:.3g} ms", beside]


def _each(bank: Result) -> float:
    """Median of what a bar costs a symbol, µs."""
    return _whole(bank).p50 * 1e3 / bank.symbols


def _whole(bank: Result) -> Row:
    row = bank.row(WHOLE, "ms")
    assert row is not None
    return row
