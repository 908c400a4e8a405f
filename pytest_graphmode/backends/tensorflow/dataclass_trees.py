"""Dataclasses as arguments and results of tf.function, which takes them apart only where they say how.

`install` runs when the backend is loaded; `known` stands between tf.function and what it traces.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from pytest_graphmode import identity, trees
from pytest_graphmode.backends.tensorflow.autograph import converted


def install() -> None:
    """From now on, dataclasses that the plugin meets in a tree are trees for TensorFlow too."""
    trees.announce_dataclasses(_describe)


def _describe(cls: type) -> None:
    """Give a class the methods by which tf.nest takes dataclasses apart, unless it has its own.

    TensorFlow documents them in `tensorflow/python/util/custom_nest_protocol.py`.
    """
    if hasattr(cls, "__tf_flatten__"):
        return
    names = tuple(field.name for field in dataclasses.fields(cls) if field.init)

    def flatten(self: Any) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        return names, tuple(getattr(self, name) for name in names)

    def unflatten(cls: Any, names: tuple[str, ...], values: tuple[Any, ...]) -> Any:
        return cls(**dict(zip(names, values, strict=True)))

    cls.__tf_flatten__ = flatten  # type: ignore[attr-defined]
    cls.__tf_unflatten__ = classmethod(unflatten)  # type: ignore[attr-defined]


def known(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn`, by AutoGraph, with the dataclasses in its results described to TensorFlow before it sees them."""

    @functools.wraps(fn, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        result = converted(fn)(*args, **kwargs)
        trees.leaves(result)
        return result

    return identity.subject(call, fn)
