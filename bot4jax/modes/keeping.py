"""A fitted engine on disk: what a checkpoint holds and who may take it up."""

import hashlib
import json
import logging
import shutil
import sys
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
from jaxtyping import Array, Float, Int

from bot4jax.config import from_yaml, leaves, said
from bot4jax.data.origin import Origin, digest, origin_of, shown
from bot4jax.data.source import opens_ns
from bot4jax.engine import asking
from bot4jax.errors import CheckpointError
from bot4jax.learn import checkpoint, novelty, params
from bot4jax.learn.blanks import blank_params
from bot4jax.learn.boosting import seated
from bot4jax.learn.checkpoint import Identity
from bot4jax.learn.fit import Place
from bot4jax.learn.novelty import Novelty
from bot4jax.learn.params import Learned
from bot4jax.modes import fit_file
from bot4jax.modes.setting import Setting
from bot4jax.registry import catalogue_hash
from bot4jax.runtime.events import events
from bot4jax.schema import Config
from bot4jax.schema.learning import Trees
from bot4jax.schema.modes import Run
from bot4jax.state import Params, State, init_state
from bot4jax.trees import fit as tree_fit
from bot4jax.trees.forest import Forest, is_same, packed
from bot4jax.trees.model import ForestError
from bot4jax.types import CLASSES

ADOPTED = (
    "plugins",
    "data",
    "spans",
    "features",
    "nets",
    "trees",
    "labels",
    "ensemble",
)
"""Sections that a fitted engine brings with it."""

SEEDED = ("simulator", "plugin")
"""Sources whose market `run.seed` draws."""

MOST_NAMED = 4
"""Values of a list that are told one by one."""

logger = logging.getLogger(__name__)

TRAINING = "training"
"""Folder of a run where a fit that is not done keeps what it needs to go on."""


class Kept(NamedTuple):
    """What a checkpoint holds: enough to trade on at `next_bar`."""

    params: Params
    state: State
    next_bar: Int[Array, ""]
    novelty: Novelty
    """for the report alone"""


def kept_at(learned: Learned, state: State, bar: int) -> Kept:
    """A fitted engine where the next bar is `bar`."""
    return Kept(learned.params, state, jnp.int32(bar), learned.novelty)


def adopt(config: Config, model: Path) -> Config:
    """The configuration with everything that the fitted engine of a run fixes.

    What the command says otherwise is told, key by key: nobody shall believe that it
    counts.
    """
    former = from_yaml(model / "config.yaml")
    expect_checkpoint(model)
    own = {name: getattr(former, name) for name in ADOPTED}
    own["trees"] = asked_by(former.trees, config.trees)
    own["run"] = on_the_market(config.run, former)
    adopted = msgspec.structs.replace(config, **own)
    if changed := differences(config, adopted, said(config, sys.argv[1:])):
        logger.warning(
            "run.model=%s brings what it was fitted with, in place of this command's "
            "%s. To use this command's, train again.",
            model,
            ", ".join(changed),
        )
    return adopted


def differences(config: Config, adopted: Config, keys: Set[str]) -> list[str]:
    """Those of these keys whose values the adopted configuration replaces, with both
    values."""
    before, after = (leaves(msgspec.to_builtins(one)) for one in (config, adopted))
    return [
        f"{key}={shortened(before.get(key))} ({shortened(after.get(key))})"
        for key in sorted(keys)
        if before.get(key) != after.get(key)
    ]


def shortened(value: Any) -> str:
    """A value in a few words; of a long list how many, and the first."""
    if isinstance(value, (list, tuple)) and len(value) > MOST_NAMED:
        return f"[{len(value)}: {value[0]}, …]"
    return json.dumps(value, ensure_ascii=False)


def on_the_market(run: Run, former: Config) -> Run:
    """The run with the seed that the fitted engine's market was made of, if it was."""
    seed = market_seed(former)
    return run if seed is None else msgspec.structs.replace(run, seed=seed)


def market_seed(config: Config) -> int | None:
    """What a market is made of, or a plugin's may be; None of a recorded one."""
    return config.run.seed if config.data.source in SEEDED else None


