"""How much of a backtest's result luck explains, after so many trials."""

from html import escape

from bot4jax.modes.evaluation import Evaluation
from bot4jax.modes.markup import folded, number, paragraph, section, table
from bot4jax.modes.trials import Luck

PASS = 0.95
"""Deflated Sharpe ratio from which luck alone is an unlikely explanation."""

SHOWN = 20
"""Trials in the table of them."""


def chance(found: Evaluation, luck: Luck) -> str:
    """What is left once we remember how many were tried."""
    one, tried = luck.deflated, luck.tried.known
    title, rows = section("Luck"), []
    rows.append(("trials in the ledger, on this data", f"{tried.count:,}"))
    if one.trials > tried.count:
        rows.append(("with the jobs of its sweep to come", f"{one.trials:,}"))
    rows.append((f"Sharpe ratio of one of {one.periods:,} periods", number(one.sharpe)))
    rows.append(("expected of the best of as many by luck", number(one.expected_best)))
    rows.append(("deflated Sharpe ratio", number(one.probability)))
    if found.overfit is not None:
        rows.append(
            (
                "probability of overfitting, choosing a forecaster (CSCV)",
                number(found.overfit.probability),
            )
        )
    if luck.overfit is not None:
        rows.append(
            (
                f"choosing one of {luck.overfit.candidates:,} trials of this span",
                number(luck.overfit.probability),
            )
        )
    torn = f" Lines {list(tried.damaged)} of it are damaged." if tried.damaged else ""
    text = paragraph(
        "Every look at a test span is entered in the ledger beside the run folders. "
        "The deflated Sharpe ratio is the probability that the true ratio of the "
        "ensemble's net profit is above what the best of so many worthless trials "
        f"would show; {verdict(one.probability)}.{torn} The "
        "probability of overfitting is how often the forecaster with the best Sharpe "
        "ratio after costs in one half of time is not above the median in the other, "
        "among those that trade and differ in more than size; and how often the trial "
        "is, among those that looked at the same bars of this market and whose "
        f"profits are at hand: {luck.compared:,} of {tried.count:,}."
    )
    return title + text + table(("", ""), rows) + folded("Trials", anew(luck))


def verdict(probability: float) -> str:
    """Whether luck explains the result; without a ratio there is nothing to explain."""
    if probability != probability:
        return "here there is none, for the profit never varied, or periods are too few"
    is_it = "is" if probability >= PASS else "is not"
    return f"here luck {is_it} an unlikely explanation"


def anew(luck: Luck) -> str:
    """Trials of this span as they stand today, the surest; nothing of one alone."""
    if len(luck.anew) < 2:
        return ""
    rows = [
        (escape(one.run), one.kind, number(own.sharpe), number(own.probability))
        for one, own in luck.anew[:SHOWN]
    ]
    heads = ("run", "mode", "Sharpe ratio of a period", "deflated")
    passing = sum(own.probability >= PASS for _, own in luck.anew)
    text = paragraph(
        "Each charged for all that are known by now, those included that were tried "
        f"after it: {passing:,} of {len(luck.anew):,} are above what luck explains. "
        f"The surest {len(rows):,}:"
    )
    return text + table(heads, rows)
