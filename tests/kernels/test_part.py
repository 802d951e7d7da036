"""A bank of some features, taken out of a bank of more, goes on as that one does."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bot4jax.config import load
from bot4jax.kernels import bank, planning
from bot4jax.kernels.history import Scales
from bot4jax.registry import select
from bot4jax.types import Bar, Layout
from tests import recorded
from tests.checks import CHUNK, SYMBOLS, WINDOW

FALLBACK = load([]).features.fallback

WITH_WINDOWS = (
    "autocorrelation_5",
    "hurst_exponent",
    "quantile_10",
    "relative_power_3",
    "transfer_entropy_volume",
    "rsi_14",
    "williams_r_28",
)
"""Of every form, whose windows, rings and long states lie between those of others."""

BESIDE = (
    *FALLBACK,
    *WITH_WINDOWS,
    "amihud",
    "vpin",
    "rank_of_volume",
    "higuchi_dimension",
)

PARTED = 300
"""Bar from which the part goes on by itself: windows are full, blocks are not."""

ROUNDED = 1e-6
"""Another executable may add in another order."""


@pytest.fixture(scope="module")
def plan():
    layout = Layout(SYMBOLS, WINDOW, 0, 5, 0, Bar._fields)
    return planning.plan(layout, select(BESIDE))


@pytest.fixture(scope="module")
def scan(plan):
    scales = Scales(*map(jnp.asarray, recorded.units()))

    def compiled(own):
        return jax.jit(partial(jax.lax.scan, partial(bank.update, own, scales)))

    return compiled


@pytest.fixture(scope="module")
def walked(plan, scan):
    """The state of all where the part is taken, and what all say after it."""
    bars, walk = recorded.recorded_bars(7, PARTED + CHUNK), scan(plan)
    state = bank.init(plan)
    for start in range(0, PARTED, CHUNK):
        state, _ = walk(state, recorded.cut(bars, start, start + CHUNK))
    rest = recorded.cut(bars, PARTED, PARTED + CHUNK)
    _, raw = walk(state, rest)
    return state, raw, rest


@pytest.mark.parametrize("names", [FALLBACK, WITH_WINDOWS, ()], ids=len)
def test_a_part_says_what_the_whole_says(plan, scan, walked, names):
    state, whole, rest = walked
    own = planning.part(plan, names)
    assert {spec.name for spec in own.specs} == set(names)
    _, raw = scan(own)(bank.part(plan, own, state), rest)
    places = [plan.specs.index(spec) for spec in own.specs]
    np.testing.assert_array_equal(raw.usable, whole.usable[:, :, places])
    known = np.asarray(raw.usable)
    assert not names or known.mean() > 0.5
    found, truth = (
        np.asarray(one)[known] for one in (raw.values, whole.values[:, :, places])
    )
    np.testing.assert_allclose(found, truth, rtol=ROUNDED, atol=ROUNDED)


@pytest.mark.parametrize("names", [FALLBACK, WITH_WINDOWS, ()], ids=len)
def test_before_the_first_bar_a_part_is_a_fresh_bank(plan, names):
    own = planning.part(plan, names)
    taken, fresh = bank.part(plan, own, bank.init(plan)), bank.init(own)
    for one, other in zip(jax.tree.leaves(taken), jax.tree.leaves(fresh), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_what_the_fallback_remembers_is_small():
    """It is copied, checkpointed and rebased beside the memory of all features."""
    layout = Layout(1024, WINDOW, 0, 5, 0, Bar._fields)
    whole = planning.plan(layout, select(["all"]))
    own = planning.part(whole, FALLBACK)
    assert (own.floats, own.mids) == ((), ())
    assert size(own) < size(whole) / 10


def size(plan: planning.Plan) -> int:
    """Numbers that a bank carries."""
    state = jax.eval_shape(lambda: bank.init(plan))
    return sum(leaf.size for leaf in jax.tree.leaves(state))
