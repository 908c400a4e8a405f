"""Which builds belong to the same function, and where in the user's code they came from.

Called by the event sources under `backends/`, which turn a framework's function into an `Identity`, and by
`recorder.py`, which groups builds by it. Nothing here keeps a function, a tensor or a model alive.
"""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pytest_graphmode import closure
from pytest_graphmode.closure import token

__all__ = ["Identity", "call_site", "is_library", "of", "subject", "token"]

_PATHS: Final = sysconfig.get_paths()
_LIBRARIES: Final = tuple({_PATHS[name] + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_PACKAGES: Final = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))
_PLUGIN: Final = str(Path(__file__).parent) + os.sep
_GENERATED: Final = ("__autograph_generated_file", "<frozen", "<eval_with_key>", "<string>")
# What an object's own code is found by when the object is called: Python's name for it, torch's and Keras'.
_ENTRIES: Final = ("__call__", "forward", "call")
_LAYERS: Final = 50


@dataclass(frozen=True)
class Identity:
    """A function as its user thinks of it.

    `code`, `function`, `bound` and `owner` are keys of the code, of the function object, of the object a method is
    bound to, and of what the framework caches graphs on (a tf.function, a compiled module); 0 where there is none.
    `contents` has a key for each closed-over value; `role` tells the gradient of a function from the function.
    """

    name: str
    file: str
    line: int
    code: int = 0
    function: int = 0
    bound: int = 0
    contents: tuple[closure.Key, ...] = ()
    owner: int = 0
    role: str = ""
    library: bool = False

    @property
    def place(self) -> closure.Key:
        """What equal functions have in common at least."""
        return (self.file, self.line, self.role, self.library, self.code, self.bound)

    @property
    def keys(self) -> tuple[closure.Key, ...]:
        """Equal functions have the same place and one of these in common.

        A library's own function is known by object. The user's is too, and by what it closes over.
        """
        if self.library:
            return (("owner", self.owner) if self.owner else ("function", self.function),)
        owner = (("owner", self.owner),) if self.owner else ()
        return (*owner, ("function", self.function), ("contents", self.contents))

    def same(self, other: Identity) -> bool:
        """Same code location, same bound self, same closure contents; library functions by object."""
        return self.place == other.place and not set(self.keys).isdisjoint(other.keys)

    @property
    def location(self) -> str:
        """`model.py:42`, the file by its last part as in the reports."""
        return sys.intern(f"{Path(self.file).name}:{self.line}")


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
        contents: what all layers close over.
        codes: what code the layers have.
    """

    def __init__(self, function: Any, role: str) -> None:
        self.function = self.outermost = function
        self.role = role
        self.bound = 0
        self.contents: list[closure.Key] = []
        self.codes: list[int] = []
        self._class = ""
        for _ in range(_LAYERS):
            if not self._look_through():
                break

    @property
    def name(self) -> str:
        """`grad(function)` for the role grad, the function without the names of those it is defined in."""
        found = self._class or getattr(self.function, "__qualname__", None) or type(self.function).__name__
        found = str(found).rpartition("<locals>.")[2]
        return functools.reduce(lambda name, role: f"{role}({name})", reversed(self.role.split()), found)

    def _look_through(self) -> bool:
        """Take one layer off; False at the innermost."""
        current = self.function
        marked = getattr(current, "__graphmode_subject__", None)
        if marked is not None:
            self.function, role = marked
            self.outermost = self.function
            self.role = f"{self.role} {role}".strip()
        elif isinstance(current, functools.partial):
            self.contents.append(closure.value((current.args, current.keywords)))
            self.function = current.func
        elif isinstance(current, types.MethodType):
            self.bound = token(current.__self__)
            self._replace(current.__func__)
        elif isinstance(current, types.FunctionType):
            return self._unwrap(current)
        elif callable(getattr(current, "__wrapped__", None)):
            self.function = current.__wrapped__
        else:
            return self._enter(current)
        return True

    def _replace(self, function: Any) -> None:
        """Go on with what is always there instead of a bound method, which Python makes anew each time."""
        if self.outermost is self.function:
            self.outermost = function
        self.function = function

    def _unwrap(self, function: types.FunctionType) -> bool:
        """A function; what it closes over counts, unless it is the decorator of a library."""
        wrapped = getattr(function, "__wrapped__", None)
        self.codes.append(closure.code_key(function.__code__))
        if not (callable(wrapped) and is_library(function.__code__.co_filename)):
            self.contents += closure.contents(function, without=wrapped)
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
        self.bound = token(instance)
        self._class = type(instance).__qualname__ if entry is entries[0] and not _written_by_user(entry) else ""
        self._replace(entry)
        return True


def _written_by_user(method: Any) -> bool:
    code = getattr(getattr(method, "__wrapped__", method), "__code__", None)
    return code is not None and not is_library(code.co_filename)


def subject(wrapper: Callable[..., Any], function: Callable[..., Any], role: str = "") -> Callable[..., Any]:
    """Mark a wrapper of the plugin's own as standing for the user's `function`; returns the wrapper."""
    wrapper.__graphmode_subject__ = (function, role)  # type: ignore[attr-defined]
    return wrapper


@functools.lru_cache(maxsize=4096)
def is_library(file: str) -> bool:
    """Whether a file belongs to an installed package, the standard library or this plugin."""
    return file.startswith((*_LIBRARIES, _PLUGIN)) or any(mark in file for mark in (*_PACKAGES, *_GENERATED))


def call_site() -> str | None:
    """`test_model.py:17`: the innermost line of the user's code on this thread's stack, None when there is none."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if not is_library(frame.f_code.co_filename):
            return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        frame = frame.f_back
    return None
