"""Reading what XLA would launch on a GPU, and lowering for one without it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import gpu_aot, gpu_plan, gpu_target
from bot4jax.config import load

LOOPED = """
%body.1 (x: f32[4]) -> f32[4] {
  ROOT %add.1 = f32[4]{0} add(%x, %x)
}
%cond.1 (x: f32[4]) -> pred[] {
  ROOT %lt = pred[] compare(%x, %x)
}
ENTRY %main (x: f32[4]) -> f32[4] {
  %while.1 = f32[4]{0} while(%x), condition=%cond.1, body=%body.1KNOWN
}
"""
COUNTED = LOOPED.replace("KNOWN", ', backend_config={"known_trip_count":{"n":"7"}}')
ENDLESS = LOOPED.replace("KNOWN", "")

IN_TURNS = """
000: kKernel first
001: kWhile loop
  condition:
    000: kKernel asked
  body:
    000: kGemm product
    001: kKernel added
002: kFft last
"""

IN_A_GRAPH = """
000: kCommandBuffer graph
  000: kKernel a
  001: kGemm b
001: kCopy c
002: kConditional choice
  000: kKernel d
"""


def test_a_loop_counts_its_body_so_often_and_its_condition_never():
    plan = gpu_plan.read_plan(IN_TURNS, COUNTED)
    assert plan == gpu_plan.Plan(1 + 7 * 2 + 1, 1 + 7 * 2 + 1, 0, 0, 0)


def test_a_loop_that_depends_on_data_is_seen():
    assert gpu_plan.read_plan(IN_TURNS, ENDLESS).data_dependent_loops == 1


def test_a_graph_is_dispatched_once():
    plan = gpu_plan.read_plan(IN_A_GRAPH, "ENTRY %main (x: f32[]) -> f32[] {\n}")
    assert (plan.kernels, plan.dispatches, plan.conditionals) == (4, 3, 1)


@pytest.mark.parametrize(
    "text",
    [
        'custom_call_target="xla_ffi_python_gpu_callback"',
        "%infeed.1 = infeed(%token)",
        "f32[4]{0:S(5)} copy(%x)",
    ],
)
def test_the_host_s_part_is_seen(text):
    assert gpu_plan.read_plan("", f"{COUNTED}\n{text}").host_markers == 1


def test_without_the_plugin_it_is_skipped_with_a_reason(monkeypatch, capsys):
    monkeypatch.setattr(gpu_target, "PLUGIN", "no-such-plugin")
    assert gpu_aot.main([]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("skipped: no-such-plugin is not installed: pip install")


def test_another_version_of_the_plugin_is_named(monkeypatch):
    monkeypatch.setattr(gpu_target, "PLUGIN", "numpy")
    assert "is not of JAX's own version" in (gpu_target.missing() or "")


@pytest.fixture(scope="module")
def calls():
    return gpu_aot.calls_of(load(["debug=tiny"]))


@pytest.mark.parametrize("name", ["absorb", "close", "observe", "conclude", "bank"])
def test_the_engine_lowers_for_cuda(calls, name):
    """Legal for a GPU, and no word with the host: a callback fails to lower."""
    function, shapes = calls[name]
    exported = jax.export.export(function, platforms=["cuda"])(*shapes)
    assert exported.platforms == ("cuda",)
    assert "callback" not in exported.mlir_module()


def talkative(x):
    """Asks the host for a sum."""
    told = jax.ShapeDtypeStruct((), jnp.float32)
    return jax.pure_callback(lambda y: np.float32(y.sum()), told, x)


def searching(x):
    """Halves until nothing is left, however long that takes."""
    return jax.lax.while_loop(lambda y: y.sum() > 1, lambda y: y / 2, x)


def test_a_word_with_the_host_does_not_lower_unseen():
    export = jax.export.export(jax.jit(talkative), platforms=["cuda"])
    try:
        seen = (
            "callback" in export(jax.ShapeDtypeStruct((4,), jnp.float32)).mlir_module()
        )
    except (NotImplementedError, ValueError):
        seen = True
    assert seen


def compiled_here(call):
    """What XLA plans for this machine: where it would ask, so would a GPU."""
    text = call.function.lower(*call.shapes).compile().as_text()
    return gpu_aot.Compiled(gpu_plan.read_plan("", text), 0.0, 0.0)


def test_what_waits_for_the_host_is_refused(monkeypatch, capsys):
    shapes = (jax.ShapeDtypeStruct((4,), jnp.float32),)
    calls = {
        own.__name__: gpu_aot.Call(jax.jit(own), shapes)
        for own in (jnp.sum, talkative, searching)
    }
    monkeypatch.setattr(gpu_target, "missing", lambda: None)
    monkeypatch.setattr(gpu_aot, "compiled", compiled_here)
    monkeypatch.setattr(gpu_aot, "calls_of", lambda _: calls)
    monkeypatch.setattr(gpu_aot, "write", lambda *_: pytest.fail("a result is written"))
    assert gpu_aot.main([]) == gpu_aot.WAITS != 0
    assert "refused: talkative, searching would wait" in capsys.readouterr().out
