"""LEAN's quotes of currency pairs: small planted days, and a recorded one."""

import zipfile

import numpy as np
import pytest

from bot4jax.data.forex import STANDING, Forex
from bot4jax.data.lean import midnight_ns
from bot4jax.data.source import DataError
from bot4jax.types import QUOTE

LINES = [
    "500,1.38720,1.38729",
    "1500,1.38725,1.38730",
    "1600,1.38730,1.38730",  # both sides meet: not shown
    "1700,1.38730,1.38729",  # they cross, as the pools of banks do for moments
    "2500,1.38710,1.38715",
    "9000,1.38700,1.38705",
]


def write(folder, lines=LINES, pair="eurusd", day="20140501"):
    (folder / pair).mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / pair / f"{day}_quote.zip", "w") as archive:
        archive.writestr(f"{day}_{pair}_tick_quote.csv", "\n".join(lines) + "\n")
    return folder


def test_lines_become_quotes(tmp_path):
    source = Forex(write(tmp_path), bar_seconds=1.0)
    (one,) = source.universe.instruments
    assert (one.symbol, one.base, one.settlement) == ("EURUSD", "EUR", "USD")
    assert one.increment == pytest.approx(1e-5)
    assert source.crossed == {"EURUSD": 2}
    zero = midnight_ns("20140501")
    records = np.concatenate(
        [x.records for x in source.frames(0, source.bar_count)]
    ).tolist()
    sizes = (STANDING, STANDING)
    assert records == [
        (QUOTE, 0, 0, 0, zero + 10**9, 138720, 138729, *sizes),
        (QUOTE, 0, 0, 0, zero + 15 * 10**8, 138725, 138730, *sizes),
        (QUOTE, 0, 0, 0, zero + 25 * 10**8, 138710, 138715, *sizes),
        (QUOTE, 0, 0, 0, zero + 90 * 10**8, 138700, 138705, *sizes),
    ]


def test_nothing_is_made_of_sizes_that_are_not_told(tmp_path):
    columns = set(Forex(write(tmp_path), bar_seconds=1.0).columns)
    assert {"mid_close", "bid", "ask", "quote_updates"} <= columns
    assert not columns & {"bid_size", "flow", "base_turnover", "bid_depth_5"}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("10000,-1.4,1.3", "line 7: .* positive prices was expected"),
        ("8000,1.3,1.4", "line 7: .*no earlier than the line"),
        ("x,1.3,1.4", "line 7"),
        ("10000,,1.4", "line 7"),
    ],
)
def test_a_line_that_makes_no_quote_is_named(tmp_path, line, found):
    with pytest.raises(DataError, match=found):
        Forex(write(tmp_path, [*LINES, line]))


def test_recorded_days_are_of_one_week(data_root):
    path = data_root / "fx_ticks"
    if not path.is_dir():
        pytest.skip(f"{path} is absent: it holds quotes of EURUSD")
    source = Forex(path, bar_seconds=60.0)
    (one,) = source.universe.instruments
    assert one.increment == pytest.approx(1e-5)
    assert source.bar_count > 10 * 1440
    first = next(source.frames(0, 1)).records
    assert 138_000 < first["a"].min() <= first["b"].max() < 139_000
