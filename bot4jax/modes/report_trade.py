"""The report's sections on trading: money, denials, states, how long steps took."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from bot4jax.learn import bootstrap
from bot4jax.learn.bootstrap import Interval
from bot4jax.learn.evaluate import Judged
from bot4jax.learn.matches import LEVEL
from bot4jax.learn.returns import LEAST_DAYS, break_even
from bot4jax.modes import plots, summary
from bot4jax.modes.markup import (
    chance,
    even,
    figure,
    interval,
    paragraph,
    percent,
    ratio,
    section,
    table,
)
from bot4jax.modes.story import Story, TradeFacts
from bot4jax.runtime.equity import EquityRow
from bot4jax.runtime.limits import TradingState

STAGES = {
    "absorb": "a batch of ticks goes into the open bars",
    "reorder": "a batch of ticks that came out of order is absorbed again",
    "close": "the bar is closed",
    "venue_wait": "the venue's answers are waited for and booked",
    "portfolio": "positions are valued",
    "decide": "the device forecasts and sizes",
    "gate": "targets become orders, orders meet the limits",
    "inputs": "what came in is safe on disk",
    "journal": "the step is written down",
    "send": "orders leave",
    "decision": "all of it, but for the wait for the venue",
    "snapshot": "the device's state is copied for a restart",
}
"""What happens in a stage of a step."""

LADDER = {
    True: "Costs are fees, spread and adverse selection: of other costs delay and "
    "funding stay.",
    False: "Fees, spread and adverse selection together were earned, as by orders that "
    "rest: such trades have no cost to multiply.",
}
"""What is said of other costs, by whether they are told."""


def money(story: Story) -> str:
    """What trading came to, and what it would at other costs."""
    trade = story.trade
    if trade is None:
        return ""
    pnl = trade.pnl
    rows = [(f"{times} × cost", f"{x:,.2f}") for times, x in at_costs(pnl).items()]
    text = paragraph(
        f"Fee tier: {escape(trade.tier)}. {trade.orders:,} orders became "
        f"{trade.fills:,} fills ({trade.buys:,} buys, {trade.sells:,} sells); "
        f"{trade.partial_fills:,} orders were filled in part. At the mids of the "
        f"decisions the result is {pnl['gross']:,.2f} {trade.currency}; fees took "
        f"{pnl['fees']:,.2f}, the spread, from the mids at the fills to their prices, "
        f"{pnl['spread']:,.2f}, delay, what the mids moved between decision and fill, "
        f"{pnl['delay']:,.2f}, and funding {pnl['funding']:,.2f}. What is negative was "
        f"earned. {LADDER[bool(rows)]}"
    )
    chart = figure(
        story,
        plots.equity,
        story,
        caption="Positions are worth the mid at each bar's close. A table below is "
        "of the same decisions: who pays more would also trade less.",
    )
    if rows:
        paid = break_even(pnl["net"] + summary.cost(pnl), summary.cost(pnl))
        rows.append(("break-even, × cost", even(paid)))
    ladder = table(("at other costs", f"net, {trade.currency}"), rows)
    told = text + idle(trade) + made(trade) + between(story)
    return section("Money") + told + chart + ladder + risked(trade)


def idle(trade: TradeFacts) -> str:
    """That nothing was wanted, and where the reason stands; else nothing."""
    if trade.orders or trade.denials:
        return ""
    return paragraph(
        "No bar asked for an order. A forecast that does not pay for its own cost is "
        "sized to nothing, as one that is less sure than "
        "<code>strategy.confidence_floor</code>; <code>mode=explain</code> tells the "
        "reasons of a symbol and step, <code>mode=journal</code> the flags of all."
    )


def risked(trade: TradeFacts) -> str:
    """What was earned beside what was risked; nothing where no bar was traded."""
    if (one := trade.ratios) is None:
        return ""
    rows = [
        ("Sharpe · Sortino", f"{ratio(one.sharpe)} · {ratio(one.sortino)}"),
        ("largest drawdown", f"{percent(one.drawdown)} %"),
        ("profit factor of bars", ratio(one.profit_factor)),
        ("turnover a bar", f"{percent(one.turnover)} % of the capital"),
    ]
    days = "1 day" if one.days == 1 else f"{one.days:,} days"
    few = f"Sharpe and Sortino ratios are annual, from the profits of {days}, and "
    few += f"not given under {LEAST_DAYS}."
    return table(("the account", ""), rows) + paragraph(few)


def made(trade: TradeFacts) -> str:
    """What orders that rested earned, and kept of it; nothing where none traded."""
    if not trade.curve or not (row := trade.curve[-1]).rested > 0:
        return ""
    lost = adverse_bps(trade.curve, trade.horizon)
    earned, is_known = 1e4 * row.earned / row.rested, bool(np.isfinite(lost.low))
    moved = interval(lost, 1.0, ".3f", is_known)
    return paragraph(
        f"Orders that rested traded {row.rested:,.2f} {trade.currency} and earned "
        f"{earned:.3f} bps of it, from the mids before the trades to their prices. In "
        f"the {trade.horizon} bars that followed mids moved {moved} bps against them: "
        f"<b>adverse selection</b> of {row.adverse:,.2f}, a part of the result at the "
        f"mids of the decisions. Of the half spread {earned - lost.value:.3f} bps are "
        "left before fees. What forecasts were right about is in it too, with the "
        "other sign; the last fills of a run, whose bars are not over, are not."
    )


def adverse_bps(curve: Sequence[EquityRow], horizon: int) -> Interval:
    """By how much mids moved against what rested, bps of its turnover, over time."""
    lost, traded = np.diff([(row.adverse, row.rested) for row in curve], axis=0).T
    bps = 1e4 * np.divide(lost, traded, out=np.zeros_like(lost), where=traded > 0)
    return bootstrap.mean(bps[:, None], traded[:, None], horizon).interval


def between(story: Story) -> str:
    """What lies between forecasts that order returns rightly and a loss; else nothing.

    Only what was counted: the result before costs, the costs, and the gate's denials.
    An order that cannot be told from chance leaves nothing to explain.
    """
    trade, one = story.trade, story.ensemble
    if trade is None or one is None or not one.information_coefficient > 0:
        return ""
    pnl = trade.pnl
    if pnl["net"] >= 0:
        return ""
    coefficient, lost = one.information_coefficient, pnl["gross"] - pnl["net"]
    if not one.information_p_value <= LEVEL:
        return paragraph(
            f"The ensemble's IC of {coefficient:.3f} cannot be told from zero"
            f"{chance_of(one)}: no forecast speaks against a loss. {held_back(trade)}"
        )
    text = (
        f"The ensemble's IC of {coefficient:.3f} is above zero, and the result below: "
    )
    if pnl["gross"] > 0:
        text += (
            f"what was traded brought {pnl['gross']:,.2f} at the mids of the decisions "
            f"and trading it cost {lost:,.2f}, {lost / pnl['gross']:.1f} times as much"
        )
    else:
        text += (
            "what was held lost by itself, before any cost. What is held is not the "
            "forecasts' order alone, but what sizing and the gate make of it, in the "
            "bars of one span"
        )
    return paragraph(f"{text}. {held_back(trade)}")


def chance_of(one: Judged) -> str:
    """The p value of an IC in brackets; nothing where too few bars have none."""
    p = one.information_p_value
    return f" (p {chance(p)})" if np.isfinite(p) else ""


def held_back(trade: TradeFacts) -> str:
    """How often the gate stopped something or made it smaller, and most often why."""
    if not trade.denials:
        return "The gate stopped nothing."
    most = max(trade.denials, key=lambda name: trade.denials[name])
    return (
        f"The gate stopped or made smaller {sum(trade.denials.values()):,} of what was "
        f"wanted, beside {trade.orders:,} orders that left; most often by {most}, "
        f"{trade.denials[most]:,} times."
    )


def at_costs(pnl: Mapping[str, Any]) -> dict[str, float]:
    """The result at other costs; nothing where trading earned what it should cost."""
    return summary.net_at_cost(pnl) if summary.cost(pnl) >= 0 else {}


def denials(story: Story) -> str:
    """What the gate stopped, and why."""
    trade = story.trade
    if trade is None:
        return ""
    rows = [
        (name, f"{count:,}", escape(trade.sentences[name]))
        for name, count in sorted(trade.denials.items(), key=lambda item: -item[1])
    ]
    text = "Before an order leaves, the gate compares it with the limits of "
    text += "<code>risk</code>. "
    text += "What it stopped or made smaller:" if rows else "It stopped nothing."
    heads = ("reason", "times", "meaning")
    return section("Denials") + paragraph(text) + table(heads, rows, text_from=2)


def states(story: Story) -> str:
    """When less than everything could leave, and why."""
    if story.trade is None:
        return ""
    rows = [
        (
            f"{one.step:,}",
            escape(one.cause),
            "holds" if one.is_held else "is lifted",
            TradingState(one.state).name,
            escape(one.text),
        )
        for one in story.trade.transitions
    ]
    heads = ("after step", "cause", "", "state since", "what was found")
    text = paragraph(
        "ACTIVE lets every order leave, REDUCING only those that make positions "
        "smaller, HALTED only cancels. A run begins HALTED."
    )
    return section("States") + text + table(heads, rows, text_from=1)


def speed(story: Story) -> str:
    """How long each stage of a step took."""
    if not story.latency_ms:
        return ""
    rows = [
        (
            name.replace("_", " "),
            *(f"{q[k]:.3f}" for k in ("p50", "p99", "p999")),
            f"{q['n']:,}",
            STAGES.get(name, ""),
        )
        for name, q in story.latency_ms.items()
    ]
    ages = story.information_age_ms
    text = paragraph(
        "Milliseconds a step, all symbols together. <i>decision</i> runs from taking "
        "up the message that closes a bar to the orders' departure, without waiting "
        "for the venue, which is its own row. The first steps, which compile, are left "
        "out. Half of the steps took p50 at most, 99 of 100 p99, 999 of 1,000 p99.9."
    )
    if ages.get("p50") is not None:
        text += paragraph(
            f"Information age, from a tick's receipt to the first decision that used "
            f"it: p50 {ages['p50']:.1f} ms, p99 {ages['p99']:.1f} ms, at the pace of "
            "this feed."
        )
    chart = figure(story, plots.latency, story.latency_ms)
    heads = ("stage", "p50", "p99", "p99.9", "steps", "what happens")
    return section("Latency") + text + chart + table(heads, rows, text_from=5)
