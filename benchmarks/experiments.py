"""`python -m benchmarks.experiments [FOLDER …]`: what experiments found, as a page.

Takes the summaries of finished runs into `docs/experiments/`, in what the page needs of
them, and writes the tables of `docs/experiments.md` anew from all that lie there.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.markdown import table

PAGE = Path(__file__).resolve().parent.parent / "docs" / "experiments.md"
FOUND = PAGE.with_suffix("")
OPENS = "<!-- written by python -m benchmarks.experiments -->"
CLOSES = "<!-- end -->"

ORIGIN = ("command", "commit", "config_hash", "packages")
"""What a manifest says of where figures come from."""

JUDGED = ("log_loss", "excess", "excess_error", "p_value", "macro_f1")
HEAD = (
    "run",
    "forecaster",
    "log loss less always flat's, 10⁻³ ± 95 %",
    "p",
    "macro-F1",
    "scan, % of capital (95 %)",
)
LOB_HEAD = ("run", "label", "k", "largest class", "linear", "best member", "ensemble")
SURE = 1.96
"""Standard errors of an interval at 95 %."""


def main(folders: Sequence[str]) -> None:
    """Take in what is named, and write the page."""
    FOUND.mkdir(exist_ok=True)
    for folder in map(Path, folders):
        summary, manifest = (
            json.loads((folder / name).read_text())
            for name in ("summary.json", "manifest.json")
        )
        kept = taken(summary) | {name: manifest[name] for name in ORIGIN}
        text = json.dumps(kept, indent=1, ensure_ascii=False)
        (FOUND / f"{folder.name}.json").write_text(text + "\n")
    page = PAGE.read_text()
    before, _, rest = page.partition(OPENS)
    after = rest.partition(CLOSES)[2]
    PAGE.write_text(f"{before}{OPENS}\n{section()}{CLOSES}{after}")


def taken(summary: dict[str, Any]) -> dict[str, Any]:
    """What the page needs of a summary."""
    common = {name: summary[name] for name in ("data", "symbols", "seed", "seconds")}
    if summary["mode"] == "lob":
        return common | {"events": summary["events"], "labels": summary["labels"]}
    judged = summary["members"] | {"ensemble": summary["ensemble"]}
    judged |= summary["baselines"]
    scan = summary["backtest"]["scan"]
    return common | {
        "bars": summary["bars"],
        "labels": summary["labels"],
        "alarms": summary["backtest"]["traps"]["alarms"],
        "pnl": summary["pnl"],
        "latency": summary["backtest"]["latency"],
        "forecasters": {
            name: {key: one[key] for key in JUDGED} | {"net": scan[name]["net"]}
            for name, one in judged.items()
        },
    }


def section() -> str:
    """Both tables, from the files that lie in the folder."""
    runs = {
        path.stem: json.loads(path.read_text()) for path in sorted(FOUND.glob("*.json"))
    }
    plain = [row for name, one in runs.items() for row in rows(name, one)]
    books = [row for name, one in runs.items() for row in book_rows(name, one)]
    return f"\n{table(HEAD, plain)}\n\n{table(LOB_HEAD, books)}\n\n"


def rows(name: str, run: dict[str, Any]) -> Iterable[tuple[str, ...]]:
    """Every forecaster of a backtest."""
    for who, one in run.get("forecasters", {}).items():
        net = " … ".join(f"{100 * x:+.2f}" for x in one["net"][1:])
        yield (
            name,
            who.replace("_", " "),
            f"{1e3 * one['excess']:+.2f} ± {1e3 * SURE * one['excess_error']:.2f}",
            "–" if one["p_value"] is None else f"{one['p_value']:.2g}",
            f"{one['macro_f1']:.3f}",
            f"{100 * one['net'][0]:+.2f} ({net})",
        )


def book_rows(name: str, run: dict[str, Any]) -> Iterable[tuple[str, ...]]:
    """Every label and horizon of an order-book benchmark."""
    for one in run["labels"] if isinstance(run["labels"], list) else ():
        scores = one["scores"]
        always, line, *members, ensemble = scores
        best = max(members, key=lambda who: scores[who]["macro_f1"])
        shown = [f"{scores[who]['macro_f1']:.3f}" for who in (always, line)]
        shown += [
            f"{who if who != ensemble else ''} {scores[who]['macro_f1']:.3f} "
            f"({scores[who]['above_linear']:+.3f} ± "
            f"{SURE * scores[who]['above_linear_error']:.3f})".strip()
            for who in (best, ensemble)
        ]
        yield (name, one["label"], str(one["horizon"]), *shown)


if __name__ == "__main__":
    main(sys.argv[1:])
