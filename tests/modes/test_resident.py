"""The state stays on the device: nothing recompiles, and one array comes down a step.

`problems` judges a walk of the trading loop. The engine's own has none, and each fault
that is planted into it shows.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.array import ArrayImpl

from benchmarks import stage
from bot4jax.config import load
from bot4jax.kernels import bars
from bot4jax.learn.params import latency_of
from bot4jax.modes import making, tapes, trading
from bot4jax.modes.keeping import Kept, anchors_of
from bot4jax.modes.setting import Setting, set_stage
from bot4jax.runtime.local_venue import LocalVenue
from bot4jax.runtime.stepped import Stepped
from bot4jax.state import copied
from bot4jax.types import PACKED
from tests.modes.ways import silent
from tests.small_stage import SMALL_STAGE

STEPS, SETTLED = stage.CALIBRATE, trading.COLD_STEPS

METHODS = ("__array__", "__float__", "__int__", "__bool__", "__index__", "__iter__")
METHODS += ("__str__", "__dlpack__", "item", "tolist")
FUNCTIONS = ((np, "asarray"), (np, "array"), (jax, "device_get"))
DOORS = [*((ArrayImpl, name) for name in METHODS), *FUNCTIONS]
"""Where Python gets at the numbers of a device's array. NumPy's functions are among
them because on a CPU they read the memory itself, past every method of the array."""


class Watch:
    """Hears of every step; counts reads and forbids feeding in once all has settled."""

    def __init__(self, plant: Callable[[Stepped], object]) -> None:
        self._plant, self._steps, self._is_reading = plant, 0, False
        self.is_on, self.reads = False, 0

    def __call__(self, stepped: Stepped) -> None:
        self._steps += 1
        if self._steps == STEPS - 1:
            self._plant(stepped)
        self.switch(SETTLED <= self._steps < STEPS)

    def switch(self, is_on: bool) -> None:
        self.is_on = is_on
        guard = "disallow" if is_on else "allow"
        jax.config.update("jax_transfer_guard_host_to_device", guard)

    def counted(self, read: Callable) -> Callable:
        """The same function; one read through several doors counts once."""

        def read_and_count(value: object, *args: object, **named: object) -> object:
            is_first = isinstance(value, jax.Array) and not self._is_reading
            if not is_first:
                return read(value, *args, **named)
            self.reads += self.is_on
            self._is_reading = True
            try:
                return read(value, *args, **named)
            finally:
                self._is_reading = False

        return read_and_count


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Every door has a counter within the block."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in DOORS:
            patch.setattr(owner, name, watch.counted(getattr(owner, name)))
        try:
            yield
        finally:
            watch.switch(False)


class Scene(NamedTuple):
    """A small market, and members that know nothing: what runs does not depend on it"""

    setting: Setting
    kept: Kept
    folder: str


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Scene:
    root = tmp_path_factory.mktemp("resident")
    config = stage.for_bench(load([*SMALL_STAGE, f"run.root={root}"]), STEPS)
    setting = set_stage(config)
    return Scene(setting, stage.warmed(setting, silent), root)


def problems(
    scene: Scene, plant: Callable[[Stepped], object] = lambda stepped: None
) -> list[str]:
    """What a walk does that a running engine may not."""
    setting, span = scene.setting, scene.setting.split.test
    kept = scene.kept._replace(state=copied(scene.kept.state))
    watch, venue = Watch(plant), LocalVenue(making.paper_venue(setting))
    tape, closed = tapes.closed_bars(
        setting, kept.state.bars, span.start, span.stop, venue.hear
    )
    with watching(watch):
        try:
            traded = trading.trade(
                setting,
                kept,
                tape,
                lambda *_: closed,
                venue,
                scene.folder,
                silent,
                watch,
            )
        except jax.errors.JaxRuntimeError as error:
            return [f"fed in: {error}"]
    assert traded.totals.orders > 0
    found = [f"recompiled {traded.recompiles} times"] if traded.recompiles else []
    extra = watch.reads - (STEPS - SETTLED)
    return found + ([f"read back {extra} times more"] if extra else [])


def batch(rows: int, setting: Setting) -> np.ndarray:
    """A batch of ticks of no symbol."""
    packed = np.zeros((rows, len(PACKED)), np.int32)
    packed[:, PACKED.index("slot")] = setting.settings.layout.symbols
    return packed


def test_the_engine_has_none(scene):
    assert problems(scene) == []


def test_a_change_of_shape_shows(scene):
    setting = scene.setting
    shorter = jax.device_put(batch(setting.settings.layout.capacity // 2, setting))
    opened, latency = bars.init_bars(anchors_of(setting)), latency_of(setting.config)
    found = problems(scene, lambda _: setting.engine.absorb(opened, shorter, latency))
    assert found == ["recompiled 1 times"]


READS = {
    "numpy": lambda stepped: np.asarray(stepped.values),
    "jax": lambda stepped: jax.device_get(stepped.volatility),
    "method": lambda stepped: stepped.values.tolist(),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_read_back_shows(scene, read):
    assert problems(scene, read) == ["read back 1 times more"]


def test_numbers_fed_in_unasked_show(scene):
    setting = scene.setting
    unasked = batch(setting.settings.layout.capacity, setting)
    opened, latency = bars.init_bars(anchors_of(setting)), latency_of(setting.config)
    found = problems(scene, lambda _: setting.engine.absorb(opened, unasked, latency))
    assert len(found) == 1
    assert found[0].startswith("fed in: ")
    assert "host-to-device" in found[0]


def test_a_hundred_steps_move_no_state(scene):
    """A view of a donated array that is still alive would make XLA copy it."""
    setting, kept = scene.setting, scene.kept
    engine, state = setting.engine, copied(kept.state)
    ticks = jax.device_put(batch(setting.settings.layout.capacity, setting))
    held = jnp.zeros(setting.settings.layout.symbols)
    before = places(state)
    for _ in range(100):
        open_bars = engine.absorb(state.bars, ticks, kept.params.units.latency)
        open_bars, *bar = engine.close(open_bars)
        observing, seen = engine.observe(kept.params.units, state.observing, *bar)
        deciding, _ = engine.conclude(kept.params, state.deciding, seen, *bar, held)
        state = type(state)(open_bars, observing, deciding)
        assert places(state) == before


def places(state: object) -> list[int]:
    """Where in memory the windows, rings and sums lie; a column may be written anew."""
    leaves = jax.tree.leaves(state)
    return [x.unsafe_buffer_pointer() for x in leaves if x.ndim > 1 and x.size]
