"""Describes the arguments of a tf.function by the types that TensorFlow looks its traces up by.

Called by `tracing.py` for every trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import tensorflow as tf

from pytest_graphmode.backends.tensorflow.dataclass_trees import Carrier
from pytest_graphmode.backends.tensorflow.internals import CustomNestTraceType, VariableSpec, trace_types
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
    return tuple(
        _by_object(path, leaf, memory, causes)
        if isinstance(leaf, trace_types.Weakref)
        else _described(path, leaf, variables)
        for name, parameter in parameters.items()
        for path, leaf in _leaves(names.get(name, name), parameter.type_constraint)
    )


def _by_object(path: str, kind: Any, memory: Memory, causes: list[Cause]) -> Argument:
    value = kind._ref()
    return gone(path) if value is None else memory.argument(path, value, causes)


def _leaves(path: str, kind: Any) -> Iterator[tuple[str, Any]]:
    """The leaf types of a trace type, a type specification or a structure of them; an empty container is a leaf."""
    children = list(_children(path, kind))
    if not children:
        yield path, kind
    for name, child in children:
        yield from _leaves(name, child)


def _children(path: str, kind: Any) -> Iterable[tuple[str, Any]]:
    found = (children for cls, children in _CONTAINERS.items() if isinstance(kind, cls))
    children = next(found, None)
    return () if children is None else children(path, kind)


def _indexed(path: str, children: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    return ((f"{path}[{index}]", child) for index, child in enumerate(children))


def _keyed(path: str, children: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    return ((f"{path}[{key!r}]", child) for key, child in children.items())


def _attributes(path: str, names: Iterable[str], children: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    return ((f"{path}.{name}", child) for name, child in zip(names, children, strict=False))


def _named(path: str, kind: Any) -> Iterator[tuple[str, Any]]:
    return _attributes(path, kind.attribute_names, kind.attributes.components)


def _taken_apart(path: str, kind: Any) -> Iterator[tuple[str, Any]]:
    """A dataclass in one of `dataclass_trees.py`'s carriers, by its fields; other classes name theirs if they wish."""
    names = kind.metadata[1] if issubclass(kind.value_type, Carrier) else kind.metadata
    if isinstance(names, tuple) and len(names) == len(kind.components) and all(isinstance(one, str) for one in names):
        return _attributes(path, names, kind.components)
    return _indexed(path, kind.components)


def _elements(path: str, kind: Any) -> Iterator[tuple[str, Any]]:
    """What a dataset or an iterator yields."""
    return iter([(f"{path}.element", kind._element_spec)])


def _fields(path: str, kind: Any) -> Iterator[tuple[str, Any]]:
    fields = {name: value for name, value in vars(kind).items() if not name.startswith("_")}
    return _attributes(path, fields, fields.values())


_CONTAINERS: Final[Mapping[Any, Callable[[str, Any], Iterable[tuple[str, Any]]]]] = {
    trace_types.Tuple: lambda path, kind: _indexed(path, kind.components),
    trace_types.List: lambda path, kind: _indexed(path, kind.components_tuple.components),
    trace_types.Dict: lambda path, kind: _keyed(path, kind.mapping),
    trace_types.NamedTuple: _named,
    trace_types.Attrs: lambda path, kind: _named(path, kind.named_attributes),
    CustomNestTraceType: _taken_apart,
    tf.data.DatasetSpec: _elements,
    tf.data.IteratorSpec: _elements,
    tf.experimental.ExtensionTypeSpec: _fields,
    tuple: _indexed,
    list: _indexed,
    dict: _keyed,
}


def _described(path: str, kind: Any, variables: dict[object, str]) -> Argument:
    """A leaf as text; `variables` has the first path of each variable, so that the same one passed twice shows."""
    if isinstance(kind, VariableSpec):
        first = variables.setdefault(kind.alias_id, path)
        return _tensor(path, kind, "Variable", "" if first == path else f"the variable of {first}")
    if isinstance(kind, tf.TensorSpec):
        return _tensor(path, kind)
    if isinstance(kind, tf.TypeSpec) and hasattr(kind, "shape") and hasattr(kind, "dtype"):
        return _tensor(path, kind, kind.value_type.__name__)
    return value_argument(path, _value(kind))


def _tensor(path: str, spec: Any, cls: str = "", note: str = "") -> Argument:
    shape = None if spec.shape.rank is None else spec.shape.as_list()
    found = tensor_argument(path, spec.dtype.name, shape)
    text = f"{cls} {found.text} ({note})" if note else f"{cls} {found.text}".lstrip()
    return replace(found, text=text, type_name=cls, note=note)


def _value(kind: Any) -> Any:
    """The Python value a trace is specialized for; a type specification where that is all there is."""
    if isinstance(kind, trace_types.Literal):
        return kind.value
    if isinstance(kind, trace_types.Tuple):
        return ()
    if isinstance(kind, trace_types.List):
        return []
    return {} if isinstance(kind, trace_types.Dict) else kind
