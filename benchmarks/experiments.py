"""`python -m benchmarks.experiments [FOLDER …]`: what experiments found, as a page.

Takes the summaries of finished runs into `docs/experiments/`, in what the page needs of
them, and writes the tables of `docs/experiments.md` anew from all that lie there. What
was looked at before is remembered beside them (`benchmarks.looks`).
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks import looks, luck, origins, rungs
from benchmarks.markdown import table
from benchmarks.origins import experiment
from benchmarks.skill import beyond_flat, chance, less, order, reach, saved, together
from bot4jax.modes import report_contests

PAGE = Path(__file__).resolve().parent.parent / "docs" / "experiments.md"
FOUND = PAGE.with_suffix("")
OPENS = "<!-- written by python -m benchmarks.experiments -->"
CLOSES = "<!-- end -->"

Run = dict[str, Any]
"""What is kept of a run."""

JUDGED = (
    "bars",
    "log_loss",
    "log_loss_error",
    "log_loss_degrees",
    "excess",
    "excess_error",
    "recent_excess",
    "recent_excess_error",
    "recent_degrees",
    "p_value",
    "recent_p_value",
    "direction",
    "direction_error",
    "direction_p_value",
    "degrees",
    "direction_degrees",
    "information_p_value",
    "information_coefficient",
    "information_t",
    "macro_f1",
)
HEAD = (
    "run",
    "forecaster",
    "log loss less the class prior's, 10⁻³ ± 95 %",
    "less the recent prior's",
    "p of both (of the first alone)",
    "direction, 10⁻³ ± 95 %",
    "p",
    "IC (t)",
    "less the best baseline's, 10⁻³ ± 95 %",
    "Holm's p",
    "macro-F1",
    "scan, % of capital (95 %)",
)
TIMES_HEAD = (
    "experiment",
    "runs",
    "symbols",
    "seconds of a run: least … most",
    "minutes of all",
)
CONTEST_HEAD = (
    "experiment",
    "forecaster",
    "in",
    "runs",
    "lead on the best baseline: mean (least … most)",
    *report_contests.VERDICTS.values(),
)
SEEDS_HEAD = (
    "experiment",
    "forecaster",
    "seeds",
    "direction, 10⁻³: mean (least … most)",
    "p < .01",
    "p < .05",
    "t of the IC: median (least … most)",
)
LOB_HEAD = ("run", "label", "k", "largest class", "linear", "best member", "ensemble")
MOST_SHOWN = 5
"""Seeds of an experiment whose runs are shown one by one; more are summed up alone."""


def main(folders: Sequence[str]) -> None:
    """Take in what is named, and write the page."""
    FOUND.mkdir(exist_ok=True)
    for folder in map(Path, folders):
        summary = json.loads((folder / "summary.json").read_text())
        kept = taken(summary) | origins.origin(folder, summary)
        text = json.dumps(kept, indent=1, ensure_ascii=False)
        (FOUND / f"{folder.name}.json").write_text(text + "\n")
    looks.write(FOUND, looks.gathered(FOUND))
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
        "best_baseline": summary["best_baseline"],
        "pnl": summary["pnl"],
        "latency": summary["backtest"]["latency"],
        "luck": luck.taken(summary["backtest"]),
        "forecasters": {
            name: {key: one[key] for key in JUDGED} | {"net": scan[name]["net"]}
            for name, one in judged.items()
        },
    }


def section() -> str:
    """All tables, from the files that lie in the folder."""
    runs = {
        path.stem: json.loads(path.read_text()) for path in sorted(FOUND.glob("*.json"))
    }
    seeds = Counter(experiment(name, one) for name, one in runs.items())
    few = {n: x for n, x in runs.items() if seeds[experiment(n, x)] <= MOST_SHOWN}
    plain = [row for name, one in few.items() for row in rows(name, one)]
    books = [row for name, one in runs.items() for row in book_rows(name, one)]
    parts = (
        table(origins.HEAD, origins.rows(runs)),
        table(TIMES_HEAD, time_rows(runs)),
        *contest_section(runs),
        table(SEEDS_HEAD, seed_rows(runs)),
        rungs.section(runs),
        table(luck.HEAD, luck.rows(runs, looks.read(FOUND))),
        table(HEAD, plain),
        table(LOB_HEAD, books),
    )
    return "\n" + "\n\n".join(parts) + "\n\n"


def by_experiment(runs: Mapping[str, Run]) -> dict[str, list[Run]]:
    """The runs of each experiment, in the order of their names."""
    found: dict[str, list[Run]] = {}
    for name, run in runs.items():
        found.setdefault(experiment(name, run), []).append(run)
    return found


def time_rows(runs: Mapping[str, Run]) -> Iterable[tuple[str, ...]]:
    """How long one run of each experiment took, and all of them."""
    for which, found in by_experiment(runs).items():
        took = [one["seconds"] for one in found]
        symbols = sorted({one["symbols"] for one in found})
        yield (
            which,
            str(len(found)),
            ", ".join(map(str, symbols)),
            f"{min(took):.0f} … {max(took):.0f}",
            f"{sum(took) / 60:.1f}",
        )


def contest_section(runs: Mapping[str, Run]) -> list[str]:
    """Who beats the best baseline; nothing where no run was asked."""
    found = list(contest_rows(runs))
    return [table(CONTEST_HEAD, found)] if found else []


def contest_rows(runs: Mapping[str, Run]) -> Iterable[tuple[str, ...]]:
    """Order and direction beside the best baseline, over the runs that were asked."""
    for which, found in by_experiment(runs).items():
        asked = [
            (figure, who, own)
            for run in found
            for figure, one in run.get("best_baseline", {}).get("contests", {}).items()
            for who, own in one["beside"].items()
        ]
        for figure, who in dict.fromkeys((figure, who) for figure, who, _ in asked):
            own = [x for figure_, who_, x in asked if (figure_, who_) == (figure, who)]
            yield which, who.replace("_", " "), *contested(figure, own)


def contested(figure: str, beside: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """A figure's name, how many runs, their leads, and how many of each verdict."""
    name, times, form = report_contests.FIGURES[figure]
    leads = [times * one["lead"] for one in beside if one["lead"] is not None]
    yield name
    yield str(len(beside))
    told = (
        (f"{x:+{form}}" for x in (mean(leads), min(leads), max(leads))) if leads else ()
    )
    yield "{} ({} … {})".format(*told) if leads else "–"
    counts = Counter(one["verdict"] for one in beside)
    for verdict in report_contests.VERDICTS:
        yield str(counts[verdict])


