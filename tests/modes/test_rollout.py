"""Live runs from shadow to full: what leaves, what is judged, and what follows."""

import json
import math
import shutil
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from bot4jax.config import load, run_folder
from bot4jax.errors import CheckpointError, ConfigError, Halted
from bot4jax.modes import evidence, judging, phases, standing, tapes
from bot4jax.modes.keeping import take_up
from bot4jax.modes.making import paper_venue
from bot4jax.modes.phases import Phase, Verdict
from bot4jax.modes.report_rollout import rollout as section
from bot4jax.modes.rollout import Rollout, rolled_out
from bot4jax.modes.standing import Move, Standing
from bot4jax.modes.trading import Traded, trade
from bot4jax.runtime.local_venue import LocalVenue
from bot4jax.runtime.orders import Ack, Answer, Fill, Reject
from bot4jax.runtime.stages import Stages
from bot4jax.runtime.states import OF_PEOPLE, Cause, States
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_messages import Statement
from bot4jax.runtime.venue_record import Record
from bot4jax.schema import Config
from bot4jax.types import BUY
from tests.modes.ways import journal_of, silent
from tests.runtime.scene import RealVenue

WIDE = (
    *("rollout.alpha=0.5", "rollout.log_loss=7", "rollout.calibration=1"),
    *("rollout.slow_share=1", "rollout.rejects=1"),
    *("rollout.shadow_hours=0", "rollout.paper_days=0", "rollout.round_trips=0"),
)
"""Nothing is asked for but that anything was seen."""


class Rolled(NamedTuple):
    """A live run in this process, and what became of its strategy."""

    rollout: Rollout
    traded: Traded
    folder: Path
    venue: LocalVenue


@pytest.fixture(scope="module")
def rolled(run, setting, configured, tmp_path_factory):
    """Trades the test span as a live run of this name would."""

    def rolls(file: Path, name: str, *rules: str, link=LocalVenue) -> Rolled:
        folder = tmp_path_factory.mktemp(name)
        with rolled_out(configured(file, name, *rules), run.folder) as rollout:
            staged = setting._replace(config=rollout.config)
            kept, span = take_up(run.folder, staged), staged.split.test
            paper = paper_venue(staged)
            paper.record = Record([], [])
            venue = link(paper)
            tape, closed = tapes.closed_bars(
                staged, kept.state.bars, span.start, span.stop, venue.hear
            )

            def bars(trader, _):
                rollout.join(staged, kept, trader)
                return closed

            traded = trade(
                *(staged, kept, tape, bars, venue, folder, silent),
                publish=rollout.see,
                run=name,
            )
        return Rolled(rollout, traded, folder, venue)

    return rolls


@pytest.fixture(scope="module")
def phase_of(run, configured):
    """The phase that a run of this name would have."""

    def of(file: Path, name: str, *rules: str) -> Phase:
        with rolled_out(configured(file, name, *rules), run.folder) as rollout:
            return rollout.phase

    return of


@pytest.fixture(scope="module")
def shadow(rolled, tmp_path_factory):
    file = tmp_path_factory.mktemp("rollout") / "shadow.json"
    return rolled(file, "shadow"), file


@pytest.fixture(scope="module")
def climbed(rolled, tmp_path_factory):
    """Twice with rules that are met at once: in shadow, then on paper."""
    file = tmp_path_factory.mktemp("rollout") / "climbed.json"
    return rolled(file, "first", *WIDE), rolled(file, "second", *WIDE), file


def test_in_shadow_all_is_decided_and_nothing_leaves(shadow, here):
    own, _ = shadow
    assert own.venue.venue.record.received == []
    assert own.traded.totals.orders == own.traded.totals.fills.total() == 0
    assert len(here.decided) == len(own.traded.decided) > 0
    assert sum(own.traded.totals.denials.values()) > 0
    held = {one.cause for one in own.traded.transitions if one.is_held}
    assert "SHADOW" in held
    assert Cause.SHADOW not in OF_PEOPLE


