"""What each family of features moved in one decision: the step decided again without.

The run is gone through to that step, as a replay does. The step is then concluded once
more for every family, its scores set to 0, which is the median of the training span: a
family moved the vote by as much as the vote moves when the family says nothing unusual.
"""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from bot4jax.decisions import unpack_decisions
from bot4jax.engine import Engine
from bot4jax.modes.journal import reading
from bot4jax.modes.keeping import seat, take_up
from bot4jax.modes.repeating import repeating_of
from bot4jax.modes.replay import bars_of
from bot4jax.modes.setting import Setting, set_stage
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.progress import progress
from bot4jax.schema import Config
from bot4jax.state import copied

WHOLE = "all of them"


def shifts(before: Config, run: Path, step: int, slot: int) -> list[tuple[str, float]]:
    """Up less down of the vote, and by how much each family moved it, largest first."""
    model = Path(before.run.model or run)
    setting = set_stage(before)
    kept = take_up(model, setting)
    setting = seat(model, setting, kept)
    calls = Calls(setting.engine)
    watched = setting._replace(engine=setting.engine._replace(conclude=calls.conclude))
    _, bars = bars_of(watched, kept, run)
    with reading(run) as journal, progress() as report:
        again = repeating_of(watched, kept, journal)
        steps = journal.read(stop=step + 1)
        for done, _ in enumerate(again.through(calls.upto(bars, step), steps), 1):
            report("going through", done, step)
    whole = calls.lean(setting, None, slot)
    found = [
        (family, whole - calls.lean(setting, columns, slot))
        for family, columns in families(setting)
    ]
    return [(WHOLE, whole), *sorted(found, key=lambda one: -abs(one[1]))]


def families(setting: Setting) -> Iterator[tuple[str, list[int]]]:
    """Categories of the run's features, and where these stand among the scores."""
    by_family: dict[str, list[int]] = {}
    for column, spec in enumerate(setting.settings.plan.specs):
        by_family.setdefault(spec.category, []).append(column)
    yield from by_family.items()


class Calls:
    """Stands before `engine.conclude`, keeps what the last step was concluded from."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: tuple[Any, ...] = ()
        self._is_last = False

    def upto(self, bars: Iterable[Closed], step: int) -> Iterator[Closed]:
        """The bars of the steps up to this one, which is concluded last."""
        for number, closed in enumerate(itertools.islice(bars, step), 1):
            self._is_last = number == step
            yield closed

    def conclude(self, params: Any, state: Any, seen: Any, *rest: Any) -> Any:
        """The engine's own answer; it takes the state, so a copy is kept before."""
        if self._is_last:
            self._kept = (params, copied(state), seen, *rest)
        return self._engine.conclude(params, state, seen, *rest)

    def lean(self, setting: Setting, columns: list[int] | None, slot: int) -> float:
        """Up less down of the vote, with these scores at their median."""
        params, state, seen, *rest = self._kept
        if columns is not None:
            silent = seen.values.at[:, jnp.array(columns)].set(0.0)
            seen = seen._replace(values=silent)
        _, packed = self._engine.conclude(params, copied(state), seen, *rest)
        members = len(setting.settings.members)
        symbols = setting.settings.layout.symbols
        down, _, up = unpack_decisions(
            np.asarray(packed), members, symbols
        ).probability[slot]
        return float(up - down)
