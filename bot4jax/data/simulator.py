"""A market of our own making, read like any other source, whose truth we know.

The hidden path is drawn once (`latent`); the ticks of a bar are drawn when asked for
(`tape`), each bar from its own stream, so that any bar can be had alone and one seed is
one market, byte for byte. Whatever is computed from it must be marked as simulated.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.data import latent, quotes, tape
from bot4jax.data.source import BarBlock, DataError
from bot4jax.data.universe import Universe, universe
from bot4jax.types import HALTED, QUOTE, TICK, TRADING, Bar, Frame, Instrument

START_NS = 1_704_067_200 * 1_000_000_000
"""2024-01-01 00:00 UTC"""
PUBLISHER = EPOCH = 1
TRANSIT_NS = 1_000_000
"""from the event of a frame's last record to its sending"""
PRICES = (5.0, 500.0)
DEPTHS = (2_000.0, 20_000.0)
"""US dollars in a typical best queue"""
LEAST_SHARE = 5 / 6
"""of the mean number of ticks, that every bar and symbol has at least"""


class Listings(NamedTuple):
    """What is listed; all `[S]`."""

    price: Float[np.ndarray, " S"]
    """at the start, US dollars"""
    increment: Float[np.ndarray, " S"]
    """US dollars"""
    lot: Float[np.ndarray, " S"]
    """base units"""
    depth: Float[np.ndarray, " S"]
    """median size of a best queue, lots"""


class Simulator:
    """A simulated market of quotes, trades, book levels and halts, as a `Source`.

    Args:
      symbols, bars: size of the market.
      seed: the market's identity.
      bar_seconds: length of a bar.
      ticks_per_bar: mean number of ticks of a symbol in a bar at normal activity.
      volatility_bps: root mean square of a bar's log return.
      predictive_r2: share of the next bar's variance that the hidden imbalance
        explains; 0 makes prices a martingale and leaves everything else as it is.
      contemporaneous_r2: squared correlation of a bar's return with its order flow.
      spread_bps: one price increment, about; most quotes are one increment wide.
      halts, jumps: whether symbols halt now and then, and prices jump.
      stochastic_volatility: whether volatility follows regimes and moves by itself.
      taker_fee_bps: fee of every instrument.
    """

    universe: Universe
    columns = Bar._fields
    simulated = True
    has_ticks = True
    start_ns = START_NS

    def __init__(
        self,
        symbols: int = 1024,
        bars: int = 1700,
        seed: int = 0,
        bar_seconds: float = 1.0,
        ticks_per_bar: float = 12.0,
        volatility_bps: float = 4.0,
        predictive_r2: float = 0.01,
        contemporaneous_r2: float = 0.4,
        spread_bps: float = 1.0,
        halts: bool = True,
        jumps: bool = True,
        stochastic_volatility: bool = True,
        taker_fee_bps: float = 0.05,
    ) -> None:
        positive = {
            "symbols": symbols,
            "bars": bars,
            "bar_seconds": bar_seconds,
            "ticks_per_bar": ticks_per_bar,
            "volatility_bps": volatility_bps,
            "spread_bps": spread_bps,
        }
        check_positive(positive)
        self.seed = seed
        self.bar_count = bars
        self.bar_ns = round(bar_seconds * 1e9)
        self.law = latent.dynamics(
            predictive_r2,
            contemporaneous_r2,
            volatility_bps * 1e-4,
            stochastic_volatility,
            jumps,
            halts,
        )
        self.latent = latent.draw_latent(self.law, seed, bars, symbols)
        self.listings = draw_listings(latent.generator(seed, 8), symbols, spread_bps)
        self.universe = universe(instruments(self.listings, taker_fee_bps))
        least = max(1, round(ticks_per_bar * LEAST_SHARE))
        self.counts = tape.tick_counts(
            least, ticks_per_bar, self.latent.activity, latent.generator(seed, 9)
        )
        self.edges = quotes.draw_edges(
            latent.generator(seed, 10),
            self.latent,
            self.law,
            self.listings.price / self.listings.increment,
            self.listings.depth,
        )
        self.mids = quotes.shown_mids(self.edges, self.halted)
        self.anchors = self.mids[0] // 2
        self.sequence = first_records(self.counts, self.halted)

    @property
    def regimes(self) -> Int[np.ndarray, " T"]:
        """The true regime of every bar; names in `latent.REGIMES`."""
        return self.latent.regimes

    @property
    def halted(self) -> Bool[np.ndarray, "T S"]:
        """Whether the symbol is silent for the whole bar."""
        return self.latent.halted

    def ticks(self, bar: int) -> np.ndarray:
        """`TICK` records of one bar, in order of event time."""
        self._check(bar, bar + 1)
        open_ns = self.start_ns + bar * self.bar_ns
        halted = self.halted[bar]
        before = self.halted[bar - 1] if bar else np.zeros_like(halted)
        trades = np.flatnonzero(~halted)
        records, openings = tape.bar_ticks(
            latent.generator(self.seed, 11, bar),
            self._edge(bar, trades),
            self._edge(bar + 1, trades),
            self._span(bar, trades, before[trades]),
            open_ns,
            self.bar_ns,
        )
        if bar:  # the previous bar's closing quotes are still shown
            is_new = np.ones(len(records), bool)
            is_new[openings] = False
            records = records.take(np.flatnonzero(is_new))
        if np.any(halted != before):
            stops = np.flatnonzero(halted & ~before)
            resumes = np.flatnonzero(before & ~halted)
            stopped = tape.status_records(stops, HALTED, open_ns)
            resumed = tape.status_records(resumes, TRADING, open_ns)
            records = np.concatenate([stopped, resumed, records])
        return tape.in_time(records, open_ns, int(self.sequence[bar]))

    def entry_mids(
        self, bar: int, latency_fraction: float
    ) -> tuple[Int[np.ndarray, " S"], Bool[np.ndarray, " S"]]:
        """The mids that stand at this share of the bar, half increments.

        Those of the last quote until then, the one that the bar before closed with
        included: an order that arrives meets what is shown. The second array says who
        trades in the bar at all.
        """
        records = self.ticks(bar)
        until = self.start_ns + bar * self.bar_ns + int(latency_fraction * self.bar_ns)
        stood = records[(records["kind"] == QUOTE) & (records["event_ns"] <= until)]
        mids = self.mids[bar].copy()
        mids[stood["symbol"]] = stood["a"] + stood["b"]  # the last in time stays
        return mids, ~self.halted[bar]

    def frames(
        self, first: int, stop: int, frame_records: int = 256
    ) -> Iterator[Frame]:
        """Ticks of the bars `first … stop − 1`, and the heartbeat that closes them.

        A frame never spans two bars; `frame_records` is the most it holds.
        """
        self._check(first, stop)
        for bar in range(first, stop):
            records = self.ticks(bar)
            for at in range(0, len(records), frame_records):
                part = records[at : at + frame_records]
                sent = int(part["event_ns"][-1]) + TRANSIT_NS
                sequence = int(self.sequence[bar]) + at
                yield Frame(PUBLISHER, EPOCH, sequence, sent, part)
        close = self.start_ns + stop * self.bar_ns
        nothing = np.zeros(0, TICK)
        yield Frame(PUBLISHER, EPOCH, int(self.sequence[stop]), close, nothing)

    def bars(self, first: int, stop: int) -> Iterator[BarBlock]:
        """Refused: this source has ticks."""
        raise DataError("The simulator has ticks: read frames(), not bars().")

    def _check(self, first: int, stop: int) -> None:
        if not 0 <= first <= stop <= self.bar_count:
            raise ValueError(
                f"Bars {first} … {stop} were asked for; the simulator holds 0 …"
                f" {self.bar_count}: raise `bars` or ask for fewer."
            )

    def _edge(self, boundary: int, rows: Int[np.ndarray, " S"]) -> quotes.Edge:
        return quotes.Edge(*(column[boundary, rows] for column in self.edges))

    def _span(
        self, bar: int, rows: Int[np.ndarray, " S"], reopens: Bool[np.ndarray, " S"]
    ) -> tape.Span:
        price = self.edges.price[bar, rows]
        volatility = self.latent.volatility[bar, rows]
        diffusion = (1 - self.law.link**2) ** 0.5
        return tape.Span(
            symbol=rows,
            count=self.counts[bar, rows].astype(np.int64),
            deviation=diffusion * volatility * price,
            jump=self.latent.jump[bar, rows] * price,
            flow=self.latent.flow[bar, rows],
            activity=self.latent.activity[bar, rows],
            wide=quotes.wide_chance(volatility, self.law.reference),
            depth=self.listings.depth[rows].astype(np.float32),
            reopens=reopens,
        )


