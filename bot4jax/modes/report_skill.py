"""The report's sections on forecasts: skill, calibration, vote, the fit of the nets."""

from collections.abc import Iterable, Mapping
from math import isnan

from bot4jax.learn import health, student
from bot4jax.learn.calibrate import Calibration
from bot4jax.learn.evaluate import FLAT, PRIOR, RECENT, Judged
from bot4jax.learn.gates import OPEN, SHUT
from bot4jax.learn.metrics import LEAST_CROSS_SECTION
from bot4jax.learn.pairs import LEAST_CHANCE, Ahead, holm
from bot4jax.modes import plots
from bot4jax.modes.markup import (
    figure,
    folded,
    number,
    paragraph,
    section,
    table,
    with_error,
    with_t,
)
from bot4jax.modes.report_contests import contests
from bot4jax.modes.story import Story

SURE = 0.05
"""Chance of a finding without skill, at most, to be told as one."""

TOO_SHORT = "the span is too short to say"
"""In place of a verdict on log loss."""

NOTHING_MOVED = "there was nothing to tell, for no label is up or down"
"""In place of one on direction."""

SEEN = (
    "Where curves stand behind the temperature, what is told <i>after</i> is of the "
    "very labels that they were fitted on, better than it will be: curves bend with "
    "what they have seen. The picture and the forecasts above are of the test span."
)
"""Of figures in the calibration's table that their own labels flatter."""

REGIMES = (
    "In brackets the temperature of each regime, from calm to wild: its own labels say "
    "as much of it as they are many, all labels the rest. A symbol is calm where its "
    "volatility is below that of two thirds of its training bars, wild where it is "
    "above that of two thirds."
)

LOSSES = (
    "Log loss of each net on what it learns from, a running mean over a twentieth of "
    "the updates, drawn at the last of them. Every picture counts updates from 1."
)
"""Below the picture of training."""

COLUMNS = {
    "class prior": "always the shares of the training span: who saves nothing against "
    "it knows nothing",
    "recent prior": "always the shares of the calibration span, from which everyone "
    "else has a temperature: who saves nothing against it either knows how the shares "
    "have drifted, and no more",
    "log loss": "mean of −ln p, p the probability given to what came true; in nats, "
    "less is better",
    "Brier": "mean squared distance of the three probabilities from what came true; "
    "less is better",
    "ECE": "expected calibration error: how far the probability of the likeliest class "
    "is from the share of times that it came true",
    "macro-F1": "how well the likeliest class is the true one, each class alike; 1 is "
    "always",
    "MCC": "Matthews correlation of the likeliest class with the true one; 0 is "
    "guessing",
    "direction hit rate": "share of those labels after which the price moved whose way "
    "was the likelier of up and down; whoever always says flat leans one way too",
    "IC, rank IC": "information coefficient: correlation of the forecast with the "
    "return that followed, plain and of ranks, across symbols in each bar; of fewer "
    f"than {LEAST_CROSS_SECTION} symbols over all bars of all folds together, where "
    "another constant in each fold correlates too; t is Newey–West's, made good for "
    "few bars, and p the chance of as much without skill, for a forecaster asked "
    "alone: of twenty that know nothing one is below .05",
}
"""What a head of the table means, for who has not met it."""

SKILL_HEADS = (
    "forecaster",
    "log loss ± 95 %",
    "less prior, 10⁻³",
    "less recent prior, 10⁻³",
    "direction, 10⁻³",
    "Brier",
    "ECE",
    "macro-F1",
    "MCC",
    "direction hit rate",
    "IC (t; p)",
    "rank IC (t; p)",
)


def skill(story: Story) -> str:
    """How well classes were forecast, beside what is possible without a model."""
    if story.ensemble is None:
        return ""
    judged = [*story.members.items(), ("ensemble", story.ensemble)]
    judged += story.baselines.items()
    rows = [scores(name, one) for name, one in judged]
    chart = ""
    if PRIOR in story.baselines:
        chart = figure(
            story,
            plots.skill,
            story,
            caption="Left of the line: better than the class prior, by knowing how the "
            "shares have drifted since training or more; direction or not.",
        )
    meanings = table(("", ""), COLUMNS.items(), text_from=1)
    heads = unsure(SKILL_HEADS) if story.ensemble.is_too_short else SKILL_HEADS
    told = table(heads, rows) + folded("What the columns mean", meanings)
    return section("Forecasts") + reading(story) + chart + told


def scores(name: str, one: Judged) -> tuple[str, ...]:
    """A forecaster's row, by `SKILL_HEADS`; no prior is compared with itself."""
    known = not one.is_too_short
    beside = (
        ((PRIOR,), one.excess, one.excess_error, one.degrees, known),
        (
            (RECENT,),
            one.recent_excess,
            one.recent_excess_error,
            one.recent_degrees,
            known,
        ),
        (FLAT, one.direction, one.direction_error, one.direction_degrees, True),
    )
    return (
        name.replace("_", " "),
        log_loss(one),
        *(
            "–" if name in none else with_error(1e3 * x, 1e3 * e, degrees, is_known)
            for none, x, e, degrees, is_known in beside
        ),
        *(number(x, 4) for x in (one.brier, one.ece)),
        *(number(x) for x in (one.macro_f1, one.mcc, one.hit_rate)),
        *(with_t(*each) for each in orders(one)),
    )


