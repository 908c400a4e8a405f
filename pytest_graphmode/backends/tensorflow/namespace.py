"""`graphmode.xp` on TensorFlow tensors: what autoray's translation leaves open or answers otherwise than NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from pytest_graphmode.backends.namespace import Namespace
from pytest_graphmode.backends.xp.promotion import STRONG

Tensor = Any


def _astype(x: Tensor, name: str) -> Tensor:
    """tf.cast, which has no kernel from complex numbers to booleans."""
    return tf.not_equal(x, 0) if name == "bool" else tf.cast(x, name)


def _diag(v: Tensor, k: int) -> Tensor:
    """tf.linalg.diag, whose shape is wrong in a graph that does not know the size of v."""
    size = tf.shape(v)[0] + abs(k)
    return tf.linalg.set_diag(tf.zeros([size, size], v.dtype), v, k=k)


def _tril(x: Tensor, k: int) -> Tensor:
    return tf.where(_below(x, k), x, tf.zeros([], x.dtype))


def _triu(x: Tensor, k: int) -> Tensor:
    return tf.where(_below(x, k - 1), tf.zeros([], x.dtype), x)


def _below(x: Tensor, k: int) -> Tensor:
    """Where the last two axes are at or below the k-th diagonal."""
    rows, columns = tf.unstack(tf.shape(x)[-2:])
    return tf.range(columns) <= tf.range(rows)[:, None] + k


def _diagonal(x: Tensor, offset: int) -> Tensor:
    return tf.linalg.diag_part(x, k=offset)


def _argsort(x: Tensor, axis: int) -> Tensor:
    return tf.argsort(x, axis=axis, stable=True)


def _take(x: Tensor, index: Tensor, axis: int) -> Tensor:
    return tf.gather(x, index, axis=axis)


def _searchsorted(a: Tensor, v: Tensor, side: str) -> Tensor:
    """tf.searchsorted for values of any shape."""
    return tf.reshape(tf.searchsorted(a, tf.reshape(v, [-1]), side=side), tf.shape(v))


def _bincount(x: Tensor, weights: Tensor | None, minlength: int) -> Tensor:
    """A sum by index, which unlike tf.math.bincount has a gradient for the weights."""
    size = tf.maximum(tf.reduce_max(x) + 1, tf.cast(minlength, x.dtype))
    counted = tf.ones_like(x) if weights is None else weights
    return tf.math.unsorted_segment_sum(counted, x, size)


def _unique(x: Tensor) -> Tensor:
    return tf.sort(tf.unique(x).y)


def _nonzero(x: Tensor) -> tuple[Tensor, ...]:
    return tuple(tf.unstack(tf.where(x), axis=1))


def _argmax(x: Tensor, axis: int) -> Tensor:
    return tf.argmax(x, axis)


def _argmin(x: Tensor, axis: int) -> Tensor:
    return tf.argmin(x, axis)


def _invert(x: Tensor) -> Tensor:
    return tf.logical_not(x) if x.dtype == tf.bool else tf.bitwise.invert(x)


def _rounding(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Integers are whole already, but TensorFlow rounds only floating values."""

    def rounded(x: Tensor) -> Tensor:
        return function(x) if x.dtype.is_floating else x

    return rounded


