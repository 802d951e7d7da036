"""What XLA would launch on a GPU, read from its own dump of a compiled program.

A program is a sequence of *thunks*. Those that run on the GPU are kernels; a loop with
a known number of turns counts its body so often. The host dispatches every kernel, but
a command buffer (a CUDA graph) only once. A loop without a known number of turns copies
its condition to the host at every turn: data-dependent, and not wanted.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

KERNEL = re.compile(
    r"k(CustomKernel|Kernel|Gemm|CublasLt\w*|Fft|Cholesky|TriangularSolve|CubSort|"
    r"CustomCall|LegacyCustomCall|Convolution\w*|CuDnn|Cudnn\w*|Norm|Memset\w*|Copy|"
    r"SelectK|Nccl\w*|AllReduce\w*|AllGather\w*|ReduceScatter\w*|Collective\w*)$"
)
GROUPS = ("kWhile", "kCommandBuffer", "kDynamicSliceFusion", "kConditional")
GROUPS += ("kSequential", "kAsyncStart")
"""Thunks that hold others, which stand below them, further in."""

HOST = re.compile(
    r"(xla_(ffi_)?(partitioned_)?python_[cg]pu_callback|"
    r"infeed\(|outfeed\(|is_host_transfer=true|S\(5\))"
)
"""Marks of the program text where the host would take part."""

THUNK = re.compile(r"(\s*)\d+: (k\w+)\b")
PART = re.compile(r"(\s*)(condition|body):")
COMPUTATION = re.compile(r"(ENTRY )?%([\w.\-]+) \(.*\{\s*$")
CALLS = re.compile(r" (while|call|conditional|async-start)\(")
TURNS = re.compile(r'known_trip_count":\{"n":"(\d+)"')


class Plan(NamedTuple):
    """Counts of one call."""

    kernels: int
    dispatches: int
    data_dependent_loops: int
    conditionals: int
    host_markers: int


class Group(NamedTuple):
    """A thunk that holds others."""

    indent: int
    kind: str
    turns: int
    """of a loop, 1 of all else"""


def read_plan(thunks: str, program: str) -> Plan:
    """From the listing of the thunks and the text of the compiled program."""
    loops = loop_turns(program)
    walked = list(walk(thunks, loops))
    kernels = dispatches = 0
    for kind, inside in walked:
        times = _product(group.turns for group in inside)
        in_graph = any(group.kind == "kCommandBuffer" for group in inside)
        is_kernel = bool(KERNEL.match(kind))
        kernels += times if is_kernel else 0
        if kind == "kCommandBuffer" or (is_kernel and not in_graph):
            dispatches += times
    return Plan(
        kernels,
        dispatches,
        sum(turns is None for turns in loops),
        Counter(kind for kind, _ in walked)["kConditional"],
        len(HOST.findall(program)),
    )


def walk(
    thunks: str, loops: Sequence[int | None]
) -> Iterator[tuple[str, tuple[Group, ...]]]:
    """Every thunk with the groups around it; conditions of counted loops never run."""
    inside: list[Group] = []
    turns, skipping = iter(loops), None
    for line in thunks.splitlines():
        indent = len(line) - len(line.lstrip())
        if part := PART.match(line):
            skipping = indent if part[2] == "condition" else None
        found = THUNK.match(line)
        if not found:
            continue
        while inside and indent <= inside[-1].indent:
            inside.pop()
        if skipping is not None and indent > skipping:
            continue
        kind = found[2]
        yield kind, tuple(inside)
        if kind in GROUPS:
            count = next(turns) if kind == "kWhile" else 1
            inside.append(Group(indent, kind, count or 1))


def loop_turns(program: str) -> list[int | None]:
    """Turns of every loop in the order of running; None where nobody knows them."""
    computations, entry = _computations(program)

    def inner(name: str) -> Iterator[int | None]:
        for operation, line in computations.get(name, ()):
            if operation == "while":
                known = TURNS.search(line)
                yield int(known[1]) if known else None
                body = re.search(r"body=%([\w.\-]+)", line)
                yield from inner(body[1]) if body else ()
            else:
                called = re.findall(r"%([\w.\-]+)", line.split("metadata=")[0])
                for other in called:
                    yield from inner(other) if other != name else ()

    return list(inner(entry))


def thunks_of(folder: Path) -> str:
    """The newest listing in a folder of dumps; after the last passes if they ran."""
    for name in ("*thunk_sequence_after_thunk_passes.txt", "*thunk_sequence.txt"):
        found = sorted(folder.glob(name), key=lambda path: path.stat().st_mtime)
        if found:
            return found[-1].read_text()
    raise FileNotFoundError(f"XLA left no listing of thunks among {folder}")


def _computations(program: str) -> tuple[dict[str, list[tuple[str, str]]], str]:
    """By name, the lines that call other computations; and the one that is entered."""
    found: dict[str, list[tuple[str, str]]] = {}
    current, entry = "", ""
    for line in program.splitlines():
        if opened := COMPUTATION.match(line):
            current = opened[2]
            found[current] = []
            entry = current if opened[1] else entry
        elif current and (called := CALLS.search(line)):
            found[current].append((called[1], line))
    return found, entry


def _product(numbers: Iterator[int]) -> int:
    total = 1
    for number in numbers:
        total *= number
    return total
