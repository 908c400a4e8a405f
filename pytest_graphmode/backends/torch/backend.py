"""What is the same in all modes of PyTorch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
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


def _module(kind: str) -> Any:
    """torch's module of a kind of device, `torch.cuda`, as extensions have one too."""
    return getattr(torch, kind)


# By name, because Dynamo, which the second needs, takes seconds to import.
_MODES: Final[Mapping[str, str]] = {"eager": "Eager", "compile": "Compile"}
# Each does what the one before does and more: Dynamo's graphs as they are, AOTAutograd's, generated code.
_COMPILERS: Final = ("eager", "aot_eager", "inductor")


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
        found += [f"xpu:{index}" for index in range(torch.xpu.device_count())]
        added = extension()
        if added is not None and _module(added).is_available():
            found += [f"{added}:{index}" for index in range(_module(added).device_count())]
        return found

    def tracing(self) -> bool:
        return bool(torch.compiler.is_compiling())

    def synchronize(self, device: str) -> None:
        native = eager.native_device(device)
        wait = getattr(_module(native.type), "synchronize", None)
        if device == "cpu" or wait is None:
            return
        wait() if native.type == "mps" else wait(native)

    def release_memory(self, device: str) -> None:
        module = _module(eager.native_device(device).type)
        if hasattr(module, "empty_cache"):
            module.empty_cache()

    def lacks(self, error: BaseException, dtype: str) -> str | None:
        return lacking.reason(error, dtype, lacking.TORCH)

    def full_precision(self) -> None:
        state.full_precision()

    def limit_memory(self, share: float) -> None:
        for index in range(torch.cuda.device_count()):
            torch.cuda.set_per_process_memory_fraction(share, index)

    def native_device(self, device: str) -> torch.device:
        return eager.native_device(device)

    def native_dtype(self, dtype: str) -> torch.dtype:
        return eager.native_dtype(dtype)

    def mode(self, name: str, device: str) -> Mode:
        module = importlib.import_module(f"pytest_graphmode.backends.torch.{name}")
        made: Mode = getattr(module, _MODES[name])(device)
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

    def seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def precision(self, dtype: str) -> AbstractContextManager[None]:
        return nullcontext()

    def isolate(self) -> AbstractContextManager[None]:
        return state.restored()