def seed_rows(runs: Mapping[str, dict[str, Any]]) -> Iterable[tuple[str, ...]]:
    """Direction over the seeds of each experiment that was run with several."""
    seeds: dict[str, list[dict[str, Any]]] = {}
    for name, run in runs.items():
        own = seeds.setdefault(experiment(name, run), [])
        own += [run["forecasters"]] if "forecasters" in run else []
    for which, found in seeds.items():
        # runs from before a rival was asked do not have it
        asked = dict.fromkeys(who for one in found for who in one)
        for who in asked if len(found) > 1 else ():
            judged = [one[who] for one in found if who in one and is_told(one[who])]
            if judged:
                yield which, who.replace("_", " "), *over_seeds(judged)


def is_told(one: Mapping[str, Any]) -> bool:
    """Whether a forecaster said anything of direction at all."""
    return one["direction_p_value"] is not None and one["information_t"] is not None


def over_seeds(judged: Sequence[dict[str, Any]]) -> Iterable[str]:
    """How many seeds, what was saved, and how often that was no accident."""
    values = [1e3 * one["direction"] for one in judged]
    yield str(len(judged))
    yield f"{mean(values):+.2f} ({min(values):+.2f} … {max(values):+.2f})"
    for most in (0.01, 0.05):
        yield str(sum(one["direction_p_value"] < most for one in judged))
    t = [one["information_t"] for one in judged]
    yield f"{median(t):.1f} ({min(t):.1f} … {max(t):.1f})"


def rows(name: str, run: dict[str, Any]) -> Iterable[tuple[str, ...]]:
    """Every forecaster of a backtest."""
    beside = run["best_baseline"]["beside"] if "forecasters" in run else {}
    holm = together(beside)
    for who, one in run.get("forecasters", {}).items():
        net = " … ".join(f"{100 * x:+.2f}" for x in one["net"][1:])
        rival = beside.get(who, {"excess": None, "error": None})
        yield (
            name,
            who.replace("_", " "),
            less(*saved(one, "excess")),
            less(*saved(one, "recent_excess")),
            beyond_flat(one),
            less(*saved(one, "direction")),
            chance(one["direction_p_value"]),
            order(one),
            less(rival["excess"], rival["error"], rival.get("degrees")),
            chance(holm.get(who)),
            f"{one['macro_f1']:.3f}",
            f"{100 * one['net'][0]:+.2f} ({net})",
        )


def book_rows(name: str, run: dict[str, Any]) -> Iterable[tuple[str, ...]]:
    """Every label and horizon of an order-book benchmark."""
    for one in run["labels"] if isinstance(run["labels"], list) else ():
        scores = one["scores"]
        always, line, *_, ensemble = scores
        shown = [f"{scores[who]['macro_f1']:.3f}" for who in (always, line)]
        shown += [
            f"{who if who != ensemble else ''} {scores[who]['macro_f1']:.3f} "
            f"({scores[who]['above_linear']:+.3f} ± "
            f"{side(scores[who]):.3f})".strip()
            for who in (one["best"], ensemble)
        ]
        yield (name, one["label"], str(one["horizon"]), *shown)


def side(score: Mapping[str, Any]) -> float:
    """Half of an interval of what a forecaster of a book is above the line."""
    return reach(score.get("degrees")) * score["above_linear_error"]


if __name__ == "__main__":
    main(sys.argv[1:])
