"""One process of a fit on many devices: `PROCESS PROCESSES ADDRESS`.

Its last line on stdout tells losses and weights as JSON.
"""

import json
import sys

import jax
import numpy as np

from bot4jax.environment import join, prepare
from bot4jax.learn import mesh
from tests.learn.small_fit import fitted, hardware


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
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])
    devices = mesh.mesh_of(0)
    lanes = mesh.lanes_of(devices, 4, 1)
    print(
        json.dumps(
            {
                "process": jax.process_index(),
                "devices": devices.size,
                "lanes": lanes,
                "loss": history.loss.tolist(),
                "params": flat.tolist(),
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
