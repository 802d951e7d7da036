"""The journal's tables say what the database holds, and nothing else."""

import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import msgspec
import numpy as np
import polars as pl
import pytest
from rich.console import Console

from bot4jax.config import to_yaml
from bot4jax.errors import CheckpointError
from bot4jax.modes.journal import journal
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.journal_file import JournalError
from bot4jax.runtime.journal_rows import NO_BAR, Closing, StepRecord
from bot4jax.runtime.journal_tables import (
    STEPS,
    WRITERS,
    Tables,
    export,
    show,
    tables,
    whole,
)
from bot4jax.runtime.limits import Reason, TradingState
from bot4jax.runtime.orders import Fill
from tests.runtime.scene import MEMBERS, SYMBOLS, Scene
from tests.small_disk import is_told, no_room

NAMES = ["orders", "fills", "denials", "decisions", "states"]


def read_whole(told: Tables) -> dict[str, pl.DataFrame]:
    """All rows of every table."""
    return {
        name: pl.concat([pl.DataFrame(schema=one.schema), *one.parts()])
        for name, one in told.items()
    }


def of_journal(found: Journal) -> dict[str, pl.DataFrame]:
    return read_whole(tables(found.read, found.transitions, MEMBERS))


def as_tables(frames: dict[str, pl.DataFrame]) -> Tables:
    return {name: whole(frame) for name, frame in frames.items()}


@pytest.fixture(scope="module")
def traded(tmp_path_factory):
    """A scene of four steps: its tables, and the venue's record of it."""
    wishes = {1: (0.02, -0.02, 0.0), 2: (0.01, -0.02, float("nan"))}
    scene = Scene(
        tmp_path_factory.mktemp("scene"), lambda step: wishes.get(step, (0, 0, 0))
    )
    scene.trader.start()
    for bar in range(4):
        scene.step(bar)
    with closing(scene.journal) as found:
        told = of_journal(found)
    return told, scene.venue.record


@pytest.fixture
def asked(run):
    """The configuration that asks for a folder's journal."""

    def asked(folder, **keys):
        own = msgspec.structs.replace(run.config.journal, run=str(folder), **keys)
        return msgspec.structs.replace(run.config, mode="journal", journal=own)

    return asked


def test_orders_and_fills_are_those_of_the_venues_record(traded):
    told, record = traded
    assert told["orders"]["id"].to_list() == [one.id for one in record.received]
    fills = [one for one in record.answers if isinstance(one, Fill)]
    assert len(fills) == len(told["fills"]) > 0
    for ours, theirs in zip(told["fills"].iter_rows(named=True), fills, strict=True):
        assert ours["side"] == ("buy" if theirs.side == 1 else "sell")
        for name in ("order", "lots", "price", "fee", "is_maker"):
            assert ours[name] == getattr(theirs, name)


def test_a_position_comes_of_the_fills_though_others_have_traded(tmp_path):
    """Adopted, as a liquidation is; each with its reason."""
    scene = Scene(tmp_path, lambda step: (0.02 if step == 1 else None, 0.0, 0.0))
    scene.trader._adopts = True
    scene.trader.start()
    for bar in range(4):
        if bar == 2:
            scene.venue.trade_otherwise(0, -70, 150, "liquidation")
        scene.step(bar)
    with closing(scene.journal) as found:
        told = of_journal(found)["fills"]
    signed = pl.when(pl.col("side") == "buy").then("lots").otherwise(-pl.col("lots"))
    owned = told.group_by("slot").agg(signed.sum().alias("lots")).rows_by_key("slot")
    held = scene.account.portfolio.lots
    assert {slot: [(int(held[slot]),)] for slot in np.flatnonzero(held)} == owned
    assert told["foreign"].to_list() == [None, "liquidation"]
    assert told["order"][1] == "foreign 0"


def test_denials_and_decisions_are_told_by_slot(traded):
    told, _ = traded
    reasons = told["denials"].filter(pl.col("step") == 2).select("reason", "slot")
    assert (Reason.NON_FINITE_TARGET.name, 2) in reasons.rows()
    wanted = told["decisions"].filter(pl.col("step") == 1)["intent"].to_numpy()
    np.testing.assert_array_equal(wanted, np.float32([0.02, -0.02, 0.0]))
    assert len(told["decisions"]) == 4 * SYMBOLS


