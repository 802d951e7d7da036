"""`report.html`: one page that needs nothing else, written for a stranger."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from bot4jax import durable
from bot4jax.learn.evaluate import LEAST_BARS, PRIOR, RECENT
from bot4jax.learn.folds import LEAST_LABELS
from bot4jax.modes.markup import folded, paragraph, section, table
from bot4jax.modes.report_features import features
from bot4jax.modes.report_rollout import rollout
from bot4jax.modes.report_skill import calibration, members, skill, training, vote
from bot4jax.modes.report_trade import denials, money, speed, states
from bot4jax.modes.story import Story

CSS = """
:root { color-scheme: light; --ink: #1f2933; --soft: #52606d; --line: #e4e7eb; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); margin: 0 auto;
  max-width: 70rem; padding: 1.5rem; background: #fff; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem;
  border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .2rem; }
p { max-width: 46rem; } .soft, caption, th { color: var(--soft); }
.stamp { color: #fff; background: #c23b57; padding: .1rem .5rem; border-radius: .3rem;
  font-size: .8rem; letter-spacing: .06em; margin-left: .6rem; }
.warn { background: #fff4e0; border-left: 4px solid #e07a1f; padding: .6rem .9rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr));
  gap: .8rem; margin: 1.2rem 0; }
.card { border: 1px solid var(--line); border-radius: .5rem; padding: .7rem .9rem; }
.card b { display: block; font-size: 1.25rem; }
.wide, figure { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .92rem;
  font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .2rem .8rem .2rem 0; font-weight: normal;
  white-space: nowrap; border-bottom: 1px solid var(--line); }
th { vertical-align: bottom; white-space: normal; }
th:first-child, td:first-child, .text { text-align: left; }
td.text { white-space: normal; overflow-wrap: anywhere; }
td.text:last-child { min-width: 12rem; }
svg { width: 46rem; max-width: 100%; min-width: 30rem; height: auto; display: block; }
figcaption { color: var(--soft); font-size: .9rem; }
details { margin: .6rem 0; } code { font-size: .9em; }
"""


def write_report(path: Path, story: Story, more: Sequence[str] = ()) -> Path:
    """Write the page, whole or not at all."""
    return durable.write(path, page(story, more))


def page(story: Story, more: Sequence[str] = ()) -> str:
    """The report as HTML; `more` are sections of one mode's own, after the skill."""
    parts = [
        introduction(story),
        cards(story),
        warnings(story),
        skill(story),
        *more,
        calibration(story),
        vote(story),
        members(story),
        money(story),
        denials(story),
        states(story),
        rollout(story),
        speed(story),
        features(story),
        training(story),
        provenance(story.manifest, story.seconds),
    ]
    return framed(story.title, story.market.simulated, parts)


def framed(title: str, simulated: bool, parts: Sequence[str]) -> str:
    """A page that needs nothing else, stamped where its market is simulated."""
    stamp = '<span class="stamp">SIMULATED</span>' if simulated else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)} · bot4jax</title><style>{CSS}</style></head>"
        f"<body><h1>{escape(title)}{stamp}</h1>{''.join(parts)}</body></html>\n"
    )


def introduction(story: Story) -> str:
    market, spans = story.market, story.market.spans
    traded = story.summary.get("traded_bars", spans["test"])
    judged = story.summary.get("judged_bars", traded)
    newest = f"the newest {judged:,} one by one, orders, fills and money of all. "
    symbols = "1 symbol" if market.symbols == 1 else f"{market.symbols:,} symbols"
    known = (
        f"{symbols} of <b>{escape(market.source)}</b>, bars of "
        f"{market.bar_seconds:g} s: {spans['train']:,} to train on, "
        f"{spans['calibrate']:,} to calibrate on"
    )
    if story.ensemble is None and story.trade is None:
        return paragraph(
            f"{known}. <b>Nothing was tested</b>: all figures are of bars that "
            "something was fitted on. <code>mode=backtest run.model=FOLDER</code>, the "
            f"folder of this run, judges the {spans['test']:,} unseen bars behind them."
        )
    return paragraph(
        f"{known}, {spans['test']:,} unseen ones to "
        f"test on. {'' if judged == traded else 'Told are ' + newest}"
        "Figures come from the unseen bars unless they say otherwise."
    )


