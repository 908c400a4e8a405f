"""Wrong gradients of layers, through paths that are cut, of complex numbers, and of second order only."""

from __future__ import annotations

import numpy as np

from tests.backends.gradient_cases.case import case, cnormal, custom, detached, normal, positive, wrong

# Layers.


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


# Paths.


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


# Complex.


@wrong
def conjugate_missing(g):
    operation = custom(g, lambda z: z * z, lambda up, z: up * 2 * z)
    return case(lambda z: g.xp.real(g.xp.sum(operation(z))), cnormal(g, 6))


@wrong
def imaginary_part_dropped(g):
    operation = custom(g, lambda z: z * z, lambda up, z: g.xp.add(g.xp.real(up * 2 * g.xp.conj(z)), 0 * z))
    return case(lambda z: g.xp.sum(g.xp.abs(operation(z)) ** 2), cnormal(g, 6))


# Second order only.


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
