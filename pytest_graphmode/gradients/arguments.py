"""The arguments of a checked function: which leaves are differentiated, and all of them as one vector of reals."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_graphmode import trees
from pytest_graphmode.backends.differentiation import dtype_name

if TYPE_CHECKING:
    from pytest_graphmode.handle import Handle

Vector = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Leaf:
    """One differentiated leaf; a complex one is twice as many real numbers of the vector.

    `name` is its path as Python spells it (`params['w']`), `span` its place in the vector, `scale` the root mean
    square of its finite elements (1 where that is 0), which steps are relative to.
    """

    name: str
    argument: int
    shape: tuple[int, ...]
    is_complex: bool
    span: slice
    scale: float

    @property
    def size(self) -> int:
        return int(self.span.stop - self.span.start)

    def array(self, vector: Vector) -> np.ndarray[Any, Any]:
        """This leaf's part of a vector, complex again where it was."""
        part = vector[self.span]
        return (part.view(np.complex128) if self.is_complex else part).reshape(self.shape)

    def element(self, coordinate: int) -> str:
        """The name of the element that a coordinate of the vector belongs to: `params['w'][2, 3]`."""
        if not self.shape:
            return self.name
        offset = (coordinate - self.span.start) // (2 if self.is_complex else 1)
        index = np.unravel_index(offset, self.shape)
        return f"{self.name}[{', '.join(str(int(position)) for position in index)}]"


class Arguments:
    """The arguments at which a gradient is checked.

    Floating and complex leaves (NumPy's and native tensors) are differentiated, at the handle's dtype; integer and
    boolean ones are passed through as tensors, anything else as the Python value it is.
    """

    def __init__(self, handle: Handle, fn: Callable[..., Any], args: Sequence[Any]) -> None:
        self._handle = handle
        self._leaves, self._spec = trees.flatten(tuple(args))
        self._differentiated: list[int] = []
        self._passed: list[int] = []
        arrays: list[np.ndarray[Any, Any]] = []
        for index, value in enumerate(self._leaves):
            if _is_array(handle, value):
                if _is_floating(value):
                    self._differentiated.append(index)
                    arrays.append(_array(handle, value))
                else:
                    self._passed.append(index)
        self._names = fn, args
        self.point, self.leaves = self._layout(arrays)

    def _layout(self, arrays: Sequence[np.ndarray[Any, Any]]) -> tuple[Vector, list[Leaf]]:
        paths = _paths(*self._names) if arrays else []
        leaves, parts, start = [], [], 0
        for index, array in zip(self._differentiated, arrays, strict=True):
            part = _reals(array)
            name, argument = paths[index]
            span = slice(start, start + part.size)
            leaves.append(Leaf(name, argument, array.shape, array.dtype.kind == "c", span, _scale(array)))
            parts.append(part)
            start += part.size
        return np.concatenate(parts) if parts else np.zeros(0), leaves

    @property
    def passed(self) -> int:
        """How many integer and boolean leaves there are."""
        return len(self._passed)

    @property
    def constants(self) -> list[Any]:
        """The integer and boolean leaves as tensors."""
        return [self._handle.tensor(self._leaves[index]) for index in self._passed]

    def tensors(self, vector: Vector) -> list[Any]:
        """The differentiated leaves at a point as tensors of the handle's dtype."""
        make, real = self._handle._mode.tensor, self._handle.dtype
        counterpart = complex_of(real)
        return [make(leaf.array(vector), counterpart if leaf.is_complex else real) for leaf in self.leaves]

    def rounded(self, vector: Vector) -> Vector:
        """The point that `tensors(vector)` stands for in the handle's dtype."""
        if self._handle.dtype == "float64":
            return vector
        host = self._handle._mode.numpy
        parts = [reals(host(t), leaf) for t, leaf in zip(self.tensors(vector), self.leaves, strict=True)]
        return np.concatenate(parts)

    def rebuilt(self, tensors: Sequence[Any], constants: Sequence[Any]) -> tuple[Any, ...]:
        """The arguments as trees again, from tensors for the differentiated leaves and the passed ones."""
        leaves = list(self._leaves)
        for index, tensor in zip(self._differentiated, tensors, strict=True):
            leaves[index] = tensor
        for index, tensor in zip(self._passed, constants, strict=True):
            leaves[index] = tensor
        rebuilt: tuple[Any, ...] = trees.unflatten(self._spec, leaves)
        return rebuilt

    def owner(self, coordinate: int) -> Leaf:
        """The leaf that a coordinate of the vector belongs to."""
        return next(leaf for leaf in self.leaves if leaf.span.start <= coordinate < leaf.span.stop)


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


def _scale(array: np.ndarray[Any, Any]) -> float:
    finite = array[np.isfinite(array)]
    if not finite.size:
        return 1.0
    largest = float(np.max(np.abs(finite)))
    if largest == 0:
        return 1.0
    return largest * float(np.sqrt(np.mean(np.abs(finite / largest) ** 2)))


def _is_array(handle: Handle, value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic)) or handle._mode.is_tensor(value)


def _is_floating(value: Any) -> bool:
    name = dtype_name(value)
    return "float" in name or name.startswith("complex")


def _array(handle: Handle, value: Any) -> np.ndarray[Any, Any]:
    return np.asarray(value if isinstance(value, (np.ndarray, np.generic)) else handle._mode.numpy(value))


def _paths(fn: Callable[..., Any], args: Sequence[Any]) -> list[tuple[str, int]]:
    """Path and argument position of every leaf."""
    names = _parameters(fn, len(args))
    return [(path, number) for number, arg in enumerate(args) for path, _ in trees.paths(arg, names[number])]


def _parameters(fn: Callable[..., Any], count: int) -> list[str]:
    """The names of a function's first parameters as its caller would point at them."""
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "args")
    return names[:count] + [f"{rest}[{number}]" for number in range(count - len(names))]
