"""JAX's graphs as plain data, for reports: equations, and the graphs of loops, branches and calls in them.

Called by `tracing.py` while a run writes a report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pytest_graphmode.ledger.describe import cut
from pytest_graphmode.ledger.drawing import Draft, Drawing, GraphNode, NodeKind, sizes

_ROLES: Final[Mapping[str, str]] = {"cond_jaxpr": "cond", "body_jaxpr": "body"}


def drawing(graph: Any, within: Draft | None = None) -> Drawing:
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
            yield role, drawing(branch, draft)
        return
    graphs = {name: value for name, value in params.items() if hasattr(value, "eqns") or hasattr(value, "jaxpr")}
    for name, graph in graphs.items():
        own = "body" if equation.primitive.name == "scan" else "function" if len(graphs) == 1 else name
        yield _ROLES.get(name, own), drawing(graph, draft)
