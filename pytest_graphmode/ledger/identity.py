"""Which builds are of the same function, and what tells two objects of one function apart.

The same function is the same code, whoever wrapped it and however often; what it closes over or is bound to tells
functions apart by code and class only. Called by the event sources under `backends/`, which turn a framework's function
into an `Identity`, and by `recorder.py`, which groups builds by it. Nothing here keeps a function, a tensor or a model
alive.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from pytest_graphmode.ledger import closure, contents
from pytest_graphmode.ledger.arguments import positional
from pytest_graphmode.ledger.closure import token
from pytest_graphmode.ledger.contents import Content
from pytest_graphmode.ledger.places import call_site, is_library, place

__all__ = ["Content", "Identity", "call_site", "is_library", "of", "place", "subject", "token"]

# What an object's own code is found by when the object is called: Python's name for it, torch's and Keras'.
_ENTRIES: Final = ("__call__", "forward", "call")
_LAYERS: Final = 50


@dataclass(frozen=True)
class Identity:
    """A function as its user thinks of it.

    Attributes:
        file: where its code stands, the whole path; `line` is that of its first line.
        code: a key of the code of the function and of what is wrapped around it.
        kinds: keys of the functions and classes it closes over and of the class it is bound to.
        function: a key of the function object; `bound` of the object that a method is bound to; `owner` of what the
            framework keeps graphs on (a tf.function, a compiled module). 0 where there is none.
        contents: what it closes over and is bound to, in words.
        role: tells the gradient of a function from the function.
        library: whether its code is a framework's own.
    """

    name: str
    file: str
    line: int
    code: int = 0
    kinds: tuple[closure.Key, ...] = ()
    function: int = 0
    bound: int = 0
    contents: tuple[Content, ...] = ()
    owner: int = 0
    role: str = ""
    library: bool = False

    @property
    def place(self) -> closure.Key:
        """Equal for the same function."""
        return (self.file, self.line, self.role, self.code, self.kinds)

    @property
    def keys(self) -> tuple[closure.Key, ...]:
        """The same function in the same object has one of these in common: what `per_object=True` goes by."""
        owner = (("owner", self.owner),) if self.owner else ()
        values = tuple(content.key for content in self.contents)
        function = (("function", self.function, self.bound),) if self.function else ()
        return (*owner, *function, ("contents", self.bound, values))

    def same(self, other: Identity) -> bool:
        return self.place == other.place

    def same_object(self, other: Identity) -> bool:
        """Whether both are the same function in the same object."""
        return self.same(other) and not set(self.keys).isdisjoint(other.keys)

    @property
    def location(self) -> str:
        """`src/model.py:42`, relative to pytest's rootdir."""
        return place(self.file, self.line)


def of(function: Callable[..., Any], *, owner: object = None, role: str = "") -> Identity:
    """The identity of `function`, found through partials, methods, callable objects and wrappers by functools.wraps."""
    layers = _Layers(function, role)
    code = getattr(layers.function, "__code__", None)
    file = code.co_filename if code else getattr(layers.function, "__module__", None) or "?"
    return Identity(
        name=layers.name,
        file=file,
        line=code.co_firstlineno if code else 0,
        code=hash(tuple(layers.codes)),
        kinds=tuple(layers.kinds),
        function=token(layers.outermost),
        bound=layers.bound,
        contents=tuple(layers.contents),
        owner=token(owner) if owner is not None else 0,
        role=layers.role,
        library=code is None or is_library(file),
    )


