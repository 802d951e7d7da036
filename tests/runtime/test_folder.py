"""A run folder never mixes two configurations, and holds nothing half-written."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import apsw
import pytest

from bot4jax import durable
from bot4jax.config import from_yaml, load
from bot4jax.errors import ConfigError, Halted
from bot4jax.runtime import folder as runtime_folder
from bot4jax.runtime.equity import DAY_NS, NOTHING_LOST
from bot4jax.runtime.folder import RunFolder
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.states import Cause, States
from tests.runtime.scene import BAR_NS, RUN, START_NS, Scene


@pytest.fixture
def config(tmp_path):
    return lambda *words: load(["run.name=one", f"run.root={tmp_path}", *words])


@pytest.fixture
def kept(config) -> RunFolder:
    """A run that left a result."""
    folder = RunFolder(config())
    assert folder.open() is None
    folder.write_json("summary.json", {"seconds": 1})
    return folder


def test_a_new_folder_tells_what_was_asked(config, kept):
    assert from_yaml(kept.path / "config.yaml") == config()
    told = json.loads((kept.path / "manifest.json").read_text())
    assert told["config_hash"] == kept.hash
    assert not list(kept.path.glob("*.part"))


def test_a_checkout_with_a_change_says_so(config, tmp_path, monkeypatch):
    """Else a commit would be named that did not make the figures."""
    git = partial(subprocess.run, cwd=tmp_path, check=True, capture_output=True)
    package = tmp_path / "package.py"
    package.write_text("one")
    git(["git", "init"])
    git(["git", "add", "package.py"])
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    git(["git", *who, "commit", "-m", "one"])
    monkeypatch.setattr(runtime_folder, "__file__", str(package))
    clean = runtime_folder.manifest(config(), "hash")
    package.write_text("two")
    changed = runtime_folder.manifest(config(), "hash")
    assert (clean["dirty"], changed["dirty"]) == (False, True)
    assert clean["commit"] == changed["commit"]
    assert len(clean["commit"]) == 40


def test_the_same_configuration_is_resumed(config, kept):
    again = RunFolder(config())
    assert again.open() == "one"
    assert (kept.path / "summary.json").is_file()


def rewritten(folder: RunFolder, **fields: object) -> bytes:
    """As if another program had begun the run: its manifest as it stands then."""
    path = folder.path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return path.read_bytes()


def test_a_finished_run_keeps_the_manifest_that_its_figures_came_with(config, kept):
    (kept.path / "report.html").touch()
    own = (kept.path / "config.yaml").stat().st_mtime_ns
    manifest = rewritten(kept, commit="f" * 40, python="3.9")
    again = RunFolder(config())
    assert again.open() == "one"
    assert again.manifest == json.loads(manifest)
    assert (kept.path / "manifest.json").read_bytes() == manifest
    assert (kept.path / "config.yaml").stat().st_mtime_ns == own
    anew = RunFolder(config())
    anew.open(is_anew=True)
    assert json.loads((kept.path / "manifest.json").read_text()) == anew.manifest
    assert anew.manifest["commit"] != "f" * 40


def test_a_run_that_goes_on_by_another_program_names_both(config, kept):
    rewritten(kept, commit="a" * 40)
    RunFolder(config()).open()
    rewritten(kept, commit="b" * 40)
    again = RunFolder(config())
    again.open()
    assert again.manifest["earlier_commits"] == ["a" * 40, "b" * 40]
    same = RunFolder(config())
    same.open()
    assert same.manifest["earlier_commits"] == ["a" * 40, "b" * 40]


@pytest.mark.parametrize("root", ["/proc/nowhere", "/dev/null/runs"])
def test_a_place_that_cannot_be_written_is_named(root):
    config = load([f"run.root={root}"])
    with (
        pytest.raises(ConfigError, match=f"run.root: {root}.* cannot be written"),
        RunFolder(config),
    ):
        pass


def test_a_folder_that_cannot_be_written_is_named(config, tmp_path, monkeypatch):
    def full(path: Path, content: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(durable, "write", full)
    with pytest.raises(ConfigError, match=r"config.yaml cannot be written \(no space"):
        RunFolder(config()).open()


def test_another_configuration_is_refused_and_changes_nothing(config, kept):
    before = (kept.path / "config.yaml").read_bytes()
    with pytest.raises(ConfigError, match=r"run\.fresh=true"):
        RunFolder(config("run.seed=1")).open()
    assert (kept.path / "config.yaml").read_bytes() == before


def test_of_another_configuration_the_keys_are_named(config, kept):
    """Those by which results differ, and of many the first."""
    own = config("hardware.products=bfloat16", "train.parts=2", "runtime.speed=0")
    with pytest.raises(ConfigError) as told:
        RunFolder(own).open()
    for word in ("hardware.products was float32 and is bfloat16", "train.parts was 1"):
        assert word in str(told.value)
    with pytest.raises(ConfigError, match=", and 1 more\\)"):
        RunFolder(
            config(
                "run.seed=1", *(f"spans.{one}=500" for one in SPANS), "train.parts=2"
            )
        ).open()
    (kept.path / "config.yaml").unlink()
    with pytest.raises(ConfigError, match="another configuration; choose"):
        RunFolder(own).open()


SPANS = ("train", "calibrate", "test")


def test_a_link_to_a_run_at_work_is_that_run(config, kept):
    """By another name two processes would write in one folder."""
    (kept.path.parent / "two").symlink_to(kept.path)
    with (
        RunFolder(config()),
        pytest.raises(Halted, match="two"),
        RunFolder(config("run.name=two")),
    ):
        pass


def without(path: Path) -> None:
    path.unlink()


def torn(path: Path) -> None:
    """As a loss of power leaves a file that was not synced."""
    path.write_bytes(b"")


def of_nobody(path: Path) -> None:
    path.write_text('{"config_hash": null}')


@pytest.mark.parametrize("damage", [without, torn, of_nobody])
def test_a_run_whose_configuration_nobody_knows_is_not_gone_on_with(
    config, kept, damage
):
    """Its journal would be, in whatever configuration is asked for by then."""
    Journal.open(kept.path / "journal.sqlite", "one").close()
    damage(kept.path / "manifest.json")
    before = {one: one.read_bytes() for one in kept.path.iterdir()}
    for words in (["run.seed=1"], []):
        with pytest.raises(ConfigError, match=r"manifest\.json cannot be read.*fresh"):
            RunFolder(config(*words)).open()
    assert {one: one.read_bytes() for one in kept.path.iterdir()} == before
    assert RunFolder(config("run.fresh=true")).open() is None


@pytest.mark.parametrize("left", ["KILL", "clock.json", "manifest.json.4711.part"])
def test_what_lies_there_before_any_run_is_in_nobody_s_way(config, kept, left):
    for one in kept.path.iterdir():
        one.unlink()
    (kept.path / left).touch()
    assert RunFolder(config()).open() is None


def test_the_manifest_is_durable_before_there_is_any_journal(
    config, tmp_path, monkeypatch
):
    """Its content before its name, and the name too."""
    seen, replace, fsync = list[str](), os.replace, os.fsync

    def named(handle: int) -> None:
        seen.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        fsync(handle)

    def replaced(part: Path, path: Path) -> None:
        seen.append(path.name)
        replace(part, path)

    monkeypatch.setattr(os, "fsync", named)
    monkeypatch.setattr(os, "replace", replaced)
    assert RunFolder(config()).open() is None
    assert seen[-3:] == [f"manifest.json.{os.getpid()}.part", "manifest.json", "one"]


def test_fresh_removes_the_former_run(config, kept):
    assert RunFolder(config("run.seed=1", "run.fresh=true")).open() is None
    assert not (kept.path / "summary.json").exists()


def test_a_run_that_is_at_work_is_not_removed_by_a_second_one(config, kept):
    """Neither by run.fresh=true nor by going on with it."""
    with kept:
        for words in (["run.fresh=true"], []):
            with (
                pytest.raises(Halted, match="may only be asleep"),
                RunFolder(config(*words)) as other,
            ):
                other.open()
    assert (kept.path / "summary.json").is_file()
    with RunFolder(config("run.fresh=true")) as other:
        assert other.open() is None


def test_a_run_that_ended_before_its_first_result_is_in_nobody_s_way(config):
    """As after a mistyped `data.path`."""
    RunFolder(config("run.seed=1")).open()
    folder = RunFolder(config())
    assert folder.open() is None
    assert from_yaml(folder.path / "config.yaml").run.seed == 0


def test_a_file_is_replaced_whole_or_not_at_all(kept):
    with pytest.raises(ValueError, match="JSON"):
        kept.write_json("summary.json", {"seconds": float("nan")})
    assert json.loads((kept.path / "summary.json").read_text()) == {"seconds": 1}


@pytest.mark.parametrize("mode", ["live", "demo"])
def test_a_live_run_begun_anew_forgets_no_cause_and_a_simulated_one_does(
    config, kept, mode
):
    path = kept.path / "journal.sqlite"
    with closing(Journal.open(path, "one")) as journal:
        states = States(journal.note, step=7)
        states.hold(Cause.DRAWDOWN, "10.10% are lost")
        states.hold(Cause.REPEATING, "over and over")
        states.hold(Cause.FEED_QUIET, "of the process")
        states.lift(Cause.REPEATING, "looked into it")
    words = ["run.fresh=true", f"mode={mode}", f"run.model={kept.path}"]
    assert RunFolder(config(*words)).open() is None
    assert not (kept.path / "summary.json").exists()
    assert path.exists() == (mode == "live")
    if mode == "live":
        with closing(Journal.open(path, "one")) as journal:
            assert journal.last_step < 0
            again = States(journal.note, journal.transitions())
        assert again.causes == (Cause.DRAWDOWN,)
        assert again.transitions[-1].text == "10.10% are lost"


def test_a_simulated_run_over_a_live_one_forgets_no_cause_either(config, kept):
    live = ["run.fresh=true", "mode=live", f"run.model={kept.path}"]
    RunFolder(config(*live)).open()
    path = kept.path / "journal.sqlite"
    with closing(Journal.open(path, "one")) as journal:
        States(journal.note, step=7).hold(Cause.DRAWDOWN, "10.10% are lost")
    RunFolder(config("run.fresh=true", "mode=demo")).open()
    with closing(Journal.open(path, "one")) as journal:
        assert States(journal.note, journal.transitions()).causes == (Cause.DRAWDOWN,)


def test_what_a_run_had_missed_is_for_people_in_the_next(config, kept):
    """A new run's own snapshots know nothing of it."""
    live = ["run.fresh=true", "mode=live", f"run.model={kept.path}"]
    RunFolder(config(*live)).open()
    path = kept.path / "journal.sqlite"
    with closing(Journal.open(path, "one")) as journal:
        States(journal.note, step=7).hold(Cause.UNTOLD, "1 frame was missed")
    RunFolder(config(*live)).open()
    with closing(Journal.open(path, "one")) as journal:
        assert States(journal.note, journal.transitions()).causes == (Cause.UNHEARD,)


