"""`mode=backtest`: unseen bars traded or scanned, fold by fold, and judged honestly.

One fold with the members of `run.model`, or several, each of which fits everything anew
on what came before. Every fold begins with the whole capital and nothing held.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import msgspec
import numpy as np

from bot4jax import engine as engines
from bot4jax.engine import Decided, State
from bot4jax.kernels import bars
from bot4jax.kernels.bars import OpenBars
from bot4jax.learn import dataset, novelty, params
from bot4jax.learn.dataset import BarRecord, Dataset
from bot4jax.learn.folds import most_labels, require_labels, walk_forward
from bot4jax.learn.importance import Asked
from bot4jax.learn.labelling import Labels, labels_at
from bot4jax.learn.params import Learned
from bot4jax.learn.splits import Split, purge_gap
from bot4jax.modes import lines, traps
from bot4jax.modes.evaluation import Scored, evaluate_folds, joined, score
from bot4jax.modes.feature_facts import family_importance
from bot4jax.modes.forecasters import Fitted
from bot4jax.modes.keeping import (
    Kept,
    adopt,
    anchors_of,
    keep,
    kept_at,
    place_of,
    seat,
    take_up,
)
from bot4jax.modes.plays import FoldPlay, Late, late_trade
from bot4jax.modes.setting import Setting, set_stage
from bot4jax.modes.tapes import closed_bars
from bot4jax.modes.telling_backtest import tell_backtest
from bot4jax.modes.trading import Traded, trade_here
from bot4jax.runtime.closings import Tape
from bot4jax.runtime.folder import RunFolder
from bot4jax.runtime.progress import Report, progress, timed
from bot4jax.schema import Config

ADVICE = "lengthen spans.test, add symbols, or ask for fewer backtest.folds"


class Market(NamedTuple):
    """The whole source, walked once."""

    record: BarRecord
    open_bars: tuple[OpenBars, ...]
    """the bars that stand open when each fold's test begins, on the host"""


def backtest(config: Config) -> int:
    """Judge the members of `run.model`, or of each fold's own fit, on unseen bars."""
    if config.run.model is not None:
        config = adopt(config, Path(config.run.model))
    with RunFolder(config) as folder:
        if folder.open() and folder.is_finished:
            return lines.finished(folder.path)
        seconds: dict[str, float] = {}
        with progress() as report:
            with timed(seconds, "setting"):
                setting = set_stage(config)
                folds = folds_of(setting)
            with timed(seconds, "recording"):
                market = record_market(setting, folds, report)
            plays, scored = [], []
            for number, split in enumerate(folds):
                own = setting._replace(split=split)
                place = folder.path
                if len(folds) > 1:
                    place = folder.path / "folds" / str(number + 1)
                play, sheet = play_fold(own, market, number, place, report, seconds)
                plays.append(play)
                scored.append(sheet)
            with timed(seconds, "traps"):
                first = setting._replace(split=plays[0].split)
                costly = traps.lay(first, market.record, report)
            with timed(seconds, "judging"):
                whole = joined(scored)
                require_labels([one.effective for one in scored], ADVICE)
                found = evaluate_folds(setting, folds, scored, whole, costly)
            tell_backtest(folder, setting, plays, whole, found, seconds)
        return lines.finished(folder.path)


def folds_of(setting: Setting) -> tuple[Split, ...]:
    """The fold or folds of the test span; refused where they cannot hold enough."""
    config, split, layout = setting.config, setting.split, setting.settings.layout
    folds = (split,)
    if config.backtest.refit:
        gap = purge_gap(layout.horizon, latency_bars=1)
        folds = walk_forward(split, config.backtest.folds, gap)
    require_labels(
        [most_labels(one.test, layout.symbols, layout.horizon) for one in folds], ADVICE
    )
    return folds


def record_market(setting: Setting, folds: tuple[Split, ...], report: Report) -> Market:
    """Every bar of the source, and what stands open where a test begins."""
    edges = [*(fold.test.start for fold in folds), folds[-1].test.stop]
    open_bars, first = bars.init_bars(anchors_of(setting)), 0
    rows, kept = [], []
    for stop in edges:
        tape, closed = closed_bars(setting, open_bars, first, stop)
        for one in closed:
            rows.append((np.asarray(one.ints), np.asarray(one.floats)))
            report("bars", len(rows), edges[-1])
        open_bars = tape.open_bars if isinstance(tape, Tape) else open_bars
        kept.append(jax.device_get(open_bars))
        first = stop
    return Market(dataset.record_bars(0, rows), tuple(kept[:-1]))


