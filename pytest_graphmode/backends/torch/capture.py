"""What Dynamo traces in place of Python's loops, branches and gradients: torch's higher-order operators.

Called by `compile.py` while a function is being traced, so everything here runs inside Dynamo.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch

from pytest_graphmode.backends import trees
from pytest_graphmode.backends.differentiation import require_scalar
from pytest_graphmode.backends.tapping import Tap, as_computed
from pytest_graphmode.backends.torch import taps, tracing
from pytest_graphmode.backends.torch.autograd import differentiable, gradients
from pytest_graphmode.errors import UnsupportedError

# Gradients.


def value_and_grad(
    fn: Callable[..., Any],
    args: Sequence[Any],
    argnums: Sequence[int],
    variables: Sequence[Any],
    *,
    within: bool,
) -> tuple[Any, list[Any], list[Any]]:
    """`Mode.value_and_grad` as part of the graph, `within` where a function that calls it is differentiated outside.

    Where torch has no setting for it (2.4), Dynamo breaks the graph at the gradient.
    """
    tracing.require("trace_autograd_ops", "capture_scalar_outputs")
    again = tracing.enter_gradient(within)
    given = [leaf for position in argnums for leaf in trees.leaves(args[position])]
    again = again or any(differentiable(leaf) and not leaf.is_leaf for leaf in given)
    tracked = list(args)
    with torch.enable_grad():
        for position in argnums:
            tracked[position] = trees.map(_tracked, args[position])
        around = taps.watch()
        value = fn(*tracked)
        tapped = taps.watched(around)
        require_scalar(fn, value, torch.is_tensor)
        wanted = [leaf for position in argnums for leaf in trees.leaves(tracked[position])]
        grads = gradients(value, [*wanted, *variables, *[leaf for _, leaf in tapped]], create_graph=again)
    tracing.leave_gradient()
    if tapped:
        grads, found = grads[: -len(tapped)], grads[-len(tapped) :]
        reached = [Tap(tap.name, grad) for tap, grad in zip(tapped, found, strict=True) if grad is not None]
        for name, grad in as_computed(reached):
            taps.put(name, grad)
    of_args = []
    for position in argnums:
        leaves, spec = trees.flatten(tracked[position])
        of_args.append(trees.unflatten(spec, grads[: len(leaves)]))
        grads = grads[len(leaves) :]
    # A value that belongs to a graph which the gradient has consumed would break Dynamo's graph.
    return value if again else value.detach(), of_args, grads


def _tracked(leaf: Any) -> Any:
    if not differentiable(leaf):
        return leaf
    return leaf.view_as(leaf) if leaf.requires_grad else leaf.detach().requires_grad_()


# Control flow. The operators take flat tuples of distinct tensors, and give back tensors that alias none of them.


def while_loop(cond: Callable[[Any], Any], body: Callable[[Any], Any], state: Any, device: torch.device) -> Any:
    from torch._higher_order_ops.while_loop import while_loop as operator  # torch.while_loop is not public yet

    def holds(*carry: Any) -> Any:
        return torch.as_tensor(_inside(cond, carry), device=device).reshape(())

    def advance(*carry: Any) -> Any:
        return _clones(_inside(body, carry))

    def run(carry: tuple[Any, ...]) -> tuple[Any, Any]:
        found = tuple(operator(holds, advance, carry))
        if any(leaf.requires_grad for leaf in found):
            tracing.require("capture_scalar_outputs")  # the gradient reads the number of iterations
            # torch 2.13 differentiates a loop that never runs as if it ran once.
            ran = holds(*carry)
            found = tuple(torch.where(ran, after, before) for after, before in zip(found, carry, strict=True))
        return found, None

    return _reached_by_gradients(run, _clones(state))[0]


def fori_loop(
    lower: Any, upper: Any, body: Callable[[Any, Any], Any], state: Any, device: torch.device
) -> tuple[Any, ...]:
    dtype = lower.dtype if isinstance(lower, torch.Tensor) else torch.int32
    index = torch.as_tensor(lower, dtype=dtype, device=device)

    def holds(carry: Any) -> Any:
        return carry[0] < upper

    def advance(carry: Any) -> Any:
        return (carry[0] + 1, *body(carry[0], carry[1:]))

    final: tuple[Any, ...] = while_loop(holds, advance, (index, *state), device)
    return final[1:]


def scan(f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any) -> tuple[Any, Any]:
    try:
        from torch._higher_order_ops.scan import scan as operator
    except ImportError:
        raise UnsupportedError(
            f"torch {torch.__version__} has no scan operator for torch.compile: use a newer torch, or fori_loop, "
            "or mark the test @pytest.mark.graph_skip('torch:compile', reason=...)"
        ) from None
    tracing.import_quietly()

    def combine(carry: Any, row: Any) -> Any:
        after, y = _inside(f, tuple(carry), tuple(row))
        return list(_clones(after)), _result(y)

    def run(start: tuple[Any, ...]) -> tuple[Any, Any]:
        carry, ys = operator(combine, list(start), list(_clones(xs)))
        return tuple(carry), ys

    carry, ys = _reached_by_gradients(run, _clones(init))
    return carry, _with_none(ys)


def cond(pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], operands: tuple[Any, ...]) -> Any:
    def branch(fn: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given: _result(_inside(fn, *given))

    return _with_none(torch.cond(pred.reshape(()), branch(true_fn), branch(false_fn), _clones(operands)))


def switch(index: Any, branches: Sequence[Callable[..., Any]], operands: tuple[Any, ...]) -> Any:
    """Branches as a chain of torch.cond, since torch has no operator for more than two."""
    if len(branches) == 1:
        return branches[0](*operands)

    def others(*given: Any) -> Any:
        return switch(index - 1, branches[1:], given)

    return cond(index <= 0, branches[0], others, operands)


def _inside(callback: Callable[..., Any], *args: Any) -> Any:
    """What a callback returns, called as a part of an operator."""
    tracing.enter_operator()
    result = callback(*args)
    tracing.leave_operator()
    return result


def _clones(tensors: Sequence[Any]) -> tuple[Any, ...]:
    """Tensors of their own: one tensor may stand twice among the user's, which the operators refuse."""
    return tuple([tensor.clone() for tensor in tensors])