def test_shadow_judges_forecasts_as_reports_do(shadow, run, setting, kept):
    """Windows one behind the other, by the labels of the whole span at once."""
    own, file = shadow
    threshold, horizon = float(kept.params.threshold), setting.settings.layout.horizon
    outcome = judging.outcome_of(setting, threshold, own.traded)
    losses, gaps, came = [], [], np.zeros(3)
    for bar in range(0, len(outcome.classes) - horizon, horizon):
        counted = outcome.weights[bar] > 0
        labels = outcome.classes[bar][counted]
        said = np.maximum(own.traded.probability[bar][counted].astype(float), 1e-300)
        prior = (came + 1) / (came + 1).sum()
        rows = np.arange(len(labels))
        losses.append(-np.log(said[rows, labels]).mean() + np.log(prior[labels]).mean())
        gaps.append(said.max(-1).mean() - (said.argmax(-1) == labels).mean())
        came += np.bincount(labels, minlength=3)
    found = {one["name"]: one for one in own.rollout.told()["gates"]}
    assert len(losses) >= 10
    assert found["log_loss"]["found"][0] == pytest.approx(np.mean(losses), abs=1e-9)
    assert found["calibration"]["found"][0] == pytest.approx(np.mean(gaps), abs=1e-9)
    read = json.loads(file.read_text())
    assert read["came"] == came.tolist()
    assert read["evidence"]["shadow"]["bars"] == len(losses) * horizon


def test_eighty_bars_prove_nothing(shadow):
    """All gates are open, a day is wanting, and the next run is in shadow too."""
    own, _ = shadow
    told = own.rollout.told()
    verdicts = {one["name"]: one["verdict"] for one in told["gates"]}
    assert verdicts["log_loss"] == verdicts["calibration"] == Verdict.OPEN
    assert (told["phase"], told["next"], told["moves"]) == ("shadow", "shadow", [])
    ((name, seen, wanted),) = [tuple(one.values()) for one in told["wanting"]]
    assert (name, wanted) == ("hours", 24.0)
    assert 0 < seen < 1


def test_what_was_shown_lets_the_next_run_go_further(climbed):
    first, second, file = climbed
    assert first.rollout.phase is Phase.SHADOW
    assert first.venue.venue.record.received == []
    assert second.rollout.phase is Phase.PAPER
    assert second.traded.totals.orders >= 100
    assert len(second.venue.venue.record.received) >= 100
    moves = json.loads(file.read_text())["moves"]
    assert [(one["before"], one["after"]) for one in moves[:1]] == [("shadow", "paper")]
    assert moves[0]["run"].endswith("first")


def test_a_run_on_paper_trades_what_one_without_a_rollout_trades(climbed, here):
    _, second, _ = climbed
    assert second.traded.portfolio.curve[-1].nav == here.portfolio.curve[-1].nav
    assert [one.intent.tolist() for one in second.traded.decided] == [
        one.intent.tolist() for one in here.decided
    ]


def test_a_simulated_market_leads_nobody_to_real_money(climbed, phase_of, tmp_path):
    """The strategy has shown all that was asked; the next run stays on paper."""
    _, second, file = climbed
    copy = Path(shutil.copy(file, tmp_path))
    shown = standing.read(copy, second.rollout._own.strategy)
    standing.write(copy, shown.but(phase=Phase.FULL))
    assert phase_of(copy, "third", *WIDE) is Phase.PAPER


