"""Finds the element whose gradient is wrong, after a direction disagreed, and tells it from a kink.

Blocks that disagree are halved, the worse half first, until one coordinate is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pytest_graphmode.gradients.arguments import Leaf, Vector
from pytest_graphmode.gradients.slopes import Estimate, Slopes

EVALUATIONS: Final = 4000
"""How many evaluations a search may take before kinks are judged by whole blocks."""


@dataclass(frozen=True)
class Fault:
    """Coordinates, of one leaf, along which the gradient is wrong: one, or several where no single one stands out."""

    leaf: Leaf
    coordinates: Vector
    direction: Vector
    estimate: Estimate


class Search:
    """A search along one direction that disagreed."""

    def __init__(self, slopes: Slopes, leaves: Sequence[Leaf], direction: Vector) -> None:
        self._slopes = slopes
        self._leaves = leaves
        self._direction = direction
        self._limit = slopes.evaluations + EVALUATIONS

    def fault(self) -> Fault | None:
        """The worst wrong element; None where all that disagreed were kinks or needed other steps."""
        blocks = [np.arange(leaf.span.start, leaf.span.stop) for leaf in self._leaves if leaf.size]
        return self._first(blocks)

    def _first(self, blocks: Sequence[Vector]) -> Fault | None:
        ranked = sorted(blocks, key=lambda block: -self._badness(self._slopes.central(self._within(block))))
        for block in ranked:
            found = self._inside(block)
            if found is not None:
                return found
        return None

    def _badness(self, estimate: Estimate) -> float:
        return estimate.error / estimate.tolerance if estimate.tolerance else estimate.error

    def _inside(self, block: Vector) -> Fault | None:
        direction = self._within(block)
        if self._slopes.agree(direction):
            return None
        spent = self._slopes.evaluations >= self._limit
        if len(block) == 1 or spent:
            return None if self._slopes.kinked(direction) else self._found(block)
        halves = np.array_split(block, 2)
        found = self._first(halves)
        if found is None and not self._slopes.kinked(direction) and not self._halves_disagreed(halves):
            return self._found(block)
        return found

    def _halves_disagreed(self, halves: Sequence[Vector]) -> bool:
        """Whether a part was looked into and excused, so that the whole is excused too."""
        return not all(self._slopes.agree(self._within(half)) for half in halves)

    def _within(self, block: Vector) -> Vector:
        direction = np.zeros_like(self._direction)
        direction[block] = self._direction[block]
        return direction

    def _found(self, block: Vector) -> Fault:
        direction = self._within(block)
        leaf = next(leaf for leaf in self._leaves if leaf.span.start <= block[0] < leaf.span.stop)
        return Fault(leaf, block, direction, self._slopes.central(direction))
