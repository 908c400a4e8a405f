"""`graphmode.xp` on JAX arrays: jax.numpy under the rules of the namespace."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from pytest_graphmode.backends.namespace import Namespace
from pytest_graphmode.backends.xp.promotion import STRONG


def _astype(x: Any, name: str) -> Any:
    return x.astype(name)


def _diagonal(x: Any, offset: int) -> Any:
    return jnp.diagonal(x, offset, -2, -1)


def _qr(x: Any, mode: str) -> Any:
    return jnp.linalg.qr(x, mode=mode)


def _svdvals(x: Any) -> Any:
    return jnp.linalg.svd(x, compute_uv=False)


class JaxNamespace(Namespace):
    """NumPy's functions on JAX arrays; without x64, 64-bit results have 32 bits, as everywhere in JAX."""

    library = "jax"
    tensor_type = jax.Array
    native_dtypes = {name: jnp.dtype(name) for name in (*STRONG, "bfloat16")}  # noqa: RUF012
    gaps = {  # noqa: RUF012
        "astype": _astype,
        "complex": jax.lax.complex,
        "diagonal": _diagonal,
        "linalg.qr": _qr,
        "linalg.svd": jnp.linalg.svd,
        "linalg.svdvals": _svdvals,
    }

    def _foreign(self, value: Any) -> Any:
        return jnp.asarray(value)

    def _canonical(self, name: str) -> str:
        canonical: str = jax.dtypes.canonicalize_dtype(name).name
        return canonical
