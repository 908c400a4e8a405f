"""Axes and shapes: reshape, transpose, join, repeat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytest_graphmode.backends.xp.arrays import Array, Axis
from pytest_graphmode.backends.xp.creation import Creation, Shape


class Manipulation(Creation):
    """Functions that move values and leave them as they are."""

    def reshape(self, x: Array, /, shape: Shape) -> Array:
        """The values in row-major order in another shape; one size may be -1."""
        return self.native.reshape(self._array(x), (shape,) if isinstance(shape, int) else tuple(shape))

    def permute_dims(self, x: Array, /, axes: Sequence[int] | None = None) -> Array:
        """Axes in another order, by default reversed."""
        x = self._array(x)
        order = self._axes(axes, len(x.shape))
        return self.native.transpose(x, order[::-1] if axes is None else order)

    def matrix_transpose(self, x: Array, /) -> Array:
        """The last two axes exchanged."""
        return self.native.swapaxes(self._array(x), -1, -2)

    def moveaxis(self, x: Array, source: int | Sequence[int], destination: int | Sequence[int], /) -> Array:
        """Axes moved to new places, the others in their order."""
        return self.native.moveaxis(self._array(x), source, destination)

    def squeeze(self, x: Array, /, axis: Axis = None) -> Array:
        """Without the given axes of size one; without all of them, if none is given, as NumPy has it."""
        x = self._array(x)
        sizes, static = self._sizes(x), tuple(x.shape)
        gone = self._axes(axis, len(sizes))
        if axis is None:
            gone = tuple(one for one in gone if static[one] == 1)
        for one in gone:
            if static[one] not in (1, None):
                raise ValueError(f"cannot squeeze axis {one} of shape {static}: its size is not one")
        return self.native.reshape(x, tuple(size for one, size in enumerate(sizes) if one not in gone))

    def expand_dims(self, x: Array, /, axis: int | Sequence[int] = 0) -> Array:
        """With new axes of size one at the given places."""
        x = self._array(x)
        ndim = len(x.shape) + (1 if isinstance(axis, int) else len(axis))
        new, sizes = self._axes(axis, ndim), iter(self._sizes(x))
        return self.native.reshape(x, tuple(1 if one in new else next(sizes) for one in range(ndim)))

    def broadcast_to(self, x: Array, /, shape: Shape) -> Array:
        """Repeated along axes of size one to the given shape."""
        return self.native.broadcast_to(self._array(x), (shape,) if isinstance(shape, int) else tuple(shape))

    def broadcast_arrays(self, *arrays: Array) -> tuple[Array, ...]:
        """All arguments broadcast to their common shape."""
        tensors = [self._array(value) for value in arrays]
        whole = [self.native.zeros_like(self._cast(tensor, "int32")) for tensor in tensors]
        shape = self._sizes(sum(whole[1:], whole[0]))
        return tuple(self.native.broadcast_to(tensor, shape) for tensor in tensors)

    def meshgrid(self, *arrays: Array, indexing: str = "xy") -> tuple[Array, ...]:
        """Coordinate tensors from coordinate vectors; `xy` exchanges the first two axes."""
        count = len(arrays)
        grid = [self.reshape(x, (1,) * at + (-1,) + (1,) * (count - at - 1)) for at, x in enumerate(arrays)]
        whole = self.broadcast_arrays(*grid)
        return tuple(self.native.swapaxes(x, 0, 1) for x in whole) if indexing == "xy" and count > 1 else whole

    def concat(self, arrays: Sequence[Array], /, axis: int | None = 0) -> Array:
        """Joined along an existing axis, or flat when the axis is None."""
        tensors = self._promote(*arrays)
        flat = [self._flat(x, None)[0] for x in tensors] if axis is None else tensors
        return self.native.concat(flat, axis=axis or 0)

    def stack(self, arrays: Sequence[Array], /, axis: int = 0) -> Array:
        """Joined along a new axis."""
        return self.native.stack(self._promote(*arrays), axis)

    def unstack(self, x: Array, /, axis: int = 0) -> tuple[Array, ...]:
        """The slices along an axis."""
        x = self._array(x)
        size = self._sizes(x)[axis]
        if not isinstance(size, int):
            raise ValueError(f"the size of axis {axis} decides how many tensors there are: give it a static size")
        return tuple(self._slice(x, axis, place) for place in range(size))

    def tile(self, x: Array, repetitions: int | Sequence[int], /) -> Array:
        """Repeated as a whole along each axis."""
        return self.native.tile(self._array(x), (repetitions,) if isinstance(repetitions, int) else tuple(repetitions))

    def repeat(self, x: Array, repeats: int | Sequence[int], /, axis: int | None = None) -> Array:
        """Every element repeated, or each as often as `repeats` says, along an axis or flat."""
        x, axis = self._flat(x, axis)
        if isinstance(repeats, int):
            return self.native.repeat(x, repeats, axis)
        return self.native.take(x, self._placed(np.repeat(np.arange(len(repeats)), repeats), "int64"), axis)

    def roll(self, x: Array, /, shift: int | Sequence[int], axis: Axis = None) -> Array:
        """Shifted along axes, around the end; as a flat tensor without an axis."""
        x = self._array(x)
        if axis is None:
            return self.native.reshape(self.roll(self._flat(x, None)[0], shift, 0), self._sizes(x))
        axes = self._axes(axis, len(x.shape))
        return self.native.roll(x, (shift,) * len(axes) if isinstance(shift, int) else tuple(shift), axes)

    def flip(self, x: Array, /, axis: Axis = None) -> Array:
        """Reversed along axes, by default all."""
        x = self._array(x)
        return self.native.flip(x, self._axes(axis, len(x.shape)))
