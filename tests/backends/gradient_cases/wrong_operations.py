"""Operations with a wrong gradient of their own: values, branches, places."""

from __future__ import annotations

import numpy as np

from tests.backends.gradient_cases.case import case, custom, detached, normal, positive, wrong

# Elementwise.


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


# Branches and kinks.


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


# Shapes and places.


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
