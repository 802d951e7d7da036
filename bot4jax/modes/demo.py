"""`mode=demo|train`: learn, trade unseen bars on paper, tell how it went."""

from pathlib import Path

from bot4jax.learn.params import Learned
from bot4jax.modes import lines
from bot4jax.modes.joining import joined
from bot4jax.modes.keeping import Kept, adopt, is_kept, keep, seat, take_up
from bot4jax.modes.learning import again
from bot4jax.modes.learning import train as learn
from bot4jax.modes.plugged import expect_nets
from bot4jax.modes.setting import Setting, expect_known, set_stage, trading_stage
from bot4jax.modes.sockets import trade_with_children
from bot4jax.modes.telling import Played, tell, tell_training
from bot4jax.modes.trading import trade_here
from bot4jax.runtime.folder import RunFolder
from bot4jax.runtime.progress import Report, progress, timed
from bot4jax.schema import Config


def demo(config: Config) -> int:
    """Learn, then trade over sockets with a feed and a venue of their own.

    A market without ticks has nothing to publish and is traded in this process.
    """
    if config.run.model is not None:
        config = adopt(config, Path(config.run.model))
    expect_known(config)
    with RunFolder(config) as folder:
        resumed_from = folder.open()
        if resumed_from and folder.is_finished:
            return lines.finished(folder.path)
        seconds: dict[str, float] = {}
        with progress() as report:
            with timed(seconds, "setting"):
                setting = trading_stage(config)
                expect_nets(config)
            with timed(seconds, "learning"):
                learned, kept = _fitted(config, folder, setting, report)
                setting = seat(_model(config, folder), setting, kept)
            with timed(seconds, "trading"):
                way = trade_with_children if setting.source.has_ticks else trade_here
                traded = way(setting, kept, folder.path, report)
            with timed(seconds, "judging"):
                played = Played(learned, kept, traded, resumed_from, seconds)
                tell(folder, setting, played)
        return lines.finished(folder.path)


def train(config: Config) -> int:
    """Learn, keep the checkpoint, and tell how good it is on the calibration span.

    Of several processes that learn together each keeps and tells all of it.
    """
    with joined(config) as own:
        return _train(own)


def _train(config: Config) -> int:
    expect_known(config)
    with RunFolder(config) as folder:
        if folder.open() and folder.is_finished:
            return lines.finished(folder.path)
        seconds: dict[str, float] = {}
        with progress() as report:
            with timed(seconds, "setting"):
                setting = set_stage(config)
                expect_nets(config)
            with timed(seconds, "learning"):
                is_alone = config.hardware.processes == 1  # others may have kept none
                fitted = _own if is_alone else _fit
                learned, _ = fitted(folder, setting, report)
            tell_training(folder, setting, learned, seconds)
        return lines.finished(folder.path)


def _fitted(
    config: Config, folder: RunFolder, setting: Setting, report: Report
) -> tuple[Learned | None, Kept]:
    """The members of `run.model`, of this very run's checkpoint, or fitted now."""
    if config.run.model:
        return None, take_up(_model(config, folder), setting)
    return _own(folder, setting, report)


def _own(folder: RunFolder, setting: Setting, report: Report) -> tuple[Learned, Kept]:
    """What this run has fitted and kept already, or fits now."""
    if is_kept(folder.path):
        return again(setting, report, folder.path)
    return _fit(folder, setting, report)


def _fit(folder: RunFolder, setting: Setting, report: Report) -> tuple[Learned, Kept]:
    """Fitted now, and kept."""
    learned, kept = learn(setting, report, folder.path)
    keep(folder.path, setting, kept, learned)
    return learned, kept


def _model(config: Config, folder: RunFolder) -> Path:
    """Where the members lie."""
    return Path(config.run.model) if config.run.model else folder.path