def test_orders_are_judged_by_what_the_venue_said(rolled, on_paper):
    """Counted once more from the journal and the curve of the account."""
    file = on_paper("rollout.alpha=0.01")
    own = rolled(file, "paper", "rollout.slow_share=1", "rollout.alpha=0.01")
    steps = journal_of(own.folder, "paper")
    sent = {one.id: one for step in steps for one in step.orders}
    assert len(sent) >= 100
    filled, rejected, unfilled = dict.fromkeys(sent, 0), [], []
    for step in steps:
        ended = {}
        for one in step.answers:
            if isinstance(one, Fill):
                filled[one.order] += one.lots
            whole = filled[one.order] == sent[one.order].lots
            if whole or not isinstance(one, Ack | Fill):
                ended[one.order] = isinstance(one, Reject)
        taken = [name for name, refused in ended.items() if not refused]
        if ended:
            rejected.append(sum(ended.values()) / len(ended))
        if taken:
            asked = sum(sent[name].lots for name in taken)
            unfilled.append(1 - sum(filled[name] for name in taken) / asked)
    curve = own.traded.portfolio.curve
    slips = [
        1e4 * (b.slippage - a.slippage) / (b.turnover - a.turnover)
        for a, b in pairwise(curve)
        if b.turnover > a.turnover and b.step <= len(steps)
    ]
    seen = standing.read(file, own.rollout._own.strategy).of(Phase.PAPER)
    rules = own.rollout._rules
    for name, values in (
        ("rejected", rejected),
        ("unfilled", unfilled),
        ("slippage_bps", np.clip(slips, -phases.BPS, phases.BPS)),
    ):
        assert seen.means[name].count == len(values) > 10
        found = phases.of(rules, seen, name).value
        assert found == pytest.approx(np.mean(values), abs=1e-9)
    assert seen.trips == round_trips(one for step in steps for one in step.answers)
    assert seen.days == 1


def round_trips(answers: Iterable[Answer]) -> int:
    """How often a position was closed, or turned round."""
    held, ended = Counter[int](), 0
    for one in answers:
        if isinstance(one, Fill):
            before = held[one.symbol]
            held[one.symbol] += one.lots if one.side == BUY else -one.lots
            ended += before != 0 and before * held[one.symbol] <= 0
    return ended


def test_what_is_broken_sends_it_back_at_once(rolled, phase_of, on_paper, configured):
    """Every decision is called too slow: after some bars nothing is opened."""
    file = on_paper("rollout.slowest_ms=0.000001")
    rules = "rollout.slowest_ms=0.000001", "rollout.slow_share=0.001"
    own = rolled(file, "slow", *rules)
    (move,) = own.rollout.told()["moves"]
    assert (move["before"], move["after"]) == ("paper", "shadow")
    assert "slow 1 [" in move["text"]
    assert "broken" in move["text"]
    gates = {one["name"]: one["verdict"] for one in own.rollout.told()["gates"]}
    assert gates["slow"] == Verdict.BROKEN
    steps = journal_of(own.folder, "slow")
    before = [one for step in steps[: move["step"]] for one in step.orders]
    after = [one for step in steps[move["step"] :] for one in step.orders]
    assert any(not one.reduce_only for one in before)
    assert all(one.reduce_only for one in after)
    assert own.rollout.told()["next"] == "shadow"
    (held,) = [one for one in own.traded.transitions if one.cause == "DEMOTED"]
    assert (held.is_held, held.step) == (True, move["step"])
    begun(configured(file, "slow"))
    assert phase_of(file, "slow", *rules) is Phase.PAPER, "a run keeps its phase"
    assert phase_of(file, "next", *rules) is Phase.SHADOW
    assert phase_of(file, "slow", *rules, "run.fresh=true") is Phase.SHADOW


def begun(config: Config) -> str:
    """The run has a journal to go on with; what it is known by."""
    folder = run_folder(config)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "journal.sqlite").touch()
    return str(folder.resolve())


