"""What a checked function is differentiated by, leaves of arguments and variables, as one vector of real numbers."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_graphmode.backends import trees
from pytest_graphmode.backends.differentiation import dtype_name

if TYPE_CHECKING:
    from pytest_graphmode.runtime import Runtime

__tracebackhide__ = True  # in failures, the user's frames are of interest

Vector = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Leaf:
    """One differentiated leaf, or variable; a complex one is twice as many real numbers of the vector.

    `index` is its place among all leaves of the arguments, or among the variables, `span` its place in the vector,
    `scale` the root mean square of its finite numbers (1 where that is 0), which steps are relative to.
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
        """This leaf's part of a vector, complex again where it was."""
        part = vector[self.span]
        return (part.view(np.complex128) if self.is_complex else part).reshape(self.shape)

    def position(self, coordinate: int) -> tuple[int, ...]:
        """The index of the element that a coordinate of the vector belongs to."""
        offset = (coordinate - self.span.start) // (2 if self.is_complex else 1)
        return tuple(int(index) for index in np.unravel_index(offset, self.shape))


class Arguments:
    """The arguments and variables at which a gradient is checked.

    Floating and complex leaves (NumPy's and native tensors) are differentiated, at the handle's dtype; integer and
    boolean ones are passed through as tensors, anything else as the Python value it is. Variables follow in the vector,
    and keep the dtype that they have.
    """

    def __init__(
        self, handle: Runtime, fn: Callable[..., Any], args: Sequence[Any], variables: Mapping[str, Any] | None = None
    ) -> None:
        self._handle = handle
        self._fn = fn
        self._args = args
        self._values, self._spec = trees.flatten(tuple(args))
        self._passed: list[int] = []
        self.leaves: list[Leaf] = []
        parts: list[Vector] = []
        for index, value in enumerate(self._values):
            if _is_array(handle, value):
                if is_inexact(value):
                    parts.append(self._differentiate(index, _array(handle, value)))
                else:
                    self._passed.append(index)
        self.given = len(self.leaves)
        self.variables = dict(variables or {})
        for index, variable in enumerate(self.variables.values()):
            parts.append(self._differentiate(index, _array(handle, variable), is_variable=True))
        self.point: Vector = np.concatenate(parts) if parts else np.zeros(0)

    def _differentiate(self, index: int, array: np.ndarray[Any, Any], *, is_variable: bool = False) -> Vector:
        part = _reals(array)
        start = self.leaves[-1].span.stop if self.leaves else 0
        span = slice(start, start + part.size)
        self.leaves.append(Leaf(index, array.shape, array.dtype.kind == "c", span, _scale(part), is_variable))
        return part

    def name(self, leaf: Leaf) -> str:
        """The path of a leaf as Python spells it: `params['w']`; of a variable its name."""
        return list(self.variables)[leaf.index] if leaf.is_variable else self._paths[leaf.index][0]

    def origin(self, leaf: Leaf) -> str:
        """What a leaf belongs to: `argument 0`."""
        return "a variable of the function" if leaf.is_variable else f"argument {self._paths[leaf.index][1]}"

    def element(self, leaf: Leaf, coordinate: int) -> str:
        """The element that a coordinate of the vector belongs to: `params['w'][2, 3]`."""
        position = ", ".join(map(str, leaf.position(coordinate)))
        return f"{self.name(leaf)}[{position}]" if position else self.name(leaf)

    @functools.cached_property
    def relative_sizes(self) -> Vector:
        """The size of each coordinate relative to the scale of its leaf, 1 for zeros."""
        sizes = np.abs(self.point)
        for leaf in self.leaves:
            sizes[leaf.span] /= leaf.scale
        return np.where((sizes == 0) | ~np.isfinite(sizes), 1.0, sizes)

    @functools.cached_property
    def _paths(self) -> list[tuple[str, int]]:
        """Path and argument position of every leaf."""
        names = _parameters(self._fn, len(self._args))
        return [(path, number) for number, arg in enumerate(self._args) for path, _ in trees.paths(arg, names[number])]

    @property
    def passed(self) -> int:
        """How many integer and boolean leaves there are."""
        return len(self._passed)

    @property
    def constants(self) -> list[Any]:
        """The integer and boolean leaves as tensors."""
        return [self._handle.tensor(self._values[index]) for index in self._passed]

    def tensors(self, vector: Vector) -> list[Any]:
        """The differentiated leaves and variables at a point as tensors of the handle's dtype."""
        make, real = self._handle.mode.tensor, self._handle.dtype
        counterpart = complex_of(real)
        return [make(leaf.array(vector), counterpart if leaf.is_complex else real) for leaf in self.leaves]

    def assign(self, vector: Vector) -> None:
        """Give the variables the values they have at a point."""
        mode = self._handle.mode
        for leaf, variable in zip(self.leaves[self.given :], self.variables.values(), strict=True):
            mode.assign(variable, mode.tensor(leaf.array(vector), dtype_name(variable)))

    def rounded(self, vector: Vector) -> Vector:
        """The point that `tensors(vector)` stands for in the handle's dtype."""
        if self._handle.dtype == "float64":
            return vector
        host = self._handle.mode.numpy
        parts = [reals(host(t), leaf) for t, leaf in zip(self.tensors(vector), self.leaves, strict=True)]
        return np.concatenate(parts)

    def rebuilt(self, tensors: Sequence[Any], constants: Sequence[Any]) -> tuple[Any, ...]:
        """The arguments as trees again, from tensors for the differentiated leaves and the passed ones."""
        values = list(self._values)
        for leaf, tensor in zip(self.leaves[: self.given], tensors, strict=True):
            values[leaf.index] = tensor
        for index, tensor in zip(self._passed, constants, strict=True):
            values[index] = tensor
        rebuilt: tuple[Any, ...] = trees.unflatten(self._spec, values)
        return rebuilt


def complex_of(real: str) -> str:
    """The complex dtype of a floating one."""
    return "complex128" if real == "float64" else "complex64"


def _reals(array: np.ndarray[Any, Any]) -> Vector:
    if array.dtype.kind == "c":
        return np.ascontiguousarray(array, np.complex128).reshape(-1).view(np.float64)
    return np.array(array, np.float64).reshape(-1)


def reals(gradient: np.ndarray[Any, Any], leaf: Leaf) -> Vector:
    """The gradient of a leaf as real numbers; of complex ones as derivatives by real and imaginary parts."""
    return _reals(gradient.astype(np.complex128) if leaf.is_complex else gradient.real)


def _scale(part: Vector) -> float:
    """The root mean square of the finite numbers, computed so that it can't overflow; 1 where it is 0."""
    sizes = np.abs(part)
    finite = np.isfinite(sizes)
    if not finite.all():
        sizes = sizes[finite]
    largest = float(sizes.max()) if sizes.size else 0.0
    if largest == 0:
        return 1.0
    relative = sizes / largest
    return largest * math.sqrt(float(relative @ relative) / relative.size)


def _is_array(handle: Runtime, value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic)) or handle.mode.is_tensor(value)


def is_inexact(tensor: Any) -> bool:
    """Whether a tensor or array is floating or complex."""
    name = dtype_name(tensor)
    return "float" in name or name.startswith("complex")


def _array(handle: Runtime, value: Any) -> np.ndarray[Any, Any]:
    return np.asarray(value if isinstance(value, (np.ndarray, np.generic)) else handle.mode.numpy(value))


def _parameters(fn: Callable[..., Any], count: int) -> list[str]:
    """The names of a function's first parameters as its caller would point at them."""
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "args")
    return names[:count] + [f"{rest}[{number}]" for number in range(count - len(names))]
