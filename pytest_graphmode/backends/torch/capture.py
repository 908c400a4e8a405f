"""What Dynamo traces in place of Python's loops, branches and gradients: torch's higher-order operators.

Called by `compile.py` while a function is being traced, so everything here runs inside Dynamo, except for what is
marked `assume_constant_result`: that runs for real at the moment when Dynamo meets it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch

from pytest_graphmode import trees
from pytest_graphmode.backends.differentiation import require_scalar
from pytest_graphmode.backends.torch.autograd import differentiable
from pytest_graphmode.errors import UnsupportedError


class Settings(threading.local):
    """Dynamo settings that a trace asked for, with the values they had before it.

    They are not set for every trace because they hide graph breaks: `capture_scalar_outputs` makes `Tensor.item` part
    of the graph, `trace_autograd_ops` (torch 2.10) `torch.autograd.grad` and `Tensor.backward`.
    """

    def __init__(self) -> None:
        self.before: dict[str, Any] = {}

    def require(self, *names: str) -> None:
        """Set what is not set yet and begin the trace under way again, as Dynamo does when it learns something late."""
        from torch._dynamo import config, exc

        missing = [name for name in names if getattr(config, name, True) is False]
        for name in missing:
            self.before.setdefault(name, False)
            setattr(config, name, True)
        if missing:
            raise exc.RestartAnalysis(restart_reason=f"{', '.join(missing)} was set")

    def restore(self) -> None:
        """Give the settings their old values, when the call that was traced is over."""
        from torch._dynamo import config

        while self.before:
            setattr(config, *self.before.popitem())


settings = Settings()


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _trace_autograd() -> None:
    settings.require("trace_autograd_ops", "capture_scalar_outputs")


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _trace_scalars() -> None:
    settings.require("capture_scalar_outputs")


# Gradients.


def value_and_grad(
    fn: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], variables: Sequence[Any]
) -> tuple[Any, list[Any], list[Any]]:
    """`Mode.value_and_grad` as part of the graph; before torch 2.10 Dynamo breaks the graph at the gradient."""
    _trace_autograd()
    outer = any(
        differentiable(leaf) and not leaf.is_leaf for position in argnums for leaf in trees.leaves(args[position])
    )
    tracked = list(args)
    with torch.enable_grad():
        for position in argnums:
            tracked[position] = trees.map(_tracked, args[position])
        value = fn(*tracked)
        require_scalar(fn, value, _is_tensor)
        wanted = [leaf for position in argnums for leaf in trees.leaves(tracked[position])]
        grads = _gradients(value, [*wanted, *variables], create_graph=outer)
    of_args = []
    for position in argnums:
        count = len(trees.leaves(tracked[position]))
        of_args.append(trees.unflatten(trees.flatten(tracked[position])[1], grads[:count]))
        grads = grads[count:]
    # A value that is still part of a graph which the gradient has consumed would break Dynamo's graph.
    return value if outer else value.detach(), of_args, grads


def _is_tensor(value: object) -> bool:
    return isinstance(value, torch.Tensor)


def _tracked(leaf: Any) -> Any:
    if not differentiable(leaf):
        return leaf
    return leaf.view_as(leaf) if leaf.requires_grad else leaf.detach().requires_grad_()


def _gradients(value: Any, wanted: Sequence[Any], *, create_graph: bool) -> list[Any]:
    has = [differentiable(leaf) and leaf.requires_grad for leaf in wanted]
    if not any(has) or not value.requires_grad:
        return [None for _ in wanted]
    inputs = [leaf for leaf, can in zip(wanted, has, strict=True) if can]
    found = list(torch.autograd.grad(value, inputs, create_graph=create_graph, allow_unused=True))
    return [found.pop(0) if can else None for can in has]


# Control flow. torch's operators take flat tuples of distinct tensors and give back tensors that alias none of them.


def while_loop(cond: Callable[[Any], Any], body: Callable[[Any], Any], state: Any, device: torch.device) -> Any:
    from torch._higher_order_ops.while_loop import while_loop as operator  # torch.while_loop is not public yet

    if torch.is_grad_enabled():
        _trace_scalars()  # the gradient reads the number of trips
    leaves, spec = _flattened(state, device)

    def flat_cond(*carried: Any) -> Any:
        return torch.as_tensor(cond(trees.unflatten(spec, list(carried))), device=device).reshape(())

    def flat_body(*carried: Any) -> Any:
        return _flattened(body(trees.unflatten(spec, list(carried))), device)[0]

    def run(carried: tuple[Any, ...]) -> tuple[Any, Any]:
        return tuple(operator(flat_cond, flat_body, carried)), None

    return trees.unflatten(spec, list(_reached_by_gradients(run, leaves)[0]))


def scan(f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any, device: torch.device) -> tuple[Any, Any]:
    operator = _scan_operator()
    leaves, spec = _flattened(init, device)
    inputs = _distinct(xs, device)

    def combine(carried: Any, sliced: Any) -> Any:
        carry, y = f(trees.unflatten(spec, list(carried)), sliced)
        return list(_flattened(carry, device)[0]), _distinct(y, device)

    def run(carried: tuple[Any, ...]) -> tuple[Any, Any]:
        carry, ys = operator(combine, list(carried), inputs)
        return tuple(carry), ys

    carry, ys = _reached_by_gradients(run, leaves)
    return trees.unflatten(spec, list(carry)), ys


def _scan_operator() -> Callable[..., Any]:
    try:
        from torch._higher_order_ops.scan import scan as operator
    except ImportError:
        raise UnsupportedError(
            f"torch {torch.__version__} has no scan operator for torch.compile: use torch 2.6 or newer, "
            "fori_loop, or @pytest.mark.graph_skip('torch:compile', reason=...)"
        ) from None
    found: Callable[..., Any] = operator
    return found


def cond(
    pred: Any,
    true_fn: Callable[..., Any],
    false_fn: Callable[..., Any],
    operands: tuple[Any, ...],
    device: torch.device,
) -> Any:
    leaves, spec = _flattened(operands, device)

    def branch(fn: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given: _distinct(fn(*trees.unflatten(spec, list(given))), device)

    return torch.cond(torch.as_tensor(pred, device=device).reshape(()), branch(true_fn), branch(false_fn), leaves)


def switch(index: Any, branches: Sequence[Callable[..., Any]], operands: tuple[Any, ...], device: torch.device) -> Any:
    """Branches as a chain of torch.cond, since torch has no operator for more than two."""
    if len(branches) == 1:
        return branches[0](*operands)
    index = torch.as_tensor(index, device=device)

    def others(*given: Any) -> Any:
        return switch(index - 1, branches[1:], given, device)

    return cond(index <= 0, branches[0], others, operands, device)


def _distinct(tree: Any, device: torch.device) -> Any:
    """A tree of tensors of their own: one tensor may stand twice in the user's tree, which the operators refuse."""
    return trees.map(lambda leaf: torch.as_tensor(leaf, device=device).clone(), tree)


def _flattened(tree: Any, device: torch.device) -> tuple[tuple[Any, ...], Any]:
    leaves, spec = trees.flatten(_distinct(tree, device))
    return tuple(leaves), spec


_ANCHOR: Final = torch.zeros((), requires_grad=True)


def _reached_by_gradients(
    run: Callable[[tuple[Any, ...]], tuple[Any, Any]], carried: tuple[Any, ...]
) -> tuple[Any, Any]:
    """Run a loop so that gradients flow through all of its trips.

    torch 2.13 (and its scan before) drops the gradient that a captured tensor, say a weight, gets by way of a carried
    one where the carried one requires no gradient when the loop begins. So where only the result requires one the
    loop is built again, with carried tensors that do.
    """
    found = run(carried)
    severed = [
        differentiable(start) and not start.requires_grad and end.requires_grad
        for start, end in zip(carried, found[0], strict=True)
    ]
    if not any(severed):
        return found
    return run(tuple([leaf + _ANCHOR.to(leaf) if cut else leaf for leaf, cut in zip(carried, severed, strict=True)]))
