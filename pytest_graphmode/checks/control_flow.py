"""`check_control_flow`: plain Python's results on every case, from one graph that holds the code's control flow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pytest_graphmode.backends import calls, trees
from pytest_graphmode.checks.cases import Case, cases_of
from pytest_graphmode.checks.compare import first_leaf_mismatch
from pytest_graphmode.checks.coverage import BRANCHES, LOOPS, Journal, Place, observed
from pytest_graphmode.checks.plain import run_plainly, worlds_for
from pytest_graphmode.checks.statements import Statement, statements_of
from pytest_graphmode.checks.steps import Steps
from pytest_graphmode.ledger import identity
from pytest_graphmode.ledger.watcher import recording, watcher

if TYPE_CHECKING:
    from pytest_graphmode.backends.base import Mode
    from pytest_graphmode.ledger.ledger import GraphBreak, GraphBuild, GraphLedger
    from pytest_graphmode.runtime import Runtime

__tracebackhide__ = True  # in failures, the user's frames are of interest

_NODES: Final = {"loop": (LOOPS, ("while", "scan")), "branch": (BRANCHES, ("cond", "switch"))}
_INSTEAD: Final = {
    "if": "graphmode.cond(pred, true_fn, false_fn, *operands)",
    "while": "graphmode.while_loop(cond, body, loop_vars)",
    "for": "graphmode.fori_loop(lower, upper, body, init) or graphmode.scan(f, init, xs)",
}
_PLURALS: Final = {"loop": "loops", "branch": "branches"}


def check_control_flow(
    handle: Runtime,
    fn: Callable[..., Any],
    cases: Sequence[tuple[Any, ...]],
    *,
    reference: Callable[..., Any] | None = None,
    coverage: bool = True,
    in_graph: bool = True,
) -> None:
    """Fail unless one `graphmode.function(fn)` does on every case what plain Python does.

    Args:
        cases: tuples of arguments; their numbers become tensors, Python's too.
        reference: the plain Python to compare with, instead of `fn` itself; it gets NumPy values of the same dtypes.
        coverage: fail where a branch of a `cond`, a `switch` or Python's own `if` in the code of `fn` was taken by no
            case, and where a `while_loop`, a `fori_loop`, a `while` or a `for` never ran zero times or never several
            times; loops whose bounds no case can change and scans are exempt.
        in_graph: in a static mode, fail where the graph breaks, and where it holds fewer loops or branches than the
            code that a plain run met, so that one was unrolled or decided while the graph was built.

    Raises:
        AssertionError: the results differ, cases of one signature rebuild the graph, or the above.
        TypeError, ValueError: a case is not a tuple, or there are none.
    """
    __tracebackhide__ = True
    handle.require_function("graphmode.check_control_flow", fn)
    failure = _Check(handle, fn, cases).failure(reference, coverage, in_graph)
    if failure is not None:
        raise AssertionError(f"check_control_flow({identity.of(fn).name}) in {handle.variant}: {failure}")


class _Check:
    def __init__(self, handle: Runtime, fn: Callable[..., Any], cases: Sequence[Any]) -> None:
        self._handle = handle
        self._fn = fn
        self._cases = cases_of(handle, cases)

    def failure(self, reference: Callable[..., Any] | None, coverage: bool, in_graph: bool) -> str | None:
        """What is wrong, None if nothing is."""
        graph = _GraphRun(self._handle, self._fn, self._cases)
        in_graph = in_graph and self._handle.mode.static
        run = _Plain(Journal(), Steps({}), [])
        if reference is None or coverage or in_graph:
            _, run = run_plainly(self._handle, worlds_for(self._handle, self._fn), self._followed)
        expected = run.results
        if reference is not None:
            worlds = worlds_for(self._handle, reference)
            _, expected = run_plainly(self._handle, worlds, lambda mode: self._results(reference, mode))
        return (
            self._difference(graph.results, expected)
            or (graph.broken(run.steps.statements) if in_graph else None)
            or graph.rebuild
            or (_gaps([*run.journal.places, *run.steps.statements], len(self._cases)) if coverage else None)
            or (graph.missing(run.journal) if in_graph else None)
        )

    def _followed(self, mode: Mode) -> _Plain:
        """A plain run of the function itself, and what it did at every branch and loop."""
        steps = Steps(statements_of(self._fn, max(len(case.args) for case in self._cases)))
        journal = Journal(steps)
        with self._handle.running_as(self._handle.backend, observed(mode, journal)):
            return _Plain(journal, steps, self._results(self._fn, mode, journal))

    def _results(self, fn: Callable[..., Any], mode: Mode, journal: Journal | None = None) -> list[Any]:
        return [self._result(fn, case, mode, journal) for case in self._cases]

    def _result(self, fn: Callable[..., Any], case: Case, mode: Mode, journal: Journal | None) -> Any:
        args = case.made_for(mode)
        with journal.of(case.number) if journal is not None else nullcontext():
            result = fn(*args)
        return self._handle.numpy(result)

    def _difference(self, actual: Sequence[Any], expected: Sequence[Any]) -> str | None:
        for case, got, wanted in zip(self._cases, actual, expected, strict=True):
            leaves = (dict(trees.paths(side, "result")) for side in (got, wanted))
            mismatch = first_leaf_mismatch(
                *leaves,
                computed_in=(self._handle.dtype,),
                devices=(self._handle.variant.device,),
                table=self._handle.tolerances,
            )
            if mismatch is not None:
                return f"{case} differs from plain Python: {mismatch}"
        return None


@dataclass(frozen=True)
class _Plain:
    journal: Journal
    steps: Steps
    results: list[Any]


class _GraphRun:
    """One function of the variant's mode, called on every case, with what was built for it.

    The builds are the check's own: the test's ledger has the calls only.
    """

    def __init__(self, handle: Runtime, fn: Callable[..., Any], cases: Sequence[Case]) -> None:
        self._handle = handle
        self._fn = fn
        self.results: list[Any] = []
        self.rebuild: str | None = None
        self._served: dict[object, list[Case]] = {}
        self._builds: dict[object, list[GraphBuild]] = {}
        self._breaks: list[GraphBreak] = []
        with recording() as recorder, watcher.only(recorder), calls.uncounted(not handle.mode.static):
            function = handle.function(fn)
            for case in cases:
                self._call(function, case, recorder.ledger)
            self._breaks += recorder.ledger.graph_breaks
        for _ in cases:
            watcher.call(handle.variant.backend, handle.variant.mode, identity.of(fn).name)

    def _call(self, function: Callable[..., Any], case: Case, ledger: GraphLedger) -> None:
        events, rebuilds = len(ledger.events), ledger.rebuilds
        self.results.append(self._handle.numpy(function(*case.args)))
        same = self._served.setdefault(case.signature, [])
        if not same:
            self._builds[case.signature] = _current(ledger.events[events:])
        elif ledger.rebuilds > rebuilds and self.rebuild is None:
            self.rebuild = f"{case} has the signature of {same[0]} and built the graph again\n{ledger.explain()}"
        same.append(case)

    def broken(self, statements: Sequence[Statement]) -> str | None:
        """Where the graph breaks, and what to write there instead; also where the test met the break before."""
        name = identity.of(self._fn).name
        earlier = [one for one in self._handle.recorder.ledger.graph_breaks if one.function == name]
        places = dict.fromkeys(one.where for one in [*self._breaks, *earlier])
        if not places:
            return None
        reasons = {one.where: one.reason for one in [*earlier, *self._breaks]}
        told = "\n".join(f"  {_break(where, reasons[where], statements)}" for where in places)
        return f"it is not all in one graph, which breaks\n{told}\nor pass in_graph=False"

    def missing(self, journal: Journal) -> str | None:
        """The loops or branches that a graph lacks."""
        for signature, cases in self._served.items():
            places = journal.met(case.number for case in cases)
            failure = self._lacking(places, self._builds[signature] or self._earlier())
            if failure is not None:
                return f"the graph for {cases[0]} {failure}"
        return None

    def _earlier(self) -> list[GraphBuild]:
        """What the test built of the function before: Dynamo keeps its graphs by code."""
        location = identity.of(self._fn).location
        return [event for event in self._handle.recorder.ledger.events if event.location == location]

    def _lacking(self, places: Sequence[Place], builds: Sequence[GraphBuild]) -> str | None:
        for kind, (verbs, names) in _NODES.items():
            wanted = [place for place in places if place.verb in verbs]
            held = sum(build.control_flow.get(name, 0) for build in builds for name in names)
            if held < len(wanted):
                return (
                    f"holds {held or 'no'} {kind if held == 1 else _PLURALS[kind]} where the code has {len(wanted)}: "
                    f"{', '.join(map(str, wanted))}\none was unrolled, or decided by a Python value, while the graph "
                    "was built: let tensors decide (graphmode.tensor), or pass in_graph=False"
                )
        return None


def _current(builds: Iterable[GraphBuild]) -> list[GraphBuild]:
    """The graphs in use: TensorFlow's trace without variable creation replaces the one before it."""
    kept: list[GraphBuild] = []
    for build in builds:
        if any(cause.kind == "variable-creation" for cause in build.causes):
            kept = [earlier for earlier in kept if earlier.group != build.group]
        if not build.failed:
            kept.append(build)
    return kept


def _break(where: str, reason: str, statements: Sequence[Statement]) -> str:
    """What broke a graph: one of Python's own statements on a tensor, or what the framework says."""
    for statement in statements:
        if statement.is_at(where):
            return f"at Python's {statement}, which needs the value of a tensor: use {_INSTEAD[statement.kind]}"
    return f"at {where}: {(reason.strip().splitlines() or ['no reason given'])[0]}"


def _gaps(places: Sequence[Place | Statement], cases: int) -> str | None:
    gaps = [gap for place in places for gap in place.gaps()]
    if not gaps:
        return None
    told = "\n".join(f"  {gap}" for gap in gaps)
    return (
        f"the {cases} case{'s leave' if cases > 1 else ' leaves'} control flow untested\n{told}\nor pass coverage=False"
    )
