"""What a report says of saved log loss: how sure, where the span is long enough."""

import numpy as np
import pytest
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from bot4jax.learn.bootstrap import Interval
from bot4jax.learn.evaluate import LEAST_BARS, PRIOR, Judged, Outcome, judge
from bot4jax.learn.labels import FLAT, UP
from bot4jax.learn.pairs import Ahead, Contest, Match, Paired
from bot4jax.modes import (
    plots,
    report,
    report_backtest,
    report_contests,
    report_luck,
    report_skill,
    summary,
    telling_backtest,
)
from bot4jax.modes.evaluation import Line
from bot4jax.modes.report_skill import NOTHING_MOVED, SKILL_HEADS, TOO_SHORT
from bot4jax.modes.story import MarketFacts, Story

GAIN = Interval(0.002, 0.001, 0.003)


@pytest.fixture(scope="module")
def skilled() -> Judged:
    """Ahead of both priors in every bar, and wrong about direction."""
    random = np.random.default_rng(1)
    classes = random.integers(0, 3, (300, 4)).astype(np.int32)
    ones, folds = np.ones((300, 4), np.float32), np.zeros(300, int)
    outcome = Outcome(random.normal(size=(300, 4)), classes, ones, 3, folds)
    flat = np.full((300, 4, 3), 1 / 3)
    came = np.eye(3)[classes]
    found = judge(
        0.95 * flat + 0.03 * came + 0.02 * came[..., ::-1], outcome, flat, flat
    )
    assert found.p_value <= 0.05
    return found


def told(one: Judged, bars: int) -> Story:
    """A run that judged `gru` on so many bars."""
    own = one._replace(bars=bars)
    market = MarketFacts(**dict.fromkeys(MarketFacts._fields))
    market = market._replace(
        simulated=True, effective_labels=900, rejected={}, refused={}
    )
    chances = {"gru": 0.01, "ensemble": 0.02}
    beside = dict.fromkeys(chances, Paired(-0.01, 0.001, 9.0))
    return Story(**dict.fromkeys(Story._fields))._replace(
        summary={},
        market=market,
        members={"gru": own},
        ensemble=own,
        baselines={PRIOR: own},
        ahead=Ahead(("last_return",), beside, chances),
    )


def contested(one: Judged) -> Story:
    """Of four beside two best baselines, each is something else; the span is short."""
    same = Match(0.02, 0.02, 0.0, 0.0, 9.0)
    beside = {
        "gru": Match(0.05, 0.02, 0.03, 0.005, 9.0),
        "lstm": Match(-0.01, 0.02, -0.03, 0.005, 9.0),
        "trees": same,
        "ensemble": Match(0.03, 0.02, 0.01, 0.01, 9.0),
    }
    chances = {"gru": 0.01, "lstm": 0.02, "trees": np.nan, "ensemble": 0.3}
    order = Contest(("last_return", "last_return", "own"), beside, chances)
    nobody = Contest(("class_prior",), {"gru": same}, {"gru": np.nan})
    found = {"information_coefficient": order, "hit_rate": nobody}
    story = told(one, LEAST_BARS - 1)
    assert story.ahead is not None
    return story._replace(ahead=story.ahead._replace(contests=found))


def test_a_short_span_says_plainly_who_beats_the_best_baseline(skilled):
    """In order and direction: better, worse, not told apart, with every lead."""
    story = contested(skilled)
    page = report_skill.reading(story._replace(market=market_of(story), bound=None))
    assert (
        "In order (IC) the best baseline on the calibration span is last return and "
        "own. Beside it, at p ≤ 0.05 after Holm, better: gru (+0.030 ± 0.011); worse: "
        "lstm (-0.030 ± 0.011); not to be told apart: ensemble (+0.010 ± 0.023); the "
        "same forecast: trees." in page
    )
    assert (
        "In direction (hit rate) the best baseline on the calibration span is class "
        "prior (always flat). Beside it, at p ≤ 0.05 after Holm, better: nobody; "
        "worse: nobody; not to be told apart: nobody; the same forecast: gru. A "
        "constant leans one way all the time: its hit rate is the share of moves that "
        "went there, and the intervals allow for how that falls." in page
    )
    assert page.count("leans one way all the time") == 1, "in direction alone"
    row = "<td>ensemble</td><td>order (IC)</td><td>0.030</td><td>0.020</td>"
    assert f"{row}<td>+0.010 ± 0.023</td><td>0.3</td>" in page
    assert TOO_SHORT in page  # of log loss, all the same
    assert story.ahead is not None
    kept = summary.ahead(story.ahead)["contests"]["information_coefficient"]
    verdicts = {name: one["verdict"] for name, one in kept["beside"].items()}
    assert verdicts == {
        "gru": "better",
        "lstm": "worse",
        "trees": "the same",
        "ensemble": "not told apart",
    }
    assert kept["beside"]["gru"]["lead"] == 0.03
    assert kept["beside"]["trees"]["holm"] is None


def market_of(story: Story) -> MarketFacts:
    return story.market._replace(labels=900, class_shares={})


def test_without_a_baseline_nobody_is_compared_with_one(skilled):
    alone = told(skilled, LEAST_BARS)
    assert report_contests.contests(alone) == ""
    assert report_contests.contests(alone._replace(ahead=None)) == ""


@pytest.fixture(params=[LEAST_BARS - 1, LEAST_BARS])
def story(skilled, request) -> Story:
    return told(skilled, request.param)


def is_short(story: Story) -> bool:
    return story.members["gru"].bars < LEAST_BARS


