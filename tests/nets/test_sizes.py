"""Sizes that cannot be built are named, all of them at once."""

import pytest

from bot4jax.nets.sizes import (
    CNNSizes,
    LSTMSizes,
    NetSizes,
    TransformerSizes,
    problems,
)


def test_the_defaults_can_be_built():
    assert problems(NetSizes()) == []


@pytest.mark.parametrize(
    ("sizes", "key"),
    [
        (NetSizes(members=()), "members"),
        (NetSizes(members=("gru", "gru")), "members"),
        (NetSizes(members=("trees",)), "members"),
        (NetSizes(cnn=CNNSizes(channels=(8,))), "cnn.dilations"),
        (NetSizes(cnn=CNNSizes(kernel=0)), "cnn.kernel"),
        (NetSizes(lstm=LSTMSizes(widths=())), "lstm.widths"),
        (NetSizes(stem=0), "stem"),
        (NetSizes(transformer=TransformerSizes(width=30)), "transformer.width"),
        (NetSizes(transformer=TransformerSizes(key_heads=3)), "transformer.heads"),
        (NetSizes(transformer=TransformerSizes(context=0)), "transformer.context"),
    ],
)
def test_what_cannot_be_built_is_named(sizes, key):
    (sentence,) = problems(sizes)
    assert sentence.startswith(f"{key}: ")


def test_every_problem_is_listed():
    wrong = NetSizes(stem=-1, transformer=TransformerSizes(heads=0, key_heads=0))
    assert len(problems(wrong)) >= 3


def test_sizes_are_a_key():
    assert hash(NetSizes()) == hash(NetSizes())
    assert NetSizes() != NetSizes(stem=32)
