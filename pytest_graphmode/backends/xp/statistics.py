"""Quantiles, covariances, differences, integrals and interpolation, written with the other functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pytest_graphmode.backends.xp.arrays import Array
from pytest_graphmode.backends.xp.products import Products
from pytest_graphmode.backends.xp.promotion import AVERAGED
from pytest_graphmode.backends.xp.reductions import Axis
from pytest_graphmode.backends.xp.shaping import _positive


class Statistics(Products):
    """Functions that need no help from the backend."""

    def median(self, a: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        """Middle value, or the mean of the two middle ones."""
        return self.quantile(a, 0.5, axis, keepdims)

    def percentile(self, a: Array, q: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        """The q-th percentile, linear between values."""
        return self.quantile(a, self._fraction(q), axis, keepdims)

    def _fraction(self, q: Array) -> Array:
        return self.divide(q, 100) if isinstance(q, self.tensor_type) else np.asarray(q, "float64") / 100

    def quantile(self, a: Array, q: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        """The q-th quantile, linear between values (method 7 of Hyndman and Fan, 1996); the axes of q come first."""
        a = self._typed(a, None, AVERAGED)
        ndim = len(a.shape)
        axes = tuple(range(ndim)) if axis is None else _positive(axis, ndim)
        kept = tuple(size for one, size in enumerate(self._shape(a)) if one not in axes)
        rows = self.native.reshape(self.moveaxis(a, axes, tuple(range(ndim - len(axes), ndim))), (*kept, -1))
        lower, upper, weight = self._positions(q, self._shape(rows)[-1], self._name(a))
        ordered = self.native.sort(rows, -1)
        low = self.native.take(ordered, lower, axis=len(kept))
        high = self.native.take(ordered, upper, axis=len(kept))
        value = self.add(low, self.multiply(weight, self.subtract(high, low)))
        leading = len(weight.shape)
        value = self.moveaxis(value, tuple(range(len(kept), len(kept) + leading)), tuple(range(leading)))
        value = self.where(self.any(self.isnan(rows), axis=-1), float("nan"), value)
        return self.expand_dims(value, tuple(one + leading for one in sorted(axes))) if keepdims else value

    def _positions(self, q: Array, size: Any, name: str) -> tuple[Array, Array, Array]:
        """The two neighbours of each quantile in the sorted values and the weight of the upper one."""
        if isinstance(q, self.tensor_type) or not isinstance(size, int):
            position = self.multiply(self._array(q), self._cast(self._convert(size - 1), name))
            lower = self.floor(position)
            weight = self._cast(self.subtract(position, lower), name)
            upper = self.minimum(self._cast(lower, "int64"), size - 1)
            return upper, self.minimum(self.add(upper, 1), size - 1), weight
        position = np.asarray(q, "float64") * (size - 1)
        below = np.floor(position).astype("int64")
        above = np.minimum(below + 1, size - 1)
        return self._placed(below, "int64"), self._placed(above, "int64"), self._placed(position - below, name)

    def average(self, a: Array, axis: Axis = None, weights: Array = None, keepdims: bool = False) -> Array:
        """Weighted mean; weights of one axis broadcast along it."""
        if weights is None:
            return self.mean(a, axis, None, keepdims)
        a, weights = self._floating(a, weights)
        if len(weights.shape) != len(a.shape) and isinstance(axis, int):
            shape = [1] * len(a.shape)
            shape[axis] = -1
            weights = self.native.reshape(weights, tuple(shape))
        weights = self.add(weights, self.native.zeros_like(a))
        total = self.sum(self.multiply(a, weights), axis, None, keepdims)
        return self.divide(total, self.sum(weights, axis, None, keepdims))

    def cov(self, m: Array, y: Array = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None) -> Array:
        """Covariance matrix of variables in rows (or columns), with divisor n - 1, n if `bias`, else n - ddof.

        In float64 whatever the argument, as in NumPy.
        """
        rows = self._variables(m, rowvar)
        if y is not None:
            rows = self.concatenate([rows, self._variables(y, rowvar)], axis=0)
        rows = self.subtract(rows, self.mean(rows, axis=1, keepdims=True))
        freedom = (0 if bias else 1) if ddof is None else ddof
        product = self.matmul(rows, self.conjugate(self.swapaxes(rows, 0, 1)))
        divisor = self._cast(self._convert(self._shape(rows)[1] - freedom), self._name(product))
        return self.squeeze(self.divide(product, divisor))

    def _double(self, *values: Array) -> list[Array]:
        """Tensors of the double-precision dtype in which some of NumPy's functions always compute."""
        return self._promote(*values, self._cast(1.0, "float64"))[:-1]

    def _variables(self, m: Array, rowvar: bool) -> Array:
        (rows,) = self._double(m)
        if len(rows.shape) == 1:
            return self.expand_dims(rows, 0)
        return rows if rowvar else self.swapaxes(rows, 0, 1)

    def corrcoef(self, x: Array, y: Array = None, rowvar: bool = True) -> Array:
        """Correlation matrix of variables in rows (or columns)."""
        covariance = self.atleast_2d(self.cov(x, y, rowvar))
        deviation = self.sqrt(self.real(self.diagonal(covariance)))
        return self.squeeze(self.divide(self.divide(covariance, deviation), self.expand_dims(deviation, 1)))

    # Differences and integrals.

    def diff(self, a: Array, n: int = 1, axis: int = -1, prepend: Array = None, append: Array = None) -> Array:
        """Differences of neighbours along an axis, n times; of booleans, whether they differ."""
        a = self._array(a)
        ends = self._end(a, axis, prepend), a, self._end(a, axis, append)
        parts = [part for part in ends if part is not None]
        a = self.concatenate(parts, axis=axis) if len(parts) > 1 else a
        for _ in range(n):
            later, earlier = self._slice(a, axis, 1, None), self._slice(a, axis, 0, -1)
            a = self.not_equal(later, earlier) if self._name(a) == "bool" else self.subtract(later, earlier)
        return a

    def _end(self, a: Array, axis: int, values: Array) -> Array:
        """What `diff` joins to an end: a scalar is one value on every line of the axis."""
        if values is None:
            return None
        values = self._convert(values)
        if isinstance(values, self.tensor_type) and len(values.shape):
            return values
        line = self.native.zeros_like(self._slice(a, axis, 0, 1))
        return self.add(line, values)

    def ediff1d(self, ary: Array) -> Array:
        """Differences of neighbours of the flat tensor."""
        return self.diff(self.ravel(ary))

    def gradient(self, f: Array, *spacing: float, axis: Axis = None) -> Any:
        """Central differences inside, one-sided ones at the ends, for evenly spaced values."""
        (f,) = self._floating(f)
        axes = tuple(range(len(f.shape))) if axis is None else _positive(axis, len(f.shape))
        steps = spacing * len(axes) if len(spacing) == 1 else spacing or (1.0,) * len(axes)
        slopes = tuple(self._slope(f, step, one) for step, one in zip(steps, axes, strict=True))
        return slopes if len(slopes) > 1 else slopes[0]

    def _slope(self, f: Array, step: float, axis: int) -> Array:
        edges = self.diff(f, axis=axis)
        inside = self.subtract(self._slice(f, axis, 2, None), self._slice(f, axis, 0, -2))
        first, last = self._slice(edges, axis, 0, 1), self._slice(edges, axis, -1, None)
        return self.divide(self.concatenate([first, self.divide(inside, 2.0), last], axis=axis), step)

    def trapezoid(self, y: Array, x: Array = None, dx: float = 1.0, axis: int = -1) -> Array:
        """Integral by the trapezoidal rule over the points `x`, or a spacing of `dx`."""
        y = self._array(y)
        heights = self.divide(self.add(self._slice(y, axis, 1, None), self._slice(y, axis, 0, -1)), 2.0)
        if x is None:
            return self.sum(self.multiply(heights, dx), axis=axis)
        x = self._array(x)
        if len(x.shape) > 1:
            return self.sum(self.multiply(heights, self.diff(x, axis=axis)), axis=axis)
        widths = self.reshape(self.diff(x), (-1,) + (1,) * (len(y.shape) - 1 - axis % len(y.shape)))
        return self.sum(self.multiply(heights, widths), axis=axis)

    def convolve(self, a: Array, v: Array, mode: str = "full") -> Array:
        """Discrete convolution of two vectors; mode full, same or valid."""
        a, v = self._promote(a, v)
        sizes = [self._known(tensor, 0) for tensor in (a, v)]
        a, v = (v, a) if sizes[1] > sizes[0] else (a, v)
        taps = min(sizes)
        width = {"full": taps - 1, "same": taps - 1, "valid": 0}[mode]
        padded = self.pad(a, (width, width))
        places = self.arange(self._shape(padded)[0] - taps + 1)
        windows = self.native.take(padded, self.add(self.expand_dims(places, 1), self.arange(taps)), axis=0)
        full = self.matmul(windows, self.flip(v))
        start = (taps - 1) // 2 if mode == "same" else 0
        return full if mode != "same" else full[start : start + self._shape(a)[0]]

    def correlate(self, a: Array, v: Array, mode: str = "valid") -> Array:
        """Cross-correlation of two vectors, the second conjugated; mode valid, same or full."""
        a, v = self._promote(a, v)
        return self.convolve(a, self.conjugate(self.flip(v)), mode)

    def interp(self, x: Array, xp: Array, fp: Array, left: Array = None, right: Array = None) -> Array:
        """Linear interpolation between rising points `xp`, constant outside or `left` and `right`.

        In float64 whatever the arguments, as in NumPy.
        """
        x, xp, fp = self._double(x, xp, fp)
        inside = self._between(x, xp, fp)
        inside = self.where(self.less(x, xp[0]), fp[0] if left is None else left, inside)
        return self.where(self.greater(x, xp[-1]), fp[-1] if right is None else right, inside)

    def _between(self, x: Array, xp: Array, fp: Array) -> Array:
        """The value at `x` on the line through the two points around it; one point is both, at no distance."""
        last = self._shape(xp)[0] - 1
        upper = self.clip(self.maximum(self.searchsorted(xp, x, "right"), 1), 0, last)
        lower = self.clip(upper - 1, 0, last)
        x0, x1 = self.native.take(xp, lower, axis=0), self.native.take(xp, upper, axis=0)
        y0, y1 = self.native.take(fp, lower, axis=0), self.native.take(fp, upper, axis=0)
        width = x1 - x0
        return y0 + (y1 - y0) / self.where(self.equal(width, 0), 1.0, width) * (x - x0)

    def polyval(self, p: Sequence[Array] | Array, x: Array) -> Array:
        """The polynomial with coefficients from the highest power down, by Horner's rule."""
        x = self._array(x)
        coefficients = self.unstack(self._array(p))
        value = self.multiply(coefficients[0], self.full_like(x, 1))
        for coefficient in coefficients[1:]:
            value = self.add(self.multiply(value, x), coefficient)
        return value

    def vander(self, x: Array, N: int | None = None, increasing: bool = False) -> Array:
        """Powers of a vector as columns, falling unless `increasing`; of float32 in float64, as in NumPy."""
        x = self._array(x)
        powers = np.arange(x.shape[0] if N is None else N)
        exponents = self._placed(powers if increasing else powers[::-1].copy(), "int64")
        return self.power(self.expand_dims(x, 1), exponents)

    # Comparison of whole tensors.

    def allclose(self, a: Array, b: Array, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Array:
        """Whether all values are close, as a boolean tensor."""
        return self.all(self.isclose(a, b, rtol, atol, equal_nan))

    def array_equal(self, a1: Array, a2: Array) -> Array:
        """Whether shapes and values are equal, as a boolean tensor."""
        a1, a2 = self._array(a1), self._array(a2)
        if tuple(a1.shape) != tuple(a2.shape):
            return self._cast(False, "bool")
        return self.all(self.equal(a1, a2))
