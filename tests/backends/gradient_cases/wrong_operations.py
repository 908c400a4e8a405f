"""Operations with a wrong gradient of their own: values, branches, places."""

import numpy as np

from tests.backends.gradient_cases.case import case, custom, detached, normal, positive, wrong

# Elementwise.


@wrong
def one_percent(g):
    operation = custom(g, lambda x: g.xp.exp(x), lambda up, x: 1.01 * up * g.xp.exp(x))
    return case(lambda x: g.xp.sum(operation(x)), normal(g, 50))


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
def wrong_beside_a_kink(g):
    operation = custom(g, lambda x: g.xp.sin(x), lambda up, x: 1.01 * up * g.xp.cos(x))
    x = normal(g, 12)
    x[::3] = 0.0
    return case(lambda x, y: g.xp.sum(g.xp.abs(x)) + g.xp.sum(operation(y)), x, normal(g, 12))


# Shapes and places.


@wrong
def transposed(g):
    def backward(up, a, b):
        return g.xp.transpose(g.xp.matmul(up, g.xp.transpose(b))), g.xp.matmul(g.xp.transpose(a), up)

    operation = custom(g, lambda a, b: g.xp.matmul(a, b), backward)
    return case(lambda a, b: g.xp.sum(operation(a, b) ** 2), normal(g, 4, 4), normal(g, 4, 4))


@wrong
def one_element_of_10000(g):
    factor = np.ones(10_000)
    factor[g.rng.integers(10_000)] = 1.5
    operation = custom(g, lambda x: g.xp.sin(x), lambda up, x: up * g.xp.cos(x) * g.tensor(factor))
    return case(lambda x: g.xp.sum(operation(x)), g.rng.uniform(-1, 1, size=10_000))


@wrong
def broadcast_not_summed(g):
    def backward(up, x, b):
        return up, up[0]

    operation = custom(g, lambda x, b: x + b, backward)
    return case(lambda x, b: g.xp.sum(g.xp.sin(operation(x, b))), normal(g, 6, 4), normal(g, 4))


@wrong
def small_leaf_dropped(g):
    def loss(p):
        return g.xp.sum(p["large"] ** 2) + g.xp.sum(detached(g, p["small"]) + p["small"] * 0)

    return case(loss, {"large": normal(g, 100) * 30, "small": positive(g, 3) * 1e-3})


@wrong
def tiny_inputs_wrong(g):
    operation = custom(g, lambda x: g.xp.sin(x * 1e6), lambda up, x: up * g.xp.cos(x * 1e6) * 1.01e6)
    return case(lambda x: g.xp.sum(operation(x)), normal(g, 10) * 1e-6)
