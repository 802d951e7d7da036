"""One small market, learnt and traded once, for all tests of the modes."""

import contextlib
import io
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from bot4jax.config import load
from bot4jax.modes import children, demo, standing, trading
from bot4jax.modes.keeping import Kept, take_up
from bot4jax.modes.phases import Phase
from bot4jax.modes.setting import Setting, set_stage
from bot4jax.modes.trading import Traded
from bot4jax.schema import Config
from bot4jax.schema.process import Endpoints
from tests.modes.ways import silent
from tests.small_stage import FEW


class Run(NamedTuple):
    """A run that is over."""

    config: Config
    folder: Path
    code: int
    printed: str


@pytest.fixture(scope="session", autouse=True)
def patient():
    """Feeds and venues have time to end, however loaded the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(children, "PATIENCE_S", 120.0)
        yield


@pytest.fixture(scope="session")
def endpoints():
    """Words for sockets that nobody else uses; the names of such files must be short"""
    with tempfile.TemporaryDirectory(prefix="b4") as folder:
        yield [
            f"runtime.endpoints.{name}=ipc://{folder}/{name}"
            for name in Endpoints.__struct_fields__
        ]


@pytest.fixture(scope="session")
def words(endpoints, tmp_path_factory):
    """The small market's configuration, as a user would type it."""
    root = tmp_path_factory.mktemp("runs")
    return ["debug=tiny", f"run.root={root}", "runtime.speed=0", *endpoints]


@pytest.fixture(scope="session")
def run(words) -> Run:
    """The main job: five members learnt, and traded with a feed and a venue apart."""
    config = load(["mode=demo", "run.name=first", *words])
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = demo.demo(config)
    return Run(config, Path(config.run.root) / "first", code, printed.getvalue())


@pytest.fixture(scope="session")
def few(words, tmp_path_factory) -> Path:
    """Folder of a run of few features and members, for whoever asks not for more; its
    root has a ledger of its own."""
    root = tmp_path_factory.mktemp("few")
    config = load(["mode=demo", "run.name=few", *words, f"run.root={root}", *FEW])
    assert demo.demo(config) == 0
    return Path(config.run.root) / "few"


@pytest.fixture(scope="session")
def setting(run) -> Setting:
    """The stage of the run, set once more."""
    return set_stage(run.config)


@pytest.fixture
def kept(run, setting) -> Kept:
    """The run's checkpoint; each test has its own, for states are given away."""
    return take_up(run.folder, setting)


@pytest.fixture(scope="session")
def here_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("here")


@pytest.fixture(scope="session")
def here(run, setting, here_folder) -> Traded:
    """The same bars traded in this process."""
    return trading.trade_here(
        setting, take_up(run.folder, setting), here_folder, silent, run.folder.name
    )


@pytest.fixture
def copied(run, tmp_path) -> Path:
    """A copy of the run's folder, to be damaged."""
    return Path(shutil.copytree(run.folder, tmp_path / run.folder.name))


@pytest.fixture(scope="session")
def configured(run, words):
    """The configuration of a live run of the run's checkpoint, in a rollout."""

    def of(file: Path, name: str, *rules: str) -> Config:
        own = [f"run.model={run.folder}", f"run.name={name}", f"rollout.file={file}"]
        return load(["mode=live", *words, "runtime.speed=1", *own, *rules])

    return of


@pytest.fixture
def on_paper(run, configured, tmp_path):
    """Writes the file of a strategy that has come as far as paper, by these rules."""

    def file_of(*rules: str) -> Path:
        file = tmp_path / "rollout.json"
        strategy = standing.strategy_hash(configured(file, "any", *rules), run.folder)
        own = standing.Standing(standing.SCHEMA, strategy, Phase.PAPER)
        standing.write(file, own)
        return file

    return file_of
