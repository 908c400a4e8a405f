"""A second device for torch, `toy`, made in Python: its tensors hold CPU tensors, on which every operation runs.

By torch's own mechanism for devices that are not part of it (PrivateUse1), the one that Ascend's NPUs use.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils import backend_registration


class Device:
    """What torch calls a device module: `torch.toy`. `pending` is the error that the next synchronization finds."""

    pending: Exception | None = None
    synchronized = 0
    emptied = 0

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        pass

    def device_count(self) -> int:
        return 1

    def synchronize(self, device: Any = None) -> None:
        self.synchronized += 1
        error, self.pending = self.pending, None
        if error is not None:
            raise error

    def empty_cache(self) -> None:
        self.emptied += 1


class ToyTensor(torch.Tensor):
    """A class of its own, since torch.nn.Parameter takes a plain tensor for one of its own making."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # what is on the CPU is no ToyTensor


_HELD: dict[int, torch.Tensor] = {}  # by storage, which `tensor.data` and Parameter(tensor) share


def is_toy(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.device.type == "toy"


def storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


def held(value: Any) -> Any:
    """The CPU tensors of arguments."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(held, value))
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return _HELD[storage(value)] if is_toy(value) else value


def wrapped(value: Any, given: dict[int, Any]) -> Any:
    """A result, and the argument itself where an operation has written into it."""
    if isinstance(value, (list, tuple)):
        return type(value)(wrapped(one, given) for one in value)
    if not isinstance(value, torch.Tensor):
        return value
    if id(value) in given:
        return given[id(value)]
    if not value.is_contiguous() or value.storage_offset():
        value = value.clone(memory_format=torch.contiguous_format)  # as the wrapper is
    made: Any = torch._C._acc.create_empty_tensor(value.shape, value.dtype)
    made.__class__ = ToyTensor
    _HELD[storage(made)] = value
    return made


def run(operation: Any, *args: Any, **kwargs: Any) -> Any:
    given = {id(held(one)): one for one in (*args, *kwargs.values()) if is_toy(one)}
    result = operation(*held(args), **{name: held(value) for name, value in kwargs.items()})
    return wrapped(result, given)


def copy_from(source: Any, target: Any, non_blocking: bool = False) -> Any:
    held(target).copy_(held(source))
    return target


def register() -> tuple[torch.library.Library, ...]:
    """What must live as long as the device."""
    backend_registration._setup_privateuseone_for_python_backend("toy", backend_module=Device())
    library = torch.library.Library("_", "IMPL")
    library.fallback(run, "PrivateUse1")
    aten = torch.library.Library("aten", "IMPL")
    aten.impl("_copy_from", copy_from, "PrivateUse1")
    for name in ("detach", "alias"):  # torch has kernels for all devices, which know nothing of what is held
        aten.impl(name, lambda tensor: wrapped(held(tensor).view_as(held(tensor)), {}), "PrivateUse1")
    return library, aten


LIBRARIES = register()