def play_fold(
    setting: Setting,
    market: Market,
    number: int,
    place: Path,
    report: Report,
    seconds: dict[str, float],
) -> tuple[FoldPlay, Scored]:
    """Fit, decide on the test, and score every forecaster there."""
    test = setting.split.test
    place.mkdir(parents=True, exist_ok=True)
    before = market.record.part(range(test.start))
    with timed(seconds, "learning"):
        learned, kept = fitted(setting, before, market.open_bars[number], place, report)
        setting = seat(Path(setting.config.run.model or place), setting)
        data, labels = seen_before(setting, learned, kept, before, report)
    state = jax.device_get(kept.state)
    with timed(seconds, "trading"):
        seen, counts = seen_in_test(setting, kept, state, market, report)
        decided, traded = decisions(setting, kept, state, market, seen, place, report)
        late = tuple(later_trades(setting, kept, state, report)) if traded else ()
    with timed(seconds, "judging"):
        record = market.record.part(range(test.stop))
        fold = Fitted(setting.split, kept.params, data, labels, record, seen, decided)
        scored, worth = score(setting, fold), {}
        if number == len(market.open_bars) - 1:
            asked = asked_of(setting, seen, decided, scored)
            worth = family_importance(setting, kept, asked)
    play = FoldPlay(
        split=setting.split,
        learned=learned,
        decided=decided,
        traded=traded,
        late=late,
        counts=counts,
        live=int(seen.live.sum()),
        beyond=novelty.beyond(kept.novelty, seen.features, seen.live),
        importance=worth,
    )
    return play, scored


def asked_of(
    setting: Setting, seen: Dataset, decided: Sequence[Decided], scored: Scored
) -> Asked:
    """A fold's test span, to be asked what features are worth."""
    weight = np.stack([one.weight for one in decided])
    horizon = setting.settings.layout.horizon
    return Asked(seen.features, weight, scored.classes, scored.weights, horizon)


def fitted(
    setting: Setting,
    before: BarRecord,
    open_bars: OpenBars,
    place: Path,
    report: Report,
) -> tuple[Learned | None, Kept]:
    """The members of `run.model`, of this fold's own checkpoint, or fitted now."""
    model = setting.config.run.model
    if model is not None or (place / "checkpoints").is_dir():
        return None, take_up(place if model is None else Path(model), setting)
    with place_of(place) as own:
        learned = params.learn(
            setting.config,
            setting.settings,
            setting.engine,
            setting.source.universe,
            before,
            setting.split,
            report,
            own,
        )
    state = State(jax.device_put(open_bars), learned.observing, learned.deciding)
    kept = kept_at(learned, state, setting.split.test.start)
    keep(place, setting, kept, learned.members.booster)
    return learned, kept


def seen_before(
    setting: Setting,
    learned: Learned | None,
    kept: Kept,
    before: BarRecord,
    report: Report,
) -> tuple[Dataset, Labels]:
    """Features and labels that baselines may be fitted on."""
    if learned is not None:
        return learned.data, learned.labels
    settings, units = setting.settings, kept.params.units
    observing = engines.init_observing(settings, units.scales)
    _, data = dataset.observe_bars(
        setting.engine.observe,
        units,
        observing,
        before,
        lambda done: report("features", done, len(before.ints)),
    )
    edge, train = float(kept.params.threshold), setting.split.train
    horizon = settings.layout.horizon
    return data, labels_at(data, train, horizon, edge, settings.has_barriers)


def seen_in_test(
    setting: Setting, kept: Kept, state: State, market: Market, report: Report
) -> tuple[Dataset, np.ndarray]:
    """The test span's features, and how often each was masked and clamped."""
    bars_of_test = market.record.part(setting.split.test)
    observing, seen = dataset.observe_bars(
        setting.engine.observe,
        kept.params.units,
        jax.device_put(state.observing),
        bars_of_test,
        lambda done: report("features", done, len(bars_of_test.ints)),
    )
    return seen, np.asarray(observing.counts)


def decisions(
    setting: Setting,
    kept: Kept,
    state: State,
    market: Market,
    seen: Dataset,
    place: Path,
    report: Report,
) -> tuple[list[Decided], Traded | None]:
    """What the engine decides: traded through gate, journal and venue, or not."""
    if setting.config.backtest.fidelity == "exact":
        traded = trade_here(setting, again(kept, state), place, report)
        return traded.decided, traded
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
    return decided, None


def later_trades(
    setting: Setting, kept: Kept, state: State, report: Report
) -> Iterator[Late]:
    """The same span traded again with each of the configured latencies.

    Where a market shows no ticks, an order meets the next opening whatever its way
    takes: there is nothing to vary.
    """
    if not setting.source.has_ticks:
        return
    for latency_ms in setting.config.backtest.latencies_ms:
        venue = msgspec.structs.replace(setting.config.venue, latency_ms=latency_ms)
        config = msgspec.structs.replace(setting.config, venue=venue)
        own = setting._replace(config=config)
        with tempfile.TemporaryDirectory() as folder:
            traded = trade_here(own, again(kept, state), Path(folder), report)
        yield late_trade(latency_ms, setting, traded)


def again(kept: Kept, state: State) -> Kept:
    """The checkpoint once more, for trading gives its state away."""
    return kept._replace(state=jax.device_put(state))
