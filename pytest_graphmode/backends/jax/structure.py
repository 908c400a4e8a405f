"""The arguments of a traced function leaf by leaf, and what else of them JAX looks graphs up by.

JAX compares pytrees by their classes and the static parts that they flatten to. Here these are told in the words of the
user's code: which field of which class. Called by `description.py`; nothing here keeps a value alive.
"""

from __future__ import annotations

import enum
import functools
import types
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Final

import jax
import jax.numpy as jnp

from pytest_graphmode.backends.jax.packing import Held, Record
from pytest_graphmode.ledger import identity
from pytest_graphmode.ledger.ledger import Argument, tensor_argument, value_argument

_CONTAINERS: Final = (list, tuple, dict, OrderedDict, defaultdict)
_DEEPEST: Final = 4
_LONGEST: Final = 60
_BY_OBJECT_ANYWAY: Final = (type(None), type, types.FunctionType, types.BuiltinFunctionType, enum.Enum)
_MOST_ATTRIBUTES: Final = 6


@dataclass(frozen=True)
class Static:
    """A value that is part of what a graph is looked up by: a static argument, or the static field of a class.

    `of` is the class whose field it is, "" for an argument; `by_object` says that its class compares by identity,
    `no_array` that equinox.filter_jit took it for static.
    """

    argument: Argument
    of: str = ""
    by_object: bool = False
    no_array: bool = False


@dataclass(frozen=True)
class StaticLeaf:
    """A leaf of a tree that is no array, for a function that takes such apart before it calls jax.jit."""

    value: Any


@dataclass
class Structure:
    """The arguments of one call: leaves and static values in order, the classes of trees and the form of the call."""

    arguments: list[Argument] = field(default_factory=list)
    statics: dict[str, Static] = field(default_factory=dict)
    classes: dict[str, str] = field(default_factory=dict)
    form: dict[str, str] = field(default_factory=dict)

    def add_static(self, name: str, value: Any, of: str = "", *, no_array: bool = False) -> None:
        argument = described(name, value)
        self.arguments.append(argument)
        self.statics[name] = Static(argument, of, compares_by_object(value), no_array)

    def add_default(self, name: str, value: Any, *, is_static: bool) -> None:
        """An argument that a call left out, whose default JAX never sees: part of the function, so to say."""
        if is_static:
            self.add_static(name, value)
        else:
            self.arguments.append(described(name, value))

    def add_tree(self, path: str, tree: Any) -> None:
        """A tree of arrays; JAX's own functions take it apart, which know the classes that its users register."""
        if tree is None:
            self.arguments.append(described(path, tree))
            return
        if isinstance(tree, StaticLeaf):
            self.add_static(path, tree.value, no_array=True)
            return
        children, (kind, static) = _level(tree)
        if kind is None:
            self.arguments.append(leaf(path, tree))
            return
        if isinstance(tree, Held):
            self.arguments.append(_variable(path, tree.variable))
            return
        self.classes[path] = _class_name(tree)
        if type(tree) not in _CONTAINERS and not isinstance(tree, (tuple, Record)):
            self._add_static_fields(path, tree, static, {name for name, _ in children})
        elif not children:
            self.arguments.append(described(path, tree))
        for name, child in children:
            self.add_tree(path + name, child)

    def _add_static_fields(self, path: str, tree: Any, static: Any, others: set[str]) -> None:
        parts = list(_parts(static, 0))
        named = [
            (name, value)
            for name, value in _attributes(tree)
            if f".{name}" not in others and any(_same(value, part) for part in parts)
        ]
        for name, value in named:
            self.add_static(f"{path}.{name}", value, type(tree).__name__)
        if not named and parts:
            self.add_static(f"{path} (its static part)", static, type(tree).__name__)


def _level(tree: Any) -> tuple[list[tuple[str, Any]], tuple[type | None, Any]]:
    """The children of a node by their names (`.x`, `['x']`, `[0]`), its class, None for a leaf, and its static part."""
    below = functools.partial(_is_below, tree)
    keyed, definition = jax.tree_util.tree_flatten_with_path(tree, is_leaf=below)
    data = definition.node_data()
    if data is None:
        return [], (None, None)
    own = dict(_attributes(tree)) if type(tree) not in _CONTAINERS else {}
    return [(_key(path, child, own), child) for path, child in keyed], data


def _is_below(tree: Any, node: Any) -> bool:
    return node is not tree


def _key(path: Sequence[Any], child: Any, attributes: Mapping[str, Any]) -> str:
    """The name of a child in the words of the code: the attribute, where a class told JAX of no names."""
    if path and not isinstance(path[-1], jax.tree_util.FlattenedIndexKey):
        return str(jax.tree_util.keystr(tuple(path)))
    name = next((name for name, value in attributes.items() if value is child), None)
    return f"[{getattr(path[-1], 'key', 0) if path else 0}]" if name is None else f".{name}"


def _class_name(tree: Any) -> str:
    cls = tree.cls if isinstance(tree, Record) else type(tree)
    return str(cls.__qualname__).rpartition("<locals>.")[2]


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


