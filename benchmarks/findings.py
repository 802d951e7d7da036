"""`python -m benchmarks.findings`: the speed section of `docs/findings.md`.

Everything between the two marks is written anew from the committed results; the rest of
the page is left as it is.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.result import RESULTS, Result, Row, read

PAGE = Path(__file__).resolve().parent.parent / "docs" / "findings.md"
OPENS = "<!-- written by python -m benchmarks.findings -->"
CLOSES = "<!-- end -->"

NONE_YET = "No result is committed yet, so nothing is claimed."
PRESET = "cpu"
HEAD = ("what", "symbols", "target", "goal", "p99", "p50 … p99.9", "floor", "verdict")


class Target(NamedTuple):
    """What two processor cores are to reach with `preset=cpu`, at p99."""

    what: str
    bench: str
    stage: str
    symbols: int
    unit: str
    limit: float
    goal: float | None = None


TARGETS = (
    Target("closing message to orders", "step", "decision", 256, "ms", 10, 6),
    Target("closing message to orders", "step", "decision", 1024, "ms", 25, 10),
    Target("features", "step", "observe", 1024, "ms", 10, 5),
    Target("nets", "step", "nets", 1024, "ms", 4.5, 3),
    Target("trees", "step", "forest", 1024, "ms", 1),
    Target("decisions", "decide", "decide", 1024, "decisions/s", 40_000, 100_000),
    Target("help printed", "start", "help", 1024, "s", 1),
    Target("mistyped key refused", "start", "mistyped_key", 1024, "s", 1),
)


def main() -> int:
    """Write the section."""
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_section(page, section(committed())), encoding="utf-8")
    print(f"findings {PAGE.name}")
    return 0


def committed(folder: Path = RESULTS) -> list[Result]:
    """Every result in the folder, in the order of their names."""
    return [read(path) for path in sorted(folder.glob("*/*.json"))]


def with_section(page: str, text: str) -> str:
    """The page with the text between its marks."""
    before, opens, rest = page.partition(OPENS)
    _, closes, after = rest.partition(CLOSES)
    if not (opens and closes):
        raise ValueError(f"expected the marks {OPENS} and {CLOSES}, in this order")
    return f"{before}{OPENS}\n{text}\n{CLOSES}{after}"


def section(results: Sequence[Result]) -> str:
    """What was aimed at, what came out, and where it was measured."""
    shown = [one for one in results if one.preset == PRESET]
    if not shown:
        return NONE_YET
    lines = [_cells(HEAD), _cells(["---"] * len(HEAD))]
    lines += [_cells(_line(target, shown)) for target in TARGETS]
    return "\n".join([*lines, "", *map(circumstances, shown)])


def verdict(target: Target, row: Row | None) -> str:
    """How the 99th percentile stands to limit and goal."""
    if row is None:
        return "not measured"
    sign = -1 if row.is_rate else 1
    if target.goal is not None and sign * row.p99 <= sign * target.goal:
        return "goal reached"
    return "met" if sign * row.p99 <= sign * target.limit else "missed"


def circumstances(result: Result) -> str:
    """One line of where and how a result came about."""
    own = result.manifest
    versions = ", ".join(f"{name} {own.packages[name]}" for name in _told_of(result))
    changed = ", with uncommitted changes" if own.dirty else ""
    return (
        f"- `{own.command}`: {result.rows[0].n} measurements on {own.cpu}, "
        f"{own.threads} of {own.cores} cores, {own.device}, Python {own.python}, "
        f"{versions}; load before {own.load1:g}; commit `{own.commit[:12]}`{changed}."
    )


def _told_of(result: Result) -> Iterable[str]:
    return [name for name in ("jax", "numpy") if name in result.manifest.packages]


def _line(target: Target, results: Sequence[Result]) -> list[str]:
    row = _found(target, results)
    unit = target.unit
    aims = [_told(target.limit, unit), _told(target.goal, unit)]
    if row is None:
        measured = ["–", "–", "–"]
    else:
        interval = f"{row.p50:,.4g} … {row.p999:,.4g}"
        measured = [_told(row.p99, unit), interval, _told(row.floor, unit)]
    found = verdict(target, row)
    return [target.what, f"{target.symbols:,}", *aims, *measured, found]


def _found(target: Target, results: Sequence[Result]) -> Row | None:
    for one in results:
        if (one.bench, one.symbols) == (target.bench, target.symbols):
            return one.row(target.stage, target.unit)
    return None


def _told(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:,.6g} {unit}"


def _cells(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
