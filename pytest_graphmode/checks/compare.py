"""The one place that compares values: two trees of NumPy arrays and Python values, leaf by leaf.

Called by agreement, by the control-flow checks and by whatever else says that two results should be the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pytest_graphmode.checks.tolerances import Table, looser

__tracebackhide__ = True  # in failures, the user's frames are of interest

Array = np.ndarray[Any, Any]

_HALF: Final = frozenset(["float16", "bfloat16"])
_KINDS: Final = {"b": "boolean", "i": "integer", "u": "integer", "f": "floating", "c": "complex"}
_TINY: Final = 1e-290
_BLOCK: Final = 1 << 18
_NOTHING: Final = "nothing there"
_REASONS: Final = {
    "structure": "the structures differ",
    "shape": "the shapes differ",
    "dtype": "the kinds of dtype differ (boolean, integer, floating, complex)",
    "exact dtype": "the dtypes differ",
}


@dataclass(frozen=True)
class Mismatch:
    """The first leaf at which two trees differ.

    Attributes:
        path: where the leaf is, `grads['w'][0]`.
        kind: what differs: `structure`, `shape`, `dtype` or `value`.
        actual, expected: the two scalars at `index`; for any other kind than `value`, a description of the leaves.
        index: the element that exceeds its tolerance the most; empty for a scalar.
        difference: the absolute difference of the two scalars, NaN where there is none.
        relative: the same relative to `expected`, NaN where that is zero or not finite.
        rtol, atol: the tolerance: `difference <= atol + rtol * abs(expected)` would do.
        mismatched, total: how many elements of the leaf differ, and how many it has.
    """

    path: str
    kind: str
    actual: object
    expected: object
    index: tuple[int, ...] = ()
    difference: float = math.nan
    relative: float = math.nan
    rtol: float = 0.0
    atol: float = 0.0
    mismatched: int = 0
    total: int = 0

    def __str__(self) -> str:
        return self.describe("got", "expected")

    def describe(self, actual: str, expected: str) -> str:
        """The mismatch in one line, the two sides under these names."""
        where = f"{self.path} at {list(self.index)}" if self.index else self.path
        both = f"{where}: {actual} {self.actual!s}, {expected} {self.expected!s}"
        if self.kind in _REASONS:
            return f"{both}: {_REASONS[self.kind]}"
        relative = "" if np.isnan(self.relative) else f" (relative {self.relative:.3g})"
        size = "" if np.isnan(self.difference) else f": they differ by {self.difference:.6g}{relative}"
        allowed = "they must be equal"
        if self.rtol or self.atol:
            allowed = f"allowed are rtol {self.rtol:g} and atol {self.atol:g}"
        spread = f"; {self.mismatched} of {self.total} elements differ, this one the most" if self.total > 1 else ""
        return f"{both}{size}; {allowed}{spread}"


def first_leaf_mismatch(
    actual: Mapping[str, Any],
    expected: Mapping[str, Any],
    *,
    rtol: float | None = None,
    atol: float | None = None,
    computed_in: Sequence[str] = ("float64",),
    devices: Sequence[str] = ("cpu",),
    table: Table | None = None,
) -> Mismatch | None:
    """Where two trees of NumPy arrays and Python values, as leaves by their paths, differ first; None where they agree.

    Floating and complex values agree within `atol + rtol * abs(expected)`, by default from torch.testing's table, the
    looser of the two sides; NaN agrees with NaN and an infinity with the same infinity. Everything else (integers,
    booleans, None, strings) has to be equal, whatever the tolerances. A list agrees with a tuple of equal elements,
    and int32 with int64, but no integer with a floating value.

    Args:
        actual, expected: a leaf that belongs to a framework has to be converted by the caller.
        rtol, atol: instead of the table's, each on its own.
        computed_in: the dtypes that the two sides were computed in, or one for both. Python floats count as the
            looser of them. Where it is a half-precision type, arrays are held to no more than its tolerance either,
            since frameworks hand out bfloat16 as float32.
        devices: the devices that the two sides were computed on, or one for both.
        table: the project's own tolerances, which beat torch.testing's and yield to `rtol` and `atol`.
    """

    def tolerance(*leaves: Any) -> tuple[float, float]:
        sides = zip(leaves, (computed_in[0], computed_in[-1]), (devices[0], devices[-1]), strict=True)
        found = looser([(name, device) for leaf, dtype, device in sides for name in _dtypes(leaf, dtype)], table or {})
        return found[0] if rtol is None else rtol, found[1] if atol is None else atol

    for path, leaf in expected.items():
        if path not in actual:
            return Mismatch(path, "structure", _NOTHING, _spelled(leaf))
        mismatch = _leaf_mismatch(path, actual[path], leaf, tolerance)
        if mismatch is not None:
            return mismatch
    extra = next((path for path in actual if path not in expected), None)
    return None if extra is None else Mismatch(extra, "structure", _spelled(actual[extra]), _NOTHING)


def _dtypes(leaf: Any, computed_in: str) -> set[str]:
    """The dtypes whose tolerance a leaf may have."""
    if not isinstance(leaf, (np.ndarray, np.generic)):
        return {computed_in}
    return {leaf.dtype.name, *_HALF.intersection([computed_in])}


def _leaf_mismatch(
    path: str, actual: Any, expected: Any, tolerance: Callable[[Any, Any], tuple[float, float]]
) -> Mismatch | None:
    kinds = _kind(actual), _kind(expected)
    if kinds == (None, None) and _equal(actual, expected):
        return None
    a, b = np.asarray(actual), np.asarray(expected)
    if None in kinds or a.shape != b.shape or kinds[0] != kinds[1]:
        kind = "value" if None in kinds else "shape" if a.shape != b.shape else "dtype"
        return Mismatch(path, kind, _spelled(actual), _spelled(expected))
    if kinds[0] in ("floating", "complex"):
        return _close(path, a, b, *tolerance(actual, expected))
    return _exact(path, a, b)


def _kind(leaf: Any) -> str | None:
    """What sort of number a leaf holds, None for anything that is none."""
    if not isinstance(leaf, (np.ndarray, np.generic, bool, int, float, complex)):
        return None
    dtype = np.asarray(leaf).dtype
    if dtype.kind == "V":  # ml_dtypes' bfloat16, float8_..., int4, uint4
        return "floating" if "float" in dtype.name else "integer" if "int" in dtype.name else None
    return _KINDS.get(dtype.kind)


def is_number(leaf: Any) -> bool:
    """Whether a leaf is a number or an array of numbers; of Python's integers NumPy holds the large ones as objects."""
    return isinstance(leaf, int) or _kind(leaf) is not None


