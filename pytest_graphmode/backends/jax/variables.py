"""Mutable variables for JAX, which has none: cells whose reads and writes are threaded through traced functions.

Inside a traced function a variable stands for a tracer. Who traces (`jit.py`, `control_flow.py`, `gradients.py`) opens
a frame with the tracers of the variables it passes in, and takes from it what was assigned.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from pytest_graphmode.errors import UnsupportedError

# The parameter through which a traced function gets its variables; not one of the user's arguments.
VARIABLES: Final = "graphmode_variables"
# What marks a function whose calls `graphmode.function` tells of.
TOLD: Final = "__graphmode_told__"


class Signal(Exception):
    """From inside a trace to this backend's own code around it; never seen by users."""


class Retrace(Signal):
    """From a trace to its caller: it met variables that were not passed in, and is made again with them."""


def _new(_: Any, new: Any) -> Any:
    return new


def _new_jvp(primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Any, Any]:
    return primals[1], tangents[0]


# A variable's new value, with the derivative of the old one: as TensorFlow and torch differentiate by a variable.
_replaced: Final = jax.custom_jvp(_new)
_replaced.defjvp(_new_jvp)


class TracedVariables:
    """What variables stand for in one traced piece of code, and which of them it assigned.

    `sealed` frames belong to functions whose trace is kept and run again: code in them may use no variable that was
    not passed in. Those it met all the same are in `missing`.
    """

    def __init__(self, values: dict[Variable, Any], *, sealed: bool = False, differentiated: bool = False) -> None:
        self.values = values
        self.sealed = sealed
        self.differentiated = differentiated
        self.assigned: dict[Variable, None] = {}
        self.missing: list[Variable] = []


class _Frames(threading.local):
    def __init__(self) -> None:
        self.open: list[TracedVariables] = []


class VariableSpace:
    """The variables of one variant, and for each thread the frames that are open."""

    def __init__(self) -> None:
        self._frames = _Frames()
        self._numbers = itertools.count()
        self._alive: weakref.WeakValueDictionary[int, Variable] = weakref.WeakValueDictionary()

    def variable(self, value: jax.Array) -> Variable:
        made = Variable(self, value)
        self._alive[next(self._numbers)] = made
        return made

    def alive(self) -> tuple[Variable, ...]:
        """Every variable there is, the oldest first."""
        return tuple(self._alive.values())

    @property
    def tracing(self) -> bool:
        """Whether this thread is in a function that is being traced."""
        return any(frame.sealed for frame in self._frames.open)

    @contextmanager
    def opened(self, frame: TracedVariables) -> Iterator[TracedVariables]:
        self._frames.open.append(frame)
        try:
            yield frame
        finally:
            self._frames.open.pop()

    def read(self, variable: Variable) -> Any:
        for frame in reversed(self._frames.open):
            if variable in frame.values:
                return frame.values[variable]
            if frame.sealed:
                frame.missing.append(variable)
                break
        return variable.stored

    def assign(self, variable: Variable, value: Any) -> None:
        if not self._frames.open:
            variable.stored = _concrete(value)
            return
        frame = self._frames.open[-1]
        old = self.read(variable)
        frame.values[variable] = _replaced(old, value) if self._differentiated(variable) else value
        frame.assigned[variable] = None

    def _differentiated(self, variable: Variable) -> bool:
        return any(frame.differentiated and variable in frame.values for frame in self._frames.open)

    def carry_out(self, values: Sequence[tuple[Variable, Any]]) -> None:
        """Make the assignments of a finished piece of code those of the code around it."""
        for variable, value in values:
            self.assign(variable, value)


def _concrete(value: Any) -> jax.Array:
    if isinstance(value, jax.core.Tracer):
        raise UnsupportedError(
            "a graphmode variable was assigned inside a native jax transformation (jax.jit, jax.grad, ...), which "
            "knows nothing of variables: use graphmode.function and graphmode.grad, or return the new value"
        )
    return value


class Variable:
    """A trainable variable: a cell with a JAX array of fixed shape and dtype, usable wherever an array is.

    In code that `graphmode.function` traces its value is an input of the graph, and `graphmode.assign` an output.
    A native `jax.jit` takes the current value for a constant, as it does with every array it meets in a closure.
    """

    def __init__(self, space: VariableSpace, value: jax.Array) -> None:
        self.space = space
        self.stored = value

    @property
    def value(self) -> Any:
        """The array this variable stands for here: a tracer inside a traced function."""
        return self.space.read(self)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.stored.shape)

    @property
    def dtype(self) -> Any:
        return self.stored.dtype

    def assign(self, value: Any) -> None:
        """Set the variable; `value` is cast to its dtype.

        Raises:
            ValueError: `value` has another shape.
        """
        new = value if isinstance(value, jax.Array) else jnp.array(value)  # a copy: NumPy's memory may change
        if new.shape != self.shape:
            raise ValueError(
                f"a variable of shape {list(self.shape)} can't be assigned a value of shape {list(new.shape)}: "
                "reshape the value, or make another variable"
            )
        self.space.assign(self, jax.lax.stop_gradient(new.astype(self.dtype)))

    def __jax_array__(self) -> Any:
        return self.value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.asarray(self.value, dtype=dtype)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("space", "stored"):
            raise AttributeError(f"Variable has no attribute {name!r}", name=name, obj=self)
        return getattr(self.value, name)

    def __repr__(self) -> str:
        return f"Variable({self.stored!r})"

    # Equality is element by element, as for arrays; tables of variables go by the object.
    __hash__ = object.__hash__


def value_of(value: Any) -> Any:
    """What a variable stands for; anything else as it is."""
    return value.value if isinstance(value, Variable) else value


# To JAX's own transformations and to the jitted functions of jax.numpy a variable is the array it stands for.
jax.tree_util.register_pytree_node(
    Variable, lambda variable: ((variable.value,), None), lambda _, children: children[0]
)


def _forwarded(name: str) -> Callable[..., Any]:
    def operation(self: Variable, *others: Any) -> Any:
        return getattr(self.value, name)(*map(value_of, others))

    operation.__name__ = name
    return operation


_ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "divmod", "pow", "matmul", "and", "or", "xor")
_ORDER = ("eq", "ne", "lt", "le", "gt", "ge")
_CONVERSIONS = ("bool", "int", "float", "complex", "index", "len", "iter", "getitem")
_UNARY = ("neg", "pos", "abs", "invert")
for _name in (*_ARITHMETIC, *(f"r{name}" for name in _ARITHMETIC), *_ORDER, *_CONVERSIONS, *_UNARY):
    setattr(Variable, f"__{_name}__", _forwarded(f"__{_name}__"))