def test_states_begin_halted_and_end_active(traded):
    told, _ = traded
    assert told["states"]["state"].to_list() == ["HALTED", "ACTIVE"]
    assert told["states"]["cause"].unique().to_list() == ["STARTING"]


@pytest.mark.parametrize("rows", [0, 1])
def test_lines_hold_the_last_rows_of_every_table(traded, rows):
    told, _ = traded
    printed = io.StringIO()
    show(as_tables(told), rows, Console(file=printed))
    lines = [line.split("\t") for line in printed.getvalue().splitlines()]
    assert [line[1:] for line in lines if line[0] == "table"] == [
        told[name].columns for name in NAMES
    ]
    ids = [line[3] for line in lines if line[0] == "orders"]
    assert ids == told["orders"]["id"].to_list()[-rows:]


def test_a_terminal_gets_frames_that_say_how_much_they_show(traded):
    told, _ = traded
    printed = io.StringIO()
    show(as_tables(told), 1, Console(file=printed, force_terminal=True, width=200))
    assert f"the last 1 of {len(told['orders'])}" in printed.getvalue()


@pytest.mark.parametrize("form", WRITERS)
def test_files_hold_every_row(traded, form, tmp_path):
    told, _ = traded
    paths = export(as_tables(told), tmp_path, form)
    assert [path.name for path in paths] == [f"{name}.{form}" for name in NAMES]
    assert {path.name for path in tmp_path.iterdir()} == {one.name for one in paths}
    read = {"parquet": pl.read_parquet, "csv": pl.read_csv}[form]
    for path, frame in zip(paths, told.values(), strict=True):
        assert read(path).height == frame.height
        assert read(path).columns == frame.columns


@pytest.mark.parametrize("form", WRITERS)
def test_the_tables_of_a_journal_without_a_step_have_their_columns(
    traded, form, tmp_path
):
    """As of an engine that died before its first; whoever reads them finds no rows."""
    told, _ = traded
    nothing = tables(list, list, MEMBERS)
    assert {name: one.schema for name, one in read_whole(nothing).items()} == {
        name: one.schema for name, one in told.items()
    }
    read = {"parquet": pl.read_parquet, "csv": pl.read_csv}[form]
    for path, frame in zip(export(nothing, tmp_path, form), told.values(), strict=True):
        assert read(path).columns == frame.columns
        assert read(path).height == 0


@pytest.mark.parametrize("form", WRITERS)
def test_an_export_without_room_leaves_the_one_before(traded, form, tmp_path):
    told, _ = traded
    own = as_tables(told)
    before = [one.read_bytes() for one in export(own, tmp_path, form)]
    with no_room(100), pytest.raises(OSError, match="large") as refused:
        export(own, tmp_path, form)
    assert is_told(refused.value, tmp_path / f"{NAMES[0]}.{form}")
    assert [(tmp_path / f"{one}.{form}").read_bytes() for one in NAMES] == before
    assert len(list(tmp_path.iterdir())) == len(NAMES)


class Held(bytes):
    """A step's decisions, counted while somebody holds them."""

    alive = most = 0

    def __new__(cls, packed: bytes):
        cls.alive += 1
        cls.most = max(cls.most, cls.alive)
        return super().__new__(cls, packed)

    def __del__(self):
        type(self).alive -= 1


def long_journal(count: int = 5 * STEPS + 3) -> Iterator[StepRecord]:
    """More steps than are held at once, of one symbol; the last one is the end."""
    numbers = np.zeros(MEMBERS + 2 + 3 + 3 * MEMBERS + 4, "<f4")
    for step in range(count):
        is_end = step == count - 1
        yield StepRecord(
            step=step,
            boundary_ns=step,
            bar=NO_BAR if is_end else step,
            closing=Closing(step, 0, 0),
            decisions=b"" if is_end else Held((numbers + step).tobytes()),
            state=TradingState.ACTIVE,
        )


