"""The tensor that a graph was built for, as Dynamo's guard spells it, held against the one that came.

Called by `guards.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from pytest_graphmode.backends.torch.dynamo.frames import describe
from pytest_graphmode.ledger.ledger import Cause

_GUARD: Final = re.compile(
    r"check_tensor\((?P<source>.+), (?P<type>\w+), DispatchKeySet\((?P<keys>[^)]*)\), torch\.(?P<dtype>\w+), "
    r"device=(?P<index>\w+), requires_grad=(?P<requires_grad>\w+), "
    r"size=\[(?P<size>[^\]]*)\], stride=\[(?P<stride>[^\]]*)\]\)"
)


@dataclass(frozen=True)
class ExpectedTensor:
    """What a guard asks of a tensor; None in `sizes` and `steps` (its strides) where any number will do."""

    source: str
    type_name: str
    keys: tuple[str, ...]
    dtype: str
    index: str
    requires_grad: bool
    sizes: tuple[int | None, ...]
    steps: tuple[int | None, ...]

    @classmethod
    def parse(cls, guard: str) -> ExpectedTensor | None:
        match = _GUARD.match(guard)
        if match is None:
            return None
        return cls(
            match["source"],
            match["type"],
            tuple(match["keys"].split(", ")),
            match["dtype"],
            match["index"],
            match["requires_grad"] == "True",
            _numbers(match["size"]),
            _numbers(match["stride"]),
        )

    @property
    def shape(self) -> str:
        return listed(self.sizes)

    @property
    def strides(self) -> str:
        return listed(self.steps)

    @property
    def recorded_gradients(self) -> bool:
        """Whether autograd could see the tensor: False in inference mode."""
        return any(key.startswith("Autograd") for key in self.keys)

    @property
    def _autocast(self) -> bool:
        return any(key.startswith("Autocast") for key in self.keys)

    def differences(self, name: str, value: Any, mode: str) -> Iterator[Cause]:
        """What a guard asks and a value is not; `mode` is the grad mode of the graph where it was no inference mode."""
        if not isinstance(value, torch.Tensor):
            text = describe(name, value).text
            now = text if value is None else f"Python {type(value).__name__} {text}"
            yield Cause("structure", name, f"{self.dtype}{self.shape}", now)
            return
        if type(value).__name__ != self.type_name:
            yield Cause("structure", name, self.type_name, type(value).__name__)
        if dtype_name(value.dtype) != self.dtype:
            yield Cause("dtype", name, self.dtype, dtype_name(value.dtype))
        yield from self._places(name, value)
        yield from self._devices(name, value)
        yield from self._gradients(name, value, mode)
        if value.device.type == self.keys[0].lower() and self._autocast != torch.is_autocast_enabled(value.device.type):
            yield autocast_changed(self._autocast)

    def _places(self, name: str, value: torch.Tensor) -> Iterator[Cause]:
        if len(self.sizes) != value.ndim:
            yield Cause("rank", name, self.shape, listed(value.shape))
        elif not _fits(self.sizes, value.shape):
            yield Cause("shape", name, self.shape, listed(value.shape))
        elif not _fits(self.steps, value.stride()):
            yield Cause("layout", name, f"strides {self.strides}", f"strides {listed(value.stride())}")

    def _devices(self, name: str, value: torch.Tensor) -> Iterator[Cause]:
        kind = self.keys[0].lower()
        index = "None" if value.device.index is None else str(value.device.index)
        if (kind, self.index) != (value.device.type, index):
            before = kind if self.index == "None" else f"{kind}:{self.index}"
            yield Cause("device", name, before, str(value.device))

    def _gradients(self, name: str, value: torch.Tensor, mode: str) -> Iterator[Cause]:
        if self.requires_grad != value.requires_grad:
            yield Cause("grad-mode", f"{name}.requires_grad", str(self.requires_grad), str(value.requires_grad))
        if self.recorded_gradients == torch.is_inference_mode_enabled():
            yield Cause("grad-mode", "", mode if self.recorded_gradients else "inference_mode", gradient_mode())
        elif value.is_inference() and not torch.is_inference_mode_enabled():
            yield Cause("grad-mode", name, "a normal tensor", "one made in inference_mode")


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def autocast_changed(before: bool | None) -> Cause:
    """Autocast was switched on or off, or (None) set in another way that torch does not name."""
    return Cause("global-state", "autocast", *(() if before is None else (str(before), str(not before))))


def gradient_mode() -> str:
    if torch.is_inference_mode_enabled():
        return "inference_mode"
    return "grad" if torch.is_grad_enabled() else "no_grad"


def _numbers(text: str) -> tuple[int | None, ...]:
    return tuple(None if part == "None" else int(part) for part in text.split(", ") if part)


def listed(numbers: Sequence[int | None]) -> str:
    return f"[{', '.join(map(str, numbers))}]"


def _fits(expected: Sequence[int | None], found: Sequence[int]) -> bool:
    return all(one is None or one == other for one, other in zip(expected, found, strict=True))
