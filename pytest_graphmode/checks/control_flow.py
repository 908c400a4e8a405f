"""`check_control_flow`: plain Python's results on every case, from one graph that holds the code's control flow."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pytest_graphmode.backends import calls, tensor_rule, trees
from pytest_graphmode.backends.control_flow.layout import Kind
from pytest_graphmode.checks.compare import first_leaf_mismatch
from pytest_graphmode.checks.coverage import BRANCHES, LOOPS, Coverage, Place, Statement, observed
from pytest_graphmode.checks.plain import run_plainly, worlds_for
from pytest_graphmode.checks.statements import followed
from pytest_graphmode.ledger import identity
from pytest_graphmode.ledger.watcher import recording, watcher

if TYPE_CHECKING:
    from pytest_graphmode.backends.base import Mode
    from pytest_graphmode.ledger.ledger import GraphBreak, GraphBuild, GraphLedger
    from pytest_graphmode.runtime import Runtime

__tracebackhide__ = True  # in failures, the user's frames are of interest

_NUMBERS: Final = (bool, int, float, complex, np.ndarray, np.generic)
_FEW: Final = 8
# One and many of a kind, the operators in the code, and the nodes of graphs that hold them.
_NODES: Final = (
    ("loop", "loops", LOOPS, ("while", "scan")),
    ("branch", "branches", BRANCHES, ("cond", "switch")),
)
_INSTEAD: Final = {
    "if": "graphmode.cond(pred, true_fn, false_fn, *operands)",
    "while": "graphmode.while_loop(cond, body, loop_vars)",
    "for": "graphmode.fori_loop(lower, upper, body, init) or graphmode.scan(f, init, xs)",
}


def check_control_flow(
    runtime: Runtime,
    fn: Callable[..., Any],
    cases: Sequence[tuple[Any, ...]],
    *,
    reference: Callable[..., Any] | None = None,
    coverage: bool = True,
    in_graph: bool = True,
) -> None:
    """What `Handle.check_control_flow` does, and documents."""
    __tracebackhide__ = True
    runtime.require_function("graphmode.check_control_flow", fn)
    check = _ControlFlowCheck(runtime, fn, cases)
    try:
        failure = check.failure(reference, coverage, in_graph and runtime.mode.static)
    except (TypeError, ValueError) as error:
        found = _list_of_numbers(cases)
        if found is None:
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"check_control_flow: {found}; what was raised is {type(error).__name__}: {error}") from error
    if failure is not None:
        raise AssertionError(f"check_control_flow({identity.of(fn).name}) in {runtime.variant}: {failure}")


def _list_of_numbers(cases: Sequence[Any]) -> str | None:
    """That the first list of numbers in a case is no array, which its author may have taken it for."""
    for number, case in enumerate(cases, 1):
        for arg in filter(tensor_rule.is_numbers, case):
            kind = type(arg).__name__
            return (
                f"case {number} has a {kind} of numbers, {arg!r}, which stays a {kind}: for an array write "
                f"np.array({arg!r})"
            )
    return None


class _Value:
    """The values of a tensor, with its dtype in the variant. No dataclass, since those are trees."""

    def __init__(self, array: np.ndarray[Any, Any], kind: Kind) -> None:
        self.array = array
        self.kind = kind

    def __repr__(self) -> str:
        if self.array.size > _FEW:
            return f"{self.kind.dtype}{self.kind.dimensions}"
        return repr(self.array.tolist())


@dataclass(frozen=True)
class _Case:
    """One call: `args` for the variant, and what it takes to make them anew for plain Python.

    `signature` is equal for cases that one graph has to serve.
    """

    number: int
    args: tuple[Any, ...]
    values: tuple[Any, ...]
    signature: Hashable

    @classmethod
    def of(cls, runtime: Runtime, number: int, args: Any) -> _Case:
        if type(args) not in (tuple, list):
            raise TypeError(
                f"check_control_flow: case {number} is a {type(args).__name__}, not a tuple of arguments: "
                "for one argument write (x,)"
            )

        def value(leaf: Any) -> Any:
            return _Value(runtime.numpy(leaf), Kind.of(leaf)) if runtime.mode.is_tensor(leaf) else leaf

        args = trees.map(lambda leaf: runtime.tensor(leaf) if isinstance(leaf, _NUMBERS) else leaf, tuple(args))
        leaves, spec = trees.flatten(args)
        values = [value(leaf) for leaf in leaves]
        kinds = tuple(one.kind if isinstance(one, _Value) else repr(one) for one in values)
        return cls(number, args, trees.unflatten(spec, values), (spec, kinds))

    def __str__(self) -> str:
        return f"case {self.number} {self.values!r}"

    def made_for(self, mode: Mode) -> tuple[Any, ...]:
        """The arguments as tensors of another mode, new ones each time since functions may write into them."""

        def made(leaf: Any) -> Any:
            return mode.tensor(leaf.array.copy(), leaf.kind.dtype) if isinstance(leaf, _Value) else leaf

        args: tuple[Any, ...] = trees.map(made, self.values)
        return args


class _ControlFlowCheck:
    def __init__(self, runtime: Runtime, fn: Callable[..., Any], cases: Sequence[Any]) -> None:
        if not len(cases):
            raise ValueError("check_control_flow: cases is empty: give it one tuple of arguments per call")
        self._runtime = runtime
        self._fn = fn
        self._cases = [_Case.of(runtime, number, case) for number, case in enumerate(cases, 1)]

    def failure(self, reference: Callable[..., Any] | None, coverage: bool, in_graph: bool) -> str | None:
        graph = _GraphRun(self._runtime, self._fn, self._cases)
        met, expected = Coverage(), []
        if reference is None or coverage or in_graph:
            met, expected = run_plainly(self._runtime, worlds_for(self._runtime, self._fn), self._covered)[1]
        if reference is not None:
            worlds = worlds_for(self._runtime, reference)
            _, expected = run_plainly(self._runtime, worlds, lambda mode: self._results(reference, mode, Coverage()))
        return (
            self._difference(graph.results, expected)
            or (graph.broken(met.statements) if in_graph else None)
            or graph.rebuild
            or (_gaps([*met.places, *met.statements], len(self._cases)) if coverage else None)
            or (graph.missing(met) if in_graph else None)
        )

    def _covered(self, mode: Mode) -> tuple[Coverage, list[Any]]:
        """A plain run of the function itself: what it did at every branch and loop, and its results."""
        met, arguments = Coverage(), max(len(case.args) for case in self._cases)
        noted = self._runtime.running_as(self._runtime.backend, observed(mode, met))
        with noted, followed(self._fn, arguments, met) as met.statements:
            return met, self._results(self._fn, mode, met)

    def _results(self, fn: Callable[..., Any], mode: Mode, met: Coverage) -> list[Any]:
        results = []
        for case in self._cases:
            met.case = case.number
            results.append(self._runtime.numpy(fn(*case.made_for(mode))))
        return results

    def _difference(self, actual: Sequence[Any], expected: Sequence[Any]) -> str | None:
        for case, got, wanted in zip(self._cases, actual, expected, strict=True):
            mismatch = first_leaf_mismatch(
                dict(trees.paths(got, "result")),
                dict(trees.paths(wanted, "result")),
                computed_in=(self._runtime.dtype,),
                devices=(self._runtime.variant.device,),
                table=self._runtime.tolerances,
            )
            if mismatch is not None:
                return f"{case} differs from plain Python: {mismatch}"
        return None


class _GraphRun:
    """One function of the variant's mode, called on every case, with what was built for it.

    The builds are the check's own: the test's ledger has the calls only.
    """

    def __init__(self, runtime: Runtime, fn: Callable[..., Any], cases: Sequence[_Case]) -> None:
        self._runtime = runtime
        self._function = identity.of(fn)
        self.results: list[Any] = []
        self.rebuild: str | None = None
        self._served: dict[object, list[_Case]] = {}
        self._builds: dict[object, list[GraphBuild]] = {}
        with recording() as recorder, watcher.only(recorder), calls.uncounted(not runtime.mode.static):
            function = runtime.function(fn)
            for case in cases:
                self._call(function, case, recorder.ledger)
            self._breaks: list[GraphBreak] = list(recorder.ledger.graph_breaks)
        for _ in cases:
            watcher.call(runtime.variant.backend, runtime.variant.mode, self._function.name)

    def _call(self, function: Callable[..., Any], case: _Case, ledger: GraphLedger) -> None:
        events, rebuilds = len(ledger.events), ledger.rebuilds
        self.results.append(self._runtime.numpy(function(*case.args)))
        same = self._served.setdefault(case.signature, [])
        if not same:
            self._builds[case.signature] = _current(ledger.events[events:])
        elif ledger.rebuilds > rebuilds and self.rebuild is None:
            self.rebuild = f"{case} has the signature of {same[0]} and built the graph again\n{ledger.explain()}"
        same.append(case)

    def broken(self, statements: Sequence[Statement]) -> str | None:
        """Where the graph breaks, and what to write there instead; also where the test met the break before."""
        earlier = self._runtime.recorder.ledger.graph_breaks
        found = [*self._breaks, *(one for one in earlier if one.function == self._function.name)]
        if not found:
            return None
        reasons = {one.where: one.reason for one in reversed(found)}
        told = "\n".join(f"  {_break(where, reasons[where], statements)}" for where in dict.fromkeys(reasons))
        return f"it is not all in one graph, which breaks\n{told}\nor pass in_graph=False"

    def missing(self, met: Coverage) -> str | None:
        # Dynamo keeps its graphs by code, so the test may have built the function before.
        events = self._runtime.recorder.ledger.events
        earlier = [event for event in events if event.location == self._function.location]
        for signature, cases in self._served.items():
            builds, places = self._builds[signature] or earlier, met.met([case.number for case in cases])
            failure = _lacking(places, builds)
            if failure is not None:
                return (
                    f"the graph for {cases[0]} {failure}\none was unrolled, or decided by a Python value, while the "
                    "graph was built: let tensors decide (graphmode.tensor), or pass in_graph=False"
                )
        return None


def _lacking(places: Sequence[Place], builds: Sequence[GraphBuild]) -> str | None:
    """How many loops or branches builds hold where the code has more."""
    for one, many, operators, nodes in _NODES:
        wanted = [place for place in places if place.operator in operators]
        held = sum(build.control_flow.get(node, 0) for build in builds for node in nodes)
        if held < len(wanted):
            kind = one if held == 1 else many
            return f"holds {held or 'no'} {kind} where the code has {len(wanted)}: {', '.join(map(str, wanted))}"
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
        if where in statement.lines:
            return f"at Python's {statement}, which needs the value of a tensor: use {_INSTEAD[statement.kind]}"
    return f"at {where}: {(reason.strip().splitlines() or ['no reason given'])[0]}"


def _gaps(places: Sequence[Place | Statement], cases: int) -> str | None:
    gaps = [gap for place in places for gap in place.gaps()]
    if not gaps:
        return None
    told = "\n".join(f"  {gap}" for gap in gaps)
    leave = "case leaves" if cases == 1 else "cases leave"
    return f"the {cases} {leave} control flow untested\n{told}\nor pass coverage=False"
