"""A live run's part in the rollout of its strategy.

A run keeps the phase it began in: what it shows lets the next one go further. What is
broken sends the strategy back at once, and this run asks for nothing more that opens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bot4jax.config import run_folder
from bot4jax.errors import Halted
from bot4jax.modes import evidence, phases, standing
from bot4jax.modes.keeping import SEEDED, Kept
from bot4jax.modes.phases import Evidence, Phase
from bot4jax.modes.setting import Setting
from bot4jax.modes.standing import Move, Standing
from bot4jax.runtime.equity import EquityRow
from bot4jax.runtime.loop import Trader
from bot4jax.runtime.sessions import days
from bot4jax.runtime.states import Cause
from bot4jax.runtime.stepped import Stepped
from bot4jax.runtime.venue_messages import Statement
from bot4jax.schema import Config


@contextmanager
def rolled_out(config: Config, model: Path) -> Iterator["Rollout"]:
    """This run's part, with its strategy's file held."""
    with standing.held(config, model) as found:
        yield Rollout(config, found)


def begun_in(config: Config, found: Standing) -> Phase:
    """The phase of a run: the one it began in, or, of a new one, the strategy's."""
    run = name_of(config)
    if not config.run.fresh and run in found.runs and standing.goes_on(run):
        return found.runs[run]
    most = Phase.PAPER if config.data.source in SEEDED else Phase.FULL
    return min(found.phase, Phase(config.rollout.most), most, key=lambda one: one.rank)


def name_of(config: Config) -> str:
    """What a run is known by: where its folder lies."""
    return str(run_folder(config).resolve())


class Rollout:
    """What a run shows, step by step, and what follows from it."""

    def __init__(self, config: Config, found: Standing) -> None:
        self._rules, self._path = config.rollout, standing.file_of(config)
        self._run, self._bar_s = name_of(config), config.data.bar_seconds
        self.phase = begun_in(config, found)
        self._own = found.begun(self._run, self.phase)
        self.config = self._funded(config)
        """with as much capital as the phase lets it have"""
        self._trips: int | None = None
        self._row: EquityRow | None = None
        self._is_behind_market = True
        self._judged = self._findings()

    def join(self, setting: Setting, kept: Kept, trader: Trader) -> None:
        """Before the first step, in a folder that is the run's: what the phase
        forbids, as the file has it, whatever a journal says."""
        standing.write(self._path, self._own)
        self._setting, self._trader = setting, trader
        self._threshold = float(kept.params.threshold)
        self._window = evidence.Window(setting.settings.layout.horizon)
        self._day_of = days(setting.source.universe)
        trader.admit = self.admit
        states = trader.account.states
        if self.phase is Phase.SHADOW:
            states.hold(Cause.SHADOW, "nothing leaves before forecasts are proven")
        else:
            states.lift(Cause.SHADOW, f"the run is in its {self.phase} phase")
        if self._is_behind:
            states.hold(Cause.DEMOTED, f"the strategy is in {self._own.phase} now")
        else:
            states.lift(Cause.DEMOTED, "the run's phase is the strategy's")

    def admit(self, found: Statement) -> None:
        """Raise `Halted` for a venue that is not one of the phase."""
        if self.phase is Phase.SHADOW or self.phase.is_real != found.is_paper:
            return
        is_, wanted = ("paper", "a real") if found.is_paper else ("real", "a paper")
        raise Halted(
            f"The rollout in {self._path} is in its {self.phase} phase, which trades "
            f"at {wanted} venue, and this one is {is_}. Start a venue of the phase, "
            "or keep new runs in an earlier one by rollout.most."
        )

    def see(self, stepped: Stepped) -> None:
        """A new step: what it shows is kept, and the phase judged by it.

        Nothing counts before the process has caught up with its market for the first
        time, nor once the strategy's phase is no longer this run's, nor of a time of
        the market that has counted already.
        """
        account, row = self._trader.account, stepped.equity
        portfolio = account.portfolio
        before, self._row = self._row or row, row
        trips, self._trips = self._trips, portfolio.trips
        self._is_behind_market &= account.states.is_held(Cause.TOO_LATE)
        is_known = row.boundary_ns <= self._own.through_ns
        if self._is_behind_market or is_known or self._own.phase is not self.phase:
            return
        window = self._window.add(stepped)
        took_ms = self._trader.stages.newest("decision")
        values = {"slow": float(took_ms > self._rules.slowest_ms)}
        if self.phase is not Phase.SHADOW:
            values |= evidence.of_orders(stepped.answers, portfolio.working.by_id)
            values |= evidence.of_fills(before, row)
        came, bars = np.array(self._own.came), 0
        if window:
            judged, new = evidence.of_forecasts(
                self._setting, self._threshold, window, came
            )
            values |= judged
            came, bars = came + new, len(window) - 1 if judged else 0
        seen = phases.lived(
            phases.seen(self._rules, self._own.of(self.phase), values),
            bars=bars,
            day=self._day_of(row.boundary_ns),
            trips=0 if trips is None else portfolio.trips - trips,
        )
        self._own = self._own.but(
            evidence={**self._own.evidence, self.phase: seen},
            came=tuple(came.tolist()),
            through_ns=row.boundary_ns,
        )
        self._judge(row)
        self._renew()
        standing.write(self._path, self._own)
        if self._is_behind:  # by now the file says so, whatever happens here
            why = self._own.moves[-1].text
            account.states.hold(Cause.DEMOTED, why)

    def told(self) -> dict[str, Any]:
        """For `summary.json`; gates as they were when the phase was judged last."""
        found, left = self._judged
        return {
            "phase": self.phase.value,
            "next": self._own.phase.value,
            "wanting": [one._asdict() for one in left],
            "gates": [one._asdict() for one in found],
            "moves": [msgspec.to_builtins(one) for one in self._own.moves],
        }

    def sentences(self) -> Iterator[str]:
        """For people: where it stands, and what is missing."""
        found, left = self._judged
        yield f"rollout: {self.phase}; the next run begins in {self._own.phase}"
        for one in (*left, *found):
            yield f"rollout: {one.sentence}"

    @property
    def _is_behind(self) -> bool:
        """The strategy has gone back behind the phase of this run."""
        return self._own.phase.rank < self.phase.rank

    def _renew(self) -> None:
        """In full, what came long ago must not hide what comes now."""
        lasts = max(self._rules.paper_days, 1)
        if self.phase is Phase.FULL and self._own.of(Phase.FULL).days > lasts:
            kept = {**self._own.evidence, Phase.FULL: Evidence()}
            self._own = self._own.but(evidence=kept)

    def _funded(self, config: Config) -> Config:
        if self.phase is not Phase.CANARY:
            return config
        share = self._rules.canary_share
        capital = config.strategy.capital * share
        strategy = msgspec.structs.replace(config.strategy, capital=capital)
        return msgspec.structs.replace(config, strategy=strategy)

    def _findings(self) -> tuple[list[phases.Finding], list[phases.Wanting]]:
        own, on_paper = self._own.of(self.phase), self._own.of(Phase.PAPER)
        found = phases.findings(self._rules, self.phase, own, on_paper)
        return found, phases.wanting(self._rules, self.phase, own, self._bar_s)

    def _judge(self, row: EquityRow) -> None:
        """Go on, or back, if that is what was shown."""
        self._judged = self._findings()
        after, why = phases.next_phase(self.phase, *self._judged)
        if after is self.phase:
            return
        move = Move(self.phase, after, self._run, row.step, row.boundary_ns, why)
        self._own = self._own.moved(move)
