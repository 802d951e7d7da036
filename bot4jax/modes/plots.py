"""The report's pictures, as SVG that stands in the page itself.

Matplotlib is imported once there is something to draw: no run waits for it to begin.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from bot4jax.learn import health, student
from bot4jax.learn.evaluate import PRIOR
from bot4jax.learn.metrics import Reliability
from bot4jax.learn.novelty import Segment
from bot4jax.modes.story import Bound, Story

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e7eb",
    "axes.edgecolor": "#9aa5b1",
    "svg.fonttype": "none",
    "svg.hashsalt": "bot4jax",
    "legend.frameon": False,
}
COLOURS = ("#2f6fed", "#e07a1f", "#2a9d5c", "#a04fd1", "#c23b57", "#6b7785")
SIZE = (7.2, 3.0)


def svg(figure: "Figure", simulated: bool) -> str:
    """The figure as an SVG element; simulated markets say so in the picture."""
    if simulated:
        figure.text(0.005, 1, "SIMULATED", color="#c23b57", size=8)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None}, bbox_inches="tight")
    found = text.getvalue()
    return found[found.index("<svg") :]


def drawn(simulated: bool, draw, *arguments) -> str:
    """One picture of one panel: `draw(axes, …)`."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        draw(figure.subplots(), *arguments)
        return svg(figure, simulated)


def legend(axes: "Axes") -> None:
    """Above the picture, where it hides nothing."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=6)


def spoken(names: Iterable[str]) -> list[str]:
    return [name.replace("_", " ") for name in names]


def skill(axes: "Axes", story: Story) -> None:
    """Log loss of every forecaster less the class prior's, with paired intervals where
    the span is long enough for them."""
    judged = dict(story.members)
    if story.ensemble is not None:
        judged["ensemble"] = story.ensemble
    others = {n: one for n, one in story.baselines.items() if n != PRIOR}
    judged |= others
    prior = story.baselines[PRIOR].log_loss
    names = list(judged)[::-1]
    shown = spoken(names)
    gain = [judged[name].excess * 1e3 for name in names]
    error = [
        1e3 * student.reach(judged[name].degrees) * judged[name].excess_error
        for name in names
    ]
    colours = [COLOURS[5] if name in others else COLOURS[0] for name in names]
    is_known = not any(judged[name].is_too_short for name in names)
    reach = error if is_known else None
    axes.barh(shown, gain, xerr=reach, color=colours, ecolor="#52606d", height=0.6)
    axes.axvline(0, color="#323f4b", linewidth=0.8)
    axes.set_xlabel("log loss − class prior, 10⁻³ nats (left is better)")
    if story.bound is not None:
        _mark_bound(axes, story.bound, prior)


def _mark_bound(axes: "Axes", bound: Bound, prior: float) -> None:
    at, reach = (bound.log_loss - prior) * 1e3, 1.96e3 * bound.standard_error
    axes.axvspan(at - reach, at + reach, color=COLOURS[2], alpha=0.15, linewidth=0)
    axes.axvline(at, color=COLOURS[2], linestyle="--", label="best possible forecast")
    legend(axes)


def reliability(axes: "Axes", curves: Mapping[str, Reliability]) -> None:
    """How often a class came true where the ensemble gave it that probability."""
    for colour, (name, curve) in zip(COLOURS, curves.items(), strict=False):
        size = 12 + 160 * curve.share
        axes.scatter(
            curve.forecast, curve.observed, size, colour, alpha=0.8, label=name
        )
    ends = (0.0, max(max(c.forecast.max(initial=0.5) for c in curves.values()), 0.6))
    axes.plot(ends, ends, color="#9aa5b1", linewidth=1)
    axes.set_xlabel("probability given")
    axes.set_ylabel("share that came true")
    legend(axes)


def weights(
    axes: "Axes", names: Sequence[str], values: Float[np.ndarray, "T W"]
) -> None:
    """The members' weights, bar by bar; the fallback's on top."""
    axes.stackplot(
        np.arange(len(values)), values.T, labels=[*names, "fallback"], colors=COLOURS
    )
    axes.set_ylim(0, 1)
    axes.set_xlabel("test bar")
    axes.set_ylabel("weight in the vote")
    legend(axes)


def training(axes: "Axes", losses: Mapping[str, Float[np.ndarray, " U"]]) -> None:
    """Loss of each net, a running mean over a twentieth of the updates."""
    for colour, (name, values) in zip(COLOURS, losses.items(), strict=False):
        width = max(1, len(values) // 20)
        smooth = np.convolve(values, np.ones(width) / width, "valid")
        axes.plot(np.arange(len(smooth)) + width, smooth, color=colour, label=name)
    by_update(axes, losses)
    axes.set_ylabel("training log loss, nats")
    legend(axes)


def by_update(axes: "Axes", values: Mapping[str, Float[np.ndarray, " U"]]) -> None:
    """The same axis for all that is told by update, the first being 1."""
    from matplotlib.ticker import MaxNLocator

    updates = max(map(len, values.values()), default=0)
    axes.set_xlim(1, max(updates, 2))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("update")


def lengths(
    axes: "Axes", values: Float[np.ndarray, " U"], colour: str, name: str
) -> None:
    """On a scale of powers, which has no place for an update without a gradient."""
    shown = np.where(values > 0, values, np.nan)
    updates = np.arange(1, len(shown) + 1)
    axes.semilogy(updates, shown, color=colour, linewidth=0.8, label=name)


def gradients(axes: "Axes", norms: Mapping[str, Float[np.ndarray, " U"]]) -> None:
    """Length of each net's gradient before it is clipped."""
    for colour, (name, values) in zip(COLOURS, norms.items(), strict=False):
        lengths(axes, values, colour, name)
    by_update(axes, norms)
    axes.set_ylabel("gradient norm")
    legend(axes)