def test_the_file_says_so_before_the_journal_does(rolled, on_paper, monkeypatch):
    """Who cannot write that a strategy has gone back has not noted it either."""
    file, write = on_paper("rollout.slowest_ms=0.000001"), standing.write
    noted = []

    def failing(path, own):
        if own.moves:
            raise OSError("planted: the disk is full")
        write(path, own)

    def noting(states, cause, text, until_ns=0):
        noted.append(cause)
        hold(states, cause, text, until_ns)

    hold = States.hold
    monkeypatch.setattr(States, "hold", noting)
    monkeypatch.setattr(standing, "write", failing)
    with pytest.raises(OSError, match="planted"):
        rolled(file, "full", "rollout.slowest_ms=0.000001")
    assert noted
    assert Cause.DEMOTED not in noted


def test_where_its_strategy_has_gone_back_a_run_opens_nothing(
    rolled, configured, on_paper
):
    """As after a restart: it keeps its phase, and shows nothing more of it."""
    file = on_paper()
    found = standing.read(file, json.loads(file.read_text())["strategy"])
    run = begun(configured(file, "behind"))
    gone_back = found.but(phase=Phase.SHADOW, runs={run: Phase.PAPER})
    standing.write(file, gone_back)
    own = rolled(file, "behind", "rollout.slow_share=1")
    assert own.rollout.phase is Phase.PAPER
    assert own.traded.totals.orders == 0
    assert "DEMOTED" in {one.cause for one in own.traded.transitions}
    assert standing.read(file, found.strategy) == gone_back


def test_on_paper_a_real_venue_receives_nothing(rolled, on_paper):
    venues: list[RealVenue] = []

    def link(paper: PaperVenue) -> RealVenue:
        venues.append(RealVenue(paper))
        return venues[-1]

    with pytest.raises(Halted, match="its paper phase"):
        rolled(on_paper(), "astray", link=link)
    (venue,) = venues
    assert venue.venue.record.received == []


def test_a_canary_trades_a_hundredth_and_only_at_a_real_venue(
    rolled, configured, on_paper
):
    file = on_paper()
    found = standing.read(file, json.loads(file.read_text())["strategy"])
    run = begun(configured(file, "canary"))
    standing.write(file, found.but(phase=Phase.CANARY, runs={run: Phase.CANARY}))
    with pytest.raises(Halted, match="its canary phase"):
        rolled(file, "canary")
    own = rolled(file, "canary", "rollout.slow_share=1", link=RealVenue)
    assert own.traded.totals.orders > 0
    assert own.venue.venue.record.received
    assert own.traded.portfolio.curve[0].nav == 10_000
    seen = standing.read(file, found.strategy).of(Phase.CANARY)
    assert {"unfilled", "rejected", "slippage_bps"} <= set(seen.means)


def test_a_time_of_the_market_counts_once(climbed):
    """The second run has traded the bars that the first has shown its forecasts of."""
    first, second, file = climbed
    shown = standing.read(file, second.rollout._own.strategy)
    assert shown.through_ns >= first.traded.portfolio.curve[0].boundary_ns
    (move,) = shown.moves
    late = [one for one in second.traded.portfolio.curve if one.step > move.step]
    assert len(late) > 10
    assert shown.of(Phase.PAPER).means["slow"].count == len(late) - 1


def test_a_run_whose_folder_is_gone_is_a_new_one(configured, on_paper, phase_of):
    file = on_paper()
    found = standing.read(file, json.loads(file.read_text())["strategy"])
    run = str(run_folder(configured(file, "gone")).resolve())
    standing.write(file, found.but(runs={run: Phase.FULL}))
    assert phase_of(file, "gone") is Phase.PAPER
    begun(configured(file, "gone"))
    assert phase_of(file, "gone") is Phase.FULL


def test_of_runs_that_are_gone_the_oldest_are_forgotten(tmp_path):
    """The file does not grow for ever; who has a journal keeps its phase."""
    journal = tmp_path / "first" / "journal.sqlite"
    journal.parent.mkdir()
    journal.touch()
    first, again = str(journal.parent), str(tmp_path / "run 150")
    own = Standing(standing.SCHEMA, "x").begun(first, Phase.CANARY)
    for k in range(200):
        own = own.begun(str(tmp_path / f"run {k}"), Phase.PAPER)
    own = own.begun(again, Phase.FULL)
    newest = [f"run {k}" for k in range(200) if k != 150][-standing.MOST_GONE :]
    assert [Path(one).name for one in own.runs] == ["first", *newest, "run 150"]
    assert (own.runs[first], own.runs[again]) == (Phase.CANARY, Phase.FULL)


