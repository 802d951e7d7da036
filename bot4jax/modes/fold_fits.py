"""A fold where its test begins: everything fitted, nothing of the test decided.

Walking forward, what is carried runs on from training into the test. Elsewhere training
lies on both sides of the test, in pieces: what is carried is warmed up anew in front of
each piece, and of what was learnt only the parameters and the weights of the vote go
into a test.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax

from bot4jax.kernels.bars import OpenBars
from bot4jax.kernels.vote import VoteState
from bot4jax.learn import dataset, fit, laying, params
from bot4jax.learn.dataset import BarRecord, Dataset
from bot4jax.learn.folds import Fold
from bot4jax.learn.labelling import Labels, labels_at
from bot4jax.learn.params import Learned
from bot4jax.learn.splits import Split
from bot4jax.modes.keeping import (
    Kept,
    is_kept,
    keep,
    kept_at,
    place_of,
    seat,
    take_up,
)
from bot4jax.modes.recalling import recalled
from bot4jax.modes.setting import Setting
from bot4jax.modes.spans import reach
from bot4jax.nets import zoo
from bot4jax.runtime.progress import Report
from bot4jax.state import Params, State, counting_anew, init_deciding, init_observing


class Market(NamedTuple):
    """The whole source, walked once."""

    record: BarRecord
    open_bars: dict[int, OpenBars]
    """by bar at which a test begins: those that stand open then, on the host"""


class Ready(NamedTuple):
    """Everything that one test needs."""

    setting: Setting
    """its split ends with the test"""
    fold: Fold
    """as cut, the other tests of a fold left out"""
    learned: Learned | None
    """None where the members come from elsewhere"""
    kept: Kept
    state: State
    """where the test begins, on the host"""
    data: Dataset
    """every bar before the test"""
    labels: Labels
    record: BarRecord
    """every bar up to the end of the test"""


def in_order(
    setting: Setting, market: Market, fold: Fold, place: Path, report: Report
) -> list[Ready]:
    """A fold whose spans follow each other."""
    split = Split(*(piece for (piece,) in fold))
    own, test = setting._replace(split=split), split.test
    before = market.record.part(range(test.start))

    def arrive(learned: Learned) -> State:
        open_bars = jax.device_put(market.open_bars[test.start])
        return State(open_bars, learned.observing, learned.deciding)

    learned, kept = fitted(own, before, place, report, arrive)
    own = seat(Path(own.config.run.model or place), own, kept)
    data, labels = seen_before(own, learned, kept, before, report)
    state = jax.device_get(kept.state)
    record = market.record.part(range(test.stop))
    return [Ready(own, fold, learned, kept, state, data, labels, record)]


def in_pieces(
    setting: Setting, market: Market, fold: Fold, place: Path, report: Report
) -> list[Ready]:
    """A fold fitted once on its pieces, and ready for each of its tests."""
    warm = warm_bars(setting)
    laid = laying.lay(market.record, fold, warm)
    first, *_ = ahead = [laying.ahead_of(laid, test, warm) for test in fold.test]
    own = setting._replace(split=first.split)

    def arrive(learned: Learned) -> State:
        state, _ = arrived(own, market, learned.params, learned.deciding.vote)
        return state

    until = len(market.record.ints)  # training lies behind the test as well
    learned, kept = fitted(own, first.record, place, report, arrive, until)
    own = seat(place, own, kept)
    data, labels = seen_before(own, learned, kept, first.record, report)
    return [
        ready_for(one, own, market, fold, learned, kept, data, labels) for one in ahead
    ]


def ready_for(
    laid: laying.Laid,
    setting: Setting,
    market: Market,
    fold: Fold,
    learned: Learned | None,
    kept: Kept,
    data: Dataset,
    labels: Labels,
) -> Ready:
    """One test of a fold that was fitted: bars are numbered so that they lead to it."""
    own, first = setting._replace(split=laid.split), laid.record.first
    state, seen = arrived(own, market, kept.params, kept.state.deciding.vote)
    test = laid.split.test
    near = market.record.part(range(seen.first, test.stop))
    if learned is not None:
        learned = learned._replace(data=learned.data._replace(first=first))
    return Ready(
        own,
        fold._replace(test=(test,)),
        learned,
        kept,
        jax.device_get(state),
        laying.followed(data._replace(first=first), seen),
        labels,
        laying.joined([laid.record, near], first),
    )


def arrived(
    setting: Setting, market: Market, fitted: Params, vote: VoteState
) -> tuple[State, Dataset]:
    """The state where a test begins, warmed up on the bars before it, and those bars.

    No label of the warm-up is pending: its decisions are none of the test's.
    """
    settings, engine = setting.settings, setting.engine
    start, symbols = setting.split.test.start, settings.layout.symbols
    before = market.record.part(range(start - warm_bars(setting), start))
    fresh = init_observing(settings, fitted.units.scales)
    observing, seen = dataset.observe_bars(
        engine.observe, fitted.units, fresh, before, lambda done: None
    )
    carry = zoo.init_carry(settings.sizes, symbols)
    _, carry = fit.net_probabilities(settings.sizes, fitted.nets, seen.features, carry)
    deciding = init_deciding(settings)._replace(carry=carry, vote=vote)
    open_bars = jax.device_put(market.open_bars[start])
    return State(open_bars, counting_anew(observing), deciding), seen


def warm_bars(setting: Setting) -> int:
    """Bars in front of every piece."""
    layout = setting.settings.layout
    return laying.warm_bars(reach(setting.config), layout.horizon)


def fitted(
    setting: Setting,
    before: BarRecord,
    place: Path,
    report: Report,
    arrive: Callable[[Learned], State],
    until: int | None = None,
) -> tuple[Learned | None, Kept]:
    """The members of `run.model`, of this fold's own checkpoint, or fitted now.

    What was fitted is kept as it arrives at the test; `until` as in `keeping.keep`.
    """
    model = setting.config.run.model
    if model is not None:
        return None, take_up(Path(model), setting, until)
    if is_kept(place):
        kept = take_up(place, setting, until)
        return recalled(setting, kept, before, place, report), kept
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
    kept = kept_at(learned, arrive(learned), setting.split.test.start)
    keep(place, setting, kept, learned, until)
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
    observing = init_observing(settings, units.scales)
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
