"""Every forecaster of a backtest on the same labels: skill, money, and how sure we are.

Folds are judged together, in the order of time; each begins with nothing held. Money
comes from the quick scan of `learn.research`, the same for all: what the venue made of
the ensemble's orders stands apart.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from bot4jax.data.source import closes_ns
from bot4jax.learn import (
    bootstrap,
    evaluate,
    matches,
    metrics,
    pairs,
    research,
    returns,
    sentinels,
)
from bot4jax.learn.bootstrap import Interval, sum_interval
from bot4jax.learn.borrowing import Lending, daily_rates, ends_of_days
from bot4jax.learn.dataset import BarRecord
from bot4jax.learn.evaluate import FLAT, PRIOR, RECENT, Judged, Outcome
from bot4jax.learn.folds import Fold
from bot4jax.learn.labels import bars_lived, outcomes, sample_weights
from bot4jax.learn.matches import Rival
from bot4jax.learn.pairs import Ahead
from bot4jax.learn.research import Book
from bot4jax.learn.room import Room, Told, boundless, of_the_next, room_of, told
from bot4jax.learn.selection import Overfit, overfitting
from bot4jax.learn.sentinels import Fading
from bot4jax.modes.forecasters import ENSEMBLE, Fitted, Forecast, forecasts_of
from bot4jax.modes.setting import Setting
from bot4jax.modes.traps import Best, Caught, Laid, best_of, caught
from bot4jax.runtime.sessions import days_ended

DELAYS = (0, 1, 2)
"""Bars that targets are met late."""


class Scored(NamedTuple):
    """A fold's test span, or several joined in time: every array begins with bars."""

    returns: Float[np.ndarray, "T S"]
    classes: Int[np.ndarray, "T S"]
    weights: Float[np.ndarray, "T S"]
    forecasts: Mapping[str, Forecast]
    books: Mapping[str, tuple[Book, ...]]
    """by forecaster, one for each of `DELAYS`"""
    asked: Mapping[str, Float[np.ndarray, "T S"]]
    """what each would trade, were there room for everything; shares of the capital"""
    volume: Float[np.ndarray, "T S"]
    """what the market traded in the bar that meets a bar's targets, quote currency; NaN
    where unknown"""
    ends_ns: Int[np.ndarray, " T"]
    days: Int[np.ndarray, " T"]
    """numbers of the market's days that the bars are of"""
    late: tuple[Float[np.ndarray, "T S"], ...]
    """the ensemble's forecast times the return from a later entry, by delay"""
    best: Best | None
    """simulated markets only"""
    rival: np.ndarray
    """name of the best baseline on the calibration span; one a fold"""
    by_figure: Mapping[str, np.ndarray]
    """the same of who is the best in each figure of `matches.MEASURES`"""

    @property
    def effective(self) -> int:
        """Labels that share no bar with another of the same symbol."""
        return round(float(self.weights.sum()))


class Line(NamedTuple):
    """One forecaster; profits are shares of the capital."""

    judged: Judged
    gain: Interval
    """log loss that it saves against the class prior, on its own symbols"""
    recent_gain: Interval
    """and against the recent prior"""
    symbols: int
    net: Interval
    """profit of the span after costs"""
    gross: float
    cost: float
    stuck: float
    """of the capital, in symbols that were not live when everything else was sold"""
    late: tuple[float, ...]
    """gross profit by delay"""
    sharpe: float | None
    sortino: float | None
    drawdown: float
    turnover: float
    """mean share of the capital traded in a bar"""
    asked: float
    """the same, were there room for everything"""
    profit_factor: float | None
    capacity: float | None
    """largest capital, quote currency, by what would be traded"""


class Evaluation(NamedTuple):
    """All of them."""

    told: Told
    """what bounds each trade of the scan"""

    lines: dict[str, Line]
    effective: tuple[int, ...]
    """labels without overlap, by fold"""
    gains: dict[str, tuple[float, ...]]
    """saved log loss by fold, against the class prior"""
    recent_gains: dict[str, tuple[float, ...]]
    """and against the recent prior"""
    overfit: Overfit | None
    """of choosing the forecaster by its Sharpe ratio after costs"""
    net: Float[np.ndarray, " T"]
    """the ensemble's profit by bar, by the scan"""
    fading: Fading
    """of the ensemble's skill when the entry is late"""
    caught: Caught
    """by the traps for leaks"""
    ahead: Ahead
    """of the best baseline"""


