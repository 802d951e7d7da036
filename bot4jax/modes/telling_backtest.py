"""The end of a backtest: its trial entered in the ledger, its summary and report."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from bot4jax.learn import metrics
from bot4jax.learn.bootstrap import Interval
from bot4jax.learn.earnings import Earned
from bot4jax.learn.evaluate import PRIOR, RECENT, Judged
from bot4jax.learn.novelty import segments
from bot4jax.learn.returns import break_even
from bot4jax.modes import fields, judging, report_backtest, summary, trials
from bot4jax.modes.evaluation import Evaluation, Line, Scored
from bot4jax.modes.feature_facts import before_a_test, silent_symbols
from bot4jax.modes.forecasters import ENSEMBLE
from bot4jax.modes.paths import Path
from bot4jax.modes.plays import Extent, FoldPlay, Late, is_causal
from bot4jax.modes.ratios import ratios_of
from bot4jax.modes.report import write_report
from bot4jax.modes.report_paths import in_words
from bot4jax.modes.setting import Setting
from bot4jax.modes.story import FeatureFacts, MarketFacts, Story, TradeFacts
from bot4jax.modes.telling import gradients, ratios, saturated, training
from bot4jax.modes.traps import Caught, alarms
from bot4jax.modes.trials import Luck, account_earned
from bot4jax.runtime.equity import EquityRow
from bot4jax.runtime.folder import RunFolder
from bot4jax.runtime.states import Transition
from bot4jax.types import CLASSES

CARRIED = ("realised", "unrealised", "fees", "funding", "spread", "delay", "turnover")
CARRIED += ("rested", "earned", "adverse")
"""Of an account: what the next fold's begins without, and adds up over folds."""


def tell_backtest(
    folder: RunFolder,
    setting: Setting,
    plays: Sequence[FoldPlay],
    whole: Scored,
    found: Evaluation,
    paths: Sequence[Path],
    extent: Extent,
    seconds: dict[str, float],
) -> None:
    """Enter the trial, and write `summary.json` and `report.html`."""
    trade = joined_trades(setting, plays)
    capital = setting.config.strategy.capital
    own = Earned(whole.ends_ns, found.net)
    if trade is not None:
        own = account_earned(trade.curve, capital)
    luck = trials.enter(folder, setting.config, own)
    late = joined_late(plays, extent.is_ended)
    facts = market_facts(setting, plays, whole, found, extent)
    features = feature_facts(setting, plays)
    counts = figures(folder, setting, plays, found, facts, features, trade)
    counts |= how_far(plays, extent)
    counts["backtest"] = own_figures(setting, found, paths, luck, late, trade)
    counts["seconds"] = sum(seconds.values())
    counts = summary.finite(counts)  # a span that was ended may hold but one label
    folder.write_json("summary.json", counts)
    story = story_of(folder, setting, plays, whole, found, facts, trade, features)
    story = story._replace(summary=counts, seconds=seconds)
    more = report_backtest.sections(
        setting.config, story, found, luck, late, plays, paths
    )
    write_report(folder.path / "report.html", story, more)


def how_far(plays: Sequence[FoldPlay], extent: Extent) -> dict[str, Any]:
    """How many bars were traded, of what is asked; a scan trades none."""
    traded = [one.traded.steps for one in plays if one.traded is not None]
    counts = {"traded_bars": sum(traded)} if traded else {}
    return counts | {"ended_early": extent.is_ended}


def joined_trades(setting: Setting, plays: Iterable[FoldPlay]) -> TradeFacts | None:
    """Trading of all folds, one account after the other; None for a scan."""
    facts = [
        judging.trade_facts(setting, one.traded)
        for one in plays
        if one.traded is not None
    ]
    if not facts:
        return None
    first = facts[0]
    curve = chained([one.curve for one in facts], setting.config.strategy.capital)
    counts = ("orders", "fills", "partial_fills", "buys", "sells")
    return first._replace(
        curve=curve,
        ratios=ratios_of(setting, curve),
        pnl=summed([one.pnl for one in facts]) | {"currency": first.currency},
        denials=summed([one.denials for one in facts]),
        transitions=told_apart([one.transitions for one in facts]),
        **{name: sum(getattr(one, name) for one in facts) for name in counts},
    )


def told_apart(folds: Sequence[Sequence[Transition]]) -> list[Transition]:
    """Changes of state of all folds; of several, each says which."""
    if len(folds) == 1:
        return list(folds[0])
    return [
        msgspec.structs.replace(one, text=f"fold {number}: {one.text}")
        for number, own in enumerate(folds, 1)
        for one in own
    ]