def asked_by(trees: Trees, own: Trees) -> Trees:
    """The same forest, asked as this run does: what it was fitted by stays."""
    return msgspec.structs.replace(trees, predictor=own.predictor, damaged=own.damaged)


def identity(setting: Setting) -> Identity:
    """What a checkpoint must share with a run that takes it up."""
    config, specs = setting.config, setting.settings.plan.specs
    trees = msgspec.structs.replace(config.trees, predictor="fused", damaged="refuse")
    fitted = msgspec.structs.replace(config, trees=trees)
    shared = [getattr(fitted, name) for name in ADOPTED if name != "spans"]
    shared += [market_seed(config), setting.source.universe.symbols]
    content = msgspec.json.encode(shared)
    return Identity(
        config_hash=hashlib.sha256(content).hexdigest()[:16],
        catalogue_hash=catalogue_hash(specs),
        features=tuple(spec.name for spec in specs),
    )


def keep(
    folder: Path,
    setting: Setting,
    kept: Kept,
    learned: Learned,
    until: int | None = None,
) -> Path:
    """Write the checkpoint, before it the forest's own model and what the fit found.

    `until` is the first bar of the source that nothing was fitted on, where that is not
    the test's first. What the fit needed to go on is not needed any more.
    """
    tree_fit.save(learned.members.booster, folder / "trees" / "forest.json")
    fit_file.write(folder, learned)
    step = int(kept.next_bar)
    origin = origin_of(setting.source, first_unseen(setting, until))
    own = identity(setting)._replace(origin=origin)
    at = checkpoint.save(folder / "checkpoints", step, kept, own)
    shutil.rmtree(folder / TRAINING, ignore_errors=True)
    return at


@contextmanager
def place_of(folder: Path) -> Iterator[Place]:
    """Where a run's fit keeps its checkpoints, and tells TensorBoard of itself."""
    with events(folder / "events") as log:
        yield Place(folder / TRAINING, log)


def take_up(folder: Path, setting: Setting, until: int | None = None) -> Kept:
    """The newest intact checkpoint of a run, if it was fitted on these very bars.

    `until` as in `keep`. Raises `CheckpointError` where the bar that it goes on from is
    at another instant, or what lies before it has changed; a live feed may begin later.
    """
    expect_checkpoint(folder)
    kept, manifest = checkpoint.restore(
        folder / "checkpoints",
        jax.eval_shape(lambda: blank(setting)),
        identity(setting),
    )
    expect_origin(folder, manifest.origin, setting, first_unseen(setting, until))
    return kept._replace(params=as_configured(setting, kept.params))


def is_kept(folder: Path) -> bool:
    """Whether a run has kept what it fitted, sound or not.

    One that ended while it wrote its first, killed or for want of room, has kept none,
    and fits again from where it was.
    """
    return bool(checkpoint.steps(folder / "checkpoints"))


def expect_checkpoint(folder: Path) -> None:
    """Raises `CheckpointError` where a run has kept none."""
    if not is_kept(folder):
        raise CheckpointError(
            f"{folder} holds no checkpoint: run `mode=train` or the demo first and "
            "name its folder with run.model=DIR."
        )


def first_unseen(setting: Setting, until: int | None) -> int:
    """The bar that what is fitted goes on from; the test's first unless told."""
    return setting.split.test.start if until is None else until


