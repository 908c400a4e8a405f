"""How arguments of any kind become native tensors of the dtype NumPy would compute in."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from pytest_graphmode.backends.names import complex_of
from pytest_graphmode.backends.tensor_rule import fits, required
from pytest_graphmode.backends.xp.promotion import FLOATING, STRONG, promoted

Array = Any
"""A native tensor, a NumPy array, a Python scalar or a (nested) list of these."""

Axis = int | Sequence[int] | None

ALIASES = {
    **{f"arc{name}": f"a{name}" for name in ("cos", "cosh", "sin", "sinh", "tan", "tanh")},
    "absolute": "abs",
    "arctan2": "atan2",
    "conjugate": "conj",
    "mod": "remainder",
    "power": "pow",
    "invert": "bitwise_invert",
    "bitwise_not": "bitwise_invert",
    "true_divide": "divide",
    "around": "round",
    "left_shift": "bitwise_left_shift",
    "right_shift": "bitwise_right_shift",
    "concatenate": "concat",
    "transpose": "permute_dims",
    "cumsum": "cumulative_sum",
    "cumprod": "cumulative_prod",
    "amax": "max",
    "amin": "min",
    "unique": "unique_values",
    "array": "asarray",
}
"""NumPy's names, against the standard's where they differ."""

_SCALARS = (bool, int, float, complex)


def functions_of(*tables: Mapping[str, Any]) -> SimpleNamespace:
    """A framework's functions by their names in the standard or, where it has only that, in NumPy; later tables win.

    All are attributes of one object, because a look-up inside torch.compile would be traced. What is called here has
    converted and promoted its arguments already, so a native function only computes.
    """
    functions = dict(ChainMap(*map(dict, reversed(tables))))
    for numpy_name, name in ALIASES.items():
        if numpy_name in functions:
            functions.setdefault(name, functions[numpy_name])
    return SimpleNamespace(**functions)


class Arrays:
    """What every group of functions shares: conversion, promotion, dtypes, shapes and axes."""

    native: ClassVar[SimpleNamespace]
    tensor_type: ClassVar[Any]
    native_dtypes: ClassVar[Mapping[str, Any]]
    bool_: ClassVar[Any]
    _names: ClassVar[dict[Any, str]]

    def __init_subclass__(cls) -> None:
        if "native_dtypes" in cls.__dict__:
            cls._names = _dtype_names(cls.native_dtypes)
            for name, dtype in cls.native_dtypes.items():
                setattr(cls, name, dtype)
            cls.bool_ = cls.native_dtypes["bool"]  # NumPy's name

    def __init__(self, place: Callable[[np.ndarray[Any, Any], str], Any], dtype: Callable[[], str]) -> None:
        """Keep how to make a tensor (from a NumPy array and a dtype name) and how to ask the default dtype's name."""
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

    def _sizes(self, tensor: Array) -> tuple[Any, ...]:
        return tuple(tensor.shape)

    # Dtypes.

    def _concrete(self, name: str) -> str:
        """The dtype of a value that is only known as Python's int, float or complex."""
        if name in ("float", "complex"):
            return self._default() if name == "float" else complex_of(self._default())
        return "int32" if name == "int" else name

    def _dtype(self, dtype: Any) -> str:
        """The name of a dtype given as a name, a NumPy or native dtype, or Python's own type."""
        return self._concrete(self._names[dtype])

    def _kind(self, value: Array) -> str:
        """The dtype name of a tensor, or the weak kind of a Python scalar."""
        return self._name(value) if isinstance(value, self.tensor_type) else type(value).__name__

    def _is_inexact(self, tensor: Array) -> bool:
        return self._name(tensor).startswith(("float", "bfloat", "complex"))

    def _is_complex(self, tensor: Array) -> bool:
        return self._name(tensor).startswith("complex")

    # Values.

    def _convert(self, value: Array) -> Array:
        """A native tensor, except that Python scalars stay themselves, because they are weak."""
        if isinstance(value, self.tensor_type):
            return value
        if isinstance(value, (np.ndarray, np.generic)):
            return self._placed(np.asarray(value), _numpy_kind(value))
        if isinstance(value, _SCALARS):
            return value
        if not isinstance(value, (list, tuple)):
            return self._foreign(value)
        if is_plain(value):
            return self._placed(np.asarray(value), _plain_kind(value))
        return self.native.stack(self._promote(*value), 0)

    def _array(self, value: Array, dtype: str | None = None) -> Array:
        """A native tensor, by the rule of `graphmode.tensor` for what is not one yet, unless a dtype is given."""
        if dtype is not None and not isinstance(value, self.tensor_type) and is_plain(value):
            # Numbers go there directly, not through the default dtype, which may be narrower.
            return self._placed(np.asarray(value), dtype)
        value = self._convert(value)
        if dtype is None:
            wide = type(value) is int and not fits(value, "int32")
            dtype = "int64" if wide else self._concrete(self._kind(value))
        return self._cast(value, dtype)

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
        return self._place(np.asarray(value), required(value, name) if type(value) is int else name)

    def _promote(self, *values: Array, through: Mapping[str, str] | None = None) -> list[Array]:
        """Tensors of the one dtype NumPy would compute in, looked up in a table where the function has its own."""
        converted = [self._convert(value) for value in values]
        kind = promoted([self._kind(value) for value in converted])
        name = self._concrete(kind if through is None else through[kind])
        return [self._cast(value, name) for value in converted]

    def _floating(self, *values: Array) -> list[Array]:
        """Tensors of one floating or complex dtype, as for NumPy's inexact functions."""
        return self._promote(*values, through=FLOATING)

    # Shapes.

    def shape(self, x: Array, /) -> tuple[Any, ...]:
        """The sizes as ints; inside a static graph an unknown size is a scalar tensor."""
        return self._sizes(self._array(x))

    def _axes(self, axis: Axis, ndim: int) -> tuple[int, ...]:
        """One axis, several or (None) all, counted from the front."""
        if axis is None:
            return tuple(range(ndim))
        axes = (axis,) if isinstance(axis, int) else tuple(axis)
        for one in axes:
            if not -ndim <= one < ndim:
                raise ValueError(f"axis {one} is out of bounds for a tensor with {ndim} axes")
        return tuple(one % ndim for one in axes)

    def _slice(self, tensor: Array, axis: int, place: Any) -> Array:
        """One place or a slice along one axis."""
        (front,) = self._axes(axis, len(tensor.shape))
        return tensor[(slice(None),) * front + (place,)]

    def _flat(self, x: Array, axis: int | None) -> tuple[Array, int]:
        """A tensor with an axis counted from the front; without one, its values in one row."""
        x = self._array(x)
        return (self.native.reshape(x, (-1,)), 0) if axis is None else (x, self._axes(axis, len(x.shape))[0])