def ratios(
    axes: "Axes", nets: Iterable[str], values: Mapping[str, Float[np.ndarray, " U"]]
) -> None:
    """Gradient of first over last layer, by net, in the colours of all nets' gradients;
    and where that warns."""
    for colour, name in zip(COLOURS, nets, strict=False):
        if name in values:
            lengths(axes, values[name], colour, name)
    for edge in (health.FADING, health.GROWING):
        axes.axhline(edge, color="#c23b57", linewidth=0.8, linestyle="--")
    by_update(axes, values)
    axes.set_ylabel("first / last layer")
    legend(axes)


def saturated(axes: "Axes", shares: Mapping[str, Float[np.ndarray, " U"]]) -> None:
    """Gates nearly shut or open, by layer, at the updates that were looked at."""
    for i, (name, own) in enumerate(shares.items()):
        seen = np.flatnonzero(np.isfinite(own))
        style = {"color": COLOURS[i % len(COLOURS)], "marker": ".", "markersize": 3}
        axes.plot(seen + 1, 100 * own[seen], linewidth=0.8, label=name, **style)
    axes.axhline(100 * health.SATURATED, color="#c23b57", linewidth=0.8, linestyle="--")
    axes.set_ylim(0, 100)
    by_update(axes, shares)
    axes.set_ylabel("saturated gates, %")
    legend(axes)


def equity(axes: "Axes", story: Story) -> None:
    """Net asset value over the test span, and at the mids of the decisions."""
    from matplotlib.dates import ConciseDateFormatter

    if story.trade is None:
        return
    curve = story.trade.curve
    when = np.array([row.boundary_ns for row in curve], "datetime64[ns]")
    net = np.array([row.nav for row in curve]) - curve[0].nav
    paid = np.array([row.fees + row.funding + row.slippage for row in curve])
    gross = net + paid - paid[0]
    axes.plot(when, gross, color=COLOURS[5], label="at the mids of the decisions")
    axes.plot(when, net, color=COLOURS[0], label="net")
    axes.axhline(0, color="#9aa5b1", linewidth=0.8)
    axes.set_ylabel(f"profit, {story.trade.currency}")
    axes.set_xlabel("time of the market, UTC")
    axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))
    legend(axes)


def novelty(axes: "Axes", parts: Sequence[Segment], expected: float) -> None:
    """Share of rows beyond the training bars' edge, part by part of the test span."""
    centres = [one.first + one.bars / 2 for one in parts]
    shares = [100 * one.beyond for one in parts]
    widths = [0.9 * one.bars for one in parts]
    axes.bar(centres, shares, widths, color=COLOURS[0])
    axes.axhline(
        100 * expected, color=COLOURS[1], linestyle="--", label="of training bars"
    )
    axes.set_xlabel("test bar")
    axes.set_ylabel("rows beyond the edge, %")
    legend(axes)


def latency(axes: "Axes", stages: Mapping[str, Mapping[str, float]]) -> None:
    """p50 and p99 of every stage of a step."""
    names = list(stages)[::-1]
    shown = spoken(names)
    for colour, quantile in zip((COLOURS[0], COLOURS[1]), ("p50", "p99"), strict=True):
        values = [max(stages[name][quantile], 1e-3) for name in names]
        axes.scatter(values, shown, color=colour, label=quantile)
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds")
    legend(axes)
