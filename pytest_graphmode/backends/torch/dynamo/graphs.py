"""What is in a graph of torch.fx: how many operations, which control flow; and the graph as plain data, for reports.

Called by `source.py` and `export.py` for every graph.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch._ops import HigherOrderOperator
from torch.fx import GraphModule, Node

from pytest_graphmode.backends import trees
from pytest_graphmode.ledger.describe import dtype_name
from pytest_graphmode.ledger.drawing import Draft, Drawing, GraphNode, NodeKind, sizes

_CAPTURE: Final = str(Path(__file__).parents[1] / "capture.py")
_CALLS: Final = ("call_function", "call_method", "call_module")
_FRAME: Final = re.compile(r'File "([^"]*)", line \d+, in (\S+)')

# Torch's operators by the names that every framework's control flow is counted under.
_CONTROL_FLOW: Final = {
    "while_loop": "while",
    "cond": "cond",
    "scan": "scan",
    "associative_scan": "scan",
    "map": "scan",
}

_KINDS: Final[dict[str, NodeKind]] = {"placeholder": "input", "get_attr": "constant", "output": "output"}
_NAMES: Final = {"placeholder": "argument", "get_attr": "attribute", "output": "return"}
_LOCAL: Final = re.compile(r"^l_(.+?)_+$")
_IMPORTED: Final = re.compile(r"^g_import_(?:\w+_dot_)*(\w+)$")
# What the graphs that an operator takes are, in its order.
_ROLES: Final = {"cond": ("true", "false"), "while_loop": ("cond", "body"), "scan": ("body",), "map_impl": ("body",)}


@dataclass
class GraphContents:
    """The operations of a graph and of the graphs of its loops and branches."""

    nodes: int = 0
    control_flow: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, module: GraphModule) -> GraphContents:
        contents = cls()
        contents._add(module)
        return contents

    def _add(self, module: GraphModule) -> None:
        for node in module.graph.nodes:
            if node.op not in _CALLS or _is_abandoned(node):
                continue
            self.nodes += 1
            self.operations[_operation(node)] += 1
            if isinstance(node.target, HigherOrderOperator) and (name := _name(node)) is not None:
                self.control_flow[name] += 1
            for _, inner in _bodies(module, node):
                self._add(inner)


def drawing(module: GraphModule, within: Draft | None = None) -> Drawing:
    """A graph as plain data.

    Raises:
        TooLargeError: it has too many nodes.
    """
    draft = Draft(within)
    for node in module.graph.nodes:
        if _body(module, node) is None and not _is_abandoned(node):
            dtype, shape = _described(node)
            bodies = tuple([(role, drawing(body, draft)) for role, body in _bodies(module, node)])
            what = _NAMES.get(node.op) or _operation(node)
            kind = _KINDS.get(node.op, "operation")
            inputs = draft.numbers(node.all_input_nodes)
            draft.add(GraphNode(what, _shown(node.name), kind, inputs, dtype, shape, bodies), node)
    return draft.drawing()


def _operation(node: Node) -> str:
    """What torch calls an operation: `torch.add` for a function by name, `Tensor.view` for a method."""
    target = node.target
    if isinstance(target, str):
        return f"Tensor.{target}" if node.op == "call_method" else target
    if isinstance(target, HigherOrderOperator):
        return str(target.name())
    return str(getattr(target, "__name__", None) or target)


def _is_abandoned(node: Node) -> bool:
    """Whether this is a loop whose results nobody takes: `capture.while_loop` builds some loops twice."""
    return isinstance(node.target, HigherOrderOperator) and not any(user.users for user in node.users)


def _name(node: Node) -> str | None:
    """`while`, `cond`, `scan` or `switch`, None for an operator that is no control flow, or part of a switch."""
    name = _CONTROL_FLOW.get(node.target.name())
    if name != "cond":
        return name
    # The handle's switch is a chain of torch.cond, the first of which stands for all.
    frames = _FRAME.findall(str(node.meta.get("stack_trace", "")))
    callers = [function for file, function in frames if file == _CAPTURE]
    if callers[-2:-1] != ["switch"]:
        return name
    return None if callers[-3:-2] == ["others"] else "switch"


def _body(module: GraphModule, node: Node) -> GraphModule | None:
    """The graph that a node stands for, which an operator takes."""
    found = getattr(module, str(node.target), None) if node.op == "get_attr" else None
    return found if isinstance(found, GraphModule) else None


def _bodies(module: GraphModule, node: Node) -> Iterator[tuple[str, GraphModule]]:
    """The graphs that an operator takes, each with its part in it."""
    if not isinstance(node.target, HigherOrderOperator):
        return
    taken = [(str(one.target), _body(module, one)) for one in node.all_input_nodes]
    graphs = [(name, graph) for name, graph in taken if graph is not None]
    roles = _ROLES.get(node.target.name(), ())
    for position, (name, graph) in enumerate(graphs):
        role = roles[position] if position < len(roles) else "function" if len(graphs) == 1 else name
        yield role, graph


def _shown(name: str) -> str:
    """`x` for `l_x_`, as Dynamo calls the argument x, and `anchor` for `g_import_package_dot_module_anchor`."""
    return _IMPORTED.sub(r"\1", _LOCAL.sub(r"\1", name))


def _described(node: Node) -> tuple[str | None, tuple[int | None, ...] | None]:
    """The dtype and shape of a node's first result, as Dynamo, or torch.export, noted them."""
    value: Any = node.meta.get("example_value", node.meta.get("val"))
    first = next((leaf for leaf in trees.leaves(value) if isinstance(leaf, torch.Tensor)), None)
    if first is None:
        return None, None
    return dtype_name(first), sizes(first.shape)
