"""The names of devices and dtypes as people write them in options, markers and ini files."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any, Final

DTYPES: Final = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")
DEFAULT_DTYPE: Final = "float32"
DEVICE_KINDS: Final = ("cpu", "gpu", "cuda", "mps", "xpu", "tpu")


def extension() -> str | None:
    """The kind of device that an extension has added to torch, `npu` for Ascend's; None where there is none.

    torch has a place for one, which the extension names when it is imported; so nothing is known of it before.
    """
    torch: Any = sys.modules.get("torch")
    # Private: torch.accelerator tells of it only where there is no other accelerator, and since torch 2.6.
    name = getattr(getattr(torch, "_C", None), "_get_privateuse1_backend_name", None)
    return str(name()) if name is not None and hasattr(torch, name()) else None


def logical_names(count: int) -> tuple[str, ...]:
    """`cpu`, `cpu:1`, ..., as many as the CPU is divided into."""
    return ("cpu", *(f"cpu:{index}" for index in range(1, count)))


def parse_device(text: str) -> str:
    """A device's one name: `cuda:0` and `gpu` are `gpu:0`, `cpu:0` is `cpu`.

    Raises:
        ValueError: not a device name; the message lists the legal ones.
    """
    added = extension()
    kinds = DEVICE_KINDS if added is None else (*DEVICE_KINDS, added)
    match = re.fullmatch(rf"({'|'.join(kinds)})(?::([0-9]+))?", text.strip())
    if match is None:
        legal = "cpu, cpu:1, gpu:0 (or cuda:0), mps, xpu:0 or tpu:0" + (f", or {added}:0" if added else "")
        raise ValueError(f"{text.strip()!r} is not a device: write {legal}")
    kind, index = "gpu" if match[1] == "cuda" else match[1], int(match[2] or 0)
    return kind if kind in ("cpu", "mps") and not index else f"{kind}:{index}"


def parse_dtype(text: str) -> str:
    """The name of a floating or complex dtype.

    Raises:
        ValueError: not one; the message lists the legal ones.
    """
    name = text.strip()
    if name not in DTYPES:
        raise ValueError(f"unknown dtype {name!r}: the dtypes are {', '.join(DTYPES)}")
    return name


def real_of(dtype: str) -> str:
    """The dtype of the parts of a complex one; a floating one itself."""
    return {"complex64": "float32", "complex128": "float64"}.get(dtype, dtype)


def complex_of(dtype: str) -> str:
    """The complex counterpart of a floating dtype; a complex one itself."""
    return "complex128" if dtype in ("float64", "complex128") else "complex64"


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
