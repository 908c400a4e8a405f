"""What a function closes over, as keys that keep nothing alive: by code and class, and by value or object.

Called by `identity.py`; `contents.py` says the same in words.
"""

from __future__ import annotations

import dis
import enum
import functools
import numbers
import types
import weakref
from collections.abc import Hashable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Final

_PLAIN: Final = (type(None), numbers.Number, str, bytes, enum.Enum)
_CONTAINERS: Final = (list, tuple, set, frozenset, dict)
_MUTABLE: Final = (list, set, dict)
_LONGEST: Final = 100
_DEEPEST: Final = 3
_REBINDING: Final = frozenset({"STORE_DEREF", "DELETE_DEREF"})
_SUBSCRIBING: Final = frozenset({"STORE_SUBSCR", "DELETE_SUBSCR"})
_MUTATORS: Final = frozenset(
    ("append", "extend", "insert", "pop", "remove", "clear", "add", "discard", "update", "setdefault", "popitem")
)

Key = Hashable


class Tokens:
    """Numbers for objects that are never used twice, unlike `id`, and that keep nothing alive.

    What dies is dropped when more is added: a callback of a weak reference would be Python code that runs wherever an
    object happens to die, between the graphs of a compiled function too, and Dynamo looks at all code that runs there.
    """

    def __init__(self) -> None:
        self._numbers: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._next = 0
        self._limit = 1024

    def __call__(self, value: Any) -> int:
        """The number of `value`; an object that takes no weak reference is told apart by its `id`, negated."""
        identifier = id(value)
        known = self._numbers.get(identifier)
        if known is not None and known[0]() is value:
            return known[1]
        try:
            reference = weakref.ref(value)
        except TypeError:
            return -identifier
        if len(self._numbers) >= self._limit:
            self._forget()
        self._next += 1
        self._numbers[identifier] = (reference, self._next)
        return self._next

    def _forget(self) -> None:
        self._numbers = {key: entry for key, entry in list(self._numbers.items()) if entry[0]() is not None}
        self._limit = 2 * max(len(self._numbers), 512)


token = Tokens()


def nested(code: types.CodeType) -> Iterator[types.CodeType]:
    """A code object, and those of the functions inside of it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from nested(constant)


def closed_over(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """The variables that a function closes over, as far as they are bound yet."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # the cell is empty
            yield name, cell.cell_contents


def visible(function: types.FunctionType, *, without: object = None) -> Iterator[tuple[str, Any]]:
    """The variables that a function closes over, its own state (what it assigns or changes) and `without` apart."""
    state = _state(function.__code__)
    for name, content in closed_over(function):
        changed = name in state.assigned or (name in state.changed and isinstance(content, _MUTABLE))
        if not changed and (without is None or content is not without):
            yield name, content


def kind(content: Any, depth: int = 0) -> Key | None:
    """What tells functions apart that close over different things: the code of functions, classes, and the class of
    objects that have code of their own; None for numbers, text, arrays and the like, which tell nothing apart.
    """
    if isinstance(content, types.FunctionType):
        return _kind_of_function(content, depth)
    if isinstance(content, types.MethodType):
        return ("method", kind(content.__func__, depth), class_key(type(content.__self__)))
    if isinstance(content, functools.partial):
        return ("partial", kind(content.func, depth))
    if isinstance(content, type):
        return class_key(content)
    wrapped = quiet_attribute(content, "__wrapped__")
    if isinstance(wrapped, types.FunctionType):
        return kind(wrapped, depth)
    if type(content) in _CONTAINERS:
        return _kinds_within(content, depth)
    return None if isinstance(content, _PLAIN) or is_data(content) else class_key(type(content))


def _kind_of_function(function: types.FunctionType, depth: int) -> Key:
    key = (function.__code__.co_filename, code_key(function.__code__))
    if depth >= _DEEPEST:
        return key
    kinds = [kind(content, depth + 1) for _, content in visible(function)]
    return (*key, *filter(None, kinds))


def _kinds_within(container: Any, depth: int) -> Key | None:
    if depth >= _DEEPEST or len(container) > _LONGEST:
        return None
    parts = container.values() if isinstance(container, dict) else container
    kinds = tuple(filter(None, (kind(part, depth + 1) for part in parts if callable(part))))
    return kinds or None


