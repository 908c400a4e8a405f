"""The parameters of modules, and modules in another floating dtype for a while.

Called by the modes of torch for `check_grads`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from pytest_graphmode.errors import UnsupportedError

_COMPILED = "_orig_mod."


def trainable(owner: object) -> dict[str, Any]:
    """The parameters of a module that autograd tracks, by their names; none of anything else."""
    if not isinstance(owner, torch.nn.Module):
        return {}
    if any(map(torch.nn.parameter.is_lazy, owner.parameters())):
        raise UnsupportedError("a lazy module has parameters without a shape until its first call: call it once before")
    return {
        name.replace(_COMPILED, ""): parameter
        for name, parameter in owner.named_parameters()
        if parameter.requires_grad and (parameter.is_floating_point() or parameter.is_complex())
    }


@contextmanager
def holding(owners: Sequence[object], variables: Mapping[str, Any], dtype: torch.dtype) -> Iterator[None]:
    """Tensors of modules, buffers too, and variables hold a dtype in the block, as `Module.to` would make them.

    What the block writes into them is gone after it: they have the very data back that they had before.
    """
    modules = [owner for owner in owners if isinstance(owner, torch.nn.Module)]
    tensors = [*variables.values(), *(one for module in modules for one in (*module.parameters(), *module.buffers()))]
    kept = {id(tensor): (tensor, tensor.data) for tensor in tensors}
    try:
        for tensor, data in kept.values():
            tensor.data = _converted(data, dtype)
        yield
    finally:
        for tensor, data in kept.values():
            tensor.data = data


def _converted(data: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    if data.is_complex():
        dtype = dtype.to_complex()
    elif not data.is_floating_point():
        return data.clone()
    return data.to(dtype, copy=True)
