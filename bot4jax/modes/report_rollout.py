"""The report's section on how far a strategy has come towards real money."""

from html import escape

from bot4jax.modes.markup import paragraph, section, table
from bot4jax.modes.story import Story


def rollout(story: Story) -> str:
    """Phase, what is wanting, gates and moves; nothing of a run that is part of no
    rollout."""
    told = story.summary.get("rollout")
    if told is None:
        return ""
    text = paragraph(
        f"This run began in the <b>{told['phase']}</b> phase; the next one of this "
        f"strategy begins in <b>{told['next']}</b>. An interval wholly within its "
        "limit holds, one wholly beyond it is broken and sends the strategy back, any "
        "other is open. All of them hold at once, however often they are looked at."
    )
    wanting = [
        (one["name"], f"{one['seen']:.4g}", f"{one['wanted']:.4g}")
        for one in told["wanting"]
    ]
    gates = [
        (
            one["name"],
            *("–" if x is None else f"{x:.4g}" for x in one["found"]),
            f"{one['limit']:.4g}",
            one["verdict"],
        )
        for one in told["gates"]
    ]
    moves = [
        (one["before"], one["after"], f"{one['step']:,}", escape(one["text"]))
        for one in told["moves"]
    ]
    return (
        section("Rollout")
        + text
        + table(("before the next phase", "seen", "wanted"), wanting)
        + table(("gate", "mean", "from", "to", "limit", "verdict"), gates)
        + table(("from", "to", "after step", "what was shown"), moves, text_from=3)
    )
