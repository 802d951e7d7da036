"""`mode=live`: a fitted engine on paper, with a feed and a venue started apart."""

import time
from pathlib import Path

from bot4jax.config import run_folder
from bot4jax.early import EARLY
from bot4jax.errors import ConfigError
from bot4jax.modes import lines
from bot4jax.modes.keeping import Kept, adopt, seat, take_up
from bot4jax.modes.rollout import Rollout, rolled_out
from bot4jax.modes.setting import Setting, expect_known, trading_stage
from bot4jax.modes.sockets import trade_over_sockets
from bot4jax.modes.telling import Played, tell
from bot4jax.modes.trading import Report, Traded, shed
from bot4jax.runtime.folder import RunFolder
from bot4jax.runtime.lasting import count_on
from bot4jax.runtime.progress import progress
from bot4jax.schema import Config


def live(config: Config) -> int:
    """Trade what `mode=feed` sends, with `mode=venue`, from the checkpoint's bar on.

    A run that has told its story is found again, as by `mode=demo`.
    """
    if config.run.model is None:
        raise ConfigError(
            ["run.model: mode=live needs run.model=FOLDER of a trained run"]
        )
    model = Path(config.run.model)
    config = adopt(config, model)
    if config.rollout.file is None:
        return traded_live(config, model, None)
    with rolled_out(config, model) as rollout:
        return traded_live(rollout.config, model, rollout)


def traded_live(config: Config, model: Path, rollout: Rollout | None) -> int:
    """The run, within what its rollout allows."""
    EARLY.aim(run_folder(config))
    expect_known(config)
    with RunFolder(config) as folder:
        if folder.open() and folder.is_finished:
            return lines.finished(folder.path)
        count_on(folder.path)
        began = time.perf_counter()
        with progress() as report:
            setting = trading_stage(config)
            kept = take_up(model, setting)
            setting = seat(model, setting, kept)
            traded = traded_whole(setting, model, kept, folder.path, report, rollout)
            seconds = {"trading": round(time.perf_counter() - began, 3)}
            told = None if rollout is None else rollout.told()
            played = Played(None, kept, traded, model.name, seconds, told)
            tell(folder, setting, played)
            shed(folder.path)
        if rollout is not None:
            print(*rollout.sentences(), sep="\n")
        return lines.finished(folder.path)


def traded_whole(
    setting: Setting,
    model: Path,
    kept: Kept,
    folder: Path,
    report: Report,
    rollout: Rollout | None,
) -> Traded:
    """The run to its end, and all of it for its story.

    Whoever woke up too late, from a snapshot, to have seen every bar that is judged,
    goes through the beginning once nothing is urgent any more.
    """
    newest = setting.config.runtime.judged_bars

    def traded_from(kept: Kept, rollout: Rollout | None = None) -> Traded:
        return trade_over_sockets(setting, kept, folder, report, True, newest, rollout)

    traded = traded_from(kept, rollout)
    is_all = traded.record.first == setting.split.test.start
    if is_all or len(traded.decided) == newest:
        return traded
    whole = traded_from(take_up(model, setting))
    return whole._replace(
        stages=traded.stages, ages=traded.ages, recompiles=traded.recompiles
    )
