"""The one place that walks trees: dicts, lists, tuples, namedtuples, dataclasses and what optree knows.

None is a leaf. Called by the handle and by everything that compares, describes or converts arguments.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optree

__tracebackhide__ = True  # in failures, the user's frames are of interest

NAMESPACE = "pytest_graphmode"
_registered: set[type] = set()
_listeners: list[Callable[[type], None]] = []


def flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], Any]:
    """The leaves of a tree, and what `unflatten` needs to rebuild it."""
    predicate = _is_leaf if is_leaf is None else lambda value: _is_leaf(value) or is_leaf(value)
    leaves, spec = optree.tree_flatten(tree, is_leaf=predicate, none_is_leaf=True, namespace=NAMESPACE)
    return leaves, spec


def unflatten(spec: Any, leaves: list[Any]) -> Any:
    return optree.tree_unflatten(spec, leaves)


def leaves(tree: Any) -> list[Any]:
    return flatten(tree)[0]


def map(function: Callable[..., Any], tree: Any, *others: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """`function` at every leaf, of trees of the same structure; `is_leaf` makes leaves of more than plain leaves.

    Raises:
        ValueError: the trees have different structures.
    """
    if not others:
        found, spec = flatten(tree, is_leaf)
        return unflatten(spec, [function(leaf) for leaf in found])
    for other in others:
        flatten(other)  # registers the dataclasses it holds
    return optree.tree_map(function, tree, *others, is_leaf=_is_leaf, none_is_leaf=True, namespace=NAMESPACE)


def paths(tree: Any, root: str = "") -> list[tuple[str, Any]]:
    """Every leaf with its path as Python spells it: `batch['x'][0].mean`."""
    accessors, found, _ = optree.tree_flatten_with_accessor(
        tree, is_leaf=_is_leaf, none_is_leaf=True, namespace=NAMESPACE
    )
    return [(accessor.codify(root), leaf) for accessor, leaf in zip(accessors, found, strict=True)]


def structure(tree: Any) -> str:
    """The shape of a tree in words for messages, leaves as `*`."""
    return str(flatten(tree)[1]).removeprefix("PyTreeSpec(").partition(", NoneIsLeaf")[0]


def announce_dataclasses(to: Callable[[type], None]) -> None:
    """Call `to` with every dataclass that a tree holds, those met before too: frameworks walk trees of their own."""
    if to not in _listeners:
        _listeners.append(to)
    for cls in _registered:
        to(cls)


def _is_leaf(value: Any) -> bool:
    cls = type(value)
    if cls is np.ndarray:
        return False  # Dynamo breaks the graph where a class of NumPy's is asked for an attribute
    if cls not in _registered and dataclasses.is_dataclass(cls):
        _register(cls)
    return False


def _register(cls: type) -> None:
    """Make a dataclass a node of optree's in the plugin's own namespace; fields with `init=False` are left alone."""
    if cls in _registered:
        return  # a compiler that runs this for real does not know about the first time
    names = _fields(cls)

    def flatten_dataclass(value: Any) -> tuple[list[Any], None, tuple[str, ...]]:
        return [getattr(value, name) for name in names], None, names

    def unflatten_dataclass(_: Any, children: Any) -> Any:
        return cls(**dict(zip(names, children, strict=True)))

    optree.register_pytree_node(
        cls, flatten_dataclass, unflatten_dataclass, path_entry_type=optree.GetAttrEntry, namespace=NAMESPACE
    )
    _registered.add(cls)
    for listener in _listeners:
        listener(cls)


def _fields(cls: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls) if field.init)


class Carrier:
    """The fields of a dataclass on their way through a framework that takes no class apart which doesn't say how.

    The user's class is left as it is. `packed` and `unpacked` do to the fields what is done to the dataclass.
    """

    def __init__(self, cls: type, names: tuple[str, ...], values: Sequence[Any]) -> None:
        self.cls = cls
        self.names = names
        self.values = values

    @classmethod
    def of(cls, value: Any, packed: Callable[[Any], Any]) -> Carrier:
        names = _fields(value)
        return cls(type(value), names, tuple([packed(getattr(value, name)) for name in names]))

    def value(self, unpacked: Callable[[Any], Any]) -> Any:
        return self.cls(**dict(zip(self.names, map(unpacked, self.values), strict=True)))

    # By these two TensorFlow takes a value apart (tensorflow/python/util/custom_nest_protocol.py).

    def __tf_flatten__(self) -> tuple[tuple[type, tuple[str, ...]], tuple[Any, ...]]:
        return (self.cls, self.names), tuple(self.values)

    @classmethod
    def __tf_unflatten__(cls, metadata: tuple[type, tuple[str, ...]], values: tuple[Any, ...]) -> Carrier:
        return cls(*metadata, values)
