"""One process of a fit on many devices: `PROCESS PROCESSES ADDRESS`.

Its last line on stdout tells losses and weights as JSON.
"""

import json
import sys

import jax
import numpy as np

from bot4jax.environment import join, prepare
from bot4jax.learn import fit, mesh, resume
from bot4jax.learn.schedule import blank_batch, pace
from tests.learn.small_fit import FEATURES, SIZES, fitted, hardware, settings


def flops(on) -> float:
    """What each device computes in one update of 64 symbols."""
    own = settings(symbols_per_batch=64)
    form, devices, lanes = fit.laid_out(SIZES, 64, own, on)
    blank = resume.blank(form, FEATURES, lanes, groups=1, updates=1)
    given = (
        mesh.on_all(devices, blank.fitting),
        mesh.carry_by_symbol(devices, blank.carries[0]),
        mesh.batch_by_symbol(devices, blank_batch(own, lanes, FEATURES)),
        np.float32(1),
        pace(own, 0.0, 0.0),
    )
    program = fit.compiled_update(devices, form).lower(*given).compile()
    return program.cost_analysis()["flops"]


def main(process: str, processes: str, address: str) -> None:
    own = hardware(
        devices=0,
        process=int(process),
        processes=int(processes),
        coordinator=address,
    )
    prepare(own)
    join(own)
    params, history = fitted(on=own)
    _, parted = fitted(own=settings(parts=2), on=own)
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])
    devices = mesh.mesh_of(0)
    lanes = mesh.lanes_of(devices, 4, 1)
    print(
        json.dumps(
            {
                "process": jax.process_index(),
                "devices": devices.size,
                "lanes": lanes,
                "flops": flops(own),
                "loss": history.loss.tolist(),
                "loss_in_parts": parted.loss.tolist(),
                "params": flat.tolist(),
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