@pytest.mark.parametrize("form", [*WRITERS, "lines", "last lines"])
def test_a_journal_longer_than_the_memory_is_told_as_it_is_read(form, tmp_path):
    """Every row, in order, and of its steps never more than two parts at once."""
    told, printed = tables(long_journal, list, MEMBERS), io.StringIO()
    Held.most = Held.alive
    if form in WRITERS:
        export(told, tmp_path, form)
        read = {"parquet": pl.read_parquet, "csv": pl.read_csv}[form]
        found = read(tmp_path / f"decisions.{form}")["step"].to_list()
    else:
        show(told, 7 if form == "last lines" else 0, Console(file=printed))
        lines = [line.split("\t") for line in printed.getvalue().splitlines()]
        found = [int(line[1]) for line in lines if line[0] == "decisions"]
    steps = list(range(5 * STEPS + 2))
    assert found == (steps[-7:] if form == "last lines" else steps)
    assert 0 < Held.most <= 2 * STEPS


def test_a_run_is_told_as_its_database_has_it(copied, asked, capsys):
    assert journal(asked(copied, export="parquet")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [
        f"table {copied / f'{name}.parquet'}" for name in ("states", "instruments")
    ]
    told = {name: pl.read_parquet(copied / f"{name}.parquet") for name in NAMES}
    with closing(sqlite3.connect(copied / "journal.sqlite")) as base:
        for name in ("orders", "fills"):
            (count,) = base.execute(f"SELECT count(*) FROM {name}").fetchone()
            assert told[name].height == count > 0
        (denied,) = base.execute("SELECT sum(count) FROM denials").fetchone()
        assert told["denials"].height == (denied or 0)
        limits = [row[0] for row in base.execute('SELECT "limit" FROM orders')]
    assert sorted(told["orders"]["limit"].to_list()) == sorted(limits)
    votes = told["decisions"].select("down", "flat", "up").sum_horizontal()
    np.testing.assert_allclose(votes.to_numpy(), 1.0, atol=1e-5)


def test_an_export_says_by_itself_what_was_traded_and_for_how_much(
    copied, asked, setting
):
    """Each fee is a share of what its fill was worth, in the account's currency."""
    assert journal(asked(copied, export="parquet")) == 0
    told = {
        name: pl.read_parquet(copied / f"{name}.parquet")
        for name in (*NAMES, "instruments")
    }
    universe = setting.source.universe
    assert tuple(told["instruments"]["symbol"]) == universe.symbols
    for name in ("orders", "fills", "denials", "decisions"):
        frame = told[name]
        assert frame.columns.index("symbol") == frame.columns.index("slot") + 1
        assert frame.height > 0
        named = [universe.symbols[slot] for slot in frame["slot"]]
        assert frame["symbol"].to_list() == named
    paid = told["fills"].join(told["instruments"], on=["slot", "symbol"])
    worth = pl.col("lots") * pl.col("lot") * pl.col("price") * pl.col("increment")
    share = paid.select(pl.col("fee") / (worth * pl.col("taker_fee"))).to_series()
    np.testing.assert_allclose(share.to_numpy(), 1.0, rtol=1e-9)


def changed_market(run, folder):
    """Of other symbols than were traded."""
    data = msgspec.structs.replace(run.config.data, symbols=17)
    config = msgspec.structs.replace(run.config, data=data)
    (folder / "config.yaml").write_text(to_yaml(config))


def changed_files(run, folder):
    """As if the run had read files that are not there any more."""
    file = folder / "manifest.json"
    told = json.loads(file.read_text()) | {"sources_digest": "0" * 16}
    file.write_text(json.dumps(told))


@pytest.mark.parametrize("change", [changed_market, changed_files])
def test_without_the_runs_market_no_slot_gets_a_name(
    run, copied, asked, caplog, change
):
    change(run, copied)
    assert journal(asked(copied, export="csv")) == 0
    assert "the run's market is needed" in caplog.text
    assert not (copied / "instruments.csv").exists()
    told = pl.read_csv(copied / "orders.csv")
    assert told.height > 0
    assert told["symbol"].null_count() == told.height


def test_what_cannot_be_read_is_named(copied, asked, tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere holds no journal\.sqlite"):
        journal(asked(tmp_path / "nowhere"))
    config = copied / "config.yaml"
    config.write_text(config.read_text().replace("  - gru\n", "", 1))
    with pytest.raises(JournalError, match="not the one it was journaled with"):
        journal(asked(copied))


def test_a_journal_in_use_is_left_alone(copied, asked):
    with (
        closing(Journal.open(copied / "journal.sqlite", copied.name)),
        pytest.raises(JournalError, match="Another process is using"),
    ):
        journal(asked(copied))
