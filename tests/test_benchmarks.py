"""Benchmarks on a tiny market: what they leave behind and what they refuse."""

import ast
import contextlib
import io
import json
import math
import os
import subprocess
import sys

import jax
import msgspec
import numpy as np
import pytest

from benchmarks import (
    compare,
    decide,
    faults,
    findings,
    floors,
    loop,
    manifest,
    run,
    start,
    timing,
)
from benchmarks import step as step_bench
from benchmarks.members import random_forest
from benchmarks.result import Manifest, Result, Row, read, write
from benchmarks.stage import set_up
from bot4jax.config import load
from bot4jax.errors import Bot4JaxError, DataError
from bot4jax.nets.sizes import NetSizes
from bot4jax.trees import forest
from bot4jax.types import CLASSES, TICK, Frame
from tests.small_stage import SMALL_STAGE
from tests.test_layers import imports

TINY = (*SMALL_STAGE, "warmup=1")
STEPS = 4

ROW = {"stage", "impl", "unit", "n", "warmup", "p50", "p99", "p999", "floor"}
RESULT = {"schema", "bench", "preset", "symbols", "window", "rows", "ratios"}
MANIFEST = {"command", "commit", "dirty", "seed", "cpu", "cores", "threads", "device"}
MANIFEST |= {"python", "packages", "env", "load1", "compile_s"}

