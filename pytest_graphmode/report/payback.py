"""After how many calls a static graph has paid for its build, against the eager mode of the same test.

Measured in each test that has both modes; `terminal.py` prints it, and the JSON report holds it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

ENOUGH_CALLS: Final = 10


class Pace(NamedTuple):
    """How fast one variant of a test was, in seconds.

    Attributes:
        variant: its id.
        static: whether its mode runs graphs that are built once.
        build: spent building; 0 where nothing was built.
        steady: of a call once it is warm, as measured around calls of `graphmode.function`; None where none was.
        warm_up: what first calls took beyond builds and warm calls.
        calls: how many there were; None where the framework does not tell of all.
        average: of a call, as the rest of the test's time by its calls.
    """

    variant: str
    static: bool
    build: float
    steady: float | None
    warm_up: float | None
    calls: int | None
    average: float | None

    @property
    def shared(self) -> float | None:
        """The average where there are calls enough for it to tell of them, and not of what else the test did."""
        return self.average if self.calls is not None and self.calls >= ENOUGH_CALLS and self.average else None


class Payback(NamedTuple):
    """What a static variant's graph cost, and what each call gains or loses against an eager variant.

    Attributes:
        against: the eager variant: of the same backend, or of another one where that has none in the test.
        measured: whether the times are those of calls, or else shares of the test's time, with what it did besides.
        graph_call, eager_call: seconds per call; None where they are not known.
    """

    variant: str
    against: str
    measured: bool
    build: float
    warm_up: float
    graph_call: float | None
    eager_call: float | None

    @property
    def calls(self) -> int | Literal["never"] | None:
        """How many calls until the gain makes up for build and warm-up; None where times are unknown."""
        if self.graph_call is None or self.eager_call is None:
            return None
        gain = self.eager_call - self.graph_call
        return math.ceil(round((self.build + self.warm_up) / gain, 6)) if gain > 0 else "never"


def paybacks(paces: Iterable[Pace]) -> Iterator[Payback]:
    """One for each static variant of a test that built graphs and has an eager variant beside it."""
    paces = list(paces)
    for graph in paces:
        eager = _beside(graph, [pace for pace in paces if not pace.static]) if graph.static and graph.build else None
        if eager is not None:
            measured = graph.steady is not None and eager.steady is not None
            yield Payback(
                graph.variant,
                eager.variant,
                measured,
                graph.build,
                (graph.warm_up or 0.0) if measured else 0.0,
                graph.steady if measured else graph.shared,
                eager.steady if measured else eager.shared,
            )


def _beside(graph: Pace, eager: Sequence[Pace]) -> Pace | None:
    """The eager variant on the same device in the same dtype: of the same backend, else of another framework."""
    backend, _, place = graph.variant.split("-", 2)
    there = (pace for pace in eager if pace.variant.split("-", 2)[2] == place)

    def rank(pace: Pace) -> tuple[bool, bool]:
        return not pace.variant.startswith(f"{backend}-"), pace.variant.startswith("numpy-")

    return min(there, key=rank, default=None)