def test_log_loss_has_its_interval_in_a_long_span_alone(story):
    row = report_skill.scores("gru", story.members["gru"])
    cells = dict(zip(SKILL_HEADS, row, strict=True))
    for head in ("log loss ± 95 %", "less prior, 10⁻³", "less recent prior, 10⁻³"):
        assert ("±" in cells[head]) is not is_short(story), head
    assert "±" in cells["direction, 10⁻³"]


def test_the_verdict_on_log_loss_needs_a_long_span_that_on_direction_does_not(story):
    said = report_skill.verdict(story)
    better, rest = said.split(". Telling up from down: ")
    ahead = rest.split("after Holm: ")[1]
    own = TOO_SHORT if is_short(story) else "gru, ensemble"
    assert better.startswith("Of 2 that are asked at once, at p ≤ 0.05 after Holm: ")
    assert better.endswith(f"calibration span: {own}")
    assert ahead == f"{own}."
    knows = 2 * story.members["gru"].direction_p_value <= 0.05
    assert rest.startswith("gru, ensemble." if knows else "nobody.")


def test_nobody_is_named_for_a_direction_that_many_were_asked_for(skilled):
    """p = .03: enough of one that is asked alone, too much of two."""
    one = skilled._replace(direction=-0.01, direction_error=0.005, direction_degrees=40)
    assert 0.025 < one.direction_p_value < 0.05
    alone = told(one, LEAST_BARS)._replace(members={}, ahead=None)
    assert "Telling up from down: ensemble." in report_skill.verdict(alone)
    both = told(one, LEAST_BARS)
    assert "Telling up from down: nobody." in report_skill.verdict(both)


def test_where_nothing_moved_nobody_is_blamed_for_not_knowing_where_to():
    """All labels are flat; with a single one up, whoever does not know it is nobody."""
    classes, flat = np.full((300, 4), FLAT, np.int32), np.full((300, 4, 3), 1 / 3)
    still = judged(classes, flat)
    assert np.isnan(still.direction)
    said = report_skill.verdict(told(still, LEAST_BARS))
    assert f"Telling up from down: {NOTHING_MOVED}. The best baseline" in said
    classes[7, 1] = UP
    once = report_skill.verdict(told(judged(classes, flat), LEAST_BARS))
    assert "Telling up from down: nobody." in once


def judged(classes: np.ndarray, said: np.ndarray) -> Judged:
    """A forecaster of these labels, beside one that is always flat."""
    ones, folds = np.ones(classes.shape, np.float32), np.zeros(len(classes), int)
    moved = np.random.default_rng(3).normal(size=classes.shape)
    return judge(said, Outcome(moved, classes, ones, 3, folds), said, said)


def test_every_picture_of_training_counts_updates_from_one():
    """An update without a gradient is a gap, no stroke to the bottom of the scale."""
    norms = {"gru": np.array([0.0, 0.3, 0.2, 0.1])}
    drawn = [Figure().subplots() for _ in range(4)]
    plots.training(drawn[0], norms)
    plots.gradients(drawn[1], norms)
    plots.ratios(drawn[2], ["gru"], norms)
    plots.saturated(drawn[3], norms)
    for axes in drawn:
        assert axes.get_xlim() == (1, 4)
        assert list(axes.lines[0].get_xdata()) == [1, 2, 3, 4]
    for axes in drawn[1:3]:
        assert np.isnan(np.asarray(axes.lines[0].get_ydata())[0])


def test_the_picture_has_errors_in_a_long_span_alone(story):
    axes = Figure().subplots()
    plots.skill(axes, story)
    (bars,) = (one for one in axes.containers if isinstance(one, BarContainer))
    assert (bars.errorbar is None) is is_short(story)


def test_the_box_is_about_short_spans(story):
    said = f"{LEAST_BARS - 1:,} test bars have a label, fewer than {LEAST_BARS:,}"
    assert (said in report.warnings(story)) is is_short(story)


def test_a_backtest_tells_no_ends_of_a_short_span(story):
    blank = Line(**dict.fromkeys(Line._fields))
    line = blank._replace(judged=story.members["gru"])
    shown, kept = (one.saved(line, GAIN) for one in (report_backtest, telling_backtest))
    if is_short(story):
        assert (shown, kept) == ("2.000", [0.002, None, None])
    else:
        assert (shown, kept) == ("2.000 [1.000, 3.000]", list(GAIN))


@pytest.mark.parametrize(
    ("bars", "weight"), [(1, 1.0), (2, 1.0), (30, 0.0)], ids=["one", "two", "no label"]
)
def test_what_nobody_knows_is_a_dash_and_never_nan(bars, weight):
    """Of a bar or two there is no error, without a label no score."""
    random = np.random.default_rng(2)
    shape = bars, 12
    said, flat = random.dirichlet([2, 2, 2], shape), np.full((*shape, 3), 1 / 3)
    classes = random.integers(0, 3, shape).astype(np.int32)
    weights, folds = np.full(shape, weight, np.float32), np.zeros(bars, int)
    outcome = Outcome(random.normal(size=shape), classes, weights, 3, folds)
    one = judge(said, outcome, flat, flat)
    for pretended in (bars, LEAST_BARS):
        cells = report_skill.scores("gru", told(one, pretended).members["gru"])
        assert not [cell for cell in cells if "nan" in cell]
        assert ("–" in cells) is not weight


def test_where_no_profit_varied_luck_explains_nothing():
    assert report_luck.verdict(0.96) == "here luck is an unlikely explanation"
    assert report_luck.verdict(0.94) == "here luck is not an unlikely explanation"
    assert "here there is none" in report_luck.verdict(float("nan"))
