"""Right gradients of single operations, at kinks, and over many orders of magnitude."""

import numpy as np

from tests.backends.gradient_cases.case import RIGHT, case, normal, positive, right

# Elementwise functions and reductions.


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


# Order, choice and kinks.


@right
def relu_network_with_zero_bias(g):
    def loss(p):
        hidden = g.xp.maximum(g.xp.matmul(p["x"], p["w"]) + p["b"], 0.0)
        return g.xp.mean((hidden - 1.0) ** 2)

    return case(loss, {"x": normal(g, 8, 5), "w": normal(g, 5, 7), "b": np.zeros(7)})


@right
def maximum_of_equal_arguments(g):
    x = normal(g, 5)
    return case(lambda x, y: g.xp.sum(g.xp.maximum(x, y)), x, x.copy())


# Scales.


@right
def tiny_and_large_leaves(g):
    def loss(p):
        return g.xp.sum(g.xp.sin(p["tiny"] * 1e6)) * 1e-3 + g.xp.sum(p["large"] ** 2)

    return case(loss, {"tiny": normal(g, 5) * 1e-6, "large": normal(g, 5) * 1e4})


@right
def masked_with_infinity(g):
    mask = np.where(g.rng.uniform(size=(4, 4)) < 0.3, -np.inf, 0.0)
    np.fill_diagonal(mask, 0.0)

    def loss(scores, mask):
        weights = g.xp.exp(scores + mask)
        return g.xp.sum((weights / g.xp.sum(weights, axis=1, keepdims=True)) ** 2)

    return case(loss, normal(g, 4, 4), mask)


# In a line each.

RIGHT |= {
    "polynomial": lambda g: case(lambda x: g.xp.sum(3 * x**3 - x**2 + x), normal(g, 5)),
    "matrix_product": lambda g: case(
        lambda a, b: g.xp.sum(g.xp.sin(g.xp.matmul(a, b))), normal(g, 5, 6), normal(g, 6, 4)
    ),
    "eigenvalues": lambda g: case(
        lambda a: g.xp.sum(g.xp.linalg.eigvalsh(a + g.xp.transpose(a)) ** 3),
        normal(g, 4, 4) + np.diag(np.arange(4.0)),
    ),
    "all_inputs_at_a_kink": lambda g: case(lambda x: g.xp.sum(g.xp.maximum(x, 0.0) + 0.5 * x), np.zeros(40)),
    "relu_of_a_product_that_is_zero": lambda g: case(
        lambda x, w: g.xp.sum(g.xp.maximum(g.xp.matmul(w, x), 0.0)), np.zeros(6), normal(g, 5, 6)
    ),
    "sorted_values": lambda g: case(lambda x: g.xp.sum(g.xp.sort(x) * g.tensor(np.arange(1.0, 31))), normal(g, 30)),
    "tiny_and_large_elements": lambda g: case(lambda x: g.xp.sum(g.xp.log(x)), positive(g, 8) * np.logspace(-6, 4, 8)),
    "large_offset": lambda g: case(lambda x: g.xp.sum(g.xp.sin(x)) + 1e6, normal(g, 10)),
    "saturated_sigmoid": lambda g: case(lambda x: g.xp.sum(1 / (1 + g.xp.exp(-x))), normal(g, 6) + 30),
    "cube_at_zero": lambda g: case(lambda x: g.xp.sum(x**3), np.zeros(4)),
    "cancelling_sum": lambda g: case(lambda x: g.xp.sum((x + 1e5) ** 2) - g.xp.sum(x**2 + 1e10), normal(g, 5)),
}
