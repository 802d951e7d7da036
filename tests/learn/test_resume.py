"""A fit that was cut off ends with the bits of one that never was."""

import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from bot4jax.errors import CheckpointError
from bot4jax.learn import checkpoint
from tests.learn.small_fit import (
    EVERY,
    UPDATES,
    assert_same_bits,
    fitted,
    samples,
    settings,
    undisturbed,
)

KILLED_AT = 11
"""In the middle of a chunk of the first epoch, three updates after a checkpoint."""


@pytest.fixture(scope="module")
def whole():
    """Never cut off, and keeping nothing."""
    return undisturbed()


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """What a process left behind that was killed without a warning."""
    folder = tmp_path_factory.mktemp("killed") / "training"
    command = [sys.executable, "-m", "tests.learn.small_fit", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            if line.split() == ["nets", str(KILLED_AT), str(UPDATES)]:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    return folder


@pytest.fixture
def copied(left, tmp_path):
    return shutil.copytree(left, tmp_path / "training")


def updates_told(folder):
    """Which updates a fit makes that goes on in a folder, and what comes out."""
    told = []
    found = fitted(folder, report=lambda stage, done, total: told.append(done))
    return told, found


class Cut(Exception):
    pass


def test_killed_within_an_epoch_it_ends_with_the_same_bits(whole, copied):
    """Weights, and what every update said of itself, before and after the kill."""
    told, found = updates_told(copied)
    assert told == list(range(8 + 1, UPDATES + 1))
    assert_same_bits(found, whole)


@pytest.mark.parametrize("spoil", ["torn", "flipped"])
def test_a_damaged_newest_checkpoint_costs_time_and_no_bit(whole, copied, spoil):
    files = [p for p in (copied / "8").rglob("*") if p.is_file() and p.stat().st_size]
    victim = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content if spoil == "flipped" else content[: len(content) // 2])
    told, found = updates_told(copied)
    assert told[0] == EVERY + 1
    assert_same_bits(found, whole)


def test_without_one_whole_checkpoint_it_begins_anew(whole, copied):
    for step in checkpoint.steps(copied):
        (copied / str(step) / checkpoint.SEAL).unlink()
    told, found = updates_told(copied)
    assert told[0] == 1
    assert_same_bits(found, whole)


def test_cut_off_again_and_again_it_still_ends_the_same(whole, tmp_path):
    """In every chunk, at the end of an epoch, and after the very last update."""
    for last in (3, 6, 7, 15, 16, 24, UPDATES):

        def report(stage, done, total, last=last):
            if done == last:
                raise Cut

        with pytest.raises(Cut):
            fitted(tmp_path, report=report)
    told, found = updates_told(tmp_path)
    assert told == [UPDATES - 1, UPDATES]
    assert_same_bits(found, whole)
    assert updates_told(tmp_path)[0] == []


def test_optimiser_and_carried_states_are_kept(left):
    """Not only weights: without its moments Adam would step otherwise."""
    names = (left / "8").rglob("_METADATA")
    text = next(names).read_text()
    for part in ("fitting/optimiser/mu", "fitting/optimiser/nu", "carries/2/memory"):
        assert part in text


def test_other_samples_or_settings_are_refused(copied):
    labels = samples()._replace(labels=samples().labels[::-1])
    with pytest.raises(CheckpointError, match="config_hash"):
        fitted(copied, data=labels)
    with pytest.raises(CheckpointError, match="config_hash"):
        fitted(copied, own=settings(learning_rate=1e-3))


def test_features_of_another_formula_are_refused(copied):
    """Of the same shape, labels and weights: one column is what it was not."""
    other = samples().features.copy()
    other[..., 2] *= 1.001
    with pytest.raises(CheckpointError, match="catalogue_hash"):
        fitted(copied, data=samples()._replace(features=other))


def test_another_number_of_devices_is_refused_by_name(copied):
    """Gradients would add up in another order, and the bits be those of no fit."""
    told = "from tests.learn.small_fit import Path, fitted, hardware, sys\n"
    told += "fitted(Path(sys.argv[1]), on=hardware(devices=0))"
    flags = "--xla_force_host_platform_device_count=2"
    done = subprocess.run(
        [sys.executable, "-c", told, str(copied)],
        env=os.environ | {"XLA_FLAGS": flags},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "CheckpointError" in last
    assert "on 1 device; expected" in last
    assert "on 2 devices" in last


def test_how_often_it_is_kept_changes_nothing(whole, tmp_path):
    found = fitted(tmp_path, own=settings(checkpoint_every=0))
    assert not checkpoint.steps(tmp_path)
    assert_same_bits(found, whole)


def test_the_order_of_samples_is_a_function_of_seed_and_number():
    from bot4jax.learn.schedule import visits

    one, same, other = (visits(30, 10, settings(), seed) for seed in (3, 3, 4))
    for a, b in zip(one, same, strict=True):
        assert (a.bars, a.is_fresh, a.group) == (b.bars, b.is_fresh, b.group)
        np.testing.assert_array_equal(a.symbols, b.symbols)
    assert any(
        (a.symbols != b.symbols[: len(a.symbols)]).any()
        for a, b in zip(one, other, strict=True)
        if len(a.symbols) == len(b.symbols)
    )
    first = [visit for visit in one[:15] if visit.bars.start == 6]
    seen = np.concatenate([visit.symbols for visit in first])
    assert sorted(seen.tolist()) == list(range(10))
