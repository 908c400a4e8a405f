"""The arguments of a build as plain text and numbers: what event sources see and `causes.py` compares.

Called by the event sources under `backends/`; nothing here keeps an argument alive.
"""

from __future__ import annotations

import enum
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

_PLAIN: Final = (type(None), bool, int, float, complex, str, bytes)
_LONGEST: Final = 60
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


@dataclass(frozen=True, slots=True)
class Argument:
    """One leaf of a function's arguments as the framework saw it: a tensor's type or a Python value's text.

    `name` is the path of the leaf (`batch['x']`), `root` the parameter it belongs to (`batch`). A tensor has
    `dtype` and `shape`, in which None is an unknown dimension (a `shape` of None an unknown rank). `note` tells
    apart what has the same text: long values, objects, which of several variables this one is.
    """

    name: str
    text: str
    root: str = ""
    dtype: str | None = None
    shape: tuple[int | None, ...] | None = None
    device: str | None = None
    layout: str | None = None
    requires_grad: bool | None = None
    type_name: str = ""
    note: str = ""

    @property
    def is_tensor(self) -> bool:
        return self.dtype is not None


def tensor_argument(name: str, dtype: str, shape: Sequence[int | None] | None, **more: object) -> Argument:
    """The description of a tensor: `float32[32, 3]`, `float32[None, 3]`, `float32[?]` where the rank is unknown."""
    known = None if shape is None else tuple(shape)
    text = f"{dtype}[{'?' if known is None else ', '.join(map(str, known))}]"
    found = Argument(sys.intern(name), text, root_of(name), dtype, known)
    return replace(found, **more) if more else found  # type: ignore[arg-type]


def value_argument(name: str, value: object) -> Argument:
    """The description of a Python value, by a `repr` cut at 60 characters."""
    full = _repr(value)
    text = _ADDRESS.sub("", full)
    short = text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
    plain = short == text and isinstance(value, _PLAIN)
    note = "" if plain else _note(value, full)
    return Argument(sys.intern(name), short, root_of(name), type_name=type(value).__name__, note=note)


def _repr(value: object) -> str:
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    try:
        return " ".join(repr(value).split())
    except Exception:  # the user's own code, met in the middle of a trace that must go on
        return f"<{type(value).__name__}>"


def _note(value: object, text: str) -> str:
    """Equal for what a framework, which keeps graphs in dicts, takes for the same value."""
    try:
        return str(hash(value))
    except Exception:
        return str(hash(text))


def root_of(name: str) -> str:
    """`batch` for `batch['x'].mean`."""
    cut = min((name.find(mark) for mark in "[." if mark in name), default=len(name))
    return sys.intern(name[:cut])
