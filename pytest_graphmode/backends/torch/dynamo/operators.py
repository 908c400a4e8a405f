"""What torch's operators take where, by their own schemas: whether a tensor can stand for a number there.

Called by `hints.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch


def taken(name: str, position: int, keyword: str | None) -> frozenset[str] | None:
    """The kinds that an operator takes as one argument: `Tensor`, `SymInt`, `int`, `float`; None for no operator.

    `position` counts what stands between the brackets, for calls like `torch.add(x, y)` and like `x.add(y)`.
    """
    packet = getattr(torch.ops.aten, name, None) if name.isidentifier() and not name.startswith("__") else None
    if packet is None or not hasattr(packet, "overloads"):
        return None
    found = frozenset(kind for one in packet.overloads() for kind in _kinds(getattr(packet, one), position, keyword))
    return found or None


def _kinds(overload: Any, position: int, keyword: str | None) -> Iterator[str]:
    for index, argument in enumerate(overload._schema.arguments):
        kind, listed = _kind(argument.real_type)
        if keyword:
            meant = argument.name == keyword
        elif index == 0 and argument.name in ("self", "input"):
            meant = False
        else:
            # Sizes may be given one by one: x.reshape(2, n).
            meant = index in (position, position + 1) or (listed and kind == "SymInt" and index <= position)
        if meant:
            yield kind


def _kind(found: Any) -> tuple[str, bool]:
    """The kind of an argument or of its elements, without `Type` at its end, and whether it is a list of them."""
    listed = False
    while found.kind() in ("OptionalType", "ListType"):
        listed = listed or found.kind() == "ListType"
        found = found.getElementType()
    return str(found.kind()).removesuffix("Type"), listed