def _attributes(instance: Any) -> Iterator[tuple[str, Any]]:
    """The attributes of an object that are its own, read without running its code."""
    names = [one.name for one in fields(instance)] if is_dataclass(instance) else []
    own = getattr(instance, "__dict__", None)
    if isinstance(own, dict):
        names += [name for name in own if name not in names]
    for cls in type(instance).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        names += [name for name in ([slots] if isinstance(slots, str) else slots) if name not in names]
    missing = object()
    for name in names:
        value = _read(instance, name, missing)
        if value is not missing:
            yield name, value


def _read(instance: Any, name: str, missing: object) -> Any:
    try:
        return object.__getattribute__(instance, name)
    except AttributeError:
        return missing


def _same(value: Any, part: Any) -> bool:
    try:
        return value is part or (type(value) is type(part) and bool(value == part))
    except Exception:  # the user's own comparison, or that of arrays
        return False


# Texts.


def leaf(name: str, value: Any) -> Argument:
    """A leaf: an array, a number, or the abstract value of one."""
    try:
        dtype = str(value.dtype) if isinstance(value, jax.core.AbstractValue) else str(jnp.result_type(value))
        shape = jnp.shape(value) if not hasattr(value, "shape") else tuple(value.shape)
    except Exception:  # not an array, or an object of the user's that raises
        return described(name, value)
    weak = isinstance(value, (bool, int, float, complex)) or getattr(value, "weak_type", False)
    found = tensor_argument(name, f"weak {dtype}" if weak and dtype != "bool" else dtype, shape)
    kind = "key" if dtype.startswith("key<") else ""
    return replace(found, layout=_sharding(value), type_name=kind)


def _sharding(value: Any) -> str | None:
    """The part of an array's type that says how it lies on a mesh; None where it was never put on one."""
    sharding: Any = getattr(getattr(value, "aval", value), "sharding", None)
    mesh = getattr(sharding, "mesh", None)
    if mesh is None or getattr(mesh, "empty", True):
        return None
    axes = ", ".join(f"{name}: {kind.name}" for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=False))
    return f"{tuple(sharding.spec)} on a mesh ({axes})"


def _variable(name: str, variable: Any) -> Argument:
    found = tensor_argument(name, f"variable {variable.dtype}", variable.shape)
    return replace(found, note=str(identity.token(variable)))


def described(name: str, value: Any) -> Argument:
    """A Python value; an object without a `repr` of its own by its class and attributes."""
    argument = value_argument(name, value)
    if _is_jitted(value):
        inner = value.__wrapped__
        return replace(argument, text=_cut(_shown(inner, 0)), type_name="function", note=str(identity.token(value)))
    if compares_by_object(value):
        argument = replace(argument, note=str(identity.token(value)))
    text = _text(value, 0)
    if text is not None:
        return replace(argument, text=_cut(text))
    return argument


def _is_jitted(value: Any) -> bool:
    """Whether a value is a function under jax.jit, which has no more to say than the function."""
    return type(value).__module__.partition(".")[0] == "jaxlib" and isinstance(
        getattr(value, "__wrapped__", None), types.FunctionType
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _text(value: Any, depth: int) -> str | None:
    """`Config(n=2)` for an object whose own `repr` has but its address; None where `repr` says enough."""
    if isinstance(value, (types.FunctionType, types.BuiltinFunctionType)):
        return f"the function {value.__qualname__.rpartition('<locals>.')[2]}"
    if isinstance(value, types.MethodType):
        return f"the method {value.__func__.__qualname__.rpartition('<locals>.')[2]}"
    if isinstance(value, functools.partial):
        return f"a partial of {_shown(value.func, depth)}"
    own: Callable[..., str] = type(value).__repr__
    if isinstance(value, type) or own is not object.__repr__:
        return _text_of_container(value, depth)
    name = type(value).__qualname__.rpartition("<locals>.")[2]
    if depth >= 2:
        return name
    known = list(_attributes(value))[:_MOST_ATTRIBUTES]
    return f"{name}({', '.join(f'{attribute}={_shown(part, depth + 1)}' for attribute, part in known)})"


def _text_of_container(value: Any, depth: int) -> str | None:
    if type(value) not in (list, tuple, dict) or depth >= _DEEPEST:
        return None
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_shown(key, depth)}: {_shown(part, depth + 1)}' for key, part in value.items())}}}"
    parts = ", ".join(_shown(part, depth + 1) for part in value)
    if isinstance(value, list):
        return f"[{parts}]"
    return f"({parts},)" if len(value) == 1 else f"({parts})"


def _shown(value: Any, depth: int) -> str:
    if isinstance(value, jax.Array):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, jax.tree_util.PyTreeDef):
        return f"a tree of {value.num_leaves}"
    text = _text(value, depth)
    if text is not None:
        return text
    try:
        return " ".join(repr(value).split())
    except Exception:  # the user's own code, met in the middle of a trace that must go on
        return type(value).__name__


def compares_by_object(value: Any) -> bool:
    """Whether equal-looking objects of a class are different ones to Python, and so to JAX."""
    plain: Callable[..., Any] = object.__eq__
    return type(value).__eq__ is plain and not isinstance(value, _BY_OBJECT_ANYWAY) and not _is_jitted(value)
