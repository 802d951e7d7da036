"""The sections that only a backtest's report has: baselines, folds, pages."""

from collections.abc import Iterator, Sequence

from bot4jax.learn.bootstrap import Interval
from bot4jax.learn.evaluate import PRIOR, RECENT
from bot4jax.learn.returns import LEAST_DAYS
from bot4jax.learn.rivals import ALPHA_SAMPLES, ALPHA_SYMBOLS, OWN_SYMBOLS
from bot4jax.learn.room import Told
from bot4jax.modes import markup
from bot4jax.modes.evaluation import Evaluation, Line
from bot4jax.modes.markup import (
    folded,
    interval,
    number,
    paragraph,
    percent,
    ratio,
    section,
    shown,
    table,
    with_error,
    with_t,
)
from bot4jax.modes.paths import Path
from bot4jax.modes.plays import FoldPlay, Late
from bot4jax.modes.report_luck import chance
from bot4jax.modes.report_money import BOUNDED, latency, scan
from bot4jax.modes.report_paths import MIXED, spread_over
from bot4jax.modes.report_skill import log_loss, orders, unsure
from bot4jax.modes.report_traps import trapped
from bot4jax.modes.story import Story
from bot4jax.modes.trials import Luck
from bot4jax.schema import Config
from bot4jax.schema.modes import Backtest

FITTED = {
    "none": "Members come from an earlier run and were not fitted again.",
    "walk_forward": "Everything was fitted anew for each fold, on the bars before its "
    "test.",
    "k_fold": "Every part of time is the test once, everything fitted anew on the "
    f'others.</p><p class="warn">{MIXED}',
    "combinatorial": "Every choice of some parts of time is the test once, everything "
    f'fitted anew on the others.</p><p class="warn">{MIXED}',
}
"""What is said of the way in which a backtest fits."""


def sections(
    config: Config,
    story: Story,
    found: Evaluation,
    luck: Luck,
    late: Sequence[Late],
    plays: Sequence[FoldPlay],
    paths: Sequence[Path],
) -> list[str]:
    """In the order of the page."""
    return [
        fidelity(config, found.told),
        beside_baselines(found),
        folds(found, plays),
        spread_over(paths),
        scan(found),
        latency(config, story, late),
        trapped(found.caught, config.backtest.traps),
        chance(found, luck),
        *pages(found),
    ]


def fidelity(config: Config, told: Told) -> str:
    """What kind of backtest this is."""
    if config.backtest.fidelity == "exact":
        said = (
            "An <b>exact</b> backtest: every order went through the gate, the journal "
            "and the paper venue that paper trading uses."
        )
    else:
        said = (
            "A <b>research</b> scan: what is held is the own last target, met after "
            f"half the spread and the fee. {BOUNDED[told]} There is no gate, no venue "
            "and no order; nothing here compares with orders."
        )
    return section("Backtest") + paragraph(f"{said} {FITTED[way(config.backtest)]}")


def way(own: Backtest) -> str:
    """How time was parted; `none` where nothing was fitted."""
    return own.split if own.refit else "none"


def beside_baselines(found: Evaluation) -> str:
    """Who saves log loss against always flat."""
    rows = [
        (
            shown(name),
            f"{one.symbols:,}",
            saved(one, one.gain) if name != PRIOR else "–",
            saved(one, one.recent_gain) if name != RECENT else "–",
            lead(found, name),
            shares(one.net),
        )
        for name, one in found.lines.items()
    ]
    is_known = not any(one.judged.is_too_short for one in found.lines.values())
    sure = " [95&nbsp;%]" if is_known else ""
    test = " ± 95&nbsp;% (Holm's&nbsp;p)" if is_known else ""
    heads = (
        "forecaster",
        "symbols",
        f"log loss saved, 10⁻³ nats{sure}",
        f"saved of the recent prior's{sure}",
        f"log loss less the best baseline's, 10⁻³, below 0 is better{test}",
        "net by the scan, % of capital [95&nbsp;%]",
    )
    text = paragraph(
        "Saved log loss is that of always flat less the forecaster's own, on the same "
        "labels: of the class prior, which says the shares of the training span, and "
        "of the recent prior, which says those of the calibration span. "
        f"{SKILL if is_known else UNKNOWN} "
        f"Alpha158 with boosting is bounded to {ALPHA_SYMBOLS} symbols and "
        f"{ALPHA_SAMPLES:,} rows, and a model of each symbol's own to {OWN_SYMBOLS} "
        "symbols, spread evenly over the universe; both boost as the ensemble's forest "
        "does, and are judged on their own symbols. Fitted baselines are calibrated on "
        "the calibration span as members are, with all regimes alike; the best "
        "baseline is whoever was the best there, fold by fold."
    )
    return section("Beside the baselines") + text + table(heads, rows)


