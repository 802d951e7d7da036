"""All our nets in PyTorch, one bar a call: the stem, the nets, and their heads.

Weights are copied from ours, so that both must say the same. What is remembered is kept
as PyTorch's programs keep it: past rows in the order of time, the oldest dropped as the
newest comes. Symbols have begun together, so that one mask serves all of them, which
ours cannot assume.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from benchmarks import pytorch
from benchmarks.pytorch import Layer, placed, set_linear, set_norm, tensor
from bot4jax.nets import zoo
from bot4jax.nets.layers import EPSILON
from bot4jax.nets.sizes import NetSizes, TransformerSizes

Memory = tuple
"""Of every net what its layers remember: tuples of tensors, symbols first."""


class Recurrent(torch.nn.Module):
    """Layers in a row, each with tensors that it rewrites at every bar."""

    def __init__(self, layer: Callable[..., Any], inputs: int, widths: Sequence[int]):
        super().__init__()
        self.widths, self.width = widths, widths[-1]
        ends = zip((inputs, *widths), widths, strict=False)
        self.layers = torch.nn.ModuleList(layer(*pair) for pair in ends)

    def forward(self, x, memory: Memory):
        """By PyTorch's own layers, which take many bars: here one."""
        layers = [layer.forward for layer in self.layers]
        x, after = self._through(x[None], memory, layers)
        return x[0], after

    def step(self, x, memory: Memory):
        """Written out."""
        return self._through(x, memory, [layer.step for layer in self.layers])

    def _through(self, x, memory: Memory, layers: Sequence[Callable]):
        after = []
        for layer, own in zip(layers, memory, strict=True):
            x, *kept = layer(x, *own)
            after.append(tuple(kept))
        return x, tuple(after)


class LSTM(Recurrent):
    """Hidden state and cell of every layer."""

    def __init__(self, sizes: NetSizes) -> None:
        super().__init__(Layer, sizes.stem, sizes.lstm.widths)

    def fresh(self, symbols: int) -> Memory:
        return tuple(pytorch.fresh(self.widths, symbols))

    def copy(self, ours) -> None:
        pytorch.set_lstm(self.layers, ours)


