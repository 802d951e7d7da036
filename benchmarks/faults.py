"""`python -m benchmarks.faults`: the count of kills and seeds in `docs/promises.md`.

Everything between two marks is written anew from what `python -m tests.sim` has
counted and is committed; the rest of the page is left as it is.
"""

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

from benchmarks.findings import FAULTS, with_section
from benchmarks.markdown import table
from benchmarks.result import RESULTS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "promises.md"
MARK = "<!-- written by python -m benchmarks.faults -->"
WIDTH = 88
COUNTED = ("runs", "kills", "starts", "lost", "doubled", "differ", "broken")
RESTING, LIVE = "resting ", "live "
KINDS = {
    "after_ack": "when the answers are booked",
    "after_decide": "before the journal",
    "after_journal": "between journal and sending",
    "after_send": "after sending",
    "mid_checkpoint": "within a snapshot of its state",
}
SEEDS = {
    "seed": "seeds of faults of line, disk, clock and feed, orders that trade at once",
    "resting seed": "the same while orders rest, and people stop the engine",
}


def main() -> int:
    """Write the section."""
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(written(page, committed()), encoding="utf-8")
    print(f"faults {PAGE.name}")
    return 0


def committed(folder: Path = RESULTS / FAULTS) -> dict[str, dict[str, Any]]:
    """Every count, by the name of its file."""
    return {path.name: json.loads(path.read_text()) for path in folder.glob("*.json")}


def written(page: str, counts: dict[str, dict[str, Any]]) -> str:
    """The page as the counts want it."""
    return with_section(page, section(counts), MARK)


def section(counts: dict[str, dict[str, Any]]) -> str:
    """What was run where, and what came of it, kind by kind."""
    named = dict(sorted(counts.items()))
    rows = {kind: row for one in named.values() for kind, row in one["rows"].items()}
    befallen = sum(sum(one["faults"].values()) for one in named.values())
    drawn = sum(row["runs"] for kind, row in rows.items() if kind in SEEDS)
    disturbed = sum(row["disturbed"] for row in rows.values())
    totals = (
        f"{sum(row['kills'] for row in rows.values()):,} kills at a crash point and "
        f"{drawn:,} seeds, which {befallen:,} faults befell; {disturbed:,} of those "
        "whose orders rest were disturbed, so that their record is another by right "
        "from there on. Of as many peers without the right key as seeds of a kind, "
        f"{sum(one['admitted'] for one in named.values())} were heard."
    )
    lines = [
        [told(kind), *(f"{row[of]:,}" for of in COUNTED)] for kind, row in rows.items()
    ]
    sources = "\n".join(source(name, one) for name, one in named.items())
    return "\n\n".join(
        [textwrap.fill(totals, WIDTH), table(("", *COUNTED), lines), sources]
    )


def told(kind: str) -> str:
    """In words."""
    if kind in SEEDS:
        return SEEDS[kind]
    if kind.startswith(LIVE):
        return f"a whole `mode=live`, killed {KINDS[kind.removeprefix(LIVE)]}"
    if kind.startswith(RESTING):
        return f"killed {KINDS[kind.removeprefix(RESTING)]}, while orders rest"
    return f"killed {KINDS[kind]}"


def source(name: str, count: dict[str, Any]) -> str:
    """One line of where a count comes from."""
    changed = ", with uncommitted changes" if count["dirty"] else ""
    return (
        f"- [`{name}`](../benchmarks/results/{FAULTS}/{name}): `{count['command']}`, "
        f"{count['cores']} cores, {count['seconds'] / 60:.0f} minutes, commit "
        f"`{count['commit'][:12]}`{changed}."
    )


if __name__ == "__main__":
    sys.exit(main())
