"""Functions with right and with wrong gradients, for `test_check_grads_table.py` and the benchmarks.

A case takes a handle and returns a function, its arguments and options of `check_grads`, drawn from the handle's `rng`.
Wrong gradients are made with the frameworks' own custom gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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


# Right: elementwise functions and reductions.


@right
def polynomial(g):
    return case(lambda x: g.xp.sum(3 * x**3 - x**2 + x), normal(g, 5))


@right
def sine_of_a_scalar(g):
    return case(lambda x: g.xp.sin(x), np.float64(g.rng.normal()))


@right
def exponentials(g):
    return case(lambda x: g.xp.sum(g.xp.exp(x) * g.xp.tanh(x)), normal(g, 4, 3))


@right
def logarithms(g):
    return case(lambda x: g.xp.sum(g.xp.log(x) / g.xp.sqrt(x)), positive(g, 20))


@right
def powers_of_two_arguments(g):
    return case(lambda x, y: g.xp.sum(x**y), positive(g, 6), normal(g, 6))


@right
def angle(g):
    return case(lambda y, x: g.xp.sum(g.xp.arctan2(y, x)), normal(g, 7), positive(g, 7))


@right
def mean_of_squares(g):
    return case(lambda x: g.xp.mean(x**2), normal(g, 1000))


@right
def big_sum(g):
    return case(lambda x: g.xp.sum(x**2), normal(g, 20_000))


@right
def standard_deviation(g):
    return case(lambda x: g.xp.std(x), normal(g, 50))


@right
def product_with_a_small_factor(g):
    x = positive(g, 6)
    x[2] = 1e-3
    return case(lambda x: g.xp.prod(x), x)


@right
def running_sums_and_products(g):
    return case(lambda x: g.xp.sum(g.xp.cumsum(x) * g.xp.cumprod(x)), positive(g, 8))


@right
def norm_of_a_vector(g):
    return case(lambda x: g.xp.sqrt(g.xp.sum(x**2)), normal(g, 30))


@right
def log_sum_exp(g):
    return case(lambda x: g.xp.log(g.xp.sum(g.xp.exp(x))), normal(g, 10) * 5)


@right
def softmax_cross_entropy(g):
    labels = g.rng.integers(0, 10, size=16)

    def loss(logits):
        shifted = logits - g.xp.max(logits, axis=1, keepdims=True)
        logs = shifted - g.xp.log(g.xp.sum(g.xp.exp(shifted), axis=1, keepdims=True))
        return -g.xp.mean(g.xp.sum(logs * g.tensor(np.eye(10)[labels]), axis=1))

    return case(loss, normal(g, 16, 10))


@right
def layer_normalisation(g):
    def loss(x, gain, bias):
        centred = x - g.xp.mean(x, axis=-1, keepdims=True)
        scale = g.xp.sqrt(g.xp.mean(centred**2, axis=-1, keepdims=True) + 1e-5)
        return g.xp.sum(g.xp.sin(centred / scale * gain + bias))

    return case(loss, normal(g, 8, 16), np.ones(16), np.zeros(16))


@right
def broadcasting(g):
    return case(lambda x, y: g.xp.sum((x + y) * x), normal(g, 5, 1, 3), normal(g, 4, 1))


# Right: linear algebra.


@right
def matrix_product(g):
    return case(lambda a, b: g.xp.sum(g.xp.sin(g.xp.matmul(a, b))), normal(g, 5, 6), normal(g, 6, 4))


@right
def tensor_contraction(g):
    return case(lambda a, b: g.xp.einsum("bij,bjk->bik", a, b), normal(g, 3, 2, 4), normal(g, 3, 4, 2))


@right
def linear_solve(g):
    matrix = normal(g, 5, 5) + 5 * np.eye(5)
    return case(lambda a, b: g.xp.sum(g.xp.linalg.solve(a, b)), matrix, normal(g, 5, 2))


@right
def inverse(g):
    return case(lambda a: g.xp.linalg.inv(a), normal(g, 4, 4) + 4 * np.eye(4))


@right
def log_determinant(g):
    return case(lambda a: g.xp.linalg.slogdet(a)[1], normal(g, 4, 4) + 4 * np.eye(4))


@right
def cholesky_factor(g):
    def loss(a):
        return g.xp.sum(g.xp.linalg.cholesky(g.xp.matmul(a, g.xp.transpose(a)) + g.tensor(4 * np.eye(4))) ** 2)

    return case(loss, normal(g, 4, 4))


@right
def singular_values(g):
    return case(
        lambda a: g.xp.sum(g.xp.linalg.svd(a, full_matrices=False)[1] ** 3),
        normal(g, 5, 3) + np.eye(5, 3) * np.arange(1, 4),
    )


@right
def eigenvalues(g):
    def loss(a):
        return g.xp.sum(g.xp.linalg.eigvalsh(a + g.xp.transpose(a)) ** 3)

    return case(loss, normal(g, 4, 4) + np.diag(np.arange(4.0)))


# Right: order, choice and kinks.


@right
def relu_network(g):
    def loss(x, w1, w2):
        return g.xp.sum(g.xp.matmul(g.xp.maximum(g.xp.matmul(x, w1), 0.0), w2) ** 2)

    return case(loss, normal(g, 16, 20), normal(g, 20, 30), normal(g, 30, 4))


@right
def relu_network_with_zero_bias(g):
    def loss(p):
        hidden = g.xp.maximum(g.xp.matmul(p["x"], p["w"]) + p["b"], 0.0)
        return g.xp.mean((hidden - 1.0) ** 2)

    return case(loss, {"x": normal(g, 8, 5), "w": normal(g, 5, 7), "b": np.zeros(7)})


@right
def relu_at_its_kink(g):
    x = normal(g, 12)
    x[::4] = 0.0
    return case(lambda x: g.xp.sum(g.xp.maximum(x, 0.0)), x)


@right
def absolute_value_at_zero(g):
    x = normal(g, 9)
    x[3] = 0.0
    return case(lambda x: g.xp.sum(g.xp.abs(x) * 2), x)


@right
def all_inputs_at_a_kink(g):
    return case(lambda x: g.xp.sum(g.xp.maximum(x, 0.0) + 0.5 * x), np.zeros(40))


@right
def relu_of_a_product_that_is_zero(g):
    return case(lambda x, w: g.xp.sum(g.xp.maximum(g.xp.matmul(w, x), 0.0)), np.zeros(6), normal(g, 5, 6))


@right
def maximum_of_equal_arguments(g):
    x = normal(g, 5)
    return case(lambda x, y: g.xp.sum(g.xp.maximum(x, y)), x, x.copy())


@right
def maximum_along_an_axis(g):
    return case(lambda x: g.xp.sum(g.xp.max(x, axis=1) ** 2), normal(g, 6, 9))


@right
def sorted_values(g):
    return case(lambda x: g.xp.sum(g.xp.sort(x) * g.tensor(np.arange(1.0, 31))), normal(g, 30))


@right
def chosen_by_sign(g):
    return case(lambda x: g.xp.sum(g.xp.where(x > 0, x**2, g.xp.sin(x))), normal(g, 25))


@right
def clipped(g):
    return case(lambda x: g.xp.sum(g.xp.clip(x, -0.5, 0.5) * x), normal(g, 25))


@right
def rounded_away(g):
    return case(lambda x: g.xp.sum(x * detached(g, g.xp.floor(x))), normal(g, 25) + 0.1)


# Right: scales.


@right
def tiny_inputs(g):
    return case(lambda x: g.xp.sum(g.xp.sin(x * 1e6)), normal(g, 12) * 1e-6)


@right
def tiny_inputs_of_a_square(g):
    return case(lambda x: g.xp.sum(x**2), normal(g, 12) * 1e-6)


@right
def large_inputs(g):
    return case(lambda x: g.xp.sum(g.xp.log(1 + x**2)), normal(g, 12) * 1e4)


@right
def tiny_and_large_leaves(g):
    def loss(p):
        return g.xp.sum(g.xp.sin(p["tiny"] * 1e6)) * 1e-3 + g.xp.sum(p["large"] ** 2)

    return case(loss, {"tiny": normal(g, 5) * 1e-6, "large": normal(g, 5) * 1e4})


@right
def tiny_and_large_elements(g):
    x = positive(g, 8) * np.logspace(-6, 4, 8)
    return case(lambda x: g.xp.sum(g.xp.log(x)), x)


@right
def large_offset(g):
    return case(lambda x: g.xp.sum(g.xp.sin(x)) + 1e6, normal(g, 10))


@right
def saturated_sigmoid(g):
    return case(lambda x: g.xp.sum(1 / (1 + g.xp.exp(-x))), normal(g, 6) + 30)


@right
def cube_at_zero(g):
    return case(lambda x: g.xp.sum(x**3), np.zeros(4))


@right
def cancelling_sum(g):
    return case(lambda x: g.xp.sum((x + 1e5) ** 2) - g.xp.sum(x**2 + 1e10), normal(g, 5))


@right
def masked_with_infinity(g):
    mask = np.where(g.rng.uniform(size=(4, 4)) < 0.3, -np.inf, 0.0)
    np.fill_diagonal(mask, 0.0)

    def loss(scores, mask):
        weights = g.xp.exp(scores + mask)
        return g.xp.sum((weights / g.xp.sum(weights, axis=1, keepdims=True)) ** 2)

    return case(loss, normal(g, 4, 4), mask)


# Right: dtypes.


@right
def captured_float32(g):
    weight = g.tensor(normal(g, 4, 6), dtype="float32")

    def loss(x):
        return g.xp.sum(g.pick(tf=lambda: g.lib.matmul(weight, x), torch=lambda: weight @ x)() ** 2)

    return case(loss, normal(g, 6, 2))


@right
def cast_to_float32(g):
    def loss(x):
        return g.xp.sum(g.xp.astype(x, "float32") ** 2)

    return case(loss, normal(g, 6))


@right
def float32_inside(g):
    def loss(x):
        return g.xp.sum(g.xp.astype(g.xp.sin(g.xp.astype(x, "float32")), "float64")) * 1.0

    return case(loss, normal(g, 6))


@right
def complex_magnitude(g):
    return case(lambda z: g.xp.sum(g.xp.abs(z) ** 3), cnormal(g, 6))


@right
def complex_exponential(g):
    return case(lambda z: g.xp.exp(z * 1j) * z, cnormal(g, 4))


@right
def complex_and_real(g):
    return case(lambda z, x: g.xp.real(g.xp.sum(g.xp.multiply(z * z, g.xp.exp(x)))), cnormal(g, 5), normal(g, 5))


@right
def complex_matrix_product(g):
    return case(lambda a, b: g.xp.matmul(a, b), cnormal(g, 3, 4), cnormal(g, 4, 2))


# Right: structure and control flow.


class Batch(NamedTuple):
    values: Any
    index: Any


@right
def trees_with_integers(g):
    batch = Batch(normal(g, 6, 3), g.rng.integers(0, 6, size=9))
    return case(
        lambda batch, scale: g.xp.sum(g.xp.take(batch.values, batch.index, axis=0) * scale), batch, normal(g, 3)
    )


@right
def trees_of_outputs(g):
    def both(x):
        return {"sine": g.xp.sin(x), "sum": (g.xp.sum(x**2), g.xp.argmax(x))}

    return case(both, normal(g, 7))


@right
def joined_and_split(g):
    def loss(x, y):
        joined = g.xp.concatenate([x, g.xp.flip(y)])
        return g.xp.sum(joined[1:] * joined[:-1])

    return case(loss, normal(g, 4), normal(g, 5))


@right
def scalar_arguments(g):
    return case(lambda a, b: a * g.xp.exp(b), np.float64(g.rng.normal()), np.asarray(g.rng.normal()))


@right
def python_loop(g):
    def loss(x):
        for step in range(4):
            x = g.xp.sin(x) + step * x
        return g.xp.sum(x)

    return case(loss, normal(g, 5))


@right
def counted_loop(g):
    return case(lambda x: g.xp.sum(g.fori_loop(0, 5, lambda i, x: g.xp.sin(x) * 1.5, x)), normal(g, 5))


@right
def conditional_loop(g):
    def loss(x):
        _, total = g.while_loop(lambda n, t: n < 4, lambda n, t: (n + 1, g.xp.tanh(t) * 1.5), (g.tensor(0), x))
        return g.xp.sum(total)

    return case(loss, normal(g, 5))


@right
def recurrent_network(g):
    def loss(xs, w, u):
        def step(h, x):
            h = g.xp.tanh(g.xp.matmul(w, h) + g.xp.matmul(u, x))
            return h, g.xp.sum(h)

        h, sums = g.scan(step, g.tensor(np.zeros(4)), xs)
        return g.xp.sum(h**2) + g.xp.sum(sums)

    return case(loss, normal(g, 6, 3), normal(g, 4, 4) / 2, normal(g, 4, 3))


@right
def branch(g):
    def loss(x):
        return g.cond(g.xp.sum(x) > 0, lambda x: g.xp.sum(x**2), lambda x: g.xp.sum(g.xp.sin(x)), x)

    return case(loss, normal(g, 5))


@right
def chosen_branch(g):
    def loss(x, n):
        return g.switch(n, [lambda x: g.xp.sum(x**2), lambda x: g.xp.sum(g.xp.sin(x))], x)

    return case(loss, normal(g, 5), np.int32(g.rng.integers(0, 2)))


@right
def custom_gradient(g):
    operation = custom(g, lambda x: g.xp.sin(x), lambda up, x: up * g.xp.cos(x))
    return case(lambda x: g.xp.sum(operation(x) ** 2), normal(g, 8))


@right
def gradient_inside(g):
    def penalty(x):
        return g.xp.sum(g.grad(lambda x: g.xp.sum(g.xp.sin(x) * x))(x) ** 2)

    return case(penalty, normal(g, 5))


# Right: second order.


@right
def second_order_polynomial(g):
    return case(lambda x, y: g.xp.sum(x**3 * y), normal(g, 4), normal(g, 4), order=2)


@right
def second_order_network(g):
    def loss(p):
        return g.xp.mean(g.xp.matmul(g.xp.tanh(g.xp.matmul(p["x"], p["w"])), p["v"]) ** 2)

    return case(loss, {"x": normal(g, 5, 3), "w": normal(g, 3, 4), "v": normal(g, 4, 2)}, order=2)


@right
def second_order_of_a_linear_function(g):
    weight = normal(g, 5)
    return case(lambda x: g.xp.sum(x * g.tensor(weight)), normal(g, 5), order=2)


@right
def second_order_linear_in_one_argument(g):
    return case(lambda x, y: g.xp.sum(x**2) + g.xp.sum(y), normal(g, 5), normal(g, 5), order=2)


@right
def second_order_complex(g):
    return case(lambda z: g.xp.sum(g.xp.real(z * z * z)), cnormal(g, 4), order=2)


@right
def second_order_many_outputs(g):
    return case(lambda x: {"a": g.xp.sin(x), "b": x[:2] ** 3}, normal(g, 4), order=2)


# Wrong: elementwise.


@wrong
def sign_flipped(g):
    operation = custom(g, lambda x: g.xp.sin(x), lambda up, x: -up * g.xp.cos(x))
    return case(lambda x: g.xp.sum(operation(x)), normal(g, 6))


@wrong
def sign_flipped_in_a_scalar(g):
    operation = custom(g, lambda x: g.xp.cos(x), lambda up, x: up * g.xp.sin(x))
    return case(lambda x: operation(x), np.float64(1 + g.rng.uniform()))


@wrong
def twice(g):
    operation = custom(g, lambda x: x**2, lambda up, x: 4 * up * x)
    return case(lambda x: g.xp.sum(operation(x)), normal(g, 6))


@wrong
def half(g):
    operation = custom(g, lambda x: x**2, lambda up, x: up * x)
    return case(lambda x: g.xp.sum(operation(x)), normal(g, 6))


@wrong
def missing_term(g):
    operation = custom(g, lambda x: x * g.xp.sin(x), lambda up, x: up * g.xp.sin(x))
    return case(lambda x: g.xp.sum(operation(x)), normal(g, 6))


@wrong
def one_percent(g):
    operation = custom(g, lambda x: g.xp.exp(x), lambda up, x: 1.01 * up * g.xp.exp(x))
    return case(lambda x: g.xp.sum(operation(x)), normal(g, 50))


@wrong
def one_percent_of_a_mean(g):
    operation = custom(g, lambda x: g.xp.exp(x), lambda up, x: 0.99 * up * g.xp.exp(x))
    return case(lambda x: g.xp.mean(operation(x)), normal(g, 4_000))


@wrong
def one_percent_in_float32(g):
    operation = custom(g, lambda x: g.xp.exp(x), lambda up, x: 1.01 * up * g.xp.exp(x))
    return case(lambda x: g.xp.sum(operation(g.xp.astype(x, "float32"))), normal(g, 8))


@wrong
def one_percent_under_a_large_offset(g):
    operation = custom(g, lambda x: g.xp.sin(x), lambda up, x: 1.01 * up * g.xp.cos(x))
    return case(lambda x: g.xp.sum(operation(x)) + 1e6, normal(g, 10))


@wrong
def regularised_logarithm(g):
    operation = custom(g, lambda x: g.xp.log(x), lambda up, x: up / (x + 1e-3))
    return case(lambda x: g.xp.sum(operation(x)), positive(g, 10))


@wrong
def absolute_value_without_sign(g):
    operation = custom(g, lambda x: g.xp.abs(x), lambda up, x: up)
    return case(lambda x: g.xp.sum(operation(x)), -positive(g, 10))


@wrong
def nothing_passed_back(g):
    operation = custom(g, lambda x: g.xp.sin(x), lambda up, x: up * 0)
    return case(lambda x: g.xp.sum(operation(x)), normal(g, 10))


@wrong
def clipped_upstream(g):
    operation = custom(g, lambda x: x, lambda up, x: g.xp.clip(up, -1.0, 1.0))
    return case(lambda x: g.xp.sum(operation(x) ** 2), normal(g, 20) * 3)


# Wrong: branches and kinks.


@wrong
def dropped_branch(g):
    operation = custom(
        g,
        lambda x: g.xp.where(x > 0, x**2, g.xp.sin(x)),
        lambda up, x: up * g.xp.where(x > 0, 2 * x, g.xp.zeros_like(x)),
    )
    return case(lambda x: g.xp.sum(operation(x)), normal(g, 20))


@wrong
def relu_passes_everything(g):
    operation = custom(g, lambda x: g.xp.maximum(x, 0.0), lambda up, x: up)
    return case(lambda x: g.xp.sum(operation(x) ** 2 + operation(x)), normal(g, 20))


@wrong
def straight_through_rounding(g):
    operation = custom(g, lambda x: g.xp.floor(x), lambda up, x: up)
    return case(lambda x: g.xp.sum(operation(x) * x), normal(g, 10))


@wrong
def straight_through_clipping(g):
    operation = custom(g, lambda x: g.xp.clip(x, -1.0, 1.0), lambda up, x: up)
    return case(lambda x: g.xp.sum(operation(x)), normal(g, 20) * 2)


@wrong
def maximum_spread_evenly(g):
    operation = custom(g, lambda x: g.xp.max(x), lambda up, x: up * g.xp.ones_like(x) / 10)
    return case(lambda x: operation(x) ** 2, normal(g, 10))


@wrong
def wrong_beside_a_kink(g):
    operation = custom(g, lambda x: g.xp.sin(x), lambda up, x: 1.01 * up * g.xp.cos(x))
    x = normal(g, 12)
    x[::3] = 0.0
    return case(lambda x, y: g.xp.sum(g.xp.abs(x)) + g.xp.sum(operation(y)), x, normal(g, 12))


# Wrong: shapes and places.


@wrong
def wrong_axis(g):
    def backward(up, x):
        return g.xp.broadcast_to(g.xp.reshape(up, (1, 5)), (5, 5))

    operation = custom(g, lambda x: g.xp.sum(x, axis=1), backward)
    return case(lambda x: g.xp.sum(operation(x) ** 2), normal(g, 5, 5))


@wrong
def transposed(g):
    def backward(up, a, b):
        return g.xp.transpose(g.xp.matmul(up, g.xp.transpose(b))), g.xp.matmul(g.xp.transpose(a), up)

    operation = custom(g, lambda a, b: g.xp.matmul(a, b), backward)
    return case(lambda a, b: g.xp.sum(operation(a, b) ** 2), normal(g, 4, 4), normal(g, 4, 4))


@wrong
def reversed_elements(g):
    operation = custom(g, lambda x: x**2, lambda up, x: g.xp.flip(2 * up * x))
    return case(lambda x: g.xp.sum(operation(x)), normal(g, 10))


@wrong
def shifted_by_one(g):
    operation = custom(g, lambda x: g.xp.roll(x, 1), lambda up, x: up)
    return case(lambda x: g.xp.sum(operation(x) ** 2), normal(g, 10))


@wrong
def running_sum_not_reversed(g):
    operation = custom(g, lambda x: g.xp.cumsum(x), lambda up, x: g.xp.cumsum(up))
    return case(lambda x: g.xp.sum(operation(x) ** 2), normal(g, 10))


@wrong
def one_element_of_10000(g):
    factor = np.ones(10_000)
    factor[g.rng.integers(10_000)] = 1.5
    operation = custom(g, lambda x: g.xp.sin(x), lambda up, x: up * g.xp.cos(x) * g.tensor(factor))
    return case(lambda x: g.xp.sum(operation(x)), g.rng.uniform(-1, 1, size=10_000))


@wrong
def one_element_left_out(g):
    kept = np.ones((100, 100))
    kept[-1, -1] = 0.0
    operation = custom(g, lambda x: x**2, lambda up, x: 2 * up * x * g.tensor(kept))
    return case(lambda x: g.xp.mean(operation(x)), positive(g, 100, 100))


@wrong
def repeated_rows_counted_once(g):
    index = np.array([0, 2, 2, 1])

    def backward(up, x):
        return g.xp.concatenate([up[:1], up[3:4], up[2:3]])

    operation = custom(g, lambda x: g.xp.take(x, index, axis=0), backward)
    return case(lambda x: g.xp.sum(operation(x) ** 2), normal(g, 3, 4))


@wrong
def broadcast_not_summed(g):
    def backward(up, x, b):
        return up, up[0]

    operation = custom(g, lambda x, b: x + b, backward)
    return case(lambda x, b: g.xp.sum(g.xp.sin(operation(x, b))), normal(g, 6, 4), normal(g, 4))


@wrong
def swapped_arguments(g):
    operation = custom(g, lambda x, y: x * y, lambda up, x, y: (up * x, up * y))
    return case(lambda x, y: g.xp.sum(operation(x, y)), normal(g, 5), normal(g, 5))


@wrong
def one_argument_of_two(g):
    operation = custom(g, lambda x, y: x * y**2, lambda up, x, y: (up * y**2, up * x * y))
    return case(lambda x, y: g.xp.sum(operation(x, y)), normal(g, 5), normal(g, 5))


@wrong
def one_leaf_of_a_dict(g):
    operation = custom(g, lambda x: x**2, lambda up, x: 2.02 * up * x)

    def loss(p):
        return g.xp.sum(p["a"] ** 2) + g.xp.sum(p["b"][0] ** 2) + g.xp.sum(operation(p["b"][1]))

    return case(loss, {"a": normal(g, 50), "b": [normal(g, 50), normal(g, 5)]})


@wrong
def small_leaf_dropped(g):
    def loss(p):
        return g.xp.sum(p["large"] ** 2) + g.xp.sum(detached(g, p["small"]) + p["small"] * 0)

    return case(loss, {"large": normal(g, 100) * 30, "small": positive(g, 3) * 1e-3})


@wrong
def small_leaf_off_by_a_factor(g):
    operation = custom(g, lambda x: x**2, lambda up, x: 3 * up * x)

    def loss(p):
        return g.xp.sum(p["large"] ** 2) + g.xp.sum(operation(p["small"]))

    return case(loss, {"large": normal(g, 100) * 30, "small": positive(g, 3) * 1e-2})


@wrong
def tiny_inputs_wrong(g):
    operation = custom(g, lambda x: g.xp.sin(x * 1e6), lambda up, x: up * g.xp.cos(x * 1e6) * 1.01e6)
    return case(lambda x: g.xp.sum(operation(x)), normal(g, 10) * 1e-6)


# Wrong: layers.


@wrong
def softmax_without_its_second_term(g):
    def softmax(x):
        return g.xp.exp(x) / g.xp.sum(g.xp.exp(x))

    operation = custom(g, softmax, lambda up, x: up * softmax(x))
    return case(lambda x: g.xp.sum(operation(x) ** 2), normal(g, 8))


@wrong
def normalisation_with_frozen_statistics(g):
    def loss(x):
        mean, deviation = detached(g, g.xp.mean(x)), detached(g, g.xp.std(x))
        return g.xp.sum(g.xp.sin((x - mean) / deviation))

    return case(loss, normal(g, 12))


@wrong
def solve_without_transpose(g):
    matrix = normal(g, 4, 4) + 4 * np.eye(4)
    operation = custom(
        g, lambda b: g.xp.linalg.solve(g.tensor(matrix), b), lambda up, b: g.xp.linalg.solve(g.tensor(matrix), up)
    )
    return case(lambda b: g.xp.sum(operation(b) ** 2), normal(g, 4, 1))


@wrong
def variance_with_the_wrong_divisor(g):
    operation = custom(
        g, lambda x: g.xp.sum((x - g.xp.mean(x)) ** 2) / 9, lambda up, x: up * 2 * (x - g.xp.mean(x)) / 10
    )
    return case(lambda x: operation(x), normal(g, 10))


# Wrong: paths.


@wrong
def detached_path(g):
    return case(lambda x: g.xp.sum(x * detached(g, g.xp.exp(x))), normal(g, 8))


@wrong
def detached_entirely(g):
    return case(lambda x, y: g.xp.sum(x * detached(g, y)), normal(g, 8), normal(g, 8))


@wrong
def detached_in_a_loop(g):
    def loss(x):
        return g.xp.sum(g.fori_loop(0, 4, lambda i, t: g.xp.sin(detached(g, t)) + x * t, x))

    return case(loss, normal(g, 5))


@wrong
def detached_state(g):
    def loss(xs, w):
        def step(h, x):
            h = g.xp.tanh(g.xp.matmul(w, detached(g, h)) + x)
            return h, h

        return g.xp.sum(g.scan(step, g.tensor(np.zeros(3)), xs)[1])

    return case(loss, normal(g, 5, 3), normal(g, 3, 3))


@wrong
def detached_in_one_branch(g):
    def loss(x):
        return g.cond(g.xp.sum(x) > 0, lambda x: g.xp.sum(x * detached(g, x)), lambda x: g.xp.sum(x**2), x)

    return case(loss, positive(g, 5))


# Wrong: complex.


@wrong
def conjugate_missing(g):
    operation = custom(g, lambda z: z * z, lambda up, z: up * 2 * z)
    return case(lambda z: g.xp.real(g.xp.sum(operation(z))), cnormal(g, 6))


@wrong
def imaginary_part_dropped(g):
    operation = custom(g, lambda z: z * z, lambda up, z: g.xp.add(g.xp.real(up * 2 * g.xp.conj(z)), 0 * z))
    return case(lambda z: g.xp.sum(g.xp.abs(operation(z)) ** 2), cnormal(g, 6))


# Wrong: second order only.


@wrong
def second_derivative_missing(g):
    operation = custom(g, lambda x: x**3, lambda up, x: up * detached(g, 3 * x**2))
    return case(lambda x: g.xp.sum(operation(x)), positive(g, 6), order=2)


@wrong
def second_derivative_with_the_wrong_sign(g):
    cosine = custom(g, lambda x: g.xp.cos(x), lambda up, x: up * g.xp.sin(x))
    operation = custom(g, lambda x: g.xp.sin(x), lambda up, x: up * cosine(x))
    return case(lambda x: g.xp.sum(operation(x)), normal(g, 6), order=2)


@wrong
def second_derivative_of_one_argument(g):
    square = custom(g, lambda y: y**2, lambda up, y: up * y)
    operation = custom(g, lambda x, y: x**2 * y**2, lambda up, x, y: (up * 2 * x * y**2, up * square(x) * 2 * y))
    return case(lambda x, y: g.xp.sum(operation(x, y)), normal(g, 5), normal(g, 5), order=2)
