"""Products of vectors, matrices and tensors of any rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_graphmode.backends.xp.arrays import Array
from pytest_graphmode.backends.xp.indexing import Indexing


class Products(Indexing):
    """Functions that multiply and sum over axes."""

    def matmul(self, x1: Array, x2: Array) -> Array:
        """Matrix product over the last two axes, vectors and batches as in NumPy."""
        x1, x2 = self._promote(x1, x2)
        left, right = len(x1.shape) == 1, len(x2.shape) == 1
        rows = self.expand_dims(x1, 0) if left else x1
        columns = self.expand_dims(x2, 1) if right else x2
        product = self.native.matmul(rows, columns)
        gone = ((-2,) if left else ()) + ((-1,) if right else ())
        return self.squeeze(product, gone) if gone else product

    def dot(self, a: Array, b: Array) -> Array:
        """Sum over the last axis of `a` and the last but one of `b`; a plain product with a scalar."""
        a, b = self._promote(a, b)
        if not len(a.shape) or not len(b.shape):
            return self.multiply(a, b)
        return self.tensordot(a, b, ([-1], [-1 if len(b.shape) == 1 else -2]))

    def inner(self, a: Array, b: Array) -> Array:
        """Sum over the last axes of both; a plain product with a scalar."""
        a, b = self._promote(a, b)
        if not len(a.shape) or not len(b.shape):
            return self.multiply(a, b)
        return self.tensordot(a, b, ([-1], [-1]))

    def vdot(self, a: Array, b: Array) -> Array:
        """Sum over all values, the first argument conjugated."""
        a, b = self._promote(a, b)
        return self.dot(self.conjugate(self.ravel(a)), self.ravel(b))

    def vecdot(self, x1: Array, x2: Array, axis: int = -1) -> Array:
        """Sum over one axis of both, the first argument conjugated."""
        return self.sum(self.multiply(self.conjugate(x1), x2), axis=axis)

    def outer(self, a: Array, b: Array) -> Array:
        """Every product of two flat tensors."""
        a, b = self.ravel(a), self.ravel(b)
        return self.multiply(self.expand_dims(a, 1), self.expand_dims(b, 0))

    def tensordot(self, a: Array, b: Array, axes: Any = 2) -> Array:
        """Sum over pairs of axes: the last n of `a` with the first n of `b`, or the named ones."""
        a, b = self._promote(a, b)
        left, right = self._summed(a, b, axes)
        rows = self._matrix(a, left, last=True)
        columns = self._matrix(b, right, last=False)
        kept = [size for place, size in enumerate(self._shape(a)) if place not in left]
        kept += [size for place, size in enumerate(self._shape(b)) if place not in right]
        return self.native.reshape(self.native.matmul(rows, columns), tuple(kept))

    def _summed(self, a: Array, b: Array, axes: Any) -> tuple[list[int], list[int]]:
        """The summed axes of both, counted from the front."""
        ranks = len(a.shape), len(b.shape)
        if isinstance(axes, int):
            return list(range(ranks[0] - axes, ranks[0])), list(range(axes))
        pairs = [[side] if isinstance(side, int) else list(side) for side in axes]
        return [one % ranks[0] for one in pairs[0]], [one % ranks[1] for one in pairs[1]]

    def _matrix(self, tensor: Array, summed: Sequence[int], *, last: bool) -> Array:
        """The tensor as a matrix, its summed axes in one, last or first."""
        shape = self._shape(tensor)
        free = [axis for axis in range(len(shape)) if axis not in summed]
        rows = 1
        for axis in free:
            rows = rows * shape[axis]
        columns = 1
        for axis in summed:
            columns = columns * shape[axis]
        order, sizes = ((*free, *summed), (rows, columns)) if last else ((*summed, *free), (columns, rows))
        return self.native.reshape(self.native.transpose(tensor, order), sizes)

    def einsum(self, subscripts: str, *operands: Array, optimize: Any = False) -> Array:
        """Einstein summation; `optimize` is the backend's own business."""
        return self.native.einsum(subscripts, *self._promote(*operands))

    def kron(self, a: Array, b: Array) -> Array:
        """Every value of `a` times all of `b`, in blocks."""
        a, b = self._promote(a, b)
        rank = max(len(a.shape), len(b.shape))
        a = self.expand_dims(a, tuple(range(rank - len(a.shape))))
        b = self.expand_dims(b, tuple(range(rank - len(b.shape))))
        sizes = [x * y for x, y in zip(self._shape(a), self._shape(b), strict=True)]
        blocks = self.multiply(
            self.expand_dims(a, tuple(range(1, 2 * rank, 2))),
            self.expand_dims(b, tuple(range(0, 2 * rank, 2))),
        )
        return self.native.reshape(blocks, tuple(sizes))

    def cross(self, a: Array, b: Array, axis: int = -1) -> Array:
        """Cross product of vectors of three components along an axis."""
        a, b = self._promote(a, b)
        x, y = ([self._slice(v, axis, one, one + 1) for one in range(3)] for v in (a, b))
        parts = [x[i] * y[j] - x[j] * y[i] for i, j in ((1, 2), (2, 0), (0, 1))]
        return self.concatenate(parts, axis=axis)
