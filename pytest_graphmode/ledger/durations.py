"""How long the calls of functions take, where a report asks: the first ones, which warm up, told from the others.

`backends/calls.py` measures the outermost calls of `graphmode.function` and of gradients; `report/` shows them.
"""

from __future__ import annotations

from typing import NamedTuple


class Timed(NamedTuple):
    """The calls measured so far, the first ones and the others, with their seconds."""

    first: int = 0
    first_seconds: float = 0.0
    others: int = 0
    other_seconds: float = 0.0

    def since(self, before: Timed) -> Timed:
        return Timed(
            self.first - before.first,
            self.first_seconds - before.first_seconds,
            self.others - before.others,
            self.other_seconds - before.other_seconds,
        )


class CallTimes:
    """Seconds of calls, without those of the builds in them; nothing in it grows with the number of calls.

    The first call of a function and each that builds a graph do more than call it: kernels are compiled and chosen,
    memory is reserved. What they take beyond the calls after them is the `warm_up`.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._first, self._others = 0, 0
        self._first_seconds, self._other_seconds = 0.0, 0.0

    def add(self, seconds: float, *, first: bool) -> None:
        if first:
            self._first += 1
            self._first_seconds += max(seconds, 0.0)
        else:
            self._others += 1
            self._other_seconds += seconds

    @property
    def totals(self) -> Timed:
        return Timed(self._first, self._first_seconds, self._others, self._other_seconds)

    @property
    def steady(self) -> float | None:
        """Seconds per call once warm; None where no function was called again."""
        return round(self._other_seconds / self._others, 9) if self._others else None

    @property
    def warm_up(self) -> float | None:
        """What the first calls took beyond builds and the calls after them; None where there are none to compare."""
        steady = self.steady
        return None if steady is None else round(max(self._first_seconds - self._first * steady, 0.0), 9)
