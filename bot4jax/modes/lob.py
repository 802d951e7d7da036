"""`mode=lob`: labels of the limit-order book, by event, beside a linear baseline."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from bot4jax.data.depth import BookStates, book_states
from bot4jax.data.fi2010 import fi2010_states
from bot4jax.data.sources import folder as existing
from bot4jax.data.sources import open_source
from bot4jax.learn import lob as rows
from bot4jax.learn.lob import Book, Piece, Side
from bot4jax.learn.lob_contest import Judged, Task, contest
from bot4jax.modes import lines
from bot4jax.modes.report_lob import tell_lob
from bot4jax.modes.setting import expect_known, net_sizes
from bot4jax.modes.spans import spans
from bot4jax.runtime.folder import RunFolder
from bot4jax.runtime.progress import Report, progress, timed
from bot4jax.schema import Config
from bot4jax.types import CLASSES


def lob(config: Config) -> int:
    """Fit and judge every label and horizon; `summary.json` and `report.html`."""
    expect_known(config)
    with RunFolder(config) as folder:
        if folder.open() and folder.is_finished:
            return lines.finished(folder.path)
        seconds: dict[str, float] = {}
        with progress() as report:
            with timed(seconds, "reading"):
                book = read(config)
            with timed(seconds, "contest"):
                judged = judge(config, book, report)
        tell_lob(folder, config, book, judged, seconds)
        return lines.finished(folder.path)


def read(config: Config) -> Book:
    """The source's books, cut into training and test, and those into stretches."""
    own, simulated = config.lob, config.data.source == "simulator"
    states = read_states(config)
    shares = own.train_share, own.calibrate_share
    cut = rows.pieces(states, own.horizons, *shares)
    train, calibrate, test = (
        Side(tuple(side), rows.lanes(side, own.lane, own.warm))
        for side in (cut.train, cut.calibrate, cut.test)
    )
    days = sorted({one.day for one in states})
    of_day = {day: tuple(x.symbol for x in states if x.day == day) for day in days}
    return Book(of_day, simulated, train, calibrate, test, tuple(cut.dropped))


def read_states(config: Config) -> list[BookStates]:
    """Book states of any source that shows a book."""
    own, data = config.lob, config.data
    if data.source == "fi2010":
        folder = Path(existing(data.path, data.source))
        return fi2010_states(folder, data.symbols, own.events)
    bars = spans(config).bars if data.source == "simulator" else 1
    return book_states(open_source(config, bars), own.levels, own.events)


def judge(config: Config, book: Book, report: Report) -> list[Judged]:
    """Every label at every horizon, one contest after the other."""
    sizes, found = net_sizes(config), []
    labels = [
        (kind, k)
        for kind in (*rows.KINDS, *given(book.train.pieces[0]))
        for k in config.lob.horizons
    ]
    for done, label in enumerate(labels):
        report("labels", done, len(labels))
        task = task_of(config, book, label)
        best, scores = contest(
            config,
            sizes,
            book.train.lanes.features,
            book.calibrate.lanes.features,
            book.test.lanes.features,
            task,
            lambda *_: None,
        )
        left = without(book, task)
        found.append(Judged(*label, shares_of(task.test), left, best, scores))
    report("labels", len(labels), len(labels))
    return found


def given(piece: Piece) -> tuple[str, ...]:
    """Kinds of labels that the data set brings."""
    return ("published",) if piece.published else ()


def task_of(config: Config, book: Book, label: tuple[str, int]) -> Task:
    """A label's classes, by stretch; edges come from training alone."""
    edge = None
    if label[0] != "published":
        edge = rows.edges(book.train.pieces, label, config.labels.flat_share)
    labels = (
        rows.laid(side.lanes, named(side, label, edge))
        for side in (book.train, book.calibrate, book.test)
    )
    times = rows.slots(book.test.pieces)
    return Task(*labels, slots=rows.laid(book.test.lanes, times))


def named(
    side: Side, label: tuple[str, int], edge: dict[str, float] | None
) -> list[Int[np.ndarray, " N"]]:
    """The classes of a side's pieces: cut at these edges, or as they were published."""
    if edge is None:
        return [one.published[label] for one in side.pieces]
    return rows.classes(side.pieces, label, edge)


def without(book: Book, task: Task) -> dict[str, int]:
    """Events of each side that count and have no label, for it would reach too far."""
    laid = zip(book.sides.items(), (task.train, task.calibrate, task.test), strict=True)
    return {
        name: int((side.lanes.counted & (labels < 0)).sum())
        for (name, side), labels in laid
    }


def shares_of(labels: Int[np.ndarray, "U V"]) -> Float[np.ndarray, " C"]:
    """Shares of the classes among the labels that there are."""
    count = np.bincount(labels[labels >= 0], minlength=len(CLASSES))
    return count / count.sum()