def test_a_run_begun_anew_that_dies_at_any_moment_forgets_no_cause(
    config, kept, monkeypatch
):
    """Before, between and after the removal of any file; the switch may be pulled."""
    live = ["mode=live", f"run.model={kept.path}"]
    for survives in range(7):
        (kept.path / "ticks").mkdir(exist_ok=True)
        durable.write(kept.path / "summary.json", "of the run before")
        with closing(Journal.open(kept.path / "journal.sqlite", "one")) as journal:
            if not survives:
                States(journal.note, step=7).hold(Cause.DRAWDOWN, "10.10% are lost")
        removed = iter(range(survives))
        with monkeypatch.context() as patch:
            patch.setattr(
                runtime_folder, "remove", dying(removed, runtime_folder.remove)
            )
            with suppress(StopIteration):
                RunFolder(config("run.fresh=true", *live)).open()
        (kept.path / "KILL").touch()
        RunFolder(config(*live)).open()
        assert not (kept.path / "carried.sqlite").exists()
        (kept.path / "KILL").unlink()
        with closing(Journal.open(kept.path / "journal.sqlite", "one")) as journal:
            states = States(journal.note, journal.transitions())
        assert states.causes == (Cause.DRAWDOWN,), survives
    assert next(removed, None) is not None, "no removal was cut off at the end"


