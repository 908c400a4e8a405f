"""A checked function as one real number, run in the variant's mode, with its first and second derivatives.

Where the mode puts gradients into graphs, one graph returns values and gradients and serves the whole check.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pytest_graphmode.backends import trees
from pytest_graphmode.backends.differentiation import name_of
from pytest_graphmode.checks.gradients.differences import signed
from pytest_graphmode.checks.gradients.leaves import Leaves, Vector, is_inexact, reals
from pytest_graphmode.ledger import describe, identity

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

    def __init__(self, runtime: Runtime, fn: Callable[..., Any], rng: np.random.Generator) -> None:
        self._runtime = runtime
        self._fn = fn
        self._rng = rng
        self._weights: dict[int, Any] = {}
        self._dtypes: dict[int, str] = {}
        self._is_scalar = False

    @property
    def dtypes(self) -> set[str]:
        return set(self._dtypes.values())

    def __call__(self, outputs: Any) -> Any:
        if self._is_scalar:
            return outputs
        leaves = [outputs] if self._runtime.mode.is_tensor(outputs) else trees.leaves(outputs)
        if not self._dtypes:
            self._look_at(outputs, leaves)
            if self._is_scalar:
                return outputs
        return functools.reduce(operator.add, [self._term(number, leaves[number]) for number in self._dtypes])

    def _look_at(self, outputs: Any, leaves: Sequence[Any]) -> None:
        """Remember what outputs of this kind are."""
        for number, leaf in enumerate(leaves):
            if self._runtime.mode.is_tensor(leaf) and is_inexact(leaf):
                self._dtypes[number] = describe.dtype_name(leaf)
        if not self._dtypes:
            raise NothingToDifferentiateError(f"{name_of(self._fn)} returned {_described(outputs, leaves)}")
        shape = _shape(leaves[0])
        self._is_scalar = leaves[0] is outputs and shape == () and self._dtypes[0] not in _COMPLEX

    def _term(self, number: int, output: Any) -> Any:
        xp, dtype = self._runtime.xp, self._dtypes[number]
        weighted = xp.sum(output * self._weight(number, dtype, output))
        return xp.real(weighted) if dtype in _COMPLEX else weighted

    def _weight(self, number: int, dtype: str, output: Any) -> Any:
        shape, mode = _shape(output), self._runtime.mode
        if shape is None:
            return self._computed(output)
        if number not in self._weights:
            drawn: Any = self._drawn(shape)
            drawn = drawn + 1j * self._drawn(shape) if dtype in _COMPLEX else drawn
            self._weights[number] = drawn if mode.static else mode.tensor(drawn, dtype)
        # A tensor made while a graph is traced is of use in that graph only.
        return mode.tensor(self._weights[number], dtype) if mode.static else self._weights[number]

    def _drawn(self, shape: tuple[int, ...]) -> Vector:
        return signed(self._rng, math.prod(shape)).reshape(shape)

    def _computed(self, output: Any) -> Any:
        """Weights of about the same kind for a shape that a static graph does not know: from the places in it."""
        xp = self._runtime.xp
        places = xp.reshape(xp.cumsum(xp.reshape(xp.real(xp.ones_like(output)), (-1,))), xp.shape(output))
        weights = xp.where(xp.cos(2.4 * places) > 0, 1.0, -1.0) * (1 + xp.sin(13.0 * places) / 2)
        return xp.astype(weights, describe.dtype_name(output))


class DifferentiatedProgram:
    """`fn` at points given as vectors of real numbers, and its derivatives there.

    Level 1 is the projected value of `fn`. Level 2 is the slope of level 1 along `along`, itself a function of the
    point, whose gradient is the second derivative.
    """

    def __init__(
        self, runtime: Runtime, fn: Callable[..., Any], leaves: Leaves, order: int, rng: np.random.Generator
    ) -> None:
        self._runtime, self._fn, self._leaves, self.order = runtime, fn, leaves, order
        self._mode = runtime.mode
        self._variables = list(leaves.variables.values())
        self.projection = Projection(runtime, fn, rng)
        if runtime.mode.static:
            _ = runtime.xp  # made before a trace: Dynamo refuses to make it inside of a loop or branch
        self._constants = leaves.constants()
        self._along = leaves.tensors(leaves.point) if order == 2 else []
        self._run = self._mode.differentiable(fn, order)
        self._levels = [self._projected, self._slope][:order]
        self._joint: Callable[..., Any] | None = None

    def along(self, direction: Vector) -> None:
        """The direction of the slope at level 2."""
        self._along = self._leaves.tensors(direction)

    def value(self, level: int, point: Vector) -> float:
        """The value of a level at a point."""
        inputs = self._inputs(point)
        joint = self._built(inputs)
        return self._number(self._levels[level](*inputs) if joint is None else joint(*inputs)[level][0])

    def gradient(self, level: int, point: Vector) -> tuple[float, list[Vector | None]]:
        """Value and gradient of a level at a point, the gradient by leaf; None where there is no path."""
        inputs = self._inputs(point)
        joint = self._built(inputs)
        value, grads = self._differentiated(level, inputs) if joint is None else joint(*inputs)[level]
        pairs = zip(grads, self._leaves.parts, strict=True)
        return self._number(value), [None if grad is None else reals(self._host(grad), part) for grad, part in pairs]

    def _inputs(self, point: Vector) -> list[Any]:
        """The arguments of a level at a point, where the variables are set to their values there."""
        if self._variables:
            self._leaves.assign(point)
        return self._leaves.tensors(point)[: self._leaves.given] + self._constants + self._along

    def _built(self, inputs: Sequence[Any]) -> Callable[..., Any] | None:
        """The one graph of a mode that puts gradients into graphs."""
        if self._joint is None and self._mode.static:

            def everything(*inputs: Any) -> list[tuple[Any, list[Any]]]:
                return [self._differentiated(level, inputs) for level in range(self.order)]

            self._joint = self._mode.joint_graph(identity.subject(everything, self._fn, "check_grads"), inputs)
        return self._joint

    def _differentiated(self, level: int, inputs: Sequence[Any]) -> tuple[Any, list[Any]]:
        value, grads, of_variables = self._mode.value_and_grad(
            self._levels[level], inputs, range(self._leaves.given), self._variables
        )
        return value, [*grads, *of_variables]

    def _projected(self, *inputs: Any) -> Any:
        args = self._leaves.rebuilt(inputs[: self._leaves.given + len(self._constants)])
        return self.projection(self._mode.callback(self._run)(*args))

    def _slope(self, *inputs: Any) -> Any:
        """The real inner product of the gradient with the direction of the last inputs."""
        _, grads = self._differentiated(0, inputs)
        pairs = zip(grads, inputs[-len(self._leaves.parts) :], strict=True)
        terms = [self._inner(grad, along) for grad, along in pairs if grad is not None]
        return functools.reduce(operator.add, terms) if terms else self._runtime.tensor(0.0)

    def _inner(self, grad: Any, along: Any) -> Any:
        xp = self._runtime.xp
        if describe.dtype_name(along) in _COMPLEX:
            return xp.sum(xp.real(grad) * xp.real(along) + xp.imag(grad) * xp.imag(along))
        return xp.sum(grad * along)

    def _host(self, tensor: Any) -> np.ndarray[Any, Any]:
        return self._mode.numpy(tensor) if self._mode.is_tensor(tensor) else np.asarray(tensor)

    def _number(self, tensor: Any) -> float:
        return float(self._host(tensor))


def _shape(tensor: Any) -> tuple[int, ...] | None:
    """The shape of a tensor, None where a TensorFlow graph does not know all of it."""
    shape = tensor.shape
    if getattr(shape, "rank", 0) is None or any(size is None for size in shape):
        return None
    return tuple(shape)


def _described(outputs: Any, leaves: Sequence[Any]) -> str:
    if len(leaves) == 1 and leaves[0] is outputs:
        return describe.leaf(outputs)
    return f"a {type(outputs).__name__} of " + (", ".join(map(describe.leaf, leaves[:3])) or "nothing")
