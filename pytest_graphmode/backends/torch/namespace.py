"""`graphmode.xp` on PyTorch tensors: torch, with what it names, orders or answers otherwise than NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pytest_graphmode.backends.xp.arrays import functions_of
from pytest_graphmode.backends.xp.linalg import ArrayNamespace
from pytest_graphmode.backends.xp.promotion import STRONG

_DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in (*STRONG, "bfloat16")}
_NAMES: dict[torch.dtype, str] = {dtype: name for name, dtype in _DTYPES.items()}


def _prod(x: Tensor, axis: tuple[int, ...], keepdims: bool) -> Tensor:
    """Products one axis at a time, from the last, because torch.prod takes a single one."""
    for one in sorted(axis, reverse=True):
        x = torch.prod(x, dim=one, keepdim=keepdims)
    return x


def _take(x: Tensor, index: Tensor, axis: int) -> Tensor:
    """`index_select` for an index of any shape."""
    shape = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
    return torch.index_select(x, axis, index.reshape(-1)).reshape(shape)


def _solve(a: Tensor, b: Tensor) -> Tensor:
    """torch.linalg.solve for a matrix b, which it takes for vectors when b has one axis less than a."""
    return torch.linalg.solve(a, b.reshape((1,) * (a.ndim - b.ndim) + tuple(b.shape)))


_ADAPTED: dict[str, Callable[..., Any]] = {
    "argsort": lambda x, axis: torch.argsort(x, dim=axis, stable=True),
    "astype": lambda x, name: x.to(_DTYPES[name]),
    "bitwise_invert": torch.bitwise_not,
    "conj": torch.conj_physical,
    "copy": torch.clone,
    "cross": torch.linalg.cross,
    "equal": torch.eq,
    "max": torch.amax,
    "min": torch.amin,
    "nonzero": lambda x: torch.nonzero(x, as_tuple=True),
    "prod": _prod,
    "reciprocal": lambda x: torch.reciprocal(x).to(x.dtype),
    "repeat": torch.repeat_interleave,
    "searchsorted": lambda a, v, side: torch.searchsorted(a.contiguous(), v.contiguous(), right=side == "right"),
    "sign": torch.sgn,
    "sort": lambda x, axis: torch.sort(x, dim=axis).values,
    "take": _take,
    "take_along_axis": torch.take_along_dim,
    "transpose": torch.permute,
}


class TorchNamespace(ArrayNamespace):
    """NumPy's functions on PyTorch tensors, eager, under autograd and inside torch.compile."""

    tensor_type = Tensor
    native_dtypes = _DTYPES
    native = functions_of(vars(torch), _ADAPTED, {"linalg": functions_of(vars(torch.linalg), {"solve": _solve})})

    def __init__(self, place: Callable[[np.ndarray[Any, Any], str], Tensor], dtype: Callable[[], str]) -> None:
        super().__init__(place, dtype)
        self._device = place(np.zeros(()), "float32").device

    def _convert(self, value: Any) -> Any:
        # Inside torch.compile an array is a tensor already, and Dynamo (2.13) can't ask it for its NumPy dtype.
        if torch.compiler.is_compiling() and isinstance(value, np.ndarray):
            tensor = torch.as_tensor(value, device=self._device)
            kind = "float" if tensor.is_floating_point() else "complex" if tensor.is_complex() else _NAMES[tensor.dtype]
            return tensor.to(_DTYPES[self._concrete(kind)])
        return super()._convert(value)

    def _placed(self, array: np.ndarray[Any, Any], kind: str) -> Tensor:
        # Inside torch.compile an array is a tensor already, of which torch.tensor (2.13) makes no other.
        if torch.compiler.is_compiling():
            return torch.as_tensor(array, dtype=_DTYPES[self._concrete(kind)], device=self._device)
        return super()._placed(array, kind)

    def _scalar(self, value: complex, name: str) -> Tensor:
        return torch.full((), value, dtype=_DTYPES[name], device=self._device)

    def _name(self, tensor: Any) -> str:
        return _NAMES[tensor.dtype]
