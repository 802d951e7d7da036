"""The report's section on traps for leaks."""

from bot4jax.modes.markup import paragraph, section, table
from bot4jax.modes.traps import Caught, alarms


def trapped(found: Caught, is_asked: bool = False) -> str:
    """What was laid, what it holds, and plainly whether anything went off.

    Traps that were asked for and are not laid: the run was ended before.
    """
    loud = alarms(found)
    said = "".join(f'<p class="warn">{one}</p>' for one in loud)
    verdict = said or paragraph("No trap for leaks went off.")
    heads = "trap", "holds"
    return section("Traps for leaks") + verdict + table(heads, rows(found, is_asked), 1)


def rows(found: Caught, is_asked: bool) -> list[tuple[str, str]]:
    """One row a trap."""
    why = "the run was ended before" if is_asked else "backtest.traps=true"
    unlaid = f"not laid: {why}"
    shuffled = unlaid if found.shuffled_t is None else f"t = {found.shuffled_t:.2f}"
    moved = unlaid if found.moved is None else f"{found.moved:,} values"
    strayed = "there are none" if found.moved is None else str(len(found.strayed))
    least = "not known for this market"
    if found.excess:
        name, one = min(
            found.excess.items(), key=lambda x: x[1].log_loss / x[1].standard_error
        )
        least = (
            f"nearest: {name.replace('_', ' ')}, {1e3 * one.log_loss:+.3f} ± "
            f"{1e3 * one.standard_error:.3f} · 10⁻³"
        )
    return [
        ("spans whose labels share a bar", str(len(found.overlaps))),
        ("log loss above the best possible forecast", least),
        ("skill on shuffled bars, everything fitted on them", shuffled),
        ("training rows that change with later bars", moved),
        ("features of plugins that are not their definition", strayed),
    ]
