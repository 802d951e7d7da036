"""What trades, as the configuration asks for it: venue, decider, account and loop."""

from collections.abc import Callable

from bot4jax.learn.borrowing import daily_rates
from bot4jax.modes.keeping import Kept
from bot4jax.modes.setting import Setting, account_currency
from bot4jax.runtime.account import Account
from bot4jax.runtime.brackets import Distances
from bot4jax.runtime.decider import Decider, Memory, Remembered
from bot4jax.runtime.fallback import Glanced
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.limits import Limits
from bot4jax.runtime.loop import Trader
from bot4jax.runtime.portfolio import Portfolio
from bot4jax.runtime.sessions import days
from bot4jax.runtime.states import States
from bot4jax.runtime.stepped import Stepped
from bot4jax.runtime.targets import Tactic
from bot4jax.runtime.venue import PaperVenue, configured
from bot4jax.runtime.venue_link import VenueLink
from bot4jax.schema.trading import Execution

CURVE_ROWS = 65_536
"""Newest boundaries that the worth is remembered at of a live run, which may outlast
its test span, and of its replay, which has its configuration: 18 h of seconds."""


def paper_venue(setting: Setting) -> PaperVenue:
    """The venue that the configuration describes."""
    return configured(setting.source.universe, setting.config.venue)


def make_trader(
    setting: Setting,
    kept: Kept,
    venue: VenueLink,
    journal: Journal,
    publish: Callable[[Stepped], None],
) -> Trader:
    """The trading loop at the checkpoint's bar."""
    past = journal.transitions()
    day_of = days(setting.source.universe)
    states = States(journal.note, past, max(journal.last_step, 0), day_of)
    return Trader(
        make_decider(setting, kept),
        make_account(setting, journal.run, states),
        venue,
        journal,
        publish,
        setting.source.bar_ns,
        adopts=setting.config.runtime.foreign == "adopt",
    )


def make_decider(setting: Setting, kept: Kept) -> Decider:
    """What decides, as the checkpoint left it."""
    state, units, engine = kept.state, kept.params.units, setting.engine
    memory = Memory(
        Remembered(units, state.observing, state.deciding),
        Glanced(units, engine.apart(state.observing)),
    )
    return Decider(engine, kept.params, memory, len(setting.settings.members))


def make_account(setting: Setting, run: str, states: States) -> Account:
    """The configured capital and limits, before the first order."""
    config, source = setting.config, setting.source
    capital, base = config.strategy.capital, account_currency(source.universe)
    rows = len(setting.split.test) + 1  # one more at the end of them
    rows = CURVE_ROWS if config.mode == "live" else rows
    borrow = daily_rates(source.universe.instruments, config.venue.borrow)
    return Account(
        universe=source.universe,
        portfolio=Portfolio(
            source.universe,
            capital,
            base,
            rows=rows,
            borrow=borrow,
            horizon=setting.settings.layout.horizon,
        ),
        limits=Limits.from_config(config.risk),
        run=run,
        states=states,
        tactic=tactic(setting),
        slices=config.execution.slices,
        distances=distances(config.execution),
        dedupes=config.venue.dedupes,
        prevents_self_trades=config.venue.prevents_self_trades,
    )


def distances(own: Execution) -> Distances:
    """Of the orders that protect every position."""
    return Distances(own.stop_bps, own.profit_bps, own.stop_limit_bps)


def tactic(setting: Setting) -> Tactic:
    """How targets are asked for; bars alone show no quote that an order could name."""
    own, source = setting.config.execution, setting.source
    if not source.has_ticks:
        return Tactic("market")
    if own.kind in ("limit", "post_only"):
        rest_ns = own.rest_bars * source.bar_ns
        return Tactic("limit", is_passive=own.kind == "post_only", rest_ns=rest_ns)
    if own.kind == "market":
        return Tactic("ioc", is_pressing=True)
    return Tactic(own.kind)
