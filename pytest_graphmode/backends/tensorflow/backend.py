"""What is the same in all modes of TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before the import: its C++ side reads it once
import tensorflow as tf

from pytest_graphmode.backends import lacking
from pytest_graphmode.backends.base import Mode, Stage
from pytest_graphmode.backends.names import DEVICE_KINDS, parse_device
from pytest_graphmode.backends.tensorflow import autograph
from pytest_graphmode.backends.tensorflow.eager import Eager, native_device
from pytest_graphmode.backends.tensorflow.graph import Graph, Xla
from pytest_graphmode.backends.tensorflow.session import Session

_MODES: Final[Mapping[str, Callable[[str], Mode]]] = {mode.name: mode for mode in (Graph, Session, Eager, Xla)}


class TensorFlow:
    name = "tf"
    gradients = True
    traces_python = True
    lib = tf
    native_device = staticmethod(native_device)

    def __init__(self) -> None:
        autograph.install()

    def devices(self) -> Sequence[str]:
        found = [device.name.rpartition("device:")[2].lower() for device in tf.config.list_logical_devices()]
        return [parse_device(name) for name in found if name.partition(":")[0] in DEVICE_KINDS]

    def native_dtype(self, dtype: str) -> Any:
        return tf.as_dtype(dtype)

    def mode(self, name: str, device: str) -> Mode:
        return _MODES[name](device)

    def stages(self, mode: str) -> Sequence[Stage]:
        simpler = {"eager": (), "xla": ("eager", "graph")}.get(mode, ("eager",))
        return [Stage(name) for name in simpler]

    def namespace(self, place: Callable[[np.ndarray[Any, Any], str], Any], dtype: Callable[[], str]) -> Any:
        from pytest_graphmode.backends.tensorflow.namespace import TensorFlowNamespace

        return TensorFlowNamespace(place, dtype)

    def seed(self, seed: int) -> None:
        tf.random.set_seed(seed)

    def precision(self, dtype: str) -> AbstractContextManager[None]:
        return nullcontext()

    def synchronize(self, device: str) -> None:
        """A session waits by itself, and where one is used nothing runs eagerly."""
        if device != "cpu" and tf.executing_eagerly():
            tf.test.experimental.sync_devices()

    def lacks(self, error: BaseException, dtype: str) -> str | None:
        return lacking.reason(error, dtype, lacking.TENSORFLOW)

    def full_precision(self) -> None:
        tf.config.experimental.enable_tensor_float_32_execution(False)

    @contextmanager
    def isolate(self) -> Iterator[None]:
        switches = [
            (tf.config.functions_run_eagerly, tf.config.run_functions_eagerly),
            (tf.config.get_soft_device_placement, tf.config.set_soft_device_placement),
            (
                tf.config.experimental.tensor_float_32_execution_enabled,
                tf.config.experimental.enable_tensor_float_32_execution,
            ),
            (tf.keras.backend.floatx, tf.keras.backend.set_floatx),
        ]
        kept = [current() for current, _ in switches]
        try:
            yield
        finally:
            for (current, put), value in zip(switches, kept, strict=True):
                if current() != value:
                    put(value)
