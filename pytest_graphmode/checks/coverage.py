"""What plain runs of a function met at its control flow, operators and Python's own: iterations, branches taken.

`control_flow.py` runs a function in an `observed` mode, and asks what the cases left out and what a graph has to hold.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, cast

from pytest_graphmode.backends.patching import changed
from pytest_graphmode.ledger.places import place as located

if TYPE_CHECKING:
    from pytest_graphmode.backends.base import Mode

__tracebackhide__ = True  # in failures, the user's frames are of interest

LOOPS: Final = ("while_loop", "fori_loop", "scan")
BRANCHES: Final = ("cond", "switch")
_PLUGIN: Final = str(Path(__file__).parent.parent)
_SKIPPING: Final = {
    "while_loop": "a case in which its condition is false from the start",
    "fori_loop": "a case in which upper is not above lower",
}


@dataclass
class Place:
    """One call of a control-flow operator in the code.

    Attributes:
        where: `model.py:42`.
        cases: the numbers of the cases that met it.
        iterations: how often a loop ran, each time that it was met.
        exempt: whether the code fixes how often it runs.
        branches: how many branches there are; `taken` has those that ran.
    """

    operator: str
    where: str
    cases: set[int] = field(default_factory=set)
    iterations: set[int] = field(default_factory=set)
    exempt: bool = False
    branches: int = 0
    taken: set[int] = field(default_factory=set)

    def __str__(self) -> str:
        return f"{self.operator} at {self.where}"

    @property
    def in_graph(self) -> bool:
        """Whether a graph has a node for it: a switch of one branch and a scan over nothing need none."""
        return self.branches != 1 and not (self.operator == "scan" and self.iterations == {0})

    def gaps(self) -> Iterable[str]:
        """What no case did here, and which case would."""
        if not self.exempt:
            yield from loop_gaps(self, self.iterations, _SKIPPING.get(self.operator, ""))
        for number in sorted(set(range(self.branches)) - self.taken):
            branch, when = f"branches[{number}]", f"index is {number}"
            if self.operator == "cond":
                branch, when = ("true_fn", "false_fn")[number], f"pred is {number == 0}"
            elif number in (0, self.branches - 1):
                when += " or more" if number else " or less"
            yield f"{branch} of {self} was taken by no case: add a case in which {when}"


@dataclass
class Statement:
    """One `if` (or conditional expression), `while` or `for` of the code.

    Attributes:
        text: `while n > 1`, and `condition` the part of it that decides.
        lines: those of its condition, as `model.py:42`.
        exempt: whether no case can change what it does.
        iterations: how often a loop ran, each time that it was met; `taken` the sides of an `if` that ran.
    """

    kind: str
    text: str
    condition: str
    lines: Sequence[str]
    exempt: bool
    iterations: list[int] = field(default_factory=list)
    taken: set[bool] = field(default_factory=set)

    def __str__(self) -> str:
        return f"`{self.text}` at {self.lines[0]}"

    def gaps(self) -> Iterable[str]:
        """What no case did here, and which case would; nothing where no case came by."""
        if self.exempt:
            return
        if self.kind == "if" and len(self.taken) == 1:
            side, does = ("false", "does not hold") if True in self.taken else ("true", "holds")
            yield f"the {side} side of {self} was taken by no case: add a case in which `{self.condition}` {does}"
        skipped = f"there is nothing in `{self.condition}`"
        if self.kind == "while":
            skipped = f"`{self.condition}` does not hold from the start"
        yield from loop_gaps(self, self.iterations, f"a case in which {skipped}")


def loop_gaps(loop: object, iterations: Collection[int], skipping: str) -> Iterator[str]:
    """What is untested of a loop that ran these numbers of times; `skipping` is the case in which it does not run."""
    if not iterations:
        return
    low, high = min(iterations), max(iterations)
    ran = f"ran {low} time{'' if low == 1 else 's'}" if low == high else f"ran {low} to {high} times"
    if low:
        yield f"{loop} never ran zero times, it {ran}: add {skipping}"
    if high < 2:
        yield f"{loop} never ran several times, it {ran}: add a case in which it runs twice or more"


class Coverage:
    """What the cases met; `case` is the number of the one that runs, `paused` where nothing counts."""

    def __init__(self) -> None:
        self.case = 0
        self.paused = False
        self.statements: Sequence[Statement] = ()
        self._places: dict[Hashable, Place] = {}

    @property
    def places(self) -> Sequence[Place]:
        return list(self._places.values())

    def met(self, cases: Collection[int]) -> Sequence[Place]:
        """The places that any of these cases met and that a graph has nodes for."""
        return [place for place in self.places if not place.cases.isdisjoint(cases) and place.in_graph]

    def enter(self, operator: str) -> Place:
        """The place of the operator that is being called."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename.startswith(_PLUGIN):
            frame = frame.f_back
        assert frame is not None
        place = Place(operator, located(frame.f_code.co_filename, frame.f_lineno))
        if self.paused:
            return place
        # The instruction, not the line: one line can hold two operators.
        place = self._places.setdefault((operator, frame.f_code, frame.f_lasti), place)
        place.cases.add(self.case)
        return place


class _Observed:
    """A mode that runs Python as it is, with every control-flow operator noted."""

    def __init__(self, mode: Mode, coverage: Coverage) -> None:
        self._observed = mode
        self._coverage = coverage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._observed, name)

    def while_loop(self, cond: Callable[[Any], Any], body: Callable[[Any], Any], state: Any) -> Any:
        return self._loop("while_loop", False, body, lambda counted: self._observed.while_loop(cond, counted, state))

    def fori_loop(self, lower: Any, upper: Any, body: Callable[[Any, Any], Any], state: Any) -> Any:
        exempt = isinstance(lower, int) and isinstance(upper, int)
        run = self._observed.fori_loop
        return self._loop("fori_loop", exempt, body, lambda counted: run(lower, upper, counted, state))

    def _loop(self, operator: str, exempt: bool, body: Callable[..., Any], run: Callable[[Any], Any]) -> Any:
        place, count = self._coverage.enter(operator), 0
        place.exempt = exempt

        def counted(*args: Any) -> Any:
            nonlocal count
            count += 1
            return body(*args)

        final = run(counted)
        place.iterations.add(count)
        return final

    def scan(self, f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any) -> tuple[Any, Any]:
        place = self._coverage.enter("scan")
        place.exempt = True
        place.iterations.add(len(xs[0]))
        # Over nothing it runs, if at all, for the kinds of its results: no step of the loop, and no case of a branch.
        with changed(self._coverage, paused=self._coverage.paused or not len(xs[0])):
            return self._observed.scan(f, init, xs)

    def cond(self, pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
        return self._observed.cond(pred, *self._branches("cond", (true_fn, false_fn)), *operands)

    def switch(self, index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
        return self._observed.switch(index, self._branches("switch", branches), *operands)

    def _branches(self, operator: str, branches: Sequence[Callable[..., Any]]) -> Sequence[Callable[..., Any]]:
        """Branches that note that they were taken."""
        place = self._coverage.enter(operator)
        place.branches = max(place.branches, len(branches))

        def noted(number: int, branch: Callable[..., Any]) -> Callable[..., Any]:
            def run(*operands: Any) -> Any:
                place.taken.add(number)
                return branch(*operands)

            return run

        return [noted(number, branch) for number, branch in enumerate(branches)]


def observed(mode: Mode, coverage: Coverage) -> Mode:
    """A mode that does what the given one does and notes what that was."""
    return cast("Mode", _Observed(mode, coverage))
