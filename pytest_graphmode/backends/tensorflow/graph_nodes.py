"""Counts the operations and control flow of a TensorFlow graph, with the functions it calls.

Called by `tracing.py` for every trace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

CONTROL_FLOW: Final[Mapping[str, str]] = {
    "While": "while",
    "StatelessWhile": "while",
    "If": "cond",
    "StatelessIf": "cond",
    "Case": "switch",
    "StatelessCase": "switch",
}
_BODIES: Final[Mapping[str, tuple[str, ...]]] = {
    "while": ("cond", "body"),
    "cond": ("then_branch", "else_branch"),
    "switch": ("branches",),
}
_CALLS: Final = frozenset({"PartitionedCall", "StatefulPartitionedCall"})


class Counted(NamedTuple):
    """The operations of a graph: all, the `while`, `cond`, `scan` and `switch` of them, and how many of each type."""

    nodes: int = 0
    control_flow: Mapping[str, int] = {}
    operations: Mapping[str, int] = {}


def count(graph: Any, operations: list[Any] | None = None) -> Counted:
    """The operations of a graph (or those given of it) and of the functions reached from it.

    Each function that an operation calls or loops over counts once. A loop in a name scope `scan`, as tf.scan and
    `graphmode.scan` make them, counts as `scan`.
    """
    types, control_flow = Counter[str](), Counter[str]()
    for body in _bodies(graph, graph.get_operations() if operations is None else operations):
        types.update(operation.type for operation in body)
        control_flow.update(_verb(operation) for operation in body if operation.type in CONTROL_FLOW)
    return Counted(types.total(), dict(control_flow), dict(types))


def _bodies(graph: Any, operations: list[Any]) -> Iterator[list[Any]]:
    """The operations of a graph, then of each function reached from them."""
    seen: set[str] = set()
    waiting = [(graph, operations)]
    while waiting:
        current, operations = waiting.pop()
        yield operations
        for operation in operations:
            for name in _functions(operation):
                # Private: the public `as_graph_def` copies every constant, which can be gigabytes.
                function = None if name in seen else current._get_function(name)
                seen.add(name)
                if function is not None:
                    waiting.append((function.graph, function.graph.get_operations()))


def _functions(operation: Any) -> list[str]:
    """The names of the functions that an operation calls."""
    kind = operation.type
    if kind in _CALLS:
        return [operation.get_attr("f").name]
    found = (operation.get_attr(name) for name in _BODIES.get(CONTROL_FLOW.get(kind, ""), ()))
    return [one.name for attr in found for one in (attr if isinstance(attr, list) else [attr])]


def _verb(operation: Any) -> str:
    verb = CONTROL_FLOW[operation.type]
    scopes = [scope.partition("_")[0] for scope in operation.name.split("/")[:-1]]
    return "scan" if verb == "while" and scopes[-1:] == ["scan"] else verb
