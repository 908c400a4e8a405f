"""NumPy's dtype rules as tables of names, asked from NumPy once so that no rule is written down twice.

Tables rather than calls, because a call into NumPy inside torch.compile would be traced by Dynamo. Besides dtype names
the tables know Python's scalars, `int`, `float` and `complex`, which are weak as in NumPy 2 (NEP 50).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np

STRONG = (
    "bool",
    *("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
)
WEAK: dict[str, type] = {"int": int, "float": float, "complex": complex}
# bfloat16 is not a NumPy dtype; the rules are those of ml_dtypes, which gives it to NumPy.
_BFLOAT16 = {
    **dict.fromkeys(("bool", "uint8", "int8", "int", "float", "bfloat16"), "bfloat16"),
    **dict.fromkeys(("uint16", "int16", "float16", "float32"), "float32"),
    **dict.fromkeys(("uint32", "uint64", "int32", "int64", "float64"), "float64"),
    **dict.fromkeys(("complex64", "complex"), "complex64"),
    "complex128": "complex128",
}


def _pair(first: str, second: str) -> str:
    """What NumPy makes of two dtypes; two weak ones stay weak."""
    if first in WEAK and second in WEAK:
        return max(first, second, key=list(WEAK).index)
    kinds = [WEAK[name](0) if name in WEAK else np.dtype(name) for name in (first, second)]
    return np.result_type(*kinds).name


def _pairs() -> dict[str, dict[str, str]]:
    names = (*STRONG, *WEAK)
    table = {first: {second: _pair(first, second) for second in names} for first in names}
    for name, result in _BFLOAT16.items():
        table.setdefault("bfloat16", {})[name] = table.setdefault(name, {})["bfloat16"] = result
    return table


_PROMOTED = _pairs()


def promoted(names: Iterable[str]) -> str:
    """The dtype NumPy computes in when arguments of these dtypes meet."""
    return functools.reduce(lambda first, second: _PROMOTED[first][second], names)


def ufunc_inputs(ufunc: np.ufunc) -> dict[str, str]:
    """For each dtype of the arguments, the dtype in which the ufunc computes; dtypes it refuses are left out."""
    table: dict[str, str] = {}
    for name in STRONG:
        dtypes: tuple[Any, ...] = (np.dtype(name),) * ufunc.nin + (None,) * ufunc.nout
        try:
            table[name] = ufunc.resolve_dtypes(dtypes)[0].name
        except TypeError:
            continue
    keeps_integers = table.get("int64") == "int64"
    table |= {"int": "int" if keeps_integers else "float"} if "int64" in table else {}
    table |= {"float": "float"} if "float64" in table else {}
    table |= {"complex": "complex"} if "complex128" in table else {}
    table |= {"bfloat16": "bfloat16"} if "float32" in table else {}
    return table


def result_of(function: Any) -> dict[str, str]:
    """For each dtype of its argument, the dtype of a NumPy reduction's result."""
    table = {name: function(np.ones(1, name)).dtype.name for name in STRONG}
    return {**table, "bfloat16": "bfloat16"}


SUMMED = result_of(np.sum)
AVERAGED = result_of(np.mean)
FLOATING = ufunc_inputs(np.sqrt)
