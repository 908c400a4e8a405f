"""NumPy's ufuncs and the other functions that work element by element."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from pytest_graphmode.backends.xp.arrays import Array, Arrays
from pytest_graphmode.backends.xp.native import UFUNCS
from pytest_graphmode.backends.xp.promotion import promoted, ufunc_inputs


class Method(Protocol):
    """A function of the namespace."""

    def __call__(self, *args: Array) -> Array: ...


def _method(name: str) -> Any:
    """The namespace's version of one NumPy ufunc: NumPy's choice of dtype, the backend's computation."""
    ufunc: np.ufunc = getattr(np, name)
    inputs = ufunc_inputs(ufunc)

    def function(self: Arrays, *args: Array) -> Array:
        converted = [self._convert(value) for value in args]
        kind = promoted([self._kind(value) for value in converted])
        if kind not in inputs:
            raise TypeError(f"xp.{name} takes no {kind} argument, as numpy.{name} takes none")
        dtype = self._concrete(inputs[kind])
        return getattr(self.native, name)(*[self._cast(value, dtype) for value in converted])

    function.__name__ = name
    function.__qualname__ = f"Namespace.{name}"
    function.__doc__ = f"numpy.{name}, element by element with broadcasting."
    return function


class Elementwise(Arrays):
    """Functions from elements to elements."""

    def round(self, a: Array, decimals: int = 0) -> Array:
        """Round half to even, to the given number of decimals."""
        a = self._array(a)
        if decimals == 0:
            return self.rint(a) if self._is_inexact(a) else a
        scale = 10.0 ** abs(decimals)
        if decimals > 0:
            return self.divide(self.rint(self.multiply(a, scale)), scale) if self._is_inexact(a) else a
        return self._cast(self.multiply(self.rint(self.divide(a, scale)), scale), self._name(a))

    around = round

    def _is_inexact(self, tensor: Array) -> bool:
        return self._name(tensor).startswith(("float", "bfloat", "complex"))

    def _is_complex(self, tensor: Array) -> bool:
        return self._name(tensor).startswith("complex")

    def clip(self, a: Array, a_min: Array = None, a_max: Array = None, **bounds: Array) -> Array:
        """Limit the values; a bound of None is no bound. NumPy 2's names `min` and `max` are taken as well."""
        low, high = bounds.pop("min", a_min), bounds.pop("max", a_max)
        if bounds:
            raise TypeError(f"xp.clip got unexpected arguments: {', '.join(bounds)}")
        a = self._array(a)
        if low is not None:
            a = self.maximum(a, low)
        return a if high is None else self.minimum(a, high)

    def where(self, condition: Array, x: Array = None, y: Array = None) -> Array:
        """Choose from `x` and `y`; with the condition alone, the indices where it holds, as `nonzero` gives them."""
        condition = self._cast(self._array(condition), "bool")
        if x is None and y is None:
            return self.native.nonzero(condition)
        return self.native.where(condition, *self._promote(x, y))

    def select(self, condlist: list[Array], choicelist: list[Array], default: Array = 0) -> Array:
        """The first choice whose condition holds, else the default."""
        result = default
        for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
            result = self.where(condition, choice, result)
        return result

    def nan_to_num(
        self,
        x: Array,
        copy: bool = True,
        nan: float = 0.0,
        posinf: float | None = None,
        neginf: float | None = None,
    ) -> Array:
        """Replace NaN and infinities, by default with zero and the dtype's largest numbers."""
        x = self._array(x)
        if self._is_complex(x):
            parts = [self.nan_to_num(part, copy, nan, posinf, neginf) for part in (self.real(x), self.imag(x))]
            return self.native.complex(*parts)
        if not self._is_inexact(x):
            return x
        limits = np.finfo(self._name(x))
        x = self.where(self.isnan(x), nan, x)
        x = self.where(self.equal(x, math.inf), float(limits.max) if posinf is None else posinf, x)
        return self.where(self.equal(x, -math.inf), float(limits.min) if neginf is None else neginf, x)

    def real(self, val: Array) -> Array:
        """The real part; a real tensor as it is."""
        val = self._array(val)
        return self.native.real(val) if self._is_complex(val) else val

    def imag(self, val: Array) -> Array:
        """The imaginary part; zeros for a real tensor."""
        val = self._array(val)
        return self.native.imag(val) if self._is_complex(val) else self.native.zeros_like(val)

    def angle(self, z: Array, deg: bool = False) -> Array:
        """The argument of a complex number, in radians or degrees."""
        (z,) = self._floating(z)
        angle = self.arctan2(self.imag(z), self.real(z))
        return self.rad2deg(angle) if deg else angle

    def isreal(self, x: Array) -> Array:
        """Whether the imaginary part is zero."""
        return self.equal(self.imag(x), 0)

    def iscomplex(self, x: Array) -> Array:
        """Whether the imaginary part is not zero."""
        return self.not_equal(self.imag(x), 0)

    def sinc(self, x: Array) -> Array:
        """sin(pi x) / (pi x), and 1 at zero, where the gradient is zero too."""
        (x,) = self._floating(x)
        zero = self.equal(x, 0)
        angle = self.multiply(math.pi, self.where(zero, 1, x))
        return self.where(zero, 1, self.divide(self.sin(angle), angle))

    def fix(self, x: Array) -> Array:
        """Round towards zero."""
        return self.trunc(x)

    def divmod(self, x1: Array, x2: Array) -> tuple[Array, Array]:
        """`floor_divide` and `remainder`."""
        return self.floor_divide(x1, x2), self.remainder(x1, x2)

    def isclose(self, a: Array, b: Array, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Array:
        """Whether |a - b| <= atol + rtol |b|; equal infinities are close."""
        a, b = self._floating(a, b)
        bound = self.add(atol, self.multiply(rtol, self.absolute(b)))
        near = self.logical_and(self.less_equal(self.absolute(self.subtract(a, b)), bound), self.isfinite(b))
        close = self.logical_or(near, self.equal(a, b))
        if equal_nan:
            close = self.logical_or(close, self.logical_and(self.isnan(a), self.isnan(b)))
        return close

    # The ufuncs are set below; these say so to readers and type checkers.
    absolute: Any
    arctan2: Any
    add: Any
    cos: Any
    divide: Any
    equal: Any
    exp: Any
    floor: Any
    floor_divide: Any
    greater: Any
    greater_equal: Any
    isfinite: Any
    isnan: Any
    less: Any
    less_equal: Any
    log: Any
    logical_and: Any
    logical_or: Any
    logical_not: Any
    maximum: Any
    minimum: Any
    multiply: Any
    not_equal: Any
    power: Any
    rad2deg: Any
    remainder: Any
    rint: Any
    sin: Any
    sqrt: Any
    square: Any
    subtract: Any
    trunc: Any
    conjugate: Any


_ALIASES = {
    "abs": "absolute",
    "acos": "arccos",
    "acosh": "arccosh",
    "asin": "arcsin",
    "asinh": "arcsinh",
    "atan": "arctan",
    "atan2": "arctan2",
    "atanh": "arctanh",
    "bitwise_invert": "invert",
    "bitwise_not": "invert",
    "conj": "conjugate",
    "degrees": "rad2deg",
    "divide": "true_divide",
    "mod": "remainder",
    "pow": "power",
    "radians": "deg2rad",
}

for _name in UFUNCS:
    setattr(Elementwise, _name, _method(_name))
for _alias, _name in _ALIASES.items():
    setattr(Elementwise, _alias, getattr(Elementwise, _name))