def log_loss(one: Judged) -> str:
    """With its interval, where the span is long enough to know it."""
    side = student.reach(one.log_loss_degrees) * one.log_loss_error
    if one.is_too_short or side != side:
        return number(one.log_loss, 4)
    return f"{one.log_loss:.4f} ± {side:.4f}"


def unsure(heads: Iterable[str]) -> tuple[str, ...]:
    """Heads of columns without their intervals."""
    return tuple(one.removesuffix(" ± 95 %") for one in heads)


def orders(one: Judged) -> tuple[tuple[float, float, float], ...]:
    """IC and rank IC, each with its t and p values."""
    return (
        (one.information_coefficient, one.information_t, one.information_p_value),
        (one.rank_coefficient, one.rank_t, one.rank_p_value),
    )


def reading(story: Story) -> str:
    """What was forecast, how to read the table, and what it comes to."""
    known = story.market.class_shares
    shares = ", ".join(
        f"{span} {' / '.join(f'{100 * share:.1f}' for share in known[span])}"
        for span in ("train", "calibrate", "test")
        if span in known
    )
    text = paragraph(
        f"{story.market.labels:,} labels count, worth "
        f"{story.market.effective_labels:,} that share no bar{worth(story)}. "
        f"Classes down / flat / up, in per cent: {shares}. Intervals are of time "
        "with all symbols together, by Student's distribution, and as wide as the "
        "memory asks that the bars' losses show; those of differences to the class "
        "prior are paired, since both meet the same market. "
        "<i>Direction</i> is the log loss of telling up from down where the price "
        "moved, less what the forecaster's own mean leaning would have lost there: "
        "knowing how much it moves is worth nothing in it, and below zero is knowing "
        "where to. Intervals have two sides; p values ask for one, the better, and "
        f"none is told below {LEAST_CHANCE:g}."
    )
    text += paragraph(verdict(story)) + contests(story)
    if story.bound is not None:
        text += paragraph(
            f"The simulator's best possible forecast has a log loss of "
            f"{story.bound.log_loss:.4f} ± {1.96 * story.bound.standard_error:.4f}. "
            "A forecaster that beat it would be reading the future."
        )
    return text


def worth(story: Story) -> str:
    """What the span tells of saved log loss, where there is a prior to save against."""
    one = story.ensemble
    if one is None or one.effective_bars != one.effective_bars:
        return ""
    return (
        f"; what the ensemble saves is known as from about {one.effective_bars:,.0f} "
        "independent bars"
    )


def verdict(story: Story) -> str:
    """Plainly: who is better than always flat, who knows direction, who leads."""
    judged = {**story.members, "ensemble": story.ensemble}
    known = {name: one for name, one in judged.items() if one is not None}
    better = listed(holm({name: one.p_value for name, one in known.items()}))
    is_known = not any(one.is_too_short for one in known.values())
    told = (
        f"Of {len(known)} that are asked at once, at p ≤ {SURE:g} after Holm: better "
        "than always flat, with the shares of the training span and with those of the "
        f"calibration span: {better if is_known else TOO_SHORT}. "
        f"Telling up from down: {knowing(known)}."
    )
    return told if story.ahead is None else f"{told} {lead(story.ahead, is_known)}"


def knowing(known: Mapping[str, Judged]) -> str:
    """Who knows direction, or that there was none to know."""
    if known and all(isnan(one.direction) for one in known.values()):
        return NOTHING_MOVED
    return listed(holm({name: one.direction_p_value for name, one in known.items()}))


def lead(ahead: Ahead, is_known: bool) -> str:
    """Who is ahead of the best baseline, by what the calibration span calls best."""
    rivals = " and ".join(
        name.replace("_", " ") for name in dict.fromkeys(ahead.rivals)
    )
    leaders = listed(ahead.p_values) if is_known else TOO_SHORT
    return (
        f"The best baseline on the calibration span is {rivals}. Ahead of it, by a "
        f"paired test at p ≤ {SURE:g} after Holm: {leaders}."
    )


def listed(chances: Mapping[str, float]) -> str:
    """Whose p value is small, or nobody."""
    return ", ".join(name for name, p in chances.items() if p <= SURE) or "nobody"


