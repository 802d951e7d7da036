"""Several processes of one training: runs beside each other."""

import pytest

from bot4jax.config import config_hash, load, run_folder
from bot4jax.modes.joining import own_run

WORDS = ["mode=train", "hardware.processes=3", "hardware.coordinator=first:7733"]
WORDS += ["hardware.devices=0"]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], ["train-simulator", "train-simulator-process-1"]),
        (["run.name=large"], ["large", "large-process-1"]),
    ],
)
def test_every_process_but_the_first_has_a_run_of_its_own(words, names):
    configs = [load([*WORDS, *words, f"hardware.process={k}"]) for k in (0, 1)]
    assert [run_folder(own_run(one)).name for one in configs] == names


def test_their_configuration_is_one():
    one, other = (load([*WORDS, f"hardware.process={k}"]) for k in (0, 2))
    assert config_hash(own_run(one)) == config_hash(own_run(other))
