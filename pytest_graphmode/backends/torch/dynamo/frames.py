"""Which function a frame that Dynamo compiles belongs to, and what its arguments are.

Called by `source.py`. A frame is its code object, its locals and globals; the function object is not part of it.
"""

from __future__ import annotations

import enum
import functools
import inspect
import sys
import types
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import nn

from pytest_graphmode.backends import trees
from pytest_graphmode.backends.torch.dynamo.rests import Rest
from pytest_graphmode.ledger import arguments, identity
from pytest_graphmode.ledger import describe as wording
from pytest_graphmode.ledger.builds import AFTER_BREAK
from pytest_graphmode.ledger.closure import code_key
from pytest_graphmode.ledger.identity import Identity, token
from pytest_graphmode.ledger.ledger import Argument, tensor_argument, value_argument

# What is shown by its value.
SHOWN: Final = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device)
CODE: Final = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)
# Where the classes of handles and of `xp` are, which this module has no way to import.
_HANDLES: Final = ("pytest_graphmode.handle", "pytest_graphmode.backends.torch.namespace")
_MOST_LEAVES: Final = 100
_TORCH: Final = str(torch.__path__[0])
_MODULES: Final = str(Path(__file__).parents[1] / "modules.py")
_PLUGIN: Final = str(Path(__file__).parents[3])
_EVAL_FRAME: Final = str(Path(_TORCH) / "_dynamo" / "eval_frame.py")


class Leaf(NamedTuple):
    """One leaf of a frame's arguments: how guards spell it, how messages do, and what it is."""

    source: str
    argument: Argument


