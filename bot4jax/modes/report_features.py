"""The report's section on features: what became of them, and what they are worth."""

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
    leading = sorted(found.gain.items(), key=lambda item: -item[1])[:12]
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
        + table(
            ("share of the forest's gain", ""),
            [(name, f"{100 * share:.1f} %") for name, share in leading if share],
        )
        + table(
            ("by family", ""),
            [(name, f"{100 * s:.1f} %") for name, s in family_gain(found) if s],
        )
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


def family_gain(found: FeatureFacts) -> list[tuple[str, float]]:
    """Each family's share of the forest's gain, the largest first."""
    total = dict.fromkeys(found.family.values(), 0.0)
    for name, share in found.gain.items():
        total[found.family[name]] += share
    return sorted(total.items(), key=lambda item: -item[1])
