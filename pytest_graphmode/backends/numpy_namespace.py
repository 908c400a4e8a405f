"""`graphmode.xp` of the reference backend: NumPy itself, under the rules of the namespace."""

from __future__ import annotations

import functools

import numpy as np

from pytest_graphmode.backends.xp.arrays import functions_of
from pytest_graphmode.backends.xp.linalg import ArrayNamespace
from pytest_graphmode.backends.xp.promotion import STRONG


class NumpyNamespace(ArrayNamespace):
    """NumPy's functions on NumPy arrays."""

    tensor_type = (np.ndarray, np.generic)
    native_dtypes = {name: np.dtype(name) for name in STRONG}  # noqa: RUF012
    native = functions_of(
        vars(np),
        {
            "argsort": functools.partial(np.argsort, kind="stable"),
            "astype": lambda x, name: np.asarray(x).astype(name),
            "linalg": functions_of(vars(np.linalg), {"svdvals": functools.partial(np.linalg.svd, compute_uv=False)}),
        },
    )