def dying(removed: Iterator[int], remove: Callable[[Path], None]):
    """Removes so many files, and then is no more."""

    def until(path: Path) -> None:
        next(removed)
        remove(path)

    return until


def test_a_days_loss_is_carried_until_its_day_is_over(tmp_path):
    """Of the market's days, whatever the wall clock says; carried twice as well."""
    folder = tmp_path / RUN
    folder.mkdir()
    scene = Scene(folder, lambda step: (0.5, 0.0, 0.0))
    scene.trader.start()
    scene.step(0)
    scene.step(1, (190, 200, 200))
    assert scene.states.causes == (Cause.DAILY_LOSS,)
    scene.journal.close()
    path = folder / "journal.sqlite"
    live = load(
        [
            *(f"run.name={RUN}", f"run.root={tmp_path}", "run.fresh=true"),
            *("mode=live", f"run.model={tmp_path}"),
        ]
    )
    for _ in range(2):
        RunFolder(live).open()
    with closing(Journal.open(path, RUN)) as journal:
        states = States(journal.note, journal.transitions())
    noted = []
    for restarts in (False, True):
        states = States(noted.append, states.transitions)
        limits = scene.account.limits
        before, day = START_NS - DAY_NS, START_NS + BAR_NS
        for boundary_ns in (before, before + 1, day, START_NS + DAY_NS - 1):
            if restarts:
                states.recall(boundary_ns)
            states.weigh(boundary_ns, NOTHING_LOST, limits)
            assert states.causes == (Cause.DAILY_LOSS,)
    states.weigh(START_NS + DAY_NS, NOTHING_LOST, limits)
    assert states.causes == ()


