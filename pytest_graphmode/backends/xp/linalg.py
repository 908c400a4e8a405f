"""`xp.linalg`: numpy.linalg on native tensors."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from pytest_graphmode.backends.xp.arrays import Array
from pytest_graphmode.backends.xp.products import Products

Axis = int | tuple[int, ...] | None


class SlogdetResult(NamedTuple):
    """Sign and logarithm of the absolute value of a determinant."""

    sign: Array
    logabsdet: Array


class QRResult(NamedTuple):
    """Orthonormal and upper triangular factor."""

    Q: Array
    R: Array


class SVDResult(NamedTuple):
    """Singular vectors and values: the matrix is U diag(S) Vh."""

    U: Array
    S: Array
    Vh: Array


class EighResult(NamedTuple):
    """Rising eigenvalues and their vectors as columns."""

    eigenvalues: Array
    eigenvectors: Array


class Linalg:
    """Linear algebra; integers are computed in float64, as NumPy does."""

    def __init__(self, xp: Products) -> None:
        self._xp = xp

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"xp.linalg has no {name!r}: it holds numpy.linalg's functions that every backend has; "
            f"use graphmode.lib or graphmode.pick for others"
        )

    def inv(self, a: Array) -> Array:
        """Inverse matrices."""
        (a,) = self._xp._floating(a)
        return self._xp.native.linalg_inv(a)

    def det(self, a: Array) -> Array:
        """Determinants."""
        (a,) = self._xp._floating(a)
        return self._xp.native.linalg_det(a)

    def slogdet(self, a: Array) -> SlogdetResult:
        """Sign and log of the absolute value of the determinants."""
        (a,) = self._xp._floating(a)
        return SlogdetResult(*self._xp.native.linalg_slogdet(a))

    def solve(self, a: Array, b: Array) -> Array:
        """The x of a x = b; only a `b` with one axis is a vector, as in NumPy 2."""
        xp = self._xp
        a, b = xp._floating(a, b)
        if len(b.shape) > 1:
            return xp.native.linalg_solve(a, b)
        return xp.squeeze(xp.native.linalg_solve(a, xp.expand_dims(b, -1)), -1)

    def cholesky(self, a: Array) -> Array:
        """Lower triangular L with L L* = a."""
        (a,) = self._xp._floating(a)
        return self._xp.native.linalg_cholesky(a)

    def qr(self, a: Array, mode: str = "reduced") -> Any:
        """Orthonormal and triangular factor; mode reduced, complete or r."""
        (a,) = self._xp._floating(a)
        result = QRResult(*self._xp.native.linalg_qr(a, "complete" if mode == "complete" else "reduced"))
        return result.R if mode == "r" else result

    def svd(self, a: Array, full_matrices: bool = True, compute_uv: bool = True) -> Any:
        """Singular values in falling order, with their vectors unless `compute_uv` is false."""
        (a,) = self._xp._floating(a)
        if not compute_uv:
            return self._xp.native.linalg_svdvals(a)
        return SVDResult(*self._xp.native.linalg_svd(a, full_matrices))

    def svdvals(self, x: Array) -> Array:
        """Singular values in falling order."""
        return self.svd(x, compute_uv=False)

    def eigh(self, a: Array) -> EighResult:
        """Eigenvalues and vectors of symmetric or Hermitian matrices, read from the lower triangle."""
        (a,) = self._xp._floating(a)
        return EighResult(*self._xp.native.linalg_eigh(a))

    def eigvalsh(self, a: Array) -> Array:
        """Eigenvalues of symmetric or Hermitian matrices in rising order."""
        (a,) = self._xp._floating(a)
        return self._xp.native.linalg_eigvalsh(a)

    def pinv(self, a: Array) -> Array:
        """Pseudo-inverses; singular values below max(m, n) eps times the largest count as zero."""
        (a,) = self._xp._floating(a)
        return self._xp.native.linalg_pinv(a)

    def matrix_power(self, a: Array, n: int) -> Array:
        """A square matrix multiplied with itself, its inverse for negative n."""
        xp = self._xp
        a = self.inv(a) if n < 0 else xp._array(a)
        if n == 0:
            places = xp.arange(xp._shape(a)[-1])
            return xp.where(xp.equal(xp.expand_dims(places, 1), places), xp.ones_like(a), 0)
        result, exponent = None, abs(n)
        while exponent:
            if exponent % 2:
                result = a if result is None else xp.native.matmul(result, a)
            exponent //= 2
            a = xp.native.matmul(a, a) if exponent else a
        return result

    def matrix_rank(self, a: Array) -> Array:
        """The number of singular values above max(m, n) eps times the largest."""
        xp = self._xp
        values = self.svdvals(a)
        rows, columns = xp._shape(xp._array(a))[-2:]
        size = xp._cast(xp.maximum(rows, columns), xp._name(values))
        tolerance = xp.multiply(xp.multiply(size, np.finfo(xp._name(values)).eps), xp.max(values, -1, True))
        return xp.count_nonzero(xp.greater(values, tolerance), axis=-1)

    def multi_dot(self, arrays: list[Array]) -> Array:
        """The product of several matrices, from left to right."""
        result = arrays[0]
        for matrix in arrays[1:]:
            result = self._xp.dot(result, matrix)
        return result

    def matmul(self, x1: Array, x2: Array) -> Array:
        """`xp.matmul`."""
        return self._xp.matmul(x1, x2)

    def norm(self, x: Array, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Array:
        """Vector or matrix norm, as in numpy.linalg.norm; by default the root of the sum of squares."""
        xp = self._xp
        (x,) = xp._floating(x)
        ndim = len(x.shape)
        if ord is None:
            return xp.sqrt(xp.sum(xp._squared_magnitude(x), axis, None, keepdims))
        axes = tuple(range(ndim)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        axes = tuple(one % ndim for one in axes)
        if len(axes) == 1:
            return self._vector_norm(x, ord, axes[0], keepdims)
        if len(axes) != 2:
            raise ValueError(f"a norm with ord={ord!r} is of vectors or matrices: give one or two axes, not {axes}")
        return self._matrix_norm(x, ord, axes, keepdims)

    def _vector_norm(self, x: Array, ord: Any, axis: int, keepdims: bool) -> Array:
        xp = self._xp
        if ord == 2:
            return xp.sqrt(xp.sum(xp._squared_magnitude(x), axis, None, keepdims))
        size = xp.absolute(x)
        if ord in (math.inf, -math.inf):
            return (xp.max if ord > 0 else xp.min)(size, axis, keepdims)
        if ord == 0:
            return xp.sum(xp._cast(xp.not_equal(size, 0), xp._name(size)), axis, None, keepdims)
        return xp.power(xp.sum(xp.power(size, ord), axis, None, keepdims), 1.0 / ord)

    def _matrix_norm(self, x: Array, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Array:
        xp = self._xp
        if ord == "fro":
            return xp.sqrt(xp.sum(xp._squared_magnitude(x), axes, None, keepdims))
        x = xp.moveaxis(x, axes, (-2, -1))
        result = self._last_axes_norm(x, ord)
        return xp.expand_dims(result, tuple(sorted(axes))) if keepdims else result

    def _last_axes_norm(self, x: Array, ord: Any) -> Array:
        xp = self._xp
        if ord == "nuc":
            return xp.sum(self.svdvals(x), -1)
        largest = xp.min if str(ord).startswith("-") else xp.max
        if ord in (2, -2):
            return largest(self.svdvals(x), -1)
        if ord in (1, -1, math.inf, -math.inf):
            return largest(xp.sum(xp.absolute(x), -2 if abs(ord) == 1 else -1), -1)
        raise ValueError(f"no matrix norm with ord={ord!r}: use 'fro', 'nuc', 1, 2, inf or their negatives")