class GRULayer(torch.nn.Module):
    """norm(hidden)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.gates = torch.nn.GRU(inputs, width)
        self.norm = torch.nn.LayerNorm(width, eps=EPSILON)

    def forward(self, xs, hidden):
        said, hidden = self.gates(xs, hidden[None])
        return self.norm(said), hidden[0]

    def step(self, x, hidden):
        own = self.gates
        drive = functional.linear(x, own.weight_ih_l0, own.bias_ih_l0)
        past = functional.linear(hidden, own.weight_hh_l0, own.bias_hh_l0)
        (r, z, n), (past_r, past_z, past_n) = drive.chunk(3, 1), past.chunk(3, 1)
        n = torch.tanh(n + torch.sigmoid(r + past_r) * past_n)
        hidden = n + torch.sigmoid(z + past_z) * (hidden - n)
        return self.norm(hidden), hidden


class GRU(Recurrent):
    """The hidden state of every layer."""

    def __init__(self, sizes: NetSizes) -> None:
        super().__init__(GRULayer, sizes.stem, sizes.gru.widths)

    def fresh(self, symbols: int) -> Memory:
        return tuple((_zeros(symbols, width),) for width in self.widths)

    def copy(self, ours) -> None:
        for layer, own in zip(self.layers, ours.layers, strict=True):
            gates = layer.gates
            gates.weight_ih_l0.copy_(tensor(own.input.kernel).T)
            gates.bias_ih_l0.copy_(tensor(own.input.bias))
            gates.weight_hh_l0.copy_(tensor(own.hidden.kernel).T)
            gates.bias_hh_l0.copy_(tensor(own.hidden.bias))
            set_norm(layer.norm, own.norm)


class Convolution(torch.nn.Module):
    """relu(norm(taps)) + the input; of one bar a convolution is one product."""

    def __init__(self, inputs: int, width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.inputs, self.reach = inputs, (kernel - 1) * dilation
        self.places = tuple(range(0, self.reach, dilation))
        self.taps = torch.nn.Linear(kernel * inputs, width)
        self.norm = torch.nn.LayerNorm(width, eps=EPSILON)
        self.shortcut = (
            torch.nn.Identity()
            if inputs == width
            else torch.nn.Linear(inputs, width, bias=False)
        )

    def forward(self, x, past: Sequence[torch.Tensor]):
        """`past` are the inputs of the bars before, the oldest first."""
        taps = torch.cat([*(past[place] for place in self.places), x], 1)
        said = torch.relu(self.norm(self.taps(taps))) + self.shortcut(x)
        return said, (*past, x)[1:]


class CNN(torch.nn.Module):
    """Convolutions in a row."""

    def __init__(self, sizes: NetSizes) -> None:
        super().__init__()
        own = sizes.cnn
        ends = (sizes.stem, *own.channels)
        self.width = ends[-1]
        self.layers = torch.nn.ModuleList(
            Convolution(ends[k], ends[k + 1], own.kernel, dilation)
            for k, dilation in enumerate(own.dilations)
        )

    def fresh(self, symbols: int) -> Memory:
        return tuple(
            tuple(_zeros(symbols, layer.inputs) for _ in range(layer.reach))
            for layer in self.layers
        )

    def forward(self, x, memory: Memory):
        after = []
        for layer, own in zip(self.layers, memory, strict=True):
            x, kept = layer(x, own)
            after.append(kept)
        return x, tuple(after)

    step = forward

    def copy(self, ours) -> None:
        for layer, own in zip(self.layers, ours.layers, strict=True):
            set_linear(layer.taps, own.taps)
            set_norm(layer.norm, own.norm)
            if own.shortcut is not None:
                set_linear(layer.shortcut, own.shortcut)


class Block(torch.nn.Module):
    """Attention by PyTorch's own function; queries that share keys are its rows."""

    def __init__(self, sizes: TransformerSizes) -> None:
        super().__init__()
        width, depth = sizes.width, sizes.width // sizes.heads
        self.groups, self.depth, self.context = sizes.key_heads, depth, sizes.context
        shared = sizes.heads // sizes.key_heads
        self.parts = (width, self.groups * depth, self.groups * depth)
        self.norm = torch.nn.LayerNorm(width, eps=EPSILON)
        self.project = torch.nn.Linear(width, sum(self.parts), bias=False)
        bias = torch.zeros(self.groups, shared, sizes.context)
        self.bias = torch.nn.Parameter(bias)
        self.out = torch.nn.Linear(width, width, bias=False)
        self.mix_norm = torch.nn.LayerNorm(width, eps=EPSILON)
        self.widen = torch.nn.Linear(width, sizes.feed_forward)
        self.narrow = torch.nn.Linear(sizes.feed_forward, width)

    def fresh(self, symbols: int) -> tuple[torch.Tensor, torch.Tensor]:
        shape = symbols, self.groups, self.context, self.depth
        return _zeros(*shape), _zeros(*shape)

    def forward(self, x, keys, values, unseen):
        """`unseen` is minus infinity where nothing has been yet, else 0."""
        symbols = x.shape[0]
        query, key, value = self.project(self.norm(x)).split(self.parts, 1)
        shape = symbols, self.groups, -1, self.depth
        keys = torch.cat([keys[:, :, 1:], key.reshape(shape)], 2)
        values = torch.cat([values[:, :, 1:], value.reshape(shape)], 2)
        mixed = functional.scaled_dot_product_attention(
            query.reshape(shape), keys, values, attn_mask=self.bias + unseen
        )
        x = x + self.out(mixed.reshape(symbols, -1))
        x = x + self.narrow(torch.relu(self.widen(self.mix_norm(x))))
        return x, (keys, values)

    def copy(self, own) -> None:
        """Ours has its biases by minus the distance, so that of 0 comes first."""
        set_norm(self.norm, own.norm)
        set_linear(self.project, own.project)
        self.bias.copy_(tensor(own.bias).roll(-1, 2))
        set_linear(self.out, own.out)
        set_norm(self.mix_norm, own.mix_norm)
        set_linear(self.widen, own.widen)
        set_linear(self.narrow, own.narrow)


