"""Which builds belong to the same function, and where in the user's code they came from.

Called by the event sources under `backends/`, which turn a framework's function into an `Identity`, and by
`ledger.py`, which groups builds by it. Nothing here keeps a function, a tensor or a model alive.
"""

from __future__ import annotations

import functools
import sys
import sysconfig
import types
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_PLUGIN: Final = str(Path(__file__).parent)
_LIBRARIES: Final = tuple({sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_GENERATED: Final = ("__autograph_generated_file", "<frozen", "<eval_with_key>", "<string>")
_PLAIN: Final = (type(None), bool, int, float, complex, str, bytes)
_DEPTH: Final = 3


class Tokens:
    """Numbers for objects that are never used twice, unlike `id`, and that keep nothing alive."""

    def __init__(self) -> None:
        self._numbers: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._next = 0

    def __call__(self, value: Any) -> int:
        """The number of `value`; an object that takes no weak reference is told apart by its `id`."""
        known = self._numbers.get(id(value))
        if known is not None and known[0]() is value:
            return known[1]
        try:
            reference = weakref.ref(value)
        except TypeError:
            return -id(value)
        self._next += 1
        self._numbers[id(value)] = (reference, self._next)
        return self._next


_tokens = Tokens()
token = _tokens


@dataclass(frozen=True)
class Content:
    """What a closure cell held: the object's token, and its value where that can be compared."""

    token: int
    form: object = None

    def same(self, other: Content) -> bool:
        return self.token == other.token or (self.form is not None and self.form == other.form)


@dataclass(frozen=True)
class Identity:
    """A function as its user thinks of it.

    `owner` is the token of what the framework caches graphs on (a tf.function, a compiled module); `role`
    tells the gradient of a function from the function.
    """

    name: str
    file: str
    line: int
    code: int = 0
    function: int = 0
    bound: int = 0
    contents: tuple[Content, ...] = ()
    owner: int = 0
    role: str = ""
    library: bool = False

    def same(self, other: Identity) -> bool:
        """Same code location, same bound self, same closure contents; library functions by object."""
        if (self.file, self.line, self.role, self.library) != (
            other.file,
            other.line,
            other.role,
            other.library,
        ):
            return False
        if self.library:
            return (self.owner or self.function) == (other.owner or other.function)
        if (self.code, self.bound) != (other.code, other.bound):
            return False
        if self.function == other.function or (self.owner and self.owner == other.owner):
            return True
        return len(self.contents) == len(other.contents) and all(
            mine.same(theirs) for mine, theirs in zip(self.contents, other.contents, strict=True)
        )

    @property
    def location(self) -> str:
        """`model.py:42`, the file by its last part as in the reports."""
        return f"{Path(self.file).name}:{self.line}"


def of(function: Callable[..., Any], *, owner: object = None, role: str = "") -> Identity:
    """The identity of `function`: partials, methods, callables and the plugin's own wrappers are looked through."""
    contents: list[Content] = []
    outermost = function
    bound = 0
    while True:
        subject = getattr(function, "__graphmode_subject__", None)
        if subject is not None:
            function, role = subject
        elif isinstance(function, functools.partial):
            contents += [_content(value, _DEPTH) for value in (*function.args, *function.keywords.values())]
            function = function.func
        elif isinstance(function, types.MethodType):
            bound = _tokens(function.__self__)
            function = function.__func__
        elif not hasattr(function, "__code__") and hasattr(type(function), "__call__"):
            call = getattr(type(function).__call__, "__code__", None)
            if call is None:
                break
            bound = _tokens(function)
            function = type(function).__call__
        else:
            break
    code = getattr(function, "__code__", None)
    closure = getattr(function, "__closure__", None) or ()
    contents += [_cell_content(cell, _DEPTH) for cell in closure]
    file = code.co_filename if code else getattr(function, "__module__", None) or "?"
    subject_object = function if bound else outermost
    return Identity(
        name=_name(function, role),
        file=file,
        line=code.co_firstlineno if code else 0,
        code=_code_key(code),
        function=_tokens(subject_object),
        bound=bound,
        contents=tuple(contents),
        owner=_tokens(owner) if owner is not None else 0,
        role=role,
        library=is_library(file),
    )


def _name(function: Callable[..., Any], role: str) -> str:
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None) or type(function).__name__
    name = name.rpartition("<locals>.")[2]
    return f"{role}({name})" if role else name


def _code_key(code: types.CodeType | None) -> int:
    if code is None:
        return 0
    positions = next(iter(code.co_positions()), None) if sys.version_info >= (3, 11) else None
    return hash((code.co_code, code.co_names, code.co_varnames, code.co_firstlineno, positions))


def _cell_content(cell: types.CellType, depth: int) -> Content:
    try:
        return _content(cell.cell_contents, depth)
    except ValueError:  # the name is not bound yet
        return Content(0, "empty")


def _content(value: Any, depth: int) -> Content:
    return Content(0 if isinstance(value, _PLAIN) else _tokens(value), _form(value, depth))


def _form(value: Any, depth: int) -> object:
    """A comparable stand-in for plain values, containers of them and functions; None for anything else."""
    if isinstance(value, _PLAIN):
        return (type(value).__name__, repr(value))
    if depth == 0:
        return None
    if type(value) in (list, tuple, set, frozenset):
        return _forms(type(value).__name__, list(value), depth)
    if type(value) is dict:
        return _forms("dict", [*value.keys(), *value.values()], depth)
    if isinstance(value, types.FunctionType):
        cells = [_cell_content(cell, depth - 1) for cell in value.__closure__ or ()]
        forms = tuple(cell.form or ("object", cell.token) for cell in cells)
        return ("function", value.__code__.co_filename, _code_key(value.__code__), forms)
    return None


def _forms(kind: str, values: list[Any], depth: int) -> object:
    forms = tuple(_form(value, depth - 1) or ("object", _tokens(value)) for value in values)
    return (kind, forms)


def subject(wrapper: Callable[..., Any], function: Callable[..., Any], role: str = "") -> Callable[..., Any]:
    """Mark a wrapper of the plugin's own as standing for the user's `function`; returns the wrapper."""
    wrapper.__graphmode_subject__ = (function, role)  # type: ignore[attr-defined]
    return wrapper


@functools.lru_cache(maxsize=4096)
def is_library(file: str) -> bool:
    """Whether a file belongs to an installed package, the standard library or this plugin."""
    return file.startswith((*_LIBRARIES, _PLUGIN)) or any(mark in file for mark in _GENERATED)


def call_site() -> str | None:
    """`test_model.py:17`: the innermost line of the user's code on this thread's stack, None when there is none."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if not is_library(frame.f_code.co_filename):
            return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        frame = frame.f_back
    return None
