"""A test traded through gate, journal and venue, at each latency, until the end."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import jax
import msgspec

from bot4jax.modes.fold_fits import Ready
from bot4jax.modes.keeping import Kept
from bot4jax.modes.plays import Late, late_trade
from bot4jax.modes.trading import Traded, trade_here
from bot4jax.runtime.progress import Report, renamed
from bot4jax.runtime.stopping import Ending


def trades(
    ready: Ready, place: Path, report: Report, ending: Ending
) -> tuple[Traded, tuple[Late, ...]]:
    """The test, and the same again with each latency.

    Whoever is asked for the end ends after the step under way, and begins no other.
    """
    with ending.heard():
        own = again(ready)
        traded = trade_here(ready.setting, own, place, report, ending=ending)
        return traded, tuple(later_trades(ready, report, ending))


def later_trades(ready: Ready, report: Report, ending: Ending) -> Iterator[Late]:
    """The same span traded again with each of the configured latencies.

    Where a market shows no ticks, an order meets the next opening whatever its way
    takes: there is nothing to vary. One that did not come to the span's end is left
    out: nobody could compare it with the others.
    """
    setting = ready.setting
    if not setting.source.has_ticks:
        return
    for latency_ms in setting.config.backtest.latencies_ms:
        if ending.is_asked:
            return
        venue = msgspec.structs.replace(setting.config.venue, latency_ms=latency_ms)
        config = msgspec.structs.replace(setting.config, venue=venue)
        own, told = setting._replace(config=config), f"latency {latency_ms:g} ms"
        with tempfile.TemporaryDirectory() as folder:
            traded = trade_here(
                own,
                again(ready),
                Path(folder),
                renamed(report, told),
                ending=ending,
            )
        if traded.steps == len(setting.split.test):
            yield late_trade(latency_ms, setting, traded)


def as_far_as(ready: Ready, traded: Traded) -> Ready:
    """The same with no bar in its test that was not traded."""
    setting = ready.setting
    start = setting.split.test.start
    test = range(start, start + traded.steps)
    split = setting.split._replace(test=test)
    fold = ready.fold._replace(test=(test,))
    return ready._replace(setting=setting._replace(split=split), fold=fold)


def again(ready: Ready) -> Kept:
    """The checkpoint once more, for trading gives its state away."""
    return ready.kept._replace(state=jax.device_put(ready.state))
