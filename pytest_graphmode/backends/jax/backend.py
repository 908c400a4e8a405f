"""What is the same in all modes of JAX."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

import jax
import numpy as np

from pytest_graphmode.backends import lacking
from pytest_graphmode.backends.base import Mode
from pytest_graphmode.backends.jax.eager import PLATFORMS, Eager, device_name, native_device
from pytest_graphmode.backends.jax.jit import Jit

# It warns of a GPU that the installed JAX can't use; `devices` says what there is.
logging.getLogger("jax._src.xla_bridge").setLevel(logging.ERROR)

_MODES: Final[Mapping[str, Callable[[str], Mode]]] = {"jit": Jit, "eager": Eager}


class Jax:
    name = "jax"
    gradients = True
    traces_python = True
    lib = jax
    native_device = staticmethod(native_device)

    def devices(self) -> Sequence[str]:
        found = [device for device in (*jax.devices("cpu"), *jax.devices()) if device.platform in PLATFORMS]
        return list(dict.fromkeys(map(device_name, found)))

    def native_dtype(self, dtype: str) -> Any:
        return jax.numpy.dtype(dtype)

    def mode(self, name: str, device: str) -> Mode:
        return _MODES[name](device)

    def namespace(self, place: Callable[[np.ndarray[Any, Any], str], Any], dtype: Callable[[], str]) -> Any:
        from pytest_graphmode.backends.jax.namespace import JaxNamespace

        return JaxNamespace(place, dtype)

    def seed(self, seed: int) -> None:
        """JAX has no global random state: its random numbers come from keys that a test makes."""

    def precision(self, dtype: str) -> AbstractContextManager[None]:
        if dtype not in ("float64", "complex128"):
            return nullcontext()
        if hasattr(jax, "enable_x64"):
            wide: AbstractContextManager[None] = jax.enable_x64(True)
        else:
            from jax.experimental import enable_x64  # where it was before JAX 0.8

            wide = enable_x64(True)
        return wide

    def synchronize(self, device: str) -> None:
        """Wait for what callbacks do, and on other devices than the first CPU for all arrays that are there."""
        jax.effects_barrier()
        if device == "cpu":
            return
        native = native_device(device)
        for array in jax.live_arrays(native.platform):
            if native in array.devices():
                array.block_until_ready()

    def await_result(self, result: Any) -> None:
        jax.block_until_ready(result)

    def lacks(self, error: BaseException, dtype: str) -> str | None:
        return lacking.reason(error, dtype, lacking.JAX)

    def full_precision(self) -> None:
        jax.config.update("jax_default_matmul_precision", "float32")

    @contextmanager
    def isolate(self) -> Iterator[None]:
        before = dict(jax.config.values)
        try:
            yield
        finally:
            for name, value in jax.config.values.items():
                if name in before and value != before[name]:
                    jax.config.update(name, before[name])
