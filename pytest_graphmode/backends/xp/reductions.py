"""Sums, means, extremes and running sums, with NumPy's dtypes."""

from __future__ import annotations

from typing import Any

from pytest_graphmode.backends.xp.arrays import Array, Axis
from pytest_graphmode.backends.xp.manipulation import Manipulation
from pytest_graphmode.backends.xp.promotion import AVERAGED, SUMMED


class Reductions(Manipulation):
    """Functions that remove or run along axes."""

    def _typed(self, x: Array, dtype: Any, results: dict[str, str]) -> Array:
        """The argument in the dtype of the result."""
        x = self._array(x)
        return self._cast(x, results[self._name(x)] if dtype is None else self._dtype(dtype))

    def _reduced(self, name: str, x: Array, axis: Axis, keepdims: bool) -> Array:
        """A reduction in the dtype of its argument, which NumPy and PyTorch would widen for small integers."""
        axes = self._axes(axis, len(x.shape))
        return self._cast(getattr(self.native, name)(x, axis=axes, keepdims=keepdims), self._name(x))

    def sum(self, x: Array, /, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Array:
        """Sum; small integers and booleans are summed as int64."""
        return self._reduced("sum", self._typed(x, dtype, SUMMED), axis, keepdims)

    def prod(self, x: Array, /, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Array:
        """Product; small integers and booleans are multiplied as int64."""
        return self._reduced("prod", self._typed(x, dtype, SUMMED), axis, keepdims)

    def mean(self, x: Array, /, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Array:
        """Mean; of integers in float64."""
        return self._reduced("mean", self._typed(x, dtype, AVERAGED), axis, keepdims)

    def var(
        self,
        x: Array,
        /,
        axis: Axis = None,
        dtype: Any = None,
        ddof: float = 0,
        keepdims: bool = False,
        *,
        correction: float = 0,
    ) -> Array:
        """Variance of |x - mean|^2 with divisor n - correction, which NumPy calls ddof."""
        x = self._typed(x, dtype, AVERAGED)
        squares = self._squared(self.subtract(x, self._reduced("mean", x, axis, True)))
        count: Any = 1
        for one in self._axes(axis, len(x.shape)):
            count = count * self._sizes(x)[one]
        divisor = self._cast(self._convert(count), self._name(squares))
        total = self._reduced("sum", squares, axis, keepdims)
        return self.divide(total, self.subtract(divisor, ddof + correction))

    def std(self, x: Array, /, *args: Any, **options: Any) -> Array:
        """Standard deviation, the root of `var`, with its arguments."""
        return self.sqrt(self.var(x, *args, **options))

    def max(self, x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
        """Largest value."""
        return self._reduced("max", self._array(x), axis, keepdims)

    def min(self, x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
        """Smallest value."""
        return self._reduced("min", self._array(x), axis, keepdims)

    def any(self, x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
        """Whether any value is true or non-zero."""
        return self._reduced("any", self._cast(self._array(x), "bool"), axis, keepdims)

    def all(self, x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
        """Whether all values are true or non-zero."""
        return self._reduced("all", self._cast(self._array(x), "bool"), axis, keepdims)

    def count_nonzero(self, x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
        """The number of values that are not zero."""
        return self.sum(self._cast(self._array(x), "bool"), axis, None, keepdims)

    def argmax(self, x: Array, /, axis: int | None = None, keepdims: bool = False) -> Array:
        """Index of the largest value, the first one among equals; of the flat tensor without an axis."""
        return self._place_of("argmax", self._array(x), axis, keepdims)

    def argmin(self, x: Array, /, axis: int | None = None, keepdims: bool = False) -> Array:
        """Index of the smallest value, the first one among equals; of the flat tensor without an axis."""
        return self._place_of("argmin", self._array(x), axis, keepdims)

    def _place_of(self, name: str, x: Array, axis: int | None, keepdims: bool) -> Array:
        index = self._cast(getattr(self.native, name)(*self._flat(x, axis)), "int64")
        return self.expand_dims(index, self._axes(axis, len(x.shape))) if keepdims else index

    def cumulative_sum(
        self, x: Array, /, axis: int | None = None, dtype: Any = None, *, include_initial: bool = False
    ) -> Array:
        """Running sum along an axis, of the flat tensor without one, from 0 on if `include_initial`."""
        return self._running("cumsum", self._typed(x, dtype, SUMMED), axis, 0 if include_initial else None)

    def cumulative_prod(
        self, x: Array, /, axis: int | None = None, dtype: Any = None, *, include_initial: bool = False
    ) -> Array:
        """Running product along an axis, of the flat tensor without one, from 1 on if `include_initial`."""
        return self._running("cumprod", self._typed(x, dtype, SUMMED), axis, 1 if include_initial else None)

    def _running(self, name: str, x: Array, axis: int | None, initial: int | None) -> Array:
        x, axis = self._flat(x, axis)
        if initial is not None:
            x = self.concat([self.full_like(self._slice(x, axis, slice(1)), initial), x], axis)
        return self._cast(getattr(self.native, name)(x, axis), self._name(x))

    def diff(
        self, x: Array, /, n: int = 1, axis: int = -1, prepend: Array | None = None, append: Array | None = None
    ) -> Array:
        """Differences of neighbours along an axis, n times; of booleans, whether they differ."""
        parts = [part for part in (prepend, self._array(x), append) if part is not None]
        x = self.concat(parts, axis) if len(parts) > 1 else parts[0]
        for _ in range(n):
            later, earlier = self._slice(x, axis, slice(1, None)), self._slice(x, axis, slice(-1))
            x = self.not_equal(later, earlier) if self._name(x) == "bool" else self.subtract(later, earlier)
        return x