def calibration(story: Story) -> str:
    """Whether a probability means what it says."""
    rows = [
        (
            name,
            temperatures(one) + (", curves" if one.curves else ""),
            *(f"{value:.4f}" for value in (*one.log_loss, *one.ece)),
        )
        for name, one in story.calibration.items()
    ]
    heads = (
        "on the calibration span",
        "temperature",
        "log loss before",
        "after",
        "ECE before",
        "after",
    )
    chart = (
        figure(
            story,
            plots.reliability,
            story.reliability,
            caption="The ensemble on the test span; larger points hold more labels.",
        )
        if story.reliability
        else ""
    )
    text = paragraph(
        "A forecast of 30 % is calibrated if it comes true 30 times in 100: points on "
        "the line. Log odds are divided by the temperature, which was fitted on the "
        "calibration span; above 1 it makes forecasts more modest. Far above 1 is a "
        "member that knows its training bars by heart, and is surer than it is right "
        "about others. ECE is how far forecasts are from the line on average."
    )
    if any(one.by_regime for one in story.calibration.values()):
        text += paragraph(REGIMES)
    if any(one.curves for one in story.calibration.values()):
        text += paragraph(SEEN)
    return section("Calibration") + text + chart + table(heads, rows)


def temperatures(found: Calibration) -> str:
    """The temperature, and those of regimes, from calm to wild."""
    each = ", ".join(f"{one.temperature:.3f}" for one in found.by_regime)
    return f"{found.temperature:.3f}" + (f" ({each})" if each else "")


def vote(story: Story) -> str:
    """Who was listened to."""
    if not len(story.weights):
        return ""
    chart = figure(
        story,
        plots.weights,
        list(story.members),
        story.weights,
        caption="Weights move only with labels that have matured.",
    )
    text = paragraph(
        "The ensemble's forecast is the members' mean, each with the weight that its "
        "scores on past bars have earned it. The fallback, a logistic regression on "
        "a few features, speaks where a member has nothing finite to say."
    )
    return section("Vote") + text + chart


def members(story: Story) -> str:
    """How many numbers each member was fitted to."""
    rows = [
        (NETS.get(name, name), f"{count:,}")
        for name, count in story.summary.get("parameters", {}).items()
    ]
    if grown := story.summary.get("forest"):
        told = "{trees:,} trees, {splits:,} splits, {leaves:,} leaves".format(**grown)
        rows.append(("trees", told))
    heads = ("member", "weights that were fitted")
    return section("Members") + table(heads, rows) if rows else ""


NETS = {
    "stem": "the stem, which all nets share",
    "heads": "the heads, one a net",
    "total": "all nets together",
}
"""What is no member by itself, as its row is called."""


def training(story: Story) -> str:
    """How the nets were fitted."""
    if not story.training:
        return ""
    told = story.summary.get("gradients") or {}
    said = (f'<p class="warn">{one}.</p>' for one in told.get("warnings", ()))
    return (
        section("Training")
        + "".join(said)
        + figure(story, plots.training, story.training, caption=LOSSES)
        + figure(story, plots.gradients, story.gradients, caption=gradients(story))
        + first_to_last(story, told.get("first_to_last", {}))
        + gates(story, told.get("saturated", {}))
    )


def first_to_last(story: Story, told: Mapping[str, Mapping[str, float]]) -> str:
    """Whether the gradient reaches the first layers."""
    if not told:
        return ""
    caption = (
        "Norm of the gradient of each net's first layer over that of its last one, of "
        f"nets that have both. Dashed: below {health.FADING:g} the first layers learn "
        f"next to nothing, above {health.GROWING:g} the gradient grows on its way back."
    )
    rows = [(name, *(f"{x:.3g}" for x in one.values())) for name, one in told.items()]
    heads = ("first over last layer's gradient", "at the start", "at the end")
    chart = figure(story, plots.ratios, story.gradients, story.ratios, caption=caption)
    return chart + table(heads, rows)


def gates(story: Story, told: Mapping[str, Mapping[str, float]]) -> str:
    """Whether gates still move."""
    if not told:
        return ""
    caption = (
        f"Gates below {SHUT:g} or above {OPEN:g}, of all of a layer's: they hardly "
        "pass a gradient on. Dashed: where more than half are, a layer no longer "
        "learns when to remember."
    )
    rows = [
        (name, *(f"{100 * x:.1f} %" for x in one.values()))
        for name, one in told.items()
    ]
    heads = ("saturated gates", "at the start", "at the end")
    chart = figure(story, plots.saturated, story.saturated, caption=caption)
    return chart + table(heads, rows)


def gradients(story: Story) -> str:
    """What went wrong with them, in one sentence."""
    told = story.summary.get("gradients")
    if told is None:
        return "Gradient health."
    skipped, vanished = told["skipped"], told["vanished"]
    small = [f"{name} in {100 * share:.2g} %" for name, share in vanished.items()]
    return (
        f"Gradient health: of {told['updates']:,} updates "
        f"{100 * told['clipped']:.0f} % were clipped to <code>train.clip_norm</code>, "
        f"{skipped['not_finite']} skipped as not finite and {skipped['exploded']} as "
        "exploded. Layers whose gradient vanished beside that of their net's head: "
        f"{', '.join(small) or 'none'}."
    )
