"""Steps read back from their rows, and the first that is not what was committed."""

from collections.abc import Iterable, Iterator
from typing import Any

import apsw
import msgspec

from bot4jax.runtime import journal_rows as rows
from bot4jax.runtime.journal_rows import Closing, StepRecord
from bot4jax.runtime.limits import TradingState
from bot4jax.runtime.orders import Answer, Change

Row = tuple[Any, ...]


def heads(
    connection: apsw.Connection, first: int = 0, stop: int | None = None
) -> Iterable[Row]:
    """Of the steps `first … stop − 1` what is there once a step."""
    query = (
        "SELECT * FROM steps LEFT JOIN closings USING (step) "
        "LEFT JOIN decisions USING (step) LEFT JOIN inputs USING (step) "
        "WHERE step >= ? AND step < ? ORDER BY step"
    )
    return connection.execute(query, (first, 2**62 if stop is None else stop))


def record(connection: apsw.Connection, head: Row) -> StepRecord:
    """The whole step of such a row."""
    step, boundary_ns, bar, state = head[:4]
    watermark_ns, ticks, late, packed, inputs = head[7:]

    def of(table: str) -> Iterable[Row]:
        return _rows(connection, table, step)

    return StepRecord(
        step=step,
        boundary_ns=boundary_ns,
        bar=bar,
        closing=Closing(watermark_ns, ticks, late),
        decisions=packed or b"",
        state=TradingState(state),
        orders=[rows.order(row) for row in of("orders")],
        denied=[rows.denied(row) for row in of("denials")],
        answers=_answers(of("fills"), of("answers")),
        requests=list(_requests(of("requests"))),
        schedules=[rows.schedule(row) for row in of("schedules")],
        ended=[row[2] for row in of("schedule_ends")],
        inputs=inputs or b"",
    )


def transitions(connection: apsw.Connection) -> Iterable[Row]:
    """Every change of state that was noted, its number first and its hash last."""
    return connection.execute("SELECT * FROM transitions ORDER BY number")


def first_changed(connection: apsw.Connection, genesis: bytes) -> int | None:
    """The first step that is not what was committed; None if all are.

    Or that lacks a transition which had been noted before it. `genesis` is what stands
    before the first of both chains.
    """
    before, links = genesis, _links(connection, genesis)
    link = next(links)
    for row in heads(connection):
        try:
            step = record(connection, row)
            before = rows.chained(before, step, row[4])
        except (ValueError, TypeError, msgspec.MsgspecError):
            return row[0]
        has_other_inputs = step.inputs and rows.digest(step.inputs) != row[4]
        if before != row[5] or has_other_inputs:
            return row[0]
        while link is not None and rows.sealed(before, link) != row[6]:
            link = next(links, None)
        if link is None:
            return row[0]
    return _stray(connection)


def first_changed_transition(connection: apsw.Connection, genesis: bytes) -> int | None:
    """The first transition that is not what was noted; None if all are."""
    before = genesis
    for number, row in enumerate(transitions(connection), 1):
        try:
            before = rows.linked(before, rows.transition(row[1:-1]))
        except (ValueError, TypeError, msgspec.MsgspecError):
            return row[0]
        if before != row[-1] or number != row[0]:
            return row[0]
    return None


def _links(connection: apsw.Connection, genesis: bytes) -> Iterator[bytes]:
    """What a step's seal may be tied to: nothing noted yet, or a transition."""
    yield genesis
    for row in transitions(connection):
        yield row[-1]


def _rows(connection: apsw.Connection, table: str, step: int) -> Iterable[Row]:
    query = f"SELECT * FROM {table} WHERE step = ? ORDER BY place"
    return connection.execute(query, (step,))


def _answers(fills: Iterable[Row], others: Iterable[Row]) -> list[Answer]:
    """Fills and other answers in the order they came in."""
    found: list[tuple[int, Answer]] = [(row[1], rows.fill(row)) for row in fills]
    for step, place, order, content in others:
        answer = rows.DECODER.decode(content)
        if answer.order != order:
            raise ValueError(f"step {step}: an answer to {answer.order} as {order}")
        found.append((place, answer))
    return [answer for _, answer in sorted(found, key=lambda one: one[0])]


def _requests(asked: Iterable[Row]) -> Iterator[Change]:
    for step, _, order, content in asked:
        request = rows.REQUESTS.decode(content)
        if request.order != order:
            raise ValueError(f"step {step}: asked about {request.order} as {order}")
        yield request


def _stray(connection: apsw.Connection) -> int | None:
    """The first step that has rows but was never committed."""
    tables = (
        *("closings", "decisions", "orders", "denials"),
        *("fills", "answers", "requests", "schedules", "schedule_ends", "inputs"),
    )
    union = " UNION ".join(f"SELECT step FROM {table}" for table in tables)
    query = f"SELECT min(step) FROM ({union} EXCEPT SELECT step FROM steps)"
    return next(iter(connection.execute(query)))[0]
