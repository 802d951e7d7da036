"""What the benchmark of the limit-order book tells: macro-F1 by label and horizon."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bot4jax import durable
from bot4jax.data.fi2010 import BLOCK, JUMP
from bot4jax.learn import lob, student
from bot4jax.learn.lob import Book
from bot4jax.learn.lob_contest import ALWAYS, ENSEMBLE, LINEAR, Judged, Score
from bot4jax.modes import fields, summary, trials
from bot4jax.modes.markup import paragraph, section, table
from bot4jax.modes.report import framed, provenance
from bot4jax.modes.trials import Tried
from bot4jax.runtime.folder import RunFolder
from bot4jax.schema import Config

MEANING = {
    "smoothed": "Mean mid of the next k events against the mean of the last k. Half of "
    "it has happened when it is asked for, so a straight line knows much of it.",
    "honest": "Mean mid of the next k events against the mid that stands now: what "
    "somebody who trades now could have.",
    "published": "The classes that the data set itself gives: smoothed, with its own "
    "edges.",
}

UNUSED = (
    "features",
    "backtest",
    "strategy",
    "risk",
    "venue",
    "labels.horizon",
    "labels.latency_ms",
    "every key of ensemble but members",
)
"""Sections and keys that mean nothing to labels by event."""


def tell_lob(
    folder: RunFolder,
    config: Config,
    book: Book,
    judged: Sequence[Judged],
    seconds: Mapping[str, float],
) -> None:
    """Enter the trial, and write `summary.json` and `report.html`."""
    slots = 1 + max(int(one.max()) for one in lob.slots(book.test.pieces))
    tried = trials.written(folder, config, slots)
    counts = figures(folder, config, book, judged, tried)
    counts["seconds"] = sum(seconds.values())
    folder.write_json("summary.json", counts)
    kinds = dict.fromkeys(one.kind for one in judged)
    parts = [
        introduction(config, book),
        left_out(config, book),
        luck(tried),
        *(
            told([one for one in judged if one.kind == kind], unit(config))
            for kind in kinds
        ),
        provenance(folder.manifest, seconds),
    ]
    page = framed(folder.name, book.simulated, parts)
    durable.write(folder.path / "report.html", page)


def figures(
    folder: RunFolder,
    config: Config,
    book: Book,
    judged: Sequence[Judged],
    tried: Tried,
) -> dict[str, Any]:
    """The fields of `summary.json`: of those that every run has, nothing was traded.

    A bar is a row here: an event, or every tenth one. Members are judged label by
    label, under `labels`.
    """
    members = config.ensemble.members
    unjudged = dict.fromkeys(("log_loss", "brier", "ece"))
    return {
        "schema": summary.SCHEMA,
        "mode": config.mode,
        "data": config.data.source,
        "simulated": book.simulated,
        "symbols": len(book.symbols),
        "bars": counts(book),
        "days": len(book.shares),
        "events": counts(book),
        "classes": None,
        "members": {name: unjudged | {"weight": 1 / len(members)} for name in members},
        "ensemble": unjudged,
        "baselines": {ALWAYS: unjudged, LINEAR: unjudged},
        "decisions": 0,
        **summary.untraded(None),
        **fields.of_the_engine([]),
        "masked": {},
        "resumed_from": None,
        "shares": {day: len(own) for day, own in book.shares.items()},
        "dropped": [one._asdict() for one in book.dropped],
        "untested": list(book.untested),
        "trials": tried.told(),
        "labels": [
            {
                "label": one.kind,
                "horizon": one.horizon,
                "classes": one.shares.tolist(),
                "without": one.without,
                "best": one.best,
                "scores": {name: x._asdict() for name, x in one.scores.items()},
            }
            for one in judged
        ],
        "seed": config.run.seed,
        "config_hash": folder.hash,
        "catalogue_hash": None,
    }


def counts(book: Book) -> dict[str, int]:
    """Rows that count, of each side."""
    return {name: int(one.lanes.counted.sum()) for name, one in book.sides.items()}


def unit(config: Config) -> str:
    """What is counted: rows of FI-2010 are not all events, but every tenth."""
    return "rows" if config.data.source == "fi2010" else "events"


def introduction(config: Config, book: Book) -> str:
    rows, own, days = counts(book), config.lob, len(book.shares)
    clock = "event" if unit(config) == "events" else f"every {BLOCK}th event"
    return paragraph(
        f"Books of {', '.join(book.symbols)} from <b>{config.data.source}</b>, "
        f"{days} {'days' if days > 1 else 'day'}, {own.levels} levels, "
        f"by {clock}: {rows['train']:,} to train on, "
        f"{rows['calibrate']:,} to choose the best member by, then "
        f"{rows['test']:,} unseen ones. "
        "No feature, label or stretch reaches from one symbol, day or side of a cut "
        "into another. Classes are cut so that "
        f"{100 * config.labels.flat_share:.0f} % of each symbol's training labels are "
        "flat, and weigh alike in training. Everyone sees the same rows, the baseline "
        "too; intervals come from drawing blocks of time with replacement, all symbols "
        "together. Macro-F1 is the mean over the three classes of the harmonic mean of "
        "precision and recall: 1 is always right. The line is a logistic regression. "
        f"Not used: {', '.join(UNUSED)}."
    )


def left_out(config: Config, book: Book) -> str:
    """Which rows nobody was asked for, and why; how FI-2010's shares were found."""
    pieces = sum(len(side.pieces) for side in book.sides.values())
    rows = unit(config)
    parts = [
        f"Left out: the first {config.lob.warm} {rows} of each of {pieces} symbols, "
        "days and sides, which only let nets remember; at their ends, the "
        f"{rows} whose label would reach beyond them, as counted below."
    ]
    parts += [
        f"<b>{one.symbol}</b>, day {one.day}, {one.side}: {one.events} {rows} are too "
        "few for the longest label."
        for one in book.dropped
    ]
    if book.untested:
        parts.append(f"Trained on and never asked for: {', '.join(book.untested)}.")
    if config.data.source == "fi2010":
        parts.append(shares_of_days(book))
    return paragraph(" ".join(parts))


