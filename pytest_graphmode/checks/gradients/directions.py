"""The directions in which a gradient is compared, and the projection that makes one number of many outputs.

Entries have random signs and magnitudes of 0.5 to 1.5 times the scale of their leaf: with plain +-1 the errors of a
permuted gradient can cancel exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pytest_graphmode.checks.gradients.arguments import Leaf, Vector

DOMINANCE = 30.0
"""How many times the contribution of the least leaf another one may have before it is shrunk."""


def signed(rng: np.random.Generator, size: int | tuple[int, ...]) -> Vector:
    """Numbers of 0.5 to 1.5 with random signs."""
    drawn = rng.uniform(-1.0, 1.0, size)
    return drawn + np.copysign(0.5, drawn)


def scaled(direction: Vector, leaves: Sequence[Leaf], point: Vector) -> Vector:
    """Directions, along the last axis, with the scale of each leaf; elements that are not finite do not move."""
    for leaf in leaves:
        direction[..., leaf.span] *= leaf.scale
    return direction if np.isfinite(point).all() else np.where(np.isfinite(point), direction, 0.0)


def pair(
    rng: np.random.Generator, leaves: Sequence[Leaf], point: Vector, gradient: Vector, least: float
) -> list[Vector]:
    """Two directions: signs at random, and signs equal to the gradient's.

    A leaf with a gradient of zero, which may be a term left out, shows in the first one, where the others are shrunk
    as far as rounding allows.

    Args:
        least: a contribution below which rounding of the function hides a leaf anyway.
    """
    first, second = scaled(signed(rng, (2, point.size)), leaves, point)
    aligned = np.where(gradient == 0, second, np.copysign(second, gradient))
    if len(leaves) > 1:
        unseen = any(not gradient[leaf.span].any() for leaf in leaves)
        first = balanced(first, leaves, gradient, least, drown_none=unseen)
        aligned = balanced(aligned, leaves, gradient, least)
    return [first, _shortened(aligned, gradient)]


def _shortened(direction: Vector, gradient: Vector) -> Vector:
    """An aligned direction, in which all terms add up, made shorter, so that the function does not bend as much."""
    terms = gradient * direction
    total = float(terms.sum())
    return direction * math.sqrt(norm(terms) / total) if total else direction


def norm(vector: Vector) -> float:
    """The 2-norm."""
    return math.sqrt(float(vector @ vector))


def balanced(
    direction: Vector, leaves: Sequence[Leaf], gradient: Vector, least: float, *, drown_none: bool = False
) -> Vector:
    """The direction with leaves shrunk that would drown an error in the others.

    Args:
        least: no leaf is shrunk below `DOMINANCE` times this contribution.
        drown_none: shrink all leaves to that, so that one with a gradient of zero would show.
    """
    terms = gradient * direction
    sizes = [norm(terms[leaf.span]) for leaf in leaves]
    seen = [size for size in sizes if size > 0]
    if not seen:
        return direction
    limit = DOMINANCE * (least if drown_none else max(min(seen), least))
    shrunk = direction.copy()
    for leaf, size in zip(leaves, sizes, strict=True):
        if size > limit:
            shrunk[leaf.span] *= limit / size
    return shrunk
