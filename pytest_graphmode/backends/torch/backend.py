"""What is the same in all modes of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import numpy as np
import torch

from pytest_graphmode.backends.base import Mode
from pytest_graphmode.backends.torch import state
from pytest_graphmode.backends.torch.compile import Compile
from pytest_graphmode.backends.torch.eager import Eager

_MODES: Final[Mapping[str, Callable[[str], Mode]]] = {"eager": Eager, "compile": Compile}


class Torch:
    name = "torch"
    gradients = True
    traces_python = True
    lib = torch

    def devices(self) -> Sequence[str]:
        found = ["cpu"]
        found += [f"gpu:{index}" for index in range(torch.cuda.device_count())]
        if torch.backends.mps.is_available():
            found.append("mps")
        return found

    def mode(self, name: str, device: str) -> Mode:
        return _MODES[name](device)

    def namespace(self, place: Callable[[np.ndarray[Any, Any], str], Any], dtype: Callable[[], str]) -> Any:
        from pytest_graphmode.backends.torch.namespace import TorchNamespace

        return TorchNamespace(place, dtype)

    def seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def precision(self, dtype: str) -> AbstractContextManager[None]:
        return nullcontext()

    def isolate(self) -> AbstractContextManager[None]:
        return state.restored()
