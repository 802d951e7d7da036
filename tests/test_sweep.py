"""Sweeps: jobs side by side, one result a job, and a killed sweep goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from bot4jax.config import HYDRA_VERSION_BASE, from_yaml, load
from bot4jax.errors import Halted
from bot4jax.learn import ledger
from bot4jax.words import LAUNCHERS, announced, conf_folder, groups, rewritten
from tests.contract import check_summary

WORDS = [
    "-m",
    "sweep=joblib",
    "mode=train",
    "debug=tiny",
    "run.seed=1,2,3",
    "data.symbols=4",
    "spans.train=60",
    "spans.calibrate=40",
    "spans.test=40",
    "features.window=16",
    "features.names=[mean,skewness,rsi_14]",
    "ensemble.members=[gru,trees]",
]
JOBS = [f"train-simulator-{number}" for number in range(3)]


FLAGS = "--xla_backend_optimization_level=0"
"""Compiled in half the time: nothing here is about speed or about bits."""


def started(root: Path, words: Sequence[str] = WORDS, **terms: str) -> subprocess.Popen:
    """The sweep, in a group of processes of its own, its compilations kept; `terms` are
    of its environment."""
    known = {k: v for k, v in os.environ.items() if not k.startswith(("JAX", "XLA"))}
    own = {"XDG_CACHE_HOME": str(root / "cache"), "XLA_FLAGS": FLAGS}
    own["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    own["PYTHONPATH"] = os.pathsep.join([str(root), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-m", "bot4jax.run", *words, f"run.root={root}"],
        env=known | own | terms,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finished(root: Path) -> list[str]:
    return [name for name in JOBS if (root / name / "report.html").exists()]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """All processes of a sweep killed at its first result; what was there then."""
    root = tmp_path_factory.mktemp("sweep")
    with started(root) as sweep:
        while not finished(root) and sweep.poll() is None:
            time.sleep(0.05)
        os.killpg(sweep.pid, signal.SIGKILL)
    before = {
        name: (root / name / "summary.json").stat().st_mtime_ns
        for name in finished(root)
    }
    return root, before


def test_a_killed_sweep_goes_on_with_what_is_missing(killed):
    root, before = killed
    assert 1 <= len(before) < 3
    with started(root) as again:
        out, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert finished(root) == JOBS
    for name, written in before.items():
        assert (root / name / "summary.json").stat().st_mtime_ns == written
    told = [json.loads((root / name / "summary.json").read_text()) for name in JOBS]
    assert [one["seed"] for one in told] == [1, 2, 3]
    own = [from_yaml(root / name / "config.yaml").run for name in JOBS]
    assert [one.jobs for one in own] == [3, 3, 3]
    assert len({one.sweep for one in own}) == 1, "after the kill it is the same one"
    assert len({json.dumps(one["members"]) for one in told}) == 3
    for one in told:
        check_summary(one)
        assert sum(own["weight"] for own in one["members"].values()) == pytest.approx(1)
    entered = ledger.read(root / ledger.NAME)
    assert {(one.run, one.kind) for one in entered.trials} == {
        (name, "train") for name in JOBS
    }, "every job is a trial, though none has a result"
    assert entered.on("simulator 1").charged(entered.trials[0]) >= 3
    assert sum(line.startswith("summary ") for line in out.splitlines()) == 3


def at_work(root: Path, does: str) -> list[str]:
    """Words of a sweep of two jobs at a time that do something else, and tell of it
    by a file that bears the number of their process."""
    own = (
        f"import os, pathlib, time; pathlib.Path(f'{root}/{{os.getpid()}}.pid').touch()"
    )
    (root / "busy.py").write_text(f"{own}\n{does}\n")
    words = ["mode=catalogue", "plugins=[busy]", "run.seed=range(6)"]
    return ["-m", "sweep=joblib", *words]


def workers(root: Path) -> set[int]:
    return {int(one.stem) for one in root.glob("*.pid")}


def is_alive(process: int) -> bool:
    """A dead one that nobody has asked for is dead."""
    try:
        return " Z " not in Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="no other system can")
def test_workers_end_with_the_sweep_that_began_them(tmp_path):
    """Else they went on in their runs' folders, and with jobs that they had been given
    beforehand, while the sweep was started again."""
    with started(tmp_path, at_work(tmp_path, "time.sleep(100)")) as sweep:
        until(lambda: len(workers(tmp_path)) == 2)
        os.kill(sweep.pid, signal.SIGKILL)
    try:
        until(lambda: not any(map(is_alive, workers(tmp_path))), 10)
    finally:
        for one in filter(is_alive, workers(tmp_path)):
            os.kill(one, signal.SIGKILL)
    assert len(workers(tmp_path)) == 2


def test_a_killed_worker_is_told_in_a_sentence(tmp_path):
    with started(tmp_path, at_work(tmp_path, "os.kill(os.getpid(), 9)")) as sweep:
        _, told = sweep.communicate(timeout=100)
    assert sweep.returncode == Halted.exit_code
    assert "bot4jax: A worker of the sweep was killed" in told
    assert "Traceback" not in told


CLUSTER = {
    "sbatch": """for task in 0 1; do
  (export SLURM_JOB_ID=7$task SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$task
   export SLURM_NTASKS=1 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0
   export SLURM_JOB_NUM_NODES=1 SLURM_JOB_NODELIST=here
   exec bash "${@: -1}") > "$0.$task" 2>&1 &
done
echo Submitted batch job 7""",
    "srun": """while [[ $1 = --* ]]; do
  [ $1 = --unbuffered ] || shift
  shift
done
exec "$@\"""",
    "sacct": """echo "JobID|State|NodeList"
echo "7_0|RUNNING|here"
echo "7_1|RUNNING|here\"""",
}
"""As much of Slurm as submitit speaks to: an array's two tasks run here, at once."""