def class_key(cls: type) -> Key:
    """A class as its user thinks of it: one that is defined again by the same code is the same."""
    return (cls.__module__, cls.__qualname__)


def is_data(content: Any) -> bool:
    """Whether something is an array, a tensor or a variable, whatever its framework."""
    return hasattr(type(content), "shape") and hasattr(type(content), "dtype")


def quiet_attribute(content: Any, name: str) -> Any:
    """An attribute, None where there is none or where the user's own code, which it may run, raises."""
    try:
        return getattr(content, name, None)
    except Exception:
        return None


class _State:
    """Which of its variables a function assigns, and in which it changes what they hold, read from its bytecode."""

    def __init__(self, code: types.CodeType) -> None:
        self.assigned: set[str] = set()
        self.changed: set[str] = set()
        for part in nested(code):
            self._read(part)

    def _read(self, code: types.CodeType) -> None:
        loaded: set[str] = set()  # on the line so far
        latest = ""
        for instruction in dis.get_instructions(code):
            if instruction.starts_line:
                loaded.clear()
            if instruction.opname in _REBINDING:
                self.assigned.add(instruction.argval)
            elif instruction.opname in _SUBSCRIBING:
                self.changed |= loaded
            elif latest and instruction.argval in _MUTATORS:
                self.changed.add(latest)
            latest = instruction.argval if instruction.opname == "LOAD_DEREF" else ""
            if latest:
                loaded.add(latest)


@functools.lru_cache(maxsize=1024)
def _state(code: types.CodeType) -> _State:
    return _State(code)


def _cells(function: types.FunctionType, path: tuple[int, ...], depth: int) -> Iterator[Key]:
    """A key for each variable that a function closes over.

    Of a variable that the function itself assigns (a counter of traces) only the name counts, of a list, set or dict
    that it changes only which object it is.
    """
    state = _state(function.__code__)
    for name, content in closed_over(function):
        if name in state.assigned:
            yield ("own state", name)
        elif name in state.changed and isinstance(content, _MUTABLE):
            yield ("object", type(content).__name__, id(content))
        else:
            yield value(content, path, depth)


def value(content: Any, path: tuple[int, ...] = (), depth: int = 0) -> Key:
    """A key for one value; `path` has the functions around it, and `depth` says how deep it is in other values."""
    if isinstance(content, _PLAIN):
        return _plain(content)
    if type(content) in _CONTAINERS and depth < _DEEPEST and len(content) <= _LONGEST:
        return _container(content, path, depth + 1)
    if isinstance(content, types.FunctionType):
        return _function(content, path, depth + 1)
    if isinstance(content, types.MethodType):
        return ("method", value(content.__func__, path, depth), _object(content.__self__))
    if isinstance(content, functools.partial):
        parts = (content.func, content.args, content.keywords)
        return ("partial", *(value(part, path, depth + 1) for part in parts))
    wrapped = getattr(content, "__wrapped__", None)
    if isinstance(wrapped, types.FunctionType):
        return ("wrapped", type(content).__name__, value(wrapped, path, depth))
    return _object(content)


def _plain(content: Any) -> Key:
    text = repr(content)
    return (type(content).__name__, text if len(text) <= _LONGEST else hash(text))


def _object(content: Any) -> Key:
    return ("object", type(content).__name__, token(content))


def _container(content: Any, path: tuple[int, ...], depth: int) -> Key:
    parts: Iterable[Any] = content
    if isinstance(content, dict):
        parts = [part for item in content.items() for part in item]
    keys = [value(part, path, depth) for part in parts]
    name = type(content).__name__
    return (name, frozenset(keys)) if isinstance(content, (set, frozenset)) else (name, *keys)


def _function(function: types.FunctionType, path: tuple[int, ...], depth: int) -> Key:
    key = ("function", function.__code__.co_filename, code_key(function.__code__))
    if id(function) in path or depth > _DEEPEST:  # it calls itself, or is nested deeper than anybody writes
        return key
    return (*key, *_cells(function, (*path, id(function)), depth))


def code_key(code: types.CodeType) -> int:
    """Tells functions apart that begin on one line, such as two lambdas; the same when a module is run again."""
    names = (code.co_names, code.co_varnames, code.co_freevars)
    constants = tuple([one if isinstance(one, types.CodeType) else repr(one) for one in code.co_consts])
    return hash((code.co_code, *names, code.co_firstlineno, constants, code.co_linetable))
