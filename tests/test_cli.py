"""The command line as a user meets it: in a process of its own, and mode by mode."""

import ctypes
import errno
import io
import os
import socket
import stat
import subprocess
import sys
import types
from importlib import metadata

import pytest
from rich.console import Console

from bot4jax import environment, run
from bot4jax.config import load
from bot4jax.errors import CheckpointError, DataError, Halted
from bot4jax.kernels import CATALOGUE
from bot4jax.runtime import catalogue, doctor

TERMINAL = {"force_terminal": True, "color_system": None, "width": 120}


def command(*words, code=None, **environ):
    """`python -m bot4jax.run WORDS`, or `python -c CODE`."""
    start = ["-c", code] if code else ["-m", "bot4jax.run"]
    known = {k: v for k, v in os.environ.items() if not k.startswith(("JAX", "XLA"))}
    return subprocess.run(
        [sys.executable, *start, *words],
        capture_output=True,
        text=True,
        env=known | environ,
        timeout=300,
    )


@pytest.fixture
def mode(monkeypatch):
    """Puts a function in the place of `mode=demo`, environment untouched."""

    def serve(function):
        stage = types.ModuleType("a_mode_under_test")
        vars(stage)["served"] = function
        monkeypatch.setitem(sys.modules, stage.__name__, stage)
        monkeypatch.setitem(run.MODES, "demo", (f"{stage.__name__}:served", ""))
        monkeypatch.setattr(run, "prepare", lambda hardware: None)

    return serve


def raising(error):
    def served(config):
        raise error

    return served


def test_help_names_modes_groups_and_exit_codes(capsys):
    assert run.main(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"  {mode} " in told for mode in run.MODES)
    assert "binance · candles · columns · daily · fi2010 · forex · lean ·" in told
    assert "2 configuration" in told


