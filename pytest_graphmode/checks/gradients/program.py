"""A checked function as one real number, run in the variant's mode, with its first and second derivatives.

Where the mode puts gradients into graphs, one graph returns values and gradients and serves the whole check.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pytest_graphmode.backends import trees
from pytest_graphmode.backends.differentiation import describe, dtype_name, name_of
from pytest_graphmode.checks.gradients import directions
from pytest_graphmode.checks.gradients.arguments import Arguments, Vector, is_inexact, reals
from pytest_graphmode.ledger import identity

if TYPE_CHECKING:
    from pytest_graphmode.runtime import Runtime

__tracebackhide__ = True  # in failures, the user's frames are of interest

_COMPLEX: Final = ("complex64", "complex128")


class NothingToDifferentiateError(Exception):
    """The function returned no floating tensor; the message says what it returned."""


class Projection:
    """Outputs reduced to one real number: a real scalar as it is, anything else by fixed random weights.

    What the outputs are is looked at once: a function that returns another kind of thing at another point is not
    differentiable anyway.
    """

    def __init__(self, handle: Runtime, fn: Callable[..., Any], rng: np.random.Generator) -> None:
        self._handle = handle
        self._fn = fn
        self._rng = rng
        self._weights: dict[int, Any] = {}
        self._reduce: Callable[[Any], Any] | None = None
        self.dtypes: set[str] = set()

    def __call__(self, outputs: Any) -> Any:
        if self._reduce is None:
            self._reduce = self._reduction(outputs)
        return self._reduce(outputs)

    def _reduction(self, outputs: Any) -> Callable[[Any], Any]:
        """How outputs of this kind become one number."""
        mode = self._handle.mode
        leaves = [outputs] if mode.is_tensor(outputs) else trees.leaves(outputs)
        numbers = [n for n, leaf in enumerate(leaves) if mode.is_tensor(leaf) and is_inexact(leaf)]
        if not numbers:
            raise NothingToDifferentiateError(f"{name_of(self._fn)} returned {_described(outputs)}")
        names = [dtype_name(leaves[number]) for number in numbers]
        self.dtypes.update(names)
        if leaves[0] is not outputs:
            return functools.partial(self._sum, numbers, names)
        if _is_scalar(outputs) and names[0] not in _COMPLEX:
            return _itself
        return functools.partial(self._term, 0, names[0])

    def _sum(self, numbers: Sequence[int], names: Sequence[str], outputs: Any) -> Any:
        leaves = trees.leaves(outputs)
        terms = [self._term(number, name, leaves[number]) for number, name in zip(numbers, names, strict=True)]
        return functools.reduce(lambda total, term: total + term, terms)

    def _term(self, number: int, name: str, output: Any) -> Any:
        xp = self._handle.xp
        weighted = xp.sum(output * self._weight(number, name, output))
        return xp.real(weighted) if name in _COMPLEX else weighted

    def _weight(self, number: int, name: str, output: Any) -> Any:
        if not _is_known(output.shape):
            return self._computed(output)
        mode = self._handle.mode
        if number not in self._weights:
            drawn = self._drawn(tuple(output.shape), name)
            self._weights[number] = drawn if mode.static else mode.tensor(drawn, name)
        # A tensor made while a graph is traced is of use in that graph only.
        return mode.tensor(self._weights[number], name) if mode.static else self._weights[number]

    def _drawn(self, shape: tuple[int, ...], name: str) -> np.ndarray[Any, Any]:
        size = math.prod(shape)
        weights = directions.signed(self._rng, size).reshape(shape)
        return weights + 1j * directions.signed(self._rng, size).reshape(shape) if name in _COMPLEX else weights

    def _computed(self, output: Any) -> Any:
        """Weights of about the same kind for a shape that a static graph does not know: from the places in it."""
        xp = self._handle.xp
        places = xp.reshape(xp.cumsum(xp.reshape(xp.real(xp.ones_like(output)), (-1,))), xp.shape(output))
        weights = xp.where(xp.cos(2.4 * places) > 0, 1.0, -1.0) * (1 + xp.sin(13.0 * places) / 2)
        return xp.astype(weights, dtype_name(output))


class Program:
    """`fn` at points given as vectors of real numbers, and its derivatives there.

    Level 1 is the projected value of `fn`. Level 2 is the slope of level 1 along `along`, itself a function of the
    point, whose gradient is the second derivative.
    """

    def __init__(
        self, handle: Runtime, fn: Callable[..., Any], arguments: Arguments, order: int, rng: np.random.Generator
    ) -> None:
        self._handle = handle
        self._mode = handle.mode
        self._fn = fn
        self._arguments = arguments
        self._given, self._count = arguments.given, len(arguments.leaves)
        self._variables = list(arguments.variables.values())
        self.projection = Projection(handle, fn, rng)
        if handle.mode.static:
            _ = handle.xp  # made before a trace: Dynamo refuses to make it inside of a loop or branch
        self._constants = arguments.constants
        self._along = arguments.tensors(arguments.point) if order == 2 else []
        run = self._mode.differentiable(fn, order)
        scalar: Callable[..., Any] = functools.partial(_projected, handle, run, arguments, self.projection)
        self.order = order
        self._levels: list[Callable[..., Any]] = [scalar, self._slope_of(scalar)][:order]
        self._joint: Callable[..., Any] | None = None

    def along(self, direction: Vector) -> None:
        """The direction of the slope at level 2."""
        self._along = self._arguments.tensors(direction)

    def value(self, level: int, point: Vector) -> float:
        """The value of a level at a point."""
        inputs = self._inputs(point)
        joint = self._built(inputs)
        found = self._levels[level](*inputs) if joint is None else joint(*inputs)[level][0]
        return self._number(found)

    def gradient(self, level: int, point: Vector) -> tuple[float, list[Vector | None]]:
        """Value and gradient of a level at a point, the gradient by leaf; None where there is no path."""
        inputs = self._inputs(point)
        joint = self._built(inputs)
        found = self._differentiated(level, inputs) if joint is None else joint(*inputs)[level]
        grads = [
            None if grad is None else reals(self._host(grad), leaf)
            for grad, leaf in zip(found[1], self._arguments.leaves, strict=True)
        ]
        return self._number(found[0]), grads

    def _inputs(self, point: Vector) -> list[Any]:
        """The arguments of a level at a point, where the variables are set to their values there."""
        if self._variables:
            self._arguments.assign(point)
        return self._arguments.tensors(point)[: self._given] + self._constants + self._along

    def _built(self, inputs: Sequence[Any]) -> Callable[..., Any] | None:
        """The one graph of a mode that puts gradients into graphs."""
        if self._joint is None and self._mode.static:
            levels = range(self.order)

            def everything(*inputs: Any) -> list[tuple[Any, list[Any]]]:
                return [self._differentiated(level, inputs) for level in levels]

            self._joint = self._mode.joint_graph(identity.subject(everything, self._fn, "check_grads"), inputs)
        return self._joint

    def _differentiated(self, level: int, inputs: Sequence[Any]) -> tuple[Any, list[Any]]:
        return self._value_and_grads(self._levels[level], inputs)

    def _value_and_grads(self, scalar: Callable[..., Any], inputs: Sequence[Any]) -> tuple[Any, list[Any]]:
        value, grads, of_variables = self._mode.value_and_grad(scalar, inputs, range(self._given), self._variables)
        return value, [*grads, *of_variables]

    def _slope_of(self, scalar: Callable[..., Any]) -> Callable[..., Any]:
        def slope(*inputs: Any) -> Any:
            _, grads = self._value_and_grads(scalar, inputs)
            pairs = zip(grads, inputs[-self._count :], strict=True)
            terms = [self._inner(grad, along) for grad, along in pairs if grad is not None]
            if not terms:
                return self._handle.tensor(0.0)
            return functools.reduce(lambda total, term: total + term, terms)

        return slope

    def _inner(self, grad: Any, along: Any) -> Any:
        """The real inner product of two tensors."""
        xp = self._handle.xp
        if dtype_name(along).startswith("complex"):
            return xp.sum(xp.real(grad) * xp.real(along) + xp.imag(grad) * xp.imag(along))
        return xp.sum(grad * along)

    def _host(self, tensor: Any) -> np.ndarray[Any, Any]:
        return self._mode.numpy(tensor) if self._mode.is_tensor(tensor) else np.asarray(tensor)

    def _number(self, tensor: Any) -> float:
        return float(self._host(tensor))


def _projected(
    handle: Runtime, fn: Callable[..., Any], arguments: Arguments, projection: Projection, *inputs: Any
) -> Any:
    count, passed = arguments.given, arguments.passed
    args = arguments.rebuilt(inputs[:count], inputs[count : count + passed])
    return projection(handle.mode.callback(fn)(*args))


def _itself(output: Any) -> Any:
    return output


def _is_scalar(tensor: Any) -> bool:
    return _is_known(tensor.shape) and len(tensor.shape) == 0


def _is_known(shape: Any) -> bool:
    return getattr(shape, "rank", 0) is not None and all(size is not None for size in shape)


def _described(outputs: Any) -> str:
    leaves = trees.leaves(outputs)
    if len(leaves) == 1 and leaves[0] is outputs:
        return describe(outputs)
    return f"a {type(outputs).__name__} of " + (", ".join(map(describe, leaves[:3])) or "nothing")
