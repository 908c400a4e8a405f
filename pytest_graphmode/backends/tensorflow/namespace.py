"""`graphmode.xp` on TensorFlow tensors: TensorFlow's functions, and tf.experimental.numpy's where it has no own.

tf.experimental.numpy promotes once more, which takes as long as the operation itself, and where it computes it refuses
bfloat16; so it serves where a function only moves values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from pytest_graphmode.backends.xp.arrays import functions_of
from pytest_graphmode.backends.xp.linalg import ArrayNamespace
from pytest_graphmode.backends.xp.promotion import STRONG

Tensor = Any


def _below(x: Tensor, k: int) -> Tensor:
    """Where the last two axes are at or below the k-th diagonal, for sizes that the graph does not know too."""
    rows, columns = tf.unstack(tf.shape(x)[-2:])
    return tf.range(columns) <= tf.range(rows)[:, None] + k


def _diagonal(x: Tensor, offset: int, axis1: int, axis2: int) -> Tensor:
    return tf.linalg.diag_part(tf.experimental.numpy.moveaxis(x, (axis1, axis2), (-2, -1)), k=offset)


def _cross(x: Tensor, y: Tensor, axis: int) -> Tensor:
    moved = (tf.experimental.numpy.moveaxis(one, axis, -1) for one in (x, y))
    return tf.experimental.numpy.moveaxis(tf.linalg.cross(*moved), -1, axis)


def _matmul(x: Tensor, y: Tensor) -> Tensor:
    return tf.linalg.matmul(x, y) if min(x.shape.rank, y.shape.rank) > 1 else tf.experimental.numpy.matmul(x, y)


def _searchsorted(a: Tensor, v: Tensor, side: str) -> Tensor:
    """tf.searchsorted for values of any shape."""
    return tf.reshape(tf.searchsorted(a, tf.reshape(v, [-1]), side=side), tf.shape(v))


def _trunc(x: Tensor) -> Tensor:
    return tf.where(x < 0, tf.math.ceil(x), tf.math.floor(x))


def _test(test: Callable[[Tensor], Tensor], join: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A test of floating values, for integers and for both parts of complex numbers too."""

    def tested(x: Tensor) -> Tensor:
        if x.dtype.is_complex:
            return join(test(tf.math.real(x)), test(tf.math.imag(x)))
        return test(x if x.dtype.is_floating else tf.cast(x, tf.float64))

    return tested


def _solve(a: Tensor, b: Tensor) -> Tensor:
    """tf.linalg.solve for batches that broadcast."""
    batch = tf.broadcast_dynamic_shape(tf.shape(a)[:-2], tf.shape(b)[:-2])
    return tf.linalg.solve(*(tf.broadcast_to(x, tf.concat([batch, tf.shape(x)[-2:]], axis=0)) for x in (a, b)))


def _svd(x: Tensor, full_matrices: bool) -> tuple[Tensor, Tensor, Tensor]:
    """TensorFlow gives (S, U, V), NumPy (U, S, V*)."""
    values, left, right = tf.linalg.svd(x, full_matrices=full_matrices)
    return left, values, tf.linalg.adjoint(right)


def _over(reduce: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A reduction over axes as one array: TensorFlow tells its callbacks, by which eager nodes are counted, of no
    operation that gets a Python sequence (2.16 and 2.21).
    """
    return lambda x, axis, keepdims: reduce(x, axis=np.array(axis, np.int32), keepdims=keepdims)


_SAME_NAME = "broadcast_to concat repeat reshape roll sort stack transpose where zeros_like"
_REDUCED = "all any max mean min prod sum"
_ADAPTED: dict[str, Callable[..., Any]] = {
    **{name: getattr(tf, name) for name in _SAME_NAME.split()},
    **{name: _over(getattr(tf, f"reduce_{name}")) for name in _REDUCED.split()},
    "arange": tf.range,
    "argsort": lambda x, axis: tf.argsort(x, axis=axis, stable=True),
    # tf.cast has no kernel from complex numbers to booleans.
    "astype": lambda x, name: tf.not_equal(x, 0) if name == "bool" else tf.cast(x, name),
    "bitwise_invert": lambda x: tf.logical_not(x) if x.dtype == tf.bool else tf.bitwise.invert(x),
    "bitwise_left_shift": tf.bitwise.left_shift,
    "bitwise_right_shift": tf.bitwise.right_shift,
    "copy": tf.identity,
    "copysign": lambda x, y: tf.where(tf.experimental.numpy.signbit(y), -tf.abs(x), tf.abs(x)),
    "cross": _cross,
    "diagonal": _diagonal,
    "flip": tf.reverse,
    "floor_divide": tf.math.floordiv,
    "hypot": lambda x, y: tf.sqrt(tf.square(x) + tf.square(y)),
    "isfinite": _test(tf.math.is_finite, tf.logical_and),
    "isinf": _test(tf.math.is_inf, tf.logical_or),
    "isnan": _test(tf.math.is_nan, tf.logical_or),
    "log10": lambda x: tf.math.log(x) / math.log(10),
    "log2": lambda x: tf.math.log(x) / math.log(2),
    "logaddexp": lambda x, y: tf.reduce_logsumexp(tf.stack([x, y]), axis=0),
    "matmul": _matmul,
    "remainder": tf.math.floormod,
    "searchsorted": _searchsorted,
    "take": lambda x, index, axis: tf.gather(x, index, axis=axis),
    "tril": lambda x, k: tf.where(_below(x, k), x, tf.zeros([], x.dtype)),
    "triu": lambda x, k: tf.where(_below(x, k - 1), tf.zeros([], x.dtype), x),
    "trunc": _trunc,
    "unique": lambda x: tf.sort(tf.unique(x).y),
}
_LINALG: dict[str, Callable[..., Any]] = {
    "qr": lambda x, mode: tf.linalg.qr(x, full_matrices=mode == "complete"),
    "solve": _solve,
    "svd": _svd,
    "svdvals": lambda x: tf.linalg.svd(x, compute_uv=False),
}


class TensorFlowNamespace(ArrayNamespace):
    """NumPy's functions on TensorFlow tensors, eager and inside tf.function."""

    tensor_type = tf.Tensor
    native_dtypes = {name: tf.dtypes.as_dtype(name) for name in (*STRONG, "bfloat16")}  # noqa: RUF012
    native = functions_of(
        vars(tf.experimental.numpy), vars(tf.math), _ADAPTED, {"linalg": functions_of(vars(tf.linalg), _LINALG)}
    )

    def __init__(self, place: Callable[[np.ndarray[Any, Any], str], Tensor], dtype: Callable[[], str]) -> None:
        # In session mode a tensor outside of a graph is a NumPy array.
        super().__init__(lambda array, name: tf.convert_to_tensor(place(array, name)), dtype)

    def _foreign(self, value: Any) -> Tensor:
        return tf.convert_to_tensor(value)

    def _sizes(self, tensor: Tensor) -> tuple[Any, ...]:
        """Static sizes where they are known."""
        dynamic: Any = None if tensor.shape.is_fully_defined() else tf.shape(tensor)
        return tuple(dynamic[axis] if size is None else size for axis, size in enumerate(tensor.shape.as_list()))