SKILL = (
    "Only above zero with both whole intervals is skill: above the first alone may be "
    "the drift of the shares, which everyone with a temperature has been told."
)
UNKNOWN = (
    "How sure that is, nobody can say of a span as short as this: a storm more or less "
    "decides it."
)
"""What is said of saved log loss with intervals, and without."""


def saved(line: Line, gain: Interval) -> str:
    """Log loss that a forecaster saves, with its interval where the span has one."""
    return interval(gain, 1e3, ".3f", not line.judged.is_too_short)


def lead(found: Evaluation, name: str) -> str:
    """Loss above the best baseline's; – for baselines, and for the best one itself."""
    one = found.ahead.beside.get(name)
    if one is None or one.p_value != one.p_value:
        return "–"
    is_known = not found.lines[name].judged.is_too_short
    above = with_error(1e3 * one.excess, 1e3 * one.error, one.degrees, is_known)
    chance = f" ({markup.chance(found.ahead.p_values[name])})"
    return above + (chance if is_known else "")


def folds(found: Evaluation, plays: Sequence[FoldPlay]) -> str:
    """Each fold by itself."""
    rows = [
        (
            number,
            *map(listed, play.fold),
            f"{found.effective[number - 1]:,}",
            f"{1e3 * found.gains['ensemble'][number - 1]:.3f}",
            f"{1e3 * found.recent_gains['ensemble'][number - 1]:.3f}",
        )
        for number, play in enumerate(plays, 1)
    ]
    heads = (
        "fold",
        "train, bars",
        "calibrate",
        "test",
        "labels without overlap",
        "ensemble saves, 10⁻³ nats",
        "saves of the recent prior's",
    )
    text = paragraph(
        "Calibration, training, gains of features and the latency of stages below are "
        "those of the last fold."
    )
    return section("Folds") + table(heads, rows) + (text if len(plays) > 1 else "")


def listed(pieces: Sequence[range]) -> str:
    """Bars of a span, piece by piece."""
    return ", ".join(f"{one.start:,} … {one.stop - 1:,}" for one in pieces)


def pages(found: Evaluation) -> Iterator[str]:
    """One page a forecaster, folded."""
    yield section("Forecaster by forecaster")
    yield paragraph(
        "Sharpe and Sortino ratios are annual, from daily profits, and not given under "
        f"{LEAST_DAYS} days. Capacity is the largest capital of which the symbols with "
        "95 % of the turnover ask for at most venue.participation of what the market "
        "traded in the same bars, were there room for all that is asked for; it knows "
        "nothing of the prices that larger trades would move."
    )
    for name, one in found.lines.items():
        yield folded(shown(name), table(("", ""), list(details(found, name, one))))


def details(found: Evaluation, name: str, one: Line) -> Iterator[tuple[str, str]]:
    """Everything that is known of one forecaster."""
    judged = one.judged
    head = "log loss ± 95 %"
    yield unsure([head])[0] if judged.is_too_short else head, log_loss(judged)
    yield (
        "saved by fold, 10⁻³ nats",
        ", ".join(f"{1e3 * gain:.2f}" for gain in found.gains[name]),
    )
    yield "Brier · ECE", f"{number(judged.brier, 4)} · {number(judged.ece, 4)}"
    yield (
        "macro-F1 · MCC · direction hit rate",
        " · ".join(
            number(value) for value in (judged.macro_f1, judged.mcc, judged.hit_rate)
        ),
    )
    yield "IC (t; p)", with_t(*orders(judged)[0])
    yield "rank IC (t; p)", with_t(*orders(judged)[1])
    yield "net, % of capital [95 %]", shares(one.net)
    yield "largest drawdown", percent(one.drawdown) + " %"
    yield "profit factor", ratio(one.profit_factor)
    yield "Sharpe · Sortino", f"{ratio(one.sharpe)} · {ratio(one.sortino)}"
    is_known = one.capacity is not None
    yield "capacity, quote currency", f"{one.capacity:,.0f}" if is_known else "–"


def shares(one: Interval) -> str:
    return interval(one, 100, ".3f")
