"""`graphmode.xp` on JAX arrays: jax.numpy under the rules of the namespace."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from pytest_graphmode.backends.xp.arrays import functions_of
from pytest_graphmode.backends.xp.linalg import ArrayNamespace
from pytest_graphmode.backends.xp.promotion import STRONG


class JaxNamespace(ArrayNamespace):
    """NumPy's functions on JAX arrays; without x64, 64-bit results have 32 bits, as everywhere in JAX."""

    tensor_type = jax.Array
    native_dtypes = {name: jnp.dtype(name) for name in (*STRONG, "bfloat16")}  # noqa: RUF012
    native = functions_of(
        vars(jnp),
        {
            "astype": lambda x, name: x.astype(name),
            "linalg": functions_of(vars(jnp.linalg), {"svdvals": functools.partial(jnp.linalg.svd, compute_uv=False)}),
        },
    )

    def _foreign(self, value: Any) -> Any:
        return jnp.asarray(value)

    def _canonical(self, name: str) -> str:
        canonical: str = jax.dtypes.canonicalize_dtype(name).name
        return canonical
