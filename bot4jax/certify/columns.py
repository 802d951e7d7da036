"""Every column that features read, in float64 NumPy, from a recording of bars.

Written from the columns' meanings, not from `kernels.history`: whole recordings at
once, prices as prices, logarithms as logarithms.
"""

from math import erf
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from bot4jax.types import Bar

QUEUES = [
    "bid_size",
    "ask_size",
    "flow",
    "flow_2",
    "flow_3",
    "flow_4",
    "flow_5",
    "bid_added",
    "bid_removed",
    "ask_added",
    "ask_removed",
    "inferred_cancels",
    "bid_depth_5",
    "ask_depth_5",
    "bid_depth_10",
    "ask_depth_10",
    "buy_volume",
    "sell_volume",
]
AS_THEY_ARE = [
    "trade_count",
    "quote_updates",
    "best_changes",
    "live",
    "best_lifetime",
    "time_at_minimum_spread",
    "effective_spread",
    "realised_spread",
    "price_impact",
]


class Columns:
    """The columns of a recording `[T, S]`; see `history.COLUMNS` for what they mean."""

    def __init__(
        self, bars: Bar, returns: np.ndarray, volume: np.ndarray, levels: np.ndarray
    ) -> None:
        exact: list[Any] = [np.asarray(column, np.float64) for column in bars]
        own = Bar(*exact)
        self.bars = own._replace(live=(own.live > 0).astype(np.float64))
        self.scale = returns.astype(np.float64)
        self.lot = volume.astype(np.float64)
        self.levels = levels.astype(np.float64)
        self.price = self._price(self.bars.mid_close)
        self.age = self._age()
        self.by_name = self._own() | self._ranges() | self._spreads()
        self.by_name |= self._trade_returns()
        self.by_name |= self._flows()
        self.by_name |= self._across()

    def window(self, name: str, symbol: int, stop: int, length: int) -> np.ndarray:
        """`length` bars of one symbol, the last of them bar `stop − 1`.

        `high_price`, `low_price`, `close_price` and `anchor` are for oracles, in
        increments.
        """
        part, _, kind = name.partition("_")
        if kind in ("path", "price"):
            mids = getattr(self.bars, f"mid_{part}")
            prices = self._price(mids)[stop - length : stop, symbol]
            if kind == "path":
                return prices / self.price[stop - 1, symbol] - 1
            return prices
        return self.by_name[name][stop - length : stop, symbol]

    def _price(self, mids):
        return self.bars.anchor + mids / 2

    def _age(self):
        """Bars since a symbol was first live, that bar included."""
        return np.cumsum(np.cumsum(self.bars.live, 0) > 0, 0)

    @property
    def silent(self):
        """Bars since a symbol was last live, 0 in a bar in which it is."""
        bar = np.arange(len(self.bars.live))[:, None]
        last = np.maximum.accumulate(np.where(self.bars.live > 0, bar, -1), 0)
        return bar - last

    def _since_the_bar_before(self, prices):
        """Log return on the bar before; 0 in a symbol's first bar and before it."""
        change = np.zeros_like(prices)
        change[1:] = np.log(prices[1:] / prices[:-1])
        return np.where(self.age > 1, change, 0.0)

    def _own(self):
        bars = self.bars
        log_return = self._since_the_bar_before(self.price)
        over = {
            name: np.log(self._price(mid) / self.price)
            for name, mid in (
                ("open", bars.mid_open),
                ("high", bars.mid_high),
                ("low", bars.mid_low),
            )
        }
        sided = bars.buy_count + bars.sell_count
        columns = {name: getattr(bars, name) for name in AS_THEY_ARE}
        columns |= {name: getattr(bars, name) / self.lot for name in QUEUES}
        return columns | {
            "anchor": bars.anchor,
            "log_return": log_return,
            "standardised_return": log_return / self.scale,
            "open_over_close": over["open"],
            "high_over_close": over["high"],
            "low_over_close": over["low"],
            "previous_over_close": -log_return,
            "standardised_range": (over["high"] - over["low"]) / self.scale,
            "standardised_body": -over["open"] / self.scale,
            "volume": bars.base_turnover / self.lot,
            "signed_volume": (bars.buy_volume - bars.sell_volume) / self.lot,
            "signed_count": bars.buy_count - bars.sell_count,
            "sided_count": sided,
            "earlier_sided_count": np.vstack([0 * sided[:1], sided[:-1]]),
            "follows": (self.age > 1).astype(float),
            "signed_root_notional": bars.signed_root_notional
            / np.sqrt(bars.anchor * self.lot),
            "squared_return_fast": bars.squared_return_fast / self.scale**2,
            "squared_return_slow": bars.squared_return_slow / self.scale**2,
        }

    def _ranges(self):
        """Wilder's movements and true range, place of the close, signed turnover."""
        bars = self.bars
        high, low = self._price(bars.mid_high), self._price(bars.mid_low)
        close, known = self.price, self.age > 1
        up, down = high - earlier(high), earlier(low) - low
        gaps = np.stack([high, low]) - earlier(close)
        reach = np.maximum(high - low, np.abs(gaps).max(0))
        place = (2 * close - high - low) / np.where(high > low, high - low, np.inf)
        total = high + low + close
        turn = np.sign(total - earlier(total)) * total / 3 / bars.anchor
        return {
            "directional_rise": known * np.where((up > down) & (up > 0), up, 0) / close,
            "directional_fall": known
            * np.where((down > up) & (down > 0), down, 0)
            / close,
            "true_range": known * reach / close,
            "close_location": place,
            "money_flow": known * turn * bars.base_turnover / self.lot,
        }

    def _flows(self):
        """Levels of the book in one, and trades without aggressors by their return."""
        bars = self.bars
        flows = (bars.flow, bars.flow_2, bars.flow_3, bars.flow_4, bars.flow_5)
        told = bars.buy_volume + bars.sell_volume
        unknown = np.maximum(bars.base_turnover - told, 0)
        unknown[unknown < 1e-5 * bars.base_turnover] = 0
        bought = normal_share(self.by_name["standardised_return"] / np.sqrt(2))
        net = bars.buy_volume - bars.sell_volume + unknown * (2 * bought - 1)
        return {
            "integrated_flow": np.tensordot(self.levels, np.stack(flows), 1) / self.lot,
            "classified_volume": net / self.lot,
        }

    def _trade_returns(self):
        """Log returns of trade prices between bars that traded, symbol by symbol."""
        bars = self.bars
        now, earlier, pairs = (np.zeros_like(self.price) for _ in range(3))
        for slot in range(self.price.shape[1]):
            (traded,) = np.nonzero(bars.trade_count[:, slot])
            prices = (bars.anchor + bars.trade_close)[traded, slot]
            moves = np.diff(np.log(prices))
            now[traded[1:], slot] = moves
            earlier[traded[2:], slot] = moves[:-1]
            pairs[traded[2:], slot] = 1
        known = self.age > 1
        return {
            "trade_return": known * now,
            "earlier_trade_return": known * earlier,
            "trade_pair": known * pairs,
        }

    def _spreads(self):
        bars = self.bars
        spread = bars.ask - bars.bid
        both = bars.bid_size + bars.ask_size
        # The microprice weighs each side's price by the other side's size.
        lean = np.where(both > 0, bars.bid_size / np.where(both > 0, both, 1), 0.5)
        micro = bars.anchor + bars.bid + spread * lean
        volume = bars.base_turnover
        vwap = earlier(self.price) + bars.vwap_offset / np.where(volume > 0, volume, 1)
        known = (volume > 0) & (self.age > 1)
        return {
            "relative_spread": spread / self.price,
            "microprice_offset": micro / self.price - 1,
            "vwap_deviation": np.where(known, vwap / self.price - 1, 0.0),
            "notional": np.where(known, vwap, self.price)
            * volume
            / (bars.anchor * self.lot),
        }

    def _across(self):
        live, own = np.asarray(self.bars.live), self.by_name
        returns = np.where(live > 0, own["log_return"], 0.0)
        z = np.where(live > 0, own["standardised_return"], 0.0)
        number = live.sum(1, keepdims=True)
        centre = z.sum(1, keepdims=True) / np.maximum(number, 1)
        square = ((z - centre) ** 2 * live).sum(1, keepdims=True)
        spread = np.sqrt(square / np.maximum(number, 1))
        others = returns.sum(1, keepdims=True) - returns
        return {
            "market_return": others / np.maximum(number - live, 1),
            "return_rank": ranks(own["log_return"], live > 0),
            "volume_rank": ranks(own["volume"], live > 0),
            "dispersion": np.broadcast_to(spread, live.shape),
        }


def earlier(column):
    """The same column one bar before; the first bar twice."""
    return np.vstack([column[:1], column[:-1]])


def ranks(
    values: Float[np.ndarray, "T S"], live: Bool[np.ndarray, "T S"]
) -> Float[np.ndarray, "T S"]:
    """Share of the live symbols below, ties counted half, less a half; 0 if dead.

    A rank is no continuous function: values that float32 cannot tell apart are ties.
    """
    found = np.zeros(values.shape)
    for t, here in enumerate(live):
        _, place, count = np.unique(
            values[t, here].astype(np.float32), return_inverse=True, return_counts=True
        )
        below = np.cumsum(count) - count
        found[t, here] = (below + count / 2)[place] / max(here.sum(), 1) - 0.5
    return found


@np.vectorize
def normal_share(value: float) -> float:
    """Share of a normal distribution below √2 × the value."""
    return (1 + erf(value)) / 2
