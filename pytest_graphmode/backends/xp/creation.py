"""New tensors and dtypes: floating values have the variant's default dtype, integers NumPy's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pytest_graphmode.backends.xp.arrays import Array
from pytest_graphmode.backends.xp.elementwise import Elementwise
from pytest_graphmode.backends.xp.promotion import promoted

Shape = int | tuple[Any, ...] | list[Any]

_KINDS = {
    "bool": ("bool",),
    "signed integer": ("int",),
    "unsigned integer": ("uint",),
    "integral": ("int", "uint"),
    "real floating": ("float", "bfloat"),
    "complex floating": ("complex",),
    "numeric": ("int", "uint", "float", "bfloat", "complex"),
}


class Creation(Elementwise):
    """Functions that make tensors from sizes, numbers and lists, and those about dtypes."""

    pi, e, inf, nan, newaxis = math.pi, math.e, math.inf, math.nan, None

    def asarray(self, obj: Array, /, dtype: Any = None, copy: bool | None = None) -> Array:
        """A tensor from numbers, NumPy arrays, tensors or nested lists of these."""
        made = self._array(obj, None if dtype is None else self._dtype(dtype))
        return self.native.copy(made) if copy and made is obj else made

    def from_dlpack(self, x: Any, /) -> Array:
        """A tensor from another library's array in the memory of the CPU, in its own dtype."""
        array = np.from_dlpack(x)
        return self._placed(array, array.dtype.name)

    def astype(self, x: Array, dtype: Any, /, *, copy: bool = True) -> Array:
        """The values in another dtype."""
        return self.asarray(x, dtype, copy)

    def zeros(self, shape: Shape, dtype: Any = "float") -> Array:
        """Zeros of the default floating dtype."""
        return self.full(shape, 0, dtype)

    def ones(self, shape: Shape, dtype: Any = "float") -> Array:
        """Ones of the default floating dtype."""
        return self.full(shape, 1, dtype)

    empty = zeros

    def full(self, shape: Shape, fill_value: Array, dtype: Any = None) -> Array:
        """A tensor filled with one value, by default in the dtype of that value (an int's is int64, as in NumPy)."""
        value = self._convert(fill_value)
        kind = self._kind(value)
        name = self._concrete("int64" if kind == "int" else kind) if dtype is None else self._dtype(dtype)
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        if isinstance(value, self.tensor_type) or not all(isinstance(size, int) for size in sizes):
            return self.native.broadcast_to(self._cast(value, name), sizes)
        return self._placed(np.full(sizes, value), name)

    def zeros_like(self, x: Array, /, dtype: Any = None) -> Array:
        """Zeros of the same shape, and dtype unless another is given."""
        return self.full_like(x, 0, dtype)

    def ones_like(self, x: Array, /, dtype: Any = None) -> Array:
        """Ones of the same shape, and dtype unless another is given."""
        return self.full_like(x, 1, dtype)

    empty_like = zeros_like

    def full_like(self, x: Array, /, fill_value: Array, dtype: Any = None) -> Array:
        """A tensor of the same shape, and dtype unless another is given, filled with one value."""
        x = self._array(x)
        name = self._name(x) if dtype is None else self._dtype(dtype)
        value = self._cast(self._convert(fill_value), name)
        return self.native.where(self.native.zeros_like(self._cast(x, "bool")), value, value)

    def arange(self, start: Array, /, stop: Array = None, step: Array = 1, dtype: Any = None) -> Array:
        """Evenly spaced values of a half-open interval; ints give int64 and floats the default dtype."""
        start, stop = (0, start) if stop is None else (start, stop)
        bounds = start, stop, step
        if all(isinstance(bound, (int, float, np.generic)) for bound in bounds):
            whole = all(isinstance(bound, (int, np.integer)) for bound in bounds)
            kind = ("int64" if whole else "float") if dtype is None else self._dtype(dtype)
            return self._placed(np.arange(*bounds), kind)
        values = self.native.arange(*self._promote(*bounds))
        name = self._name(values) if dtype is None else self._dtype(dtype)
        return self._cast(values, "int64" if name == "int32" and dtype is None else name)

    def linspace(
        self, start: Array, stop: Array, /, num: int = 50, endpoint: bool = True, *, dtype: Any = None
    ) -> Array:
        """`num` evenly spaced values from `start` to `stop`, which may be tensors."""
        start, stop = self._floating(start, stop)
        steps = max(num - 1 if endpoint else num, 1)
        weight = self._placed(np.asarray([place / steps for place in range(num)]), self._name(self.real(start)))
        weight = self.native.reshape(weight, (-1,) + (1,) * len((start + stop).shape))
        # Both ends weighted, so that the last value is `stop` itself and not a rounding away from it.
        values = self.add(self.multiply(self.subtract(1, weight), start), self.multiply(weight, stop))
        return values if dtype is None else self._cast(values, self._dtype(dtype))

    def eye(self, n_rows: int, n_cols: int | None = None, /, k: int = 0, dtype: Any = "float") -> Array:
        """Ones on the k-th diagonal of a matrix, zeros elsewhere."""
        return self._placed(np.eye(n_rows, n_cols, k), self._dtype(dtype))

    def tril(self, x: Array, /, k: int = 0) -> Array:
        """The lower triangle of the last two axes, zeros above the k-th diagonal."""
        return self.native.tril(self._array(x), k)

    def triu(self, x: Array, /, k: int = 0) -> Array:
        """The upper triangle of the last two axes, zeros below the k-th diagonal."""
        return self.native.triu(self._array(x), k)

    # Dtypes.

    def finfo(self, type: Any, /) -> np.finfo[Any]:
        """Limits of a floating dtype."""
        return np.finfo(self._type_name(type))

    def iinfo(self, type: Any, /) -> np.iinfo[Any]:
        """Limits of an integer dtype."""
        return np.iinfo(self._type_name(type))

    def result_type(self, *arrays_and_dtypes: Any) -> Any:
        """The native dtype NumPy computes in when these tensors or dtypes meet."""
        kinds = [self._type_name(item) for item in arrays_and_dtypes]
        return self.native_dtypes[self._canonical(self._concrete(promoted(kinds)))]

    def can_cast(self, from_: Any, to: Any, /) -> bool:
        """Whether promotion takes the one dtype to the other."""
        return promoted([self._type_name(from_), self._type_name(to)]) == self._type_name(to)

    def isdtype(self, dtype: Any, kind: Any) -> bool:
        """Whether a dtype is another one or of a kind such as "real floating", or one of several."""
        if isinstance(kind, tuple):
            return any(self.isdtype(dtype, one) for one in kind)
        name = self._dtype(dtype)
        return name.rstrip("0123456789") in _KINDS[kind] if kind in _KINDS else name == self._dtype(kind)

    def _type_name(self, item: Any) -> str:
        """The dtype name of a tensor or a dtype, or the weak kind of a Python scalar."""
        values = (self.tensor_type, np.ndarray, np.generic, int, float, complex, list, tuple)
        return self._kind(self._convert(item)) if isinstance(item, values) else self._dtype(item)
