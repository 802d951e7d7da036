"""The report's section on features: what became of them, and what they are worth."""

from collections.abc import Mapping
from html import escape

from bot4jax.kernels.history import STALE_BARS
from bot4jax.learn.importance import BARS, ENSEMBLE, REPEATS, SYMBOLS
from bot4jax.learn.novelty import ORDINARY
from bot4jax.learn.redundancy import TWINS
from bot4jax.modes import plots
from bot4jax.modes.feature_facts import share_beyond
from bot4jax.modes.markup import (
    figure,
    folded,
    interval,
    paragraph,
    section,
    subsection,
    table,
)
from bot4jax.modes.story import FeatureFacts, Story

HEADS = "feature", "forest's gain", "its SHAP values"


def features(story: Story) -> str:
    """All that is known of them."""
    found = story.features
    return (
        section("Features")
        + validation(found)
        + novelty(story)
        + worth(found)
        + twins(found)
    )


def validation(found: FeatureFacts) -> str:
    """What was absent, masked and clamped, and who was silent."""
    absent = [
        (name, ", ".join(columns)) for name, columns in sorted(found.absent.items())
    ]
    touched = [
        (
            name,
            f"{found.masked[name]:,}",
            percent(found.masked[name], found.values),
            f"{found.clamped[name]:,}",
            percent(found.clamped[name], found.values),
        )
        for name in found.names
        if found.masked[name] or found.clamped[name]
    ]
    masked = sum(found.masked[name] > 0 for name in found.names)
    absence = (
        f"; {len(absent)} are absent, because the source does not show what they need"
        if absent
        else ""
    )
    computed = (
        f"{len(found.names) - len(absent)} of {len(found.names)} features were "
        f"computed{absence}. "
    )
    tested = (
        f"Of {found.values:,} values of each feature, one a live "
        f"symbol and bar, some of {masked} features were masked (not finite, out of "
        "range or not warm yet). What lay beyond the clamp was set to it. Of symbols "
        f"that had not been heard for more than {STALE_BARS} bars all is masked, which "
        f"is counted apart: {len(found.silent)} symbols, "
        f"{sum(found.silent.values()):,} bars."
    )
    text = paragraph(computed + (tested if found.values else ""))
    heads = ("feature", "masked", "share", "clamped", "share")
    silent = [
        (escape(symbol), f"{bars:,}")
        for symbol, bars in sorted(found.silent.items(), key=lambda one: -one[1])
    ]
    return (
        text
        + folded("Masked and clamped", table(heads, touched))
        + folded("Silent", table(("symbol", "bars"), silent))
        + folded("Absent", table(("feature", "missing columns"), absent, text_from=1))
    )


def percent(count: int, values: int) -> str:
    return f"{100 * count / values:.2f} %" if values else "–"


def novelty(story: Story) -> str:
    """Whether the test span looks like the training bars."""
    found = story.features.novelty
    share = share_beyond(found)
    if share is None:
        return ""
    text = paragraph(
        f"The edge is the distance that {100 * (1 - ORDINARY):.0f} % of the training "
        "span's last quarter exceed, all features taken together and measured in how "
        "they vary together in its first half (Mahalanobis; covariance after Ledoit "
        f"and Wolf 2004). Of the test rows {100 * share:.1f} % lie beyond it. Much "
        "more than 1 % says that the market has changed since, or that the training "
        "span was too short to know it. Nothing is decided by it."
    )
    chart = figure(story, plots.novelty, found, 1 - ORDINARY)
    return subsection("Novelty") + text + chart


def worth(found: FeatureFacts) -> str:
    """What the members lean on: families by permutation, features by the forest."""
    forest = folded("By feature, of the forest", table(HEADS, by_feature(found)))
    if not found.importance:
        return subsection("Importance") + forest if forest else ""
    text = paragraph(
        "Log loss on unseen bars, 10⁻³ nats, that is added when all features of a "
        "family are put into another order of time, each symbol by itself: the mean of "
        f"{REPEATS} orders, over at most {SYMBOLS} symbols and {BARS:,} bars. Above "
        "zero with its whole interval, the family told something; below zero, the "
        "members were misled by it. Gain is what the forest's splits saved in "
        "training, SHAP values what moved it on the calibration span, right or wrong."
    )
    return subsection("Importance") + text + by_family(found) + forest


def by_feature(found: FeatureFacts) -> list[tuple]:
    """The dozen features that the forest leans on most."""
    leading = sorted(found.gain, key=lambda name: -found.gain[name])[:12]
    return [
        (name, share_of(found.gain[name]), share_of(found.contribution[name]))
        for name in leading
        if found.gain[name] or found.contribution[name]
    ]


def by_family(found: FeatureFacts) -> str:
    """The ensemble's families by what they are worth, and each member beside it."""
    gain, moved = (total(found, one) for one in (found.gain, found.contribution))
    ordered = sorted(
        found.importance.items(), key=lambda item: -item[1][ENSEMBLE].value
    )
    members = [name for name in ordered[0][1] if name != ENSEMBLE]
    rows = [
        (
            family,
            interval(told[ENSEMBLE], 1e3, "+.2f"),
            *(f"{1e3 * told[name].value:+.2f}" for name in members),
            *(share_of(one[family]) if found.gain else "–" for one in (gain, moved)),
        )
        for family, told in ordered
    ]
    return table(("family", "ensemble [95 %]", *members, *HEADS[1:]), rows)


def total(found: FeatureFacts, by_name: Mapping[str, float]) -> dict[str, float]:
    """Each family's share."""
    shares = dict.fromkeys(found.family.values(), 0.0)
    for name, share in by_name.items():
        shares[found.family[name]] += share
    return shares


def share_of(value: float) -> str:
    return f"{100 * value:.1f} %"


def twins(found: FeatureFacts) -> str:
    """Pairs that move together, where somebody has looked."""
    if found.twins is None:
        return ""
    alike = sum(not one.identity for one in found.twins)
    rows = [(a, f"{r:.3f}", b, why) for a, b, r, why in found.twins]
    heads = ("feature", "correlation", "with", "by definition")
    return folded(
        f"{alike} pairs with a correlation beyond {TWINS:g} that no definition ties",
        table(heads, rows, text_from=2),
    )
