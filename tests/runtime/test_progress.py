"""What a long job says where there is no terminal."""

import io

from rich.console import Console

from bot4jax.runtime.progress import plain_lines


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
