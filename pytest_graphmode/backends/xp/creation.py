"""New tensors: floating values have the variant's default dtype, integers NumPy's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pytest_graphmode.backends.xp.arrays import Array, is_plain
from pytest_graphmode.backends.xp.elementwise import Elementwise
from pytest_graphmode.backends.xp.promotion import promoted

Shape = int | tuple[Any, ...] | list[Any]


class Creation(Elementwise):
    """Functions that make tensors from sizes, numbers and lists."""

    def array(self, object: Array, dtype: Any = None) -> Array:
        """A tensor from numbers, NumPy arrays, tensors or nested lists of these."""
        return self._array(object) if dtype is None else self._as(object, self._dtype(dtype))

    asarray = array

    def astype(self, x: Array, dtype: Any) -> Array:
        """The values in another dtype."""
        return self._as(x, self._dtype(dtype))

    def _as(self, value: Array, name: str) -> Array:
        """A tensor of the dtype; numbers go there directly, not through the default dtype, which may be narrower."""
        if not isinstance(value, self.tensor_type) and is_plain(value):
            return self._placed(np.asarray(value), name)
        return self._cast(self._convert(value), name)

    def copy(self, a: Array) -> Array:
        """A tensor of the same values that later in-place changes do not reach."""
        return self.native.copy(self._array(a))

    def _fill(self, shape: Shape, value: complex, name: str) -> Array:
        """A tensor of one value; a shape with unknown sizes is broadcast to."""
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        if all(isinstance(size, int) for size in sizes):
            return self._placed(np.full(sizes, value), name)
        return self.native.broadcast_to(self._cast(value, name), sizes)

    def zeros(self, shape: Shape, dtype: Any = "float") -> Array:
        """Zeros of the default floating dtype."""
        return self._fill(shape, 0, self._dtype(dtype))

    def ones(self, shape: Shape, dtype: Any = "float") -> Array:
        """Ones of the default floating dtype."""
        return self._fill(shape, 1, self._dtype(dtype))

    empty = zeros

    def full(self, shape: Shape, fill_value: Array, dtype: Any = None) -> Array:
        """A tensor filled with one value, by default in the dtype of that value (an int's is int64, as in NumPy)."""
        value = self._convert(fill_value)
        kind = self._kind(value)
        name = self._concrete("int64" if kind == "int" else kind) if dtype is None else self._dtype(dtype)
        if isinstance(value, self.tensor_type):
            sizes = (shape,) if isinstance(shape, int) else tuple(shape)
            return self.native.broadcast_to(self._cast(value, name), sizes)
        return self._fill(shape, value, name)

    def zeros_like(self, a: Array, dtype: Any = None) -> Array:
        """Zeros of the same shape, and dtype unless another is given."""
        return self.full_like(a, 0, dtype)

    def ones_like(self, a: Array, dtype: Any = None) -> Array:
        """Ones of the same shape, and dtype unless another is given."""
        return self.full_like(a, 1, dtype)

    empty_like = zeros_like

    def full_like(self, a: Array, fill_value: Array, dtype: Any = None) -> Array:
        """A tensor of the same shape, and dtype unless another is given, filled with one value."""
        a = self._array(a)
        zeros = self.native.zeros_like(self._cast(a, self._name(a) if dtype is None else self._dtype(dtype)))
        value = self._cast(self._convert(fill_value), self._name(zeros))
        return self.native.where(self._cast(zeros, "bool"), zeros, value)

    def arange(self, start: Array, stop: Array = None, step: Array = 1, dtype: Any = None) -> Array:
        """Evenly spaced values of a half-open interval; ints give int64 and floats the default dtype."""
        if stop is None:
            start, stop = 0, start
        if all(isinstance(bound, (int, float, np.generic)) for bound in (start, stop, step)):
            whole = all(isinstance(bound, (int, np.integer)) for bound in (start, stop, step))
            kind = ("int64" if whole else "float") if dtype is None else self._dtype(dtype)
            return self._placed(np.arange(start, stop, step), kind)
        bounds = self._promote(start, stop, step)
        values = self.native.arange(*bounds)
        name = self._wide(self._name(values)) if dtype is None else self._dtype(dtype)
        return self._cast(values, name)

    @staticmethod
    def _wide(name: str) -> str:
        """NumPy's integer for a size that a backend counts in int32."""
        return "int64" if name == "int32" else name

    def linspace(
        self,
        start: Array,
        stop: Array,
        num: int = 50,
        endpoint: bool = True,
        dtype: Any = None,
        axis: int = 0,
    ) -> Array:
        """`num` evenly spaced values from `start` to `stop`, which may be tensors."""
        start, stop = self._floating(start, stop)
        spread = self.subtract(stop, start)
        steps = max(num - 1 if endpoint else num, 1)
        column = (-1,) + (1,) * len(spread.shape)
        weight = self._placed(np.asarray([place / steps for place in range(num)]), self._real_name(spread))
        weight = self.native.reshape(weight, column)
        rising = self.add(start, self.multiply(weight, spread))
        # From the nearer end, so that the last value is `stop` itself and not a rounding away from it.
        falling = self.subtract(stop, self.multiply(self.subtract(1, weight), spread))
        values = self.where(self.less_equal(weight, 0.5), rising, falling)
        values = self._cast(values, self._name(values) if dtype is None else self._dtype(dtype))
        return self.moveaxis(values, 0, axis) if axis else values

    def _real_name(self, tensor: Array) -> str:
        return self._name(self.real(tensor))

    def logspace(self, start: Array, stop: Array, num: int = 50, endpoint: bool = True, base: float = 10.0) -> Array:
        """Powers of `base` with evenly spaced exponents."""
        return self.power(base, self.linspace(start, stop, num, endpoint))

    def geomspace(self, start: Array, stop: Array, num: int = 50, endpoint: bool = True) -> Array:
        """Values of a constant ratio between positive ends, in float64 as in NumPy."""
        start, stop = self._promote(start, stop, self._cast(1.0, "float64"))[:2]
        return self.exp(self.linspace(self.log(start), self.log(stop), num, endpoint))

    def eye(self, N: int, M: int | None = None, k: int = 0, dtype: Any = "float") -> Array:
        """Ones on the k-th diagonal of an N x M matrix, zeros elsewhere."""
        return self._placed(np.eye(N, M, k), self._dtype(dtype))

    def identity(self, n: int, dtype: Any = "float") -> Array:
        """The identity matrix."""
        return self.eye(n, dtype=dtype)

    def tri(self, N: int, M: int | None = None, k: int = 0, dtype: Any = "float") -> Array:
        """Ones at and below the k-th diagonal, zeros above."""
        return self._placed(np.tri(N, M, k), self._dtype(dtype))

    def indices(self, dimensions: tuple[int, ...]) -> Array:
        """The index of every element, one leading entry per axis."""
        return self._placed(np.indices(dimensions), "int64")

    def tril_indices(self, n: int, k: int = 0, m: int | None = None) -> tuple[Array, ...]:
        """Row and column indices of the lower triangle of an n x m matrix."""
        return self._indices(np.tril_indices(n, k, m))

    def triu_indices(self, n: int, k: int = 0, m: int | None = None) -> tuple[Array, ...]:
        """Row and column indices of the upper triangle of an n x m matrix."""
        return self._indices(np.triu_indices(n, k, m))

    def diag_indices(self, n: int, ndim: int = 2) -> tuple[Array, ...]:
        """Indices of the main diagonal of a tensor with `ndim` axes of size n."""
        return self._indices(np.diag_indices(n, ndim))

    def _indices(self, arrays: tuple[np.ndarray[Any, Any], ...]) -> tuple[Array, ...]:
        return tuple(self._placed(array, "int64") for array in arrays)

    def finfo(self, dtype: Any) -> np.finfo[Any]:
        """Limits of a floating dtype."""
        return np.finfo(self._dtype(dtype))

    def iinfo(self, dtype: Any) -> np.iinfo[Any]:
        """Limits of an integer dtype."""
        return np.iinfo(self._dtype(dtype))

    def result_type(self, *arrays_and_dtypes: Any) -> Any:
        """The native dtype NumPy computes in when these tensors or dtypes meet."""
        kinds = [self._known_kind(item) for item in arrays_and_dtypes]
        return self.native_dtypes[self._canonical(self._concrete(promoted(kinds)))]

    def _known_kind(self, item: Any) -> str:
        values = (np.ndarray, np.generic, int, float, complex, list, tuple)
        if isinstance(item, self.tensor_type):
            return self._name(item)
        return self._kind(self._convert(item)) if isinstance(item, values) else self._names[item]

    pi, e, euler_gamma = math.pi, math.e, np.euler_gamma
    inf, nan, newaxis = math.inf, math.nan, None
    moveaxis: Any
