"""The directions in which a gradient is compared, and the projection that makes one number of many outputs.

Entries have random signs and magnitudes of 0.5 to 1.5 times the scale of their leaf: with plain +-1 the errors of a
permuted gradient can cancel exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytest_graphmode.gradients.arguments import Leaf, Vector

DOMINANCE = 30.0
"""How many times the contribution of the least leaf another one may have before it is shrunk."""

UNSEEN = 1e-3
"""What a leaf with a gradient of zero is taken to contribute, relative to the least other one."""


def magnitudes(rng: np.random.Generator, size: int) -> Vector:
    """Numbers of 0.5 to 1.5."""
    return rng.uniform(0.5, 1.5, size)


def signed(rng: np.random.Generator, size: int) -> Vector:
    """Numbers of 0.5 to 1.5 with random signs."""
    signs: Vector = rng.choice((-1.0, 1.0), size)
    return magnitudes(rng, size) * signs


def scales(leaves: Sequence[Leaf], size: int) -> Vector:
    """The scale of every coordinate: that of its leaf."""
    found = np.empty(size)
    for leaf in leaves:
        found[leaf.span] = leaf.scale
    return found


def pair(
    rng: np.random.Generator, leaves: Sequence[Leaf], point: Vector, gradient: Vector, least: float
) -> list[Vector]:
    """Two directions: signs at random, and signs equal to the gradient's.

    Args:
        least: a contribution below which rounding of the function hides a leaf anyway.
    """
    scale = np.where(np.isfinite(point), scales(leaves, point.size), 0.0)
    first, second = signed(rng, point.size), signed(rng, point.size)
    aligned = np.where(gradient == 0, second, np.copysign(second, gradient))
    return [balanced(direction * scale, leaves, gradient, least) for direction in (first, aligned)]


def balanced(direction: Vector, leaves: Sequence[Leaf], gradient: Vector, least: float) -> Vector:
    """The direction with leaves shrunk that would drown an error in the others."""
    if len(leaves) == 1:
        return direction
    terms = gradient * direction
    sizes = [float(np.linalg.norm(terms[leaf.span])) for leaf in leaves]
    seen = [size for size in sizes if size > 0]
    if not seen:
        return direction
    limit = DOMINANCE * max(min(seen), least)
    if len(seen) < len(sizes):
        limit = max(limit * UNSEEN, DOMINANCE * least)
    shrunk = direction.copy()
    for leaf, size in zip(leaves, sizes, strict=True):
        if size > limit:
            shrunk[leaf.span] *= limit / size
    return shrunk
