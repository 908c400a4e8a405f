"""What is the same in all modes of PyTorch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Final

import numpy as np
import torch

from pytest_graphmode.backends import lacking
from pytest_graphmode.backends.base import Mode, Stage
from pytest_graphmode.backends.names import extension
from pytest_graphmode.backends.torch import eager, state
from pytest_graphmode.backends.torch.default_compiler import OF_VARIANTS, default

# Each does what the one before does and more: Dynamo's graphs as they are, AOTAutograd's, generated code.
_COMPILERS: Final = ("eager", "aot_eager", "inductor")


class Torch:
    name = "torch"
    gradients = True
    traces_python = True
    lib = torch
    native_device = staticmethod(eager.native_device)
    native_dtype = staticmethod(eager.native_dtype)
    full_precision = staticmethod(state.full_precision)
    seed = staticmethod(torch.manual_seed)
    isolate = staticmethod(state.restored)

    def devices(self) -> Sequence[str]:
        found = ["cpu"]
        found += [f"gpu:{index}" for index in range(torch.cuda.device_count())]
        if torch.backends.mps.is_available():
            found.append("mps")
        found += [f"xpu:{index}" for index in range(torch.xpu.device_count())]
        added = extension()
        if added is not None and getattr(torch, added).is_available():
            found += [f"{added}:{index}" for index in range(getattr(torch, added).device_count())]
        return found

    def tracing(self) -> bool:
        return bool(torch.compiler.is_compiling())

    def synchronize(self, device: str) -> None:
        native = eager.native_device(device)
        wait = getattr(getattr(torch, native.type), "synchronize", None)
        if device == "cpu" or wait is None:
            return
        wait() if native.type == "mps" else wait(native)

    def release_memory(self, device: str) -> None:
        module = getattr(torch, eager.native_device(device).type)
        if hasattr(module, "empty_cache"):
            module.empty_cache()

    def lacks(self, error: BaseException, dtype: str) -> str | None:
        return lacking.reason(error, dtype, lacking.TORCH)

    def limit_memory(self, share: float) -> None:
        for index in range(torch.cuda.device_count()):
            torch.cuda.set_per_process_memory_fraction(share, index)

    def mode(self, name: str, device: str) -> Mode:
        # By name, because Dynamo, which one of the two needs, takes seconds to import.
        module = importlib.import_module(f"pytest_graphmode.backends.torch.{name}")
        made: Mode = getattr(module, name.capitalize())(device)
        return made

    def stages(self, mode: str) -> Sequence[Stage]:
        """Eager torch, and the compiler backends that do less than the one in use."""
        if mode == "eager":
            return []
        used = default.name or OF_VARIANTS
        names = _COMPILERS[: _COMPILERS.index(used) if used in _COMPILERS else -1]
        return [Stage("eager"), *(Stage(mode, name, partial(default.forced_to, name)) for name in names)]

    def namespace(self, place: Callable[[np.ndarray[Any, Any], str], Any], dtype: Callable[[], str]) -> Any:
        from pytest_graphmode.backends.torch.namespace import TorchNamespace

        return TorchNamespace(place, dtype)

    def precision(self, dtype: str) -> AbstractContextManager[None]:
        return nullcontext()
