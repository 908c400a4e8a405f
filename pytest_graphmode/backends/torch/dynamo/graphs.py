"""What is in a graph that Dynamo hands to a compiler backend: how many operations, which control flow.

Called by `source.py` for every graph.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from torch._ops import HigherOrderOperator
from torch.fx import GraphModule, Node

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
            if node.op not in _CALLS or is_abandoned(node):
                continue
            self.nodes += 1
            self.operations[operation(node)] += 1
            if isinstance(node.target, HigherOrderOperator):
                if (name := _name(node)) is not None:
                    self.control_flow[name] += 1
                for used in node.all_input_nodes:
                    inner = getattr(module, str(used.target), None) if used.op == "get_attr" else None
                    if isinstance(inner, GraphModule):
                        self._add(inner)


def operation(node: Node) -> str:
    """What torch calls an operation: `torch.add` for a function by name, `Tensor.view` for a method."""
    target = node.target
    if isinstance(target, str):
        return f"Tensor.{target}" if node.op == "call_method" else target
    if isinstance(target, HigherOrderOperator):
        return str(target.name())
    return str(getattr(target, "__name__", None) or target)


def is_abandoned(node: Node) -> bool:
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
