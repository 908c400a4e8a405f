"""The arguments of a traced function leaf by leaf, and what else of them JAX looks graphs up by.

JAX compares pytrees by their classes and the static parts that they flatten to. Here these are told in the words of the
user's code: which field of which class. Called by `tracing.py`; nothing here keeps a value alive.
"""

from __future__ import annotations

import enum
import functools
import inspect
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp

from pytest_graphmode.backends.jax.packing import Held
from pytest_graphmode.backends.jax.variables import VARIABLES
from pytest_graphmode.backends.jax.wrappers import Call, StaticLeaf
from pytest_graphmode.backends.trees import Carrier
from pytest_graphmode.ledger import describe, identity
from pytest_graphmode.ledger.arguments import (
    Argument,
    by_object,
    parameters,
    positional,
    tensor_argument,
    value_argument,
)

_CONTAINERS: Final = (list, tuple, dict, OrderedDict, defaultdict)
_DEEPEST: Final = 4
_BY_OBJECT_ANYWAY: Final = (type(None), type, enum.Enum)


class Static(NamedTuple):
    """A value that is part of what a graph is looked up by: a static argument, or the static field of a class.

    `of` is the class whose field it is, "" for an argument; `by_object` says that its class compares by identity,
    `no_array` that equinox.filter_jit took it for static.
    """

    argument: Argument
    of: str = ""
    by_object: bool = False
    no_array: bool = False


@dataclass
class Structure:
    """The arguments of one call: leaves and static values in order, the classes of trees and the form of the call."""

    arguments: list[Argument] = field(default_factory=list)
    statics: dict[str, Static] = field(default_factory=dict)
    classes: dict[str, str] = field(default_factory=dict)
    form: dict[str, str] = field(default_factory=dict)

    def add_static(self, name: str, value: Any, of: str = "", *, no_array: bool = False) -> None:
        argument = value_argument(name, value)
        anyway = describe.is_function(value) or isinstance(value, _BY_OBJECT_ANYWAY)
        self.arguments.append(argument)
        self.statics[name] = Static(argument, of, by_object(value) and not anyway, no_array)

    def add_tree(self, path: str, tree: Any) -> None:
        """A tree of arrays; JAX's own functions take it apart, which know the classes that its users register."""
        children, (kind, static) = _level(tree)
        if tree is None:
            self.arguments.append(value_argument(path, tree))
        elif isinstance(tree, StaticLeaf):
            self.add_static(path, tree.value, no_array=True)
        elif isinstance(tree, Held):
            variable, note = tree.variable, str(identity.token(tree.variable))
            self.arguments.append(tensor_argument(path, f"variable {variable.dtype}", variable.shape, note=note))
        elif kind is None:
            self.arguments.append(_leaf(path, tree))
        else:
            self._add_node(path, tree, static, children)

    def _add_node(self, path: str, tree: Any, static: Any, children: list[tuple[str, Any]]) -> None:
        self.classes[path] = describe.class_name(tree.cls if isinstance(tree, Carrier) else type(tree))
        if type(tree) not in _CONTAINERS and not isinstance(tree, (tuple, Carrier)):
            self._add_static_fields(path, tree, static, {name for name, _ in children})
        elif not children:
            self.arguments.append(value_argument(path, tree))
        for name, child in children:
            self.add_tree(path + name, child)

    def _add_static_fields(self, path: str, tree: Any, static: Any, others: set[str]) -> None:
        parts = list(_parts(static, 0))
        named = [
            (name, value)
            for name, value in describe.attributes(tree).items()
            if f".{name}" not in others and any(_same(value, part) for part in parts)
        ]
        for name, value in named:
            self.add_static(f"{path}.{name}", value, type(tree).__name__)
        if not named and parts:
            self.add_static(f"{path} (its static part)", static, type(tree).__name__)


