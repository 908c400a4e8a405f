"""NumPy: the reference that plain Python runs on. It has no gradients and builds no graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np

from pytest_graphmode.backends.base import Mode
from pytest_graphmode.backends.python_mode import PythonMode
from pytest_graphmode.errors import UnsupportedError


def native_dtype(name: str) -> np.dtype[Any]:
    """NumPy's dtype by a name; raises `UnsupportedError` for the one it lacks."""
    if name == "bfloat16":
        raise UnsupportedError("numpy has no bfloat16: use float16 or float32, or graph_skip('numpy', reason=...)")
    return np.dtype(name)


class NumPyEager(PythonMode):
    """Plain Python over NumPy arrays; a variable is an array that `assign` writes into."""

    def is_tensor(self, value: object) -> bool:
        return isinstance(value, (np.ndarray, np.generic))

    def is_variable(self, value: object) -> bool:
        return isinstance(value, np.ndarray)

    def tensor(self, array: np.ndarray[Any, Any], dtype: str) -> Any:
        return np.array(array, dtype=native_dtype(dtype))

    variable = tensor

    def assign(self, variable: Any, value: Any) -> None:
        if self.assigns:
            variable[...] = value

    def numpy(self, tensor: Any) -> np.ndarray[Any, Any]:
        return np.array(tensor)

    def value_and_grad(
        self, fn: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], variables: Sequence[Any]
    ) -> tuple[Any, list[Any], list[Any]]:
        raise UnsupportedError(
            "numpy has no reverse-mode gradients: run this test under tf, torch or jax, and mark it "
            "@pytest.mark.graph_skip('numpy', reason='no gradients')"
        )

    def index(self, value: int) -> Any:
        return np.int32(value)

    def stack(self, leaves: Sequence[Any]) -> Any:
        return np.stack(leaves)


class NumPy:
    name = "numpy"
    gradients = False
    traces_python = True
    lib = np

    def devices(self) -> Sequence[str]:
        return ("cpu",)

    def native_device(self, device: str) -> str:
        return device

    def native_dtype(self, dtype: str) -> np.dtype[Any]:
        return native_dtype(dtype)

    def mode(self, name: str, device: str) -> Mode:
        return NumPyEager()

    def namespace(self, place: Callable[[np.ndarray[Any, Any], str], Any], dtype: Callable[[], str]) -> Any:
        from pytest_graphmode.backends.numpy_namespace import NumpyNamespace

        return NumpyNamespace(place, dtype)

    def seed(self, seed: int) -> None:
        """`np.random` is seeded before every variant anyway."""

    def precision(self, dtype: str) -> AbstractContextManager[None]:
        native_dtype(dtype)
        return nullcontext()

    @contextmanager
    def isolate(self) -> Iterator[None]:
        errors = np.geterr()
        try:
            yield
        finally:
            np.seterr(**errors)
