"""Right gradients through dtypes, trees, control flow and to second order."""

from typing import Any, NamedTuple

import numpy as np

from tests.backends.gradient_cases.case import RIGHT, case, cnormal, custom, normal, right

# Dtypes.


@right
def captured_float32(g):
    weight = g.tensor(normal(g, 4, 6), dtype="float32")

    def loss(x):
        return g.xp.sum(g.pick(tf=lambda: g.lib.matmul(weight, x), torch=lambda: weight @ x)() ** 2)

    return case(loss, normal(g, 6, 2))


# Structure and control flow.


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
def conditional_loop(g):
    g.pick(tf=True, torch=True)  # JAX has no reverse mode through a while_loop

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
def custom_gradient(g):
    operation = custom(g, lambda x: g.xp.sin(x), lambda up, x: up * g.xp.cos(x))
    return case(lambda x: g.xp.sum(operation(x) ** 2), normal(g, 8))


# Second order.


@right
def second_order_network(g):
    def loss(p):
        return g.xp.mean(g.xp.matmul(g.xp.tanh(g.xp.matmul(p["x"], p["w"])), p["v"]) ** 2)

    return case(loss, {"x": normal(g, 5, 3), "w": normal(g, 3, 4), "v": normal(g, 4, 2)}, order=2)


# In a line each.

RIGHT |= {
    "float32_inside": lambda g: case(
        lambda x: g.xp.sum(g.xp.astype(g.xp.sin(g.xp.astype(x, "float32")), "float64")) * 1.0, normal(g, 6)
    ),
    "complex_and_real": lambda g: case(
        lambda z, x: g.xp.real(g.xp.sum(g.xp.multiply(z * z, g.xp.exp(x)))), cnormal(g, 5), normal(g, 5)
    ),
    "branch": lambda g: case(
        lambda x: g.cond(g.xp.sum(x) > 0, lambda x: g.xp.sum(x**2), lambda x: g.xp.sum(g.xp.sin(x)), x),
        normal(g, 5),
    ),
    "second_order_polynomial": lambda g: case(lambda x, y: g.xp.sum(x**3 * y), normal(g, 4), normal(g, 4), order=2),
    "second_order_complex": lambda g: case(lambda z: g.xp.sum(g.xp.real(z * z * z)), cnormal(g, 4), order=2),
    "second_order_many_outputs": lambda g: case(lambda x: {"a": g.xp.sin(x), "b": x[:2] ** 3}, normal(g, 4), order=2),
}
