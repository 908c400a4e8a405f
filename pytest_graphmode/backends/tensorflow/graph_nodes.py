"""What TensorFlow's graphs consist of, for reports: the operations counted, and small graphs drawn as plain data.

Both with the functions that operations call, and the graphs of loops and branches. Called for every trace, and for the
operations that are added to a TensorFlow 1 graph; drawn only while a run writes a report.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from pytest_graphmode.backends.keras_layers import snake_case
from pytest_graphmode.ledger.drawing import Draft, Drawing, GraphNode, NodeKind, drawn_for, sizes
from pytest_graphmode.ledger.ledger import BuildReport
from pytest_graphmode.ledger.watcher import Sink

_OPERATORS: Final[Mapping[str, str]] = {"While": "while", "If": "cond", "Case": "switch"}
# The attributes that name the functions of an operation, by its type without Stateless or Stateful.
_BODIES: Final[Mapping[str, tuple[str, ...]]] = {
    "While": ("cond", "body"),
    "If": ("then_branch", "else_branch"),
    "Case": ("branches",),
    "PartitionedCall": ("f",),
}
_ROLES: Final = {"then_branch": "true", "else_branch": "false"}
# What a loop's condition is given and does not use, by a name with a number of the process.
_REDUNDANT: Final = re.compile(r"_\d+___redundant_placeholder\d+$")
# `__inference_step_12`, and in a gradient `__forward_step_12`, `__backward_step_12`.
_FUNCTION: Final = re.compile(r"__(?:inference|forward|backward)_(.*)_\d+$")


def measured(report: BuildReport, graph: Any, sink: Sink, operations: Sequence[Any] | None = None) -> BuildReport:
    """A report with what a graph, or those operations of it, count, and drawn where somebody wants that."""
    operations = graph.get_operations() if operations is None else operations
    types, control_flow = _counted(graph, operations)
    report = replace(report, nodes=types.total(), control_flow=dict(control_flow), operations=dict(types))
    if report.internal:
        return report
    return replace(report, drawing=drawn_for(sink, report.nodes, lambda: _Drawn(graph, _Names()).drawn(operations)))


def _counted(graph: Any, operations: Sequence[Any]) -> tuple[Counter[str], Counter[str]]:
    """The operations by type, and the `while`, `cond`, `scan` and `switch` of them, with the functions reached from it.

    Each function that an operation calls or loops over counts once. A loop in a name scope `scan`, as tf.scan and
    `graphmode.scan` make them, counts as `scan`.
    """
    types, control_flow, seen = Counter[str](), Counter[str](), set[str]()
    waiting = [(graph, operations)]
    while waiting:
        current, body = waiting.pop()
        types.update(operation.type for operation in body)
        for operation in body:
            kind = _kind(operation)
            if kind in _OPERATORS:
                control_flow[_operator(kind, operation.name)] += 1
            for _, name in _functions_of(operation):
                # Private: the public `as_graph_def` copies every constant, which can be gigabytes.
                function = None if name in seen else current._get_function(name)
                seen.add(name)
                if function is not None:
                    waiting.append((function.graph, function.graph.get_operations()))
    return types, control_flow


def _operator(kind: str, name: str) -> str:
    scope = name.rpartition("/")[0].rpartition("/")[2].partition("_")[0]
    return "scan" if kind == "While" and scope == "scan" else _OPERATORS[kind]


def _functions_of(operation: Any) -> Iterator[tuple[str, str]]:
    """The functions that an operation calls: by which attribute, `branch 0` and so on in a list, and their names."""
    for name in _BODIES.get(_kind(operation), ()):
        found = operation.get_attr(name)
        if isinstance(found, list):
            yield from ((f"branch {number}", one.name) for number, one in enumerate(found))
        else:
            yield name, found.name


def _kind(operation: Any) -> str:
    return str(operation.type.removeprefix("Stateless").removeprefix("Stateful"))


class _Drawn:
    """One graph, and those that its operations name."""

    def __init__(self, graph: Any, names: _Names, within: Draft | None = None) -> None:
        self._graph = graph
        self._names = names
        self._draft = Draft(within)
        variables = {id(one.handle): one.name.partition(":")[0] for one in getattr(graph, "variables", ())}
        captures = getattr(graph, "captures", ())
        self._captured = {id(inside): variables.get(id(outside)) for outside, inside in captures}
        self._outputs = {id(tensor.op) for tensor in getattr(graph, "outputs", ())}

    def drawn(self, operations: Sequence[Any]) -> Drawing:
        mine = {id(operation) for operation in operations}
        for operation in operations:
            for tensor in operation.inputs:
                if not self._draft.has(id(tensor.op)) and id(tensor.op) not in mine:
                    self._add(tensor.op, "input")  # of a graph of TensorFlow 1: built before
            if not _REDUNDANT.search(operation.name):
                self._add(operation, self._kind(operation))
        return self._draft.drawing()

    def _add(self, operation: Any, kind: NodeKind) -> None:
        first = operation.outputs[0] if operation.outputs else None
        variable = None if first is None else self._captured.get(id(first))
        name = self._names.of_variable(variable) if variable else self._names.of_operation(operation.name)
        node = GraphNode(operation.type, name, kind)
        if first is not None:
            shape = None if first.shape.rank is None else sizes(first.shape.as_list())
            node = node._replace(dtype=first.dtype.name, shape=shape)
        if kind != "input" or operation.type == "Placeholder":  # else it was built before
            node = node._replace(
                inputs=self._draft.numbers(id(tensor.op) for tensor in operation.inputs),
                bodies=tuple(self._bodies(operation)),
                after=tuple(sorted(self._draft.numbers(map(id, operation.control_inputs)))),  # of a set
            )
        self._draft.add(node, id(operation))

    def _kind(self, operation: Any) -> NodeKind:
        if operation.type in ("Placeholder", "PlaceholderWithDefault"):
            return "input"
        if operation.type == "Const":
            return "constant"
        return "output" if operation.type == "Identity" and id(operation) in self._outputs else "operation"

    def _bodies(self, operation: Any) -> Iterator[tuple[str, Drawing]]:
        for attribute, name in _functions_of(operation):
            function = self._graph._get_function(name)  # see `_counted`
            if function is not None:
                inner = _Drawn(function.graph, self._names, self._draft)
                yield _role(attribute, name), inner.drawn(function.graph.get_operations())


def _role(attribute: str, function: str) -> str:
    """What the user calls the function of an operation; the name of one that is called."""
    called = _FUNCTION.match(function)
    if attribute == "f":
        return called[1] if called else "function"
    return _ROLES.get(attribute, attribute)


class _Names:
    """Names without the numbers by which Keras counts the layers of a process (`dense_7`), which tell what ran before.

    Layers of variables are counted in the graph; of scopes, which TensorFlow counts too, the class is left.
    """

    def __init__(self) -> None:
        self._layers: re.Pattern[str] | None = None
        if "keras" in sys.modules:
            classes = sorted({snake_case(cls.__name__) for cls in _subclasses(sys.modules["keras"].Layer)})
            self._layers = re.compile(rf"(?<![A-Za-z0-9])({'|'.join(classes)})((?:_\d+)*)(?![A-Za-z0-9])")
        self._seen: dict[str, list[str]] = {}

    def of_operation(self, name: str) -> str:
        return name if self._layers is None else self._layers.sub(r"\1", name)

    def of_variable(self, name: str) -> str:
        return name if self._layers is None else self._layers.sub(self._counted, name)

    def _counted(self, match: re.Match[str]) -> str:
        base, number = match.groups()
        known = self._seen.setdefault(base, [])
        if number not in known:
            known.append(number)
        return f"{base}_{known.index(number)}" if known.index(number) else base


def _subclasses(cls: Any) -> Iterator[Any]:
    for one in cls.__subclasses__():
        yield one
        yield from _subclasses(one)
