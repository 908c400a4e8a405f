"""Dataclasses as arguments and results of tf.function, which takes no class apart that doesn't say how, and taps.

Classes of the user are left as they are: `carrying` puts instances into carriers of the plugin's own on the way in, and
`uncarrying` takes them out again in the function that is traced; results go the other way. Called by the graph mode.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from pytest_graphmode.backends import tapping, trees
from pytest_graphmode.backends.calls import converting
from pytest_graphmode.backends.tensorflow.autograph import converted, shortened
from pytest_graphmode.ledger import identity

__tracebackhide__ = True

_Metadata = tuple[type, tuple[str, ...]]


class Carrier:
    """The fields of a dataclass, with the methods by which tf.nest takes a value apart.

    TensorFlow documents them in `tensorflow/python/util/custom_nest_protocol.py`.
    """

    __slots__ = ("_metadata", "_values")

    def __init__(self, metadata: _Metadata, values: tuple[Any, ...]) -> None:
        self._metadata = metadata
        self._values = values

    @classmethod
    def of(cls, value: Any) -> Carrier:
        names = tuple(field.name for field in dataclasses.fields(value) if field.init)
        return cls((type(value), names), tuple(_packed(getattr(value, name)) for name in names))

    def value(self) -> Any:
        cls, names = self._metadata
        return cls(**dict(zip(names, map(_unpacked, self._values), strict=True)))

    def __tf_flatten__(self) -> tuple[_Metadata, tuple[Any, ...]]:
        return self._metadata, self._values

    @classmethod
    def __tf_unflatten__(cls, metadata: _Metadata, values: tuple[Any, ...]) -> Carrier:
        return cls(metadata, tuple(values))


def _packed(tree: Any) -> Any:
    """A tree with its dataclasses that TensorFlow would not take apart in carriers."""
    return _replaced(tree, _is_foreign, Carrier.of)


def _unpacked(tree: Any) -> Any:
    """A tree with its dataclasses taken out of their carriers again."""
    return _replaced(tree, lambda leaf: isinstance(leaf, Carrier), Carrier.value)


def _is_foreign(value: Any) -> bool:
    return dataclasses.is_dataclass(type(value)) and not hasattr(type(value), "__tf_flatten__")


def _replaced(tree: Any, wanted: Callable[[Any], bool], replace: Callable[[Any], Any]) -> Any:
    """The tree itself where it has nothing to replace."""
    leaves, spec = trees.flatten(tree, is_leaf=wanted)
    if not any(map(wanted, leaves)):
        return tree
    return trees.unflatten(spec, [replace(leaf) if wanted(leaf) else leaf for leaf in leaves])


def uncarrying(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn`, by AutoGraph, as it is traced: it gets dataclasses out of carriers and returns them in carriers."""

    @functools.wraps(fn, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = _unpacked((args, kwargs))
        with tapping.collecting(tf.compat.v1.get_default_graph()) as frame:
            return frame.carried(_packed(converted(fn)(*args, **kwargs)))

    return identity.subject(call, fn)


def carrying(made: Callable[..., Any], untappable: Callable[[], str | None]) -> Callable[..., Any]:
    """A tf.function of what `uncarrying` returns, called with dataclasses and returning them; taps are handed on."""
    run = converting(made, _packed)

    @functools.wraps(made, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            result = run(*args, **kwargs)
        except Exception as error:
            raise shortened(error)  # noqa: B904 - the same error
        return result if isinstance(result, tf.Tensor) else _unpacked(tapping.received(result, untappable))

    return call
