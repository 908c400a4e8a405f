"""Replaces functions of TensorFlow's while somebody watches, and says so where a version lacks one.

Used by `tracing.py` and `recording.py`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Final

import tensorflow as tf

from pytest_graphmode.errors import UnsupportedError

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]
Replacement = tuple[Any, str, Wrap, tuple[str, ...]]


def patched(*replacements: Replacement) -> Callable[[], None]:
    """Replace attributes, given as owner, name, a function of the original and the names of its first parameters.

    Returns what puts the originals back.

    Raises:
        UnsupportedError: this version of TensorFlow lacks one of the attributes, or calls it with something else; none
            is replaced then.
    """
    originals = [(owner, name, existing(owner, name, parameters)) for owner, name, _, parameters in replacements]
    for (owner, name, original), (_, _, wrap, _) in zip(originals, replacements, strict=True):
        setattr(owner, name, functools.wraps(original)(wrap(original)))

    def undo() -> None:
        for owner, name, original in originals:
            setattr(owner, name, original)

    return undo


def existing(owner: Any, name: str, parameters: tuple[str, ...] = ()) -> Callable[..., Any]:
    """An attribute of TensorFlow's that takes parameters of these names first.

    Raises:
        UnsupportedError: this version of TensorFlow has no such attribute.
    """
    found: Callable[..., Any] | None = getattr(owner, name, None)
    if found is None:
        raise UnsupportedError(f"TensorFlow {tf.__version__} has no {owner.__name__}.{name}, {_OTHERWISE}")
    taken = tuple(inspect.signature(found).parameters) if parameters else ()
    if taken[: len(parameters)] != parameters:
        raise UnsupportedError(
            f"{owner.__name__}.{name} of TensorFlow {tf.__version__}, {_MEANT}, takes {', '.join(taken)} where "
            f"{', '.join(parameters)} are known: {_INSTEAD}"
        )
    return found


_MEANT: Final = "by which graphs are counted"
_INSTEAD: Final = "use TensorFlow 2.16 to 2.21, or a later pytest-graphmode"
_OTHERWISE: Final = f"{_MEANT}: {_INSTEAD}"