def shares_of_days(book: Book) -> str:
    """How many shares the jumps of the mid made of each day, and which day stands out.

    The files mark none. A jump within a share makes two of it, and labels that would
    have reached over it are lost.
    """
    found = {day: len(own) for day, own in book.shares.items()}
    jumps = sum(count - 1 for count in found.values())
    usual, _ = Counter(found.values()).most_common(1)[0]
    days = ", ".join(f"{count} on day {day}" for day, count in found.items())
    odd = [str(day) for day, count in found.items() if count != usual]
    doubt = f" Day {', '.join(odd)} differs: doubt its shares." if odd else ""
    return (
        f"A row is every {BLOCK}th event: labels of k events look k/{BLOCK} rows "
        "ahead, as those do that the data set gives, and all counts are of rows. "
        "Shares are told apart where the mid jumps by more than "
        f"{100 * JUMP:g} %: {days}.{doubt} The last k events before each of the "
        f"{jumps} jumps have no label, for its mean would be of two shares."
    )


def luck(tried: Tried) -> str:
    """How many looks at this market stand in the ledger."""
    more = tried.charged - tried.known.count
    planned = f" Its sweep has {more:,} jobs to come." if more else ""
    return paragraph(
        "Configurations that have looked at this market from this folder of runs, this "
        f"one among them: {tried.known.count}.{planned} The best of many is "
        "better than it is."
    )


def told(judged: Sequence[Judged], counted: str) -> str:
    """One label: who reaches what, and who is above the line; `counted`: what the test
    consists of."""
    names = list(judged[0].scores)
    heads = ("macro-F1 ± 95 %", *(f"k = {one.horizon}" for one in judged))
    rows = [(name, *(shown(one.scores[name]) for one in judged)) for name in names]
    above = [
        (name, *(difference(one.scores[name]) for one in judged))
        for name in names
        if name not in (ALWAYS, LINEAR)
    ]
    lost = [f"{one.without['test']:,}" for one in judged]
    without = (f"{counted} of the test without a label", *lost)
    shares = [" / ".join(f"{100 * x:.0f}" for x in one.shares) for one in judged]
    return (
        section(f"Label: {judged[0].kind}")
        + paragraph(f"{MEANING[judged[0].kind]} {verdict(judged)}")
        + table(heads, [*rows, ("down / flat / up, %", *shares), without])
        + table(("above the line ± 95 %", *heads[1:]), above)
    )


def verdict(judged: Sequence[Judged]) -> str:
    """Plainly, who is above the linear baseline and where."""
    pooled = {one.horizon: one.scores[ENSEMBLE] for one in judged}
    chosen = {one.horizon: one.scores[one.best] for one in judged}
    names = ", ".join(dict.fromkeys(one.best for one in judged))
    return (
        f"Beside the linear baseline, the ensemble {compared(pooled)}. The best member "
        f"of the calibration span ({names}) {compared(chosen)}. Each is asked alone: "
        "of twenty that know as much as the line, one is told from it."
    )


def compared(scores: Mapping[int, Score]) -> str:
    """Where somebody is above the linear baseline and where not, by horizon."""
    above = [horizon for horizon, one in scores.items() if sign(one) > 0]
    below = [horizon for horizon, one in scores.items() if sign(one) < 0]
    told = [
        f"{word} it at k = {', '.join(map(str, horizons))}"
        for word, horizons in (("beats", above), ("is worse than", below))
        if horizons
    ]
    rest = len(scores) - len(above) - len(below)
    if rest:
        told.append(f"cannot be told from it at {rest} of {len(scores)} horizons")
    return "; ".join(told)


def sign(score: Score) -> int:
    """1 above the line, −1 below, 0 where the interval holds both."""
    reach = side(score)
    return (score.above_linear > reach) - (score.above_linear < -reach)


def shown(score: Score) -> str:
    return f"{score.macro_f1:.3f} ± {student.reach(score.degrees) * score.error:.3f}"


def difference(score: Score) -> str:
    return f"{score.above_linear:+.3f} ± {side(score):.3f}"


def side(score: Score) -> float:
    """Half of the interval of what a forecaster is above the line."""
    return student.reach(score.degrees) * score.above_linear_error
