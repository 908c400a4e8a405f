"""Eager TensorFlow, and what every mode of TensorFlow shares: tensors, variables, gradients by tape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

import numpy as np
import tensorflow as tf

from pytest_graphmode.backends.python_mode import PythonMode
from pytest_graphmode.backends.tensorflow import tape, variables
from pytest_graphmode.backends.tensorflow.control_flow import traced_outputs
from pytest_graphmode.backends.tensorflow.recording import TapeCounter
from pytest_graphmode.backends.tensorflow.variables import is_keras_variable, native

__tracebackhide__ = True


def native_device(device: str) -> str:
    """`/CPU:0` for `cpu`."""
    kind, _, index = device.partition(":")
    return f"/{kind.upper()}:{index or 0}"


class TensorFlowMode(PythonMode):
    """Tensors, variables and gradients as every mode of TensorFlow has them."""

    def __init__(self, device: str) -> None:
        self.device = native_device(device)

    def scope(self) -> AbstractContextManager[None]:
        if self.device == "/CPU:0" and len(tf.config.list_logical_devices()) == 1:
            return nullcontext()
        scope: AbstractContextManager[None] = tf.device(self.device)
        return scope

    def is_tensor(self, value: object) -> bool:
        own = (tf.Tensor, tf.Variable, tf.RaggedTensor, tf.SparseTensor, tf.IndexedSlices)
        return isinstance(value, own) or is_keras_variable(value)

    def is_variable(self, value: object) -> bool:
        return isinstance(native(value), tf.Variable)

    def tensor(self, array: np.ndarray[Any, Any], dtype: str) -> Any:
        wanted = tf.as_dtype(dtype)
        return tf.constant(array, wanted) if array.dtype == wanted.as_numpy_dtype else tf.cast(array, wanted)

    def variable(self, array: np.ndarray[Any, Any], dtype: str) -> Any:
        return tf.Variable(self.tensor(array, dtype))

    def assign(self, variable: Any, value: Any) -> None:
        if self.assigns:
            variable.assign(value)

    def numpy(self, tensor: Any) -> np.ndarray[Any, Any]:
        if isinstance(tensor, tf.IndexedSlices):
            tensor = tf.convert_to_tensor(tensor)
        elif isinstance(tensor, tf.SparseTensor):
            tensor = tf.sparse.to_dense(tensor)
        return np.array(native(tensor).numpy())

    def value_and_grad(
        self, fn: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], variables: Sequence[Any]
    ) -> tuple[Any, list[Any], list[Any]]:
        return tape.value_and_grad(fn, args, argnums, variables)

    @contextmanager
    def undecorated(self) -> Iterator[None]:
        kept = tf.config.functions_run_eagerly()
        tf.config.run_functions_eagerly(True)
        try:
            yield
        finally:
            tf.config.run_functions_eagerly(kept)

    def outputs_of(self, f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any) -> Any:
        """Traced into a graph that is thrown away; where Python decides by values, run on zeros."""
        with suppress(Exception):
            layout, tensors = traced_outputs(f, init, xs)
            return layout.unpack(tensors)
        return super().outputs_of(f, init, xs)

    def rows_of_nothing(self, leaf: Any) -> Any:
        return tf.zeros([0, *leaf.shape], leaf.dtype)

    def trainable_variables(self, owner: object) -> Mapping[str, Any]:
        return variables.trainable(owner)

    def index(self, value: int) -> Any:
        return tf.constant(value, tf.int32)

    def stack(self, leaves: Sequence[Any]) -> Any:
        return tf.stack(leaves)


class Eager(TensorFlowMode):
    """Operations run as they are met; autograd graphs are recorded under a tape."""

    def __init__(self, device: str) -> None:
        super().__init__(device)
        self._tapes = TapeCounter()

    @contextmanager
    def scope(self) -> Iterator[None]:
        with super().scope(), self._tapes.installed():
            yield

    def recorded_nodes(self) -> int:
        """See `Mode`; `fingerprint` is of what was recorded between the last two calls of this."""
        return self._tapes.look()

    def fingerprint(self, outputs: Any) -> str | None:
        return self._tapes.last_structure()
