"""`mode=backtest`: unseen bars traded or scanned, fold by fold, and judged honestly.

One fold with the members of `run.model`, or several, each of which fits everything
anew: on what came before, or, where `backtest.split` says so, on both sides of its
test. Every test begins with the whole capital and nothing held.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from bot4jax.decisions import Decided
from bot4jax.errors import DataError
from bot4jax.kernels import bars
from bot4jax.learn import dataset, novelty, params
from bot4jax.learn.dataset import Dataset
from bot4jax.learn.folds import (
    Fold,
    combinatorial,
    k_fold,
    most_labels,
    pieces_of,
    purge_of,
    require_labels,
    walk_forward,
)
from bot4jax.learn.importance import Asked
from bot4jax.learn.redundancy import twins
from bot4jax.learn.regimes import regimes_of
from bot4jax.learn.splits import purge_gap
from bot4jax.modes import lines, traps
from bot4jax.modes.evaluation import Scored, evaluate_folds, joined, score
from bot4jax.modes.feature_facts import family_importance
from bot4jax.modes.fold_fits import Market, Ready, in_order, in_pieces, warm_bars
from bot4jax.modes.fold_trades import as_far_as, trades
from bot4jax.modes.forecasters import Fitted
from bot4jax.modes.judging import outcome_of
from bot4jax.modes.keeping import Kept, adopt, anchors_of
from bot4jax.modes.paths import paths_of
from bot4jax.modes.plays import Extent, FoldPlay, is_causal
from bot4jax.modes.plugged import expect_nets
from bot4jax.modes.setting import Setting, expect_known, trading_stage
from bot4jax.modes.tapes import closed_bars
from bot4jax.modes.telling import Unlabelled, check_labels
from bot4jax.modes.telling_backtest import tell_backtest
from bot4jax.runtime.closings import Tape
from bot4jax.runtime.folder import RunFolder
from bot4jax.runtime.progress import Report, prefixed, progress, timed
from bot4jax.runtime.stopping import Ending
from bot4jax.schema import Config
from bot4jax.state import State

LEAST = 2
"""Bars with a label in a test that was ended: one alone has no error to tell."""

ADVICE = "lengthen spans.test, add symbols, or ask for fewer backtest.folds"


def backtest(config: Config) -> int:
    """Judge the members of `run.model`, or of each fold's own fit, on unseen bars."""
    if config.run.model is not None:
        config = adopt(config, Path(config.run.model))
    expect_known(config)
    with RunFolder(config) as folder:
        if folder.open() and folder.is_finished:
            return lines.finished(folder.path)
        seconds: dict[str, float] = {}
        with progress() as report:
            with timed(seconds, "setting"):
                setting = trading_stage(config)
                expect_nets(config)
                folds = folds_of(setting)
            with timed(seconds, "recording"):
                market = record_market(setting, folds, report)
            plays, parts, is_ended = play_folds(
                setting, market, folds, folder.path, report, seconds
            )
            with timed(seconds, "traps"):
                first, laid = setting._replace(split=plays[0].split), traps.UNLAID
                if not is_ended:
                    laid = traps.lay(first, market.record, prefixed(report, "trap"))
            with timed(seconds, "judging"):
                scored = [one for one, *_ in parts]
                whole = joined(scored)
                if not is_ended:  # else the report says how few there are
                    require_labels([x.effective for one in parts for x in one], ADVICE)
                found = evaluate_folds(setting, folds, scored, whole, laid)
                paths = paths_of(parts, setting.settings.layout.horizon)
            extent = Extent(asked_bars(folds), is_ended)
            tell_backtest(folder, setting, plays, whole, found, paths, extent, seconds)
        return lines.finished(folder.path)


def folds_of(setting: Setting) -> tuple[Fold, ...]:
    """The fold or folds of a backtest; refused where they cannot hold enough."""
    layout = setting.settings.layout
    folds = cut(setting)
    require_labels(
        [
            most_labels(test, layout.symbols, layout.horizon)
            for one in folds
            for test in one.test
        ],
        ADVICE,
    )
    return folds


