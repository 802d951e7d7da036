"""What a report says of itself where nothing was tested, or only one symbol was."""

import pytest

from bot4jax.learn.returns import break_even
from bot4jax.modes.markup import even
from bot4jax.modes.report import introduction
from bot4jax.modes.report_features import features
from bot4jax.modes.story import FeatureFacts, MarketFacts, Story

SPANS = {"train": 200, "calibrate": 64, "test": 80}


def story(symbols: int = 16, is_judged: bool = True, values: int = 0) -> Story:
    """A run of these spans, whose ensemble was asked or not."""
    market = MarketFacts(**dict.fromkeys(MarketFacts._fields))
    empty = {name: {} for name in FeatureFacts._fields} | {"names": ("mean",)}
    facts = FeatureFacts(**empty | {"masked": {"mean": 0}, "clamped": {"mean": 0}})
    return Story(**dict.fromkeys(Story._fields))._replace(
        market=market._replace(
            source="mine", symbols=symbols, bar_seconds=60.0, spans=SPANS
        ),
        summary={},
        ensemble=object() if is_judged else None,
        features=facts._replace(values=values, novelty=[], twins=None),
    )


def test_a_training_does_not_speak_of_unseen_bars():
    """Regression: its report said that figures come from bars that it never met."""
    said = introduction(story(is_judged=False))
    assert "Nothing was tested" in said
    assert "Figures come from the unseen bars" not in said
    assert "mode=backtest run.model=FOLDER" in said
    assert "judges the 80 unseen bars" in said
    assert "Figures come from the unseen bars" in introduction(story())


def test_one_symbol_is_one():
    assert introduction(story(symbols=1)).startswith("<p>1 symbol of <b>mine</b>")
    assert introduction(story(symbols=2)).startswith("<p>2 symbols of")


def test_features_without_a_test_are_computed_and_no_more():
    """Regression: "of 0 values of each feature some of 0 features were masked"."""
    assert "1 of 1 features were computed. </p>" in features(story())
    assert "Of 7 values of each feature" in features(story(values=7))


@pytest.mark.parametrize(
    ("gross", "cost", "told"),
    [(-20.22, 22.5, "none"), (0.0, 1.0, "none"), (3.0, 2.0, "1.50"), (3.0, 0.0, "–")],
)
def test_who_lost_before_any_cost_has_no_break_even(gross, cost, told):
    """Regression: it was a number below zero, which nobody can pay."""
    assert even(break_even(gross, cost)) == told
