"""Nothing tried is forgotten: not by a second writer, not by a torn line."""

import json
import multiprocessing

import pytest

from bot4jax.learn.ledger import NAME, Trial, append, read
from tests.small_disk import is_told, no_room


def trial(number: int, data: str = "simulator") -> Trial:
    return Trial(
        f"run-{number}", "backtest", data, f"hash-{number}", 0, 0.1, 5.0, 60, 0.01
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / NAME


def test_what_is_appended_is_read_back(path):
    assert read(path).count == 0
    for number in range(3):
        append(path, trial(number))
    found = read(path)
    assert found.trials == tuple(trial(n) for n in range(3))
    assert found.damaged == ()
    assert found.sharpes(5.0) == (0.1, 0.1, 0.1)


def test_a_repeated_run_is_no_new_trial_and_other_data_do_not_count(path):
    append(path, trial(1))
    append(path, trial(1)._replace(run="another name"))
    append(path, trial(2, "daily"))
    assert read(path).count == 2
    assert read(path).on("simulator").count == 1
    assert read(path).on("simulator").sharpes(5.0) == (0.1,)


def job(number: int, sweep: str = "one", jobs: int = 4) -> Trial:
    return trial(number)._replace(sweep=sweep, jobs=jobs)


def test_every_job_is_charged_for_its_whole_sweep_from_the_first_on(path):
    append(path, trial(90))
    for number in range(4):
        append(path, job(number))
        assert read(path).charged(job(number)) == 1 + 4
    append(path, trial(91))
    assert read(path).charged(job(3)) == 6
    assert read(path).charged(trial(91)) == 6


def test_a_sweep_that_goes_on_charges_no_job_twice(path):
    """One was cut off and comes again; whoever runs alone answers for no plan."""
    append(path, job(0))
    append(path, job(0)._replace(net=0.02))
    assert read(path).charged(job(0)) == 2 + 3
    append(path, trial(90))
    assert read(path).charged(trial(90)) == 3
    append(path, job(5, "another", 7))
    assert read(path).charged(job(5, "another", 7)) == 4 + 6


def test_lines_from_before_sweeps_were_told_are_read(path):
    append(path, trial(1))
    told = json.loads(path.read_text())
    del told["sweep"], told["jobs"]
    path.write_text(json.dumps(told | {"schema": "bot4jax.trial/2"}) + "\n")
    assert read(path).trials == (trial(1),)


@pytest.mark.parametrize(
    "changed", [{"sharpe": 0.1000001}, {"sharpe": None}, {"net": 0.02}, {"periods": 59}]
)
def test_a_configuration_that_comes_out_otherwise_is_another_trial(path, changed):
    """Its code was edited: what was looked at before is not taken back."""
    append(path, trial(1))
    append(path, trial(1)._replace(**changed))
    append(path, trial(1)._replace(**changed))
    found = read(path)
    assert found.count == 2
    assert found.sharpes(5.0)[0] == 0.1


def test_periods_of_another_length_count_but_lend_no_ratio(path):
    append(path, trial(1))
    append(path, trial(2)._replace(period_seconds=10.0, sharpe=0.4))
    found = read(path)
    assert (found.count, found.sharpes(5.0), found.sharpes(10.0)) == (2, (0.1,), (0.4,))


def test_a_ratio_that_is_none_or_nan_still_counts(path):
    append(path, trial(1)._replace(sharpe=float("nan"), net=float("inf")))
    append(path, trial(2)._replace(sharpe=None))
    found = read(path)
    assert (found.count, found.sharpes(5.0)) == (2, ())
    assert found.trials[0].net is None


@pytest.mark.parametrize("kept", [1, 40, -2, -1])
def test_a_torn_last_line_is_named_counted_and_spoils_nothing(path, kept):
    append(path, trial(1))
    append(path, trial(2))
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(whole[0] + whole[1][:kept])
    torn = (2,) if kept < -1 or kept > 0 else ()  # without its newline it is whole
    assert read(path).damaged == torn
    assert read(path).count == 2
    append(path, trial(3))
    found = read(path)
    assert found.damaged == torn
    assert found.count == 3
    assert found.trials[-1] == trial(3)


@pytest.mark.parametrize("room", [0, 1, 40])
def test_a_trial_without_room_leaves_no_part_of_a_line(path, room):
    """It would count as one that was tried, and once more when it is entered."""
    append(path, trial(1))
    whole = path.read_bytes()
    with no_room(len(whole) + room), pytest.raises(OSError, match="large") as told:
        append(path, trial(2))
    assert is_told(told.value, path)
    assert path.read_bytes() == whole
    append(path, trial(2))
    assert read(path).count == 2
    assert not read(path).damaged


def test_lines_of_another_schema_are_named(path):
    append(path, trial(1))
    with path.open("a") as file:
        file.write(json.dumps({"schema": "bot4jax.trial/9"}) + "\n[1]\n")
    assert read(path).damaged == (2, 3)


def append_many(path, first):
    for number in range(first, first + 50):
        append(path, trial(number))


def test_two_processes_append_without_a_mixed_line(path):
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=append_many, args=(path, n)) for n in (0, 100)]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    found = read(path)
    assert found.damaged == ()
    assert found.count == 100
