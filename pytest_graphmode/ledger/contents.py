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

from pytest_graphmode.ledger import closure, describe
from pytest_graphmode.ledger.places import is_library

_MOST_ATTRIBUTES: Final = 60
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
    if describe.is_function(value):
        return Content(role, name, describe.in_full(value), "function", closure.value(value))
    if isinstance(value, type):
        return Content(role, name, describe.in_full(value), "class", closure.class_key(value))
    texts = tuple(_attributes(value))
    return Content(role, name, describe.text(value), describe.type_name(value), closure.value(value), texts)


def _attributes(value: Any) -> Iterator[tuple[str, str]]:
    """The attributes of an object that are its own, as far as they can be read without running its code."""
    if isinstance(value, (*describe.PLAIN, *_WITHOUT_ATTRIBUTES)) or closure.is_data(value):
        return
    own = describe.attributes(value)
    for registered in ("_parameters", "_buffers", "_modules"):  # where an nn.Module keeps them
        own.update(own.pop(registered, None) or {})
    names = [name for name in own if isinstance(name, str) and not name.startswith("__")]
    for name in _known_to_the_user(type(value), names)[:_MOST_ATTRIBUTES]:
        yield sys.intern(name), describe.text(own[name])


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
