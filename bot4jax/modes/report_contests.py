"""The report's section on who beats the best baseline: plain sentences, and figures."""

from collections.abc import Iterator

from bot4jax.learn import student
from bot4jax.learn.evaluate import FLAT
from bot4jax.learn.matches import LEVEL
from bot4jax.learn.metrics import LEAST_CROSS_SECTION
from bot4jax.learn.pairs import Contest, Match, Verdict
from bot4jax.modes.markup import chance, paragraph, shown, table
from bot4jax.modes.story import Story

FIGURES = {
    "information_coefficient": ("order (IC)", 1.0, ".3f"),
    "hit_rate": ("direction (hit rate)", 100.0, ".2f"),
}
"""Of each figure its name, and how it is told: times, and in which form."""

VERDICTS: dict[Verdict, str] = {
    "better": "better",
    "worse": "worse",
    "not told apart": "not to be told apart",
    "the same": "the same forecast",
}
"""In the order of the sentence; the last is said of somebody alone."""

HEADS = (
    "beside the best baseline",
    "in",
    "own",
    "the baseline's",
    "lead ± 95 %",
    "Holm's p",
    "",
)


def contests(story: Story) -> str:
    """Of every member and the ensemble: better, worse, or not to be told apart."""
    if story.ahead is None or not story.ahead.contests:
        return ""
    found = story.ahead.contests
    said = "".join(paragraph(sentence(*one)) for one in found.items())
    rows = [row for figure, one in found.items() for row in rows_of(figure, one)]
    return paragraph(MEANING) + said + table(HEADS, rows)


MEANING = (
    "Order and direction are told bar by bar, so that a short span can tell them. Each "
    "forecaster stands beside the baseline that had the most of the figure on the "
    "calibration span, fold by fold, on the labels that both speak of: <i>order</i> is "
    f"the IC, of fewer than {LEAST_CROSS_SECTION} symbols fold by fold, so that it may "
    "differ from the one in the next table; <i>direction</i> is the share of moves "
    "whose way was the likelier, in per cent. The test is of their difference and has "
    "two sides; p values are Holm's, of all rows below together."
)


CONSTANT = (
    " A constant leans one way all the time: its hit rate is the share of moves that "
    "went there, and the intervals allow for how that falls."
)
"""Of a baseline in direction; that it leans the right way, it owes the calibration
span."""


def sentence(figure: str, found: Contest) -> str:
    """Who is what in a figure, with the lead on the best baseline."""
    rivals = " and ".join(shown(name) for name in dict.fromkeys(found.rivals))
    told = "; ".join(
        f"{words}: {names(figure, found, verdict) or 'nobody'}"
        for verdict, words in VERDICTS.items()
        if verdict != "the same" or names(figure, found, verdict)
    )
    name, *_ = FIGURES[figure]
    is_constant = figure == "hit_rate" and not {*FLAT}.isdisjoint(found.rivals)
    return (
        f"In {name} the best baseline on the calibration span is {rivals}. Beside it, "
        f"at p ≤ {LEVEL:g} after Holm, {told}.{CONSTANT if is_constant else ''}"
    )


def names(figure: str, found: Contest, verdict: Verdict) -> str:
    """Those of whom that is said, with their lead."""
    own = {
        name: one
        for name, one in found.beside.items()
        if found.verdict(name, LEVEL) == verdict
    }
    if verdict == "the same":
        return ", ".join(map(shown, own))
    return ", ".join(
        f"{shown(name)} ({lead(figure, one)})" for name, one in own.items()
    )


def rows_of(figure: str, found: Contest) -> Iterator[tuple[str, ...]]:
    """The figures of everyone."""
    name, times, form = FIGURES[figure]
    for who, one in found.beside.items():
        p = found.p_values[who]
        yield (
            shown(who),
            name,
            *(f"{times * x:{form}}" if x == x else "–" for x in (one.own, one.rival)),
            lead(figure, one),
            chance(p) if p == p else "–",
            VERDICTS[found.verdict(who, LEVEL)],
        )


def lead(figure: str, one: Match) -> str:
    """The difference with its interval; – where no label is common."""
    _, times, form = FIGURES[figure]
    if one.lead != one.lead:
        return "–"
    told = f"{times * one.lead:+{form}}"
    if one.error != one.error:
        return told
    side = student.reach(one.degrees) * one.error
    return f"{told} ± {times * side:{form}}"
