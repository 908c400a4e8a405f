"""What `Handle.tensor` takes, and which dtype it gives: the variant's for floats, int32 for Python's own integers."""

from __future__ import annotations

import array
from typing import Any, Final

import numpy as np

_COMPLEX: Final = {"float64": "complex128"}
_NUMBERS: Final = (bool, int, float, complex)


def dtype_of_array(found: str, of_numpy: bool, floating: str) -> str:
    """The dtype the rule of `tensor` gives an array of NumPy's, or one made of something else; see `Handle.tensor`."""
    if "int" in found and not of_numpy:
        return "int32"
    if found.startswith("complex"):
        return _COMPLEX.get(floating, "complex64")
    return floating if "float" in found else found


def dtype_of_numbers(kind: type, floating: str) -> str:
    """The dtype the rule gives Python numbers of a kind: the floating dtype in use, its complex one, int32, bool."""
    return {bool: "bool", int: "int32", float: floating, complex: _COMPLEX.get(floating, "complex64")}[kind]


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


def not_made_of(leaf: object) -> TypeError:
    """What to raise for a leaf that no tensor is made of."""
    text = repr(leaf)
    shown = f" {text}" if len(text) <= 60 and "\n" not in text else ""
    hint = ": its numbers are value.to_numpy()" if hasattr(leaf, "to_numpy") else ""
    return TypeError(
        f"a tensor is made from numbers, NumPy arrays or trees of them, not from {type(leaf).__name__}{shown}{hint}"
    )
