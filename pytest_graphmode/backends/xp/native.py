"""The backend's own functions, each under its NumPy name: autoray's, and ours where autoray has a gap.

What is called here has converted and promoted its arguments already, so a native function only computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import autoray

NativeFunction = Callable[..., Any]

NAMES = (
    *("astype", "copy", "zeros_like", "arange"),
    *("reshape", "transpose", "broadcast_to", "concatenate", "stack", "flip", "roll", "tile", "repeat"),
    *("tril", "triu", "diag", "diagonal", "where", "take", "take_along_axis"),
    *("sort", "argsort", "searchsorted", "bincount", "unique", "nonzero"),
    *("sum", "prod", "mean", "max", "min", "any", "all", "argmax", "argmin", "cumsum", "cumprod"),
    *("matmul", "einsum", "real", "imag", "complex"),
    *("linalg.inv", "linalg.det", "linalg.slogdet", "linalg.solve", "linalg.cholesky", "linalg.qr"),
    *("linalg.svd", "linalg.svdvals", "linalg.eigh", "linalg.eigvalsh", "linalg.pinv"),
)
UFUNCS = (
    *("sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh"),
    *("arcsinh", "arccosh", "arctanh", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p"),
    *("sqrt", "cbrt", "square", "reciprocal", "negative", "positive", "sign", "absolute", "fabs"),
    *("conjugate", "floor", "ceil", "trunc", "rint", "deg2rad", "rad2deg"),
    *("isnan", "isinf", "isfinite", "signbit", "logical_not", "invert"),
    *("add", "subtract", "multiply", "true_divide", "floor_divide", "remainder", "fmod", "power"),
    *("float_power", "maximum", "minimum", "fmax", "fmin", "arctan2", "hypot", "logaddexp"),
    *("logaddexp2", "copysign", "heaviside", "equal", "not_equal", "less", "less_equal", "greater"),
    *("greater_equal", "logical_and", "logical_or", "logical_xor"),
    *("bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift"),
)


def native_functions(library: str, gaps: Mapping[str, NativeFunction]) -> SimpleNamespace:
    """Every native function as an attribute (`linalg.inv` as `linalg_inv`).

    All are looked up at once, because a look-up inside torch.compile would be traced.
    """
    return SimpleNamespace(
        **{
            name.replace(".", "_"): gaps[name] if name in gaps else autoray.get_lib_fn(library, name)
            for name in (*NAMES, *UFUNCS)
        }
    )
