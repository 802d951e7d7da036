"""`python -m benchmarks.findings`: speed and certificates in `docs/findings.md`.

Everything between two marks is written anew from the committed results; the rest of the
page is left as it is.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import certificates, figures, growth
from benchmarks.markdown import table, told
from benchmarks.result import RESULTS, Result, Row, read

PAGE = Path(__file__).resolve().parent.parent / "docs" / "findings.md"
OPENS = "<!-- written by python -m benchmarks.findings -->"
ON_A_GPU = "<!-- on a GPU, written by python -m benchmarks.findings -->"
CERTIFIED = "<!-- certificates, written by python -m benchmarks.findings -->"
CLOSES = "<!-- end -->"

NONE_YET = "No result is committed yet, so nothing is claimed."
PRESET = "cpu"
WITHOUT_A_DEVICE = "gpu_aot"
WHOLE = "peers"
"""From closed bars to every member: no target, so its ratios stand in lines."""
FAULTS = "sim"
"""Folder of `python -m tests.sim`: counts, and no times."""
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
    Target("orders through the gate", "orders", "gate", 1024, "orders/s", 200_000),
    Target("gated and journaled", "orders", "journaled", 1024, "orders/s", 10_000),
    Target("help printed", "start", "help", 1024, "s", 1),
    Target("mistyped key refused", "start", "mistyped_key", 1024, "s", 1),
)


GPU = RESULTS / "gpu"
GPU_TARGETS = (
    Target("closing message to orders", "step", "decision", 1024, "ms", 10),
    Target("features", "step", "observe", 1024, "ms", 2.65),
    Target("members, vote and sizing", "step", "conclude", 1024, "ms", 4.5),
    Target("nets", "step", "nets", 1024, "ms", 0.996),
    Target("trees", "step", "forest", 1024, "ms", 0.1),
    Target("LSTM step", "nets", "lstm", 1024, "ms", 0.996),
    Target("one symbol through three layers", "nets", "single_3", 1024, "ms", 0.03),
    Target("one symbol through five layers", "nets", "single_5", 1024, "ms", 0.1),
)
"""What a GPU is to reach with either preset, at p99."""


class Aim(NamedTuple):
    """How many times as good as others the medians are to be."""

    what: str
    bench: str
    preset: str
    ratio: str
    limit: float
    goal: float | None = None


AIM_SYMBOLS = 1024
AIM_HEAD = ("what", "preset", "target", "goal", "ratio of medians", "verdict")
AIMS = (
    Aim("all features, fastest library of each", "features", "cpu", "total", 100, 300),
    Aim("without two entropies", "features", "cpu", "without_entropies", 30),
    Aim("LSTM step, matrix-product rate", "nets", "full", "matrix_product", 0.85, 0.95),
    Aim("LSTM step, PyTorch", "nets", "full", "pytorch", 1),
    Aim("LSTM step, PyTorch compiled", "nets", "full", "pytorch_compiled", 1),
    Aim("windows learnt from, PyTorch", "train", "full", "pytorch", 1.5),
    Aim("windows learnt from, PyTorch", "train", "cpu", "pytorch", 1.5),
    Aim("forest in the step, XGBoost's own predictor", "trees", "cpu", "xgboost", 1),
    Aim("forest in the step, tl2cgen", "trees", "cpu", "compiled_trees", 1),
    Aim("a tick a message, libzmq", "ingest", "cpu", "libzmq", 1),
)


def main() -> int:
    """Write both sections."""
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"findings {PAGE.name}")
    return 0


def written(page: str) -> str:
    """The page as the committed results want it."""
    page = with_section(page, section(committed()))
    page = with_section(page, gpu_section(committed(GPU)), ON_A_GPU)
    return with_section(page, certificates.section(certificates.committed()), CERTIFIED)


def committed(folder: Path = RESULTS) -> list[Result]:
    """Every result of a benchmark in the folder, in the order of their names."""
    others = FAULTS, certificates.KEPT
    paths = [path for path in folder.glob("*/*.json") if path.parent.name not in others]
    return [read(path) for path in sorted(paths)]


def with_section(page: str, text: str, mark: str = OPENS) -> str:
    """The page with the text between its marks."""
    before, opens, rest = page.partition(mark)
    _, closes, after = rest.partition(CLOSES)
    if not (opens and closes):
        raise ValueError(f"expected the marks {mark} and {CLOSES}, in this order")
    return f"{before}{mark}\n{text}\n{CLOSES}{after}"


def section(results: Sequence[Result]) -> str:
    """What was aimed at, what came out, and where it was measured."""
    if not results:
        return NONE_YET
    run = [one for one in results if one.bench != WITHOUT_A_DEVICE]
    wholes = [
        f"- {WHOLE}, {one.symbols:,} symbols, {rivals(one)}"
        for one in run
        if one.bench == WHOLE
    ]
    blocks = [
        _times(run),
        _ratios(run),
        "\n".join(wholes),
        growth.section(run),
        figures.section(run),
    ]
    blocks.append("\n".join(map(circumstances, run)))
    planned = [one for one in results if one.bench == WITHOUT_A_DEVICE]
    blocks += ["\n".join(line for one in planned for line in launches(one))]
    return "\n\n".join(block for block in blocks if block)


def gpu_section(results: Sequence[Result]) -> str:
    """What was aimed at on a GPU and what came out, preset by preset."""
    blocks = []
    for preset in dict.fromkeys(one.preset for one in results):
        shown = [one for one in results if one.preset == preset]
        lines = [_line(one, shown) for one in GPU_TARGETS if _found(one, shown)]
        blocks += [f"`preset={preset}`:", table(HEAD, lines)]
    blocks += [f"- {one.bench}, {rivals(one)}" for one in results if one.ratios]
    return "\n\n".join([*blocks, "\n".join(map(circumstances, results))])


def rivals(result: Result) -> str:
    """Our speed over that of others, all in one line."""
    times = [f"`{name}` {ratio:.3g} ×" for name, ratio in result.ratios.items()]
    return f"`preset={result.preset}`, our speed over others': {', '.join(times)}"


def aim_verdict(aim: Aim, ratio: float | None) -> str:
    """How a ratio stands to limit and goal; more is better."""
    if ratio is None:
        return "not measured"
    if aim.goal is not None and ratio >= aim.goal:
        return "goal reached"
    return "met" if ratio >= aim.limit else "missed"


def launches(result: Result) -> Iterator[str]:
    """A line a function that was compiled for a GPU and never run."""
    for name in dict.fromkeys(row.stage for row in result.rows):
        count = {row.unit: row.p50 for row in result.rows if row.stage == name}
        yield (
            f"- `{name}`, `preset={result.preset}`, {result.symbols:,} symbols: "
            f"{result.manifest.device}: {count['kernels']:,.0f} kernels, "
            f"{count['dispatches']:,.0f} dispatches, {count['MiB'] * 1024:,.0f} KiB; "
            f"{count['data-dependent loops']:.0f} data-dependent loops, "
            f"{count['host markers']:.0f} host markers; "
            f"commit `{result.manifest.commit[:12]}`."
        )


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


def _times(results: Sequence[Result]) -> str:
    shown = [one for one in results if one.preset == PRESET]
    if not shown:
        return ""
    return table(HEAD, [_line(one, shown) for one in TARGETS])


def _ratios(results: Sequence[Result]) -> str:
    found = {
        (one.bench, one.preset, name): ratio
        for one in results
        if one.symbols == AIM_SYMBOLS
        for name, ratio in one.ratios.items()
    }
    if not found:
        return ""
    rows = []
    for aim in AIMS:
        ratio = found.get((aim.bench, aim.preset, aim.ratio))
        values = [told(value, "×") for value in (aim.limit, aim.goal, ratio)]
        rows.append([aim.what, aim.preset, *values, aim_verdict(aim, ratio)])
    return table(AIM_HEAD, rows)


def _told_of(result: Result) -> Iterable[str]:
    return [name for name in ("jax", "numpy") if name in result.manifest.packages]


def _line(target: Target, results: Sequence[Result]) -> list[str]:
    row = _found(target, results)
    unit = target.unit
    aims = [told(target.limit, unit), told(target.goal, unit)]
    if row is None:
        measured = ["–", "–", "–"]
    else:
        interval = f"{row.p50:,.4g} … {row.p999:,.4g}"
        measured = [told(row.p99, unit), interval, told(row.floor, unit)]
    found = verdict(target, row)
    return [target.what, f"{target.symbols:,}", *aims, *measured, found]


def _found(target: Target, results: Sequence[Result]) -> Row | None:
    for one in results:
        if (one.bench, one.symbols) == (target.bench, target.symbols):
            return one.row(target.stage, target.unit)
    return None


if __name__ == "__main__":
    sys.exit(main())
