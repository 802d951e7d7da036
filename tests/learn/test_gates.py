"""Gates that no longer move and gradients that fade on their way back: against NumPy,
then planted, seen, named."""

import logging
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bot4jax.learn import gates, health
from bot4jax.learn.schedule import Samples
from bot4jax.learn.update import Form
from bot4jax.nets import zoo
from bot4jax.nets.sizes import CNNSizes, GRUSizes, LSTMSizes, NetSizes
from tests.learn.small_fit import fitted, samples, settings, undisturbed
from tests.small_nets import FEATURES, SMALL, SYMBOLS, inputs, noisy, quick, unroll

BARS = 5
EDGE = 1e-5
"""Of gates: no planted one is as near to the edges, so that shares are exact."""


def array(leaf):
    return np.asarray(leaf[...], np.float64)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def normalised(norm, x):
    x = x - x.mean()
    return x / np.sqrt((x**2).mean() + 1e-6) * array(norm.scale) + array(norm.bias)


def gelu(x):
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def lstm_bar(layer, x, memory):
    """i, f and o of one bar, what is remembered behind it, and what the layer says."""
    hidden, cell = memory
    drive = x @ array(layer.input.kernel) + array(layer.input.bias)
    i, f, o, g = np.split(drive + hidden @ array(layer.hidden.kernel), 4)
    cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
    hidden = sigmoid(o) * np.tanh(cell)
    said = normalised(layer.norm, hidden + x @ array(layer.shortcut.kernel))
    return sigmoid(np.concatenate([i, f, o])), (hidden, cell), said


def gru_bar(layer, x, memory):
    """r and z of one bar, what is remembered behind it, and what the layer says."""
    (hidden,) = memory
    drive = x @ array(layer.input.kernel) + array(layer.input.bias)
    past = hidden @ array(layer.hidden.kernel) + array(layer.hidden.bias)
    (x_r, x_z, x_n), (h_r, h_z, h_n) = np.split(drive, 3), np.split(past, 3)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    hidden = (1 - z) * np.tanh(x_n + r * h_n) + z * hidden
    return np.concatenate([r, z]), (hidden,), normalised(layer.norm, hidden)


def by_hand(sizes, params, xs):
    """Gates of every layer at the last bar of one symbol, float64, from nothing."""
    modules: Any = zoo.modules_of(sizes, FEATURES, params)
    nets = dict(zip(sizes.members, modules.nets, strict=True))
    layers = [(lstm_bar, 2, layer) for layer in nets["lstm"].layers]
    layers += [(gru_bar, 1, layer) for layer in nets["gru"].layers]
    kept = [(np.zeros(layer.width),) * parts for _, parts, layer in layers]
    heads, found = len(nets["lstm"].layers), []
    for bar in np.asarray(xs, np.float64):
        stem, project = modules.stem, modules.stem.project
        drive = bar @ array(project.kernel) + array(project.bias)
        below, found = gelu(normalised(stem.norm, drive)), []
        said = below
        for i, (turn, _, layer) in enumerate(layers):
            said = below if i == heads else said  # the other net begins at the stem
            gate, kept[i], said = turn(layer, said, kept[i])
            found.append(gate)
    return found


@pytest.fixture(scope="module")
def case():
    """Weights that saturate some gates and leave others, and what NumPy makes of it."""
    params, xs = noisy(SMALL, scale=1.5), inputs(bars=BARS)
    told = [by_hand(SMALL, params, xs[:, s]) for s in range(SYMBOLS)]
    expected = [np.stack(layer) for layer in zip(*told, strict=True)]
    carry, _ = unroll(SMALL, params, zoo.init_carry(SMALL, SYMBOLS), xs[:-1])
    return params, carry, xs[-1], expected


def shares_of(expected):
    return [np.mean((own < gates.SHUT) | (own > gates.OPEN)) for own in expected]


def saturated(params, carry, batch):
    form = Form(SMALL, 1, "float32")
    looked = quick(lambda *given: gates.saturated(form, *given))
    return np.asarray(looked(params, carry, batch))


def chunk(x, weights):
    """One that begins with a bar."""
    features = np.stack([np.asarray(x)] * 2)
    return Samples(features, np.zeros((2, len(x)), np.int32), weights)


