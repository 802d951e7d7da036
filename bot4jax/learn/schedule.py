"""What each update learns from and how far it goes: functions of seed and number.

Time is the outer loop: every group of symbols learns from a chunk before any goes on.
Symbols share the market's noise, and a group that walks through the whole span alone
teaches it to the nets once more: of simulated returns with a common factor, forecasts
were worse than the class prior by .001 to .002 of log loss where they are now better by
as much.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bot4jax.errors import DataError
from bot4jax.schema.learning import Train
from bot4jax.types import CLASSES

AVERAGED = 0.3
"""Share of the updates, the last ones, whose weights are averaged: their mean is kept,
since single steps on a weak signal are mostly noise (Polyak & Juditsky 1992)."""


class Samples(NamedTuple):
    """Feature scores, labels and what each sample is worth."""

    features: Float[np.ndarray, "T S F"]
    labels: Int[np.ndarray, "T S"]
    weights: Float[np.ndarray, "T S"]


class Visit(NamedTuple):
    """One chunk of bars of one group of symbols."""

    bars: slice
    """of the span"""
    is_fresh: bool
    """nothing is remembered yet of what came before"""
    group: int
    symbols: Int[np.ndarray, " G"]


class Pace(NamedTuple):
    """How far one update goes: numbers, so that other settings do not recompile."""

    rate: np.float32
    """learning rate"""
    decay: np.float32
    """share of a matrix that an update at rate 1 takes away"""
    averaging: np.float32
    """how far the mean moves to the weights: not at all at first, then by 1, ½, ⅓ …"""
    clip_norm: np.float32
    """longest gradient, all weights together"""
    explosion: np.float32
    """norm beyond which nothing is learnt from a gradient"""
    cut: np.float32
    """× the rate, after an update that nothing was learnt from"""


def visits(
    bars: int,
    symbols: int,
    settings: Train,
    seed: int,
    seams: tuple[int, ...] = (),
) -> list[Visit]:
    """Chunks in the order of time; each of all groups, in an order drawn anew.

    Symbols are dealt anew in every epoch. No chunk reaches across a seam, where another
    time begins.
    """
    random, found = np.random.default_rng(seed), []
    group = group_size(symbols, settings)
    for _ in range(settings.epochs):
        order = random.permutation(symbols)
        groups = [order[at : at + group] for at in range(0, symbols, group)]
        for chunk in chunks(bars, settings.chunk, seams):
            is_fresh = chunk.start in (0, *seams)
            turns = random.permutation(len(groups)).tolist()
            found += [Visit(chunk, is_fresh, own, groups[own]) for own in turns]
    return found


def chunks(bars: int, length: int, seams: tuple[int, ...] = ()) -> list[slice]:
    """Rows of at most `length`, in order, each on one side of every seam."""
    return [
        slice(start, min(start + length, stop))
        for first, stop in pairwise((0, *seams, bars))
        for start in range(first, stop, length)
    ]


def group_size(symbols: int, settings: Train) -> int:
    """Symbols that learn together; the last group may have fewer."""
    return min(settings.symbols_per_batch, symbols)


def paces(settings: Train, updates: int) -> list[Pace]:
    """Rates rise in a line and fall in a cosine (Loshchilov & Hutter 2017)."""
    warm = max(1, round(settings.warmup * updates))
    done = np.arange(1, updates + 1)
    fall = np.clip((done - warm) / max(updates - warm, 1), 0, 1)
    rates = settings.learning_rate * np.minimum(
        done / warm, (1 + np.cos(np.pi * fall)) / 2
    )
    counted = np.maximum(done - int((1 - AVERAGED) * updates), 0)
    moves = np.divide(1, counted, out=np.zeros(updates), where=counted > 0)
    return [pace(settings, *one) for one in zip(rates, moves, strict=True)]


def pace(settings: Train, rate: float, averaging: float) -> Pace:
    """An update at this rate."""
    explosion = settings.explosion * settings.clip_norm
    numbers = (rate, settings.weight_decay, averaging, settings.clip_norm, explosion)
    return Pace(*map(np.float32, (*numbers, settings.cut)))


def batch_of(samples: Samples, visit: Visit, bars: int, lanes: int) -> Samples:
    """What an update learns from, `[bars, lanes, …]`.

    The last group and the last chunks are filled up with samples of weight 0, so that
    all batches have one shape.
    """
    rows = (column[visit.bars] for column in samples)
    return Samples(*(padded(one[:, visit.symbols], bars, lanes) for one in rows))


def blank_batch(settings: Train, lanes: int, features: int) -> Samples:
    """A batch that teaches nothing, of the types and shapes that all have."""
    shape = settings.chunk, lanes
    return Samples(
        np.zeros((*shape, features), np.float32),
        np.zeros(shape, np.int8),
        np.zeros(shape, np.float32),
    )


def padded(part: np.ndarray, bars: int, symbols: int) -> np.ndarray:
    """The part, filled up with zeros to `[bars, symbols, …]`."""
    missing = [(0, bars - part.shape[0]), (0, symbols - part.shape[1])]
    missing += [(0, 0)] * (part.ndim - 2)
    return np.pad(part, missing) if any(m for _, m in missing) else part


def class_prior(samples: Samples) -> tuple[float, ...]:
    """Weighted class shares, none of them zero."""
    wrong = int((~(np.isfinite(samples.weights) & (samples.weights >= 0))).sum())
    if wrong:
        raise DataError(
            f"{wrong} of {samples.weights.size} training weights are negative or no "
            "numbers: weigh a label that is none by 0"
        )
    count = np.bincount(
        samples.labels.ravel(), samples.weights.ravel().astype(float), len(CLASSES)
    )
    if not count.sum() > 0:
        raise DataError(
            f"none of {samples.weights.size} training samples has a weight: lengthen "
            "spans.train"
        )
    share = (count + 1) / (count + 1).sum()
    return tuple(share.tolist())
