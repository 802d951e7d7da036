"""What a backtest earns: by a quick scan, at other costs, met later, at latencies."""

import itertools
from collections.abc import Sequence

from bot4jax.learn.returns import break_even
from bot4jax.learn.room import Told
from bot4jax.modes.evaluation import DELAYS, Evaluation
from bot4jax.modes.markup import even, paragraph, percent, section, shown, table
from bot4jax.modes.plays import Late
from bot4jax.modes.story import Story
from bot4jax.schema import Config

FADED = {
    True: "It is <b>gone within one bar</b>: a signal as short as that, or a leak of "
    "the next bar. <code>mode=certify</code> finds features that read ahead.",
    False: "It does not vanish beyond what an even fading and chance explain.",
    None: "Not judged: a label of one bar has nothing to be late in.",
}
"""What is said of skill by `Fading.is_abrupt`."""

BOUNDED: dict[Told, str] = {
    "sizes": "A trade takes at most what stood at the best price at the close that "
    "decided; the rest waits, and is sized again from what is held: nothing walks the "
    "book, and what a trade leaves behind for the next is not in it.",
    "volume": "This source shows no book: a trade takes at most "
    "<code>venue.participation</code> of what the market traded in the bar that meets "
    "the target; the rest waits, and is sized again from what is held. Neither a walk "
    "of the book nor what a trade moves is in it.",
    "nothing": "This source tells neither sizes nor volumes: targets are met in full, "
    "whatever their size. Neither a walk of the book nor what a trade moves is in it.",
}
"""What is said of how much can be traded, by what the source tells."""


def scan(found: Evaluation) -> str:
    """Money by the quick scan, the same for all, at other costs and met later."""
    rows = [
        (
            shown(name),
            percent(one.gross),
            *(percent(one.gross - times * one.cost) for times in (0.5, 1, 2)),
            even(break_even(one.gross, one.cost)),
            *(percent(gross) for gross in one.late[1:]),
            percent(one.turnover),
            percent(one.asked),
            percent(one.stuck),
        )
        for name, one in found.lines.items()
    ]
    heads = (
        "% of capital",
        "0 × cost",
        ".5 ×",
        "1 ×",
        "2 ×",
        "break-even, × cost",
        *(f"0 ×, {bars} bar{'s' * (bars > 1)} late" for bars in DELAYS[1:]),
        "turnover a bar",
        "were there room",
        "stuck at the end",
    )
    text = paragraph(
        "By the quick scan, for every forecaster alike: the engine's own sizing, the "
        "own last target held, half the spread and the fee paid, and everything sold "
        f"at the end. {BOUNDED[found.told]} <i>Were there room</i> is the turnover "
        "with every target met in full. A symbol that is not live is not traded: a "
        "halt is sat through, and what is <i>stuck at the end</i>, long and short "
        "alike, could not be sold there; it stands at its last price, which nobody "
        "has paid. Who stays for want of room has paid the cost of leaving, who is "
        "not live has not. "
        "Several folds add up. The decisions are those made at 1 × cost; how many "
        "times that cost they could have paid is their break-even. Met one and two "
        "bars late, a forecast fades; one that vanishes at once lives no longer than a "
        "bar, or has read the next."
    )
    return section("Money by a quick scan") + text + table(heads, rows) + faded(found)


def faded(found: Evaluation) -> str:
    """Whether the ensemble's skill goes at once when its entry is late."""
    means, is_abrupt = found.fading
    told = ", ".join(f"{bars} late {1e6 * x:.3f}" for bars, x in enumerate(means))
    said = FADED[is_abrupt]
    return paragraph(
        f"The ensemble's forecast times the return that followed, 10⁻⁶, by bars that "
        f"the entry is late: {told}. {said}"
    )


def latency(config: Config, story: Story, late: Sequence[Late]) -> str:
    """The same span traded with other latencies of the venue."""
    title = section("Latency of orders")
    if config.backtest.fidelity != "exact":
        return title + paragraph("A scan has no orders: the delays above say it all.")
    missing = unfinished(config, story, late)
    if not late:
        return title + paragraph(
            missing
            or "Not varied: this source shows no ticks, and an order meets the next "
            "opening whatever its way takes, or backtest.latencies_ms is empty."
        )
    rows = [
        (
            f"{one.latency_ms:g} ms",
            f"{one.fills:,}",
            f"{one.before:,.2f}",
            f"{one.net:,.2f}",
            even(break_even(one.before, one.cost)),
        )
        for one in late
    ]
    currency = "" if story.trade is None else story.trade.currency
    heads = (
        "latency",
        "fills",
        f"before costs, {currency}",
        "net",
        "break-even, × cost",
    )
    text = paragraph(
        f"Traded again through the venue. {crossing(late)} Before costs, but "
        "from the mids that stood when the orders traded: what they came too late for "
        f"is lost already. {missing}"
    )
    return title + text + table(heads, rows)


def unfinished(config: Config, story: Story, late: Sequence[Late]) -> str:
    """Which latencies are missing since the run was ended; nothing where none is."""
    told = {one.latency_ms for one in late}
    left = [f"{x:g}" for x in config.backtest.latencies_ms if x not in told]
    if not left or not story.summary.get("ended_early"):
        return ""
    return f"The run was ended before {', '.join(left)} ms: they are left out."


def crossing(late: Sequence[Late]) -> str:
    """The latency at which nothing is left, on a line between those measured."""
    if not any(one.fills for one in late):
        return "Nothing was traded at any latency."
    if late[0].net <= 0:
        none = f"at {late[0].latency_ms:g} ms"
        if longer := [f"{one.latency_ms:g}" for one in late if one.net > 0]:
            some = f"something at {', '.join(longer)} ms"
            return f"Nothing is left {none}, {some}: latency is not what takes it."
        return f"Nothing is left even {none}."
    for before, after in itertools.pairwise(late):
        if after.net <= 0:
            share = before.net / (before.net - after.net)
            at = before.latency_ms + share * (after.latency_ms - before.latency_ms)
            return f"Nothing is left at about {at:.0f} ms.{rising(late)}"
    return f"Something is left at {late[-1].latency_ms:g} ms.{rising(late)}"


def rising(late: Sequence[Late]) -> str:
    """Whether more was earned later, which no latency brings; nothing where not."""
    for before, after in itertools.pairwise(late):
        if after.net > before.net:
            return (
                f" More was earned at {after.latency_ms:g} ms than at "
                f"{before.latency_ms:g} ms: chance weighs more here than latency does."
            )
    return ""
