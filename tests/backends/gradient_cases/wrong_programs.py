"""Wrong gradients of layers, through paths that are cut, of complex numbers, and of second order only."""

import numpy as np

from tests.backends.gradient_cases.case import WRONG, case, cnormal, custom, detached, normal, positive, wrong

# Layers.


@wrong
def normalisation_with_frozen_statistics(g):
    def loss(x):
        mean, deviation = detached(g, g.xp.mean(x)), detached(g, g.xp.std(x))
        return g.xp.sum(g.xp.sin((x - mean) / deviation))

    return case(loss, normal(g, 12))


# Paths.


@wrong
def detached_state(g):
    def loss(xs, w):
        def step(h, x):
            h = g.xp.tanh(g.xp.matmul(w, detached(g, h)) + x)
            return h, h

        return g.xp.sum(g.scan(step, g.tensor(np.zeros(3)), xs)[1])

    return case(loss, normal(g, 5, 3), normal(g, 3, 3))


WRONG |= {
    "detached_entirely": lambda g: case(lambda x, y: g.xp.sum(x * detached(g, y)), normal(g, 8), normal(g, 8)),
    "detached_in_one_branch": lambda g: case(
        lambda x: g.cond(g.xp.sum(x) > 0, lambda x: g.xp.sum(x * detached(g, x)), lambda x: g.xp.sum(x**2), x),
        positive(g, 5),
    ),
}


# Complex.


@wrong
def conjugate_missing(g):
    operation = custom(g, lambda z: z * z, lambda up, z: up * 2 * z)
    return case(lambda z: g.xp.real(g.xp.sum(operation(z))), cnormal(g, 6))


# Second order only.


@wrong
def second_derivative_missing(g):
    operation = custom(g, lambda x: x**3, lambda up, x: up * detached(g, 3 * x**2))
    return case(lambda x: g.xp.sum(operation(x)), positive(g, 6), order=2)