def spoilt(path: Path) -> None:
    path.write_bytes(b"no journal" * 1_000)


def of_another_schema(path: Path) -> None:
    changed(path, "UPDATE about SET value = 'bot4jax.journal/1' WHERE name = 'schema'")


def altered(path: Path) -> None:
    changed(path, "UPDATE transitions SET text = 'nothing'")


def changed(path: Path, query: str) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(query)


@pytest.mark.parametrize("damage", [spoilt, of_another_schema, altered])
def test_a_journal_that_cannot_be_read_is_not_thrown_away(config, kept, damage):
    path = kept.path / "journal.sqlite"
    with closing(Journal.open(path, "one")) as journal:
        States(journal.note, step=7).hold(Cause.DRAWDOWN, "10.10% are lost")
    damage(path)
    before = path.read_bytes()
    words = ["run.fresh=true", "mode=live", f"run.model={kept.path}"]
    with pytest.raises(Halted, match=r"cannot be read.*another run\.name, or remove"):
        RunFolder(config(*words)).open()
    assert path.read_bytes() == before
    assert (kept.path / "summary.json").is_file()


def test_a_journal_that_another_process_holds_is_not_thrown_away(config, kept):
    path = kept.path / "journal.sqlite"
    words = ["run.fresh=true", "mode=live", f"run.model={kept.path}"]
    with (
        closing(Journal.open(path, "one")),
        pytest.raises(Halted, match="Another process is using the journal"),
    ):
        RunFolder(config(*words)).open()
    assert (kept.path / "summary.json").is_file()


def test_a_run_that_a_foreign_trade_halted_goes_on_with_the_other_word(config, kept):
    assert RunFolder(config("runtime.foreign=adopt")).open() == "one"
