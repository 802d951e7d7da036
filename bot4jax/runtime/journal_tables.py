"""A journal as tables: for people on a terminal, for scripts in lines, for files.

The journal knows no names: its rows tell instruments by slot, prices in increments and
sizes in lots. A universe gives each slot its symbol, and says how much an increment and
a lot are.

A journal may be larger than the memory: a table is read part by part, anew whenever it
is asked for, and its rows are told as they are read.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl
from polars.io.plugins import register_io_source
from rich.console import Console
from rich.table import Table as Frame

from bot4jax import durable
from bot4jax.data.universe import Universe
from bot4jax.decisions import Decided, unpack_decisions
from bot4jax.runtime.journal_file import JournalError
from bot4jax.runtime.journal_rows import StepRecord
from bot4jax.runtime.limits import TradingState
from bot4jax.runtime.orders import Fill, Foreign
from bot4jax.runtime.states import Transition
from bot4jax.types import BUY, Instrument

Schema = Mapping[str, pl.DataType | type[pl.DataType]]


class Table(NamedTuple):
    """Rows that are read when they are asked for, some at a time."""

    schema: Schema
    parts: Callable[[], Iterable[pl.DataFrame]]


Tables = Mapping[str, Table]

WRITERS: Mapping[str, Callable[[pl.LazyFrame, Path], object]] = {
    "parquet": pl.LazyFrame.sink_parquet,
    "csv": pl.LazyFrame.sink_csv,
}

STEPS = 256
"""steps of a journal that are held at once; of 1,024 symbols some 25 MB"""

TIME = pl.Datetime("ns", "UTC")
ORDER = {"step": pl.Int64, "time": TIME, "id": pl.String, "slot": pl.Int64}
ORDER |= {"side": pl.String, "lots": pl.Int64, "kind": pl.String, "limit": pl.Int64}
ORDER |= {"trigger": pl.Int64, "reduce_only": pl.Boolean, "post_only": pl.Boolean}
ORDER |= {"expires": TIME, "group": pl.String, "parent": pl.String}
FILL = {"step": pl.Int64, "time": TIME, "order": pl.String, "slot": pl.Int64}
FILL |= {"side": pl.String, "lots": pl.Int64, "price": pl.Int64, "fee": pl.Float64}
FILL |= {"is_maker": pl.Boolean, "number": pl.Int64, "foreign": pl.String}
DENIAL = {"step": pl.Int64, "time": TIME, "reason": pl.String, "slot": pl.Int64}
DENIAL |= {"lots": pl.Int64}
DECISION = {"step": pl.Int64, "time": TIME, "slot": pl.Int64, "down": pl.Float32}
DECISION |= {"flat": pl.Float32, "up": pl.Float32, "confidence": pl.Float32}
DECISION |= {"disagreement": pl.Float32, "intent": pl.Float32, "flags": pl.Int32}
DECISION |= {"regime": pl.Int64}
STATE = {"step": pl.Int64, "time": TIME, "cause": pl.String, "is_held": pl.Boolean}
STATE |= {"state": pl.String, "text": pl.String, "is_reset": pl.Boolean}


def tables(
    steps: Callable[[], Iterable[StepRecord]],
    transitions: Callable[[], Iterable[Transition]],
    members: int,
) -> Tables:
    """Orders, fills, denials, decisions and states, each in the order they came.

    Fills are all trades that have moved a position: those of others too, which have
    their reason as `foreign` and no order of ours.
    """
    rows = {"orders": (ORDER, _orders), "fills": (FILL, _fills)}
    rows |= {"denials": (DENIAL, _denials)}
    listed = {
        name: Table(schema, partial(_listed, steps, schema, told))
        for name, (schema, told) in rows.items()
    }
    return {
        **listed,
        "decisions": Table(DECISION, partial(_decisions, steps, members)),
        "states": Table(STATE, lambda: [_frame(STATE, map(_state, transitions()))]),
    }


def whole(frame: pl.DataFrame) -> Table:
    """A table that is there already."""
    return Table(frame.schema, lambda: [frame])


def unpacked(record: StepRecord, members: int) -> Decided:
    """A step's decisions; how many slots there are follows from their length."""
    packed = np.frombuffer(record.decisions, "<f4")
    tail, rows = members + 2, 3 + 3 * members + 4
    symbols, rest = divmod(len(packed) - tail, rows)
    if rest or symbols < 1:
        raise JournalError(
            f"Step {record.step} holds {len(packed)} numbers, which {members} members "
            "do not make: the run's config.yaml is not the one it was journaled with."
        )
    return unpack_decisions(packed, members, symbols)


def named(found: Tables, symbols: Sequence[str] | None) -> Tables:
    """The tables with each slot's symbol beside it; empty where nobody knows them."""
    return {name: _with_symbols(one, symbols) for name, one in found.items()}


def instruments(universe: Universe) -> pl.DataFrame:
    """One row a slot: all that turns increments and lots into prices and sizes."""
    rows = [msgspec.structs.astuple(one) for one in universe.instruments]
    frame = pl.DataFrame(rows, list(Instrument.__struct_fields__), orient="row")
    expiry = pl.when(pl.col("expiry_ns") > 0).then("expiry_ns").cast(TIME)
    return frame.select(
        pl.int_range(pl.len()).alias("slot"),
        pl.exclude("expiry_ns"),
        expiry.alias("expiry"),
    )


