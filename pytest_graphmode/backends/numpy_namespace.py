"""`graphmode.xp` of the reference backend: NumPy itself, under the rules of the namespace."""

from __future__ import annotations

from typing import Any

import numpy as np

from pytest_graphmode.backends.namespace import Namespace
from pytest_graphmode.backends.xp.promotion import STRONG


def _astype(x: Any, name: str) -> Any:
    return np.asarray(x).astype(name)


def _diagonal(x: Any, offset: int) -> Any:
    return np.diagonal(x, offset, -2, -1)


def _argsort(x: Any, axis: int) -> Any:
    return np.argsort(x, axis, kind="stable")


def _complex(real: Any, imag: Any) -> Any:
    return real + 1j * imag


def _svdvals(x: Any) -> Any:
    return np.linalg.svd(x, compute_uv=False)


class NumpyNamespace(Namespace):
    """NumPy's functions on NumPy arrays."""

    library = "numpy"
    tensor_type = (np.ndarray, np.generic)
    native_dtypes = {name: np.dtype(name) for name in STRONG}  # noqa: RUF012
    gaps = {  # noqa: RUF012
        "astype": _astype,
        "argsort": _argsort,
        "complex": _complex,
        "diagonal": _diagonal,
        "linalg.qr": np.linalg.qr,
        "linalg.svd": np.linalg.svd,
        "linalg.svdvals": _svdvals,
    }
