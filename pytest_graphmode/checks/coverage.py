"""What a plain Python run of a function met: every place with a control-flow verb, trips of loops, branches taken.

`check.py` runs a function in an `Observed` mode and asks the journal what the cases left out and what a graph of the
function has to hold.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, cast

from pytest_graphmode.checks.statements import ran_times
from pytest_graphmode.checks.steps import Steps
from pytest_graphmode.ledger.places import place as located

if TYPE_CHECKING:
    from pytest_graphmode.backends.base import Mode

__tracebackhide__ = True  # in failures, the user's frames are of interest

LOOPS: Final = ("while_loop", "fori_loop", "scan")
BRANCHES: Final = ("cond", "switch")
_PLUGIN: Final = str(Path(__file__).parent.parent)
_TO_SKIP: Final = {
    "while_loop": "a case in which its condition is false from the start",
    "fori_loop": "a case in which upper is not above lower",
}


@dataclass
class Place:
    """One call of a verb in the code.

    Attributes:
        where: `model.py:42`.
        cases: the cases that met it.
        trips: how often a loop ran, each time that it was met.
        exempt: whether the number of trips is fixed by the code.
        branches: how many branches there are; `taken` has those that ran.
    """

    verb: str
    where: str
    cases: set[int] = field(default_factory=set)
    trips: set[int] = field(default_factory=set)
    exempt: bool = False
    branches: int = 0
    taken: set[int] = field(default_factory=set)

    def __str__(self) -> str:
        return f"{self.verb} at {self.where}"

    @property
    def in_graph(self) -> bool:
        """Whether a graph has a node for it: a switch of one branch and a scan over nothing need none."""
        return self.branches != 1 and not (self.verb == "scan" and self.trips == {0})

    def gaps(self) -> Iterable[str]:
        """What no case did here, and which case would."""
        if self.verb in LOOPS and not self.exempt and self.trips:
            ran = ran_times(self.trips)
            if 0 not in self.trips:
                yield f"{self} never ran zero times, it {ran}: add {_TO_SKIP[self.verb]}"
            if max(self.trips) < 2:
                yield f"{self} never ran several times, it {ran}: add a case in which it runs twice or more"
        if self.verb in BRANCHES:
            for branch in sorted(set(range(self.branches)) - self.taken):
                yield f"{self._branch(branch)} of {self} was taken by no case: add a case in which {self._when(branch)}"

    def _branch(self, number: int) -> str:
        return ("true_fn", "false_fn")[number] if self.verb == "cond" else f"branches[{number}]"

    def _when(self, number: int) -> str:
        if self.verb == "cond":
            return f"pred is {number == 0}"
        bound = " or less" if number == 0 else " or more" if number == self.branches - 1 else ""
        return f"index is {number}{bound}"


class Journal:
    """The places that the cases met; `case` is the number of the one that runs, whose steps are followed too."""

    def __init__(self, steps: Steps | None = None) -> None:
        self.case = 0
        self._steps = steps or Steps({})
        self._places: dict[Hashable, Place] = {}

    @contextmanager
    def of(self, case: int) -> Iterator[None]:
        """The run of one case."""
        self.case = case
        with self._steps.followed():
            yield

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Nothing that runs in the block is noted."""
        places, self._places = self._places, {}
        paused, self._steps.paused = self._steps.paused, True
        try:
            yield
        finally:
            self._places, self._steps.paused = places, paused

    @property
    def places(self) -> list[Place]:
        return list(self._places.values())

    def met(self, cases: Iterable[int]) -> list[Place]:
        """The places that any of these cases met and that a graph has nodes for."""
        wanted = set(cases)
        return [place for place in self.places if place.cases & wanted and place.in_graph]

    def enter(self, verb: str) -> Place:
        """The place of the verb that is being called."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename.startswith(_PLUGIN):
            frame = frame.f_back
        assert frame is not None
        # The instruction, not the line: one line can hold two verbs.
        where = located(frame.f_code.co_filename, frame.f_lineno)
        place = self._places.setdefault((verb, frame.f_code, frame.f_lasti), Place(verb, where))
        place.cases.add(self.case)
        return place


class Observed:
    """A mode that runs Python as it is, with every control-flow verb noted in a journal."""

    def __init__(self, mode: Mode, journal: Journal) -> None:
        self._observed = mode
        self._journal = journal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._observed, name)

    def while_loop(self, cond: Callable[[Any], Any], body: Callable[[Any], Any], state: Any) -> Any:
        place, trips = self._journal.enter("while_loop"), _Counted(body)
        final = self._observed.while_loop(cond, trips, state)
        place.trips.add(trips.count)
        return final

    def fori_loop(self, lower: Any, upper: Any, body: Callable[[Any, Any], Any], state: Any) -> Any:
        place, trips = self._journal.enter("fori_loop"), _Counted(body)
        place.exempt = isinstance(lower, int) and isinstance(upper, int)
        final = self._observed.fori_loop(lower, upper, trips, state)
        place.trips.add(trips.count)
        return final

    def scan(self, f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any) -> tuple[Any, Any]:
        place = self._journal.enter("scan")
        place.exempt = True
        place.trips.add(len(xs[0]))
        # Over nothing it runs, if at all, for the kinds of its results: no step of the loop, and no case of a branch.
        with nullcontext() if len(xs[0]) else self._journal.closed():
            return self._observed.scan(f, init, xs)

    def cond(self, pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
        place = self._journal.enter("cond")
        return self._observed.cond(pred, *_noted(place, (true_fn, false_fn)), *operands)

    def switch(self, index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
        place = self._journal.enter("switch")
        return self._observed.switch(index, _noted(place, branches), *operands)


def observed(mode: Mode, journal: Journal) -> Mode:
    return cast("Mode", Observed(mode, journal))


class _Counted:
    """A callback and how often it was called."""

    def __init__(self, callback: Callable[..., Any]) -> None:
        self._callback = callback
        self.count = 0

    def __call__(self, *args: Any) -> Any:
        self.count += 1
        return self._callback(*args)


def _noted(place: Place, branches: Sequence[Callable[..., Any]]) -> list[Callable[..., Any]]:
    """Branches that note in the place that they were taken."""
    place.branches = max(place.branches, len(branches))

    def noting(number: int, branch: Callable[..., Any]) -> Callable[..., Any]:
        def run(*operands: Any) -> Any:
            place.taken.add(number)
            return branch(*operands)

        return run

    return [noting(number, branch) for number, branch in enumerate(branches)]
