"""Products, and `xp.linalg`: the standard's linear algebra, with numpy.linalg's names where they differ."""

from __future__ import annotations

import functools
import math
from collections import namedtuple
from typing import Any

import numpy as np

from pytest_graphmode.backends.xp.arrays import ALIASES, Array, Axis
from pytest_graphmode.backends.xp.searching import Searching

SlogdetResult = namedtuple("SlogdetResult", ("sign", "logabsdet"))
QRResult = namedtuple("QRResult", ("Q", "R"))
SVDResult = namedtuple("SVDResult", ("U", "S", "Vh"))
EighResult = namedtuple("EighResult", ("eigenvalues", "eigenvectors"))


class ArrayNamespace(Searching):
    """The whole of `graphmode.xp`; a backend's subclass names its functions, tensors and dtypes."""

    def __init__(self, *args: Any) -> None:
        """Take what `Arrays` takes."""
        super().__init__(*args)
        self.linalg = Linalg(self)

    def matmul(self, x1: Array, x2: Array, /) -> Array:
        """Matrix product over the last two axes, vectors and batches as in NumPy."""
        return self.native.matmul(*self._promote(x1, x2))

    def tensordot(self, x1: Array, x2: Array, /, axes: Any = 2) -> Array:
        """Sum over pairs of axes: the last n of `x1` with the first n of `x2`, or the named ones."""
        x1, x2 = self._promote(x1, x2)
        if not isinstance(axes, int):
            axes = [list(self._axes(one, len(x.shape))) for one, x in zip(axes, (x1, x2), strict=True)]
        return self.native.tensordot(x1, x2, axes)

    def vecdot(self, x1: Array, x2: Array, /, axis: int = -1) -> Array:
        """Sum over one axis of both, the first argument conjugated."""
        x1, x2 = self._promote(x1, x2)
        return self._reduced("sum", self.multiply(self.conj(x1), x2), axis, False)

    def outer(self, x1: Array, x2: Array, /) -> Array:
        """Every product of two flat tensors."""
        return self.multiply(self.expand_dims(self._flat(x1, None)[0], 1), self._flat(x2, None)[0])

    def cross(self, x1: Array, x2: Array, /, axis: int = -1) -> Array:
        """Cross product of vectors of three components along an axis."""
        return self.native.cross(*self.broadcast_arrays(*self._promote(x1, x2)), axis=axis)

    def diagonal(self, x: Array, /, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
        """Diagonals of two axes, as the last axis of the result."""
        return self.native.diagonal(self._array(x), offset, axis1, axis2)

    def trace(self, x: Array, /, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Array:
        """The sum of a diagonal."""
        return self.sum(self.diagonal(x, offset, axis1, axis2), -1, dtype)


for _alias, _name in ALIASES.items():
    setattr(ArrayNamespace, _alias, getattr(ArrayNamespace, _name))


class Linalg:
    """Linear algebra; integers are computed in float64, as NumPy does."""

    def __init__(self, xp: ArrayNamespace) -> None:
        self._xp, self._native = xp, xp.native.linalg
        self.matmul, self.tensordot, self.vecdot = xp.matmul, xp.tensordot, xp.vecdot
        self.matrix_transpose, self.outer, self.cross = xp.matrix_transpose, xp.outer, xp.cross

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"xp.linalg has no {name!r}: it holds the linear algebra of the Array API standard, also under NumPy's "
            f"names. Use graphmode.lib for the framework's own functions, or graphmode.pick for one implementation each"
        )

    def _of(self, name: str, x: Array, *args: Any) -> Any:
        """A native function of one floating tensor."""
        return getattr(self._native, name)(*self._xp._floating(x), *args)

    def diagonal(self, x: Array, /, offset: int = 0) -> Array:
        """Diagonals of the last two axes."""
        return self._xp.diagonal(x, offset, -2, -1)

    def trace(self, x: Array, /, offset: int = 0, dtype: Any = None) -> Array:
        """The sums of the diagonals of the last two axes."""
        return self._xp.trace(x, offset, -2, -1, dtype)

    def inv(self, x: Array, /) -> Array:
        """Inverse matrices."""
        return self._of("inv", x)

    def det(self, x: Array, /) -> Array:
        """Determinants."""
        return self._of("det", x)

    def slogdet(self, x: Array, /) -> SlogdetResult:
        """Sign and log of the absolute value of the determinants."""
        return SlogdetResult(*self._of("slogdet", x))

    def solve(self, x1: Array, x2: Array, /) -> Array:
        """The x of x1 x = x2; only an `x2` with one axis is a vector, as in NumPy 2."""
        x1, x2 = self._xp._floating(x1, x2)
        if len(x2.shape) > 1:
            return self._native.solve(x1, x2)
        return self._native.solve(x1, self._xp.expand_dims(x2, -1))[..., 0]

    def cholesky(self, x: Array, /, *, upper: bool = False) -> Array:
        """Lower triangular L with L L* = x, or upper triangular U with U* U = x."""
        lower = self._of("cholesky", x)
        return self._xp.conj(self._xp.matrix_transpose(lower)) if upper else lower

    def qr(self, x: Array, /, mode: str = "reduced") -> QRResult:
        """Orthonormal and triangular factor; mode reduced or complete."""
        return QRResult(*self._of("qr", x, mode))

    def svd(self, x: Array, /, full_matrices: bool = True) -> SVDResult:
        """Singular values in falling order, with their vectors: the matrix is U diag(S) Vh."""
        return SVDResult(*self._of("svd", x, full_matrices))

    def svdvals(self, x: Array, /) -> Array:
        """Singular values in falling order."""
        return self._of("svdvals", x)

    def eigh(self, x: Array, /) -> EighResult:
        """Rising eigenvalues and vectors of symmetric or Hermitian matrices, read from the lower triangle."""
        return EighResult(*self._of("eigh", x))

    def eigvalsh(self, x: Array, /) -> Array:
        """Eigenvalues of symmetric or Hermitian matrices in rising order."""
        return self._of("eigvalsh", x)

    def pinv(self, x: Array, /, rtol: float | None = None) -> Array:
        """Pseudo-inverses; singular values below `rtol` (max(m, n) eps) times the largest count as zero."""
        return self._of("pinv", x, *(() if rtol is None else (rtol,)))

    def matrix_power(self, x: Array, n: int, /) -> Array:
        """A square matrix multiplied with itself, its inverse for negative n."""
        xp = self._xp
        x = self.inv(x) if n < 0 else xp._array(x)
        if n == 0:
            places = xp.arange(xp._sizes(x)[-1])
            return xp.where(xp.equal(xp.expand_dims(places, 1), places), xp.ones_like(x), 0)
        return functools.reduce(xp.matmul, [x] * abs(n))

    def matrix_rank(self, x: Array, /, *, rtol: float | None = None) -> Array:
        """The number of singular values above `rtol` (max(m, n) eps) times the largest."""
        xp, values = self._xp, self.svdvals(x)
        name = xp._name(values)
        size = xp._cast(xp.maximum(*xp.shape(x)[-2:]), name)
        bound = xp.multiply(size, float(np.finfo(name).eps)) if rtol is None else rtol
        largest = xp.max(values, -1, True)
        return xp.count_nonzero(xp.greater(values, xp.multiply(bound, largest)), -1)

    def vector_norm(self, x: Array, /, axis: Axis = None, keepdims: bool = False, ord: float = 2) -> Array:
        """The ord-th root of the sum of |x|^ord over axes, the largest or smallest |x| for infinite ones."""
        xp = self._xp
        (x,) = xp._floating(x)
        if ord == 2:
            return xp.sqrt(xp.sum(xp._squared(x), axis, None, keepdims))
        size = xp.abs(x)
        if ord in (math.inf, -math.inf):
            return (xp.max if ord > 0 else xp.min)(size, axis, keepdims)
        if ord == 0:
            return xp.sum(xp._cast(xp.not_equal(size, 0), xp._name(size)), axis, None, keepdims)
        return xp.pow(xp.sum(xp.pow(size, ord), axis, None, keepdims), 1.0 / ord)

    def matrix_norm(self, x: Array, /, keepdims: bool = False, ord: Any = "fro") -> Array:
        """Norms of the matrices in the last two axes."""
        xp = self._xp
        (x,) = xp._floating(x)
        if ord == "fro":
            return self.vector_norm(x, (-2, -1), keepdims)
        largest = xp.min if str(ord).startswith("-") else xp.max
        if ord == "nuc":
            result = xp.sum(self.svdvals(x), -1)
        elif ord in (2, -2):
            result = largest(self.svdvals(x), -1)
        elif ord in (1, -1, math.inf, -math.inf):
            result = largest(xp.sum(xp.abs(x), -2 if abs(ord) == 1 else -1), -1)
        else:
            raise ValueError(f"no matrix norm with ord={ord!r}: use 'fro', 'nuc', 1, 2, inf or their negatives")
        return xp.expand_dims(result, (-2, -1)) if keepdims else result

    def norm(self, x: Array, /, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Array:
        """NumPy's name for both: a norm of vectors along one axis, of matrices along two, by default of all values."""
        xp = self._xp
        x = xp._array(x)
        axes = xp._axes(axis, len(x.shape))
        if ord is None or len(axes) == 1:
            return self.vector_norm(x, axes, keepdims, 2 if ord is None else ord)
        if len(axes) != 2:
            raise ValueError(f"a norm with ord={ord!r} is of vectors or matrices: give one or two axes, not {axes}")
        result = self.matrix_norm(xp.moveaxis(x, axes, (-2, -1)), ord=ord)
        return xp.expand_dims(result, axes) if keepdims else result
