"""What a case of the tables is, and what cases are made with: draws, custom gradients, cut paths."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pytest_graphmode.handle import Handle


@dataclass(frozen=True)
class Case:
    """A function to differentiate at some arguments."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict)


def case(fn: Callable[..., Any], *args: Any, **options: Any) -> Case:
    return Case(fn, args, options)


Maker = Callable[[Handle], Case]
RIGHT: dict[str, Maker] = {}
WRONG: dict[str, Maker] = {}


def right(maker: Maker) -> Maker:
    RIGHT[maker.__name__] = maker
    return maker


def wrong(maker: Maker) -> Maker:
    WRONG[maker.__name__] = maker
    return maker


def custom(g: Handle, forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    """An operation with a gradient of its own: `backward(upstream, *inputs)` returns one gradient per input."""
    return g.pick(tf=_custom_tf, torch=_custom_torch, jax=_custom_jax)(g, forward, backward)


def _custom_tf(g: Handle, forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    @g.lib.custom_gradient
    def operation(*inputs):
        return forward(*inputs), lambda upstream: backward(upstream, *inputs)

    return operation


def _custom_torch(g: Handle, forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    class Operation(g.lib.autograd.Function):
        @staticmethod
        def forward(ctx, *inputs):
            ctx.save_for_backward(*inputs)
            return forward(*inputs)

        @staticmethod
        def backward(ctx, upstream):
            return backward(upstream, *ctx.saved_tensors)

    return Operation.apply


def _custom_jax(g: Handle, forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    def pulled_back(inputs, upstream):
        conj = g.lib.numpy.conj  # JAX's cotangents are the conjugates of the others'
        grads = backward(conj(upstream), *inputs)
        return tuple(map(conj, grads if isinstance(grads, (tuple, list)) else (grads,)))

    operation = g.lib.custom_vjp(forward)
    operation.defvjp(lambda *inputs: (forward(*inputs), inputs), pulled_back)
    return operation


def detached(g: Handle, tensor: Any) -> Any:
    """A tensor without its path."""
    stop = g.pick(
        tf=lambda: g.lib.stop_gradient, torch=lambda: g.lib.Tensor.detach, jax=lambda: g.lib.lax.stop_gradient
    )
    return stop()(tensor)


def normal(g: Handle, *shape: int) -> np.ndarray:
    return g.rng.normal(size=shape)


def positive(g: Handle, *shape: int) -> np.ndarray:
    return g.rng.uniform(0.5, 2.0, size=shape)


def cnormal(g: Handle, *shape: int) -> np.ndarray:
    return normal(g, *shape) + 1j * normal(g, *shape)