def test_problems_go_to_stderr_with_exit_code_2():
    done = command("run.sed=1", "mode=dmo", "risk.max_net=nan")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "bot4jax: 3 problems in the configuration:",
        "  run.sed: unknown key. Did you mean 'run.seed'?",
        "  mode: expected one of demo, train, backtest, live, replay, journal, "
        "explain, feed, venue, doctor, catalogue, keys, certify, control, "
        "lob, found 'dmo'",
        "  risk.max_net: expected a number > 0 and <= 1e+15, finite, found nan",
    ]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--config-name", "nobody"], "nobody"),
        (["--config-dir", "/no/such/folder"], "/no/such/folder"),
    ],
)
def test_a_configuration_that_hydra_does_not_find_is_one_problem(capsys, words, named):
    assert run.main([*words, "--cfg", "job"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("bot4jax: ")
    assert named in told


def test_help_is_printed_where_there_are_no_letters_but_ascii(monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = command("--help")
    assert done.returncode == 0
    assert "Exit codes" in done.stdout


def test_version_is_the_product_s_own(capsys):
    assert run.main(["--version"]) == 0
    assert capsys.readouterr().out == f"bot4jax {metadata.version('bot4jax')}\n"


@pytest.mark.parametrize("mode", ["train", "certify", "lob"])
def test_who_fits_members_is_given_none(capsys, mode):
    assert run.main([f"mode={mode}", "run.model=runs/another"]) == 2
    assert f"mode={mode} fits its own members" in capsys.readouterr().err


def test_mode_without_its_key_is_understood(capsys):
    assert run.main(["live"]) == 2
    assert "Did you mean 'mode=live'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("ticks.csv, line 3: found 'x', expected a price"), 3),
        (CheckpointError("checkpoints/7: torn"), 3),
        (Halted("the venue does not answer"), 5),
    ],
)
def test_error_becomes_its_exit_code_and_one_line(mode, capsys, error, code):
    mode(raising(error))
    assert run.main([]) == code
    assert capsys.readouterr().err == f"bot4jax: {error}\n"


def without_jax(*words):
    """The command's exit code and complaint; JAX was not imported for it."""
    told = f"import sys; from bot4jax.run import main; code = main({list(words)!r}); "
    done = command(code=told + "print(code, 'jax' in sys.modules)")
    code, is_imported = done.stdout.split()
    assert is_imported == "False"
    return int(code), done.stderr


@pytest.mark.parametrize("mode", ["journal", "explain", "replay"])
def test_a_run_without_a_journal_is_told_before_jax_is_imported(mode, tmp_path):
    (tmp_path / "config.yaml").touch()
    words = ["explain.symbol=A"] if mode == "explain" else []
    code, said = without_jax(f"mode={mode}", f"{mode}.run={tmp_path}", *words)
    assert code == 3
    assert f"{tmp_path} holds no journal.sqlite" in said


@pytest.mark.parametrize(
    "words",
    [
        ("mode=replay", "replay.run={}"),
        *(
            (f"mode={mode}", "run.model={}", "run.name=own")
            for mode in ("live", "backtest", "demo")
        ),
    ],
)
def test_what_is_no_run_is_told_before_jax_is_imported(words, tmp_path):
    code, said = without_jax(*(word.format(tmp_path) for word in words))
    assert code == 2
    assert f"{tmp_path}: holds no config.yaml" in said


def test_what_explain_lacks_is_told_before_jax_is_imported(tmp_path):
    code, said = without_jax("mode=explain", f"explain.run={tmp_path}")
    assert (code, "explain.symbol=NAME" in said) == (2, True)


def test_a_warning_is_told_as_errors_are():
    warn = "logging.getLogger('bot4jax.modes.keeping').warning('%s is damaged', 'it')"
    done = command(
        code=f"import logging; from bot4jax import run; "
        f"run.speak_plainly(); {warn}; logging.info('not told')"
    )
    assert (done.returncode, done.stderr) == (0, "bot4jax: it is damaged\n")


def test_interrupt_is_130(mode, capsys):
    mode(raising(KeyboardInterrupt()))
    assert run.main([]) == 130
    assert capsys.readouterr().err == "bot4jax: interrupted\n"


def test_traceback_comes_when_asked_for(mode, capsys, monkeypatch):
    monkeypatch.setenv("BOT4JAX_TRACEBACK", "1")
    mode(raising(DataError("gone")))
    assert run.main([]) == 3
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_defect_keeps_its_traceback(mode):
    mode(raising(ZeroDivisionError("a defect")))
    with pytest.raises(ZeroDivisionError):
        run.main([])


def test_exit_code_of_the_mode_is_returned(mode):
    mode(lambda config: 4)
    assert run.main(["run.seed=3"]) == 4


def test_sweep_runs_every_job_in_a_folder_of_its_own(mode, tmp_path):
    seen = []
    mode(lambda config: seen.append((config.run.seed, config.run.name)) or 0)
    sweep = ["-m", "run.seed=1,2", f"run.root={tmp_path}"]
    assert run.main(sweep) == 0
    assert seen == [(1, "demo-simulator-0"), (2, "demo-simulator-1")]


def test_failed_job_of_a_sweep_fails_it_after_the_others(mode, tmp_path, capsys):
    seen = []

    def served(config):
        seen.append(config.run.seed)
        if config.run.seed == 1:
            raise DataError("no such file")
        return 0

    mode(served)
    assert run.main(["-m", "run.seed=1,2", f"run.root={tmp_path}"]) == 3
    assert seen == [1, 2]
    assert "bot4jax: no such file\n" in capsys.readouterr().err


def test_every_failed_job_of_a_sweep_is_named_and_no_defect_is_lost(
    mode, tmp_path, capsys
):
    """Hydra names the first alone, and tells no other's traceback."""
    errors = {1: DataError("no such file"), 2: ZeroDivisionError("a defect")}

    def served(config):
        if config.run.seed in errors:
            raise errors[config.run.seed]
        return 0

    mode(served)
    assert run.main(["-m", "run.seed=1,2,3", f"run.root={tmp_path}"]) == 3
    told = capsys.readouterr().err
    assert "job 0 of the sweep failed with exit code 3: run.seed=1 " in told
    assert "job 1 of the sweep failed with exit code 1: run.seed=2 " in told
    assert "ZeroDivisionError: a defect" in told
    assert "job 2" not in told


def test_ctrl_c_ends_a_sweep_and_not_one_job_of_it(mode, tmp_path, capsys):
    seen = []

    def served(config):
        seen.append(config.run.seed)
        raise KeyboardInterrupt

    mode(served)
    assert run.main(["-m", "run.seed=1,2,3", f"run.root={tmp_path}"]) == 130
    assert seen == [1]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_what_the_disk_refuses_is_told_in_a_line_with_its_path(mode, capsys, number):
    mode(raising(OSError(number, os.strerror(number), "runs/one/summary.json")))
    assert run.main([]) == 3
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("bot4jax: runs/one/summary.json: ")
    assert os.strerror(number).lower() in told


def test_a_missing_file_of_ours_is_a_defect(mode):
    mode(raising(FileNotFoundError(2, "No such file", "journal.sqlite")))
    with pytest.raises(FileNotFoundError):
        run.main([])


def test_problem_of_a_sweep_is_told_before_any_job(mode, capsys):
    seen = []
    mode(lambda config: seen.append(config) or 0)
    assert run.main(["-m", "run.sed=1,2", "data=simulator,binanc"]) == 2
    told = capsys.readouterr().err
    assert "run.sed: unknown key" in told
    assert "data: unknown option 'binanc'" in told
    assert seen == []


def test_environment_is_set_before_jax(tmp_path):
    code = (
        "import os, sys; from bot4jax.config import load\n"
        "from bot4jax.environment import prepare\n"
        "prepare(load(['hardware.threads=1']).hardware)\n"
        "print('jax' in sys.modules, os.environ['JAX_PLATFORMS'],"
        " len(os.sched_getaffinity(0)))\n"
        "import jax; print(jax.config.jax_compilation_cache_dir)"
    )
    done = command(code=code, XDG_CACHE_HOME=str(tmp_path))
    folder = tmp_path / "bot4jax"
    assert done.stdout.splitlines() == ["False cpu 1", str(folder)], done.stderr
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


COMPILES = """
import resource, sys
from bot4jax.config import load
from bot4jax.environment import prepare
from bot4jax.run import speak_plainly
prepare(load([]).hardware)
speak_plainly()
import jax
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), hard))
print(jax.jit(lambda x: x * x + 1)(2))
"""
"""A process with a function to compile, and files that take so many bytes."""


def test_a_compiled_function_that_was_kept_in_part_is_removed_and_told_in_a_line(
    tmp_path,
):
    """JAX never writes it anew: it would warn of it at every start."""
    folder, plenty = tmp_path / "bot4jax", str(1 << 30)
    own = {"XDG_CACHE_HOME": str(tmp_path)}
    own["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

    def told(room: str) -> list[str]:
        done = command(room, code=COMPILES, **own)
        assert done.stdout == "5\n"
        return done.stderr.splitlines()

    full = told("100")
    assert all(one.startswith(f"bot4jax: {folder}: writing the ") for one in full)
    assert len(full) >= 1
    assert list(folder.glob("jit_*")) == []
    assert told(plenty) == []
    kept = list(folder.glob("jit_*"))
    for one in kept:
        os.truncate(one, one.stat().st_size // 2)
    torn = told(plenty)
    assert all(one.startswith(f"bot4jax: {folder}: reading the ") for one in torn)
    assert len(torn) >= 1
    assert told(plenty) == []
    assert {one.name for one in folder.glob("jit_*")} == {one.name for one in kept}


def test_open_cache_folder_is_closed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    environment.cache_folder().mkdir(mode=0o755)
    environment._keep_compiled()
    assert stat.S_IMODE(environment.cache_folder().stat().st_mode) == 0o700


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="not glibc"
)
def test_allocator_takes_every_parameter():
    code = "from bot4jax.heap import keep_pages; print(keep_pages())"
    assert command(code=code).stdout == "True\n"


def test_the_flags_of_the_user_come_behind_those_of_a_cpu():
    """XLA takes the last of several."""
    code = (
        "import os; from bot4jax.config import load\n"
        "from bot4jax.environment import prepare\n"
        "prepare(load([]).hardware)\n"
        "print(os.environ['XLA_FLAGS'].split())\n"
        "import jax; print(jax.device_count())"
    )
    theirs = "--xla_cpu_prefer_vector_width=128"
    found = command(code=code, XLA_FLAGS=theirs).stdout
    assert found == f"{[*environment.CPU_FLAGS, theirs]}\n1\n"


def test_gpu_leaves_memory_to_others_and_keeps_float32_whole():
    code = (
        "import os; from bot4jax.config import load\n"
        "from bot4jax.environment import prepare\n"
        "prepare(load(['hardware=gpu']).hardware)\n"
        "share = os.environ['XLA_PYTHON_CLIENT_MEM_FRACTION']\n"
        "import jax\n"
        "precision = jax.config.jax_default_matmul_precision\n"
        "print(os.environ['JAX_PLATFORMS'], share, precision)\n"
        "print(os.environ['XLA_FLAGS'].split())"
    )
    flags = [*environment.GPU_FLAGS, "--xla_dump_to=there"]
    found = command(code=code, XLA_FLAGS="--xla_dump_to=there").stdout
    assert found == f"cuda 0.75 highest\n{flags}\n"


@pytest.fixture
def finding():
    """What the doctor finds of one thing, under overrides."""

    def found(what, *overrides):
        matching = [f for f in doctor.examine(load(overrides)) if f.what == what]
        assert len(matching) == 1
        return matching[0]

    return found


def test_doctor_is_content_with_a_sound_machine(capsys):
    findings = {one.what: one for one in doctor.examine(load())}
    assert [one for one in findings.values() if one.status == doctor.PROBLEM] == []
    assert findings["python"].status == doctor.OK
    assert findings["device"].found.startswith("cpu:0")
    assert doctor.doctor(load()) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(findings)


def test_a_gpu_that_is_not_there_is_one_problem(tmp_path, monkeypatch):
    """Regression: it was a defect of the program, with JAX's traceback, and a run's
    folder was left. The doctor ended so as well."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    words = ["hardware=gpu", f"run.root={tmp_path}/runs"]
    done = command(*words, "mode=train")
    assert (done.returncode, done.stdout) == (2, "")
    title, told = done.stderr.strip().splitlines()[-2:]
    assert title == "bot4jax: 1 problem in the configuration:"
    assert told.startswith("  hardware.platform: 'cuda' was asked for, and JAX finds")
    assert not (tmp_path / "runs").exists()
    seen = command(*words, "mode=doctor")
    assert seen.returncode == 3
    assert "problem device: cuda: " in seen.stdout


def test_doctor_sees_a_port_in_use(finding):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        address = f"tcp://127.0.0.1:{port}"
        seen = finding("ticks socket", f"runtime.endpoints.ticks={address}")
    assert (seen.status, seen.found) == (doctor.NOTE, f"{address} is in use")


def test_doctor_sees_data_that_are_not_there(tmp_path, capsys):
    config = load(["mode=doctor", "data=daily", f"data.path={tmp_path}/none"])
    assert doctor.doctor(config) == 3
    assert "problem data: " in capsys.readouterr().out


def test_doctor_sees_a_folder_it_cannot_write(finding):
    assert finding("run folders", "run.root=/proc/runs").status == doctor.PROBLEM


def test_doctor_tells_versions_from_tested_ones():
    assert doctor._version("jax", "0.0.1").status == doctor.NOTE
    assert doctor._version("no-such-package", "1").status == doctor.PROBLEM


def test_doctor_prints_a_table_on_a_terminal():
    findings = [
        doctor.Finding("conf", "here"),
        doctor.Finding("x", "y", doctor.PROBLEM),
    ]
    terminal, plain = io.StringIO(), io.StringIO()
    doctor.show(findings, Console(file=terminal, **TERMINAL))
    doctor.show(findings, Console(file=plain))
    assert "┃" in terminal.getvalue()
    assert plain.getvalue() == "ok      conf: here\nproblem x: y\n"


def test_catalogue_prints_every_feature(capsys):
    assert catalogue.catalogue(load(["mode=catalogue"])) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[1] for line in lines] == list(CATALOGUE)


def test_catalogue_is_written_when_asked_for(tmp_path, monkeypatch, project):
    """And the document of the project is what the command writes."""
    monkeypatch.chdir(tmp_path)
    assert catalogue.catalogue(load(["mode=catalogue", "catalogue.write=true"])) == 0
    text = (tmp_path / "docs" / "features.md").read_text()
    features, _, tolerances = text.partition("## Tolerances")
    table = [line for line in features.splitlines() if line.startswith("|")]
    rows = [line.split("`")[1] for line in table if line.startswith("| `")]
    assert rows == list(CATALOGUE)
    cells = {line.replace("\\|", "").count("|") - 1 for line in table}
    assert cells == {len(catalogue.COLUMNS)}
    values = {f"| {spec.tolerance:g} | {spec.reason} |" for spec in CATALOGUE.values()}
    assert all(value in tolerances for value in values)
    assert text == (project / "docs" / "features.md").read_text()


def test_catalogue_on_a_terminal_is_one_table_a_category():
    terminal = io.StringIO()
    specs = list(CATALOGUE.values())
    catalogue.show(specs, Console(file=terminal, **TERMINAL))
    assert terminal.getvalue().count("┃ feature ") == len(
        {spec.category for spec in specs}
    )
