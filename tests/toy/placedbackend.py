"""The plugin's side of `placedlib`: the backend `placed`, which can have logical CPUs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import placedlib

from pytest_graphmode.backends.base import Mode
from pytest_graphmode.backends.numpy import NumPy, NumPyEager


class Eager(NumPyEager):
    moved_by = "placedlib.put moved it"

    def __init__(self, device: str) -> None:
        self.device = device

    def device_of(self, leaf: object) -> str | None:
        return leaf.device if isinstance(leaf, placedlib.Array) else None

    def tensor(self, array: np.ndarray[Any, Any], dtype: str) -> Any:
        return placedlib.put(np.array(array, dtype=dtype), self.device)

    variable = tensor

    def value_and_grad(
        self, fn: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], variables: Sequence[Any]
    ) -> tuple[Any, list[Any], list[Any]]:
        """The gradients are those of a sum."""
        return fn(*args), [np.ones_like(args[position]) for position in argnums], []


class Placed(NumPy):
    name = "placed"
    gradients = True
    lib = placedlib

    def devices(self) -> Sequence[str]:
        return placedlib.devices()

    def mode(self, name: str, device: str) -> Mode:
        return Eager(device)

    def synchronize(self, device: str) -> None:
        placedlib.log.append(f"synchronized {device}")
        if placedlib.pending:
            raise placedlib.pending.pop()

    def release_memory(self, device: str) -> None:
        placedlib.log.append(f"released {device}")
        if placedlib.lost:
            raise placedlib.lost[0]

    def full_precision(self) -> None:
        placedlib.log.append("full precision")