class Frame:
    """A frame that Dynamo was given.

    Attributes:
        rest: what is known of it where it is the rest of a function after a graph break.
        compiled: the very function that torch.compile was given, None for a frame within it, and for an object.
        outermost: whether it is what torch.compile was given.
        bound: the object that the function belongs to: a module, the `self` of a method; None for a function.
    """

    def __init__(self, code: types.CodeType, scope: Mapping[str, Any], names: Mapping[str, Any]) -> None:
        self.code = code
        self.locals = scope
        self.globals = names
        self.rest = Rest.of(code)
        self._name = code.co_name if self.rest is None else self.rest.name
        self._subject = _subject(code, scope)
        self.compiled = _compiled_function(code)
        self.outermost = self._subject is not None or self.compiled is not None
        self.bound = self._subject if self._subject is not None else self._owner()
        if isinstance(self._subject, (*CODE, types.MethodType, functools.partial)):
            self.bound = getattr(self._subject, "__self__", None)

    @property
    def module(self) -> nn.Module | None:
        return self.bound if isinstance(self.bound, nn.Module) else None

    @property
    def of_plugin(self) -> bool:
        """Whether it is a wrapper of the plugin's around the user's function."""
        return self.code.co_filename.startswith(_PLUGIN)

    @functools.cached_property
    def identity(self) -> Identity:
        """The same for the same code, bound to objects of one class: torch keeps graphs with the code.

        The function object is unknown, but for its code; what it closes over tells functions with a closure apart.
        """
        if self._subject is not None:
            return identity.of(self._subject, owner=self.module)
        function = self.compiled or _functions.get(token(self.code)) or self._function()
        if isinstance(self.compiled, types.FunctionType):
            _functions[token(self.code)] = self.compiled
        found = identity.of(function, owner=self.module)
        object_key = 0 if self.code.co_freevars else token(self.code)
        found = replace(found, function=object_key, code=hash(code_key(self.code)))
        if self.rest is None:
            return found
        return replace(found, name=f"{self.rest.name}{AFTER_BREAK}", line=self.rest.line, role="resumed")

    @property
    def function_key(self) -> tuple[str, str]:
        """The same for a function and for its rest."""
        return self.code.co_filename, self._name

    def _function(self) -> Any:
        """A function like the one whose frame this is, for what its code and closure say about it."""
        values = [([self.locals[name]] if name in self.locals else []) for name in self.code.co_freevars]
        cells = tuple(types.CellType(*value) for value in values)
        function = types.FunctionType(self.code, {}, self.code.co_name, None, cells)
        function.__qualname__ = getattr(self.code, "co_qualname", self.code.co_name)  # Python 3.11
        return types.MethodType(function, self.bound) if self.bound is not None else function

    def _owner(self) -> Any:
        """The object whose method this is, None for a function."""
        named = "self" if self.rest is not None else self.code.co_varnames[0] if self.code.co_argcount else ""
        first = self.locals.get(named)
        return first if first is not None and _is_method(self.code, self._name, type(first)) else None

    @functools.cached_property
    def leaves(self) -> tuple[Leaf, ...]:
        """The leaves of all arguments and closed-over variables, `self` apart."""
        return tuple(leaf for name, source, value in self._arguments() for leaf in leaves(name, source, value))

    def _arguments(self) -> Iterator[tuple[str, str, Any]]:
        if self._subject is not None:
            args, kwargs = self.locals.get("args", ()), self.locals.get("kwargs", {})
            yield from arguments_of(positional(self._subject), args, kwargs)
            return
        own, *rest = inspect.getargs(self.code)
        names = [*own, *filter(None, rest)][0 if self.bound is None or self.rest is not None else 1 :]
        if (wrapped := self._wrapped(names)) is not None:
            given = positional(wrapped)[0 if self.bound is None else 1 :]
            yield from arguments_of(given, *map(self.locals.__getitem__, names), names=names)
            names = []
        for name in (*names, *(() if self.of_plugin else self.code.co_freevars)):
            yield from self._argument(name)

    def _argument(self, name: str) -> Iterator[tuple[str, str, Any]]:
        """An argument as the user knows it; nothing for code, and for the None of a statement like `print()`."""
        value = self.locals.get(name)
        shown = name if self.rest is None else self.rest.named(name)
        of_rest = self.rest is not None and (name == "self" or isinstance(value, CODE))
        code = name in self.code.co_freevars and (isinstance(value, CODE) or _is_handle(value))
        nothing = self.rest is not None and value is None and shown != name
        if name in self.locals and shown and not shown.startswith("__") and not (of_rest or code or nothing):
            yield shown, f"L[{name!r}]", value

    def _wrapped(self, names: Sequence[str]) -> Any:
        """The function that a decorator's `wrapper(*args, **kwargs)` calls, None where there is none, or several."""
        both = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
        if self.rest is not None or self.code.co_flags & both != both or len(names) != 2:
            return None
        held = [self.locals.get(name) for name in self.code.co_freevars]
        found = [one for one in held if isinstance(one, (types.FunctionType, types.MethodType))]
        return found[0] if len(found) == 1 else None

    def word(self, source: str, value: Any) -> str:
        """What the user calls an object that guards spell `L['self']` or `L['fn']`, "" where they call it by its name.

        A frame of the user's own says `self`. One of a library's says what the object is: a user knows an optimizer.
        """
        if isinstance(value, torch.optim.Optimizer):
            return "" if source in ("L['optimizer']", "L['opt']") else "optimizer"
        return self.word_of_bound if value is self.bound and value is not None else ""

    @property
    def word_of_bound(self) -> str:
        return type(self.bound).__name__ if self.identity.library else "self"


# Functions that torch.compile was given, by their code, as long as they live: a frame has no function.
_functions: Final[weakref.WeakValueDictionary[int, Any]] = weakref.WeakValueDictionary()


def arguments_of(
    own: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any], *, names: Sequence[str] = ("args", "kwargs")
) -> Iterator[tuple[str, str, Any]]:
    """What a callable is called with, by its own names for it: name, how guards spell it, and value.

    `names` are those that the wrapper around it gives to `*args` and `**kwargs`.
    """
    for position, value in enumerate(args):
        name = own[position] if position < len(own) else f"args[{position}]"
        yield name, f"L[{names[0]!r}][{position}]", value
    for name, value in kwargs.items():
        yield name, f"L[{names[1]!r}][{name!r}]", value


