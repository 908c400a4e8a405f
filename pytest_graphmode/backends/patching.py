"""What is otherwise for a while: functions of a framework while somebody watches, attributes and lists in a block.

Used by the event sources of backends, which say so where a version lacks a function, and by the checks.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from pytest_graphmode.errors import UnsupportedError

T = TypeVar("T")
Function = Callable[..., Any]
Wrap = Callable[[Function], Function]
Replacement = tuple[Any, str, Wrap] | tuple[Any, str, Wrap, tuple[str, ...]]


def patched(supported: str, *replacements: Replacement) -> Callable[[], None]:
    """Replace attributes, given as owner, name and a function of the original; returns what puts the originals back.

    A fourth entry has the names of the parameters that the attribute must take first. An attribute that somebody else
    has replaced in the meantime is left to them.

    Raises:
        UnsupportedError: an attribute is not there or takes something else, and none is replaced; `supported` reads
            `torch 2.4 to 2.13`.
    """
    originals = [existing(supported, owner, name, *more) for owner, name, _, *more in replacements]
    made = [
        functools.wraps(original)(wrap(original))
        for original, (_, _, wrap, *_) in zip(originals, replacements, strict=True)
    ]
    for (owner, name, *_), replacement in zip(replacements, made, strict=True):
        setattr(owner, name, replacement)

    def undo() -> None:
        for (owner, name, *_), original, replacement in zip(replacements, originals, made, strict=True):
            if getattr(owner, name) is replacement:
                setattr(owner, name, original)

    return undo


def existing(supported: str, owner: Any, name: str, parameters: tuple[str, ...] = ()) -> Function:
    """An attribute of a framework that takes parameters of these names first; `UnsupportedError` if it is not so."""
    found: Function | None = getattr(owner, name, None)
    where, instead = f"{owner.__name__}.{name}", f"use {supported}, or a later pytest-graphmode"
    if found is None:
        raise UnsupportedError(f"this version has no {where}, by which graphs are counted: {instead}")
    taken = tuple(inspect.signature(found).parameters) if parameters else ()
    if taken[: len(parameters)] != parameters:
        raise UnsupportedError(
            f"{where} of this version, by which graphs are counted, takes {', '.join(taken)} where "
            f"{', '.join(parameters)} are known: {instead}"
        )
    return found


@contextmanager
def changed(owner: object, **values: object) -> Iterator[None]:
    """In the block attributes of an object have these values, and afterwards those that they had."""
    kept = {name: getattr(owner, name) for name in values}
    for name, value in values.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(owner, name, value)


@contextmanager
def pushed(entries: list[T], entry: T) -> Iterator[T]:
    """In the block an entry, which it gives, is the last of a list."""
    entries.append(entry)
    try:
        yield entry
    finally:
        entries.pop()
