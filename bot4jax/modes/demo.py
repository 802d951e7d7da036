"""`mode=demo|train|backtest`: learn, trade unseen bars on paper, tell how it went."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bot4jax.learn.params import Learned
from bot4jax.modes import lines
from bot4jax.modes.keeping import Kept, adopt, keep, take_up
from bot4jax.modes.learning import train as learn
from bot4jax.modes.setting import Setting, set_stage
from bot4jax.modes.sockets import trade_with_children
from bot4jax.modes.telling import Played, tell, tell_training
from bot4jax.modes.trading import Traded, trade_here
from bot4jax.runtime.folder import RunFolder
from bot4jax.runtime.progress import Report, progress
from bot4jax.schema import Config

Trade = Callable[[Setting, Kept, Path, Report], Traded]


def demo(config: Config) -> int:
    """Learn, then trade over sockets with a feed and a venue of their own.

    A market without ticks has nothing to publish and is traded in this process.
    """
    return _run(config, trade_with_children)


def train(config: Config) -> int:
    """Learn, keep the checkpoint, and tell how good it is on the calibration span."""
    folder = RunFolder(config)
    if folder.open() and folder.is_finished:
        return lines.finished(folder.path)
    seconds: dict[str, float] = {}
    with progress() as report:
        with _timed(seconds, "setting"):
            setting = set_stage(config)
        with _timed(seconds, "learning"):
            learned, kept = learn(setting, report)
            keep(folder.path, setting, kept, learned.members.booster)
        tell_training(folder, setting, learned, seconds)
    return lines.finished(folder.path)


def backtest(config: Config) -> int:
    """Trade the test span in this process, with the members of `run.model` if given."""
    return _run(config, trade_here)


def _run(config: Config, trade: Trade) -> int:
    if config.run.model is not None:
        config = adopt(config, Path(config.run.model))
    folder = RunFolder(config)
    resumed_from = folder.open()
    if resumed_from and folder.is_finished:
        return lines.finished(folder.path)
    seconds: dict[str, float] = {}
    with progress() as report:
        with _timed(seconds, "setting"):
            setting = set_stage(config)
        with _timed(seconds, "learning"):
            learned, kept = _fitted(config, folder, setting, report)
        with _timed(seconds, "trading"):
            way = trade if setting.source.has_ticks else trade_here
            traded = way(setting, kept, folder.path, report)
        with _timed(seconds, "judging"):
            threshold = float(kept.params.threshold)
            played = Played(learned, threshold, traded, resumed_from, seconds)
            tell(folder, setting, played)
    return lines.finished(folder.path)


def _fitted(
    config: Config, folder: RunFolder, setting: Setting, report: Report
) -> tuple[Learned | None, Kept]:
    """The members of `run.model`, of this very run's checkpoint, or fitted now."""
    model = Path(config.run.model) if config.run.model else folder.path
    if config.run.model or (model / "checkpoints").is_dir():
        return None, take_up(model, setting)
    learned, kept = learn(setting, report)
    keep(folder.path, setting, kept, learned.members.booster)
    return learned, kept


@contextmanager
def _timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[part] = round(time.perf_counter() - began, 3)