class Transformer(torch.nn.Module):
    """Blocks in a row."""

    def __init__(self, sizes: NetSizes) -> None:
        super().__init__()
        own = sizes.transformer
        self.width, self.context = own.width, own.context
        self.embed = torch.nn.Linear(sizes.stem, own.width)
        self.blocks = torch.nn.ModuleList(Block(own) for _ in range(own.blocks))
        self.norm = torch.nn.LayerNorm(own.width, eps=EPSILON)

    def fresh(self, symbols: int) -> Memory:
        unseen = torch.full((self.context,), -torch.inf, device=pytorch.place())
        return unseen, tuple(block.fresh(symbols) for block in self.blocks)

    def forward(self, x, memory: Memory):
        unseen, rings = memory
        unseen = torch.cat([unseen[1:], torch.zeros_like(unseen[:1])])
        x, after = self.embed(x), []
        for block, own in zip(self.blocks, rings, strict=True):
            x, kept = block(x, *own, unseen)
            after.append(kept)
        return self.norm(x), (unseen, tuple(after))

    step = forward

    def copy(self, ours) -> None:
        set_linear(self.embed, ours.embed)
        set_norm(self.norm, ours.norm)
        for block, own in zip(self.blocks, ours.blocks, strict=True):
            block.copy(own)


TWINS: dict[str, Callable[[NetSizes], Any]] = {
    "lstm": LSTM,
    "gru": GRU,
    "cnn": CNN,
    "transformer": Transformer,
}


class Zoo(torch.nn.Module):
    """Log probabilities `[N, S, C]` of all nets; `x` is the scores `[S, F]`."""

    def __init__(self, sizes: NetSizes, features: int) -> None:
        super().__init__()
        self.project = torch.nn.Linear(features, sizes.stem)
        self.norm = torch.nn.LayerNorm(sizes.stem, eps=EPSILON)
        self.nets = torch.nn.ModuleList(TWINS[name](sizes) for name in sizes.members)
        self.heads = torch.nn.ModuleList(torch.nn.Linear(n.width, 3) for n in self.nets)

    def fresh(self, symbols: int) -> Memory:
        return tuple(net.fresh(symbols) for net in self.nets)

    def forward(self, x, memory: Memory):
        """By PyTorch's own layers wherever it has one."""
        return self._through(x, memory, [net.forward for net in self.nets])

    def step(self, x, memory: Memory):
        """Recurrent layers written out: what a compiler can fuse."""
        return self._through(x, memory, [net.step for net in self.nets])

    def _through(self, x, memory: Memory, nets):
        x = functional.gelu(self.norm(self.project(x)), approximate="tanh")
        said, after = [], []
        for net, head, own in zip(nets, self.heads, memory, strict=True):
            hidden, kept = net(x, own)
            said.append(head(hidden))
            after.append(kept)
        return torch.log_softmax(torch.stack(said), -1), tuple(after)


class Walker:
    """The nets with their memory: log probabilities of scores that lie on the host.

    What is fresh is made like what follows: tensors of two kinds among the past rows
    would have the compiler compile anew bar after bar, until it gives up.
    """

    def __init__(self, step: Callable, fresh: Callable[[], Memory]) -> None:
        self.step, self.fresh = step, fresh
        self.begin()

    def begin(self) -> None:
        """Nothing is remembered of anyone."""
        with torch.inference_mode():
            self.memory = self.fresh()

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            said, self.memory = self.step(placed(scores), self.memory)
        return said.cpu().numpy()


def walkers(
    sizes: NetSizes, features: int, params: zoo.NetParams, symbols: int
) -> dict[str, Walker]:
    """PyTorch's own layers, those written out, and those compiled."""
    net = copied(sizes, features, params).eval()
    ways = {
        "pytorch_own": net.forward,
        "pytorch": net.step,
        "pytorch_compiled": torch.compile(net.step),
    }
    fresh = partial(net.fresh, symbols)
    return {name: Walker(way, fresh) for name, way in ways.items()}


def copied(sizes: NetSizes, features: int, params: zoo.NetParams) -> Zoo:
    """The nets with our weights."""
    ours: Any = zoo.modules_of(sizes, features, params)
    net = Zoo(sizes, features)
    with torch.no_grad():
        set_linear(net.project, ours.stem.project)
        set_norm(net.norm, ours.stem.norm)
        for own, source in zip(net.nets, ours.nets, strict=True):
            own.copy(source)
        for head, own in zip(net.heads, ours.heads.maps, strict=True):
            set_linear(head, own)
    return net.to(pytorch.place())


def _zeros(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, device=pytorch.place())
