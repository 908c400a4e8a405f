"""Which dtype `Handle.tensor` gives a value: the variant's for floating numbers, int32 for Python's own integers."""

from __future__ import annotations

from typing import Any, Final

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
