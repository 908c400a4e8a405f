"""Axes and shapes: reshape, transpose, join, split, repeat, pad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pytest_graphmode.backends.xp.arrays import Array
from pytest_graphmode.backends.xp.creation import Creation


def _each(value: int | Sequence[int]) -> tuple[int, ...]:
    """One axis or several, as several."""
    return (value,) if isinstance(value, int) else tuple(value)


def _positive(axes: int | Sequence[int], ndim: int) -> tuple[int, ...]:
    """Axes counted from the front."""
    return tuple(axis % ndim for axis in _each(axes))


class Shaping(Creation):
    """Functions that move values and leave them as they are."""

    def reshape(self, a: Array, shape: Any) -> Array:
        """The values in row-major order in another shape; one size may be -1."""
        return self.native.reshape(self._array(a), (shape,) if isinstance(shape, int) else tuple(shape))

    def ravel(self, a: Array) -> Array:
        """The values in row-major order along one axis."""
        return self.native.reshape(self._array(a), (-1,))

    def transpose(self, a: Array, axes: Sequence[int] | None = None) -> Array:
        """Axes in another order, by default reversed."""
        a = self._array(a)
        ndim = len(a.shape)
        return self.native.transpose(a, tuple(range(ndim))[::-1] if axes is None else _positive(axes, ndim))

    permute_dims = transpose

    def matrix_transpose(self, x: Array) -> Array:
        """The last two axes exchanged."""
        return self.swapaxes(x, -1, -2)

    def swapaxes(self, a: Array, axis1: int, axis2: int) -> Array:
        """Two axes exchanged."""
        a = self._array(a)
        order = list(range(len(a.shape)))
        order[axis1], order[axis2] = order[axis2], order[axis1]
        return self.native.transpose(a, tuple(order))

    def moveaxis(self, a: Array, source: int | Sequence[int], destination: int | Sequence[int]) -> Array:
        """Axes moved to new places, the others in their order."""
        a = self._array(a)
        ndim = len(a.shape)
        sources, destinations = _positive(source, ndim), _positive(destination, ndim)
        order = [axis for axis in range(ndim) if axis not in sources]
        for target, axis in sorted(zip(destinations, sources, strict=True)):
            order.insert(target, axis)
        return self.native.transpose(a, tuple(order))

    def squeeze(self, a: Array, axis: int | Sequence[int] | None = None) -> Array:
        """Without the given axes of size one, by default without all of them."""
        a = self._array(a)
        shape = self._shape(a)
        gone: Sequence[int] = range(len(shape)) if axis is None else _positive(axis, len(shape))
        for one in gone:
            if axis is not None and isinstance(shape[one], int) and shape[one] != 1:
                raise ValueError(f"cannot squeeze axis {one} of shape {shape}: its size is not one")
        gone = [one for one in gone if axis is not None or a.shape[one] == 1]
        return self.native.reshape(a, tuple(size for one, size in enumerate(shape) if one not in gone))

    def expand_dims(self, a: Array, axis: int | Sequence[int]) -> Array:
        """With new axes of size one at the given places."""
        a = self._array(a)
        ndim = len(a.shape) + len(_each(axis))
        new = _positive(axis, ndim)
        sizes = iter(self._shape(a))
        return self.native.reshape(a, tuple(1 if one in new else next(sizes) for one in range(ndim)))

    def broadcast_to(self, array: Array, shape: Any) -> Array:
        """Repeated along axes of size one to the given shape."""
        return self.native.broadcast_to(self._array(array), (shape,) if isinstance(shape, int) else tuple(shape))

    def broadcast_arrays(self, *args: Array) -> tuple[Array, ...]:
        """All arguments broadcast to their common shape."""
        tensors = [self._array(value) for value in args]
        whole = [self.native.zeros_like(self._cast(tensor, "int32")) for tensor in tensors]
        shape = self._shape(sum(whole[1:], whole[0]))
        return tuple(self.native.broadcast_to(tensor, shape) for tensor in tensors)

    def atleast_1d(self, a: Array) -> Array:
        """With at least one axis."""
        a = self._array(a)
        return a if len(a.shape) else self.ravel(a)

    def atleast_2d(self, a: Array) -> Array:
        """With at least two axes; new ones come first."""
        a = self.atleast_1d(a)
        return a if len(a.shape) > 1 else self.expand_dims(a, 0)

    def atleast_3d(self, a: Array) -> Array:
        """With at least three axes; a matrix gets a new last one."""
        a = self.atleast_2d(a)
        return a if len(a.shape) > 2 else self.expand_dims(a, -1)

    # Joining and splitting.

    def concatenate(self, arrays: Sequence[Array], axis: int | None = 0) -> Array:
        """Joined along an existing axis, or flat when the axis is None."""
        tensors = self._promote(*arrays)
        if axis is None:
            return self.native.concatenate([self.ravel(tensor) for tensor in tensors], axis=0)
        return self.native.concatenate(tensors, axis=axis)

    concat = concatenate

    def stack(self, arrays: Sequence[Array], axis: int = 0) -> Array:
        """Joined along a new axis."""
        return self.native.stack(self._promote(*arrays), axis=axis)

    def vstack(self, tup: Sequence[Array]) -> Array:
        """Joined row by row."""
        return self.concatenate([self.atleast_2d(value) for value in tup], axis=0)

    def hstack(self, tup: Sequence[Array]) -> Array:
        """Joined column by column; vectors end to end."""
        tensors = [self.atleast_1d(value) for value in tup]
        return self.concatenate(tensors, axis=0 if len(tensors[0].shape) == 1 else 1)

    def dstack(self, tup: Sequence[Array]) -> Array:
        """Joined along the third axis."""
        return self.concatenate([self.atleast_3d(value) for value in tup], axis=2)

    def column_stack(self, tup: Sequence[Array]) -> Array:
        """Vectors as the columns of a matrix."""
        tensors = [self.atleast_1d(value) for value in tup]
        columns = [self.expand_dims(one, 1) if len(one.shape) == 1 else one for one in tensors]
        return self.concatenate(columns, axis=1)

    def append(self, arr: Array, values: Array, axis: int | None = None) -> Array:
        """Values joined to the end of an axis, flat without one."""
        return self.concatenate([arr, values], axis=axis)

    def array_split(self, ary: Array, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Array]:
        """Pieces along an axis: that many nearly equal ones, or cut at the given indices."""
        ary = self._array(ary)
        size = self._shape(ary)[axis]
        if isinstance(indices_or_sections, int):
            least, longer = size // indices_or_sections, size % indices_or_sections
            pieces = range(1, indices_or_sections + 1)
            ends = [count * least + self._smaller(count, longer) for count in pieces]
        else:
            ends = [*indices_or_sections, size]
        return [self._slice(ary, axis, start, stop) for start, stop in zip([0, *ends], ends, strict=False)]

    def _smaller(self, count: int, size: Any) -> Any:
        """The smaller of two sizes, of which one may be a tensor."""
        return min(count, size) if isinstance(size, int) else self.minimum(count, size)

    def split(self, ary: Array, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Array]:
        """Pieces along an axis: that many equal ones, or cut at the given indices."""
        ary = self._array(ary)
        size = self._shape(ary)[axis]
        if isinstance(indices_or_sections, int) and isinstance(size, int) and size % indices_or_sections:
            raise ValueError(f"an axis of size {size} has no {indices_or_sections} equal pieces")
        return self.array_split(ary, indices_or_sections, axis)

    def vsplit(self, ary: Array, indices_or_sections: int | Sequence[int]) -> list[Array]:
        """Pieces along the first axis."""
        return self.split(ary, indices_or_sections, 0)

    def hsplit(self, ary: Array, indices_or_sections: int | Sequence[int]) -> list[Array]:
        """Pieces along the second axis, of a vector along its only one."""
        ary = self._array(ary)
        return self.split(ary, indices_or_sections, 0 if len(ary.shape) == 1 else 1)

    def unstack(self, x: Array, axis: int = 0) -> tuple[Array, ...]:
        """The slices along an axis."""
        x = self._array(x)
        return tuple(x[_at(axis, len(x.shape), place)] for place in range(self._known(x, axis)))

    def _known(self, tensor: Array, axis: int) -> int:
        """A size that must be known while the graph is built."""
        size = self._shape(tensor)[axis]
        if not isinstance(size, int):
            raise ValueError(f"the size of axis {axis} decides how many operations there are: give it a static size")
        return size

    def _slice(self, tensor: Array, axis: int, start: Any, stop: Any) -> Array:
        return tensor[_at(axis, len(tensor.shape), slice(start, stop))]

    # Repetition and order.

    def tile(self, A: Array, reps: int | Sequence[int]) -> Array:
        """Repeated as a whole along each axis."""
        A = self._array(A)
        counts = _each(reps)
        missing = len(counts) - len(A.shape)
        A = self.expand_dims(A, tuple(range(missing))) if missing > 0 else A
        return self.native.tile(A, (1,) * -missing + counts)

    def repeat(self, a: Array, repeats: int | Sequence[int], axis: int | None = None) -> Array:
        """Every element repeated, or each as often as `repeats` says, along an axis or flat."""
        a = self._array(a)
        if axis is None:
            a, axis = self.ravel(a), 0
        if not isinstance(repeats, int):
            index = np.repeat(np.arange(len(repeats)), repeats)
            return self.native.take(a, self._placed(index, "int64"), axis=axis)
        return self.native.repeat(a, repeats, axis=axis)

    def roll(self, a: Array, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Array:
        """Shifted along axes, around the end; as a flat tensor without an axis."""
        a = self._array(a)
        if axis is None:
            shape = self._shape(a)
            return self.native.reshape(self.roll(self.ravel(a), shift, 0), shape)
        axes = _positive(axis, len(a.shape))
        shifts = _each(shift) * (len(axes) if isinstance(shift, int) else 1)
        return self.native.roll(a, shifts, axes)

    def flip(self, m: Array, axis: int | Sequence[int] | None = None) -> Array:
        """Reversed along axes, by default all."""
        m = self._array(m)
        ndim = len(m.shape)
        return self.native.flip(m, tuple(range(ndim)) if axis is None else _positive(axis, ndim))

    def flipud(self, m: Array) -> Array:
        """Reversed along the first axis."""
        return self.flip(m, 0)

    def fliplr(self, m: Array) -> Array:
        """Reversed along the second axis."""
        return self.flip(m, 1)

    def rot90(self, m: Array, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Array:
        """Turned by k right angles, from the first of the axes towards the second."""
        m = self._array(m)
        turns = (lambda: m, lambda: self.swapaxes(self.flip(m, axes[1]), *axes))
        if k % 4 in (0, 1):
            return turns[k % 4]()
        return self.flip(m, axes) if k % 4 == 2 else self.flip(self.swapaxes(m, *axes), axes[1])

    def pad(self, array: Array, pad_width: Any, mode: str = "constant", constant_values: Array = 0) -> Array:
        """Grown at the ends of its axes with a constant, or by mode edge, reflect, symmetric or wrap."""
        array = self._array(array)
        for axis, (before, after) in enumerate(_pad_widths(pad_width, len(array.shape))):
            if before or after:
                array = self._padded(array, axis, before, after, mode, constant_values)
        return array

    def _padded(self, a: Array, axis: int, before: int, after: int, mode: str, constant: Array) -> Array:
        if mode == "constant":
            ends = [self._border(a, axis, width, constant) for width in (before, after)]
            return self.native.concatenate([ends[0], a, ends[1]], axis=axis)
        if mode not in _PAD_INDEX:
            raise ValueError(f"xp.pad has no mode {mode!r}: use constant, {', '.join(_PAD_INDEX)}")
        size = self._shape(a)[axis]
        places = self._cast(self.arange(-before, size + after), "int32")
        return self.native.take(a, _PAD_INDEX[mode](self, places, size), axis=axis)

    def _border(self, a: Array, axis: int, width: int, constant: Array) -> Array:
        shape = list(self._shape(a))
        shape[axis] = width
        return self.native.broadcast_to(self._cast(self._convert(constant), self._name(a)), tuple(shape))

    def meshgrid(self, *xi: Array, indexing: str = "xy") -> tuple[Array, ...]:
        """Coordinate tensors from coordinate vectors; `xy` exchanges the first two axes."""
        vectors = [self.ravel(value) for value in xi]
        order = list(range(len(vectors)))
        if indexing == "xy" and len(order) > 1:
            order[:2] = 1, 0
        shape = tuple(self._shape(vectors[place])[0] for place in order)
        grids = []
        for place, vector in enumerate(vectors):
            sizes = [1] * len(shape)
            sizes[order[place]] = -1
            grids.append(self.native.broadcast_to(self.native.reshape(vector, tuple(sizes)), shape))
        return tuple(grids)


def _at(axis: int, ndim: int, place: Any) -> tuple[Any, ...]:
    """An index of one place or slice along one axis."""
    return (slice(None),) * (axis % ndim) + (place,)


def _pad_widths(width: Any, ndim: int) -> list[tuple[int, int]]:
    """What `pad_width` says for every axis: a number, a pair or a pair for each."""
    if isinstance(width, (int, np.integer)):
        return [(int(width), int(width))] * ndim
    pairs = [tuple(width)] if isinstance(width[0], (int, np.integer)) else [tuple(pair) for pair in width]
    pairs = [pair * 2 if len(pair) == 1 else pair for pair in pairs]
    if len(pairs) not in (1, ndim):
        raise ValueError(f"pad_width has {len(pairs)} pairs for {ndim} axes: give one pair, or one for each")
    return pairs * ndim if len(pairs) == 1 else pairs


def _edge(xp: Any, places: Array, size: Any) -> Array:
    return xp.clip(places, 0, size - 1)


def _wrap(xp: Any, places: Array, size: Any) -> Array:
    return xp.remainder(places, size)


def _reflect(xp: Any, places: Array, size: Any) -> Array:
    period = xp.maximum(2 * (size - 1), 1)
    folded = xp.remainder(places, period)
    return xp.minimum(folded, xp.subtract(period, folded))


def _symmetric(xp: Any, places: Array, size: Any) -> Array:
    folded = xp.remainder(places, 2 * size)
    return xp.minimum(folded, xp.subtract(2 * size - 1, folded))


_PAD_INDEX = {"edge": _edge, "reflect": _reflect, "symmetric": _symmetric, "wrap": _wrap}
