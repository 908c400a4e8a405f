"""Several devices on one CPU, for `--graph-logical-cpus`: called as soon as a framework is imported.

Not in the frameworks' packages, since these would be imported with it, in the middle of somebody's import statement.
"""

from __future__ import annotations

import os
import re
from typing import Final

_FLAG: Final = "--xla_force_host_platform_device_count"


def of_tensorflow(count: int) -> None:
    """Have TensorFlow make `count` devices of the first CPU.

    Raises:
        RuntimeError: it has made its devices already, another number of them.
    """
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    except RuntimeError:
        _require("TensorFlow", len(tf.config.list_logical_devices("CPU")), count)


def of_jax(count: int) -> None:
    """Have JAX make `count` devices of the CPU.

    Raises:
        RuntimeError: it has made its devices already, another number of them.
    """
    import jax
    from jax._src import xla_bridge

    # Private: nothing public tells whether JAX has its devices, and asking it for them makes it have them.
    if xla_bridge.backends_are_initialized():
        _require("JAX", len(jax.devices("cpu")), count)
    elif "jax_num_cpu_devices" in jax.config.values:
        jax.config.update("jax_num_cpu_devices", count)
    else:  # before JAX 0.5, whose XLA reads this when it makes the devices
        others = re.sub(rf"{_FLAG}=\d+", "", os.environ.get("XLA_FLAGS", ""))
        os.environ["XLA_FLAGS"] = f"{others} {_FLAG}={count}".strip()


def _require(framework: str, there: int, count: int) -> None:
    if there != count:
        raise RuntimeError(
            f"{framework} has made its devices already, {there} of the CPU: let nothing use it before the options are "
            "read, such as a conftest.py that makes a tensor when it is imported (a fixture is late enough)"
        )
