"""`graphmode.xp` on PyTorch tensors: what autoray's translation leaves open or answers otherwise than NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pytest_graphmode.backends.namespace import Namespace
from pytest_graphmode.backends.xp.promotion import STRONG

_DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in (*STRONG, "bfloat16")}
_NAMES: dict[torch.dtype, str] = {dtype: name for name, dtype in _DTYPES.items()}

Axes = int | tuple[int, ...] | None


def _axes(x: Tensor, axis: Axes) -> tuple[int, ...]:
    """The axes of a reduction, named one by one."""
    if axis is None:
        return tuple(range(x.ndim))
    return (axis,) if isinstance(axis, int) else tuple(axis)


def _reduction(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A reduction with NumPy's words for axes."""

    def reduced(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
        return function(x, dim=_axes(x, axis), keepdim=keepdims)

    return reduced


def _prod(x: Tensor, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Products one axis at a time, from the last, because torch.prod takes a single one."""
    for one in sorted((one % x.ndim for one in _axes(x, axis)), reverse=True):
        x = torch.prod(x, dim=one, keepdim=keepdims)
    return x


def _astype(x: Tensor, name: str) -> Tensor:
    return x.to(_DTYPES[name])


def _concatenate(tensors: list[Tensor], axis: int) -> Tensor:
    return torch.cat(tensors, dim=axis)


def _stack(tensors: list[Tensor], axis: int) -> Tensor:
    return torch.stack(tensors, dim=axis)


def _take(x: Tensor, index: Tensor, axis: int) -> Tensor:
    """`index_select` for an index of any shape."""
    shape = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
    return torch.index_select(x, axis, index.reshape(-1)).reshape(shape)


def _sort(x: Tensor, axis: int) -> Tensor:
    return torch.sort(x, dim=axis).values


def _argsort(x: Tensor, axis: int) -> Tensor:
    return torch.argsort(x, dim=axis, stable=True)


def _searchsorted(a: Tensor, v: Tensor, side: str) -> Tensor:
    return torch.searchsorted(a.contiguous(), v.contiguous(), right=side == "right")


def _bincount(x: Tensor, weights: Tensor | None, minlength: int) -> Tensor:
    """torch.bincount, and a sum by index for weights, which it does not differentiate."""
    if weights is None:
        return torch.bincount(x, minlength=minlength)
    size = max(int(x.max()) + 1, minlength)
    return weights.new_zeros(size).index_add(0, x.long(), weights)


def _solve(a: Tensor, b: Tensor) -> Tensor:
    """torch.linalg.solve for a matrix b, which it takes for vectors when b has one axis less than a."""
    return torch.linalg.solve(a, b.reshape((1,) * (a.ndim - b.ndim) + tuple(b.shape)))


def _cbrt(x: Tensor) -> Tensor:
    return torch.sign(x) * torch.abs(x) ** (1 / 3)


def _reciprocal(x: Tensor) -> Tensor:
    if x.is_floating_point() or x.is_complex():
        return torch.reciprocal(x)
    return torch.div(1, x, rounding_mode="trunc")


def _heaviside(x: Tensor, at_zero: Tensor) -> Tensor:
    """torch.heaviside, which has no gradient, not even zero."""
    step = torch.where(x > 0, torch.ones_like(x), torch.where(x == 0, at_zero, torch.zeros_like(x)))
    return torch.where(torch.isnan(x), x, step)


def _nonzero(x: Tensor) -> tuple[Tensor, ...]:
    places: tuple[Tensor, ...] = torch.nonzero(x, as_tuple=True)
    return places


def _diagonal(x: Tensor, offset: int) -> Tensor:
    return torch.diagonal(x, offset, -2, -1)


class TorchNamespace(Namespace):
    """NumPy's functions on PyTorch tensors, eager, under autograd and inside torch.compile."""

    library = "torch"
    tensor_type = Tensor
    native_dtypes = _DTYPES
    gaps = {  # noqa: RUF012
        "all": _reduction(torch.all),
        "any": _reduction(torch.any),
        "argmax": torch.argmax,
        "argmin": torch.argmin,
        "argsort": _argsort,
        "astype": _astype,
        "bincount": _bincount,
        "cbrt": _cbrt,
        "concatenate": _concatenate,
        "conjugate": torch.conj_physical,
        "copy": torch.clone,
        "diag": torch.diag_embed,
        "diagonal": _diagonal,
        "fabs": torch.abs,
        "heaviside": _heaviside,
        "invert": torch.bitwise_not,
        "left_shift": torch.bitwise_left_shift,
        "linalg.qr": torch.linalg.qr,
        "linalg.solve": _solve,
        "linalg.svd": torch.linalg.svd,
        "max": _reduction(torch.amax),
        "mean": _reduction(torch.mean),
        "min": _reduction(torch.amin),
        "nonzero": _nonzero,
        "prod": _prod,
        "reciprocal": _reciprocal,
        "repeat": torch.repeat_interleave,
        "right_shift": torch.bitwise_right_shift,
        "rint": torch.round,
        "searchsorted": _searchsorted,
        "sign": torch.sgn,
        "sort": _sort,
        "stack": _stack,
        "sum": _reduction(torch.sum),
        "take": _take,
        "take_along_axis": torch.take_along_dim,
        "transpose": torch.permute,
        "tril": torch.tril,
        "triu": torch.triu,
        "unique": torch.unique,
    }

    def __init__(self, place: Callable[[np.ndarray[Any, Any], str], Tensor], dtype: Callable[[], str]) -> None:
        super().__init__(place, dtype)
        self._device = place(np.zeros(()), "float32").device

    def _convert(self, value: Any) -> Any:
        # Inside torch.compile an array is a tensor already, and Dynamo (2.13) can't ask it for its NumPy dtype.
        if torch.compiler.is_compiling() and isinstance(value, np.ndarray):
            tensor = torch.as_tensor(value, device=self._device)
            if tensor.is_floating_point():
                return tensor.to(_DTYPES[self._concrete("float")])
            return tensor.to(_DTYPES[self._concrete("complex")]) if tensor.is_complex() else tensor
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
