"""`mode=explain`: why one symbol was traded at one step, or why it was not.

Everything but the families comes from the journal: what was held, how the members
voted, which clamps made the target smaller, what the gate said, what the venue
answered. What each family of features moved is found by deciding the step again.
"""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import polars as pl

from bot4jax.config import from_yaml
from bot4jax.data.sources import open_source
from bot4jax.data.universe import Universe
from bot4jax.decisions import Decided
from bot4jax.errors import ConfigError
from bot4jax.kernels.sizing import Clamp
from bot4jax.modes.families import shifts
from bot4jax.modes.journal import reading
from bot4jax.modes.spans import spans
from bot4jax.runtime.journal_rows import StepRecord
from bot4jax.runtime.journal_tables import Table, show, unpacked, whole
from bot4jax.runtime.limits import Reason
from bot4jax.runtime.orders import Answer, Fill, Foreign
from bot4jax.runtime.states import Transition
from bot4jax.schema import Config
from bot4jax.types import BUY, CLASSES

Row = tuple[str, str]
"""A stage of the step, and what was found there."""

FALLBACK = "fallback"

CLAMPED = {
    Clamp.NOT_LIVE: "no tick of the symbol in this bar, so nothing is opened",
    Clamp.COST: "less is traded, since a move costs half the spread and the fee",
    Clamp.SYMBOL_CAP: "the position would be above risk.max_position_share",
    Clamp.VOLATILITY: "the whole book would vary more than strategy.volatility_cap",
    Clamp.GROSS: "the sum of absolute positions would be above risk.max_gross",
    Clamp.NET: "the absolute sum of positions would be above risk.max_net",
    Clamp.NO_MEMBER: "no member had a finite forecast, so nothing is opened",
    Clamp.NOT_FINITE: "the target was no number, so what is held is kept",
    Clamp.TOO_SLOW: "the members were late, so the fallback decides and opens nothing",
    Clamp.UNSEEN: "the fallback was late too, so what is held is kept",
}
"""Why a target is smaller than the forecast asked for."""


def explain(config: Config) -> int:
    """Print the step of `explain.run` and `explain.symbol` as tables."""
    own = config.explain
    if own.run is None or own.symbol is None:
        wanted = "explain.run=FOLDER of a run and explain.symbol=NAME"
        raise ConfigError([f"explain: mode=explain needs {wanted}"])
    folder = Path(own.run)
    with reading(folder) as journal:
        steps, transitions = list(journal.read()), journal.transitions()
        steps += [journal.end] if journal.end else []
    before = from_yaml(folder / "config.yaml")
    slot = slot_of(open_source(before, spans(before).bars).universe, own.symbol)
    record = chosen(steps, own.step, slot)
    names = before.ensemble.members
    decided = unpacked(record, len(names))
    told = {
        "why": _table(
            ("stage", "found"), why(steps, record, transitions, decided, slot)
        ),
        "members": _table(("member", *CLASSES, "weight"), votes(decided, names, slot)),
    }
    if own.families:
        moved = shifts(before, folder, record.step, slot)
        rows = ((family, f"{shift:+.6f}") for family, shift in moved)
        told["families"] = _table(("family", "up_less_down"), rows)
    show(told, 0)
    return 0


def slot_of(universe: Universe, symbol: str) -> int:
    """Where a symbol stands in the run's universe."""
    if symbol in universe.symbols:
        return universe.symbols.index(symbol)
    close = get_close_matches(symbol, universe.symbols, n=1)
    advice = f" Did you mean '{close[0]}'?" if close else ""
    count = len(universe.symbols)
    raise ConfigError(
        [f"explain.symbol: '{symbol}' is none of the run's {count} symbols.{advice}"]
    )


def chosen(steps: Sequence[StepRecord], step: int, slot: int) -> StepRecord:
    """The step asked for; 0: the last at which the slot had an order, or was denied
    one that was not merely too small."""
    decided = [one for one in steps if not one.is_end]
    for one in reversed(decided):
        concerns = any(order.symbol == slot for order in one.orders)
        concerns |= any(
            slot in denied.symbols
            for denied in one.denied
            if denied.reason != Reason.BELOW_MINIMUM
        )
        if one.step == step or (step == 0 and concerns):
            return one
    if step == 0 and decided:
        return decided[-1]
    last = decided[-1].step if decided else 0
    raise ConfigError([f"explain.step: the journal has steps 1 … {last}, not {step}"])


