"""The typed configuration: every key with its unit, its bounds and its reason.

Values stand in `conf/`, once; here stands what they may be. No defaults here, so that
there is one place to look and one to change. A key is `section.field`, as in
`features.window=128`. Sections lie by what they are about in the files beside this one,
and are imported from there. Nothing here imports JAX or anything that does.
"""

from typing import Literal

from bot4jax.schema.bounds import Section, Text
from bot4jax.schema.data import AnyData, Spans
from bot4jax.schema.learning import Ensemble, Features, Labels, Nets, Train, Trees
from bot4jax.schema.modes import (
    Backtest,
    Catalogue,
    Certify,
    Control,
    Explain,
    Journal,
    Keys,
    Lob,
    Mode,
    Replay,
    Run,
)
from bot4jax.schema.process import Hardware, Runtime
from bot4jax.schema.rollout import Rollout
from bot4jax.schema.trading import Execution, Risk, Strategy, Venue


class Config(Section, frozen=True):
    """Everything that a run depends on."""

    mode: Mode
    """what to do"""
    preset: Literal["cpu", "full"]
    """sizes of nets and trees: for two processor cores, for an accelerator"""
    plugins: tuple[Text, ...]
    """modules of your own that register features, imported in this order"""
    run: Run
    replay: Replay
    journal: Journal
    explain: Explain
    control: Control
    backtest: Backtest
    catalogue: Catalogue
    keys: Keys
    certify: Certify
    lob: Lob
    data: AnyData
    spans: Spans
    features: Features
    nets: Nets
    trees: Trees
    labels: Labels
    ensemble: Ensemble
    strategy: Strategy
    execution: Execution
    risk: Risk
    rollout: Rollout
    runtime: Runtime
    venue: Venue
    train: Train
    hardware: Hardware
