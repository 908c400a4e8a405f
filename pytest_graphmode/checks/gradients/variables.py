"""The variables by which `check_grads` differentiates: those of the checked model, and those that a test names."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import MethodType
from typing import TYPE_CHECKING, Any

from pytest_graphmode.backends import trees
from pytest_graphmode.backends.differentiation import describe
from pytest_graphmode.checks.gradients.arguments import is_inexact

if TYPE_CHECKING:
    from pytest_graphmode.runtime import Runtime

__tracebackhide__ = True  # in failures, the user's frames are of interest

_LAYERS = 50


@dataclass(frozen=True)
class Variables:
    """Variables by the names that failures give them.

    Attributes:
        owners: the objects that the checked callable is made of, such as a model and its bound method.
        named: the names of those that the test named.
    """

    handle: Runtime
    owners: tuple[object, ...] = ()
    by_name: dict[str, Any] = field(default_factory=dict)
    named: tuple[str, ...] = ()

    @contextmanager
    def in_dtype(self, dtype: str) -> Iterator[None]:
        """The variables, and whatever else the owners compute with, hold this dtype in the block.

        Raises:
            UnsupportedError: they can't.
        """
        with ExitStack() as stack:
            if self.by_name or self.owners:
                stack.enter_context(self.handle.mode.holding(self.owners, self.by_name, dtype))
            yield

    @contextmanager
    def kept(self) -> Iterator[None]:
        """After the block the variables have the values that they had before it."""
        mode = self.handle.mode
        values = [mode.numpy(variable) for variable in self.by_name.values()]
        try:
            yield
        finally:
            for variable, value in zip(self.by_name.values(), values, strict=True):
                mode.assign(variable, value)


def variables_of(handle: Runtime, fn: Any, args: Sequence[Any], given: Any) -> Variables:
    """The trainable variables of a module or layer, or of the one that a method is bound to, and those given.

    Raises:
        TypeError: what was given holds something else than floating variables.
    """
    mode = handle.mode
    owners = tuple(_owners(fn))
    if any(getattr(owner, "built", True) is False for owner in owners):
        handle.function(fn)(*args)  # a Keras layer has its variables from the first call on
    found = {name: one for owner in owners for name, one in mode.trainable_variables(owner).items()}
    known = {id(variable): name for name, variable in found.items()}
    named = []
    for path, variable in trees.paths(given, "variables") if given is not None else ():
        if not (mode.is_variable(variable) and is_inexact(variable)):
            raise TypeError(
                f"check_grads: {path} is {describe(variable)}, not a floating variable: pass what is to be "
                "differentiated by as an argument, or make a variable of it with graphmode.variable(value)"
            )
        name = known.setdefault(id(variable), path)
        found[name] = variable
        named.append(name)
    return Variables(handle, owners, found, tuple(named))


def _owners(fn: Any) -> Iterator[object]:
    """A callable and what is inside of it: partials, bound methods and wrappers looked through."""
    for _ in range(_LAYERS):
        yield fn
        if isinstance(fn, functools.partial):
            fn = fn.func
        elif isinstance(fn, MethodType):
            yield fn.__self__
            fn = fn.__func__
        elif callable(inner := getattr(fn, "__wrapped__", None)):
            fn = inner
        else:
            return