def told_of(
    file: Path, phase: Phase, *words: str, model: Path
) -> Generator[Rollout, None, None]:
    own = [f"run.model={model}", "run.name=one", f"rollout.file={file}"]
    market = ["runtime.speed=1", "data=binance", "data.path=."]
    config = load(["mode=live", *market, *own, *words])
    strategy = standing.strategy_hash(config, model)
    standing.write(file, Standing(standing.SCHEMA, strategy, phase))
    with rolled_out(config, model) as found:
        yield found


@pytest.fixture
def in_phase(run, tmp_path):
    """A strategy in this phase on a recorded market, whose run is about to begin."""
    with ExitStack() as stack:

        def begins(phase: Phase, *words: str) -> Rollout:
            file = tmp_path / f"{phase}.json"
            parts = told_of(file, phase, *words, model=run.folder)
            stack.callback(parts.close)
            return next(parts)

        yield begins


@pytest.mark.parametrize(
    ("phase", "is_paper", "is_admitted"),
    [
        ("shadow", True, True),
        ("shadow", False, True),
        ("paper", True, True),
        ("paper", False, False),
        ("canary", True, False),
        ("canary", False, True),
        ("full", True, False),
        ("full", False, True),
    ],
)
def test_only_the_venue_of_its_phase_is_traded_at(
    in_phase, phase, is_paper, is_admitted
):
    own = in_phase(Phase(phase))
    assert own.phase == phase
    if is_admitted:
        own.admit(stated(is_paper))
        return
    with pytest.raises(Halted, match=rf"its {phase} phase.*rollout\.most"):
        own.admit(stated(is_paper))


def stated(is_paper: bool) -> Statement:
    return Statement(
        version=1,
        run="",
        step=0,
        is_reported=False,
        dedupes=True,
        is_paper=is_paper,
        epoch=1,
        positions=[],
    )


@pytest.mark.parametrize("is_live", [False, True])
def test_only_bars_of_which_something_was_judged_count(tmp_path, monkeypatch, is_live):
    """Not those of a dead market, which the clock closes: no symbol counts in them."""

    def labelled(*_: object) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(2, np.int64), np.array([is_live, False])

    monkeypatch.setattr(evidence, "labelled", labelled)
    places = [f"run.root={tmp_path}", f"rollout.file={tmp_path}/rollout.json"]
    config = load(["mode=live", "runtime.speed=1", "run.model=none", *places])
    own, horizon, bars = Rollout(config, Standing(standing.SCHEMA, "one")), 10, 61
    states = SimpleNamespace(is_held=lambda cause: False)
    account = SimpleNamespace(states=states, portfolio=SimpleNamespace(trips=0))
    trader = SimpleNamespace(account=account, stages=Stages())
    trader.stages.add("decision", 0.001)
    window = evidence.Window(horizon)
    joined = {"_setting": None, "_threshold": 0.0, "_window": window}
    vars(own).update(joined, _trader=trader, _day_of=lambda at_ns: 0)
    decided = SimpleNamespace(probability=np.full((2, 3), 1 / 3))
    for bar in range(bars):
        closed = SimpleNamespace(bar=bar, terms=None)
        row = SimpleNamespace(boundary_ns=bar + 1, step=bar)
        own.see(SimpleNamespace(closed=closed, equity=row, decided=decided))
    seen = own._own.of(Phase.SHADOW)
    assert seen.bars == (bars - 1 if is_live else 0)
    assert ("log_loss" in seen.means) == is_live