def is_plain(value: Any) -> bool:
    """Whether there is nothing but numbers and NumPy arrays, and no tensor, in nested lists."""
    if isinstance(value, (list, tuple)):
        return all(is_plain(item) for item in value)
    return isinstance(value, (np.ndarray, np.generic, *_SCALARS))


def _numpy_kind(value: np.ndarray[Any, Any] | np.generic) -> str:
    """Floating values follow the variant, integers and booleans stay."""
    return {"f": "float", "c": "complex"}.get(value.dtype.kind, value.dtype.name)


def _plain_kind(value: Any) -> str:
    """What nested lists of numbers hold, without NumPy, because torch.compile traces calls into it."""
    if isinstance(value, (list, tuple)):
        return promoted([_plain_kind(item) for item in value]) if value else "float"
    return _numpy_kind(value) if isinstance(value, (np.ndarray, np.generic)) else type(value).__name__


def _dtype_names(native: Mapping[str, Any]) -> dict[Any, str]:
    """Every way to write a dtype, against its name."""
    names: dict[Any, str] = {bool: "bool", int: "int64", float: "float", complex: "complex"}
    names |= {kind.__name__: name for kind, name in names.items()}
    names |= {name: name for name in native}
    names |= {dtype: name for name, dtype in native.items()}
    names |= {np.dtype(name): name for name in STRONG}
    return names | {np.dtype(name).type: name for name in STRONG}
