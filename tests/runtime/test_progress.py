"""What a long job says where there is no terminal."""

import io

from rich.console import Console

from bot4jax.runtime.progress import plain_lines, prefixed, renamed


def test_the_time_left_is_told_once_there_is_a_pace():
    told, clock = io.StringIO(), iter([0.0, 5.0, 9.0, 20.0])
    report = plain_lines(Console(file=told), lambda: next(clock))
    for done in (1, 25, 30, 100):
        report("bars", done, 100)
    assert told.getvalue().splitlines() == [
        "bars: 1/100",
        "bars: 25/100, about 15 s left",
        "bars: 100/100",
    ]


def test_no_line_comes_twice_and_a_stage_that_goes_back_begins_anew():
    told = io.StringIO()
    report = plain_lines(Console(file=told), lambda: 0.0)
    for done in (1, 2, 2, 2, 1, 2):
        report("bars", done, 2)
    assert told.getvalue().split("\n")[:-1] == ["bars: 1/2", "bars: 2/2"] * 2


def test_a_stage_says_whose_it_is():
    told = io.StringIO()
    report = prefixed(plain_lines(Console(file=told), lambda: 0.0), "fold 2")
    report("features", 1, 9)
    renamed(report, "latency 100 ms")("paper trading", 1, 9)
    assert told.getvalue().split("\n")[:-1] == [
        "fold 2: features: 1/9",
        "fold 2: latency 100 ms: 1/9",
    ]
