"""Dataclasses as arguments and results of tf.function, which takes no class apart that doesn't say how.

Classes of the user are left as they are: `carrying` puts instances into carriers of the plugin's own on the way in, and
`carried` takes them out again in the function that is traced; results go the other way. Called by the graph mode.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from pytest_graphmode.backends import trees
from pytest_graphmode.backends.tensorflow.autograph import converted
from pytest_graphmode.backends.tensorflow.tracebacks import shortened
from pytest_graphmode.ledger import identity

__tracebackhide__ = True

_CONTAINERS: Final = (dict, list, tuple)
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
        return cls((type(value), names), tuple(packed(getattr(value, name)) for name in names))

    def value(self) -> Any:
        cls, names = self._metadata
        return cls(**dict(zip(names, map(unpacked, self._values), strict=True)))

    def __tf_flatten__(self) -> tuple[_Metadata, tuple[Any, ...]]:
        return self._metadata, self._values

    @classmethod
    def __tf_unflatten__(cls, metadata: _Metadata, values: tuple[Any, ...]) -> Carrier:
        return cls(metadata, tuple(values))


def packed(tree: Any) -> Any:
    """A tree with its dataclasses in carriers; the tree itself where it has none."""
    leaves, spec = trees.flatten(tree, is_leaf=_is_packed)
    if not any(map(_is_packed, leaves)):
        return tree
    return trees.unflatten(spec, [Carrier.of(leaf) if _is_packed(leaf) else leaf for leaf in leaves])


def unpacked(tree: Any) -> Any:
    """A tree with its dataclasses taken out of their carriers again."""
    leaves, spec = trees.flatten(tree, is_leaf=_is_packed)
    if not any(isinstance(leaf, Carrier) for leaf in leaves):
        return tree
    return trees.unflatten(spec, [leaf.value() if isinstance(leaf, Carrier) else leaf for leaf in leaves])


def _is_packed(value: Any) -> bool:
    """Whether a value is of a dataclass that TensorFlow would not take apart."""
    return dataclasses.is_dataclass(type(value)) and not hasattr(type(value), "__tf_flatten__")


def carried(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn`, by AutoGraph, as it is traced: it gets dataclasses out of carriers and returns them in carriers."""

    @functools.wraps(fn, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = unpacked((args, kwargs))
        return packed(converted(fn)(*args, **kwargs))

    return identity.subject(call, fn)


def carrying(made: Callable[..., Any]) -> Callable[..., Any]:
    """A tf.function of what `carried` returns, called with dataclasses and returning them.

    It stands in the path of every call: a type found to be no tree is not looked at again.
    """
    plain: set[type] = {bool, int, float, complex, str, type(None), np.ndarray}

    def put(value: Any, convert: Callable[[Any], Any]) -> Any:
        if type(value) in plain:
            return value
        found = convert(value)
        if found is value and not isinstance(value, (*_CONTAINERS, Carrier)):
            plain.add(type(value))
        return found

    @functools.wraps(made, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        args = tuple([put(arg, packed) for arg in args])
        if kwargs:
            kwargs = {name: put(value, packed) for name, value in kwargs.items()}
        try:
            result = made(*args, **kwargs)
        except Exception as error:
            raise shortened(error)  # noqa: B904 - the same error
        return put(result, unpacked)

    return call
