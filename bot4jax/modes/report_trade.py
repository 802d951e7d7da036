"""The report's sections on trading: money, denials, states, how long steps took."""

from html import escape

from bot4jax.modes import plots
from bot4jax.modes.markup import figure, paragraph, section, table
from bot4jax.modes.story import Story
from bot4jax.runtime.limits import TradingState


def money(story: Story) -> str:
    """What trading came to, and what it would at other costs."""
    trade = story.trade
    if trade is None:
        return ""
    pnl = trade.pnl
    cost = pnl["fees"] + pnl["slippage"] + pnl["funding"]
    rows = [
        (f"{times:g} × cost", f"{pnl['gross'] - times * cost:,.2f}")
        for times in (0, 0.5, 1, 2)
    ]
    text = paragraph(
        f"Fee tier: {escape(trade.tier)}. {trade.orders:,} orders became "
        f"{trade.fills:,} fills ({trade.buys:,} buys, {trade.sells:,} sells); "
        f"{trade.partial_fills:,} orders were filled in part. At mid prices the "
        f"result is {pnl['gross']:,.2f} {trade.currency}; fees took "
        f"{pnl['fees']:,.2f}, the distance of fills from the mid "
        f"{pnl['slippage']:,.2f}."
    )
    ladder = table(("decisions as they were", f"net, {trade.currency}"), rows)
    return (
        section("Money")
        + text
        + figure(story, plots.equity, story, caption="Positions at closing mids.")
        + ladder
    )


def denials(story: Story) -> str:
    """What the gate stopped, and why."""
    trade = story.trade
    if trade is None:
        return ""
    rows = [
        (name, f"{count:,}", escape(trade.sentences[name]))
        for name, count in sorted(trade.denials.items(), key=lambda item: -item[1])
    ]
    return section("Denials") + table(("reason", "times", "meaning"), rows, text_from=2)


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
    head = ("after step", "cause", "", "state", "what was found")
    return section("States") + table(head, rows, text_from=1)


def speed(story: Story) -> str:
    """How long each stage of a step took."""
    if not story.latency_ms:
        return ""
    rows = [
        (
            name.replace("_", " "),
            *(f"{q[k]:.3f}" for k in ("p50", "p99", "p999")),
            q["n"],
        )
        for name, q in story.latency_ms.items()
    ]
    ages = story.information_age_ms
    text = paragraph(
        "Milliseconds a step, all symbols together. <i>decision</i> runs from taking "
        "up the message that closes a bar to the orders' departure, without waiting "
        "for the venue, which is its own row. The first steps, which compile, are left "
        "out."
    )
    if ages.get("p50") is not None:
        text += paragraph(
            f"Information age, from a tick's receipt to the first decision that used "
            f"it: p50 {ages['p50']:.1f} ms, p99 {ages['p99']:.1f} ms, at the pace of "
            "this feed."
        )
    chart = figure(story, plots.latency, story.latency_ms)
    heads = ("stage", "p50", "p99", "p99.9", "n")
    return section("Latency") + text + chart + table(heads, rows)
