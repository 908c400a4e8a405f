"""A framework in miniature whose arrays are on devices; how many it makes of the CPU is settled at the first use."""

from __future__ import annotations

from typing import Any

import numpy as np

_cpus: list[str] = []
pending: list[Exception] = []  # what the next synchronization finds
lost: list[Exception] = []  # what everything says of a device that failed for good
log: list[str] = []


class Array(np.ndarray):  # type: ignore[type-arg]
    device = "cpu"

    def __array_finalize__(self, made_of: Any) -> None:
        self.device = getattr(made_of, "device", "cpu")


def devices() -> list[str]:
    if not _cpus:
        divide(1)
    return _cpus


def divide(count: int) -> None:
    if _cpus and len(_cpus) != count:
        raise RuntimeError(f"placedlib has made its devices already, {len(_cpus)} of the CPU")
    _cpus[:] = ["cpu", *(f"cpu:{index}" for index in range(1, count))]


def put(value: Any, device: str) -> Array:
    devices()
    array = np.array(value).view(Array)
    array.device = device
    return array
