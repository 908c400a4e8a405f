"""Describes the arguments of a tf.function by the types that TensorFlow looks its traces up by.

Called by `tracing.py` for every trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import tensorflow as tf

from pytest_graphmode.backends.tensorflow.dataclass_trees import Carrier
from pytest_graphmode.backends.tensorflow.internals import CustomNestTraceType, VariableSpec, default_types
from pytest_graphmode.backends.tensorflow.objects import Memory, gone
from pytest_graphmode.ledger.ledger import Argument, Cause, tensor_argument, value_argument


def arguments(
    parameters: Mapping[str, Any], names: Mapping[str, str], memory: Memory, causes: list[Cause]
) -> tuple[Argument, ...]:
    """The leaves of every parameter of a `FunctionType`, named by their paths: `batch['x'][0]`.

    `names` has other names for some of the parameters. What TensorFlow looks up by object is described by `memory`,
    which adds to `causes` why it is none of those it knows.
    """
    variables: dict[object, str] = {}
    found = []
    for name, parameter in parameters.items():
        for path, leaf in _leaves(names.get(name, name), parameter.type_constraint):
            if isinstance(leaf, default_types.Weakref):
                value = leaf._ref()
                found.append(gone(path) if value is None else memory.argument(path, value, causes))
            else:
                found.append(_described(path, leaf, variables))
    return tuple(found)


def _leaves(path: str, kind: Any) -> Iterator[tuple[str, Any]]:
    """The leaf types of a trace type, a type specification or a structure of them; an empty container is a leaf."""
    parts = next((parts(kind) for cls, parts in _CONTAINERS.items() if isinstance(kind, cls)), ())
    children = list(parts)
    if not children:
        yield path, kind
    for suffix, child in children:
        yield from _leaves(path + suffix, child)


_Parts = Iterable[tuple[str, Any]]


def _indexed(children: Iterable[Any]) -> _Parts:
    return ((f"[{index}]", child) for index, child in enumerate(children))


def _keyed(children: Mapping[Any, Any]) -> _Parts:
    return ((f"[{key!r}]", child) for key, child in children.items())


def _attributes(names: Iterable[str], children: Iterable[Any]) -> _Parts:
    return ((f".{name}", child) for name, child in zip(names, children, strict=False))


def _named(kind: Any) -> _Parts:
    return _attributes(kind.attribute_names, kind.attributes.components)


def _taken_apart(kind: Any) -> _Parts:
    """A dataclass in one of `dataclass_trees.py`'s carriers by its fields, other classes by position."""
    if issubclass(kind.value_type, Carrier):
        return _attributes(kind.metadata[1], kind.components)
    return _indexed(kind.components)


def _element(kind: Any) -> _Parts:
    """What a dataset or an iterator yields."""
    return [(".element", kind._element_spec)]


def _fields(kind: Any) -> _Parts:
    fields = {name: value for name, value in vars(kind).items() if not name.startswith("_")}
    return _attributes(fields, fields.values())


_CONTAINERS: Final[Mapping[Any, Callable[[Any], _Parts]]] = {
    default_types.Tuple: lambda kind: _indexed(kind.components),
    default_types.List: lambda kind: _indexed(kind.components_tuple.components),
    default_types.Dict: lambda kind: _keyed(kind.mapping),
    default_types.NamedTuple: _named,
    default_types.Attrs: lambda kind: _named(kind.named_attributes),
    CustomNestTraceType: _taken_apart,
    tf.data.DatasetSpec: _element,
    tf.data.IteratorSpec: _element,
    tf.experimental.ExtensionTypeSpec: _fields,
    tuple: _indexed,
    list: _indexed,
    dict: _keyed,
}
_EMPTY: Final[Mapping[Any, Any]] = {default_types.Tuple: (), default_types.List: [], default_types.Dict: {}}


def _described(path: str, kind: Any, variables: dict[object, str]) -> Argument:
    """A leaf as text; `variables` has the first path of each variable, so that the same one passed twice shows."""
    if isinstance(kind, VariableSpec):
        first = variables.setdefault(kind.alias_id, path)
        return _tensor(path, kind, "Variable", "" if first == path else f"the variable of {first}")
    if isinstance(kind, tf.TypeSpec) and hasattr(kind, "shape") and hasattr(kind, "dtype"):
        return _tensor(path, kind, "" if isinstance(kind, tf.TensorSpec) else kind.value_type.__name__)
    if isinstance(kind, default_types.Literal):
        return value_argument(path, kind.value)
    return value_argument(path, _EMPTY.get(type(kind), kind))


def _tensor(path: str, spec: Any, cls: str, note: str = "") -> Argument:
    shape = None if spec.shape.rank is None else spec.shape.as_list()
    found = tensor_argument(path, spec.dtype.name, shape)
    text = f"{cls} {found.text} ({note})" if note else f"{cls} {found.text}".lstrip()
    return replace(found, text=text, type_name=cls, note=note)