def test_a_canary_has_a_hundredth_of_the_capital(in_phase):
    for phase in Phase:
        config = in_phase(phase).config
        share = 0.01 if phase is Phase.CANARY else 1.0
        assert config.strategy.capital == share * 1_000_000


def test_people_can_hold_it_back(in_phase):
    assert in_phase(Phase.FULL, "rollout.most=canary").phase is Phase.CANARY


def test_who_goes_back_shows_everything_anew():
    evidence = {phase: phases.Evidence(bars=9) for phase in Phase}
    before = Standing(standing.SCHEMA, "x", Phase.CANARY, evidence=evidence)
    move = Move(Phase.CANARY, Phase.PAPER, "run", 1, 2, "why")
    assert set(before.moved(move).evidence) == {Phase.SHADOW, Phase.FULL}
    on = Move(Phase.CANARY, Phase.FULL, "run", 1, 2, "why")
    assert set(before.moved(on).evidence) == set(Phase) - {Phase.FULL}


@pytest.mark.parametrize(
    ("content", "error", "match"),
    [
        (b"{", CheckpointError, "holds no standing"),
        (b"\xff\x00", CheckpointError, "holds no standing"),
        (b'{"schema": "bot4jax.rollout/1"}', CheckpointError, "holds no standing"),
        (b'{"schema": "old", "strategy": "x"}', CheckpointError, "schema 'old'"),
        (
            b'{"schema": "bot4jax.rollout/1", "strategy": "x", "phase": "most"}',
            CheckpointError,
            "holds no standing",
        ),
        (
            b'{"schema": "bot4jax.rollout/1", "strategy": "x"}',
            ConfigError,
            "another strategy",
        ),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused_by_name(
    tmp_path, content, error, match
):
    file = tmp_path / "rollout.json"
    file.write_bytes(content)
    with pytest.raises(error, match=match) as told:
        standing.read(file, "y")
    assert str(file) in str(told.value)
    assert file.read_bytes() == content


def test_two_runs_do_not_share_a_file(in_phase, run, tmp_path):
    in_phase(Phase.PAPER)
    parts = told_of(tmp_path / "paper.json", Phase.PAPER, model=run.folder)
    with pytest.raises(Halted, match=r"another rollout\.file"):
        next(parts)


def test_another_way_of_trading_is_another_strategy(run):
    words = ["mode=live", f"run.model={run.folder}", "runtime.speed=1"]
    known = standing.strategy_hash(load(words), run.folder)
    assert standing.strategy_hash(load([*words, "run.seed=5"]), run.folder) == known
    for word in ("strategy.kelly=0.1", "risk=conservative", "execution.kind=fok"):
        assert standing.strategy_hash(load([*words, word]), run.folder) != known


def test_a_file_survives_its_own_reading(climbed, tmp_path):
    _, second, file = climbed
    own = standing.read(file, second.rollout._own.strategy)
    copy = tmp_path / "copy.json"
    standing.write(copy, own)
    assert copy.read_bytes() == file.read_bytes()
    assert msgspec.json.decode(copy.read_bytes(), type=Standing) == own


def test_the_market_s_own_pace_is_asked_for(run, tmp_path):
    words = ["mode=live", f"run.model={run.folder}", f"rollout.file={tmp_path}/x"]
    with pytest.raises(ConfigError, match=r"runtime\.speed: 25"):
        load(words)


def test_the_report_tells_of_it(climbed):
    class Told(NamedTuple):
        summary: dict

    first, _, _ = climbed
    told = json.loads(json.dumps(first.rollout.told(), default=str))
    page = section(Told({"rollout": told}))
    for text in ("<h2>Rollout</h2>", "log_loss", "<td>shadow</td>", "holds"):
        assert text in page
    assert section(Told({"rollout": None})) == ""
    assert any("next run begins in" in one for one in first.rollout.sentences())
    assert math.isfinite(told["gates"][0]["found"][0])
