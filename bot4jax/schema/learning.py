"""What is learnt: features, members, labels, their vote, and how nets are fitted."""

from typing import Annotated, Literal

from msgspec import Meta

from bot4jax.schema.bounds import (
    LARGEST,
    MOST,
    Count,
    CountOrNone,
    MillisecondsOrNone,
    NonNegative,
    Positive,
    PositiveShare,
    ProperShare,
    Section,
    Share,
    Text,
)

Member = Literal["lstm", "gru", "cnn", "transformer", "trees"]
"""Of ours; `plugins` bring others."""


class Features(Section, frozen=True):
    """What the nets and trees see."""

    window: Annotated[int, Meta(ge=16, le=4096, multiple_of=16)]
    """bars of history; window sums keep blocks of 16"""
    clip: Positive
    """robust standard deviations beyond which a value is clamped and counted"""
    names: Literal["all"] | Annotated[tuple[Text, ...], Meta(min_length=1)]
    """features of the catalogue to use"""
    fallback: tuple[Text, ...]
    """those of them that the fallback reads; it computes them by itself, so they should
    be sums and recursions, which are quick"""


class Lstm(Section, frozen=True):
    widths: Annotated[tuple[Count, ...], Meta(min_length=1)]
    """units of each layer, first to last"""


class Gru(Section, frozen=True):
    widths: Annotated[tuple[Count, ...], Meta(min_length=1)]
    """units of each layer, first to last"""


class Cnn(Section, frozen=True):
    channels: Annotated[tuple[Count, ...], Meta(min_length=1)]
    """of each layer, first to last"""
    dilations: Annotated[tuple[Count, ...], Meta(min_length=1)]
    """bars between the taps of each layer"""
    kernel: Annotated[int, Meta(ge=2, le=MOST)]
    """taps of each layer"""


class Transformer(Section, frozen=True):
    width: Count
    """of the residual stream; a multiple of `heads`"""
    blocks: Count
    """attention and feed-forward, one after the other"""
    heads: Count
    """of the attention, each with queries of its own; a multiple of `key_heads`"""
    key_heads: Count
    """heads that have keys and values of their own, which the others share in equal
    groups; 1: all share one pair (multi-query), `heads`: each has its own; what is kept
    of every symbol's last bars, and read at every step, grows with them"""
    feed_forward: Count
    """width of the hidden layer of each block"""
    context: Count
    """bars that attention looks back"""


class Nets(Section, frozen=True):
    """Sizes of the streaming nets, shared by all symbols."""

    stem: Count
    """width of the projection of the features that all nets share"""
    lstm: Lstm
    gru: Gru
    cnn: Cnn
    transformer: Transformer


class Trees(Section, frozen=True):
    """Sizes and penalties of the gradient boosting."""

    rounds: Count
    """trees a class"""
    depth: Count
    """splits from root to leaf; above 7 each row walks down the trees in the step, a
    few gathers a level; no tree has more than 16,384 leaves"""
    learning_rate: PositiveShare
    """η: share of each tree's step that is taken"""
    min_child_weight: NonNegative
    """least sum of second derivatives in a leaf"""
    gamma: NonNegative
    """least gain of a split"""
    subsample: PositiveShare
    """share of the samples each tree sees"""
    colsample: PositiveShare
    """share of the features each tree sees"""
    reg_lambda: NonNegative
    """L2 penalty of the leaves"""
    patience: CountOrNone
    """rounds without a better loss on `watched` bars, after which no more are boosted;
    0: all `rounds`"""
    watched: ProperShare
    """share of the training bars, the last ones behind a purged gap, that tell how many
    rounds are enough; the forest is then fitted on all of them"""
    predictor: Literal["fused", "xgboost"]
    """fused: compiled into the step, the choice on a CPU; xgboost: its own, beside the
    nets on the host or, the choice of `hardware=gpu`, on the device; both say the same,
    so that a fitted run may be traded with either"""
    damaged: Literal["refuse", "off"]
    """a fitted run whose forest's file is gone or was changed does not start, or trades
    without that member"""


class Labels(Section, frozen=True):
    """What is forecast: down, flat or up."""

    horizon: Count
    """bars the forward return spans"""
    latency_ms: MillisecondsOrNone
    """ms from decision to the first executable price; less than one bar"""
    threshold: Literal["quantile", "cost"]
    """± k·σ·√horizon; quantile: k fitted so that `flat_share` comes out in training;
    cost: k so that it is a round trip's cost, refused where a class has under 2 %"""
    flat_share: ProperShare
    """share of training labels that are flat; of an order book, of each symbol's"""
    ends: Literal["horizon", "barriers"]
    """where the return is taken that decides the class; horizon: at its end; barriers:
    at the first close beyond ± k·σ·√horizon within it, if there is one"""
    class_weights: tuple[Positive, Positive, Positive]
    """of down, flat and up in the fit of the members, times a sample's uniqueness;
    nothing is judged by them: others than 1 make forecasts lean to what weighs more,
    which a temperature does not mend, so take `ensemble.calibration=isotonic` then"""


class Ensemble(Section, frozen=True):
    """How the members vote."""

    members: Annotated[tuple[Text, ...], Meta(min_length=1)]
    """who votes, ours or a plugin's; the order is the order of every report"""
    floor: Share
    """least weight of a healthy member, so that it can recover"""
    cap: PositiveShare
    """most weight of one member, so that none rules alone"""
    decay: PositiveShare
    """α: what an old score keeps after each matured bar"""
    learning_rate: Positive
    """exponent of a score in its weight; 1 is Bayes' rule"""
    calibration: Literal["temperature", "isotonic"]
    """of each member and of the vote, on the calibration span; isotonic: after the
    temperature, a rising curve for each class, where 2,000 labels do not overlap"""
    regimes: Literal["none", "volatility"]
    """that have a calibration each, shrunk to that of all by how few labels they have;
    volatility: three, by where in its own training span a symbol's volatility lies"""


class Train(Section, frozen=True):
    """How nets are fitted."""

    epochs: Count
    """passes over the training span"""
    symbols_per_batch: Count
    """symbols whose bars one update sees; at most all there are"""
    chunk: Count
    """bars of one truncated back-propagation"""
    learning_rate: Positive
    """peak, AdamW"""
    warmup: Share
    """share of all updates that raise the learning rate from 0"""
    weight_decay: NonNegative
    """share of a weight that an update at the peak rate 1 takes away"""
    clip_norm: Positive
    """global norm that gradients are clipped to"""
    explosion: Annotated[float, Meta(ge=1, le=LARGEST)]
    """× `clip_norm`: nothing is learnt from a longer gradient, it points anywhere"""
    cut: ProperShare
    """× the learning rate after such an update; it recovers by a tenth an update"""
    most_skipped: Count
    """updates in a row that teach nothing, after which training stops"""
    parts: Count
    """that a batch is cut into, one after the other, where all at once need too much
    memory: gradients add up to those of the whole batch"""
    checkpoint_every: CountOrNone
    """updates between two checkpoints, from which a killed fit goes on; 0: none"""
    samples: Literal["memory", "disk"]
    """where bars and features wait until they are read; disk: in files of the run that
    are mapped, for spans larger than memory"""
