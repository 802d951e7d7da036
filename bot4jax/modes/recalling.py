"""A fit that a run has kept before it was cut off, as if it had just been made.

Bars, features and labels in front of the test, which baselines are fitted on, are made
anew, and have the bits that they had; everything else was kept.
"""

import shutil
from pathlib import Path

from bot4jax.learn import params
from bot4jax.learn.dataset import BarRecord
from bot4jax.learn.labelling import label_as_configured
from bot4jax.learn.params import Learned, Members
from bot4jax.modes import fit_file
from bot4jax.modes.keeping import TRAINING, Kept, forest_of
from bot4jax.modes.setting import Setting
from bot4jax.runtime.progress import Report


def recalled(
    setting: Setting, kept: Kept, record: BarRecord, folder: Path, report: Report
) -> Learned:
    """A fit that was kept, with the data of the bars in front of the test.

    A forest that is damaged is told by whoever seats it, and tells nothing here.
    """
    config, settings, train = setting.config, setting.settings, setting.split.train
    told, shelf = fit_file.read(folder), params.shelf_of(config, folder / TRAINING)
    own = config, settings, setting.engine, record, setting.split, report, shelf
    *_, data = params.prepare(*own)
    shutil.rmtree(folder / TRAINING, ignore_errors=True)  # it stays mapped
    labels = label_as_configured(config, data, train, settings.layout.horizon)
    fitted, state = kept.params, kept.state
    members = fitted.nets, forest_of(folder, setting), fitted.forest, fitted.fallback
    return Learned(
        fitted,
        state.observing,
        state.deciding,
        Members(*members, told.history),
        labels,
        data,
        told.calibration,
        kept.novelty,
        told.alarms,
    )
