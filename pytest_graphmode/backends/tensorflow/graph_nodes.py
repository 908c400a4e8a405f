"""Counts the operations and control flow of a TensorFlow graph, with the functions it calls.

Called for every trace, and for the operations that are added to a TensorFlow 1 graph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

_OPERATORS: Final[Mapping[str, str]] = {"While": "while", "If": "cond", "Case": "switch"}
# The attributes that name the functions of an operation, by its type without Stateless or Stateful.
_BODIES: Final[Mapping[str, tuple[str, ...]]] = {
    "While": ("cond", "body"),
    "If": ("then_branch", "else_branch"),
    "Case": ("branches",),
    "PartitionedCall": ("f",),
}


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
    types, control_flow, seen = Counter[str](), Counter[str](), set[str]()
    waiting = [(graph, graph.get_operations() if operations is None else operations)]
    while waiting:
        current, body = waiting.pop()
        types.update(operation.type for operation in body)
        for operation in body:
            kind = _kind(operation)
            if kind in _OPERATORS:
                control_flow[_operator(kind, operation.name)] += 1
            for _, name in functions_of(operation):
                # Private: the public `as_graph_def` copies every constant, which can be gigabytes.
                function = None if name in seen else current._get_function(name)
                seen.add(name)
                if function is not None:
                    waiting.append((function.graph, function.graph.get_operations()))
    return Counted(types.total(), dict(control_flow), dict(types))


def _operator(kind: str, name: str) -> str:
    scope = name.rpartition("/")[0].rpartition("/")[2].partition("_")[0]
    return "scan" if kind == "While" and scope == "scan" else _OPERATORS[kind]


def functions_of(operation: Any) -> Iterator[tuple[str, str]]:
    """The functions that an operation calls: by which attribute, `branch 0` and so on in a list, and their names."""
    for name in _BODIES.get(_kind(operation), ()):
        found = operation.get_attr(name)
        if isinstance(found, list):
            yield from ((f"branch {number}", one.name) for number, one in enumerate(found))
        else:
            yield name, found.name


def _kind(operation: Any) -> str:
    return str(operation.type.removeprefix("Stateless").removeprefix("Stateful"))
