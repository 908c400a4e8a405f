"""Eager JAX, and what every mode of JAX shares: arrays, variables, gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from pytest_graphmode.backends import tapping, tensor_rule, trees
from pytest_graphmode.backends.jax import gradients, taps
from pytest_graphmode.backends.jax.variables import TracedVariables, Variable, VariableSpace, value_of
from pytest_graphmode.backends.names import complex_of, parse_device
from pytest_graphmode.backends.python_mode import PythonMode
from pytest_graphmode.errors import UnsupportedError

PLATFORMS: Final[Mapping[str, str]] = {"cpu": "cpu", "gpu": "gpu", "cuda": "gpu", "rocm": "gpu", "tpu": "tpu"}
_WIDE_FLOATS = ("float64", "complex128")
_NARROWED = {"int64": "int32", "uint64": "uint32"}


def native_device(device: str) -> jax.Device:
    """`jax.devices('gpu')[1]` for `gpu:1`."""
    kind, _, index = device.partition(":")
    return jax.devices(kind)[int(index or 0)]


def device_name(device: jax.Device) -> str:
    """`gpu:1` for `CudaDevice(id=1)`; a platform that the plugin knows nothing of keeps its name."""
    kind = PLATFORMS.get(device.platform)
    return f"{device.platform}:{device.id}" if kind is None else parse_device(f"{kind}:{device.id}")


class JaxMode(PythonMode):
    """Arrays, variables and gradients as every mode of JAX has them."""

    moved_by = "jax.device_put, jax.default_device or jax.jit(device=...) with another device moved it"

    def __init__(self, device: str) -> None:
        self.device = native_device(device)
        self.variables = VariableSpace()
        self._outside = taps.trace_state()

    def scope(self) -> AbstractContextManager[None]:
        if self.device == jax.devices()[0]:
            return nullcontext()
        scope: AbstractContextManager[None] = jax.default_device(self.device)
        return scope

    def device_of(self, leaf: object) -> str | None:
        """None for an array that is spread over several devices, this one among them."""
        value = value_of(leaf)
        if not isinstance(value, jax.Array) or isinstance(value, jax.core.Tracer):
            return None
        devices = value.devices()
        return None if self.device in devices else device_name(min(devices, key=lambda device: device.id))

    def is_tensor(self, value: object) -> bool:
        return isinstance(value, (jax.Array, Variable))

    def is_variable(self, value: object) -> bool:
        return isinstance(value, Variable)

    def tensor(self, array: np.ndarray[Any, Any], dtype: str) -> Any:
        # A copy, because jax.numpy.asarray may share NumPy's memory; outside a trace, for a graph's constants too.
        with jax.ensure_compile_time_eval():
            return jax.device_put(jnp.array(array, dtype=_native_dtype(array, dtype)), self.device)

    def variable(self, array: np.ndarray[Any, Any], dtype: str) -> Any:
        return self.variables.variable(self.tensor(array, dtype))

    def assign(self, variable: Any, value: Any) -> None:
        variable.assign(value)

    def numpy(self, tensor: Any) -> np.ndarray[Any, Any]:
        value = value_of(tensor)
        if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            value = jax.random.key_data(value)
        if value.dtype == jnp.bfloat16:
            value = value.astype(jnp.float32)  # NumPy has no bfloat16 of its own
        try:
            return np.array(value)
        except jax.errors.TracerArrayConversionError:
            raise tensor_rule.without_value(f"jax:{self.name}") from None

    def value_and_grad(
        self, fn: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], variables: Sequence[Any]
    ) -> tuple[Any, list[Any], list[Any]]:
        return gradients.value_and_grad(self.variables, fn, args, argnums, variables)

    def untappable(self, tap: str = "") -> str | None:
        return super().untappable() or taps.elsewhere(self._outside)

    def tapped(self, name: str, value: Any) -> Any:
        values = trees.map(value_of, value)
        super().tapped(name, values)
        under_way = tapping.differentiated()
        return value if under_way is None else taps.probed(name, values, under_way)

    @contextmanager
    def holding(self, owners: Sequence[object], variables: Mapping[str, Any], dtype: str) -> Iterator[None]:
        kept = [(variable, variable.stored) for variable in variables.values()]
        for variable, stored in kept:
            is_complex = jnp.issubdtype(stored.dtype, jnp.complexfloating)
            variable.stored = stored.astype(complex_of(dtype) if is_complex else dtype)
        try:
            yield
        finally:
            for variable, stored in kept:
                variable.stored = stored

    def undecorated(self) -> AbstractContextManager[None]:
        disabled: AbstractContextManager[None] = jax.disable_jit()
        return disabled

    def outputs_of(self, f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any) -> Any:
        # What is assigned in a frame stays in it until it is carried out.
        with self.variables.opened(TracedVariables({})):
            return super().outputs_of(f, init, xs)

    def index(self, value: int) -> Any:
        return jnp.int32(value)

    def stack(self, leaves: Sequence[Any]) -> Any:
        return jnp.stack([jnp.asarray(leaf) for leaf in leaves])


def _native_dtype(array: np.ndarray[Any, Any], name: str) -> Any:
    """The dtype an array gets; without x64 JAX's integers have 32 bits.

    Raises:
        UnsupportedError: a 64-bit float where x64 is off.
        OverflowError: integers that don't fit.
    """
    if jax.config.jax_enable_x64:
        return jnp.dtype(name)
    if name in _WIDE_FLOATS:
        raise UnsupportedError(
            f"jax has no {name} unless it is enabled: run with --graph-dtypes=float64, or enter jax.enable_x64(True)"
        )
    narrow = np.dtype(_NARROWED[name]) if name in _NARROWED else None
    if narrow is not None and array.size and not np.array_equal(array.astype(narrow), array):
        raise OverflowError(
            f"jax has no {name} unless it is enabled, and these values don't fit {narrow}: run with "
            "--graph-dtypes=float64, or pass smaller integers"
        )
    return jnp.dtype(narrow or name)


class Eager(JaxMode):
    """Operations run as they are met; loops and branches are Python's."""
