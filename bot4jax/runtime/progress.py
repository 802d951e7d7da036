"""What a long job says of itself: bars with ETA on a terminal, lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Report = Callable[..., None]
"""`report(stage, done, total, text="")`: how far a stage has come."""

PLAIN_EVERY_S = 5.0
"""Without a terminal a stage speaks at its start, its end, and this often between."""


@contextmanager
def progress(console: Console | None = None) -> Iterator[Report]:
    """A reporter for as long as the block lasts; everything goes to stderr."""
    console = console or Console(stderr=True)
    if console.is_terminal:
        with _bars(console) as report:
            yield report
    else:
        yield plain_lines(console)


@contextmanager
def _bars(console: Console) -> Iterator[Report]:
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=console) as shown:
        tasks = {}

        def report(stage: str, done: int, total: int, text: str = "") -> None:
            if stage not in tasks:
                tasks[stage] = shown.add_task(stage, total=total, text=text)
            shown.update(tasks[stage], completed=done, total=total, text=text)

        yield report


def prefixed(report: Report, whose: str) -> Report:
    """The same reporter, of whom each stage says whose it is."""

    def told(stage: str, done: int, total: int, text: str = "") -> None:
        report(f"{whose}: {stage}", done, total, text)

    return told


def renamed(report: Report, name: str) -> Report:
    """A reporter of one stage, by another name."""

    def told(stage: str, done: int, total: int, text: str = "") -> None:
        report(name, done, total, text)

    return told


@contextmanager
def timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    """Notes how long the block took under its name; times of one name add up."""
    began = time.perf_counter()
    yield
    took = time.perf_counter() - began
    seconds[part] = round(seconds.get(part, 0.0) + took, 3)


def plain_lines(console: Console, now: Callable[[], float] = time.monotonic) -> Report:
    """A reporter of lines, with the time left as the pace so far suggests it.

    A stage that goes back begins anew; what was said last of it is not said again.
    """
    began: dict[str, float] = {}
    spoken: dict[str, float] = {}
    last: dict[str, tuple[int, int, str]] = {}

    def report(stage: str, done: int, total: int, text: str = "") -> None:
        clock, before = now(), last.get(stage)
        if before == (done, total, text):
            return
        is_new = before is None or done < before[0]
        last[stage] = done, total, text
        if is_new:
            began[stage] = clock
        is_due = clock - spoken.get(stage, clock) >= PLAIN_EVERY_S
        if not (is_new or is_due or done >= total):
            return
        spoken[stage] = clock
        left = (clock - began[stage]) * (total - done) / max(done, 1)
        is_paced = 0 < done < total and not is_new
        eta = f", about {left:.0f} s left" if is_paced else ""
        tail = f" ({text})" if text else ""
        console.print(f"{stage}: {done}/{total}{eta}{tail}", highlight=False)

    return report
