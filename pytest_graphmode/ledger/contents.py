"""What a function closes over or is bound to, in words: what `causes.py` compares to say what was made anew.

Called by `identity.py` once for each build. Nothing here keeps a value alive, and nothing that the user's own code
raises while it is looked at gets out.
"""

from __future__ import annotations

import enum
import functools
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from pytest_graphmode.ledger import closure
from pytest_graphmode.ledger.places import is_library

_FUNCTIONS: Final = (types.FunctionType, types.MethodType, types.BuiltinFunctionType)
_PLAIN: Final = (type(None), bool, int, float, complex, str, bytes)
_MOST_ATTRIBUTES: Final = 60
_LONGEST: Final = 60
# Classes that their frameworks' users never name, by the names that they know them by.
_PUBLIC: Final[Mapping[str, str]] = {
    "ArrayImpl": "Array",
    "EagerTensor": "Tensor",
    "ResourceVariable": "Variable",
}

_WITHOUT_ATTRIBUTES: Final = (list, tuple, dict, set, frozenset, enum.Enum, types.ModuleType)


class Content(NamedTuple):
    """One thing that a function closes over, was given by a partial, or is bound to.

    `key` is equal for equal values and for one object; `attributes` has the text of an object's attributes by name.
    `role` is `closure`, `partial` or `bound`.
    """

    role: str
    name: str
    text: str
    type_name: str
    key: closure.Key
    attributes: tuple[tuple[str, str], ...] = ()


def of_closure(function: types.FunctionType, *, without: object = None) -> Iterator[Content]:
    for name, value in closure.visible(function, without=without):
        yield described("closure", name, value)


def of_partial(partial: functools.partial[Any], names: Mapping[int, str]) -> Iterator[Content]:
    """The arguments that a partial holds; `names` has those of parameters by their position."""
    for position, value in enumerate(partial.args):
        yield described("partial", names.get(position, f"args[{position}]"), value)
    for name, value in partial.keywords.items():
        yield described("partial", name, value)


def described(role: str, name: str, value: Any) -> Content:
    """One thing in words; what the user's own code raises while it is asked makes the words fewer."""
    try:
        return _described(role, name, value)
    except Exception:  # the user's own code, met in the middle of a trace that must go on
        return Content(role, name, f"<{type(value).__name__}>", type(value).__name__, id(value))


def _described(role: str, name: str, value: Any) -> Content:
    name = sys.intern(name)
    type_name = _type_name(value)
    if isinstance(value, (*_FUNCTIONS, functools.partial)):
        return Content(role, name, f"the function {_name(value)}", "function", closure.value(value))
    if isinstance(value, type):
        return Content(role, name, f"the class {value.__qualname__}", "class", closure.class_key(value))
    return Content(role, name, text(value), type_name, closure.value(value), tuple(_attributes(value)))


def _type_name(value: Any) -> str:
    found = type(value).__name__
    return "Array" if found.endswith("Tracer") and closure.is_data(value) else _PUBLIC.get(found, found)


def _name(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    if isinstance(function, types.BuiltinFunctionType):  # of which the class is not what users write: torch.relu
        return function.__name__
    return str(getattr(function, "__qualname__", None) or type(function).__name__).rpartition("<locals>.")[2]


def text(value: Any) -> str:
    """A value in one line: numbers and text as they are, tensors by dtype and shape, other objects by their class."""
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, _PLAIN):
        return _cut(repr(value))
    if closure.is_data(value):
        return _tensor(value)
    if isinstance(value, (list, tuple, dict, set, frozenset)) and len(value) <= 20:
        return _cut(_container(value))
    if isinstance(value, _FUNCTIONS):
        return _name(value)
    if isinstance(value, type):
        return value.__qualname__.rpartition("<locals>.")[2]
    return f"<{type(value).__name__}>"


def _cut(line: str) -> str:
    line = " ".join(line.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


def _container(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{text(key)}: {text(part)}" for key, part in value.items()) + "}"
    left, right = ("[", "]") if isinstance(value, list) else ("(", ")") if isinstance(value, tuple) else ("{", "}")
    return left + ", ".join(map(text, value)) + right


def _tensor(value: Any) -> str:
    dtype = str(getattr(value.dtype, "name", value.dtype)).removeprefix("torch.")
    try:
        return f"{dtype}[{', '.join(map(str, value.shape))}]"
    except (TypeError, ValueError):  # a TensorFlow shape of unknown rank
        return f"{dtype}[?]"


def _attributes(value: Any) -> Iterator[tuple[str, str]]:
    """The attributes of an object that are its own, as far as they can be read without running its code."""
    if isinstance(value, (*_PLAIN, *_WITHOUT_ATTRIBUTES)) or closure.is_data(value):
        return
    try:
        own = dict(vars(value))
    except TypeError:
        own = {name: getattr(value, name, None) for name in getattr(type(value), "__slots__", ())}
    for registered in ("_parameters", "_buffers", "_modules"):  # where an nn.Module keeps them
        own.update(own.pop(registered, None) or {})
    names = [name for name in own if isinstance(name, str) and not name.startswith("__")]
    for name in _known_to_the_user(type(value), names)[:_MOST_ATTRIBUTES]:
        yield sys.intern(name), text(own[name])


def _known_to_the_user(cls: type, names: list[str]) -> list[str]:
    """The names of attributes without those that only a framework's base class knows; the user's own come first."""
    bases = [(base, _is_of_library(base)) for base in cls.__mro__ if base is not object]
    if not any(library for _, library in bases):
        return names
    members = [member for base, library in bases if not library for member in vars(base).values()]
    codes = [getattr(getattr(member, "__wrapped__", member), "__code__", None) for member in members]
    mentioned = {name for code in codes if code is not None for name in code.co_names}
    own = [name for name in names if name in mentioned]
    return own + [name for name in names if name not in mentioned and not name.startswith("_")]


def _is_of_library(cls: type) -> bool:
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return file is not None and is_library(file)
