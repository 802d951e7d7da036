"""Bars by hand: dictionaries, Python integers and floats, one tick after the other."""

import math

from bot4jax.types import BOOK, BUY, FRACTION, QUOTE, SELL, STATUS, TRADE


class SlowBars:
    """One symbol's bars; `tick` takes a dictionary, `close` returns one."""

    def __init__(self, anchor, latency):
        self.anchor, self.latency = anchor, latency
        self.quote = None  # bid, ask, bid size, ask size
        self.levels, self.trades = {}, []
        self.status, self.reference = 0, 0
        self.bid_since = self.ask_since = 0
        self.earlier = None
        self.start()

    def start(self):
        mid = self.quote[0] + self.quote[1] if self.quote else 0
        last = self.trades[-1] if self.trades else 0
        self.ints = dict.fromkeys(
            [
                "buy_count",
                "sell_count",
                "trade_count",
                "quote_updates",
                "best_changes",
                "late",
                "conflated",
            ],
            0,
        )
        self.sums = dict.fromkeys(
            [
                "buy_volume",
                "sell_volume",
                "base_turnover",
                "quote_turnover",
                "vwap_offset",
                "flow",
                "flow_2",
                "flow_3",
                "flow_4",
                "flow_5",
                "signed_root_notional",
                "effective_spread",
                "squared_return_fast",
                "squared_return_slow",
                "bid_added",
                "bid_removed",
                "ask_added",
                "ask_removed",
            ],
            0.0,
        )
        self.unsided = 0.0
        self.mids = [mid] if self.quote else []
        self.entry = mid if self.quote else None
        self.traded = []
        self.last_trade = last
        self.received = 0
        self.narrow = 0
        self.quote_time = 0
        self.signed = []

    def tick(self, t):
        self.received += 1
        self.ints["late"] += t["flags"] & 1
        self.ints["conflated"] += t["flags"] >> 1 & 1
        kinds = {QUOTE: self.on_quote, TRADE: self.on_trade, BOOK: self.on_book}
        if t["kind"] == STATUS:
            self.status = t["bid"]
        else:
            kinds[t["kind"]](t)

    def on_quote(self, t):
        bid, ask, bid_size, ask_size = t["bid"], t["ask"], t["bid_size"], t["ask_size"]
        self.ints["quote_updates"] += 1
        if self.quote:
            old_bid, old_ask, old_bid_size, old_ask_size = self.quote
            bid_in, bid_out = queue(bid, bid_size, old_bid, old_bid_size)
            ask_in, ask_out = queue(-ask, ask_size, -old_ask, old_ask_size)
            self.sums["bid_added"] += bid_in
            self.sums["bid_removed"] += bid_out
            self.sums["ask_added"] += ask_in
            self.sums["ask_removed"] += ask_out
            # Cont, Kukanov & Stoikov, equation 3, as printed.
            self.sums["flow"] += (
                (bid >= old_bid) * bid_size
                - (bid <= old_bid) * old_bid_size
                - (ask <= old_ask) * ask_size
                + (ask >= old_ask) * old_ask_size
            )
            self.ints["best_changes"] += (bid != old_bid) + (ask != old_ask)
            if old_ask - old_bid == 1:
                self.narrow += max(t["time"] - self.quote_time, 0)
        if not self.quote or bid != self.quote[0]:
            self.bid_since = t["time"]
        if not self.quote or ask != self.quote[1]:
            self.ask_since = t["time"]
        self.quote, self.quote_time = (bid, ask, bid_size, ask_size), t["time"]
        self.mids.append(bid + ask)
        if self.entry is None or t["time"] <= self.latency:
            self.entry = bid + ask

    def on_trade(self, t):
        price, volume = self.anchor + t["bid"], t["bid_size"]
        sign = {BUY: 1, SELL: -1}.get(t["side"], 0)
        self.ints["trade_count"] += 1
        self.ints["buy_count"] += sign == 1
        self.ints["sell_count"] += sign == -1
        self.sums["buy_volume"] += volume * (sign == 1)
        self.sums["sell_volume"] += volume * (sign == -1)
        self.sums["base_turnover"] += volume
        self.unsided += volume * (sign == 0)
        self.sums["quote_turnover"] += price * volume
        self.sums["vwap_offset"] += (t["bid"] - self.reference / 2) * volume
        self.sums["signed_root_notional"] += sign * math.sqrt(price * volume)
        if t["level"] or self.quote:
            before = t["ask"] if t["level"] else self.quote[0] + self.quote[1]
            mid = self.anchor + before / 2
            self.sums["effective_spread"] += 2 * sign * (price - mid) / mid
        self.signed.append((sign, price))
        for name, back, share in (("fast", 1, 1), ("slow", 5, 5)):
            if len(self.trades) >= back:
                r = math.log(price / (self.anchor + self.trades[-back]))
                self.sums[f"squared_return_{name}"] += r * r / share
        self.trades.append(t["bid"])
        self.traded.append(t["bid"])

    def on_book(self, t):
        key = t["side"], t["level"]
        sign = 1 if t["side"] == BUY else -1
        if key in self.levels and 1 <= t["level"] <= 4:
            old_price, old_size = self.levels[key]
            came, left = queue(
                sign * t["bid"], t["bid_size"], sign * old_price, old_size
            )
            self.sums[f"flow_{t['level'] + 1}"] += sign * (came - left)
        self.levels[key] = t["bid"], t["bid_size"]

    def cancels(self):
        """Of an unknown aggressor's volume it is not known which queue it hit."""
        s = self.sums
        bids = max(s["bid_removed"] - s["sell_volume"], 0)
        asks = max(s["ask_removed"] - s["buy_volume"], 0)
        return max(bids + asks - self.unsided, 0)

    def depth(self, side, levels):
        best = self.quote[2 if side == BUY else 3] if self.quote else 0.0
        sizes = [self.levels.get((side, k), (0, 0.0))[1] for k in range(1, levels)]
        return best + sum(sizes)

    def close(self):
        bid, ask, bid_size, ask_size = self.quote or (0, 0, 0.0, 0.0)
        mid = bid + ask
        price = self.anchor + mid / 2
        if self.quote and ask - bid == 1:
            self.narrow += FRACTION - self.quote_time
        realised = sum(2 * s * (p - price) / price for s, p in self.earlier or [])
        impact = (self.earlier_effective if self.earlier else 0.0) - realised
        traded = self.traded or [self.last_trade]
        s = self.sums
        bar = (
            self.ints
            | s
            | {
                "mid_open": self.mids[0] if self.mids else 0,
                "mid_high": max(self.mids, default=0),
                "mid_low": min(self.mids, default=0),
                "mid_close": mid,
                "mid_entry": self.entry or 0,
                "bid": bid,
                "ask": ask,
                "trade_open": traded[0],
                "trade_high": max(traded),
                "trade_low": min(traded),
                "trade_close": self.trades[-1] if self.trades else 0,
                "live": int(bool(self.received and self.quote and self.status == 0)),
                "anchor": self.anchor,
                "bid_size": bid_size,
                "ask_size": ask_size,
                "realised_spread": realised,
                "price_impact": impact,
                "inferred_cancels": self.cancels(),
                "best_lifetime": (FRACTION - min(self.bid_since, self.ask_since))
                / FRACTION,
                "time_at_minimum_spread": self.narrow / FRACTION,
                "bid_depth_5": self.depth(BUY, 5),
                "ask_depth_5": self.depth(SELL, 5),
                "bid_depth_10": self.depth(BUY, 10),
                "ask_depth_10": self.depth(SELL, 10),
                "adjustment": 1.0,
            }
        )
        self.earlier, self.earlier_effective = self.signed, s["effective_spread"]
        self.bid_since -= FRACTION
        self.ask_since -= FRACTION
        self.reference = mid
        self.start()
        return bar


def queue(price, size, old_price, old_size):
    """Size that joined and left; a better price is a new queue."""
    if price > old_price:
        return size, 0.0
    if price < old_price:
        return 0.0, old_size
    return max(size - old_size, 0.0), max(old_size - size, 0.0)
