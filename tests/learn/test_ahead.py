"""What is compiled ahead is what is called, once, and changes no number."""

import logging
import time
from collections import Counter
from contextlib import nullcontext
from threading import Event, current_thread, main_thread

import jax
import jax.numpy as jnp
import pytest

from bot4jax.config import load
from bot4jax.learn import ahead
from bot4jax.modes import learning
from bot4jax.modes.setting import set_stage
from tests.learn.small_fit import assert_same_bits
from tests.small_stage import FEW

SPANS = ("spans.train=90", "spans.calibrate=60", "spans.test=20")

PROGRAMS = ("observe", "saturated", "update", "unroll", "step", "log_probability")
"""Of any fit of nets and trees, by their functions' names."""

VOTES = {"fused": ("conclude",), "xgboost": ("step", "decide")}
"""What the vote walks with, by who predicts for the forest; `foresee` is another step,
which gives its carry away."""


def fitted(folder, symbols, *words):
    """The small stage, of as many symbols as no other test has: nothing is compiled."""
    own = "mode=train", "debug=tiny", f"data.symbols={symbols}", *FEW, *SPANS
    setting = set_stage(load([*own, f"run.root={folder}", *words]))
    return learning.train(setting, lambda *told: None, folder)


@pytest.fixture
def compilations(caplog):
    """Names of what XLA compiled, each with the thread that waited for it."""
    jax.config.update("jax_log_compiles", True)

    def found():
        return [
            (one.getMessage().split("jit(")[1].split(")")[0], one.threadName)
            for one in caplog.records
            if "Finished XLA compilation of jit(" in one.getMessage()
        ]

    with caplog.at_level(logging.WARNING):
        yield found
    jax.config.update("jax_log_compiles", False)


@pytest.mark.parametrize("predictor", VOTES)
def test_each_program_is_compiled_once_and_the_fit_does_not_wait(
    predictor, compilations, tmp_path
):
    symbols = {"fused": 11, "xgboost": 12}[predictor]
    fitted(tmp_path, symbols, f"trees.predictor={predictor}")
    expected = Counter((*PROGRAMS, *VOTES[predictor]))
    own = [one for one in compilations() if one[0] in expected]
    assert Counter(name for name, _ in own) == expected
    assert not [name for name, thread in own if thread == main_thread().name]


def test_no_number_depends_on_it(monkeypatch, tmp_path):
    one, _ = fitted(tmp_path / "ahead", 13)
    monkeypatch.setattr(ahead, "compiled", lambda programs: nullcontext())
    jax.clear_caches()
    other, _ = fitted(tmp_path / "as_called", 13)
    assert_same_bits(
        (one.params, one.observing, one.deciding, one.data),
        (other.params, other.observing, other.deciding, other.data),
    )
    assert one.calibration == other.calibration


def test_the_block_goes_on_meanwhile_and_what_follows_finds_all_compiled():
    has_begun, threads = Event(), []

    def programs():
        assert has_begun.wait(60)
        for _ in range(2):
            threads.append(current_thread())
            yield ahead.Program(jax.jit(jnp.negative), (1.0,))

    with ahead.compiled(programs()):
        assert not threads
        has_begun.set()
    assert len(threads) == 2
    assert main_thread() not in threads


def test_a_block_that_fails_waits_for_no_further_program():
    many, asked = 1_000, []

    def programs():
        for number in range(many):
            asked.append(number)
            time.sleep(0.01)  # the block fails meanwhile
            yield ahead.Program(jax.jit(jnp.negative), (1.0,))

    with pytest.raises(KeyboardInterrupt), ahead.compiled(programs()):
        raise KeyboardInterrupt
    assert len(asked) < many / 10


def test_what_cannot_be_compiled_is_told_behind_the_block():
    def broken(value):
        raise ValueError("no such function")

    passed = []
    with (
        pytest.raises(ValueError, match="no such function"),
        ahead.compiled([ahead.Program(jax.jit(broken), (1.0,))]),
    ):
        passed.append("the block")
    assert passed
