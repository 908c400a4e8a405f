"""What a test body runs as: one `(backend, mode, device, dtype)`, its id, and the patterns that match it.

Made by `item.py` from the settings and a test's marker; everything later reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet

DTYPES: Final = ("float16", "bfloat16", "float32", "float64")
DEFAULT_DTYPE: Final = "float32"
_DEVICE: Final = re.compile(r"(cpu|gpu|cuda|mps|xpu|tpu)(?::(\d+))?")


@dataclass(frozen=True)
class Variant:
    """One way to run a test. `str(variant)` is its id, e.g. `torch-compile-cpu-float64`."""

    backend: str
    mode: str
    device: str = "cpu"
    dtype: str = DEFAULT_DTYPE

    def __str__(self) -> str:
        return self.id

    @property
    def id(self) -> str:
        """The dtype stands in it only when it is not the default."""
        parts = [self.backend, self.mode, self.device]
        return "-".join(parts if self.dtype == DEFAULT_DTYPE else [*parts, self.dtype])

    @property
    def keys(self) -> tuple[str, str]:
        """The keyword names that mean this variant in markers, the most specific first: `tf_graph`, `tf`."""
        return (f"{self.backend}_{self.mode}", self.backend)

    def param(self, marks: Iterable[pytest.MarkDecorator | pytest.Mark] = ()) -> ParameterSet:
        """This variant as an argument of `parametrize`."""
        return pytest.param(self, id=self.id, marks=tuple(marks))


@dataclass(frozen=True)
class VariantPattern:
    """Matches variants: `tf`, `tf:session`, `torch@gpu`, `torch:compile@gpu:0`."""

    backend: str
    mode: str | None = None
    device: str | None = None

    def __str__(self) -> str:
        return self.backend + (f":{self.mode}" if self.mode else "") + (f"@{self.device}" if self.device else "")

    def matches(self, variant: Variant) -> bool:
        return (
            self.backend == variant.backend
            and self.mode in (None, variant.mode)
            and self.device in (None, variant.device, variant.device.partition(":")[0])
        )


def parse_device(text: str) -> str:
    """A device's one name: `cuda:0` and `gpu` are `gpu:0`, `cpu:0` is `cpu`.

    Raises:
        ValueError: not a device name; the message lists the legal ones.
    """
    match = _DEVICE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text.strip()!r} is not a device: write cpu, cpu:1, gpu:0 (or cuda:0), mps, xpu:0 or tpu:0")
    kind = "gpu" if match[1] == "cuda" else match[1]
    if kind in ("cpu", "mps"):
        return kind if match[2] in (None, "0") else f"{kind}:{match[2]}"
    return f"{kind}:{int(match[2] or 0)}"


def split(value: str | Sequence[str], what: str) -> list[str]:
    """The entries of a comma list or of a sequence of strings.

    Raises:
        TypeError: neither a string nor a sequence of them.
    """
    if isinstance(value, str):
        parts: Sequence[str] = value.split(",")
    elif isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(part, str) for part in value):
        parts = sorted(value) if isinstance(value, (set, frozenset)) else list(value)
    else:
        raise TypeError(f"{what} must be a comma list or a list of strings, not {value!r}")
    return [part.strip() for part in parts if part.strip()]
