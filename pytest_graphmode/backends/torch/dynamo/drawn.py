"""The graphs of torch.fx as plain data, for reports: those of Dynamo and torch.export, with their loops and branches.

Called by `source.py` and `export.py` while a run writes a report.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import torch
from torch._ops import HigherOrderOperator
from torch.fx import GraphModule, Node

from pytest_graphmode.backends import trees
from pytest_graphmode.backends.torch.dynamo.graphs import is_abandoned, operation
from pytest_graphmode.ledger.drawing import Draft, Drawing, GraphNode, NodeKind, sizes

_KINDS: Final[dict[str, NodeKind]] = {"placeholder": "input", "get_attr": "constant", "output": "output"}
_NAMES: Final = {"placeholder": "argument", "get_attr": "attribute", "output": "return"}
_LOCAL: Final = re.compile(r"^l_(.+?)_+$")
_IMPORTED: Final = re.compile(r"^g_import_(?:\w+_dot_)*(\w+)$")
# What the graphs that an operator takes are, in its order.
_ROLES: Final = {"cond": ("true", "false"), "while_loop": ("cond", "body"), "scan": ("body",), "map_impl": ("body",)}


def drawing(module: GraphModule, within: Draft | None = None) -> Drawing:
    """A graph.

    Raises:
        TooLargeError: it has too many nodes.
    """
    draft = Draft(within)
    for node in module.graph.nodes:
        if _body(module, node) is None and not is_abandoned(node):
            dtype, shape = _described(node)
            bodies = tuple(_bodies(module, node, draft))
            what = _NAMES.get(node.op) or operation(node)
            kind = _KINDS.get(node.op, "operation")
            inputs = draft.numbers(node.all_input_nodes)
            draft.add(GraphNode(what, _named(node.name), kind, inputs, dtype, shape, bodies), node)
    return draft.drawing()


def _named(name: str) -> str:
    """`x` for `l_x_`, as Dynamo calls the argument x, and `anchor` for `g_import_package_dot_module_anchor`."""
    return _IMPORTED.sub(r"\1", _LOCAL.sub(r"\1", name))


def _body(module: GraphModule, node: Node) -> GraphModule | None:
    """The graph that a node stands for, which an operator takes."""
    found = getattr(module, str(node.target), None) if node.op == "get_attr" else None
    return found if isinstance(found, GraphModule) else None


def _bodies(module: GraphModule, node: Node, draft: Draft) -> Iterator[tuple[str, Drawing]]:
    if not isinstance(node.target, HigherOrderOperator):
        return
    taken = [(str(one.target), _body(module, one)) for one in node.all_input_nodes]
    graphs = [(name, graph) for name, graph in taken if graph is not None]
    roles = _ROLES.get(node.target.name(), ())
    for position, (name, graph) in enumerate(graphs):
        role = roles[position] if position < len(roles) else "function" if len(graphs) == 1 else name
        yield role, drawing(graph, draft)


def _described(node: Node) -> tuple[str | None, tuple[int | None, ...] | None]:
    """The dtype and shape of a node's first result, as Dynamo, or torch.export, noted them."""
    value: Any = node.meta.get("example_value", node.meta.get("val"))
    first = next((leaf for leaf in trees.leaves(value) if isinstance(leaf, torch.Tensor)), None)
    if first is None:
        return None, None
    return str(first.dtype).removeprefix("torch."), sizes(tuple(first.shape))