def cut(setting: Setting) -> tuple[Fold, ...]:
    """As configured: the test span forward in time, or parts of all bars in turn."""
    own, split = setting.config.backtest, setting.split
    horizon, calibrate = setting.settings.layout.horizon, len(split.calibrate)
    if not own.refit:
        return (pieces_of(split),)
    if own.split == "walk_forward":
        gap = purge_gap(horizon, latency_bars=1)
        return tuple(map(pieces_of, walk_forward(split, own.folds, gap)))
    warm = warm_bars(setting)
    span = range(max(split.train.start, warm), split.test.stop)
    expect_unchosen(setting, span.start)
    purge = purge_of(len(span), horizon, latency_bars=1, window=warm)
    if own.split == "k_fold":
        return k_fold(span, own.folds, calibrate, purge)
    return combinatorial(span, own.folds, own.tests, calibrate, purge)


def expect_unchosen(setting: Setting, first: int) -> None:
    """Refuse tests of days that chose who is tested: who failed in them is left out."""
    chosen = getattr(setting.source, "listed_bars", 0)
    if first < chosen:
        own = setting.config.backtest.split
        raise DataError(
            f"data.symbols, data.least_price and data.least_dollars choose the shares "
            f"after the first {chosen} days, and backtest.split={own} tests from day "
            f"{first} on: shares that failed in between would be left out, as nobody "
            "knew then. Take all (each of the three at 0), or "
            "backtest.split=walk_forward, which tests after that day."
        )


def record_market(setting: Setting, folds: tuple[Fold, ...], report: Report) -> Market:
    """Every bar of the source, and what stands open where a test begins."""
    tests = [test for fold in folds for test in fold.test]
    edges = sorted({one.start for one in tests} | {max(one.stop for one in tests)})
    open_bars, first = bars.init_bars(anchors_of(setting)), 0
    rows, kept = [], {}
    for stop in edges:
        tape, closed = closed_bars(setting, open_bars, first, stop)
        for one in closed:
            rows.append((np.asarray(one.ints), np.asarray(one.floats)))
            report("bars", len(rows), edges[-1])
        open_bars = tape.open_bars if isinstance(tape, Tape) else open_bars
        kept[stop] = jax.device_get(open_bars)
        first = stop
    return Market(dataset.record_bars(0, rows), kept)


class Folds(NamedTuple):
    """What all folds came to, test by test in the order of time."""

    plays: list[FoldPlay]
    """the first of each test"""
    parts: list[list[Scored]]
    """what each fold said of it"""
    is_ended: bool
    """a person asked for the end before all was traded"""


def play_folds(
    setting: Setting,
    market: Market,
    folds: Sequence[Fold],
    folder: Path,
    report: Report,
    seconds: dict[str, float],
) -> Folds:
    """Every test of every fold, or those before somebody asked for the end.

    A test that was ended is told as far as it went, but not beside other folds' plays
    of all of it, and not before its first label was known.
    """
    ending, played = Ending(), {}
    last = max(test.start for fold in folds for test in fold.test)
    for place, ready, told in tests_of(setting, market, folds, folder, report, seconds):
        test = ready.setting.split.test
        is_asked = test.start == last and last not in played
        try:
            one = play_test(ready, market, place, told, seconds, is_asked, ending)
        except Unlabelled:
            if not played:
                raise
            break
        if test.start not in played or len(one[0].split.test) == len(test):
            played.setdefault(test.start, []).append(one)
        if ending.is_asked:
            break
    in_time = [played[start] for start in sorted(played)]
    fewest = min(map(len, in_time)) if ending.is_asked else None
    return Folds(
        [own[0][0] for own in in_time],
        [[sheet for _, sheet in own[:fewest]] for own in in_time],
        ending.is_asked,
    )