APART = {"simulate", "pack", "quotes_batch", "absorb_batch", "absorb", "close"}
APART |= {"glance", "fall_back", "observe", "conclude", "nets", "forest", "pull"}
TOGETHER = {"answers", "portfolio", "await", "gate", "journal", "send", "decision"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Runs a benchmark in this process, whose environment is ready: lines and file.

    All play on one stage: what takes long is to compile it.
    """
    root, built = tmp_path_factory.mktemp("bench"), []

    def shared(config, steps, report):
        built.extend([set_up(config, steps, report)] if not built else [])
        return built[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "prepare", lambda hardware: None)
        patch.setattr(floors, "SQUARES", ((64, 64, 64),))
        for bench in (decide, step_bench):
            patch.setattr(bench, "set_up", shared)

        def serve(bench):
            words = [f"bench={bench}", "symbols=16", f"steps={STEPS}", *TINY]
            words += [f"results={root}/results", f"run.root={root}/runs"]
            with contextlib.redirect_stdout(io.StringIO()) as told:
                assert run.main(words) == 0
            return told.getvalue().splitlines(), root / f"results/{bench}/cpu-16.json"

        yield serve


@pytest.fixture(scope="module")
def step(tiny):
    return tiny("step")


def found(path, stage, unit="ms"):
    """The row that must be there."""
    row = read(path).row(stage, unit)
    assert row is not None, (stage, unit)
    return row


def planted(rows=(), bench="step", symbols=1024, **manifest_fields):
    """A result without a run."""
    own = Manifest(
        **{
            "command": "python -m benchmarks.run bench=step",
            "commit": "0" * 40,
            "dirty": False,
            "seed": 0,
            "cpu": "a processor",
            "cores": 2,
            "threads": 2,
            "device": "cpu",
            "python": "3.11",
            "packages": {"jax": "1"},
            "env": {},
            "load1": 0.1,
            "compile_s": {},
        }
        | manifest_fields
    )
    return Result(
        bench=bench,
        preset="cpu",
        symbols=symbols,
        window=256,
        rows=tuple(rows),
        ratios={},
        manifest=own,
    )


def row(stage="nets", unit="ms", value=2.0, **fields):
    quantiles = {"p50": value, "p99": value, "p999": value, "n": 9, "warmup": 1}
    return Row(**{"stage": stage, "unit": unit} | quantiles | fields)


class TestResult:
    def test_last_line_names_the_file(self, step):
        lines, path = step
        assert lines[-1] == f"result {path}"

    def test_has_the_fields_that_readers_rely_on(self, step):
        tree = json.loads(step[1].read_bytes())
        assert set(tree) == RESULT | {"manifest"}
        assert tree["schema"] == "bot4jax.bench/1"
        assert {frozenset(row) for row in tree["rows"]} == {frozenset(ROW)}
        assert set(tree["manifest"]) == MANIFEST
        assert (tree["bench"], tree["symbols"], tree["window"]) == ("step", 16, 16)

    def test_every_stage_is_timed_once_a_step(self, step):
        rows = read(step[1]).rows
        timed = {one.stage: one for one in rows if one.unit == "ms"}
        assert set(timed) == APART | TOGETHER | {"sync"}
        once = (APART | TOGETHER) - {"absorb_batch", "quotes_batch"}
        assert {timed[stage].n for stage in once} == {STEPS}
        assert {timed[stage].warmup for stage in APART | TOGETHER} == {1}
        assert timed["absorb_batch"].n >= STEPS

    def test_figures_are_finite_and_in_order(self, step):
        for one in read(step[1]).rows:
            figures = (one.p50, one.p99, one.p999)
            assert all(map(math.isfinite, figures)), one
            assert one.floor is None or 0 < one.floor < math.inf, one
            assert list(figures) == sorted(figures), one

    def test_keys_of_rows_are_unique(self, step):
        keys = [one.key for one in read(step[1]).rows]
        assert len(set(keys)) == len(keys)

    def test_random_members_trade(self, step):
        assert found(step[1], "decision", "orders").p50 > 0

    def test_ticks_are_those_of_the_simulator(self, step):
        """16 symbols with at least ten ticks each."""
        assert found(step[1], "absorb", "ticks").p50 >= 160

    def test_compilation_is_stated_by_executable(self, step):
        seconds = read(step[1]).manifest.compile_s
        names = {
            "absorb",
            "reopen",
            "close",
            "glance",
            "fall_back",
            "observe",
            "conclude",
            "nets",
            "forest",
        }
        assert set(seconds) == names
        assert min(seconds.values()) > 0

    def test_manifest_tells_no_path(self, step):
        text, path = step[1].read_text(), step[1]
        assert "results=PATH" in text
        for secret in (str(path.parent.parent), os.getcwd(), os.path.expanduser("~")):
            assert secret not in text

    def test_nothing_is_left_in_the_run_folder(self, step):
        assert list((step[1].parent.parent.parent / "runs").iterdir()) == []

    def test_decisions_a_second(self, tiny):
        _, path = tiny("decide")
        ms, rate = found(path, "decide"), found(path, "decide", "decisions/s")
        assert rate.p99 == pytest.approx(16 / ms.p99 * 1e3, rel=1e-5)

    def test_a_torn_file_is_refused(self, tmp_path):
        path = write(planted([row()]), tmp_path)
        assert read(path).rows == (row(),)
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(DataError, match=r"cpu-1024\.json is no result"):
            read(path)


class TestCommandLine:
    def test_all_problems_at_once_and_without_jax(self):
        code = (
            "import sys; from benchmarks.run import main; code = main(sys.argv[1:]); "
            "assert 'jax' not in sys.modules; sys.exit(code)"
        )
        words = ("bench=featurs", "steps=0", "spans.test=9", "wat=1", "symbols=many")
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True
        )
        assert done.returncode == 2, done.stderr
        lines = [line.strip() for line in done.stderr.splitlines()]
        assert lines[0] == "benchmarks: 5 problems in the configuration:"
        starts = ("bench: unknown", "spans.test: ", "steps: expected a whole number")
        for begin in (*starts, "wat: unknown key", "data.symbols: expected"):
            assert sum(line.startswith(begin) for line in lines) == 1, begin

    @pytest.mark.parametrize("name", ["feature", "peer", "Step", ""])
    def test_unknown_benchmark_is_told_what_there_is(self, name, capsys):
        assert run.main([f"bench={name}"]) == 2
        told = capsys.readouterr().err
        assert f"unknown benchmark '{name}'" in told
        assert ", ".join(run.BENCHES) in told

    @pytest.mark.parametrize(
        ("words", "problem"),
        [
            ([], "bench: missing"),
            (["bench=step", "warmup=-1"], "warmup: expected a whole number >= 0"),
            (["bench=step", "--fast"], "--fast: unknown flag"),
            (["bench=step", "data=binance", "data.path=x"], "data=simulator"),
            (["bench=step", "symbols=1,2"], "data.symbols: several values"),
        ],
    )
    def test_refusals(self, words, problem, capsys):
        assert run.main(words) == 2
        assert problem in capsys.readouterr().err

    def test_help_names_every_benchmark(self, capsys):
        assert run.main(["--help"]) == 0
        told = capsys.readouterr().out
        assert all(f"bench={name}" in told for name in run.BENCHES)

    def test_symbols_and_preset_reach_the_configuration(self):
        job = run.job_of(["bench=step", "symbols=48", "preset=full", "steps=7"])
        assert (job.config.data.symbols, job.config.preset, job.steps) == (
            48,
            "full",
            7,
        )

    def test_a_sweep_is_a_process_a_job(self, monkeypatch):
        jobs = []

        def child(command):
            jobs.append(command)
            return subprocess.CompletedProcess(command, len(jobs))

        monkeypatch.setattr(run.subprocess, "run", child)
        words = ["-m", "bench=step,decide", "symbols=16,32", "ensemble.members=[gru]"]
        assert run.main(words) == 4
        assert [command[:3] for command in jobs] == [
            [sys.executable, "-m", "benchmarks.run"]
        ] * 4
        assert {tuple(command[3:5]) for command in jobs} == {
            (f"bench={bench}", f"symbols={symbols}")
            for bench in ("step", "decide")
            for symbols in (16, 32)
        }
        assert {command[5] for command in jobs} == {"ensemble.members=[gru]"}

    def test_an_unsound_sweep_starts_nothing(self, monkeypatch, capsys):
        monkeypatch.setattr(run.subprocess, "run", pytest.fail)
        assert run.main(["-m", "bench=step,peer", "symbols=16,-1"]) == 2
        told = capsys.readouterr().err
        assert "unknown benchmark 'peer'" in told
        assert "data.symbols: expected" in told

    def test_only_the_command_line_knows_hydra(self, project):
        for path in (project / "benchmarks").glob("*.py"):
            roots = {
                name.split(".")[0] for name in imports(ast.parse(path.read_text()))
            }
            assert path.name == "run.py" or not roots & {"hydra", "omegaconf"}


class TestManifest:
    @pytest.mark.parametrize(
        ("word", "told"),
        [
            ("symbols=1024", "symbols=1024"),
            ("results=out", "results=PATH"),
            ("++data.path=captures", "++data.path=PATH"),
            ("run.name=/home/me/x", "run.name=PATH"),
            ("data.path=/home/my own/x", "data.path=PATH"),
            ("features.names=[a,b]", "'features.names=[a,b]'"),
        ],
    )
    def test_command_writes_path_for_paths(self, word, told):
        command = f"python -m benchmarks.run bench=step {told}"
        assert manifest.told(["bench=step", word]) == command

    def test_environment_is_that_of_speed_without_paths(self):
        variables = {
            "JAX_COMPILATION_CACHE_DIR": "/home/me/.cache/x",
            "XLA_FLAGS": "--xla_dump_to=/home/me/d --xla_cpu_x=true",
            "OMP_NUM_THREADS": "2",
            "HOME": "/home/me",
            "AWS_SECRET": "1",
        }
        assert manifest.environment(variables) == {
            "JAX_COMPILATION_CACHE_DIR": "PATH",
            "OMP_NUM_THREADS": "2",
            "XLA_FLAGS": "--xla_dump_to=PATH --xla_cpu_x=true",
        }

    def test_results_do_not_make_a_checkout_dirty(self, tmp_path, monkeypatch):
        monkeypatch.setattr(manifest, "PROJECT", tmp_path)
        assert (manifest.commit(), manifest.is_dirty()) == ("unknown", True)
        who = ["-c", "user.name=n", "-c", "user.email=e@x"]
        for words in (["init", "-q"], [*who, "commit", "-qm", "m", "--allow-empty"]):
            subprocess.run(["git", *words], cwd=tmp_path, check=True)
        assert len(manifest.commit()) == 40
        results = tmp_path / "benchmarks" / "results"
        results.mkdir(parents=True)
        (results / "new.json").write_text("{}")
        assert not manifest.is_dirty()
        (tmp_path / "benchmarks" / "step.py").write_text("")
        assert manifest.is_dirty()


class TestTiming:
    def test_quantiles(self):
        own = timing.quantiles(range(1001), "x", "ms", warmup=3, floor=1 / 3)
        assert (own.p50, own.p99, own.p999) == (500, 990, 999)
        assert (own.n, own.warmup, own.floor) == (1001, 3, 0.333333)

    def test_a_rate_is_worst_where_times_are(self):
        times = timing.quantiles([1.0, 2.0, 4.0], "x", "ms", 0, floor=0.5)
        rate = timing.rate(times, 10, "things/s")
        assert rate.p50 == 5000
        assert rate.p999 < rate.p99 < rate.p50
        assert rate.floor == 20_000

    def test_a_generator_s_time_leaves_out_its_reader_s(self, monkeypatch):
        now = 0.0

        def pass_time(seconds):
            nonlocal now
            now += seconds

        def items():
            for item in "ab":
                pass_time(1)
                yield item

        monkeypatch.setattr(timing.time, "perf_counter", lambda: now)
        laps = timing.Laps()
        for _ in laps.each("made", items()):
            pass_time(100)
        assert laps.values == {("made", "ms"): [2000]}

    def test_warm_up_is_left_out(self):
        laps = timing.Laps()
        for value in range(5):
            laps.add("x", value)
        assert laps.since(2).rows(2, {"x": 1.0})[0].p50 == 3


class TestFloors:
    def test_operations_of_a_recurrent_net(self):
        """Stem, three gates of input and state, head."""
        sizes = NetSizes(members=("gru",))
        products = 10 * 48 + 3 * (48 + 48) * 48 + 48 * 3
        assert floors.net_flops(sizes, features=10) == 2 * products

    def test_operations_of_an_update(self):
        """Stem, three gates of input and state, head, and the gradients of all their
        factors, but for those of the scores."""
        sizes = NetSizes(members=("gru",))
        stem, behind = 10 * 48, 3 * (48 + 48) * 48 + 48 * 3
        products = 2 * stem + 3 * behind
        assert floors.update_flops(sizes, features=10) == 2 * products

    def test_operations_of_attention(self):
        """Four heads that share one key and value of 8, over 32 bars."""
        sizes = NetSizes(members=("transformer",))
        block = 32 * (32 + 8 + 8) + 32 * 32 + 2 * 32 * 64
        products = 10 * 48 + 48 * 32 + block + 32 * 3 + 2 * 4 * 8 * 32
        assert floors.net_flops(sizes, features=10) == 2 * products

    def test_bytes_of_arrays_and_of_shapes(self):
        tree = {"a": np.zeros((3, 4), np.float32), "b": np.zeros(5, np.int8)}
        shapes = jax.eval_shape(lambda: tree)
        assert floors.size_of(tree) == floors.size_of(shapes) == 53

    def test_a_random_forest_has_the_shapes_of_a_fitted_one(self):
        trees = load(["debug=tiny"]).trees
        made = random_forest(trees, 7, seed=1)
        classes = len(CLASSES)
        blank = forest.blank(trees.rounds * classes, trees.depth, classes)
        assert jax.eval_shape(lambda: made) == jax.eval_shape(lambda: blank)
        rows = np.eye(7, dtype=np.float32)
        spread = np.ptp(jax.jit(forest.predict)(made, rows), axis=0)
        assert spread.min() > 0.01


@pytest.mark.parametrize(
    ("events", "sent_ns", "is_closing"),
    [([7, 9], 12, False), ([9, 10], 10, True), ([], 9, False), ([], 10, True)],
)
def test_a_frame_closes_a_bar_by_event_time(events, sent_ns, is_closing):
    records = np.zeros(len(events), TICK)
    records["event_ns"] = events
    assert loop.closes(Frame(1, 1, 0, sent_ns, records), 10) == is_closing


class TestStart:
    def test_every_command_is_timed_beside_an_idle_python(self):
        command = start.Command(("-c", "raise SystemExit(2)"), 2)
        rows, *_ = start.measure(load(), 2, 1, lambda *told: None, {"no": command})
        stages = [(one.stage, one.impl, one.n) for one in rows]
        assert stages == [("no", "bot4jax", 2), ("nothing", "python", 2)]
        assert rows[0].floor

    def test_a_command_that_ends_otherwise_is_no_measurement(self):
        with pytest.raises(Bot4JaxError, match="ended with 3, expected 0"):
            start.seconds(start.Command(("-c", "raise SystemExit(3)")))


class TestCompare:
    def test_gains_are_larger_when_better(self):
        assert compare.gain(row(value=4.0), row(value=2.0), "p50") == 2
        slow, fast = (row(unit="decisions/s", value=value) for value in (10.0, 30.0))
        assert compare.gain(slow, fast, "p99") == 3
        assert compare.gain(row(unit="orders"), row(unit="orders"), "p50") is None
        assert compare.gain(row(value=0.0), row(), "p50") is None

    def test_table_holds_what_either_has(self):
        old, new = planted([row(), row("gone")]), planted([row(value=1.0), row("new")])
        lines = compare.table(old, new).splitlines()
        assert [line.split()[0] for line in lines] == ["stage", "nets", "gone", "new"]
        assert lines[1].split()[-2:] == ["2", "2"]
        assert lines[2].split()[-2:] == ["–", "–"]

    def test_other_machines_are_named(self):
        old, new = planted(threads=2), planted(threads=8, symbols=256)
        told = list(compare.differences(old, new))
        assert told == ["symbols: 1024 and 256", "threads: 2 and 8"]

    def test_command_line(self, tmp_path, capsys):
        path = str(write(planted([row()]), tmp_path))
        assert compare.main([path, path]) == 0
        assert "nets" in capsys.readouterr().out
        assert compare.main([path, "none.json"]) == 3
        assert "there is no such file" in capsys.readouterr().err
        assert compare.main([path]) == 2


class TestFaults:
    def test_the_page_holds_what_was_counted(self):
        page = faults.PAGE.read_text()
        assert faults.written(page, faults.committed()) == page, (
            "run `python -m benchmarks.faults`"
        )

    def test_what_was_lost_and_who_was_heard_is_told(self):
        row = dict.fromkeys((*faults.COUNTED, "disturbed"), 0)
        rows = {
            "live mid_checkpoint": row | {"kills": 1_000, "lost": 7},
            "resting seed": row | {"kills": 0, "runs": 3, "disturbed": 2},
        }
        count = {
            "rows": rows,
            "faults": {"line cut": 5, "clock jumps": 6},
            "admitted": 4,
        }
        count |= {"command": "count", "cores": 2, "seconds": 90, "commit": "c" * 40}
        text = faults.section({"one.json": count | {"dirty": True}}).replace("\n", " ")
        assert "1,000 kills" in text
        assert "3 seeds, which 11 faults befell; 2 of" in text
        assert "4 were heard" in text
        within = "within a snapshot of its state | 0 | 1,000 | 0 | 7 | 0 | 0 | 0 |"
        assert within in text
        assert "uncommitted changes" in text


class TestFindings:
    def test_the_page_holds_what_the_results_say(self):
        page = findings.PAGE.read_text()
        assert findings.written(page) == page, "run `python -m benchmarks.findings`"

    @pytest.mark.parametrize(
        ("stage", "unit", "p99", "expected"),
        [
            ("observe", "ms", 4.9, "goal reached"),
            ("observe", "ms", 10.0, "met"),
            ("observe", "ms", 10.1, "missed"),
            ("forest", "ms", 0.9, "met"),
            ("decide", "decisions/s", 39_999.0, "missed"),
            ("decide", "decisions/s", 40_000.0, "met"),
            ("decide", "decisions/s", 1e5, "goal reached"),
        ],
    )
    def test_verdicts(self, stage, unit, p99, expected):
        target = next(
            one
            for one in findings.TARGETS
            if (one.stage, one.unit, one.symbols) == (stage, unit, 1024)
        )
        own = planted([row(stage, unit, p99)], bench=target.bench)
        lines = [line for line in findings.section([own]).splitlines() if "|" in line]
        cells = [cell.strip() for cell in lines[2 + _place(target)].split("|")]
        assert cells[-2] == expected
        rest = lines[2:][: _place(target)] + lines[2:][_place(target) + 1 :]
        assert all("not measured" in line for line in rest)

    def test_circumstances_stand_below(self):
        dirty = findings.section([planted([row()], dirty=True)])
        assert dirty.splitlines()[-1].endswith("with uncommitted changes.")
        assert "a processor, 2 of 2 cores" in dirty

    @pytest.mark.parametrize(
        ("ratio", "expected"),
        [(300.0, "goal reached"), (100.0, "met"), (99.0, "missed")],
    )
    def test_verdicts_of_ratios(self, ratio, expected):
        own = planted([row()], bench="features")
        own = msgspec.structs.replace(own, ratios={"total": ratio})
        lines = findings.section([own]).splitlines()
        (line,) = [line for line in lines if line.startswith("| all features")]
        assert line.endswith(f"| {expected} |")
        assert f"| {ratio:g} × |" in line

    def test_the_whole_stands_beside_libraries_in_a_line(self):
        own = planted([row("whole")], bench="peers")
        own = msgspec.structs.replace(own, ratios={"whole": 12.34, "nets": 1.5})
        told = findings.section([own])
        expected = (
            "- peers, 1,024 symbols, `preset=cpu`, our speed over others': `whole` "
            "12.3 ×, `nets` 1.5 ×"
        )
        assert expected in told.splitlines()
        assert "| `peers` | cpu | 1,024 | `whole` | bot4jax |" in told

    def test_what_was_only_compiled_is_told_as_that(self):
        device = "compiled for sm_90 without a device"
        counts = {"kernels": 9, "dispatches": 2, "MiB": 1.5}
        counts |= {"data-dependent loops": 0, "conditionals": 0, "host markers": 0}
        rows = [row("observe", unit, value) for unit, value in counts.items()]
        told = findings.section([planted(rows, bench="gpu_aot", device=device)])
        assert told == (
            "- `observe`, `preset=cpu`, 1,024 symbols: compiled for sm_90 without a "
            "device: 9 kernels, 2 dispatches, 1,536 KiB; 0 data-dependent loops, "
            "0 host markers; commit `000000000000`."
        )

    def test_rows_without_a_target_are_shown_and_the_machines_own_are_not(self):
        rows = [row("lstm", value=2.0), row("product_8x8x8")]
        told = findings.section([planted(rows, bench="nets")])
        assert "| `nets` | cpu | 1,024 | `lstm` | bot4jax | 2 ms |" in told
        assert "product_8x8x8" not in told

    def test_only_the_section_is_written(self):
        page = f"before\n{findings.OPENS}\nold\n{findings.CLOSES}\nafter\n"
        written = findings.with_section(page, "new")
        assert written == page.replace("old", "new")
        with pytest.raises(ValueError, match="expected the marks"):
            findings.with_section("no marks", "new")


def _place(target):
    return findings.TARGETS.index(target)


def test_manifest_fields_are_the_promised_ones():
    assert set(msgspec.structs.asdict(planted().manifest)) == MANIFEST
