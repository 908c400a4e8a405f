"""Replaces functions of TensorFlow's while somebody watches, and says so where a version lacks one.

Used by `tracing.py` and `recording.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from pytest_graphmode.errors import UnsupportedError

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]


def patched(*replacements: tuple[Any, str, Wrap]) -> Callable[[], None]:
    """Replace attributes, given as owner, name and a function of the original; returns what puts the originals back.

    Raises:
        UnsupportedError: this version of TensorFlow lacks one of the attributes; none is replaced then.
    """
    originals = [(owner, name, existing(owner, name)) for owner, name, _ in replacements]
    for (owner, name, original), (_, _, wrap) in zip(originals, replacements, strict=True):
        setattr(owner, name, wrap(original))

    def undo() -> None:
        for owner, name, original in originals:
            setattr(owner, name, original)

    return undo


def existing(owner: Any, name: str) -> Callable[..., Any]:
    """An attribute of TensorFlow's.

    Raises:
        UnsupportedError: this version of TensorFlow has no such attribute.
    """
    found: Callable[..., Any] | None = getattr(owner, name, None)
    if found is None:
        raise UnsupportedError(
            f"TensorFlow {tf.__version__} has no {owner.__name__}.{name}, by which graphs are counted: "
            "use TensorFlow 2.16 to 2.21, or a later pytest-graphmode"
        )
    return found