def widened(leaf: Any) -> Array | None:
    """A leaf's numbers in float64 or complex128; None of text and the like, and of an integer too large for them."""
    if not is_number(leaf):
        return None
    array = np.asarray(leaf)
    try:
        with np.errstate(all="ignore"):  # an extended float may be too large for float64, and is infinite there
            return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
    except OverflowError:
        return None


def _equal(actual: Any, expected: Any) -> bool:
    """Whether leaves that are no numbers are equal; arrays of text or objects element by element."""
    if isinstance(actual, np.ndarray) or isinstance(expected, np.ndarray):
        return bool(np.array_equal(actual, expected))
    return bool(actual == expected)


def _exact(path: str, a: Array, b: Array) -> Mismatch | None:
    differ = np.asarray(a != b)
    if not differ.any():
        return None
    distance = np.abs(a.astype(np.float64) - b.astype(np.float64))
    index = _unraveled(int(np.argmax(np.where(differ, distance, -1.0))), a)
    # In Python's integers, since neighbours beyond 2**53 are the same float64.
    difference = abs(int(a[index]) - int(b[index]))
    return _value_mismatch(path, a, b, index, float(difference), int(differ.sum()), 0.0, 0.0)


def _close(path: str, a: Array, b: Array, rtol: float, atol: float) -> Mismatch | None:
    """In blocks, since the float64 of two large arrays, and what is computed from it, takes many times their memory."""
    x, y = a.reshape(-1), b.reshape(-1)
    count, worst, at, difference = 0, -1.0, 0, math.nan
    for start in range(0, a.size, _BLOCK):
        differ, distance, allowed = _apart(x[start : start + _BLOCK], y[start : start + _BLOCK], rtol, atol)
        if not differ.any():
            continue
        count += int(differ.sum())
        with np.errstate(all="ignore"):
            excess = np.nan_to_num(distance / np.maximum(allowed, _TINY), nan=np.inf, posinf=np.inf)
        score = np.where(differ, excess, -1.0)
        position = int(np.argmax(score))
        if score[position] > worst:
            worst, at, difference = float(score[position]), start + position, float(distance[position])
    if not count:
        return None
    return _value_mismatch(path, a, b, _unraveled(at, a), difference, count, rtol, atol)


def _apart(a: Array, b: Array, rtol: float, atol: float) -> tuple[Array, Array, Array]:
    """Which elements differ, by how much, and what is allowed."""
    wide = np.result_type(np.complex128 if a.dtype.kind == "c" or b.dtype.kind == "c" else np.float64)
    x, y = (side if side.dtype.itemsize > wide.itemsize else side.astype(wide) for side in (a, b))
    with np.errstate(all="ignore"):
        distance = np.abs(x - y)
        allowed = atol + rtol * np.abs(y)
        equal = (x == y) | (np.isnan(x) & np.isnan(y))
        differ = np.asarray(~(equal | (np.isfinite(y) & (distance <= allowed))))
    return differ, distance, allowed


def _unraveled(position: int, array: Array) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(position, array.shape))


def _value_mismatch(
    path: str, a: Array, b: Array, index: tuple[int, ...], difference: float, count: int, rtol: float, atol: float
) -> Mismatch:
    size = float(abs(b[index]))
    finite = np.isfinite(difference) and np.isfinite(size)
    absolute = difference if finite else math.nan
    relative = difference / size if finite and size else math.nan
    return Mismatch(path, "value", a[index], b[index], index, absolute, relative, rtol, atol, count, a.size)


def _spelled(leaf: Any) -> str:
    """`float32[32, 3]`, or the value itself where it is no array of numbers, cut where it is long."""
    if isinstance(leaf, (np.ndarray, np.generic)) and _kind(leaf):
        return f"{leaf.dtype.name}{list(leaf.shape)}"
    text = repr(leaf)
    return text if len(text) <= 60 else f"{text[:57]}..."
