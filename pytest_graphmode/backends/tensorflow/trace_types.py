"""Describes the arguments of a tf.function by the types that TensorFlow looks its traces up by.

Called by `tracing.py` for every trace.
"""

from __future__ import annotations

import enum
import sys
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

import tensorflow as tf

from pytest_graphmode.backends.tensorflow.internals import CustomNestTraceType, VariableSpec, default_types
from pytest_graphmode.backends.trees import Carrier
from pytest_graphmode.ledger import closure, contents, describe, identity
from pytest_graphmode.ledger.arguments import Argument, root_of, tensor_argument, value_argument
from pytest_graphmode.ledger.ledger import Cause


def arguments(
    parameters: Mapping[str, Any], names: Mapping[str, str], memory: FunctionMemory, causes: list[Cause]
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
                found.append(memory.argument(path, leaf._ref(), causes))
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
    """A dataclass in a carrier by its fields, other classes by position."""
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


_KEPT: Final = 8
_HINTS: Final = {
    "method": "a method is made anew each time it is read, and TensorFlow knows {argument} by object only: keep one "
    "(`step = model.step`) and pass that each time",
    "function": "TensorFlow knows {argument} by object only, and this one was made anew: define it once, outside the "
    "loop, and pass that each time",
    "enum": "pass the same member each time, or accept one build per member",
}
_GONE: Final = (
    "TensorFlow knows {argument} by object only, and the one of the earlier build is gone: make it once, keep it and "
    "pass that each time"
)
_OTHER: Final = (
    "TensorFlow knows {argument} by object only: keep one and pass that each time, give what differs as a tensor, or "
    "accept one build per object"
)


class _Known(NamedTuple):
    """An object that a build was told about."""

    reference: weakref.ref[Any]
    token: int
    text: str
    type_name: str
    attributes: dict[str, str]

    @classmethod
    def of(cls, path: str, value: Any) -> _Known:
        content = contents.described("argument", path, closure.quiet_attribute(value, "python_function") or value)
        public = {name: text for name, text in content.attributes if not name.startswith("_")}
        attributes = public or dict(content.attributes)
        name, text = content.type_name, content.text
        if isinstance(value, (types.MethodType, enum.Enum)):
            name = "method" if isinstance(value, types.MethodType) else "enum"
        elif closure.is_data(value):
            text = f"{name} {text}"
        elif name not in ("function", "class"):
            text = describe.cut(describe.with_attributes(name, attributes))
        return cls(weakref.ref(value), identity.token(value), text, name, attributes)

    def is_of(self, value: Any) -> bool:
        """Whether TensorFlow takes `value` for this object."""
        known = self.reference()
        try:
            return known is value or (known is not None and bool(known == value))
        except Exception:  # the user's own code, met in the middle of a trace that must go on
            return False


class FunctionMemory:
    """What is known of one tf.function: what its builds were told about objects, by the path of the argument.

    `builds` is how many of them were seen.
    """

    def __init__(self) -> None:
        self.builds = 0
        self._apart: set[int] = set()
        self._known: dict[str, list[_Known]] = {}
        self._forms: dict[str, str] = {}

    def built(self, cache: Any, *, apart: bool) -> None:
        """A graph was built that the function is about to keep; `apart` for one of the plugin's own checks."""
        self.builds += 1
        if apart:
            self._apart.add(len(cache))

    def held(self, cache: Any) -> list[tuple[Any, Any]]:
        """The context and type of each graph that the function has, but for those of the plugin's own checks."""
        return [key for number, key in enumerate(cache._primary) if number not in self._apart]

    def argument(self, path: str, value: Any, causes: list[Cause]) -> Argument:
        """An object in words, None for one that is gone; why it is none of those before is added to `causes`."""
        if value is None:
            return Argument(sys.intern(path), "an object that is gone", root_of(path), type_name="object", note="gone")
        known = self._known.setdefault(path, [])
        found = next((one for one in reversed(known) if one.is_of(value)), None)
        if found is None:
            found = _Known.of(path, value)
            if known:
                causes.append(_cause(path, known[-1], found))
            known.append(found)
            del known[:-_KEPT]
        return Argument(sys.intern(path), found.text, root_of(path), type_name=found.type_name, note=str(found.token))

    def hints(self, arguments: tuple[Argument, ...]) -> dict[str, str]:
        """What to do about objects that builds before were given, of which nothing is known here."""
        names = {one.type_name for one in arguments if one.name in self._known}
        return {f"python-{name}": _HINTS.get(name, _GONE) for name in names}

    def forms(self, forms: dict[str, str]) -> Iterator[Cause]:
        """Arguments that are now given by keyword and were by position, or the reverse: another call to TensorFlow."""
        for name, form in forms.items():
            before = self._forms.get(name, form)
            if before != form:
                hint = f"give {name} in the same way each time, always by position or always by keyword"
                yield Cause("structure", name, before, form, hint)
        self._forms.update(forms)


def _cause(path: str, before: _Known, after: _Known) -> Cause:
    """Why `after` is not taken for the object of the build before."""
    was, now, old = before.text, after.text, before.attributes
    differing = [name for name, text in after.attributes.items() if old.get(name, text) != text][:3]
    told = bool(differing) and before.type_name == after.type_name
    if told:
        was, now = (
            describe.with_attributes(one.type_name, {name: one.attributes[name] for name in differing})
            for one in (before, after)
        )
    general = _GONE if before.reference() is None and not told else _OTHER
    hint = _HINTS.get(after.type_name, general).replace("{argument}", path)
    return Cause("python-value", path, was, now, hint, after.type_name)
