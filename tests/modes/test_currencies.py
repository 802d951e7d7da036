"""What settles in another currency than the account is refused before anything runs."""

import pytest

from bot4jax import run
from bot4jax.config import load
from bot4jax.data.universe import universe
from bot4jax.errors import DataError
from bot4jax.modes.setting import expect_one_currency, trading_stage
from bot4jax.types import Instrument
from tests.data.test_forex import write

BARS = 600
WORDS = ("debug=tiny", "data=forex", "data.bar_seconds=1", "ensemble.members=[gru]")


def quoted(first: float) -> list[str]:
    """A quote a second, and half a per mille between its sides."""
    prices = [round(first + first * (n % 7) / 1e4, 5) for n in range(BARS)]
    return [
        f"{1000 * n + 500},{bid:.5f},{bid * 1.0005:.5f}" for n, bid in enumerate(prices)
    ]


@pytest.fixture
def pairs(tmp_path):
    """Dollars for euros, and yen for dollars."""
    (tmp_path / "fx").mkdir()
    write(tmp_path / "fx", quoted(1.38))
    return write(tmp_path / "fx", quoted(101.5), pair="usdjpy")


def words(pairs, *more: str) -> list[str]:
    places = (f"data.path={pairs}", f"run.root={pairs.parent / 'runs'}")
    return [*WORDS, *places, *more]


@pytest.mark.parametrize(
    "own", [["mode=demo"], ["mode=backtest", "backtest.refit=true"]]
)
def test_a_second_currency_is_refused_before_anything_is_fitted(pairs, capsys, own):
    assert run.main(words(pairs, *own)) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "kept in USD, in which EURUSD, the first symbol, settles" in said
    assert "USDJPY in JPY" in said
    assert "No rate between these currencies is known" in said
    assert "data.path" in said
    assert not list(pairs.parent.glob("runs/*/checkpoints"))


def test_what_settles_in_one_passes(pairs):
    """The same files, the first symbol of them alone."""
    setting = trading_stage(load(words(pairs, "data.symbols=1")))
    assert setting.source.universe.symbols == ("EURUSD",)


def test_every_currency_and_the_first_symbols_of_it_are_named():
    market = universe(
        [
            *(Instrument(symbol=f"A{n}", settlement="USDT") for n in range(2)),
            *(Instrument(symbol=f"B{n}", settlement="BTC") for n in range(8)),
            Instrument(symbol="C", settlement="ETH"),
        ]
    )
    with pytest.raises(DataError) as refused:
        expect_one_currency(market)
    text = str(refused.value)
    assert "B0, B1, B2, B3, B4 and 3 more in BTC; C in ETH" in text
    assert "kept in USDT" in text
    assert refused.value.exit_code == 3
    expect_one_currency(universe(market.instruments[:2]))
