"""Replaces functions of a framework while somebody watches, and says so where a version lacks one.

Used by the event sources of backends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_graphmode.errors import UnsupportedError

Function = Callable[..., Any]


def patched(supported: str, *replacements: tuple[Any, str, Callable[[Function], Function]]) -> Callable[[], None]:
    """Replace attributes, given as owner, name and a function of the original; returns what puts the originals back.

    An attribute that somebody else has replaced in the meantime is left to them.

    Raises:
        UnsupportedError: an attribute is not there, and none is replaced; `supported` reads `torch 2.4 to 2.13`.
    """
    originals = [_existing(owner, name, supported) for owner, name, _ in replacements]
    made = [wrap(original) for original, (_, _, wrap) in zip(originals, replacements, strict=True)]
    for (owner, name, _), replacement in zip(replacements, made, strict=True):
        setattr(owner, name, replacement)

    def undo() -> None:
        for (owner, name, _), original, replacement in zip(replacements, originals, made, strict=True):
            if getattr(owner, name) is replacement:
                setattr(owner, name, original)

    return undo


def _existing(owner: Any, name: str, supported: str) -> Function:
    found: Function | None = getattr(owner, name, None)
    if found is None:
        raise UnsupportedError(
            f"this version has no {owner.__name__}.{name}, by which graphs are counted: use {supported}, or a later "
            "pytest-graphmode"
        )
    return found