def score(setting: Setting, fold: Fitted) -> Scored:
    """Every forecaster on one fold's test span."""
    horizon, test = setting.settings.layout.horizon, fold.test
    terms = (
        test.entry,
        test.close,
        test.volatility,
        float(fold.params.threshold),
        horizon,
        setting.settings.has_barriers,
    )
    moved, classes = outcomes(*terms)
    weights = sample_weights(
        moved,
        test.volatility,
        test.live,
        horizon,
        bars_lived(*terms),
        test.settled,
    )
    said, rival, by_figure = forecasts_of(setting, fold)
    room, everything = room_of_test(setting, fold), boundless(test.live.shape)
    return Scored(
        moved,
        classes,
        weights,
        said,
        {name: books(setting, fold, one, room) for name, one in said.items()},
        {
            name: books(setting, fold, one, everything, DELAYS[:1])[0].traded
            for name, one in said.items()
        },
        traded_money(setting, fold),
        ends_of_bars(setting, fold),
        days_of_bars(setting, fold),
        sentinels.products(
            metrics.direction(said[ENSEMBLE].probability),
            test.entry,
            test.close,
            horizon,
        ),
        best_of(setting, fold),
        np.array([rival]),
        {figure: np.array([one]) for figure, one in by_figure.items()},
    )


def books(
    setting: Setting,
    fold: Fitted,
    said: Forecast,
    room: Room,
    delays: Sequence[int] = DELAYS,
) -> tuple[Book, ...]:
    """What the forecasts earn when targets are met at once, and late."""
    held = research.holdings(
        fold.params.sizing,
        setting.settings.layout.horizon,
        setting.config.strategy.confidence_floor,
        fold.test,
        said.probability,
        said.confidence,
        room,
    )
    fee, terms = np.asarray(fold.params.sizing.fee), lending(setting, fold)
    return tuple(
        research.book(held, fold.test, fee, terms, room, late) for late in delays
    )


def room_of_test(setting: Setting, fold: Fitted) -> Room:
    """How much of each symbol can be traded when the test's targets are met."""
    config, record = setting.config, fold.record.part(fold.split.test)
    share, capital = config.venue.participation, config.strategy.capital
    return room_of(record, setting.source, share, capital)


def lending(setting: Setting, fold: Fitted) -> Lending:
    """What who is short in the test pays, and when."""
    instruments = setting.source.universe.instruments
    rates = daily_rates(instruments, setting.config.venue.borrow)
    return Lending(rates, ends_of_days(days_of_bars(setting, fold)))


def ends_of_bars(setting: Setting, fold: Fitted) -> Int[np.ndarray, " T"]:
    """Boundaries of the test's bars, ns since 1970 UTC."""
    ends = [closes_ns(setting.source, bar) for bar in fold.split.test]
    return np.array(ends, np.int64)


def days_of_bars(setting: Setting, fold: Fitted) -> Int[np.ndarray, " T"]:
    """The market's day that each of the test's bars is of; weekends have none of a
    share."""
    day_of = days_ended(setting.source.universe)
    ends = ends_of_bars(setting, fold).tolist()
    return np.array([day_of(one) for one in ends], np.int64)


def traded_money(setting: Setting, fold: Fitted) -> Float[np.ndarray, "T S"]:
    """Turnover of the bar that meets each bar's targets, quote currency.

    That is the next one; the last bar's are met at its own close. NaN where unknown.
    """
    source = setting.source
    own = money_in(fold.record.part(fold.split.test), source.columns)
    increment = np.array([one.increment for one in source.universe.instruments])
    return of_the_next(own) * increment


def money_in(record: BarRecord, columns: Sequence[str]) -> Float[np.ndarray, "T S"]:
    """What the market traded in each bar, increments × units; NaN where unknown.

    Bars that come ready-made tell how much, and not at which prices: it is taken at
    their close.
    """
    if "quote_turnover" in columns:
        return record.column("quote_turnover").astype(np.float64)
    if "base_turnover" in columns:
        return record.column("base_turnover") * record.price("mid_close")
    return np.full(record.column("base_turnover").shape, np.nan)


def joined(folds: Sequence[Scored]) -> Scored:
    """Folds one after the other; forecasters keep their order."""
    whole = jax.tree.map(lambda *parts: np.concatenate(parts), *folds)
    names = folds[0].forecasts
    return whole._replace(
        forecasts={name: whole.forecasts[name] for name in names},
        books={name: whole.books[name] for name in names},
    )


