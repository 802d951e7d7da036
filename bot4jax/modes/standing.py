"""How far a strategy has come, and what it rests on: one small file over all its runs.

A strategy is a checkpoint and how it trades. Another one has shown nothing yet, so it
begins in a file of its own.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from bot4jax import durable
from bot4jax.errors import CheckpointError, ConfigError
from bot4jax.learn import checkpoint
from bot4jax.modes.phases import Evidence, Phase
from bot4jax.runtime.carrying import JOURNAL
from bot4jax.runtime.lease import lease
from bot4jax.schema import Config
from bot4jax.types import CLASSES

SCHEMA = "bot4jax.rollout/1"

TRADING = ("strategy", "execution", "risk", "ensemble", "labels")
"""Sections of the configuration that say how a strategy trades."""

MOST_GONE = 64
"""Runs without a journal that are remembered: their disk may only be away."""


class Move(msgspec.Struct, frozen=True):
    """From one phase to another, and why."""

    before: Phase
    after: Phase
    run: str
    step: int
    boundary_ns: int
    text: str


class Standing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that is known of a strategy's rollout."""

    schema: str
    strategy: str
    """`strategy_hash`"""
    phase: Phase = Phase.SHADOW
    """that the next run begins in"""
    runs: Mapping[str, Phase] = {}
    """the phase that each has begun in, by its folder; the newest last"""
    evidence: Mapping[Phase, Evidence] = {}
    came: tuple[int, ...] = (0,) * len(CLASSES)
    """how often each class has come"""
    through_ns: int = 0
    """event time up to which a market has counted"""
    moves: tuple[Move, ...] = ()

    def of(self, phase: Phase) -> Evidence:
        """What was seen in a phase since it began."""
        return self.evidence.get(phase, Evidence())

    def but(self, **fields: Any) -> "Standing":
        """The same with other values."""
        return msgspec.structs.replace(self, **fields)

    def begun(self, run: str, phase: Phase) -> "Standing":
        """With a run that begins in a phase, or goes on in it. Of those that cannot go
        on now, for their journal is not there, the oldest are forgotten."""
        others = [one for one in self.runs if one != run]
        forgotten = [one for one in others if not goes_on(one)][:-MOST_GONE]
        kept = {one: self.runs[one] for one in others if one not in forgotten}
        return self.but(runs={**kept, run: phase})

    def moved(self, move: Move) -> "Standing":
        """In another phase. Who goes back shows anew what he had shown there."""
        kept, is_back = dict(self.evidence), move.after.rank < move.before.rank
        for phase in (move.before, move.after) if is_back else (move.after,):
            kept.pop(phase, None)
        return self.but(phase=move.after, evidence=kept, moves=(*self.moves, move))


@contextmanager
def held(config: Config, model: Path) -> Iterator[Standing]:
    """The standing of the strategy in `rollout.file`, which nobody else may change
    while the block lasts; a file that is not there yet is of a beginner."""
    path = file_of(config)
    with lease(path, "rollout.file", "rollout.file"):
        yield read(path, strategy_hash(config, model))


def goes_on(run: str) -> bool:
    """Whether a run has a journal to go on with."""
    return (Path(run) / JOURNAL).is_file()


def file_of(config: Config) -> Path:
    """Where the standing is kept."""
    if config.rollout.file is None:
        raise ValueError("rollout.file is null: there is no standing")
    return Path(config.rollout.file).resolve()


def read(path: Path, strategy: str) -> Standing:
    """The standing of this strategy; raises for another's, or a file that is none."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Standing)
    except FileNotFoundError:
        return Standing(SCHEMA, strategy)
    except (msgspec.DecodeError, OSError) as error:
        raise CheckpointError(
            f"{path} holds no standing of a rollout ({error}). Put back a copy of it, "
            "or name another rollout.file: the strategy then begins in shadow."
        ) from error
    if found.schema != SCHEMA:
        raise CheckpointError(
            f"{path} is of schema '{found.schema}', expected '{SCHEMA}'. Name another "
            "rollout.file: the strategy then begins in shadow."
        )
    if found.strategy != strategy:
        raise ConfigError(
            [
                f"rollout.file: {path} is the rollout of another strategy: of another "
                f"checkpoint than run.model's, another {'|'.join(TRADING)}, or other "
                "rollout.alpha|slowest_ms. Name another file: what is new begins in "
                "shadow"
            ]
        )
    return found


def write(path: Path, standing: Standing) -> None:
    """Keep it, whole or not at all, over a loss of power too."""
    text = msgspec.json.format(msgspec.json.encode(standing), indent=1).decode()
    durable.write(path, text + "\n")


def strategy_hash(config: Config, model: Path) -> str:
    """Of a run's newest intact checkpoint, of how it is to trade, and of what its
    intervals rest on, which nobody may choose once he has seen them."""
    folder = model / "checkpoints"
    step = checkpoint.newest_intact(folder)
    if step is None:
        raise CheckpointError(f"{folder} holds no checkpoint that is whole.")
    seal = (folder / str(step) / checkpoint.SEAL).read_bytes()
    trading: list[Any] = [getattr(config, name) for name in TRADING]
    trading += [config.rollout.alpha, config.rollout.slowest_ms]
    return hashlib.sha256(seal + msgspec.json.encode(trading)).hexdigest()[:16]
