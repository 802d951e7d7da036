"""`python -m benchmarks.certificates FOLDER …`: certificates of markets, in short.

Each folder is one that `mode=certify` wrote. Of its certificate one small file is left,
`results/certify/<source>.json`: how much was compared, what came nearest to its
tolerance, and how it came about. `python -m benchmarks.findings` makes a table of them.
"""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from benchmarks.markdown import table
from benchmarks.result import RESULTS

KEPT = "certify"
"""Folder of these files among the results."""
NEAREST = 3
HEAD = ("market", "command", "rows", "values", "nearest to its tolerance", "commit")
NONE_YET = "No certificate is committed yet, so nothing is claimed."


class Nearest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A feature beside its definition."""

    name: str
    worst: float
    tolerance: float


class Certified(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One market's certificate, but for its rows."""

    schema: Literal["bot4jax.certified/1"] = "bot4jax.certified/1"
    data: str
    passed: bool
    symbols: int
    bars: int
    absent: tuple[str, ...]
    """features that the market does not feed"""
    rows: int
    failed: tuple[str, ...]
    values: int
    defined: int
    """of them, features beside their definitions"""
    nearest: tuple[Nearest, ...]
    catalogue_hash: str
    command: str
    commit: str
    dirty: bool
    seed: int
    processor: str
    cores: int
    python: str
    packages: dict[str, str | None]


def main(words: Sequence[str] | None = None, results: Path = RESULTS) -> int:
    """Shorten the certificate of every folder."""
    for word in sys.argv[1:] if words is None else words:
        found = shortened(Path(word))
        path = results / KEPT / f"{found.data}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        body = msgspec.json.format(msgspec.json.encode(found), indent=1)
        path.write_bytes(body + b"\n")
        print(f"result {os.path.relpath(path)}")
    return 0


def shortened(folder: Path) -> Certified:
    """What is kept of a run folder's certificate and manifest."""
    written, run = (
        json.loads((folder / f"{name}.json").read_text())
        for name in ("certificate", "manifest")
    )
    rows = written["rows"]
    own = ("data", "passed", "symbols", "bars", "values", "catalogue_hash")
    its = ("command", "commit", "dirty", "seed", "processor", "cores", "python")
    return Certified(
        **{name: written[name] for name in own},
        **{name: run[name] for name in (*its, "packages")},
        absent=tuple(written["absent"]),
        rows=len(rows),
        failed=tuple(f"{r['name']}, {r['check']}" for r in rows if not r["passed"]),
        defined=sum(row["compared"] for row in definitions(rows)),
        nearest=nearest(rows),
    )


def definitions(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of features beside their definitions."""
    return [r for r in rows if (r["kind"], r["check"]) == ("feature", "parity")]


def nearest(rows: Iterable[dict[str, Any]]) -> tuple[Nearest, ...]:
    """The features that come nearest to their tolerance, the nearest first."""
    known = [r for r in definitions(rows) if r["compared"] and r["worst"] is not None]
    known.sort(key=lambda row: row["worst"] / row["tolerance"], reverse=True)
    return tuple(
        Nearest(row["name"], row["worst"], row["tolerance"]) for row in known[:NEAREST]
    )


def committed(folder: Path = RESULTS) -> list[Certified]:
    """All that were kept, by market."""
    paths = sorted((folder / KEPT).glob("*.json"))
    return [msgspec.json.decode(path.read_bytes(), type=Certified) for path in paths]


def section(found: Sequence[Certified]) -> str:
    """A table of the markets."""
    return table(HEAD, map(line, found)) if found else NONE_YET


def line(one: Certified) -> list[str]:
    """One market."""
    absent = f"{len(one.absent)} features absent" if one.absent else "none absent"
    verdict = "all passed" if one.passed else f"failed: {'; '.join(one.failed)}"
    near = [f"`{n.name}` {n.worst:.1e} of {n.tolerance:.0e}" for n in one.nearest]
    changed = ", with uncommitted changes" if one.dirty else ""
    return [
        f"{one.data}, {one.symbols} symbols, {one.bars:,} bars; {absent}",
        f"`{one.command}`",
        f"{one.rows}, {verdict}",
        f"{one.values:,}; of them {one.defined:,} against definitions",
        ", ".join(near),
        f"`{one.commit[:12]}`{changed}",
    ]


if __name__ == "__main__":
    sys.exit(main())