def check_positive(arguments: dict[str, float]) -> None:
    """Raise, naming every argument that is not a positive number."""
    wrong = [f"{name}={value}" for name, value in arguments.items() if not value > 0]
    if wrong:
        raise ValueError(f"Must be above 0, found {', '.join(wrong)}.")


def draw_listings(
    rng: np.random.Generator, symbols: int, spread_bps: float
) -> Listings:
    """Prices and depths, log-uniform; an increment is about `spread_bps` of the price.

    A lot is a power of ten base units, worth 1 … 10 dollars.
    """
    price = log_uniform(rng, *PRICES, symbols)
    increment = nice(price * spread_bps * 1e-4)
    lot = 10.0 ** -np.floor(np.log10(price))
    dollars = log_uniform(rng, *DEPTHS, symbols)
    return Listings(price, increment, lot, dollars / (price * lot))


def log_uniform(
    rng: np.random.Generator, low: float, high: float, symbols: int
) -> Float[np.ndarray, " S"]:
    """Values between the bounds, each factor as likely as any other."""
    return np.exp(rng.uniform(np.log(low), np.log(high), symbols))


def nice(values: Float[np.ndarray, " S"]) -> Float[np.ndarray, " S"]:
    """The nearest 1, 2 or 5 times a power of ten, by ratio."""
    exponent = np.floor(np.log10(values)).astype(int)
    steps = np.array([1.0, 2.0, 5.0, 10.0])
    ratio = np.log(values / 10.0**exponent)
    step = np.abs(ratio[:, None] - np.log(steps)).argmin(axis=1)
    text = [f"{steps[i]:.0f}e{k}" for i, k in zip(step, exponent, strict=True)]
    return np.array(text, dtype=float)  # 5e-4 exactly, as 5 * 10**-4 is not


def instruments(listings: Listings, taker_fee_bps: float) -> list[Instrument]:
    """The listings as spot instruments with invented names."""
    return [
        Instrument(
            symbol=f"SIM{number:04d}",
            base=f"SIM{number:04d}",
            increment=float(increment),
            lot=float(lot),
            minimum_notional=10.0,
            taker_fee=taker_fee_bps * 1e-4,
        )
        for number, (increment, lot) in enumerate(
            zip(listings.increment, listings.lot, strict=True)
        )
    ]


def first_records(
    counts: Int[np.ndarray, "T S"], halted: Bool[np.ndarray, "T S"]
) -> Int[np.ndarray, "T+1"]:
    """Sequence number of each bar's first record, and of the one after the last bar."""
    ticks = (counts * ~halted).sum(axis=1, dtype=np.int64)
    ticks[0] += (~halted[0]).sum()
    ticks[1:] += (halted[1:] != halted[:-1]).sum(axis=1)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(ticks)])
