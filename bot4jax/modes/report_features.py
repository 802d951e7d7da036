"""The report's section on features: what became of them, and what they are worth."""

from collections.abc import Mapping

from bot4jax.learn.redundancy import TWINS
from bot4jax.modes.markup import folded, paragraph, section, table
from bot4jax.modes.story import FeatureFacts, Story


def features(story: Story) -> str:
    """What was absent, masked and clamped, and what the trees leaned on."""
    found = story.features
    absent = [
        (name, ", ".join(columns)) for name, columns in sorted(found.absent.items())
    ]
    touched = [
        (name, f"{found.masked[name]:,}", f"{found.clamped[name]:,}")
        for name in found.names
        if name not in found.absent and (found.masked[name] or found.clamped[name])
    ]
    text = paragraph(
        f"{len(found.names) - len(absent)} of {len(found.names)} features were "
        f"computed; {len(absent)} are absent, because the source does not show what "
        f"they need. Of {found.values:,} values of each feature, so many were masked "
        "(not finite, out of range, or not warm yet) or clamped:"
    )
    return (
        section("Features")
        + text
        + folded("Masked and clamped", table(("feature", "masked", "clamped"), touched))
        + folded("Absent", table(("feature", "missing columns"), absent, text_from=1))
        + leant_on(found)
        + folded(
            f"{sum(not one.identity for one in found.twins)} pairs with a correlation "
            f"beyond {TWINS:g} that no definition ties",
            table(
                ("feature", "correlation", "with", "by definition"),
                [(a, f"{r:.3f}", b, why) for a, b, r, why in found.twins],
                text_from=2,
            ),
        )
    )


def leant_on(found: FeatureFacts) -> str:
    """What the forest leans on: by feature, the first twelve, and by family."""
    families = by_family(found, found.gain), by_family(found, found.contribution)
    heads = "share of the forest's gain", "of its SHAP values, unseen bars"
    return table(
        ("feature", *heads), shared(found.gain, found.contribution)[:12]
    ) + table(("family", *heads), shared(*families))


def shared(gain: Mapping[str, float], moved: Mapping[str, float]) -> list[tuple]:
    """Rows of shares in per cent, the largest gain first, none without any."""
    return [
        (name, f"{100 * gain[name]:.1f} %", f"{100 * moved[name]:.1f} %")
        for name in sorted(gain, key=lambda name: -gain[name])
        if gain[name] or moved[name]
    ]


def by_family(found: FeatureFacts, by_name: Mapping[str, float]) -> dict[str, float]:
    """Each family's share."""
    total = dict.fromkeys(found.family.values(), 0.0)
    for name, share in by_name.items():
        total[found.family[name]] += share
    return total
