"""Features of libraries by a process on every core, each with its part of the symbols.

Most functions of libraries keep one core busy. Whoever has several spreads symbols over
processes; they keep their windows, so only values come back.
"""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing.connection import Connection

import numpy as np

from benchmarks.chain import Features, Function, Raw
from benchmarks.peers.registry import PEERS

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""A process has one core, so its libraries take one thread."""

Names = tuple[str, ...]


class Spread:
    """The same values as those of `Features`, worked out by all processes at once."""

    def __init__(self, pipes: Sequence[Connection], left_out: Names = ()) -> None:
        self.pipes, self.left_out = pipes, left_out

    def __call__(self) -> Raw:
        for pipe in self.pipes:
            pipe.send(self.left_out)
        return np.concatenate([pipe.recv() for pipe in self.pipes])

    def without(self, names: Sequence[str]) -> "Spread":
        """Without the functions that yield any of these."""
        return Spread(self.pipes, tuple(names))


@contextmanager
def spread(features: Features, cores: int) -> Iterator[Spread]:
    """The processes, which end with the block."""
    context = multiprocessing.get_context("spawn")
    bounds = np.linspace(0, features.symbols, cores + 1).astype(int).tolist()
    pipes, processes = [], []
    with _one_thread():
        for part in pairwise(bounds):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            ours.send(_cut(features, slice(*part)))
            pipes.append(ours)
            processes.append(process)
    try:
        yield Spread(pipes)
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join()


@contextmanager
def _one_thread() -> Iterator[None]:
    """What is started meanwhile finds one thread in its environment."""
    kept = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in kept.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _cut(features: Features, part: slice) -> tuple:
    """Names, symbols, and each function by its number with its part of the windows.

    A window that several functions read stays one array.
    """
    kept: dict[int, np.ndarray] = {}
    functions = []
    for own in features.functions:
        windows = [kept.setdefault(id(w), w[part].copy()) for w in own.windows]
        functions.append((PEERS.index(own.peer), windows))
    return features.names, part.stop - part.start, functions


def _serve(pipe: Connection) -> None:
    """Answer until the other end is closed."""
    names, symbols, functions = pipe.recv()
    bound = [Function(PEERS[number], windows) for number, windows in functions]
    whole, known = Features(bound, names, symbols), {}
    while True:
        try:
            left_out = pipe.recv()
        except EOFError:
            return
        if left_out not in known:
            known[left_out] = whole.without(left_out)
        pipe.send(known[left_out]())