def test_the_gates_are_those_of_the_equations(case):
    params, carry, x, expected = case
    assert zoo.gated(SMALL) == ("lstm layers 0", "lstm layers 1", "gru layers 0")
    found = quick(zoo.gates, static_argnums=0)(SMALL, params, carry, x)
    assert [own.shape for own in found] == [(3, 18), (3, 15), (3, 8)]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=EDGE / 2)


def test_the_share_is_of_gates_beyond_the_edges(case):
    params, carry, x, expected = case
    every = np.concatenate([np.ravel(own) for own in expected])
    for edge in (gates.SHUT, gates.OPEN):
        assert np.abs(every - edge).min() > EDGE
        assert 0 < (every > edge).mean() < 1
    found = saturated(params, carry, chunk(x, np.ones((2, SYMBOLS), np.float32)))
    np.testing.assert_allclose(found, shares_of(expected), atol=1e-6)


def test_symbols_that_teach_nothing_do_not_count(case):
    params, carry, x, expected = case
    weights = np.ones((2, SYMBOLS), np.float32)
    weights[:, 1] = 0
    found = saturated(params, carry, chunk(x, weights))
    kept = [own[[0, 2]] for own in expected]
    assert shares_of(kept) != shares_of(expected)
    np.testing.assert_allclose(found, shares_of(kept), atol=1e-6)
    assert not saturated(params, carry, chunk(x, 0 * weights)).any()


def test_nets_without_gates_have_no_share():
    convolutions = CNNSizes(channels=(4, 4), dilations=(1, 2))
    sizes = NetSizes(stem=4, cnn=convolutions, members=("cnn",))
    _, told = fitted(sizes=sizes)
    assert told.saturated.shape == (30, 0)
    assert list(told.ends) == ["cnn"]
    assert health.in_words(told)["saturated"] == {}


def test_the_first_and_last_layers_are_those_of_the_data_s_way():
    """A Transformer's embedding comes first, though its name does not."""
    found = zoo.ends(NetSizes())
    assert {name: own[:2] for name, own in found.items()} == {
        "lstm": ("lstm layers 0", "lstm layers 1"),
        "cnn": ("cnn layers 0", "cnn layers 2"),
        "transformer": ("transformer embed", "transformer blocks 0"),
    }
    embed, block = 48 * 32 + 32, 32 * 48 + 4 * 32 + 32**2 + 2 * 32 * 64 + 96 + 4 * 32
    assert found["transformer"].larger == pytest.approx(embed / block)


def test_every_eighth_update_is_looked_at_and_the_last():
    told = undisturbed()[1]
    seen = np.isfinite(told.saturated)
    assert (seen.all(1) == seen.any(1)).all()
    assert np.flatnonzero(seen.all(1)).tolist() == [0, 8, 16, 24, 29]


def test_a_sound_fit_warns_of_nothing(caplog):
    with caplog.at_level(logging.WARNING):
        words = health.in_words(fitted()[1])
    assert not caplog.messages
    assert words["warnings"] == []
    assert set(words["saturated"]) == {"lstm layers 0", "lstm layers 1"}
    assert words["saturated"]["lstm layers 0"]["last"] < 0.1
    assert 0.1 < words["first_to_last"]["lstm"]["last"] < 10


DEEP = NetSizes(
    stem=6,
    lstm=LSTMSizes(widths=(5, 4)),
    gru=GRUSizes(widths=(5, 5, 5)),
    members=("lstm", "gru"),
)
SLOW = settings(learning_rate=1e-6, weight_decay=0.0)
"""What is planted stays as it is."""


def beginning_with(monkeypatch, member, factor):
    """Fits begin with a net's recurrent and input matrices × factor, heads loud."""
    first = zoo.init

    def planted(sizes, *given):
        params = first(sizes, *given)
        modules: Any = zoo.modules_of(sizes, given[0], params)
        at = sizes.members.index(member)
        for layer in modules.nets[at].layers:
            for matrix in (layer.input, layer.hidden):
                matrix.kernel[...] = matrix.kernel[...] * factor
        nets = list(params.nets)
        nets[at] = zoo.packed(modules.nets[at])
        noise = jax.random.normal(jax.random.key(0), params.heads.rest.shape)
        heads = params.heads._replace(rest=params.heads.rest + noise)
        return params._replace(nets=tuple(nets), heads=heads)

    monkeypatch.setattr(zoo, "init", planted)


