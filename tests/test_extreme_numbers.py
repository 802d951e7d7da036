"""Every number of the configuration, at values that nobody can have meant."""

import copy
import typing
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import pytest

from bot4jax.config import load, validate
from bot4jax.errors import ConfigError
from bot4jax.schema import Config
from bot4jax.schema.bounds import Section
from bot4jax.schema.data import AnyData
from bot4jax.validation import source_of

NAN, INF = float("nan"), float("inf")
HUGE = 1e300, -1e300, 10**30, -(10**30)
"""Beyond float32, and beyond 64 bits once they are nanoseconds."""

MOST_NS = 2**63 - 1
LONGEST_WAIT_MS = 2**31 - 1
NS = {"_ms": 10**6, "_s": 10**9, "_seconds": 10**9}


def numbers(kind: type, above: str = "") -> Iterator[tuple[str, str, Any]]:
    """Of each leaf that takes a number: the source it belongs to, its key, its type."""
    for field in msgspec.structs.fields(kind):
        key = f"{above}{field.name}"
        for own in variants(field.type):
            if isinstance(own, type) and issubclass(own, Section):
                is_data = field.type == AnyData
                for source, inner, hint in numbers(own, f"{key}."):
                    yield (source_of(own) if is_data else source), inner, hint
            elif base(own) in (int, float):
                yield "simulator", key, own


def variants(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if hint == AnyData else (hint,)


def base(hint: Any) -> Any:
    """What a leaf takes: one of a list, of what may be null the other."""
    while arguments := typing.get_args(hint):
        hint = arguments[0]
    return hint


def bounds(hint: Any) -> msgspec.Meta:
    """What is said of each number."""
    while typing.get_origin(hint) is not Annotated or hint.__metadata__[0].min_length:
        hint = typing.get_args(hint)[0]
    return hint.__metadata__[0]


NUMBERS = {(source, key): hint for source, key, hint in numbers(Config)}


@pytest.fixture(scope="module")
def trees():
    """A sound configuration of every source."""

    def tree(source: str) -> dict[str, Any]:
        words = [] if source == "simulator" else ["data.path=."]
        words += ["plugins=[mine]", "data.name=mine"] if source == "plugin" else []
        words += ["data.file=x.csv"] if source == "columns" else []
        return msgspec.to_builtins(load([f"data={source}", *words]))

    return {source: tree(source) for source, _ in NUMBERS}


def refusal(tree: dict[str, Any], key: str, value: Any) -> tuple[str, ...]:
    """All that is said against a configuration in which one number is this."""
    tree, (*sections, leaf) = copy.deepcopy(tree), key.split(".")
    node = tree
    for section in sections:
        node = node[section]
    is_list = isinstance(node[leaf], list)
    node[leaf] = [value] * max(1, len(node[leaf])) if is_list else value
    try:
        validate(tree)
    except ConfigError as error:
        return tuple(error.problems)
    return ()


def test_every_number_is_walked():
    assert len(NUMBERS) > 130
    assert ("simulator", "runtime.skew_limit_ms") in NUMBERS
    assert ("daily", "data.delisting_return") in NUMBERS
    assert ("simulator", "nets.gru.widths") in NUMBERS
    assert ("simulator", "backtest.latencies_ms") in NUMBERS
    assert ("simulator", "data.symbols") in NUMBERS


@pytest.mark.parametrize("value", [*HUGE, INF, -INF, NAN])
@pytest.mark.parametrize(("source", "key"), NUMBERS)
def test_a_number_that_nothing_holds_is_refused_by_its_key(trees, source, key, value):
    """Whoever computes with it would fail at it, or find it infinite."""
    told = refusal(trees[source], key, value)
    assert told
    assert all(one.startswith(f"{key}: ") for one in told)
    assert all("expected a" in one and "found " in one for one in told)


@pytest.mark.parametrize("value", [-1, 0, 1e-300])
@pytest.mark.parametrize(("source", "key"), NUMBERS)
def test_the_least_numbers_are_taken_or_refused_in_a_sentence(
    trees, source, key, value
):
    for one in refusal(trees[source], key, value):
        assert ": " in one


@pytest.mark.parametrize(("source", "key"), NUMBERS)
def test_the_largest_time_fits_where_it_is_counted(source, key):
    """In nanoseconds of 64 bits; waiting, in milliseconds of 32."""
    unit = next((NS[end] for end in NS if key.endswith(end)), None)
    own = bounds(NUMBERS[source, key])
    most = own.le if own.le is not None else own.lt
    assert most is not None
    if unit is not None and key != "rollout.slowest_ms":  # is compared, and no more
        assert most * unit <= MOST_NS
    if key.endswith(("timeout_s", "quiet_s")):
        assert most * 1_000 <= LONGEST_WAIT_MS