def why(
    steps: Sequence[StepRecord],
    record: StepRecord,
    transitions: Iterable[Transition],
    decided: Decided,
    slot: int,
) -> Iterator[Row]:
    """The step from top to bottom, as the engine went through it."""
    at = np.datetime64(record.boundary_ns, "ns")
    yield "step", f"{record.step}, bar {record.bar}, boundary {at} UTC"
    held = [one for one in _held_causes(transitions, record.step)]
    yield "state", ", ".join([record.state.name, *held])
    yield "held", f"{lots_before(steps, record.step, slot):+d} lots"
    down, flat, up = decided.probability[slot]
    yield "vote", f"down {down:.4f}, flat {flat:.4f}, up {up:.4f}"
    yield "confidence", f"{decided.confidence[slot]:.4f}"
    yield "disagreement", f"{decided.disagreement[slot]:.6f}"
    yield "intent", f"{decided.intent[slot]:+.6f} of the capital"
    clamps = list(Clamp(int(decided.flags[slot])))
    yield from (("clamp", f"{one.name}: {CLAMPED[one]}") for one in clamps)
    if not clamps:
        yield "clamp", "none: the target is what the forecast asked for"
    yield from _asked(record, slot)
    yield from _answered(steps, record, slot)


def lots_before(steps: Iterable[StepRecord], step: int, slot: int) -> int:
    """Held when a step was decided: what was filled before it."""
    return sum(
        one.lots if one.side == BUY else -one.lots
        for record in steps
        if record.step <= step
        for one in record.answers
        if isinstance(one, Fill | Foreign) and one.symbol == slot
    )


def votes(decided: Decided, names: Sequence[str], slot: int) -> Iterator[tuple]:
    """What each member said, and the weight that it said it with."""
    each = decided.member_probability[:, slot]
    for name, probability, weight in zip(names, each, decided.weight, strict=False):
        yield (name, *(f"{one:.4f}" for one in probability), f"{weight:.4f}")
    yield FALLBACK, "", "", "", f"{decided.weight[-1]:.4f}"


def _held_causes(transitions: Iterable[Transition], step: int) -> list[str]:
    """What spoke against trading when the step was judged."""
    held: dict[str, str] = {}
    for one in transitions:
        if one.step < step or (one.step == step and not one.is_held):
            held.pop(one.cause, None)
            if one.is_held:
                held[one.cause] = f"{one.cause}: {one.text}"
    return list(held.values())


def _asked(record: StepRecord, slot: int) -> Iterator[Row]:
    """Orders, what the gate denied, and why there is neither."""
    orders = [one for one in record.orders if one.symbol == slot]
    for one in orders:
        side = "buy" if one.side == BUY else "sell"
        price = f" at {one.limit}" if one.limit else ""
        price += f", wakes at {one.trigger}" if one.trigger else ""
        yield "order", f"{side} {one.lots} lots {one.kind}{price}, id {one.id}"
    denials = [
        (denied.reason, int(lots))
        for denied in record.denied
        for symbol, lots in zip(denied.symbols, denied.lots, strict=True)
        if symbol == slot
    ]
    for reason, lots in denials:
        yield "gate", f"{reason.name}, {lots:+d} lots: {reason.sentence}"
    if not orders and not denials:
        yield "gate", "nothing was asked for: the target is what is held or on its way"


def _answered(
    steps: Iterable[StepRecord], record: StepRecord, slot: int
) -> Iterator[Row]:
    """What the venue has ever said of the step's orders of this slot."""
    own = {one.id for one in record.orders if one.symbol == slot}
    for later in steps:
        for answer in later.answers:
            if answer.order in own:
                yield "venue", f"{_said(answer)} (journaled with step {later.step})"


def _said(answer: Answer) -> str:
    name = type(answer).__name__.lower()
    if isinstance(answer, Fill):
        role = "maker" if answer.is_maker else "taker"
        return f"{name} of {answer.lots} lots at {answer.price}, {role}"
    left = getattr(answer, "lots_left", None)
    rest = f", {left} lots left" if left is not None else ""
    return f"{name} {getattr(answer, 'reason', '')}".strip() + rest


def _table(names: Sequence[str], rows: Iterable[tuple]) -> Table:
    schema = dict.fromkeys(names, pl.String)
    return whole(pl.DataFrame(list(rows), schema, orient="row"))
