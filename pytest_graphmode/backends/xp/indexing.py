"""Choosing, ordering and finding values."""

from __future__ import annotations

from typing import Any

from pytest_graphmode.backends.xp.arrays import Array
from pytest_graphmode.backends.xp.reductions import Reductions
from pytest_graphmode.backends.xp.shaping import Shaping, _positive


class Indexing(Reductions, Shaping):
    """Functions that take values by index, sort them and look them up."""

    def take(self, a: Array, indices: Array, axis: int | None = None) -> Array:
        """Values at the indices along an axis, or of the flat tensor; negative indices count from the end."""
        a = self._array(a)
        if axis is None:
            a, axis = self.ravel(a), 0
        (axis,) = _positive(axis, len(a.shape))
        return self.native.take(a, self._from_front(indices, self._shape(a)[axis]), axis=axis)

    def take_along_axis(self, arr: Array, indices: Array, axis: int | None) -> Array:
        """Values at indices that have the tensor's own axes, as `argsort` gives them."""
        arr = self._array(arr)
        if axis is None:
            arr, axis = self.ravel(arr), 0
        (axis,) = _positive(axis, len(arr.shape))
        return self.native.take_along_axis(arr, self._from_front(indices, self._shape(arr)[axis]), axis)

    def _from_front(self, indices: Array, size: Any) -> Array:
        index = self._cast(self._array(indices), "int64")
        return self.where(self.less(index, 0), self.add(index, size), index)

    def nonzero(self, a: Array) -> tuple[Array, ...]:
        """The indices of the values that are not zero, one tensor per axis. Not inside jax.jit: the size is data."""
        places: tuple[Array, ...] = self.native.nonzero(self._cast(self._array(a), "bool"))
        return places

    def argwhere(self, a: Array) -> Array:
        """The indices of the values that are not zero, one row each."""
        return self.stack(self.nonzero(a), axis=1)

    def flatnonzero(self, a: Array) -> Array:
        """The flat indices of the values that are not zero."""
        return self.nonzero(self.ravel(a))[0]

    def sort(self, a: Array, axis: int | None = -1) -> Array:
        """Values in rising order along an axis, or flat."""
        a = self._array(a)
        return self.native.sort(self.ravel(a), 0) if axis is None else self.native.sort(a, axis)

    def argsort(self, a: Array, axis: int | None = -1) -> Array:
        """The indices that sort, equal values in their order."""
        a = self._array(a)
        index = self.native.argsort(self.ravel(a), 0) if axis is None else self.native.argsort(a, axis)
        return self._cast(index, "int64")

    def searchsorted(self, a: Array, v: Array, side: str = "left") -> Array:
        """Where the values would go into a sorted vector, before (left) or after (right) equal ones."""
        a, v = self._promote(a, v)
        return self._cast(self.native.searchsorted(a, v, side), "int64")

    def digitize(self, x: Array, bins: Array, right: bool = False) -> Array:
        """The number of the bin of each value, for rising bin edges."""
        return self.searchsorted(bins, x, side="left" if right else "right")

    def bincount(self, x: Array, weights: Array = None, minlength: int = 0) -> Array:
        """How often each number from 0 occurs, or the sum of the weights where it does."""
        x = self._array(x)
        if weights is None:
            return self._cast(self.native.bincount(x, None, minlength), "int64")
        return self.native.bincount(x, self._cast(self._array(weights), "float64"), minlength)

    def unique(self, ar: Array) -> Array:
        """The different values in rising order. Not inside jax.jit: the size is data."""
        return self.native.unique(self.ravel(ar))

    def isin(self, element: Array, test_elements: Array) -> Array:
        """Whether each value is among the test values."""
        element, tests = self._promote(element, test_elements)
        return self.any(self.equal(self.expand_dims(element, -1), self.ravel(tests)), axis=-1)

    def tril(self, m: Array, k: int = 0) -> Array:
        """The lower triangle of the last two axes, zeros above the k-th diagonal."""
        return self.native.tril(self._square(m), k)

    def triu(self, m: Array, k: int = 0) -> Array:
        """The upper triangle of the last two axes, zeros below the k-th diagonal."""
        return self.native.triu(self._square(m), k)

    def _square(self, m: Array) -> Array:
        """A matrix as it is, a vector as the rows of one, as NumPy does for triangles."""
        m = self._array(m)
        size = self._shape(m)[-1]
        return m if len(m.shape) > 1 else self.native.broadcast_to(m, (size, size))

    def diag(self, v: Array, k: int = 0) -> Array:
        """The k-th diagonal of a matrix, or a matrix with the vector as its k-th diagonal."""
        v = self._array(v)
        return self.native.diag(v, k) if len(v.shape) == 1 else self.diagonal(v, k)

    def diagflat(self, v: Array, k: int = 0) -> Array:
        """A matrix with the flat values as its k-th diagonal."""
        return self.native.diag(self.ravel(v), k)

    def diagonal(self, a: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
        """Diagonals of two axes, as the last axis of the result."""
        a = self.moveaxis(a, (axis1, axis2), (-2, -1))
        return self.native.diagonal(a, offset)

    def trace(self, a: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
        """The sum of a diagonal."""
        return self.sum(self.diagonal(a, offset, axis1, axis2), axis=-1)
