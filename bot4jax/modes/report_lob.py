"""What the benchmark of the limit-order book tells: macro-F1 by label and horizon."""

from collections.abc import Mapping, Sequence
from typing import Any

from bot4jax.learn.lob import Book
from bot4jax.learn.lob_contest import ALWAYS, ENSEMBLE, LINEAR, Judged, Score
from bot4jax.modes import summary
from bot4jax.modes.markup import paragraph, section, table
from bot4jax.modes.report import framed, provenance
from bot4jax.runtime.folder import RunFolder, write_text
from bot4jax.schema import Config

MEANING = {
    "smoothed": "Mean mid of the next k events against the mean of the last k. Half of "
    "it has happened when it is asked for, so a straight line knows much of it.",
    "honest": "Mean mid of the next k events against the mid that stands now: what "
    "somebody who trades now could have.",
    "published": "The classes that the data set itself gives: smoothed, with its own "
    "edges.",
}

SURE = 1.96
"""Standard errors of a difference that is no accident, at 95 %."""


def tell_lob(
    folder: RunFolder,
    config: Config,
    book: Book,
    judged: Sequence[Judged],
    seconds: Mapping[str, float],
) -> None:
    """Write `summary.json` and `report.html`."""
    folder.write_json("summary.json", figures(folder, config, book, judged, seconds))
    kinds = dict.fromkeys(one.kind for one in judged)
    parts = [
        introduction(config, book),
        *(told([one for one in judged if one.kind == kind]) for kind in kinds),
        provenance(folder.manifest, seconds),
    ]
    write_text(folder.path / "report.html", framed(folder.name, book.simulated, parts))


def figures(
    folder: RunFolder,
    config: Config,
    book: Book,
    judged: Sequence[Judged],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """The fields of `summary.json`."""
    return {
        "schema": summary.SCHEMA,
        "mode": config.mode,
        "data": config.data.source,
        "simulated": book.simulated,
        "symbols": len(book.symbols),
        "days": book.days,
        "events": counts(book),
        "labels": [
            {
                "label": one.kind,
                "horizon": one.horizon,
                "classes": one.shares.tolist(),
                "best": one.best,
                "scores": {name: x._asdict() for name, x in one.scores.items()},
            }
            for one in judged
        ],
        "seed": config.run.seed,
        "config_hash": folder.hash,
        "seconds": sum(seconds.values()),
    }


def counts(book: Book) -> dict[str, int]:
    """Rows that count, of each side."""
    sides = {"train": book.train, "calibrate": book.calibrate, "test": book.test}
    return {name: int(one.lanes.counted.sum()) for name, one in sides.items()}


def introduction(config: Config, book: Book) -> str:
    rows, own = counts(book), config.lob
    return paragraph(
        f"Books of {', '.join(book.symbols)} from <b>{config.data.source}</b>, "
        f"{book.days} {'days' if book.days > 1 else 'day'}, {own.levels} levels, "
        f"by event: {rows['train']:,} to train on, {rows['calibrate']:,} to choose the "
        f"best member by, then {rows['test']:,} unseen ones. "
        "No feature, label or stretch reaches from one symbol, day or side of a cut "
        "into another. Classes are cut so that "
        f"{100 * own.flat_share:.0f} % of each symbol's training labels are flat, and "
        "weigh alike in training. Everyone sees the same rows, the baseline too; "
        "intervals come from drawing blocks of time with replacement, all symbols "
        "together."
    )


def told(judged: Sequence[Judged]) -> str:
    """One label: who reaches what, and who is above the line."""
    names = list(judged[0].scores)
    heads = ("macro-F1 ± 95 %", *(f"k = {one.horizon}" for one in judged))
    rows = [(name, *(shown(one.scores[name]) for one in judged)) for name in names]
    above = [
        (name, *(difference(one.scores[name]) for one in judged))
        for name in names
        if name not in (ALWAYS, LINEAR)
    ]
    shares = [" / ".join(f"{100 * x:.0f}" for x in one.shares) for one in judged]
    return (
        section(f"Label: {judged[0].kind}")
        + paragraph(f"{MEANING[judged[0].kind]} {verdict(judged)}")
        + table(heads, [*rows, ("down / flat / up, %", *shares)])
        + table(("above the line ± 95 %", *heads[1:]), above)
    )


def verdict(judged: Sequence[Judged]) -> str:
    """Plainly, who is above the linear baseline and where."""
    pooled = {one.horizon: one.scores[ENSEMBLE] for one in judged}
    chosen = {one.horizon: one.scores[one.best] for one in judged}
    names = ", ".join(dict.fromkeys(one.best for one in judged))
    return (
        f"Beside the linear baseline, the ensemble {compared(pooled)}. The best member "
        f"of the calibration span ({names}) {compared(chosen)}."
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
    reach = SURE * score.above_linear_error
    return (score.above_linear > reach) - (score.above_linear < -reach)


def shown(score: Score) -> str:
    return f"{score.macro_f1:.3f} ± {SURE * score.error:.3f}"


def difference(score: Score) -> str:
    return f"{score.above_linear:+.3f} ± {SURE * score.above_linear_error:.3f}"