def expect_origin(
    folder: Path, found: Origin | None, setting: Setting, until: int
) -> None:
    """Refuse what was fitted on other bars than those that lie before `until`.

    What is tested with it must come after all that it was fitted on, by the clock.
    """
    source, mend = setting.source, "put those files back, or train again on these"
    begins, goes_on = opens_ns(source, 0), opens_ns(source, until)
    if found is None:
        raise CheckpointError(
            f"{folder}: does not tell when the bars end that it was fitted on, so no "
            "test can be known to come after them: train again."
        )
    fitted = f"{folder}: was fitted on bars from {shown(found.start_ns)} up to "
    fitted += shown(found.until_ns)
    if setting.config.mode == "live":
        if goes_on < found.until_ns:
            raise CheckpointError(
                f"{fitted}; bar {until:,} of this market, where it would begin to "
                f"trade, opens before that, at {shown(goes_on)}: {mend}."
            )
        return
    if (found.start_ns, found.until_ns) != (begins, goes_on):
        raise CheckpointError(
            f"{fitted}; this source begins at {shown(begins)}, and bar {until:,}, with "
            f"which the test would begin, opens at {shown(goes_on)}. Bars were added "
            f"or removed since, and their numbers have moved: {mend}."
        )
    if found.digest != (now := digest(source, until)):
        raise CheckpointError(
            f"{fitted} with the digest {found.digest}; those of this source have "
            f"{now}, so that its files have changed: {mend}."
        )


def seat(folder: Path, setting: Setting, kept: Kept) -> Setting:
    """The setting whose engine asks the run's forest as it is configured to.

    Its file is read in any case, and compared with its hash and with what the
    checkpoint holds: a run whose forest was changed is no longer what was fitted,
    whoever asks it. With `trees.damaged=off` the member is silent then, and weighs
    nothing.
    """
    own, path = setting.config.trees, folder / "trees" / "forest.json"
    features = len(setting.settings.plan.specs)
    try:
        document = tree_fit.intact(path, features, len(CLASSES))
        expect_fitted(path, document, own, kept.params.forest)
        if own.predictor == "fused":
            return setting
        booster = tree_fit.revived(path, document)
    except ForestError as error:
        if own.damaged == "refuse":
            raise
        logger.warning("%s. Until then trees says nothing (trees.damaged=off).", error)
        return setting._replace(engine=asking(setting.engine, no_margins))
    engine = seated(setting.config, setting.settings, setting.engine, booster)
    return setting._replace(engine=engine)


def expect_fitted(
    path: Path, document: Mapping[str, Any], trees: Trees, fitted: Forest
) -> None:
    """Refuse a forest that is whole, and not the one that the checkpoint holds."""
    capacity = trees.rounds * len(CLASSES)
    try:
        found = packed(document, capacity, trees.depth, len(CLASSES))
    except ForestError:  # it would not even fit in
        found = None
    if found is None or not is_same(found, fitted):
        raise ForestError(
            f"{path}: another forest than the one that was fitted with the checkpoint "
            "beside it: put that one back, or fit again"
        )


def forest_of(folder: Path, setting: Setting) -> Any:
    """The run's forest as XGBoost has it; None of one that is damaged and may be."""
    features, path = len(setting.settings.plan.specs), folder / "trees" / "forest.json"
    try:
        return tree_fit.revived(path, tree_fit.intact(path, features, len(CLASSES)))
    except ForestError:
        if setting.config.trees.damaged == "refuse":
            raise
        return None  # `seat` tells of it


def no_margins(values: Float[Array, "S F"]) -> Float[np.ndarray, "S C"]:
    """What a forest says that is not there."""
    return np.full((len(values), len(CLASSES)), np.nan, np.float32)


def as_configured(setting: Setting, fitted: Params) -> Params:
    """What was fitted, with this run's own costs and limits of risk."""
    config, worth = setting.config, fitted.sizing
    sizing = params.sizing_params(
        config, setting.source.universe, worth.class_mean, worth.class_square
    )
    floor = jnp.float32(config.strategy.confidence_floor)
    return fitted._replace(sizing=sizing, confidence_floor=floor)


def anchors_of(setting: Setting) -> Float[Array, " S"]:
    """Where the device's price offsets start, increments."""
    return jnp.asarray(setting.source.anchors, jnp.float32)


def blank(setting: Setting) -> Kept:
    """A tree of the types and shapes that a checkpoint of this setting has."""
    settings = setting.settings
    fitted = blank_params(settings, setting.config.trees)
    state = init_state(settings, fitted.units, anchors_of(setting))
    features = len(settings.plan.specs)
    return Kept(fitted, state, jnp.int32(0), novelty.blank(features))
