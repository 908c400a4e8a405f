"""Reverse-mode gradients on torch, which leave leaves, parameters and no graph behind, and the shape of such graphs.

Called by the modes of torch and by the source of eager modules.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from pytest_graphmode.backends import tapping, trees
from pytest_graphmode.backends.differentiation import Sources, require_scalar
from pytest_graphmode.ledger.describe import dtype_name
from pytest_graphmode.ledger.drawing import Draft, Drawing, GraphNode, sizes
from pytest_graphmode.ledger.watcher import watcher

__tracebackhide__ = True  # in failures, the user's frames are of interest


class Nesting(threading.local):
    """How many differentiations of a mode are under way in this thread: inner ones keep their graph for outer ones.

    `root` is where the graph of the latest ended, for who draws it: what a differentiation returns has none any more.
    """

    depth = 0
    root: Any = None

    @contextmanager
    def entered(self) -> Iterator[None]:
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1


def value_and_grad(
    fn: Callable[..., Any],
    args: Sequence[Any],
    argnums: Sequence[int],
    variables: Sequence[Any],
    nesting: Nesting,
) -> tuple[Any, list[Any], list[Any]]:
    """The value of `fn(*args)`, gradients of the arguments at `argnums`, and of `variables`; see `Mode`."""
    tapped: list[tapping.Tap] = []  # with what `watch_gradient` found of each
    with torch.inference_mode(False), torch.enable_grad(), _unfrozen(variables):
        sources = Sources(fn, args, argnums, variables, differentiable, _tracked)
        given = trees.leaves([args[position] for position in argnums])
        # Whether someone else differentiates what is computed here.
        outer = nesting.depth > 0 or bool(_roots([*given, *variables]))
        with nesting.entered(), tapping.differentiating(tapped):
            value = fn(*sources.args)
            require_scalar(fn, value, torch.is_tensor)
            nesting.root = value.grad_fn if watcher.drawing else None
            grads = gradients(value, sources.tensors, create_graph=outer)
        tapping.emit_gradients([tapping.Tap(name, found[0]) for name, found in tapped if found])
    return value if outer else value.detach(), *sources.arranged(grads)


def watch_gradient(name: str, tree: Any) -> None:
    """Note the gradients that come back to what was tapped, for the differentiation under way.

    By hooks: what is modified in place later on keeps those of the value that it had.
    """
    under_way = tapping.differentiated()
    if under_way is None:
        return
    for path, leaf in trees.paths(tree, name):
        if differentiable(leaf) and leaf.requires_grad:
            gradient: list[Any] = []
            under_way.append(tapping.Tap(path, gradient))
            leaf.register_hook(lambda grad, gradient=gradient: gradient.append(grad) if not gradient else None)


def differentiable(leaf: object) -> bool:
    """Whether a leaf is a tensor that autograd can track."""
    return isinstance(leaf, torch.Tensor) and (leaf.is_floating_point() or leaf.is_complex())


def tracking(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` called for its value as it is when it is differentiated: on tensors that autograd tracks."""

    def tracked(*args: Any) -> Any:
        for leaf in trees.leaves(args):
            if differentiable(leaf) and not leaf.requires_grad:
                leaf.requires_grad_()
        with torch.enable_grad():
            return fn(*args)

    return tracked


@contextmanager
def _unfrozen(variables: Sequence[Any]) -> Iterator[None]:
    """Autograd tracks these variables in the block, frozen ones too, and the frozen ones are frozen again after it."""
    frozen = [leaf for leaf in variables if differentiable(leaf) and not leaf.requires_grad]
    for leaf in frozen:
        leaf.requires_grad_()
    try:
        yield
    finally:
        for leaf in frozen:
            leaf.requires_grad_(False)


def _tracked(leaf: Any) -> Any:
    """A tensor that gradients reach. One passed as two arguments becomes two: nodes of its own graph, or new leaves."""
    if leaf.requires_grad:
        return leaf.view_as(leaf)
    return (leaf.clone() if leaf.is_inference() else leaf.detach()).requires_grad_()


def gradients(value: Any, wanted: Sequence[Any], *, create_graph: bool) -> list[Any]:
    """The gradient by each of `wanted`, None by what autograd does not track; Dynamo traces this too."""
    can = [differentiable(leaf) and leaf.requires_grad for leaf in wanted]
    if not any(can) or not value.requires_grad:
        return [None for _ in wanted]
    inputs = [leaf for leaf, one in zip(wanted, can, strict=True) if one]
    found = list(torch.autograd.grad(value, inputs, create_graph=create_graph, allow_unused=True))
    return [found.pop(0) if one else None for one in can]


def drawing(outputs: Iterable[Any], root: Any = None) -> Drawing | None:
    """A recorded graph in the order of the forward computation, of outputs or else to a root; None if there is none.

    Raises:
        TooLargeError: it has too many nodes.
    """
    draft = Draft()
    for node in _in_order(_roots(outputs) or [one for one in [root] if one is not None]):
        inputs = draft.numbers(child for child, _ in node.next_functions if child is not None)
        draft.add(_node(node, inputs), node)
    return draft.drawing() if draft.drawing().nodes else None


def _roots(leaves: Iterable[Any]) -> list[Any]:
    return [leaf.grad_fn for leaf in leaves if isinstance(leaf, torch.Tensor) and leaf.grad_fn is not None]


def _in_order(roots: Sequence[Any]) -> Iterator[Any]:
    """Each node of a graph after those that its values came from."""
    seen: set[Any] = set()
    waiting = [(root, False) for root in reversed(roots)]
    while waiting:
        node, ready = waiting.pop()
        if ready:
            yield node
        elif node not in seen:
            seen.add(node)
            waiting.append((node, True))
            waiting += [(child, False) for child, _ in reversed(node.next_functions) if child is not None]


def _node(node: Any, inputs: tuple[int, ...]) -> GraphNode:
    leaf = getattr(node, "variable", None)
    if leaf is not None:
        return GraphNode("leaf", "", "input", inputs, dtype_name(leaf), sizes(leaf.shape))
    # Private: nothing public tells what the forward computation returned. It is left out where it is not there.
    first = next(iter(getattr(node, "_input_metadata", ())), None)
    dtype, shape = (None, None) if first is None else (dtype_name(first), sizes(first.shape))
    return GraphNode(node.name().rpartition("::")[2], inputs=inputs, dtype=dtype, shape=shape)


def fingerprint(outputs: Iterable[Any]) -> str | None:
    """The shape of a recorded graph as a short text, for `watch(structures=True)`.

    Equal for graphs of the same nodes with the same edges, shared leaves included; None if nothing was recorded.

    The nodes are numbered in the order of the forward computation. The graph is not kept alive.
    """
    roots = _roots(outputs)
    if not roots:
        return None
    numbers = {node: number for number, node in enumerate(_in_order(roots))}
    lines = []
    for node in numbers:
        edges = ",".join(f"{numbers[child]}.{index}" if child else "-" for child, index in node.next_functions)
        lines.append(f"{node.name()}({edges})")
    ends = ",".join(str(numbers[root]) for root in roots)
    return hashlib.sha1(f"{ends}:{';'.join(lines)}".encode(), usedforsecurity=False).hexdigest()[:16]
