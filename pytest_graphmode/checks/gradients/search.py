"""Finds the element whose gradient is wrong, after a direction disagreed, and tells it from a kink.

Blocks that disagree are halved, the worse half first, until one coordinate is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pytest_graphmode.checks.gradients.arguments import Leaf, Vector
from pytest_graphmode.checks.gradients.mismatch import agrees, kinked
from pytest_graphmode.checks.gradients.slopes import Estimate, Slopes

__tracebackhide__ = True  # in failures, the user's frames are of interest

EVALUATIONS: Final = 4000
"""How many evaluations a search may take before kinks are judged by whole blocks."""

Block = np.ndarray[Any, np.dtype[np.intp]]


@dataclass(frozen=True)
class Fault:
    """Coordinates of one leaf along which the gradient is wrong: one, or several where no single one stands out."""

    leaf: Leaf
    coordinates: Block
    direction: Vector
    estimate: Estimate


class Search:
    """A search along one direction that disagreed; `by_element` as for `mismatch.agrees`.

    `excused` says whether it met blocks that disagreed for another reason than a wrong gradient.
    """

    def __init__(self, slopes: Slopes, leaves: Sequence[Leaf], direction: Vector, by_element: Vector) -> None:
        self._slopes = slopes
        self._leaves = leaves
        self._direction = direction
        self._by_element = by_element
        self._limit = slopes.evaluations + EVALUATIONS
        self.excused = False

    def fault(self) -> Fault | None:
        """The worst wrong element; None where all that disagreed were kinks or needed other steps."""
        blocks = [np.arange(leaf.span.start, leaf.span.stop) for leaf in self._leaves if leaf.size]
        return self._worst(blocks)[0]

    def _worst(self, blocks: Sequence[Block]) -> tuple[Fault | None, bool]:
        """The first fault met, from the worst block on, and whether any block disagreed at all."""
        estimates = [self._slopes.central(self._within(block)) for block in blocks]
        order = sorted(range(len(blocks)), key=lambda number: -_badness(estimates[number]))
        suspects = [number for number in order if not estimates[number].agrees]
        for number in suspects:
            found = self._inside(blocks[number], estimates[number])
            if found is not None:
                return found, True
        return None, bool(suspects)

    def _inside(self, block: Block, estimate: Estimate) -> Fault | None:
        if len(block) == 1 or self._slopes.evaluations >= self._limit:
            return self._verdict(block, estimate)
        found, disagreed = self._worst(np.array_split(block, 2))
        return found if disagreed else self._verdict(block, estimate)

    def _verdict(self, block: Block, estimate: Estimate) -> Fault | None:
        direction = self._within(block)
        if kinked(self._slopes, direction, estimate) or agrees(self._slopes, direction, self._by_element, estimate):
            self.excused = True
            return None
        leaf = next(leaf for leaf in self._leaves if leaf.span.start <= block[0] < leaf.span.stop)
        return Fault(leaf, block, direction, estimate)

    def _within(self, block: Block) -> Vector:
        direction = np.zeros_like(self._direction)
        direction[block] = self._direction[block]
        return direction


def _badness(estimate: Estimate) -> float:
    return estimate.error / estimate.tolerance if estimate.tolerance else estimate.error