@pytest.mark.skipif(sys.platform == "win32", reason="Slurm's words are shell scripts")
def test_slurm_is_handed_jobs_that_run(tmp_path):
    """Submitit's own files and processes; only the cluster is made up."""
    (tmp_path / "bin").mkdir()
    for name, text in CLUSTER.items():
        script = tmp_path / "bin" / name
        script.write_text(f"#!/usr/bin/env bash\n{text}\n")
        script.chmod(0o755)
    words = ["-m", "sweep=slurm", "mode=catalogue", "run.seed=1,2"]
    path = os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]])
    with started(tmp_path, words, PATH=path) as sweep:
        _, err = sweep.communicate(timeout=100)
    assert sweep.returncode == 0, err
    (asked,) = tmp_path.glob("sweep/.submitit/*/*_submission.sh")
    terms = set(asked.read_text().splitlines())
    assert terms >= {"#SBATCH --array=0-1%2", "#SBATCH --time=240"}
    assert terms >= {"#SBATCH --mem=32GB", "#SBATCH --cpus-per-task=8"}
    for task in range(2):
        told = (tmp_path / "bin" / f"sbatch.{task}").read_text()
        assert "order_flow_imbalance" in told


def until(is_so: Callable[[], bool], seconds: float = 100) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("words", "jobs"),
    [
        (["run.seed=1,2,3"], 3),
        (["run.seed=1,2", "labels.horizon=range(2,8,2)"], 6),
        (["risk=glob(*)", "features.window=32"], len(groups()["risk"])),
        (["features.names=[mean,skewness]", "features.window=choice(16,32)"], 2),
        (["features.window=32"], 1),
    ],
)
def test_a_sweep_counts_its_jobs_beforehand(words, jobs):
    forced, problems = rewritten(words, sweep=True)
    assert problems == []
    assert announced(forced)[1] == f"++run.jobs={jobs}"
    assert len(list(BasicSweeper.split_arguments(parsed(forced), None)[0])) == jobs


def parsed(words):
    """As Hydra reads them, with the options that a glob can find."""
    hydra = GlobalHydra.instance()
    with initialize_config_dir(str(conf_folder()), version_base=HYDRA_VERSION_BASE):
        loader = hydra.config_loader()
        return OverridesParser.create(config_loader=loader).parse_overrides(words)


def test_a_sweep_is_named_by_what_is_tried_not_by_who_starts_it():
    words = ["++run.seed=1,2", "++labels.horizon=3"]
    (name, _), (again, _) = announced(words), announced([*words[::-1], "sweep=joblib"])
    assert name == again
    assert load([name]).run.sweep == name.split("'")[1]
    assert announced(["++run.seed=1,3", "++labels.horizon=3"])[0] != name


@pytest.mark.parametrize(
    "word", ["hardware=cpu,gpu", "hardware.devices=1,8", "hardware.threads=range(1,3)"]
)
def test_no_sweep_changes_hardware_in_a_process_that_has_its_own(word):
    """JAX has looked by then: every job would have run on what the first was given."""
    (problem,) = rewritten([word], sweep=True)[1]
    assert problem.startswith(f"{word.partition('=')[0]}: ")
    assert rewritten([word, "sweep=slurm"], sweep=True)[1] == []
    assert rewritten(["hardware.products=float32,bfloat16"], sweep=True)[1] == []
    assert rewritten(["hardware=cpu", "hardware.devices=8"], sweep=True)[1] == []


def test_every_launcher_has_an_option_and_a_package():
    assert set(groups()["sweep"]) == set(LAUNCHERS)


def test_a_launcher_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(LAUNCHERS, "ray", "hydra-launcher-of-nobody")
    _, problems = rewritten(["sweep=ray", "run.seed=1,2"], sweep=True)
    assert problems == [
        "sweep: ray needs a package: pip install hydra-launcher-of-nobody"
    ]


NAMES = {"joblib": "joblib", "slurm": "submitit_slurm", "ray": "ray"}
"""What Hydra calls the launcher of each option."""

SET = {
    "joblib": {"n_jobs": 2},
    "slurm": {
        "timeout_min": 240,
        "cpus_per_task": 8,
        "mem_gb": 32,
        "gpus_per_node": None,
        "partition": None,
        "array_parallelism": 16,
    },
    "ray": {
        "ray": {"init": {"address": None}, "remote": {"num_cpus": 2, "num_gpus": 0}}
    },
}


@dataclass
class RayTerms:
    """What is handed to `ray.init`, and to every task."""

    init: dict[str, Any] = field(default_factory=lambda: {"address": None})
    remote: dict[str, Any] = field(default_factory=dict)


@dataclass
class RayLauncher:
    """The keys of hydra-ray-launcher 1.2.2 (`_config.py`), and no others."""

    _target_: str = "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher"
    ray: RayTerms = field(default_factory=RayTerms)


@pytest.mark.parametrize("option", NAMES)
def test_launchers_compose(option):
    """Ray's plugin is in no extra: its keys stand for it, and refuse any other."""
    if option == "ray":
        store = ConfigStore.instance()
        store.store("ray", RayLauncher, "hydra/launcher", provider="a test")
    with initialize_config_dir(str(conf_folder()), version_base=HYDRA_VERSION_BASE):
        words = [f"sweep={option}"]
        composed = compose("config", words, return_hydra_config=True)
    launcher = OmegaConf.to_container(composed.hydra.launcher)
    assert composed.hydra.runtime.choices["hydra/launcher"] == NAMES[option]
    assert isinstance(launcher, dict)
    assert launcher | SET[option] == launcher
    if option != "ray":
        assert load(words) == load(), "a launcher changes nothing of a job"