def _test(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The same for tests of floating values."""

    def tested(x: Tensor) -> Tensor:
        return function(x if x.dtype.is_floating or x.dtype.is_complex else tf.cast(x, tf.float64))

    return tested


def _trunc(x: Tensor) -> Tensor:
    """Towards zero."""
    return tf.where(x < 0, tf.math.ceil(x), tf.math.floor(x))


def _fmod(x: Tensor, y: Tensor) -> Tensor:
    """The remainder with the sign of x; tf.truncatemod has no gradient."""
    return x - _trunc(x / y) * y if x.dtype.is_floating else tf.truncatemod(x, y)


def _fmax(x: Tensor, y: Tensor) -> Tensor:
    return tf.where(tf.math.is_nan(x), y, tf.where(tf.math.is_nan(y), x, tf.maximum(x, y)))


def _fmin(x: Tensor, y: Tensor) -> Tensor:
    return tf.where(tf.math.is_nan(x), y, tf.where(tf.math.is_nan(y), x, tf.minimum(x, y)))


def _copysign(x: Tensor, y: Tensor) -> Tensor:
    negative = tf.experimental.numpy.signbit(y)
    return tf.where(negative, -tf.abs(x), tf.abs(x))


def _solve(a: Tensor, b: Tensor) -> Tensor:
    """tf.linalg.solve for batches that broadcast."""
    batch = tf.broadcast_dynamic_shape(tf.shape(a)[:-2], tf.shape(b)[:-2])
    if a.shape.rank == b.shape.rank == 2:
        return tf.linalg.solve(a, b)
    return tf.linalg.solve(_batched(a, batch), _batched(b, batch))


def _batched(x: Tensor, batch: Tensor) -> Tensor:
    return tf.broadcast_to(x, tf.concat([batch, tf.shape(x)[-2:]], axis=0))


def _qr(x: Tensor, mode: str) -> tuple[Tensor, Tensor]:
    q, r = tf.linalg.qr(x, full_matrices=mode == "complete")
    return q, r


def _svd(x: Tensor, full_matrices: bool) -> tuple[Tensor, Tensor, Tensor]:
    """TensorFlow gives (S, U, V), NumPy (U, S, V*)."""
    values, left, right = tf.linalg.svd(x, full_matrices=full_matrices)
    return left, values, tf.linalg.adjoint(right)


def _svdvals(x: Tensor) -> Tensor:
    return tf.linalg.svd(x, compute_uv=False)


# tf.experimental.numpy, which autoray calls, promotes once more: that takes as long as the operation itself, and
# bfloat16 is refused.
_SAME_NAME = (
    *("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "expm1", "log", "log1p", "sqrt", "square"),
    *("negative", "reciprocal", "sign", "add", "subtract", "multiply", "maximum", "minimum", "equal", "not_equal"),
    *("less", "less_equal", "greater", "greater_equal", "real", "imag"),
)
_OTHER_NAME = {
    "absolute": tf.math.abs,
    "arccos": tf.math.acos,
    "arccosh": tf.math.acosh,
    "arcsin": tf.math.asin,
    "arcsinh": tf.math.asinh,
    "arctan": tf.math.atan,
    "arctan2": tf.math.atan2,
    "arctanh": tf.math.atanh,
    "complex": tf.complex,
    "conjugate": tf.math.conj,
    "floor_divide": tf.math.floordiv,
    "power": tf.math.pow,
    "remainder": tf.math.floormod,
    "true_divide": tf.math.divide,
}


class TensorFlowNamespace(Namespace):
    """NumPy's functions on TensorFlow tensors, eager and inside tf.function."""

    library = "tensorflow"
    tensor_type = tf.Tensor
    native_dtypes = {name: tf.dtypes.as_dtype(name) for name in (*STRONG, "bfloat16")}  # noqa: RUF012
    gaps = {  # noqa: RUF012
        **{name: getattr(tf.math, name) for name in _SAME_NAME},
        **_OTHER_NAME,
        "all": tf.reduce_all,
        "any": tf.reduce_any,
        "arange": tf.range,
        "argmax": _argmax,
        "argmin": _argmin,
        "argsort": _argsort,
        "astype": _astype,
        "bincount": _bincount,
        "broadcast_to": tf.broadcast_to,
        "concatenate": tf.concat,
        "ceil": _rounding(tf.math.ceil),
        "copy": tf.identity,
        "copysign": _copysign,
        "cumprod": tf.math.cumprod,
        "cumsum": tf.math.cumsum,
        "diag": _diag,
        "diagonal": _diagonal,
        "einsum": tf.einsum,
        "flip": tf.reverse,
        "floor": _rounding(tf.math.floor),
        "fmax": _fmax,
        "fmin": _fmin,
        "fmod": _fmod,
        "invert": _invert,
        "isfinite": _test(tf.experimental.numpy.isfinite),
        "isinf": _test(tf.experimental.numpy.isinf),
        "isnan": _test(tf.experimental.numpy.isnan),
        "left_shift": tf.bitwise.left_shift,
        "linalg.qr": _qr,
        "linalg.solve": _solve,
        "linalg.svd": _svd,
        "linalg.svdvals": _svdvals,
        "matmul": tf.linalg.matmul,
        "max": tf.reduce_max,
        "mean": tf.reduce_mean,
        "min": tf.reduce_min,
        "nonzero": _nonzero,
        "prod": tf.reduce_prod,
        "repeat": tf.repeat,
        "reshape": tf.reshape,
        "right_shift": tf.bitwise.right_shift,
        "rint": _rounding(tf.math.rint),
        "roll": tf.roll,
        "searchsorted": _searchsorted,
        "sort": tf.sort,
        "stack": tf.stack,
        "sum": tf.reduce_sum,
        "take": _take,
        "tile": tf.tile,
        "transpose": tf.transpose,
        "tril": _tril,
        "triu": _triu,
        "trunc": _rounding(_trunc),
        "unique": _unique,
        "where": tf.where,
        "zeros_like": tf.zeros_like,
    }

    def __init__(self, place: Callable[[np.ndarray[Any, Any], str], Tensor], dtype: Callable[[], str]) -> None:
        # In session mode a tensor outside of a graph is a NumPy array.
        super().__init__(lambda array, name: tf.convert_to_tensor(place(array, name)), dtype)

    def _foreign(self, value: Any) -> Tensor:
        return tf.convert_to_tensor(value)

    def _shape(self, tensor: Tensor) -> tuple[Any, ...]:
        """Static sizes where they are known."""
        sizes = tensor.shape.as_list()
        if None not in sizes:
            return tuple(sizes)
        dynamic = tf.shape(tensor)
        return tuple(dynamic[axis] if size is None else size for axis, size in enumerate(sizes))
