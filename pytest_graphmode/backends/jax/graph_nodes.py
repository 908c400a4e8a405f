"""What JAX's graphs consist of, for reports: the equations counted, and small graphs drawn as plain data.

Both with the graphs of loops, branches and calls in them. Called by `tracing.py`; drawn only while a run writes a
report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from pytest_graphmode.ledger.describe import cut
from pytest_graphmode.ledger.drawing import Draft, Drawing, GraphNode, NodeKind, drawn_for, sizes
from pytest_graphmode.ledger.ledger import BuildReport
from pytest_graphmode.ledger.watcher import Sink

_CALLS: Final = ("pjit", "jit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint")
_ROLES: Final[Mapping[str, str]] = {"cond_jaxpr": "cond", "body_jaxpr": "body"}


def measured(report: BuildReport, graph: Any, sink: Sink) -> BuildReport:
    """A report with what a graph counts, and drawn where somebody wants that; a call counts as what is in it."""
    equations = list(_equations(graph))
    names = Counter(equation.primitive.name for equation in equations)
    operations = {name: count for name, count in names.items() if name not in _CALLS}
    control_flow = Counter(kind for equation in equations if (kind := _kind(equation)) is not None)
    report = replace(report, nodes=sum(operations.values()), operations=operations, control_flow=dict(control_flow))
    if report.internal:
        return report
    return replace(report, drawing=drawn_for(sink, report.nodes, lambda: _drawing(graph)))


def _equations(jaxpr: Any) -> Iterator[Any]:
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for inner in _graphs(value):
                yield from _equations(inner)


def _graphs(value: Any) -> Iterator[Any]:
    if hasattr(value, "eqns"):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _graphs(part)


def _kind(equation: Any) -> str | None:
    name = equation.primitive.name
    if name == "cond":
        return "cond" if len(equation.params["branches"]) <= 2 else "switch"
    return name if name in ("while", "scan") else None


def _drawing(graph: Any, within: Draft | None = None) -> Drawing:
    """A graph; raises TooLargeError where it has too many nodes."""
    jaxpr, draft = getattr(graph, "jaxpr", graph), Draft(within)  # closed over its constants, or not
    names = getattr(getattr(jaxpr, "debug_info", None), "arg_names", None) or ()  # not in JAX 0.4
    for number, variable in enumerate(jaxpr.invars):
        known = names[number] if len(names) == len(jaxpr.invars) else None
        draft.add(_node("argument", known or "", "input", variable), variable)
    for variable in jaxpr.constvars:
        draft.add(_node("constant", "", "constant", variable), variable)
    for equation in jaxpr.eqns:
        inputs = tuple(_input(draft, value) for value in equation.invars)
        name = str(equation.params.get("name") or "")
        first = next(iter(equation.outvars), None)
        node = _node(equation.primitive.name, name, "operation", first)
        bodies = tuple(_bodies(equation, draft))
        draft.add(node._replace(inputs=tuple(dict.fromkeys(inputs)), bodies=bodies), *equation.outvars)
    outputs = tuple(dict.fromkeys(_input(draft, value) for value in jaxpr.outvars))
    draft.add(GraphNode("return", kind="output", inputs=outputs))
    return draft.drawing()


def _input(draft: Draft, value: Any) -> int:
    """The node that a value comes from: a number written into the graph is a node of its own."""
    if hasattr(value, "val"):
        return draft.add(_node("literal", cut(str(value.val)), "constant", value))
    return draft.numbers([value])[0]


def _node(operation: str, name: str, kind: NodeKind, value: Any) -> GraphNode:
    described = getattr(value, "aval", None)
    dtype, shape = getattr(described, "dtype", None), getattr(described, "shape", None)
    return GraphNode(operation, name, kind, dtype=None if dtype is None else str(dtype), shape=sizes(shape))


def _bodies(equation: Any, draft: Draft) -> Iterator[tuple[str, Drawing]]:
    params = equation.params
    if equation.primitive.name == "cond":
        branches = params["branches"]  # by the index: false comes first
        roles = ["false", "true"] if len(branches) == 2 else [f"branch {number}" for number in range(len(branches))]
        for role, branch in sorted(zip(roles, branches, strict=True), key=lambda pair: pair[0] != "true"):
            yield role, _drawing(branch, draft)
        return
    graphs = {name: value for name, value in params.items() if hasattr(value, "eqns") or hasattr(value, "jaxpr")}
    for name, graph in graphs.items():
        own = "body" if equation.primitive.name == "scan" else "function" if len(graphs) == 1 else name
        yield _ROLES.get(name, own), _drawing(graph, draft)
