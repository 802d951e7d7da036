"""The same LSTM in PyTorch: stem, layers with projected residuals, head.

Weights are copied from ours, so that both must say the same.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from bot4jax.nets import zoo
from bot4jax.nets.layers import EPSILON
from bot4jax.nets.sizes import NetSizes

torch.backends.cudnn.allow_tf32 = False
"""On a GPU its own LSTM would keep ten bits of what it multiplies."""

Memory = list[tuple[torch.Tensor, torch.Tensor]]
"""Hidden state and cell of every layer, `[S, H]` each."""


class Layer(torch.nn.Module):
    """norm(hidden + projection of the input)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.gates = torch.nn.LSTM(inputs, width)
        self.shortcut = torch.nn.Linear(inputs, width, bias=False)
        self.norm = torch.nn.LayerNorm(width, eps=EPSILON)
        self.gates.bias_hh_l0.requires_grad_(False)  # ours has one bias

    def forward(self, xs, hidden, cell):
        """Bars `[T, S, F]` by PyTorch's own LSTM."""
        said, (hidden, cell) = self.gates(xs, (hidden[None], cell[None]))
        return self.norm(said + self.shortcut(xs)), hidden[0], cell[0]

    def step(self, x, hidden, cell):
        """One bar `[S, F]`, written out: what a compiler can fuse."""
        own = self.gates
        drive = functional.linear(x, own.weight_ih_l0, own.bias_ih_l0)
        i, f, g, o = (drive + functional.linear(hidden, own.weight_hh_l0)).chunk(4, 1)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        hidden = torch.sigmoid(o) * torch.tanh(cell)
        return self.norm(hidden + self.shortcut(x)), hidden, cell


class Net(torch.nn.Module):
    """Log probabilities of the classes."""

    def __init__(self, features: int, stem: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.project = torch.nn.Linear(features, stem)
        self.norm = torch.nn.LayerNorm(stem, eps=EPSILON)
        ends = zip((stem, *widths), widths, strict=False)
        self.layers = torch.nn.ModuleList(Layer(*pair) for pair in ends)
        self.head = torch.nn.Linear(widths[-1], 3)

    def forward(self, xs, memory: Memory):
        """Many bars, `[T, S, F]`."""
        return self._through(xs, memory, [layer.forward for layer in self.layers])

    def step(self, x, memory: Memory):
        """One bar, `[S, F]`."""
        return self._through(x, memory, [layer.step for layer in self.layers])

    def _through(self, x, memory: Memory, layers):
        x = functional.gelu(self.norm(self.project(x)), approximate="tanh")
        after = []
        for layer, (hidden, cell) in zip(layers, memory, strict=True):
            x, hidden, cell = layer(x, hidden, cell)
            after.append((hidden, cell))
        return torch.log_softmax(self.head(x), -1), after


def place() -> str:
    """The device that JAX computes on, by PyTorch's name."""
    return "cuda" if jax.default_backend() == "gpu" else "cpu"


def complete(said: torch.Tensor) -> torch.Tensor:
    """The tensor once it is there: a GPU answers before it has computed."""
    if said.is_cuda:
        torch.cuda.synchronize()
    return said


def placed(values: np.ndarray) -> torch.Tensor:
    """The array where PyTorch is to compute."""
    return torch.from_numpy(values).to(place())


class Walker:
    """A net that remembers, called bar after bar; nothing is kept for gradients."""

    def __init__(self, step: Callable[[Memory], tuple], memory: Memory) -> None:
        self.step, self.memory = step, memory

    def __call__(self) -> torch.Tensor:
        with torch.inference_mode():
            said, self.memory = self.step(self.memory)
        return complete(said)


def fresh(widths: Sequence[int], symbols: int) -> Memory:
    """Nothing remembered of anyone."""
    shapes = [(symbols, width) for width in widths]
    return [tuple(torch.zeros(s, device=place()) for _ in range(2)) for s in shapes]


def copied(sizes: NetSizes, features: int, params: zoo.NetParams) -> Net:
    """The net with our weights; `sizes` has the LSTM as its only member."""
    ours: Any = zoo.modules_of(sizes, features, params)
    net = Net(features, sizes.stem, sizes.lstm.widths)
    with torch.no_grad():
        set_linear(net.project, ours.stem.project)
        set_norm(net.norm, ours.stem.norm)
        set_lstm(net.layers, ours.nets[0])
        set_linear(net.head, ours.heads.maps[0])
    return net.to(place())


def set_lstm(layers: Iterable, ours) -> None:
    for layer, own in zip(layers, ours.layers, strict=True):
        gates = layer.gates
        gates.weight_ih_l0.copy_(reordered(own.input.kernel))
        gates.weight_hh_l0.copy_(reordered(own.hidden.kernel))
        gates.bias_ih_l0.copy_(reordered(own.input.bias))
        gates.bias_hh_l0.zero_()
        set_linear(layer.shortcut, own.shortcut)
        set_norm(layer.norm, own.norm)


def tensor(param) -> torch.Tensor:
    """A weight of ours."""
    return torch.from_numpy(np.array(param[...]))


def reordered(param) -> torch.Tensor:
    """PyTorch's gates are i, f, g, o in rows; ours i, f, o, g in columns."""
    i, f, o, g = jnp.split(param[...], 4, axis=-1)
    return torch.from_numpy(np.array(jnp.concatenate([i, f, g, o], axis=-1).T))


def set_linear(theirs: torch.nn.Linear, ours) -> None:
    theirs.weight.copy_(tensor(ours.kernel).T)
    if ours.bias is not None:
        theirs.bias.copy_(tensor(ours.bias))


def set_norm(theirs: torch.nn.LayerNorm, ours) -> None:
    theirs.weight.copy_(tensor(ours.scale))
    theirs.bias.copy_(tensor(ours.bias))