def structure_of(call: Call, static: Callable[[int, str], bool]) -> Structure:
    """The arguments of a call by their names; `static` says of a parameter's number and name whether it is static."""
    found = Structure()
    names, known = positional(call.function), parameters(call.function)
    rest = next((one.name for one in known if one.kind is one.VAR_POSITIONAL), "args")
    named = (names[place] if place < len(names) else f"{rest}[{place - len(names)}]" for place in range(len(call.args)))
    passed = [(place, name, value) for place, (name, value) in enumerate(zip(named, call.args, strict=True))]
    passed += [(-1, name, value) for name, value in call.kwargs.items() if name != VARIABLES]
    for place, name, value in passed:
        if name in names:
            found.form[name] = "by keyword" if place < 0 else "by position"
        (found.add_static if static(place, name) else found.add_tree)(name, value)
    inner = inspect.unwrap(call.function)
    held = inner.keywords if isinstance(inner, functools.partial) else ()  # part of the function
    for one in known:
        if one.default is not one.empty and one.name not in {VARIABLES, *held, *(name for _, name, _ in passed)}:
            found.form[one.name] = "left out"
            if static(names.index(one.name) if one.name in names else -1, one.name):
                found.add_static(one.name, one.default)
            else:  # JAX never sees it: it is part of the function, so to say
                found.arguments.append(value_argument(one.name, one.default))
    return found


def _level(tree: Any) -> tuple[list[tuple[str, Any]], tuple[type | None, Any]]:
    """The children of a node by their names (`.x`, `['x']`, `[0]`), its class, None for a leaf, and its static part."""
    keyed, definition = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda node: node is not tree)
    data = definition.node_data()
    if data is None:
        return [], (None, None)
    own = describe.attributes(tree) if type(tree) not in _CONTAINERS else {}
    return [(_key(path, child, own), child) for path, child in keyed], data


def _key(path: Sequence[Any], child: Any, attributes: Mapping[str, Any]) -> str:
    """The name of a child in the words of the code: the attribute, where a class told JAX of no names."""
    if path and not isinstance(path[-1], jax.tree_util.FlattenedIndexKey):
        return str(jax.tree_util.keystr(tuple(path)))
    name = next((name for name, value in attributes.items() if value is child), None)
    return f"[{getattr(path[-1], 'key', 0) if path else 0}]" if name is None else f".{name}"


def _parts(static: Any, depth: int) -> Iterator[Any]:
    """What the static part of a node is made of."""
    if isinstance(static, dict):
        static = [part for item in static.items() for part in item]
    if isinstance(static, (list, tuple)) and depth < _DEEPEST:
        for part in static:
            yield from _parts(part, depth + 1)
    elif static is not None:
        yield static
    if depth and isinstance(static, (list, tuple)):
        yield static


def _same(value: Any, part: Any) -> bool:
    try:
        return value is part or (type(value) is type(part) and bool(value == part))
    except Exception:  # the user's own comparison, or that of arrays
        return False


def _leaf(name: str, value: Any) -> Argument:
    """A leaf: an array, a number, or the abstract value of one."""
    try:
        dtype = str(value.dtype) if isinstance(value, jax.core.AbstractValue) else str(jnp.result_type(value))
        shape = tuple(value.shape) if hasattr(value, "shape") else jnp.shape(value)
    except Exception:  # not an array, or an object of the user's that raises
        return value_argument(name, value)
    weak = isinstance(value, (bool, int, float, complex)) or getattr(value, "weak_type", False)
    text = f"weak {dtype}" if weak and dtype != "bool" else dtype
    type_name = "key" if dtype.startswith("key<") else ""
    return tensor_argument(name, text, shape, layout=_sharding(value), type_name=type_name)


def _sharding(value: Any) -> str | None:
    """The part of an array's type that says how it lies on a mesh; None where it was never put on one."""
    sharding: Any = getattr(getattr(value, "aval", value), "sharding", None)
    mesh = getattr(sharding, "mesh", None)
    if mesh is None or getattr(mesh, "empty", True):
        return None
    axes = ", ".join(f"{name}: {kind.name}" for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=False))
    return f"{tuple(sharding.spec)} on a mesh ({axes})"