def show(found: Tables, rows: int, console: Console | None = None) -> None:
    """Each table's last rows: framed on a terminal, tab-separated lines elsewhere."""
    console = console or Console()
    for name, table in found.items():
        if console.is_terminal:
            console.print(_framed(name, table.schema, *_last(table, rows)))
            continue
        console.file.write("\t".join(("table", *table.schema)) + "\n")
        for part in [_last(table, rows)[0]] if rows else table.parts():
            lines = ("\t".join((name, *row)) + "\n" for row in _cells(part))
            console.file.writelines(lines)


def export(found: Tables, folder: Path, form: str) -> list[Path]:
    """Write every table whole, as `<folder>/<table>.<form>`."""
    paths = [folder / f"{name}.{form}" for name in found]
    for path, table in zip(paths, found.values(), strict=True):
        with durable.drafted(path) as part, _refused():
            WRITERS[form](_lazy(table), part)
    return paths


def _lazy(table: Table) -> pl.LazyFrame:
    """The rows as Polars' writers ask for them, one part after the other."""
    return register_io_source(lambda *_: iter(table.parts()), schema=table.schema)


@contextmanager
def _refused() -> Iterator[None]:
    """What the disk refuses Polars, which tells it in words, as the system tells it."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        if refused := durable.of_the_disk(error):
            raise refused from error
        raise


def _last(table: Table, rows: int) -> tuple[pl.DataFrame, int]:
    """The last rows, all of them for 0, and how many there are."""
    kept, count = [pl.DataFrame(schema=table.schema)], 0
    for part in table.parts():
        count += part.height
        kept.append(part)
        if rows:
            kept = [pl.concat(kept, rechunk=True).tail(rows)]
    return pl.concat(kept), count


def _cells(frame: pl.DataFrame) -> list[tuple[str, ...]]:
    return frame.select(pl.all().cast(pl.String).fill_null("")).rows()


def _some(steps: Callable[[], Iterable[StepRecord]]) -> Iterator[list[StepRecord]]:
    """As many steps at a time as are held."""
    left = iter(steps())
    while some := list(islice(left, STEPS)):
        yield some


def _listed(
    steps: Callable[[], Iterable[StepRecord]],
    schema: Schema,
    told: Callable[[StepRecord], Iterable[tuple]],
) -> Iterator[pl.DataFrame]:
    """What some steps tell, row by row."""
    for some in _some(steps):
        yield _frame(schema, (row for one in some for row in told(one)))


def _decisions(
    steps: Callable[[], Iterable[StepRecord]], members: int
) -> Iterator[pl.DataFrame]:
    """One row a step and slot: the vote and what was wanted of it."""
    for some in _some(steps):
        parts = [
            _decided(one, unpacked(one, members)) for one in some if not one.is_end
        ]
        if parts:
            yield pl.concat(parts, rechunk=True)


def _frame(schema: Schema, rows: Iterable[tuple]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema, orient="row")


def _with_symbols(table: Table, symbols: Sequence[str] | None) -> Table:
    schema = _named(pl.DataFrame(schema=table.schema), symbols).schema
    return Table(schema, lambda: (_named(one, symbols) for one in table.parts()))


def _named(frame: pl.DataFrame, symbols: Sequence[str] | None) -> pl.DataFrame:
    if "slot" not in frame.columns:
        return frame
    known = dict(enumerate(symbols or ()))
    names = [known.get(slot) for slot in frame["slot"]]
    place = frame.get_column_index("slot") + 1
    return frame.insert_column(place, pl.Series("symbol", names, pl.String))


def _orders(record: StepRecord) -> Iterable[tuple]:
    for one in record.orders:
        kind = (one.kind, one.limit, one.trigger, one.reduce_only, one.post_only)
        kind += (one.expires_ns or None, one.group, one.parent)
        side = _side(one.side)
        yield record.step, one.sent_ns, one.id, one.symbol, side, one.lots, *kind


def _fills(record: StepRecord) -> Iterable[tuple]:
    for one in record.answers:
        if isinstance(one, Fill | Foreign):
            is_ours = isinstance(one, Fill)
            what = (_side(one.side), one.lots, one.price, one.fee)
            what += (one.is_maker if is_ours else None, one.number)
            what += (None if is_ours else one.reason,)
            yield record.step, one.event_ns, one.order, one.symbol, *what


def _denials(record: StepRecord) -> Iterable[tuple]:
    for one in record.denied:
        for slot, lots in zip(one.symbols.tolist(), one.lots.tolist(), strict=True):
            yield record.step, record.boundary_ns, one.reason.name, slot, lots


def _decided(record: StepRecord, found: Decided) -> pl.DataFrame:
    down, flat, up = found.probability.T
    return pl.DataFrame(
        {
            "step": np.full(len(up), record.step),
            "time": np.full(len(up), record.boundary_ns),
            "slot": np.arange(len(up)),
            "down": down,
            "flat": flat,
            "up": up,
            "confidence": found.confidence,
            "disagreement": found.disagreement,
            "intent": found.intent,
            "flags": found.flags,
            "regime": np.full(len(up), found.regime),
        }
    ).with_columns(pl.col("time").cast(TIME))


def _state(one: Transition) -> tuple:
    state = TradingState(one.state).name
    told = one.cause, one.is_held, state, one.text, one.is_reset
    return one.step, one.at_ns, *told


def _side(side: int) -> str:
    return "buy" if side == BUY else "sell"


def _framed(name: str, columns: Iterable[str], last: pl.DataFrame, count: int) -> Frame:
    shown = "all" if len(last) == count else f"the last {len(last)}"
    table = Frame(*columns, title=f"{name}: {shown} of {count}")
    for row in _cells(last):
        table.add_row(*row)
    return table