class _Layers:
    """A callable taken apart down to the function in which the user's code stands.

    Attributes:
        function: the innermost function.
        outermost: the object that tells this callable from others of the same code.
        bound: the token of the object that a method, or a callable object, is bound to.
        contents: what all layers close over and are bound to, in words.
        kinds: the same by code and class.
        codes: what code the layers have.
    """

    def __init__(self, function: Any, role: str) -> None:
        self.function = self.outermost = function
        self.role = role
        self.bound = 0
        self.contents: list[Content] = []
        self.kinds: list[closure.Key] = []
        self.codes: list[closure.Key] = []
        self._class = self._renamed = ""
        for _ in range(_LAYERS):
            if not self._look_through():
                break
        if isinstance(self.function, type) or not hasattr(self.function, "__code__"):
            self._add_what_has_no_code()

    @property
    def name(self) -> str:
        """`grad(function)` for the role grad, the function without the names of those it is defined in."""
        own = getattr(self.function, "__qualname__", None) or type(self.function).__name__
        found = str(self._renamed or self._class or own).rpartition("<locals>.")[2]
        return functools.reduce(lambda name, role: f"{role}({name})", reversed(self.role.split()), found)

    def _add_what_has_no_code(self) -> None:
        """Something written in C, or a class: told apart by its name, or by the class of the object."""
        found = self.function
        owner = getattr(found, "__self__", None)
        if isinstance(owner, type):  # torch 2.15: an autograd.Function's apply
            self._class = owner.__qualname__
        cls = found if isinstance(found, type) else type(found)
        name = getattr(found, "__qualname__", None) or ""
        self.codes.append((closure.class_key(cls), str(getattr(found, "__module__", "")), str(name)))

    def _look_through(self) -> bool:
        """Take one layer off; False at the innermost."""
        current = self.function
        marked = closure.quiet_attribute(current, "__graphmode_subject__")
        if marked is not None:
            self.function, role = marked
            self.outermost = self.function
            self.role = f"{self.role} {role}".strip()
        elif isinstance(current, functools.partial):
            self.contents += contents.of_partial(current, dict(enumerate(positional(current.func))))
            self.kinds += _kinds((*current.args, *current.keywords.values()))
            self.function = current.func
        elif isinstance(current, types.MethodType):
            self._bind(current.__self__)
            if isinstance(current.__self__, type) and not _written_by_user(current.__func__):
                self._class = current.__self__.__qualname__  # a library's entry to the user's class: Square.apply
            self._replace(current.__func__)
        elif isinstance(current, types.FunctionType):
            return self._unwrap(current)
        elif callable(closure.quiet_attribute(current, "__wrapped__")):
            self.function = current.__wrapped__
        else:
            return self._enter(current)
        return True

    def _bind(self, instance: Any) -> None:
        """A method's object: its class is part of what the function is, the object itself is not."""
        self.bound = token(instance)
        if isinstance(instance, type):
            self.kinds.append(closure.class_key(instance))
            return
        self.kinds.append(closure.class_key(type(instance)))
        self.contents.append(contents.described("bound", type(instance).__name__, instance))

    def _replace(self, function: Any) -> None:
        """Go on with what is always there instead of a bound method, which Python makes anew each time."""
        if self.outermost is self.function:
            self.outermost = function
        self.function = function

    def _unwrap(self, function: types.FunctionType) -> bool:
        """A function, with what it closes over."""
        wrapped = getattr(function, "__wrapped__", None)
        self.codes.append(closure.code_key(function.__code__))
        if is_renamed(function):
            self.codes.append(function.__qualname__)
            if not callable(wrapped):
                self._renamed = function.__qualname__
        visible = dict(closure.visible(function, without=wrapped))
        self.contents += [contents.described("closure", *one) for one in visible.items()]
        self.kinds += _kinds(visible.values())
        if not callable(wrapped):
            return False
        self.function = wrapped
        return True

    def _enter(self, instance: Any) -> bool:
        """A callable object: the method that its user wrote, else the one that does its work, else its class."""
        entries = [getattr(type(instance), name, None) for name in _ENTRIES]
        functions = [entry for entry in entries if isinstance(entry, types.FunctionType) or _written_by_user(entry)]
        if isinstance(instance, type) or not functions:
            return False
        entry = next(filter(_written_by_user, functions), functions[-1])
        self._bind(instance)
        self._class = type(instance).__qualname__ if entry is entries[0] and not _written_by_user(entry) else ""
        self._replace(entry)
        return True


def _kinds(values: Any) -> Iterator[closure.Key]:
    for value in values:
        try:
            found = closure.kind(value)
        except Exception:  # the user's own code, met in the middle of a trace that must go on
            found = None
        if found is not None:
            yield found


def is_renamed(function: types.FunctionType) -> bool:
    """Whether somebody gave a function another `__qualname__` than its code has, on purpose."""
    if sys.version_info >= (3, 11):
        return function.__qualname__ != function.__code__.co_qualname
    return function.__qualname__.rpartition(".")[2] != function.__code__.co_name


def _written_by_user(method: Any) -> bool:
    code = getattr(getattr(method, "__wrapped__", method), "__code__", None)
    return code is not None and not is_library(code.co_filename)


def subject(wrapper: Callable[..., Any], function: Callable[..., Any], role: str = "") -> Callable[..., Any]:
    """Mark a wrapper of the plugin's own as standing for the user's `function`; returns the wrapper."""
    wrapper.__graphmode_subject__ = (function, role)  # type: ignore[attr-defined]
    return wrapper