def evaluate_folds(
    setting: Setting,
    cut: Sequence[Fold],
    folds: Sequence[Scored],
    whole: Scored,
    laid: Laid,
) -> Evaluation:
    """Folds judged together, and their gains one by one.

    `cut` are the spans of all folds, those of other paths too; `laid` are traps.
    """
    horizon, names = setting.settings.layout.horizon, list(whole.forecasts)
    nets = {name: one[0].net() for name, one in whole.books.items()}
    said = {name: one.probability for name, one in whole.forecasts.items()}
    which = np.repeat(np.arange(len(folds)), [len(one.classes) for one in folds])
    return Evaluation(
        told=told(setting.source.columns),
        lines={name: line(setting, whole, which, name) for name in names},
        effective=tuple(fold.effective for fold in folds),
        gains=by_fold(folds, PRIOR),
        recent_gains=by_fold(folds, RECENT),
        overfit=overfitting(np.stack(list(nets.values()), axis=1)),
        net=nets[ENSEMBLE],
        fading=sentinels.fading(whole.late, whole.weights, horizon),
        caught=caught(
            setting, cut, whole.best, whole.classes, whole.weights, said, laid
        ),
        ahead=ahead(setting, folds, whole, which),
    )


def ahead(
    setting: Setting,
    folds: Sequence[Scored],
    whole: Scored,
    which: Int[np.ndarray, " T"],
) -> Ahead:
    """Members and ensemble beside each fold's best baseline, all folds together.

    `which` says of every bar what fold it is of.
    """
    rivals, probability = rival_of(folds, whole.rival)
    by_figure = {
        figure: Rival(*rival_of(folds, names))
        for figure, names in whole.by_figure.items()
    }
    said = {
        name: whole.forecasts[name].probability
        for name in (*setting.settings.members, ENSEMBLE)
    }
    horizon = setting.settings.layout.horizon
    found = pairs.beside(
        said, probability, rivals, whole.classes, whole.weights, horizon
    )
    outcome = Outcome(whole.returns, whole.classes, whole.weights, horizon, which)
    return found._replace(contests=matches.contests(said, by_figure, outcome))


def rival_of(
    folds: Sequence[Scored], names: np.ndarray
) -> tuple[tuple[str, ...], Float[np.ndarray, "T S C"]]:
    """Who each fold's best baseline is, and what it says of all bars."""
    rivals = tuple(names.tolist())
    by_fold = zip(folds, rivals, strict=True)
    said = [one.forecasts[who].probability for one, who in by_fold]
    return rivals, np.concatenate(said)


def line(
    setting: Setting, whole: Scored, folds: Int[np.ndarray, " T"], name: str
) -> Line:
    """One forecaster's figures; of those who leave symbols out, on their own."""
    horizon, said = setting.settings.layout.horizon, whole.forecasts[name]
    covered = covers(said)
    weights = np.where(covered, whole.weights, 0.0)
    outcome = Outcome(whole.returns, whole.classes, weights, horizon, folds)
    flat = [whole.forecasts[one].probability for one in FLAT]
    gain, recent_gain = (
        bootstrap.mean(gains(whole, name, one), weights, horizon).interval
        for one in FLAT
    )
    prompt, *_ = whole.books[name]
    net = prompt.net()
    daily = returns.daily_profits(net, whole.days)
    days = returns.days_a_year(setting.source.universe.instruments)
    share = setting.config.venue.participation
    return Line(
        judged=evaluate.judge(said.probability, outcome, *flat),
        gain=gain,
        recent_gain=recent_gain,
        symbols=int(covered.sum()),
        net=sum_interval(net, horizon),
        gross=float(prompt.gross.sum()),
        cost=float(prompt.cost.sum()),
        stuck=float(prompt.stuck.sum()),
        late=tuple(float(one.gross.sum()) for one in whole.books[name]),
        sharpe=returns.sharpe(daily, days),
        sortino=returns.sortino(daily, days),
        drawdown=returns.max_drawdown(returns.worth(net)),
        turnover=float(prompt.traded.sum(1).mean()),
        asked=float(whole.asked[name].sum(1).mean()),
        profit_factor=returns.profit_factor(net),
        capacity=returns.capacity(whole.asked[name], whole.volume, share),
    )


def covers(said: Forecast) -> Float[np.ndarray, " S"]:
    """1 for symbols that are forecast at all."""
    return np.isfinite(said.probability).any((0, 2)).astype(float)


def gains(whole: Scored, name: str, constant: str = PRIOR) -> Float[np.ndarray, "T S"]:
    """Log loss that a forecaster saves against a constant one, label by label."""
    own, flat = (
        metrics.sample_log_loss(whole.forecasts[one].probability, whole.classes)
        for one in (name, constant)
    )
    return flat - own


def mean_gain(fold: Scored, name: str, constant: str = PRIOR) -> float:
    """The same over a fold."""
    weights = np.where(covers(fold.forecasts[name]), fold.weights, 0.0)
    return metrics.weighted_mean(gains(fold, name, constant), weights)


def by_fold(folds: Sequence[Scored], constant: str) -> dict[str, tuple[float, ...]]:
    """The same over each fold, of every forecaster."""
    return {
        name: tuple(mean_gain(one, name, constant) for one in folds)
        for name in folds[0].forecasts
    }