def _subject(code: types.CodeType, scope: Mapping[str, Any]) -> Any:
    """What a wrapper of torch's own stands for: a module's forward, a partial; None for a frame of its own.

    Every `torch.compile(module)` and every compiled partial shares the code of one wrapper in torch, whose closure
    holds what was compiled; `module.compile()` compiles `nn.Module._call_impl`. A module that is called from code which
    a graph break left over may be met in the plugin's own wrapper of such calls.
    """
    if not code.co_filename.startswith((_TORCH, _MODULES)):
        return None
    if code.co_name == "inner" and "fn" in code.co_freevars:
        found = scope.get("fn")
    elif code.co_name in ("_call_impl", "_wrapped_call_impl"):
        found = scope.get("self")
    elif code.co_filename == _MODULES and code.co_name == "calling":
        found = scope.get("module")
    else:
        return None
    owner = getattr(found, "__self__", None)
    if isinstance(owner, nn.Module):
        found = owner
    return found.forward if isinstance(found, nn.Module) else found


def _is_handle(value: Any) -> bool:
    """Whether it is the handle or its `xp`, by which a test calls its framework: no more an input than torch is."""
    return type(value).__module__.startswith(_HANDLES)


def _compiled_function(code: types.CodeType) -> Any:
    """The function that torch.compile was given, found in the frame of torch's wrapper around it, or None."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename == _EVAL_FRAME:
            function = frame.f_locals.get("fn")
            if getattr(function, "__code__", None) is code:
                return function
        frame = frame.f_back
    return None


def _is_method(code: types.CodeType, name: str, cls: type) -> bool:
    found = inspect.getattr_static(cls, name, None)
    if found is None:  # a decorator's wrapper, which is not called as the method is
        return any(getattr(one, "__code__", None) is code for base in cls.__mro__ for one in vars(base).values())
    return callable(found) and ("self" in code.co_varnames or getattr(found, "__code__", None) is code)


def positional(subject: Any) -> list[str]:
    """The parameters that can be given by position; those of an autograd.Function are its forward's."""
    cls = getattr(subject, "__self__", None)
    if isinstance(cls, type) and issubclass(cls, torch.autograd.Function):
        return arguments.positional(getattr(cls, "forward", None))[1:]  # without the context
    return arguments.positional(subject)


def leaves(name: str, source: str, value: Any) -> Iterator[Leaf]:
    """The leaves of one argument; what a user's own class of tree or tensor refuses to tell is left out."""
    try:
        paths, sources = trees.paths(value, name), trees.paths(value, source)
    except Exception:  # the user's own code, met in the middle of a compilation that must go on
        paths, sources = [(name, value)], [(source, value)]
    for (path, leaf), (guarded, _) in list(zip(paths, sources, strict=True))[:_MOST_LEAVES]:
        yield Leaf(guarded, describe(path, leaf))


def describe(name: str, value: Any) -> Argument:
    """A leaf as the reports show it; objects by their type, since their text may be long, slow or never the same."""
    if isinstance(value, torch.Tensor) and not value.is_nested:
        more = {"device": str(value.device), "layout": _layout(value), "requires_grad": value.requires_grad}
        return tensor_argument(name, wording.dtype_name(value), value.shape, **more)
    if isinstance(value, np.ndarray):
        return tensor_argument(name, str(value.dtype), value.shape)
    if isinstance(value, SHOWN) and not isinstance(value, enum.Enum):
        return value_argument(name, value)
    return Argument(name, wording.text(value), name.partition("[")[0], type_name=type(value).__name__)


def _layout(tensor: torch.Tensor) -> str:
    """How a tensor lies in memory, in words that do not change with its size."""
    if tensor.layout != torch.strided:
        return str(tensor.layout).removeprefix("torch.")
    if tensor.is_contiguous():
        return "contiguous"
    if tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return "channels_last"
    return f"strides {tuple(tensor.stride())}"
