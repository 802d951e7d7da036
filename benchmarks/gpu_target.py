"""A GPU that is not there, described well enough for XLA to compile for it.

Figures are those of NVIDIA's data sheet of the H100 SXM. The description's format is
XLA's own and has no version: JAX, jaxlib and the plugin must be of one release.
"""

from importlib import metadata
from typing import Any

from jax.experimental import topologies

PLUGIN = "jax-cuda12-plugin"
ARCHITECTURE = "sm_90"

DESCRIPTION = """
gpu_device_info {
  cuda_compute_capability { major: 9 minor: 0 }
  core_count: 132
  fpus_per_core: 128
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  clock_rate_ghz: 1.98
  memory_bandwidth: 3352000000000
  l2_cache_size: 52428800
  device_memory_size: 85000000000
  driver_version: "12.9.0"
  runtime_version: "12.9.0"
  compile_time_toolkit_version: "12.9.0"
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 8 }
runtime_version { major: 12 minor: 9 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""


def missing() -> str | None:
    """Why nothing can be compiled for a GPU here; None where it can."""
    try:
        plugin, own = metadata.version(PLUGIN), metadata.version("jax")
    except metadata.PackageNotFoundError:
        return f"{PLUGIN} is not installed: pip install -c constraints.txt -e '.[cuda]'"
    if plugin != own:
        return f"{PLUGIN} {plugin} is not of JAX's own version {own}"
    return None


def device() -> Any:
    """What compiling is aimed at."""
    topology = topologies.get_topology_desc(
        platform="cuda", topology="1x1x1", target_config=DESCRIPTION
    )
    return topology.devices[0]
