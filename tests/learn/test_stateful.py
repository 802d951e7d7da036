"""Training sees the states that serving sees: chunks go on from where the last ended.

What a fit learnt and remembered between all updates is read back from its checkpoints,
and walked through once more bar by bar, as serving would.
"""

from functools import partial

import jax
import numpy as np
import pytest

from bot4jax.learn import fit, resume, schedule, update
from bot4jax.learn.update import Form, begin
from bot4jax.nets import zoo
from tests.learn.small_fit import (
    BARS,
    FEATURES,
    SIZES,
    SYMBOLS,
    fitted,
    hardware,
    samples,
    settings,
)

OWN = settings(epochs=1, checkpoint_every=1)
FORM = Form(SIZES, OWN.parts, hardware().products)
LANES, GROUPS, SEED = 4, 3, 3
VISITS = schedule.visits(BARS, SYMBOLS, OWN, SEED)
PACES = schedule.paces(OWN, len(VISITS))
WORTH = fit.worth_of(samples(), OWN)

STEP = jax.jit(partial(zoo.step, SIZES))
GRADE = partial(update.gradients, FORM)
UPDATE = jax.jit(partial(update.update, SIZES, GRADE))

ROUNDING = 1e-5
"""Other shapes are other executables; a fresh carry is a hundred times farther."""


@pytest.fixture(scope="module")
def between(tmp_path_factory):
    """What was learnt behind every number of updates, and what is remembered there."""
    folder = tmp_path_factory.mktemp("stateful")
    name = resume.identity(FORM, samples(), 1, OWN, SEED)
    like = resume.blank(FORM, FEATURES, LANES, GROUPS, len(VISITS))
    first = zoo.init(SIZES, FEATURES, SEED, schedule.class_prior(samples()))
    found = [(begin(first), ())]

    def look(stage: str = "nets", done: int = 0, total: int = 0) -> None:
        """Told of an update before it is kept: the newest is the one before."""
        newest = resume.restore(folder, like, name)
        if newest is not None:
            found.append((newest.fitting, newest.carries))

    fitted(folder, report=look, own=OWN)
    look()
    assert len(found) == len(VISITS) + 1
    return found


def numbers(group):
    """Of the updates of a group, in the order of time."""
    return [i for i, visit in enumerate(VISITS) if visit.group == group]


def batch(number):
    return schedule.batch_of(samples(), VISITS[number], OWN.chunk, LANES)


def served(params, carry, number):
    """What is remembered behind a chunk that is served bar by bar."""
    for bar in batch(number).features:
        carry, _ = STEP(params, carry, bar)
    return carry


def apart(one, other):
    """The largest difference of two trees."""
    pairs = zip(*map(jax.tree.leaves, (one, other)), strict=True)
    return max(np.abs(np.asarray(a) - np.asarray(b)).max() for a, b in pairs)


@pytest.mark.parametrize("group", range(GROUPS))
def test_what_is_remembered_behind_every_chunk_is_what_serving_remembers(
    between, group
):
    """Each chunk is served with the weights that it met, from the end of the last."""
    carry = fresh = zoo.init_carry(SIZES, LANES)
    for place, number in enumerate(numbers(group)):
        params, (_, carries) = between[number][0].params, between[number + 1]
        anew, carry = (served(params, one, number) for one in (fresh, carry))
        assert apart(carries[group].memory, carry.memory) < ROUNDING
        assert apart(carries[group].rings, carry.rings) < ROUNDING
        np.testing.assert_array_equal(carries[group].age, carry.age)
        assert place == 0 or apart(carry.memory, anew.memory) > 100 * ROUNDING


def test_what_is_learnt_from_a_chunk_is_learnt_from_the_state_behind_the_last(between):
    """The weights behind chunk 2, from the served state; another from a fresh one."""
    for group in range(GROUPS):
        first, second, *_ = numbers(group)
        fresh = zoo.init_carry(SIZES, LANES)
        carry = served(between[first][0].params, fresh, first)
        terms = batch(second), WORTH, PACES[second]
        found, anew = (
            UPDATE(between[second][0], one, *terms)[0].params for one in (carry, fresh)
        )
        expected = between[second + 1][0].params
        assert apart(found, expected) < ROUNDING
        assert apart(anew, expected) > 100 * ROUNDING
