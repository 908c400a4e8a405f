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
        self.totals = Timed()

    def add(self, seconds: float, *, first: bool) -> None:
        now = self.totals
        if first:
            self.totals = now._replace(first=now.first + 1, first_seconds=now.first_seconds + max(seconds, 0.0))
        else:
            self.totals = now._replace(others=now.others + 1, other_seconds=now.other_seconds + seconds)

    @property
    def steady(self) -> float | None:
        """Seconds per call once warm; None where no function was called again."""
        found = self.totals
        return round(found.other_seconds / found.others, 9) if found.others else None

    @property
    def warm_up(self) -> float | None:
        """What the first calls took beyond builds and the calls after them; None where there are none to compare."""
        steady, found = self.steady, self.totals
        return None if steady is None else round(max(found.first_seconds - found.first * steady, 0.0), 9)
