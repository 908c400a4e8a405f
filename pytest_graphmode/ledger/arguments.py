"""The arguments of a build as plain text and numbers: what event sources see and `causes.py` compares.

Called by the event sources under `backends/`; nothing here keeps an argument alive.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_graphmode.ledger import closure, describe


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
    found = Argument(sys.intern(name), dtype + describe.dimensions(known), root_of(name), dtype, known)
    return replace(found, **more) if more else found  # type: ignore[arg-type]


def value_argument(name: str, value: object) -> Argument:
    """The description of a Python value, see `describe.in_full`."""
    text = describe.in_full(value)
    short = isinstance(value, describe.PLAIN) and not text.endswith("...")
    note = "" if short else _note(value, text)
    return Argument(sys.intern(name), text, root_of(name), type_name=describe.type_name(value), note=note)


def _note(value: object, text: str) -> str:
    """Equal for what a framework, which keeps graphs in dicts, takes for the same value."""
    if by_object(value):
        return str(closure.token(value))  # a hash may be another object's once this one is gone
    try:
        return str(hash(value))
    except Exception:  # a value that has none, or the user's own code
        return str(hash(text))


def by_object(value: object) -> bool:
    """Whether equal-looking objects of a class are different ones to Python, and so to frameworks."""
    return type(value).__eq__ is object.__eq__


def root_of(name: str) -> str:
    """`batch` for `batch['x'].mean`."""
    cut = min((name.find(mark) for mark in "[." if mark in name), default=len(name))
    return sys.intern(name[:cut])


def parameters(function: Any) -> tuple[inspect.Parameter, ...]:
    """The parameters of a callable; none of those written in C that tell of none."""
    try:
        return tuple(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return ()


def positional(function: Any) -> list[str]:
    """The names of the parameters that can be given by position."""
    return [one.name for one in parameters(function) if one.kind <= one.POSITIONAL_OR_KEYWORD]