def test_huge_weights_saturate_gates_and_are_told(monkeypatch, caplog):
    beginning_with(monkeypatch, "lstm", 100.0)
    heard = []
    with caplog.at_level(logging.WARNING):
        _, told = fitted(
            sizes=DEEP, own=SLOW, log=lambda update, values: heard.append(values)
        )
    words = health.in_words(told)
    for layer in ("lstm layers 0", "lstm layers 1"):
        assert words["saturated"][layer]["last"] > 0.8
        assert heard[8][f"saturated/{layer}"] == pytest.approx(
            told.saturated[8, told.gated.index(layer)]
        )
    assert "saturated/lstm layers 0" not in heard[9]  # nobody looked
    for layer in ("gru layers 0", "gru layers 1", "gru layers 2"):
        assert words["saturated"][layer]["last"] < 0.1
    assert [one.split(" ended")[0] for one in words["warnings"]] == [
        "lstm layers 0",
        "lstm layers 1",
    ]
    assert [one.removesuffix(".") for one in caplog.messages] == words["warnings"]
    assert "below 0.05 or above 0.95" in caplog.messages[0]


def test_tiny_weights_let_the_gradient_fade_and_are_told(monkeypatch, caplog):
    beginning_with(monkeypatch, "gru", 1e-4)
    heard = []
    with caplog.at_level(logging.WARNING):
        _, told = fitted(
            sizes=DEEP, own=SLOW, log=lambda update, values: heard.append(values)
        )
    words = health.in_words(told)
    assert words["first_to_last"]["gru"]["last"] < health.FADING
    assert words["first_to_last"]["lstm"]["last"] > 0.1
    (sentence,) = words["warnings"]
    assert sentence.startswith("gru ended its training with a gradient that is ")
    assert "less than" in sentence
    assert caplog.messages == [f"{sentence}."]
    last = told.layer_gradient[-1]
    first, end = (last[told.layers.index(f"gru layers {i}")] for i in (0, 2))
    larger = (6 + 5) / (5 + 5)  # inputs and units; biases and norms beside them
    found = heard[-1]["first_to_last/gru"]
    assert found == pytest.approx(first / end * larger**0.5, rel=0.05)


def test_a_gradient_that_grows_on_its_way_back_is_told():
    """From numbers: a layer's own normalisation keeps nets of ours from it."""
    told = undisturbed()[1]
    column = told.layers.index("lstm layers 0")
    grown = told.layer_gradient.copy()
    grown[:, column] *= 1e5
    (sentence,) = health.warnings(told._replace(layer_gradient=grown))
    assert sentence.startswith("lstm ended")
    assert "it grows on its way back" in sentence


def test_a_fit_that_recovered_is_not_warned_of():
    """The end is judged, not the start; updates that taught nothing do not count."""
    told = undisturbed()[1]
    *seen, last = np.flatnonzero(np.isfinite(told.saturated).all(1))
    recovered, ill = told.saturated.copy(), told.saturated.copy()
    recovered[seen], ill[last] = 1, 1
    skipped = told.skipped.copy()
    skipped[last] = 1
    assert not list(health.warnings(told._replace(saturated=recovered)))
    assert len(list(health.warnings(told._replace(saturated=ill)))) == 2
    assert not list(health.warnings(told._replace(saturated=ill, skipped=skipped)))


def test_in_parts_the_whole_batch_is_looked_at():
    told = fitted(own=settings(parts=2))[1]
    alone = undisturbed()[1]
    np.testing.assert_allclose(told.saturated[0], alone.saturated[0], atol=1e-6)


def test_a_first_bar_that_is_no_number_is_no_saturation():
    data = samples()
    features = jnp.asarray(data.features).at[0].set(jnp.nan)
    found = fitted(data=data._replace(features=np.asarray(features)))[1]
    assert not found.saturated[0].any()
