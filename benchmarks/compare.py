"""`python -m benchmarks.compare OLD NEW`: two results side by side.

The last columns say how many times as good the new one is: more is better, 1 is equal.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from benchmarks.result import Result, Row, read
from bot4jax.errors import Bot4JaxError

HEAD = ("stage", "impl", "unit", "old p50", "new p50", "old p99", "new p99")
GAINS = ("× p50", "× p99")

NEUTRAL = {"ticks", "orders"}
"""Units of what was asked for, neither good nor bad."""

SAME_MACHINE = ("cpu", "cores", "threads", "device", "python", "packages", "env")
"""What must be equal, or the machines are compared and not the programs."""


def main(words: Sequence[str] | None = None) -> int:
    """Serve the command line and return the exit code."""
    words = list(sys.argv[1:] if words is None else words)
    if len(words) != 2 or {"-h", "--help"} & set(words):
        print(__doc__)
        return 0 if {"-h", "--help"} & set(words) else 2
    try:
        old, new = (read(Path(word)) for word in words)
    except Bot4JaxError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return error.exit_code
    print("\n".join([*differences(old, new), table(old, new)]))
    return 0


def table(old: Result, new: Result) -> str:
    """Rows that stand in both, then those that stand in one."""
    found = {row.key: row for row in new.rows}
    lines = [(*HEAD, *GAINS)]
    lines += [_line(row, found.pop(row.key, None)) for row in old.rows]
    lines += [_line(None, row) for row in found.values()]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < 3 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def gain(old: Row | None, new: Row | None, quantile: str) -> float | None:
    """How many times as good; None where that has no meaning."""
    if old is None or new is None or old.unit in NEUTRAL:
        return None
    before, after = getattr(old, quantile), getattr(new, quantile)
    if not before or not after:
        return None
    return after / before if old.is_rate else before / after


def differences(old: Result, new: Result) -> Iterator[str]:
    """A warning a line, where more than the program differs."""
    for name in ("bench", "preset", "symbols", "window"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield f"{name}: {before} and {after}"
    before, after = (msgspec.to_builtins(one.manifest) for one in (old, new))
    for name in SAME_MACHINE:
        if before[name] != after[name]:
            yield f"{name}: {before[name]} and {after[name]}"


def _line(old: Row | None, new: Row | None) -> tuple[str, ...]:
    either = old or new
    assert either is not None
    values = [
        _told(one and getattr(one, quantile))
        for quantile in ("p50", "p99")
        for one in (old, new)
    ]
    gains = [_told(gain(old, new, quantile)) for quantile in ("p50", "p99")]
    return (*either.key, *values, *gains)


def _told(value: float | None) -> str:
    return "–" if value is None else f"{value:,.4g}"


if __name__ == "__main__":
    sys.exit(main())