def tests_of(
    setting: Setting,
    market: Market,
    folds: Sequence[Fold],
    folder: Path,
    report: Report,
    seconds: dict[str, float],
) -> Iterator[tuple[Path, Ready, Report]]:
    """Each fold's folder and tests, as it is fitted; what is reported says whose."""
    begin = in_order if is_causal(setting.config.backtest) else in_pieces
    for number, fold in enumerate(folds, 1):
        place, told = folder, report
        if len(folds) > 1:
            place = folder / "folds" / str(number)
            told = prefixed(report, f"fold {number}")
        place.mkdir(parents=True, exist_ok=True)
        with timed(seconds, "learning"):
            begun = begin(setting, market, fold, place, told)
        for nth, ready in enumerate(begun, 1):
            many = len(begun) > 1
            yield place, ready, prefixed(told, f"test {nth}") if many else told


def asked_bars(folds: Sequence[Fold]) -> int:
    """Bars of all tests, each once however many folds leave it out."""
    return sum(map(len, {test for fold in folds for test in fold.test}))


def play_test(
    ready: Ready,
    market: Market,
    place: Path,
    report: Report,
    seconds: dict[str, float],
    is_asked: bool,
    ending: Ending,
) -> tuple[FoldPlay, Scored]:
    """Decide on a test, and score every forecaster there.

    Of one that `is_asked`, what its features are worth too.
    """
    traded, late = None, ()
    with timed(seconds, "trading"):
        if ready.setting.config.backtest.fidelity == "exact":
            traded, late = trades(ready, place, report, ending)
            ready = as_far_as(ready, traded)
        setting, kept, state = ready.setting, ready.kept, ready.state
        seen, counts, silent = seen_in_test(setting, kept, state, market, report)
        if traded is None:
            decided = decisions(setting, kept, state, market, seen, report)
        else:
            edge = float(kept.params.threshold)
            check_labels(place, outcome_of(setting, edge, traded), LEAST)
            decided = traded.decided
    with timed(seconds, "judging"):
        known = setting.split, kept.params, ready.data, ready.labels, ready.record
        scored = score(setting, Fitted(*known, seen, decided))
        worth, alike = {}, None
        if is_asked:
            asked = asked_of(setting, kept, seen, decided, scored)
            worth = family_importance(setting, kept, asked)
            names = [spec.name for spec in setting.settings.plan.specs]
            alike = twins(seen.features, names, setting.config.run.seed)
    play = FoldPlay(
        split=setting.split,
        fold=ready.fold,
        learned=ready.learned,
        params=kept.params,
        decided=decided,
        traded=traded,
        late=late,
        counts=counts,
        silent=silent,
        live=int(seen.live.sum()),
        beyond=novelty.beyond(kept.novelty, seen.features, seen.live),
        importance=worth,
        twins=alike,
    )
    return play, scored


def asked_of(
    setting: Setting,
    kept: Kept,
    seen: Dataset,
    decided: Sequence[Decided],
    scored: Scored,
) -> Asked:
    """A fold's test span, to be asked what features are worth."""
    weight = np.stack([one.weight for one in decided])
    horizon = setting.settings.layout.horizon
    regime = regimes_of(np.asarray(kept.params.regime_edges), seen.volatility)
    return Asked(seen.features, weight, scored.classes, scored.weights, horizon, regime)


def seen_in_test(
    setting: Setting, kept: Kept, state: State, market: Market, report: Report
) -> tuple[Dataset, np.ndarray, np.ndarray]:
    """The test span's features, how often they were masked and clamped, who silent."""
    bars_of_test = market.record.part(setting.split.test)
    observing, seen = dataset.observe_bars(
        setting.engine.observe,
        kept.params.units,
        jax.device_put(state.observing),
        bars_of_test,
        lambda done: report("test features", done, len(bars_of_test.ints)),
    )
    return seen, np.asarray(observing.counts), np.asarray(observing.silent)


def decisions(
    setting: Setting,
    kept: Kept,
    state: State,
    market: Market,
    seen: Dataset,
    report: Report,
) -> list[Decided]:
    """What the engine decides where nothing is traded."""
    _, decided = params.walk(
        setting.settings,
        setting.engine,
        kept.params,
        jax.device_put(state.deciding),
        market.record.part(setting.split.test),
        seen,
        range(len(seen.features)),
        report,
    )
    return decided
