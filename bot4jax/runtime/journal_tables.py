"""A journal as tables: for people on a terminal, for scripts in lines, for files.

The journal knows no names: its rows tell instruments by slot, prices in increments and
sizes in lots. A universe gives each slot its symbol, and says how much an increment and
a lot are.
"""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from bot4jax import durable
from bot4jax.data.universe import Universe
from bot4jax.decisions import Decided, unpack_decisions
from bot4jax.runtime.journal_file import JournalError
from bot4jax.runtime.journal_rows import StepRecord
from bot4jax.runtime.limits import TradingState
from bot4jax.runtime.orders import Fill, Foreign
from bot4jax.runtime.states import Transition
from bot4jax.types import BUY, Instrument

Tables = Mapping[str, pl.DataFrame]

WRITERS: Mapping[str, Callable[[pl.DataFrame, io.BytesIO], None]] = {
    "parquet": pl.DataFrame.write_parquet,
    "csv": pl.DataFrame.write_csv,
}

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
    steps: Sequence[StepRecord], transitions: Iterable[Transition], members: int
) -> Tables:
    """Orders, fills, denials, decisions and states, each in the order they came.

    Fills are all trades that have moved a position: those of others too, which have
    their reason as `foreign` and no order of ours.
    """
    return {
        "orders": _frame(ORDER, (row for one in steps for row in _orders(one))),
        "fills": _frame(FILL, (row for one in steps for row in _fills(one))),
        "denials": _frame(DENIAL, (row for one in steps for row in _denials(one))),
        "decisions": decisions([one for one in steps if not one.is_end], members),
        "states": _frame(STATE, map(_state, transitions)),
    }


def decisions(steps: Iterable[StepRecord], members: int) -> pl.DataFrame:
    """One row a step and slot: the vote and what was wanted of it."""
    parts = [_decided(one, unpacked(one, members)) for one in steps]
    return pl.concat(parts) if parts else pl.DataFrame(schema=DECISION)


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
    return {name: _named(frame, symbols) for name, frame in found.items()}


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
    for name, frame in found.items():
        last = frame.tail(rows) if rows else frame
        cells = last.select(pl.all().cast(pl.String).fill_null("")).rows()
        if console.is_terminal:
            console.print(_framed(name, frame, cells))
            continue
        console.file.write("\t".join(("table", *frame.columns)) + "\n")
        console.file.writelines("\t".join((name, *row)) + "\n" for row in cells)


def export(found: Tables, folder: Path, form: str) -> list[Path]:
    """Write every table whole, as `<folder>/<table>.<form>`."""
    paths = [folder / f"{name}.{form}" for name in found]
    for path, frame in zip(paths, found.values(), strict=True):
        whole = io.BytesIO()
        WRITERS[form](frame, whole)
        durable.write(path, whole.getvalue())
    return paths


def _frame(schema: dict, rows: Iterable[tuple]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema, orient="row")


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


def _framed(name: str, frame: pl.DataFrame, cells: Sequence[tuple]) -> Table:
    shown = "all" if len(cells) == len(frame) else f"the last {len(cells)}"
    table = Table(*frame.columns, title=f"{name}: {shown} of {len(frame)}")
    for row in cells:
        table.add_row(*row)
    return table
