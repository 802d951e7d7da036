"""`report.html`: one page that needs nothing else, written for a stranger."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from bot4jax.learn.folds import LEAST_LABELS
from bot4jax.learn.redundancy import TWINS
from bot4jax.modes import plots
from bot4jax.modes.story import FeatureFacts, Story
from bot4jax.runtime.folder import write_text
from bot4jax.runtime.limits import TradingState

CSS = """
:root { color-scheme: light; --ink: #1f2933; --soft: #52606d; --line: #e4e7eb; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); margin: 0 auto;
  max-width: 62rem; padding: 1.5rem; background: #fff; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem;
  border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
p { max-width: 46rem; } .soft, caption, th { color: var(--soft); }
.stamp { color: #fff; background: #c23b57; padding: .1rem .5rem; border-radius: .3rem;
  font-size: .8rem; letter-spacing: .06em; margin-left: .6rem; }
.warn { background: #fff4e0; border-left: 4px solid #e07a1f; padding: .6rem .9rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr));
  gap: .8rem; margin: 1.2rem 0; }
.card { border: 1px solid var(--line); border-radius: .5rem; padding: .7rem .9rem; }
.card b { display: block; font-size: 1.25rem; }
table { border-collapse: collapse; margin: .6rem 0;
  font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .2rem .8rem .2rem 0; font-weight: normal;
  border-bottom: 1px solid var(--line); } th:first-child, td:first-child,
td.text { text-align: left; } svg { max-width: 100%; height: auto; display: block; }
figure { margin: .8rem 0; } figcaption { color: var(--soft); font-size: .9rem; }
details { margin: .6rem 0; } code { font-size: .9em; }
"""


def write_report(path: Path, story: Story, more: Sequence[str] = ()) -> Path:
    """Write the page, whole or not at all."""
    return write_text(path, page(story, more))


def page(story: Story, more: Sequence[str] = ()) -> str:
    """The report as HTML; `more` are sections of one mode's own, after the skill."""
    stamp = '<span class="stamp">SIMULATED</span>' if story.market.simulated else ""
    parts = [
        f"<h1>{escape(story.title)}{stamp}</h1>",
        introduction(story),
        cards(story),
        warnings(story),
        skill(story),
        *more,
        calibration(story),
        vote(story),
        money(story),
        denials(story),
        states(story),
        speed(story),
        features(story),
        training(story),
        provenance(story),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(story.title)} · bot4jax</title><style>{CSS}</style></head>"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def introduction(story: Story) -> str:
    market, spans = story.market, story.market.spans
    return paragraph(
        f"{market.symbols:,} symbols of <b>{escape(market.source)}</b>, bars of "
        f"{market.bar_seconds:g} s: {spans['train']:,} to train on, "
        f"{spans['calibrate']:,} to calibrate on, {spans['test']:,} unseen ones to "
        "test on. Figures come from the unseen bars unless they say otherwise."
    )


def cards(story: Story) -> str:
    """The few numbers that most readers came for."""
    shown: list[tuple[str, str]] = []
    if story.ensemble is not None:
        prior = story.baselines.get("class_prior")
        gain = "" if prior is None else f" (prior {prior.log_loss:.4f})"
        shown.append(("ensemble log loss" + gain, f"{story.ensemble.log_loss:.4f}"))
    trade = story.trade
    if trade is not None:
        shown += [
            (f"net result, {trade.currency}", f"{trade.pnl['net']:,.0f}"),
            ("orders · fills", f"{trade.orders:,} · {trade.fills:,}"),
            ("denied or made smaller", f"{sum(trade.denials.values()):,}"),
        ]
    if "decision" in story.latency_ms:
        stage = story.latency_ms["decision"]
        shown.append(("decision latency, p99", f"{stage['p99']:.1f} ms"))
    boxes = (
        f'<div class="card"><b>{value}</b><span class="soft">{label}</span></div>'
        for label, value in shown
    )
    return f'<div class="cards">{"".join(boxes)}</div>'


def warnings(story: Story) -> str:
    """What keeps a reader from taking a figure for more than it is."""
    market, said = story.market, []
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
    return "".join(f'<p class="warn">{one}</p>' for one in said)


def skill(story: Story) -> str:
    """How well classes were forecast, beside what is possible without a model."""
    if story.ensemble is None:
        return ""
    judged = [*story.members.items(), ("ensemble", story.ensemble)]
    judged += story.baselines.items()
    rows = [
        (
            name.replace("_", " "),
            f"{one.log_loss:.4f} ± {1.96 * one.log_loss_error:.4f}",
            with_error(1e3 * one.excess, 1e3 * one.excess_error),
            f"{one.brier:.4f}",
            f"{one.ece:.4f}",
            f"{one.macro_f1:.3f}",
            f"{one.mcc:.3f}",
            f"{one.hit_rate:.3f}",
            with_t(one.information_coefficient, one.information_t),
            with_t(one.rank_coefficient, one.rank_t),
        )
        for name, one in judged
    ]
    heads = (
        "forecaster",
        "log loss ± 95 %",
        "less prior, 10⁻³",
        "Brier",
        "ECE",
        "macro-F1",
        "MCC",
        "hit rate",
        "IC (t)",
        "rank IC (t)",
    )
    shares = ", ".join(
        f"{span} {' / '.join(f'{100 * share:.1f}' for share in values)}"
        for span, values in story.market.class_shares.items()
    )
    text = paragraph(
        f"{story.market.labels:,} labels count, worth "
        f"{story.market.effective_labels:,} that share no bar. Classes down / flat / "
        f"up, in per cent: {shares}. Intervals are a stationary block bootstrap over "
        "time with all symbols together; those of differences to the class prior are "
        "paired, since both meet the same market. t values are Newey–West."
    )
    if story.bound is not None:
        text += paragraph(
            f"The simulator's best possible forecast has a log loss of "
            f"{story.bound.log_loss:.4f} ± {1.96 * story.bound.standard_error:.4f}. "
            "A forecaster that beat it would be reading the future."
        )
    chart = ""
    if "class_prior" in story.baselines:
        chart = figure(story, plots.skill, story, caption="Left of the line is skill.")
    return section("Forecasts") + text + chart + table(heads, rows)


def calibration(story: Story) -> str:
    """Whether a probability means what it says."""
    rows = [
        (
            name,
            f"{one.temperature:.3f}",
            *(f"{value:.4f}" for value in (*one.log_loss, *one.ece)),
        )
        for name, one in story.calibration.items()
    ]
    heads = (
        "on the calibration span",
        "temperature",
        "log loss before",
        "after",
        "ECE before",
        "after",
    )
    chart = (
        figure(
            story,
            plots.reliability,
            story.reliability,
            caption="The ensemble on the test span; larger points hold more labels.",
        )
        if story.reliability
        else ""
    )
    return section("Calibration") + chart + table(heads, rows)


def vote(story: Story) -> str:
    """Who was listened to."""
    if not len(story.weights):
        return ""
    chart = figure(
        story,
        plots.weights,
        list(story.members),
        story.weights,
        caption="Weights move only with labels that have matured.",
    )
    return section("Vote") + chart


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


def training(story: Story) -> str:
    """How the nets were fitted."""
    if not story.training:
        return ""
    return (
        section("Training")
        + figure(story, plots.training, story.training)
        + figure(story, plots.gradients, story.gradients, caption="Gradient health.")
    )


def provenance(story: Story) -> str:
    """Where the figures come from, and how to get them again."""
    manifest = story.manifest
    rows = [
        (key, escape(str(value)))
        for key, value in manifest.items()
        if not isinstance(value, Mapping)
    ]
    rows += [(key, escape(str(v))) for key, v in manifest.get("packages", {}).items()]
    took = ", ".join(f"{part} {s:.0f} s" for part, s in story.seconds.items())
    return (
        section("Provenance")
        + paragraph(f"The run took {took}.")
        + folded("Command, machine, versions", table(("what", ""), rows, text_from=1))
    )


def with_error(value: float, error: float) -> str:
    """A difference and its 95 % interval; – where there is nothing to differ from."""
    return f"{value:+.1f} ± {1.96 * error:.1f}" if value == value else "–"


def with_t(value: float, t: float) -> str:
    """A coefficient and its t value; a forecaster that never varies has neither."""
    return f"{value:.3f} ({t:.1f})" if value == value else "–"


def section(title: str) -> str:
    return f"<h2>{title}</h2>"


def paragraph(text: str) -> str:
    return f"<p>{text}</p>"


def figure(story: Story, draw: Any, *arguments: Any, caption: str = "") -> str:
    """A picture with a caption."""
    drawn = plots.drawn(story.market.simulated, draw, *arguments)
    return f"<figure>{drawn}<figcaption>{caption}</figcaption></figure>"


def folded(title: str, content: str) -> str:
    """Content that opens on a click; nothing where there is none."""
    if not content:
        return ""
    return f"<details><summary>{title}</summary>{content}</details>"


def table(
    heads: Sequence[str], rows: Iterable[Sequence[Any]], text_from: int = 99
) -> str:
    """A table, or nothing without rows; columns from `text_from` on are prose."""
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="text">{cell}</td>' if i >= text_from else f"<td>{cell}</td>"
            for i, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    head = "".join(f"<th>{head}</th>" for head in heads)
    return f"<table><tr>{head}</tr>{body}</table>" if body else ""
