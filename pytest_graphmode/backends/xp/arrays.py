"""How arguments of any kind become native tensors of the dtype NumPy would compute in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from pytest_graphmode.backends.tensor_rule import INTEGERS, fits, required
from pytest_graphmode.backends.xp.native import NativeFunction, native_functions
from pytest_graphmode.backends.xp.promotion import COMPLEX_OF, FLOATING, STRONG, promoted

Array = Any
"""A native tensor, a NumPy array, a Python scalar or a (nested) list of these."""

_SCALARS = (bool, int, float, complex)
_LEAST, _GREATEST = INTEGERS["int32"]


class Arrays:
    """What every group of functions shares: conversion, promotion, dtypes and shapes.

    `place(array, dtype_name)` makes a native tensor on the variant's device; `dtype()` is the default floating
    dtype's name at the time of the call.
    """

    library: ClassVar[str]
    tensor_type: ClassVar[Any]
    gaps: ClassVar[Mapping[str, NativeFunction]]
    native_dtypes: ClassVar[Mapping[str, Any]]
    native: ClassVar[SimpleNamespace]
    _names: ClassVar[dict[Any, str]]

    def __init_subclass__(cls) -> None:
        if "library" in cls.__dict__:
            cls.native = native_functions(cls.library, cls.gaps)
            cls._names = _dtype_names(cls.native_dtypes)
            for name, dtype in cls.native_dtypes.items():
                setattr(cls, "bool_" if name == "bool" else name, dtype)

    def __init__(self, place: Callable[[np.ndarray[Any, Any], str], Any], dtype: Callable[[], str]) -> None:
        self._place = place
        self._default = dtype

    # What a backend may have to say for itself.

    def _name(self, tensor: Array) -> str:
        """The dtype name of a native tensor."""
        name: str = tensor.dtype.name
        return name

    def _foreign(self, value: Any) -> Array:
        """A tensor from an object that is neither a tensor nor NumPy's nor Python's, such as a variable."""
        return value

    def _canonical(self, name: str) -> str:
        """The dtype the backend uses where NumPy uses this one."""
        return name

    def _shape(self, tensor: Array) -> tuple[Any, ...]:
        """The sizes as Python ints; a size not known while a graph is built is a scalar tensor."""
        return tuple(tensor.shape)

    # Dtypes.

    def _concrete(self, name: str) -> str:
        """The dtype of a value that is only known as Python's int, float or complex."""
        if name == "float":
            return self._default()
        if name == "complex":
            return COMPLEX_OF[self._default()]
        return "int32" if name == "int" else name

    def _dtype(self, dtype: Any) -> str:
        """The name of a dtype given as a name, a NumPy or native dtype, or Python's own type."""
        return self._concrete(self._names[dtype])

    def _kind(self, value: Array) -> str:
        """The dtype name of a tensor, or the weak kind of a Python scalar."""
        if isinstance(value, self.tensor_type):
            return self._name(value)
        return type(value).__name__

    def _common(self, values: Iterable[Array]) -> str:
        """The dtype NumPy computes in for these converted values."""
        return self._concrete(promoted([self._kind(value) for value in values]))

    # Values.

    def _convert(self, value: Array) -> Array:
        """A native tensor, except that Python scalars stay themselves, because they are weak."""
        if isinstance(value, self.tensor_type):
            return value
        if isinstance(value, (np.ndarray, np.generic)):
            return self._placed(np.asarray(value), self._numpy_kind(value))
        if isinstance(value, _SCALARS):
            return value
        if isinstance(value, (list, tuple)):
            return self._from_list(value)
        return self._foreign(value)

    def _array(self, value: Array) -> Array:
        """A native tensor, by the rule of `graphmode.tensor` for what is not one yet."""
        value = self._convert(value)
        if isinstance(value, self.tensor_type):
            return value
        return self._cast(value, self._concrete(self._scalar_kind(value)))

    def _scalar_kind(self, value: complex) -> str:
        """The kind of a Python scalar; a whole number that int32 doesn't hold is int64."""
        kind = type(value).__name__
        return "int64" if kind == "int" and not _LEAST <= value <= _GREATEST else kind  # type: ignore[operator]

    def _numpy_kind(self, value: np.ndarray[Any, Any] | np.generic) -> str:
        """Floating values follow the variant, integers and booleans stay."""
        return {"f": "float", "c": "complex"}.get(value.dtype.kind, value.dtype.name)

    def _plain_kind(self, value: Any) -> str:
        """What nested lists of numbers hold, without NumPy, because torch.compile traces calls into it."""
        if isinstance(value, (list, tuple)):
            return promoted([self._plain_kind(item) for item in value]) if value else "float"
        return self._numpy_kind(value) if isinstance(value, (np.ndarray, np.generic)) else type(value).__name__

    def _from_list(self, value: list[Any] | tuple[Any, ...]) -> Array:
        """One tensor from nested lists, which may hold tensors."""
        if is_plain(value):
            return self._placed(np.asarray(value), self._plain_kind(value))
        return self.native.stack(self._promote(*[self._convert(item) for item in value]), axis=0)

    def _placed(self, array: np.ndarray[Any, Any], kind: str) -> Array:
        """A NumPy array as a tensor of a dtype or kind."""
        wide = "int64" if kind == "int" and not fits(array, "int32") else kind
        name = self._canonical(self._concrete(wide))
        return self._place(array, required(array, name) if array.dtype.kind in "iu" else name)

    def _cast(self, value: Array, name: str) -> Array:
        """A converted value as a tensor of the given dtype."""
        name = self._canonical(name)
        if not isinstance(value, self.tensor_type):
            return self._scalar(value, name)
        return value if self._name(value) == name else self.native.astype(value, name)

    def _scalar(self, value: complex, name: str) -> Array:
        """A Python scalar as a tensor."""
        array = np.asarray(value)
        return self._place(array, required(array, name) if type(value) is int else name)

    def _promote(self, *values: Array) -> list[Array]:
        """Tensors of the one dtype NumPy would compute in."""
        converted = [self._convert(value) for value in values]
        name = self._common(converted)
        return [self._cast(value, name) for value in converted]

    def _floating(self, *values: Array) -> list[Array]:
        """Tensors of one floating or complex dtype, as for NumPy's inexact functions."""
        converted = [self._convert(value) for value in values]
        name = self._concrete(FLOATING[promoted([self._kind(value) for value in converted])])
        return [self._cast(value, name) for value in converted]

    # Shapes.

    def shape(self, a: Array) -> tuple[Any, ...]:
        """The sizes as ints; inside a static graph an unknown size is a scalar tensor."""
        return self._shape(self._array(a))

    def ndim(self, a: Array) -> int:
        """The number of axes."""
        return len(self._array(a).shape)

    def size(self, a: Array, axis: int | None = None) -> Any:
        """The number of elements, along one axis or in all."""
        return self._count(self._array(a), axis)

    def _count(self, tensor: Array, axis: int | tuple[int, ...] | None) -> Any:
        shape = self._shape(tensor)
        axes = range(len(shape)) if axis is None else (axis,) if isinstance(axis, int) else axis
        count: Any = 1
        for one in axes:
            count = count * shape[one]
        return count


def is_plain(value: Any) -> bool:
    """Whether there is nothing but numbers and NumPy arrays, and no tensor, in nested lists."""
    if isinstance(value, (list, tuple)):
        return all(is_plain(item) for item in value)
    return isinstance(value, (np.ndarray, np.generic, *_SCALARS))


def _dtype_names(native: Mapping[str, Any]) -> dict[Any, str]:
    """Every way to write a dtype, against its name."""
    names: dict[Any, str] = {bool: "bool", int: "int64", float: "float", complex: "complex"}
    names |= {kind.__name__: name for kind, name in names.items()}
    names |= {name: name for name in native}
    names |= {dtype: name for name, dtype in native.items()}
    names |= {np.dtype(name): name for name in STRONG}
    return names | {np.dtype(name).type: name for name in STRONG}
