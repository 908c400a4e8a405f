"""What a checked function is differentiated by, leaves of arguments and variables, as one vector of real numbers."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import MethodType
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_graphmode.backends import trees
from pytest_graphmode.backends.names import complex_of, real_of
from pytest_graphmode.ledger import arguments, describe

if TYPE_CHECKING:
    from pytest_graphmode.runtime import Runtime

__tracebackhide__ = True  # in failures, the user's frames are of interest

Vector = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Part:
    """The part of the vector that is one leaf, or variable; a complex one is twice as many real numbers.

    `index` is its place among all leaves of the arguments, or among the variables, `scale` the root mean square of its
    finite numbers (1 where that is 0), which steps are relative to.
    """

    index: int
    shape: tuple[int, ...]
    is_complex: bool
    span: slice
    scale: float
    is_variable: bool = False

    @property
    def size(self) -> int:
        return int(self.span.stop - self.span.start)

    def array(self, vector: Vector) -> np.ndarray[Any, Any]:
        """This part of a vector as it is passed to the function, complex again where it was."""
        part = vector[self.span]
        return (part.view(np.complex128) if self.is_complex else part).reshape(self.shape)

    def position(self, coordinate: int) -> tuple[int, ...]:
        """The index of the element that a coordinate of the vector belongs to."""
        offset = (coordinate - self.span.start) // (2 if self.is_complex else 1)
        return tuple(int(index) for index in np.unravel_index(offset, self.shape))


class Leaves:
    """The arguments and variables at which a gradient is checked.

    Floating and complex leaves (NumPy's and native tensors) are differentiated, at the runtime's dtype; integer and
    boolean ones are passed through as tensors, anything else as the Python value it is. Variables follow in the vector,
    and keep the dtype that they have: the trainable ones of a module or layer, and those given.

    Raises:
        TypeError: what was given as variables holds something else than floating variables.
    """

    def __init__(self, runtime: Runtime, fn: Callable[..., Any], args: Sequence[Any], given: Any) -> None:
        self._runtime, self._fn, self._args = runtime, fn, args
        self._owners = tuple(_owners(fn))
        if any(getattr(owner, "built", True) is False for owner in self._owners):
            runtime.function(fn)(*args)  # a Keras layer has its variables from the first call on
        self.variables, self.named = self._variables(given)
        self.values, self._spec = trees.flatten(tuple(args))
        self._passed: list[int] = []
        self.parts: list[Part] = []
        numbers = []
        for index, value in enumerate(self.values):
            if not isinstance(value, (np.ndarray, np.generic)) and not runtime.mode.is_tensor(value):
                continue
            if is_inexact(value):
                numbers.append(self._differentiated(index, value))
            else:
                self._passed.append(index)
        self.given = len(self.parts)
        for index, variable in enumerate(self.variables.values()):
            numbers.append(self._differentiated(index, variable, is_variable=True))
        self.point: Vector = np.concatenate(numbers) if numbers else np.zeros(0)

    def _variables(self, given: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The variables by the names that failures give them, and the names of those that the test itself named."""
        mode = self._runtime.mode
        found = {name: one for owner in self._owners for name, one in mode.trainable_variables(owner).items()}
        known = {id(variable): name for name, variable in found.items()}
        named = []
        for path, variable in trees.paths(given, "variables") if given is not None else ():
            if not (mode.is_variable(variable) and is_inexact(variable)):
                raise TypeError(
                    f"check_grads: {path} is {describe.leaf(variable)}, not a floating variable: pass what is to be "
                    "differentiated by as an argument, or make a variable of it with graphmode.variable(value)"
                )
            name = known.setdefault(id(variable), path)
            found[name] = variable
            named.append(name)
        return found, tuple(named)

    def _differentiated(self, index: int, value: Any, *, is_variable: bool = False) -> Vector:
        array = np.asarray(value if isinstance(value, (np.ndarray, np.generic)) else self._runtime.mode.numpy(value))
        numbers = _reals(array)
        start = self.parts[-1].span.stop if self.parts else 0
        span = slice(start, start + numbers.size)
        self.parts.append(Part(index, array.shape, array.dtype.kind == "c", span, _scale(numbers), is_variable))
        return numbers

    # What messages call a leaf.

    def name(self, part: Part) -> str:
        """The path of a leaf as Python spells it: `params['w']`; of a variable its name."""
        return list(self.variables)[part.index] if part.is_variable else self._paths[part.index][0]

    def origin(self, part: Part) -> str:
        """What a leaf belongs to: `argument 0`."""
        return "a variable of the function" if part.is_variable else f"argument {self._paths[part.index][1]}"

    def element(self, part: Part, coordinate: int) -> str:
        """The element that a coordinate of the vector belongs to: `params['w'][2, 3]`."""
        position = ", ".join(map(str, part.position(coordinate)))
        return f"{self.name(part)}[{position}]" if position else self.name(part)

    @functools.cached_property
    def _paths(self) -> list[tuple[str, int]]:
        names = _parameters(self._fn, len(self._args))
        return [(path, number) for number, arg in enumerate(self._args) for path, _ in trees.paths(arg, names[number])]

    # Values at a point.

    @functools.cached_property
    def relative_sizes(self) -> Vector:
        """The size of each coordinate relative to the scale of its leaf, 1 for zeros."""
        sizes = np.abs(self.point)
        for part in self.parts:
            sizes[part.span] /= part.scale
        return np.where((sizes == 0) | ~np.isfinite(sizes), 1.0, sizes)

    def constants(self) -> list[Any]:
        return [self._runtime.tensor(self.values[index]) for index in self._passed]

    def tensors(self, vector: Vector) -> list[Any]:
        """The differentiated leaves and variables at a point as tensors of the runtime's dtype."""
        make, dtype = self._runtime.mode.tensor, self._runtime.dtype
        real, counterpart = real_of(dtype), complex_of(dtype)
        return [make(part.array(vector), counterpart if part.is_complex else real) for part in self.parts]

    def assign(self, vector: Vector) -> None:
        """Give the variables the values they have at a point."""
        mode = self._runtime.mode
        for part, variable in zip(self.parts[self.given :], self.variables.values(), strict=True):
            mode.assign(variable, mode.tensor(part.array(vector), describe.dtype_name(variable)))

    def rounded(self, vector: Vector) -> Vector:
        """The point that `tensors(vector)` stands for in the runtime's dtype."""
        if real_of(self._runtime.dtype) == "float64":
            return vector
        host = self._runtime.mode.numpy
        return np.concatenate([reals(host(t), p) for t, p in zip(self.tensors(vector), self.parts, strict=True)])

    def rebuilt(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        """The arguments as trees again, from tensors for the differentiated leaves and then the passed ones."""
        values = list(self.values)
        places = [*(part.index for part in self.parts[: self.given]), *self._passed]
        for place, tensor in zip(places, inputs, strict=True):
            values[place] = tensor
        rebuilt: tuple[Any, ...] = trees.unflatten(self._spec, values)
        return rebuilt

    # What the variables hold.

    def in_dtype(self, dtype: str) -> AbstractContextManager[None]:
        """In the block the variables, and whatever else their owners compute with, hold this dtype.

        Raises:
            UnsupportedError: they can't.
        """
        return self._runtime.mode.holding(self._owners, self.variables, dtype)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """After the block the variables have the values that they had before it."""
        try:
            yield
        finally:
            self.assign(self.point)


def is_inexact(tensor: Any) -> bool:
    name = describe.dtype_name(tensor)
    return "float" in name or name.startswith("complex")


def reals(gradient: np.ndarray[Any, Any], part: Part) -> Vector:
    """The gradient of a leaf as real numbers; of complex ones as derivatives by real and imaginary parts."""
    return _reals(gradient.astype(np.complex128) if part.is_complex else gradient.real)


def _reals(array: np.ndarray[Any, Any]) -> Vector:
    if array.dtype.kind == "c":
        return np.ascontiguousarray(array, np.complex128).reshape(-1).view(np.float64)
    return np.array(array, np.float64).reshape(-1)


def _scale(numbers: Vector) -> float:
    """The root mean square of the finite numbers, computed so that it can't overflow; 1 where it is 0."""
    sizes = np.abs(numbers[np.isfinite(numbers)])
    largest = float(sizes.max(initial=0.0))
    return largest * math.sqrt(float(np.mean((sizes / largest) ** 2))) if largest else 1.0


def _owners(fn: Any) -> Iterator[object]:
    """A callable and what is inside of it: partials, bound methods and wrappers looked through."""
    for _ in range(50):  # a wrapper may wrap itself
        yield fn
        if isinstance(fn, MethodType):
            yield fn.__self__
            fn = fn.__func__
        else:
            fn = getattr(fn, "func" if isinstance(fn, functools.partial) else "__wrapped__", None)
        if not callable(fn):
            return


def _parameters(fn: Callable[..., Any], count: int) -> list[str]:
    """The names of a function's first parameters as its caller would point at them."""
    names = arguments.positional(fn)
    rest = next((p.name for p in arguments.parameters(fn) if p.kind is p.VAR_POSITIONAL), "args")
    return names[:count] + [f"{rest}[{number}]" for number in range(count - len(names))]
