"""Sums, means, extremes and running sums, with NumPy's dtypes."""

from __future__ import annotations

from typing import Any

from pytest_graphmode.backends.xp.arrays import Array
from pytest_graphmode.backends.xp.elementwise import Elementwise
from pytest_graphmode.backends.xp.native import NativeFunction
from pytest_graphmode.backends.xp.promotion import AVERAGED, REAL_OF, SUMMED

Axis = int | tuple[int, ...] | None


class Reductions(Elementwise):
    """Functions that remove or run along axes."""

    def _typed(self, a: Array, dtype: Any, results: dict[str, str]) -> Array:
        """The argument in the dtype of the result."""
        a = self._array(a)
        return self._cast(a, results[self._name(a)] if dtype is None else self._dtype(dtype))

    def _reduced(self, function: NativeFunction, a: Array, axis: Axis, keepdims: bool) -> Array:
        """A reduction in the dtype of its argument, which NumPy and PyTorch would widen for small integers."""
        return self._cast(function(a, axis=axis, keepdims=keepdims), self._name(a))

    def sum(self, a: Array, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Array:
        """Sum; small integers and booleans are summed as int64."""
        return self._reduced(self.native.sum, self._typed(a, dtype, SUMMED), axis, keepdims)

    def prod(self, a: Array, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Array:
        """Product; small integers and booleans are multiplied as int64."""
        return self._reduced(self.native.prod, self._typed(a, dtype, SUMMED), axis, keepdims)

    def mean(self, a: Array, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Array:
        """Mean; of integers in float64."""
        return self._reduced(self.native.mean, self._typed(a, dtype, AVERAGED), axis, keepdims)

    def var(self, a: Array, axis: Axis = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False) -> Array:
        """Variance of |a - mean|^2 with divisor n - ddof."""
        a = self._typed(a, dtype, AVERAGED)
        deviation = self.subtract(a, self.native.mean(a, axis=axis, keepdims=True))
        squares = self._squared_magnitude(deviation)
        divisor = self._cast(self._convert(self._count(a, axis)), self._name(squares))
        total = self.native.sum(squares, axis=axis, keepdims=keepdims)
        return self.divide(total, self.subtract(divisor, ddof))

    def std(self, a: Array, axis: Axis = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False) -> Array:
        """Standard deviation, the root of `var`."""
        return self.sqrt(self.var(a, axis, dtype, ddof, keepdims))

    def _squared_magnitude(self, tensor: Array) -> Array:
        """|x|^2, without the root that has no gradient at zero."""
        if not self._is_complex(tensor):
            return self.square(tensor)
        return self.add(self.square(self.real(tensor)), self.square(self.imag(tensor)))

    def max(self, a: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        """Largest value."""
        return self.native.max(self._array(a), axis=axis, keepdims=keepdims)

    def min(self, a: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        """Smallest value."""
        return self.native.min(self._array(a), axis=axis, keepdims=keepdims)

    amax, amin = max, min

    def ptp(self, a: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        """Largest minus smallest value."""
        a = self._array(a)
        return self.subtract(self.max(a, axis, keepdims), self.min(a, axis, keepdims))

    def any(self, a: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        """Whether any value is true or non-zero."""
        return self.native.any(self._cast(self._array(a), "bool"), axis=axis, keepdims=keepdims)

    def all(self, a: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        """Whether all values are true or non-zero."""
        return self.native.all(self._cast(self._array(a), "bool"), axis=axis, keepdims=keepdims)

    def count_nonzero(self, a: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        """The number of values that are not zero."""
        truth = self._cast(self._array(a), "bool")
        return self.native.sum(self._cast(truth, "int64"), axis=axis, keepdims=keepdims)

    def argmax(self, a: Array, axis: int | None = None, keepdims: bool = False) -> Array:
        """Index of the largest value, the first one among equals; of the flat tensor without an axis."""
        return self._argument("argmax", self._array(a), axis, keepdims)

    def argmin(self, a: Array, axis: int | None = None, keepdims: bool = False) -> Array:
        """Index of the smallest value, the first one among equals; of the flat tensor without an axis."""
        return self._argument("argmin", self._array(a), axis, keepdims)

    def _argument(self, name: str, a: Array, axis: int | None, keepdims: bool) -> Array:
        flat = a if axis is not None else self.native.reshape(a, (-1,))
        index = self._cast(getattr(self.native, name)(flat, axis or 0), "int64")
        if not keepdims:
            return index
        shape = self._shape(a)
        kept = (1,) * len(shape) if axis is None else _with_one(shape, axis)
        return self.native.reshape(index, kept)

    def cumsum(self, a: Array, axis: int | None = None, dtype: Any = None) -> Array:
        """Running sum along an axis, of the flat tensor without one."""
        return self._running("cumsum", self._typed(a, dtype, SUMMED), axis)

    def cumprod(self, a: Array, axis: int | None = None, dtype: Any = None) -> Array:
        """Running product along an axis, of the flat tensor without one."""
        return self._running("cumprod", self._typed(a, dtype, SUMMED), axis)

    def _running(self, name: str, a: Array, axis: int | None) -> Array:
        if axis is None:
            a, axis = self.native.reshape(a, (-1,)), 0
        return self._cast(getattr(self.native, name)(a, axis), self._name(a))

    def nansum(self, a: Array, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Array:
        """Sum that takes NaN as zero."""
        return self.sum(self._without_nan(a, 0), axis, dtype, keepdims)

    def nanprod(self, a: Array, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Array:
        """Product that takes NaN as one."""
        return self.prod(self._without_nan(a, 1), axis, dtype, keepdims)

    def nanmean(self, a: Array, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Array:
        """Mean of the values that are not NaN."""
        a = self._typed(a, dtype, AVERAGED)
        total = self.nansum(a, axis, None, keepdims)
        count = self.count_nonzero(self.logical_not(self.isnan(a)), axis, keepdims)
        return self.divide(total, self._cast(count, REAL_OF.get(self._name(total), self._name(total))))

    def nanmax(self, a: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        """Largest value that is not NaN."""
        return self.max(self._without_nan(a, float("-inf")), axis, keepdims)

    def nanmin(self, a: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        """Smallest value that is not NaN."""
        return self.min(self._without_nan(a, float("inf")), axis, keepdims)

    def _without_nan(self, a: Array, replacement: float) -> Array:
        a = self._array(a)
        return self.where(self.isnan(a), replacement, a) if self._is_inexact(a) else a


def _with_one(shape: tuple[Any, ...], axis: int) -> tuple[Any, ...]:
    sizes = list(shape)
    sizes[axis] = 1
    return tuple(sizes)
