"""What a report says between forecasts that are right and a result that is not."""

import pytest

from bot4jax.learn.evaluate import Judged
from bot4jax.modes.report_trade import between, idle
from bot4jax.modes.story import Story, TradeFacts


def told(
    coefficient: float, gross: float, net: float, p: float = 0.001, **denials: int
) -> str:
    """Of a run with this IC, its p value and this result."""
    one = Judged(**dict.fromkeys(Judged._fields, 0.0))
    trade = TradeFacts(**dict.fromkeys(TradeFacts._fields))
    trade = trade._replace(
        pnl={"gross": gross, "net": net}, orders=1_200, denials=denials
    )
    story = Story(**dict.fromkeys(Story._fields))
    own = one._replace(information_coefficient=coefficient, information_p_value=p)
    return between(story._replace(ensemble=own, trade=trade))


@pytest.mark.parametrize(
    ("coefficient", "net"), [(0.08, 1.0), (-0.01, -5.0), (float("nan"), -5.0)]
)
def test_nothing_is_explained_that_agrees(coefficient, net):
    assert told(coefficient, 10.0, net) == ""


def test_costs_beyond_what_trading_brought_are_told():
    said = told(0.082, 200.0, -100.0, NET=7, GROSS=2)
    assert "IC of 0.082" in said
    assert "brought 200.00 at the mids" in said
    assert "cost 300.00, 1.5 times as much" in said
    assert "smaller 9 of what was wanted, beside 1,200 orders that left" in said
    assert "most often by NET, 7 times" in said


def test_a_loss_before_costs_is_no_matter_of_costs():
    said = told(0.082, -821.0, -1007.0)
    assert "lost by itself, before any cost" in said
    assert "times as much" not in said
    assert "The gate stopped nothing." in said


@pytest.mark.parametrize(("p", "brackets"), [(0.42, " (p 0.42)"), (float("nan"), "")])
def test_an_order_that_may_be_chance_explains_nothing(p, brackets):
    """Regression: an IC of .006 with p .42 was held against a loss, which sizing and
    the gate had made of right forecasts."""
    said = told(0.006, -20.0, -43.0, p=p, BELOW_MINIMUM=240)
    zero = f"The ensemble's IC of 0.006 cannot be told from zero{brackets}: no forecast"
    assert zero in said
    assert "sizing" not in said
    assert "most often by BELOW_MINIMUM, 240 times" in said
    assert "above zero" in told(0.006, -20.0, -43.0, p=0.05)


@pytest.mark.parametrize(
    ("orders", "denials", "is_told"),
    [(0, {}, True), (0, {"NET": 1}, False), (3, {}, False)],
)
def test_a_run_that_wanted_no_order_says_so(orders, denials, is_told):
    """Regression: its report had rows of zeros and no word of why."""
    trade = TradeFacts(**dict.fromkeys(TradeFacts._fields))
    said = idle(trade._replace(orders=orders, denials=denials))
    assert ("No bar asked for an order." in said) is is_told
    assert ("mode=explain" in said) is is_told
