"""Benchmarks on tiny nets and forests, in this process, whose environment is ready."""

import contextlib
import io
import warnings
from pathlib import Path

import pytest

from benchmarks import floors, run
from benchmarks.result import read

TINY = ("debug=tiny", "features.names=[mean,skewness,rsi_14]", "symbols=16")


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    """Runs a benchmark and reads the result that its last line names."""
    root = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "prepare", lambda hardware: None)
        patch.setattr(floors, "SQUARES", ((64, 64, 64),))

        def served(bench, *words):
            words = [f"bench={bench}", "steps=3", "warmup=1", *TINY, *words]
            told = io.StringIO()
            with warnings.catch_warnings(), contextlib.redirect_stdout(told):
                # PyTorch's compiler warns of PyTorch's own past
                warnings.filterwarnings("ignore", module="torch")
                assert run.main([*words, f"results={root}"]) == 0
            return read(Path(told.getvalue().splitlines()[-1].removeprefix("result ")))

        yield served
