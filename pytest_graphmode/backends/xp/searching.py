"""Choosing, ordering and finding values."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

from pytest_graphmode.backends.xp.arrays import Array
from pytest_graphmode.backends.xp.reductions import Reductions

UniqueAll = namedtuple("UniqueAll", ("values", "indices", "inverse_indices", "counts"))
UniqueCounts = namedtuple("UniqueCounts", ("values", "counts"))
UniqueInverse = namedtuple("UniqueInverse", ("values", "inverse_indices"))


class Searching(Reductions):
    """Functions that take values by index, sort them and look them up."""

    def take(self, x: Array, indices: Array, /, axis: int | None = None) -> Array:
        """Values at the indices along an axis, or of the flat tensor; negative indices count from the end."""
        x, axis = self._flat(x, axis)
        return self.native.take(x, self._from_front(indices, self._sizes(x)[axis]), axis)

    def take_along_axis(self, x: Array, indices: Array, /, axis: int | None = -1) -> Array:
        """Values at indices that have the tensor's own axes, as `argsort` gives them."""
        x, axis = self._flat(x, axis)
        return self.native.take_along_axis(x, self._from_front(indices, self._sizes(x)[axis]), axis)

    def _from_front(self, indices: Array, size: Any) -> Array:
        index = self._cast(self._array(indices), "int64")
        return self.where(self.less(index, 0), self.add(index, size), index)

    def nonzero(self, x: Array, /) -> tuple[Array, ...]:
        """The indices of the values that are not zero, one tensor per axis. Not inside jax.jit: the size is data."""
        places: tuple[Array, ...] = self.where(x)
        return places

    def sort(self, x: Array, /, axis: int | None = -1, *, descending: bool = False, stable: bool = True) -> Array:
        """Values in rising or falling order along an axis, or flat."""
        x, axis = self._flat(x, axis)
        return self.flip(self.native.sort(x, axis), axis) if descending else self.native.sort(x, axis)

    def argsort(self, x: Array, /, axis: int | None = -1, *, descending: bool = False, stable: bool = True) -> Array:
        """The indices that sort, equal values in their order."""
        x, axis = self._flat(x, axis)
        if not descending:
            return self._cast(self.native.argsort(x, axis), "int64")
        index = self.flip(self.argsort(self.flip(x, axis), axis), axis)
        return self.subtract(self._sizes(x)[axis] - 1, index)

    def searchsorted(self, x1: Array, x2: Array, /, side: str = "left", sorter: Array | None = None) -> Array:
        """Where the values would go into a sorted vector, before (left) or after (right) equal ones."""
        x1, x2 = self._promote(x1 if sorter is None else self.take(x1, sorter), x2)
        return self._cast(self.native.searchsorted(x1, x2, side), "int64")

    # Sets. None of these runs inside jax.jit: the size is data.

    def unique_values(self, x: Array, /) -> Array:
        """The different values in rising order."""
        return self.native.unique(self._flat(x, None)[0])

    def unique_inverse(self, x: Array, /) -> UniqueInverse:
        """The different values, and for each value of x the place among them."""
        values = self.unique_values(x)
        return UniqueInverse(values, self.searchsorted(values, x))

    def unique_counts(self, x: Array, /) -> UniqueCounts:
        """The different values, and how often each occurs."""
        return UniqueCounts(*self.unique_all(x)[::3])

    def unique_all(self, x: Array, /) -> UniqueAll:
        """The different values, where each occurs first, the places among them, and how often each occurs."""
        values, inverse = self.unique_inverse(x)
        found = self.equal(self.expand_dims(values, 1), self._flat(x, None)[0])
        return UniqueAll(values, self.argmax(self._cast(found, "int32"), 1), inverse, self.count_nonzero(found, 1))
