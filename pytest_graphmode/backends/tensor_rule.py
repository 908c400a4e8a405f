"""What `Handle.tensor` takes, and which dtype it gives: the variant's for floats, int32 for Python's own integers.

Integers that int32 doesn't hold make int64; those that a dtype doesn't hold are an error, never a wrapped value.
"""

from __future__ import annotations

import array
from typing import Any, Final

import numpy as np

from pytest_graphmode.backends.names import complex_of

__tracebackhide__ = True  # in failures, the user's frames are of interest

_NUMBERS: Final = (bool, int, float, complex)


INTEGERS: Final = {
    name: (int(np.iinfo(name).min), int(np.iinfo(name).max))
    for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
}
"""The least and the greatest value of each integer dtype."""


def dtype_of_array(values: np.ndarray[Any, Any], found: str, of_numpy: bool, floating: str) -> str:
    """The dtype the rule of `tensor` gives an array of NumPy's, or one made of something else; see `Handle.tensor`."""
    if "int" in found and not of_numpy:
        return "int32" if fits(values, "int32") else required(values, "int64")
    if found.startswith("complex"):
        return complex_of(floating)
    return floating if "float" in found else found


def of_numbers(numbers: Any, kind: type, dtype: str | None, floating: str) -> tuple[np.ndarray[Any, Any], str]:
    """Python numbers of a kind as an array, and the dtype the rule gives them: `dtype`, the floating one in use, its
    complex one, an integer, bool.
    """
    wide = kind in (float, complex)  # NumPy has no integer for each of Python's, and floats for all
    values = np.asarray(numbers, dtype=kind) if wide else np.asarray(numbers)
    if dtype is not None:
        return values, required(numbers, dtype) if kind is int else dtype
    if kind is int:
        return values, "int32" if fits(numbers, "int32") else required(numbers, "int64")
    return values, {bool: "bool", float: floating, complex: complex_of(floating)}[kind]


def require_integer(value: object, dtype: object) -> None:
    """Raise OverflowError for a Python int that a framework's integer dtype doesn't hold."""
    if type(value) is int:
        required(value, str(getattr(dtype, "name", dtype)).removeprefix("torch."))


def fits(values: Any, dtype: str) -> bool:
    """Whether an integer dtype holds an array's integers, or Python's, nested at will; True for others."""
    extremes = _extremes(values) if dtype in INTEGERS else None
    if extremes is None:
        return True
    least, greatest = INTEGERS[dtype]
    return least <= extremes[0] and extremes[1] <= greatest


def _extremes(values: Any) -> tuple[int, int] | None:
    """The least and the greatest of integers, None for none. Those of Python stay out of NumPy: Dynamo traces it."""
    if isinstance(values, np.ndarray):
        whole = values.dtype.kind in "iuO" and values.size
        return (int(values.min()), int(values.max())) if whole else None
    if not isinstance(values, (list, tuple)):
        return values, values
    found = [extremes for extremes in map(_extremes, values) if extremes is not None]
    return (min(one[0] for one in found), max(one[1] for one in found)) if found else None


def required(values: Any, dtype: str) -> str:
    """The dtype.

    Raises:
        OverflowError: it does not hold the values.
    """
    if fits(values, dtype):
        return dtype
    least, greatest = INTEGERS[dtype]
    smallest, largest = _extremes(values) or (0, 0)
    wrong = smallest if smallest < least else largest
    raise OverflowError(
        f"{wrong} does not fit {dtype}, which holds {least} to {greatest}: pass a smaller integer, a float, or a dtype "
        "that holds it"
    )


def python_kind(leaf: object) -> type | None:
    """The widest type of a Python number or of a list of them, nested at will; None for anything else."""
    if type(leaf) in _NUMBERS:
        return type(leaf)
    if not isinstance(leaf, (list, tuple)) or not leaf:
        return None
    kinds = [python_kind(part) for part in leaf]
    return None if None in kinds else max(kinds, key=_NUMBERS.index)


def is_numbers(value: Any) -> bool:
    """Whether a list or tuple holds nothing but Python numbers, nested at will: an array as people write it."""
    if type(value) not in (list, tuple):
        return False
    return bool(value) and all(isinstance(part, (bool, int, float, complex)) or is_numbers(part) for part in value)


def is_array_like(leaf: object) -> bool:
    """Whether a leaf is an array, a tensor of some framework, or one of Python's own sequences of numbers.

    NumPy makes an array of almost anything: of a data frame, too, whose names it drops.
    """
    if isinstance(leaf, (np.ndarray, np.generic, array.array, memoryview, range)) or python_kind(leaf) is not None:
        return True
    return hasattr(leaf, "dtype") and hasattr(leaf, "shape")


def without_value(variant: str) -> TypeError:
    """What to raise where a tensor's numbers are asked for while a graph is built."""
    return TypeError(
        f"graphmode.numpy: in {variant} a tensor has no numbers while the function that computes it is traced: return "
        "it from the function and convert the result, give it to graphmode.tap(name, value), or, where code depends on "
        "it, use graphmode.cond or graphmode.while_loop"
    )


def not_made_of(leaf: object) -> TypeError:
    text = repr(leaf)
    shown = f" {text}" if len(text) <= 60 and "\n" not in text else ""
    hint = ": its numbers are value.to_numpy()" if hasattr(leaf, "to_numpy") else ""
    return TypeError(
        f"a tensor is made from numbers, NumPy arrays or trees of them, not from {type(leaf).__name__}{shown}{hint}"
    )
