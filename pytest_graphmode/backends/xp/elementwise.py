"""The standard's functions from elements to elements, with NumPy's choice of dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np

from pytest_graphmode.backends.xp.arrays import ALIASES, Array, Arrays
from pytest_graphmode.backends.xp.promotion import promoted, ufunc_inputs

_UFUNCS = (
    *("abs", "acos", "acosh", "add", "asin", "asinh", "atan", "atan2", "atanh", "bitwise_and", "bitwise_invert"),
    *("bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "ceil", "conj", "copysign", "cos"),
    *("cosh", "divide", "equal", "exp", "expm1", "floor", "floor_divide", "greater", "greater_equal", "hypot"),
    *("isfinite", "isinf", "isnan", "less", "less_equal", "log", "log10", "log1p", "log2", "logaddexp"),
    *("logical_and", "logical_not", "logical_or", "logical_xor", "maximum", "minimum", "multiply", "negative"),
    *("nextafter", "not_equal", "positive", "pow", "reciprocal", "remainder", "sign", "signbit", "sin", "sinh"),
    *("sqrt", "square", "subtract", "tan", "tanh", "trunc"),
)
_NUMPY_NAMES = {name: numpy_name for numpy_name, name in ALIASES.items() if hasattr(np, numpy_name)}


def _function(name: str) -> Any:
    """The namespace's version of one NumPy ufunc: NumPy's choice of dtype, the backend's computation."""
    numpy_name = _NUMPY_NAMES.get(name, name)
    inputs = ufunc_inputs(getattr(np, numpy_name))
    if name.startswith("logical"):
        inputs = dict.fromkeys(inputs, "bool")
    rounds = name in ("ceil", "floor", "trunc")

    def function(self: Arrays, *args: Array) -> Array:
        converted = [self._convert(value) for value in args]
        kind = promoted([self._kind(value) for value in converted])
        if kind not in inputs:
            raise TypeError(f"xp.{name} takes no {kind} argument, as numpy.{numpy_name} takes none")
        dtype = self._concrete(inputs[kind])
        values = [self._cast(value, dtype) for value in converted]
        if rounds and not self._is_inexact(values[0]):
            return values[0]
        return getattr(self.native, name)(*values)

    function.__name__ = name
    function.__qualname__ = f"ArrayNamespace.{name}"
    function.__doc__ = f"numpy.{numpy_name}, element by element with broadcasting."
    return function


class Elementwise(Arrays):
    """Functions from elements to elements; NumPy's ufuncs among them are set below."""

    def round(self, x: Array, /) -> Array:
        """The nearest whole number, the even one of two; integers as they are."""
        x = self._array(x)
        return self.native.round(x) if self._is_inexact(x) else x

    def clip(self, x: Array, /, min: Array = None, max: Array = None) -> Array:
        """Limit the values; a bound of None is no bound."""
        x = self._array(x) if min is None else self.maximum(x, min)
        return x if max is None else self.minimum(x, max)

    def real(self, x: Array, /) -> Array:
        """The real part; a real tensor as it is."""
        x = self._array(x)
        return self.native.real(x) if self._is_complex(x) else x

    def imag(self, x: Array, /) -> Array:
        """The imaginary part; zeros for a real tensor."""
        x = self._array(x)
        return self.native.imag(x) if self._is_complex(x) else self.native.zeros_like(x)

    def where(self, condition: Array, x1: Array = None, x2: Array = None, /) -> Array:
        """Choose from `x1` and `x2`; with the condition alone, as NumPy has it, `nonzero`."""
        condition = self._cast(self._array(condition), "bool")
        if x1 is None and x2 is None:
            return tuple(self.native.nonzero(condition))
        return self.native.where(condition, *self._promote(x1, x2))

    def _squared(self, x: Array) -> Array:
        """|x|^2, without the root that has no gradient at zero."""
        if not self._is_complex(x):
            return self.square(x)
        return self.add(self.square(self.real(x)), self.square(self.imag(x)))

    def __getattr__(self, name: str) -> Any:
        # For readers and type checkers too: what is not written out is set below, or is not there.
        __tracebackhide__ = True
        if name.startswith("__"):  # asked of any object, by the plugin and others, and not by who writes a test
            raise AttributeError(name)
        import difflib

        near = difflib.get_close_matches(name, [one for one in dir(self) if not one.startswith("_")], 1)
        raise AttributeError(
            f"graphmode.xp has no {name!r}{f' (nearest: {near[0]!r})' if near else ''}: it holds the functions of the "
            f"Array API standard, also under NumPy's names. Use graphmode.lib for the framework's own functions, or "
            f"graphmode.pick for one implementation each",
            name=name,
            obj=self,
        )


for _name in _UFUNCS:
    setattr(Elementwise, _name, _function(_name))