def chained(curves: Iterable[Sequence[EquityRow]], capital: float) -> list[EquityRow]:
    """Accounts one after the other: each goes on from the worth of the one before."""
    rows: list[EquityRow] = []
    for curve in curves:
        last = rows[-1] if rows else None
        rows += [row if last is None else added(row, last, capital) for row in curve]
    return rows


def added(row: EquityRow, last: EquityRow, capital: float) -> EquityRow:
    """A row of a fold that began with the capital, on top of the fold before."""
    sums = {name: getattr(row, name) + getattr(last, name) for name in CARRIED}
    return row._replace(nav=row.nav + last.nav - capital, **sums)


def summed(counts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums of numbers by name."""
    total: dict[str, Any] = {}
    for one in counts:
        for name, value in one.items():
            if not isinstance(value, str):
                total[name] = total.get(name, 0) + value
    return total


def joined_late(plays: Sequence[FoldPlay], is_ended: bool = False) -> tuple[Late, ...]:
    """Each latency over all folds, the shortest first.

    Of a run that was ended, those that every fold has come to.
    """
    together = zip(*(one.late for one in plays), strict=not is_ended)
    found = (
        Late(
            latency_ms=same[0].latency_ms,
            fills=sum(one.fills for one in same),
            before=sum(one.before for one in same),
            cost=sum(one.cost for one in same),
            net=sum(one.net for one in same),
        )
        for same in together
    )
    return tuple(sorted(found))


def market_facts(
    setting: Setting,
    plays: Sequence[FoldPlay],
    whole: Scored,
    found: Evaluation,
    extent: Extent,
) -> MarketFacts:
    """What was read; the spans are those of the last fold, the test that of all."""
    last = plays[-1]
    facts = judging.market_facts(setting._replace(split=last.split), last.learned, None)
    weighed = np.bincount(whole.classes.ravel(), whole.weights.ravel(), len(CLASSES))
    own = {name: sum(map(len, one)) for name, one in last.fold._asdict().items()}
    return facts._replace(
        spans=own | {"test": extent.asked},
        class_shares=facts.class_shares | {"test": weighed / weighed.sum()},
        labels=int((whole.weights > 0).sum()),
        effective_labels=sum(found.effective),
    )


def feature_facts(setting: Setting, plays: Sequence[FoldPlay]) -> FeatureFacts:
    """What validation did to each feature, all folds together."""
    last = plays[-1]
    blank = before_a_test(setting._replace(split=last.split), last.learned)
    masked, clamped = np.sum([one.counts for one in plays], axis=0)
    absent = dict.fromkeys(blank.absent, 0)  # masked everywhere, and told apart
    return blank._replace(
        masked=dict(zip(blank.names, masked.tolist(), strict=True)) | absent,
        clamped=dict(zip(blank.names, clamped.tolist(), strict=True)) | absent,
        silent=silent_symbols(setting, np.sum([one.silent for one in plays], axis=0)),
        values=sum(one.live for one in plays),
        importance=last.importance,
        novelty=segments(np.concatenate([one.beyond for one in plays])),
        twins=last.twins,
    )


def story_of(
    folder: RunFolder,
    setting: Setting,
    plays: Sequence[FoldPlay],
    whole: Scored,
    found: Evaluation,
    facts: MarketFacts,
    trade: TradeFacts | None,
    features: FeatureFacts,
) -> Story:
    """What the report's common sections show."""
    last, members = plays[-1], setting.settings.members
    judged = {name: one.judged for name, one in found.lines.items()}
    traded = last.traded
    probability = whole.forecasts[ENSEMBLE].probability
    return Story(
        title=folder.name,
        manifest=folder.manifest,
        summary={},
        market=facts,
        members={name: judged[name] for name in members},
        ensemble=judged[ENSEMBLE],
        baselines=others(found, members),
        ahead=found.ahead,
        bound=found.caught.bound,
        calibration={} if last.learned is None else last.learned.calibration,
        reliability={
            name: metrics.reliability_curve(
                probability[..., c], whole.classes == c, whole.weights
            )
            for c, name in enumerate(CLASSES)
        },
        weights=np.stack([one.weight for play in plays for one in play.decided]),
        training=training(last.learned, "loss"),
        gradients=training(last.learned, "gradient_norm"),
        ratios=ratios(last.learned),
        saturated=saturated(last.learned),
        features=features,
        trade=trade,
        latency_ms={} if traded is None else traded.stages,
        information_age_ms={} if traded is None else traded.ages,
        seconds={},
    )


def others(found: Evaluation, members: Sequence[str]) -> dict[str, Judged]:
    """Every baseline, the class prior first."""
    own = {*members, ENSEMBLE}
    return {name: one.judged for name, one in found.lines.items() if name not in own}


def figures(
    folder: RunFolder,
    setting: Setting,
    plays: Sequence[FoldPlay],
    found: Evaluation,
    facts: MarketFacts,
    features: FeatureFacts,
    trade: TradeFacts | None,
) -> dict[str, Any]:
    """The fields that every `summary.json` has, over all folds."""
    members = setting.settings.members
    judged = fields.Judgement(
        {name: found.lines[name].judged for name in members},
        found.lines[ENSEMBLE].judged,
        others(found, members),
        found.ahead,
    )
    decided = [one for play in plays for one in play.decided]
    traded = [one.traded for one in plays if one.traded is not None]
    limit = found.caught.bound
    return fields.shared(
        folder, setting, facts, features, judged, decided, trade, traded
    ) | {
        "resumed_from": None,
        "bayes_bound": limit and limit._asdict(),
        "gradients": gradients(plays[-1].learned),
        "alarms": alarms_of(plays),
        **fields.of_the_members(setting, plays[-1].params),
    }


def alarms_of(plays: Sequence[FoldPlay]) -> list[str]:
    """What the fits of all folds have to say, each sentence once."""
    known = (one.learned for one in plays if one.learned is not None)
    return list(dict.fromkeys(text for one in known for text in one.alarms))


def own_figures(
    setting: Setting,
    found: Evaluation,
    paths: Sequence[Path],
    luck: Luck,
    late: Sequence[Late],
    trade: TradeFacts | None,
) -> dict[str, Any]:
    """What only a backtest says; profits of the scan are shares of the capital."""
    own = setting.config.backtest
    return {
        "fidelity": own.fidelity,
        "refit": own.refit,
        "split": own.split,
        "is_causal": is_causal(own),
        "paths": in_words(paths),
        "effective_labels": list(found.effective),
        "late_entry": found.fading._asdict(),
        "scan": {name: scanned(found, name) for name in found.lines},
        "net_at_cost": trade and summary.net_at_cost(trade.pnl),
        "latency": [one._asdict() for one in late],
        "deflated_sharpe": summary.finite(luck.deflated._asdict()),
        "trials": luck.tried.told()
        | {
            "compared": luck.compared,
            "overfitting": luck.overfit and luck.overfit._asdict(),
        },
        "overfitting": found.overfit and found.overfit._asdict(),
        "traps": trapped(found.caught),
    }


def trapped(found: Caught) -> dict[str, Any]:
    """What each trap holds, and the alarms that were raised."""
    excess = {name: summary.finite(x._asdict()) for name, x in found.excess.items()}
    return {
        "alarms": alarms(found),
        "overlaps": list(found.overlaps),
        "above_the_bound": excess,
        "shuffled_t": found.shuffled_t,
        "moved": found.moved,
        "strayed": list(found.strayed),
    }


def saved(line: Line, gain: Interval) -> list[float | None]:
    """Log loss saved, with both ends of its interval where the span has one."""
    return [gain.value, None, None] if line.judged.is_too_short else list(gain)


def scanned(found: Evaluation, name: str) -> dict[str, Any]:
    """One forecaster's gain over always flat, and its money."""
    one = found.lines[name]
    return summary.finite(
        {
            "symbols": one.symbols,
            "saved_log_loss": saved(one, one.gain) if name != PRIOR else [0.0] * 3,
            "saved_by_fold": list(found.gains[name]),
            "saved_of_recent": saved(one, one.recent_gain)
            if name != RECENT
            else [0.0] * 3,
            "saved_of_recent_by_fold": list(found.recent_gains[name]),
            "gross": one.gross,
            "cost": one.cost,
            "stuck": one.stuck,
            "net": list(one.net),
            "net_at_cost": {f"{t:g}": one.gross - t * one.cost for t in summary.COSTS},
            "break_even_cost": break_even(one.gross, one.cost),
            "gross_by_delay": list(one.late),
            "sharpe": one.sharpe,
            "sortino": one.sortino,
            "drawdown": one.drawdown,
            "turnover": one.turnover,
            "asked_turnover": one.asked,
            "profit_factor": one.profit_factor,
            "capacity": one.capacity,
        }
    )