def cards(story: Story) -> str:
    """The few numbers that most readers came for."""
    shown: list[tuple[str, str]] = []
    if story.ensemble is not None:
        prior = story.baselines.get(PRIOR)
        recent = story.baselines.get(RECENT)
        beside = "" if prior is None else f"; class prior {prior.log_loss:.4f}"
        beside += "" if recent is None else f", recent prior {recent.log_loss:.4f}"
        label = f"ensemble's log loss, less is better{beside}"
        shown.append((label, f"{story.ensemble.log_loss:.4f}"))
    trade = story.trade
    if trade is not None:
        shown += [
            (f"net result, {trade.currency}", f"{trade.pnl['net']:,.0f}"),
            ("orders · fills", f"{trade.orders:,} · {trade.fills:,}"),
            ("denied or made smaller", f"{sum(trade.denials.values()):,}"),
        ]
    if "decision" in story.latency_ms:
        stage = story.latency_ms["decision"]
        shown.append(("decision latency, 99 of 100 below", f"{stage['p99']:.1f} ms"))
    boxes = (
        f'<div class="card"><b>{value}</b><span class="soft">{label}</span></div>'
        for label, value in shown
    )
    return f'<div class="cards">{"".join(boxes)}</div>'


def warnings(story: Story) -> str:
    """What keeps a reader from taking a figure for more than it is."""
    market = story.market
    said = list(story.summary.get("alarms", ()))
    if story.summary.get("ended_early"):
        said.append(ended(story.summary["traded_bars"], market.spans["test"]))
    if market.simulated:
        said.append(
            "This market is simulated: it shows that the machine works, and nothing "
            "about profit in a real one."
        )
    if story.ensemble is not None and market.effective_labels < LEAST_LABELS:
        said.append(
            f"Only {market.effective_labels} labels do not overlap, fewer than "
            f"{LEAST_LABELS}: the figures of skill below prove nothing."
        )
    if story.ensemble is not None and story.ensemble.is_too_short:
        said.append(
            f"Too short to say who saves log loss: {story.ensemble.bars:,} test bars "
            f"have a label, fewer than {LEAST_BARS:,}. Rare storms decide it, and a "
            "span without one looks sure of itself. On the simulator intervals held "
            "the truth in 65 to 91 of 100 shorter spans, in place of 95. So log loss, "
            "and what is saved of it, stand below without intervals and without a "
            "verdict. Direction and the IC are judged all the same: this is said of "
            "log loss alone."
        )
    if not market.simulated and market.spans["test"] * market.bar_seconds < 86_400:
        said.append(
            "The test span is shorter than a day: right for checking the machine, far "
            "too short for any claim of profit."
        )
    if market.rejected:
        listed = ", ".join(
            f"{count:,} {reason.replace('_', ' ')}"
            for reason, count in market.rejected.items()
            if count
        )
        said.append(f"Rows of the source that were not used, by reason: {listed}.")
    if market.refused:
        listed = ", ".join(
            f"{count:,} {reason} ticks" for reason, count in market.refused.items()
        )
        said.append(f"Ticks that the feed did not let in, by reason: {listed}.")
    return "".join(f'<p class="warn">{one}</p>' for one in said)


def ended(traded: int, asked: int) -> str:
    """How far a run went that a person ended."""
    if traded < asked:
        return (
            f"The run was ended after {traded:,} of {asked:,} bars: all that follows "
            "is of those."
        )
    return (
        f"The run was ended after all of its {asked:,} bars, while they were traded "
        "again: what was not traded to its end is left out."
    )


def provenance(manifest: Mapping[str, Any], seconds: Mapping[str, float]) -> str:
    """Where the figures come from, and how to get them again."""
    rows = [
        (key, escape(str(value)))
        for key, value in manifest.items()
        if not isinstance(value, Mapping)
    ]
    rows += [(key, escape(str(v))) for key, v in manifest.get("packages", {}).items()]
    took = ", ".join(f"{part} {s:.0f} s" for part, s in seconds.items())
    return (
        section("Provenance")
        + paragraph(f"The run took {took}.")
        + folded("Command, machine, versions", table(("what", ""), rows, text_from=1))
    )
