"""What libraries say in the place of our step, and that they say what ours says.

Features by the functions that together take the least time here, nets and forest in all
their ways, over the same bars, weights and trees. Each link of the chain is compared
alone, given what ours is given: what one link rounds off is no fault of the next.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import xgboost

from benchmarks import bars, chain, trees
from benchmarks.chain import Features, Raw, Scores
from benchmarks.contest import expect_equal
from benchmarks.nets import TOLERANCE
from benchmarks.own_step import Met, OwnStep
from benchmarks.peers import is_here
from benchmarks.peers.peer import CLOSE
from benchmarks.peers.registry import PEERS
from bot4jax.errors import ConfigError
from bot4jax.kernels.planning import Plan
from bot4jax.learn.dataset import BarRecord
from bot4jax.nets.sizes import NETS
from bot4jax.registry import FeatureSpec
from bot4jax.runtime.progress import Report
from bot4jax.schema import Config
from bot4jax.trees import fit

CALLS = 5
"""Of every function, while the fastest are chosen."""

BARS = 40
"""That are compared: by then the rings of nets have been filled and written over."""

SCORED = 1e-5
"""Of scores: a quotient beside a product with the reciprocal, in float32."""
TREES = "trees"

Says = Mapping[str, Callable[[np.ndarray], np.ndarray]]
"""Ways to ask the forest of scores `[S, F]`."""


class Remembering(Protocol):
    """A way to ask the nets."""

    def begin(self) -> None: ...

    def __call__(self, scores: np.ndarray) -> np.ndarray: ...


class Theirs(NamedTuple):
    """The parts of the chain, nets and forest each in all its ways."""

    features: Features
    compared: Raw
    """what they yield where ours is given the same"""
    scores: Scores
    nets: Mapping[str, Remembering]
    """none where PyTorch is not installed"""
    forest: Says


def expect_twins(config: Config) -> None:
    """Refuse members that libraries are not asked for."""
    members = set(config.ensemble.members)
    known = {*NETS, TREES}
    if members <= known and TREES in members:
        return
    raise ConfigError(
        [
            f"ensemble.members: bench=peers compares {TREES} and some of "
            f"{', '.join(NETS)}, found {', '.join(sorted(members))}"
        ]
    )


def made(
    ours: OwnStep,
    record: BarRecord,
    booster: xgboost.Booster,
    own: fit.Settings,
    report: Report,
) -> Theirs:
    """All parts, ready to be called."""
    plan, units = ours.settings.plan, ours.params.units
    return Theirs(
        *their_features(plan, record, report),
        Scores(units.scaler, float(units.clip), plan.specs),
        their_nets(ours, own.threads),
        chain.predictors(booster, own.threads, own.device),
    )


def their_features(
    plan: Plan, record: BarRecord, report: Report
) -> tuple[Features, Raw]:
    """By the functions that together take the least time here; what they say of ours.

    What is carried, ours has of all bars since the first: to be compared, so have they.
    """
    symbols, window = plan.layout.symbols, plan.layout.window
    columns = bars.Columns(record, bars.unit_scales(symbols))
    functions = chain.bound(PEERS, plan.specs, columns, window)
    chosen = chain.fastest(functions, CALLS, report)
    names = [spec.name for spec in plan.specs]
    own = [function.peer for function in chosen]
    again = chain.bound(own, plan.specs, columns, window, since_first=True)
    return Features(chosen, names, symbols), Features(again, names, symbols)()


def their_nets(ours: OwnStep, threads: int) -> Mapping[str, Remembering]:
    """PyTorch's ways, with as many threads as XGBoost has."""
    if not is_here("torch"):
        return {}
    import torch  # pyright: ignore[reportMissingImports]

    from benchmarks import pytorch_zoo

    torch.set_num_threads(threads)
    symbols, features = ours.met.scores.shape
    sizes, params = ours.settings.sizes, ours.params.nets
    return pytorch_zoo.walkers(sizes, features, params, symbols)


def expect_same(ours: OwnStep, theirs: Theirs) -> None:
    """Every link alone, given what ours is given: refused if it says something else."""
    met, specs = ours.met, ours.settings.plan.specs
    yielded = {n for own in theirs.features.functions for n in own.peer.features}
    expect_features(met, theirs.compared, specs, yielded)
    known = np.where(met.usable, met.values, np.nan)
    expect_equal("scores", met.scores, theirs.scores(known), SCORED)
    names = ours.settings.sizes.members
    for one in (ours, *theirs.nets.values()):
        one.begin()
    for bar in range(BARS):
        scores = np.roll(met.scores, bar, axis=0)
        said = ours.said(scores)
        by_nets = np.log([said[name] for name in names])
        for way, say in theirs.nets.items():
            expect_equal(way, by_nets, say(scores), TOLERANCE)
        for way, say in theirs.forest.items():
            expect_equal(way, said[TREES], say(scores), trees.TOLERANCE)


def expect_features(
    met: Met, found: Raw, specs: Sequence[FeatureSpec], yielded: Collection[str]
) -> None:
    """Where ours means something, theirs is within what both are allowed."""
    for place, spec in enumerate(specs):
        known = met.usable[:, place]
        if spec.name not in yielded or not known.any():
            continue
        values, theirs = met.values[known, place], found[known, place]
        size = np.abs(theirs)
        allowed = spec.tolerance * np.maximum(1, size) + CLOSE * size.max()
        expect_equal(spec.name, values / allowed, theirs / allowed, 1.0)
