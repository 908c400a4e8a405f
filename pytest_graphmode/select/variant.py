"""What a test body runs as: one `(backend, mode, device, dtype)`, its id, and the patterns that match it.

Made by `execute.py` from the settings and a test's marker; everything later reads it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pytest_graphmode.backends.names import DEFAULT_DTYPE

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet


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
    """Matches variants: `tf`, `tf:session`, `torch@gpu`, `torch:compile@gpu:0`, `torch@gpu[bfloat16]`."""

    backend: str
    mode: str | None = None
    device: str | None = None
    dtype: str | None = None

    def __str__(self) -> str:
        where = (f":{self.mode}" if self.mode else "") + (f"@{self.device}" if self.device else "")
        return self.backend + where + (f"[{self.dtype}]" if self.dtype else "")

    def matches(self, variant: Variant) -> bool:
        return (
            self.backend == variant.backend
            and self.mode in (None, variant.mode)
            and self.device in (None, variant.device, variant.device.partition(":")[0])
            and self.dtype in (None, variant.dtype)
        )