def _result(tree: Any) -> Any:
    """A tree as an operator may return it: tensors of their own, and no None."""
    return trees.map(lambda leaf: {_NONE: ()} if leaf is None else leaf.clone(), tree)


# Stands for None in results, which the operators take for a tensor that is missing: a tree without leaves.
_NONE: Final = "pytest_graphmode: None"


def _with_none(tree: Any) -> Any:
    return trees.map(lambda leaf: None if _is_none(leaf) else leaf, tree, is_leaf=_is_none)


def _is_none(node: Any) -> bool:
    return type(node) is dict and _NONE in node


_ANCHOR: Final = torch.zeros((), requires_grad=True)


def _reached_by_gradients(run: Callable[[tuple[Any, ...]], tuple[Any, Any]], carry: tuple[Any, ...]) -> tuple[Any, Any]:
    """Run a loop so that gradients flow through all of its iterations.

    torch 2.13 (and its scan before) drops the gradient that a captured tensor, say a weight, gets by way of the loop
    carry where that requires no gradient when the loop begins. So where only the result requires one the
    loop is built again, with a carry that does.
    """
    found = run(carry)
    severed = [
        differentiable(start) and not start.requires_grad and end.requires_grad
        for start, end in zip(carry, found[0], strict=True)
    ]
    if not any(severed):
        return found
    return run(tuple([leaf + _ANCHOR.to(leaf) if cut else leaf for leaf, cut in zip(carry, severed, strict=True)]))
