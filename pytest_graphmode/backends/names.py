"""The names of devices and dtypes as people write them in options, markers and ini files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

DTYPES: Final = ("float16", "bfloat16", "float32", "float64")
DEFAULT_DTYPE: Final = "float32"
DEVICE_KINDS: Final = ("cpu", "gpu", "cuda", "mps", "xpu", "tpu")


def parse_device(text: str) -> str:
    """A device's one name: `cuda:0` and `gpu` are `gpu:0`, `cpu:0` is `cpu`.

    Raises:
        ValueError: not a device name; the message lists the legal ones.
    """
    match = re.fullmatch(rf"({'|'.join(DEVICE_KINDS)})(?::([0-9]+))?", text.strip())
    if match is None:
        raise ValueError(f"{text.strip()!r} is not a device: write cpu, cpu:1, gpu:0 (or cuda:0), mps, xpu:0 or tpu:0")
    kind, index = "gpu" if match[1] == "cuda" else match[1], int(match[2] or 0)
    return kind if kind in ("cpu", "mps") and not index else f"{kind}:{index}"


def parse_dtype(text: str) -> str:
    """The name of a floating dtype.

    Raises:
        ValueError: not one; the message lists the legal ones.
    """
    name = text.strip()
    if name not in DTYPES:
        raise ValueError(f"unknown dtype {name!r}: the dtypes are {', '.join(DTYPES)}")
    return name


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
