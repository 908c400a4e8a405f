"""What Dynamo traces in place of Python's loops, branches and gradients: torch's higher-order operators.

Called by `compile.py` while a function is being traced, so everything here runs inside Dynamo, except for what is
marked `assume_constant_result`: that runs for real at the moment when Dynamo meets it. Importing this imports Dynamo.
"""

from __future__ import annotations

import dataclasses
import importlib
import threading
import warnings
import weakref
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any, Final, NoReturn

import torch
from torch._dynamo import config
from torch._dynamo.exc import UnspecializeRestartAnalysis
from torch._guards import TracingContext

from pytest_graphmode import trees
from pytest_graphmode.backends.differentiation import require_scalar
from pytest_graphmode.backends.torch.autograd import differentiable
from pytest_graphmode.errors import UnsupportedError


def prepare() -> bool:
    """What Dynamo needs to trace the plugin's trees; called before anything is compiled.

    Returns:
        Whether it can: before torch 2.6 it breaks its graph at every use of optree.
    """
    trees.announce_dataclasses(_register_dataclass)
    try:
        polyfills = importlib.import_module("torch._dynamo.polyfills.pytree")
    except ImportError:
        return False
    # torch 2.13 runs optree's own function for a dict of numbers, whose result (optree 0.18) it can't trace then.
    for name in ("dict_flatten", "dict_unflatten"):
        vars(getattr(polyfills, name, prepare))["__torch_dynamo_can_constant_fold_through__"] = False
    return True


class Settings(threading.local):
    """Dynamo settings that a trace asked for, with the values they had before it.

    They are not set for every trace because they hide graph breaks: `capture_scalar_outputs` makes `Tensor.item` part
    of the graph, `trace_autograd_ops` (torch 2.10) `torch.autograd.grad` and `Tensor.backward`.
    """

    def __init__(self) -> None:
        self.before: dict[str, Any] = {}
        self.verbs_as_python = False

    def require(self, *names: str) -> None:
        """Set what is not set yet and begin the trace under way again, as Dynamo does when it learns something late."""
        missing = [name for name in names if getattr(config, name, True) is False]
        for name in missing:
            self.before.setdefault(name, False)
            setattr(config, name, True)
        if missing:
            _begin_again(f"{', '.join(missing)} was set")

    def restore(self) -> None:
        """Give the settings their old values, when the call that was traced is over."""
        self.verbs_as_python = False
        while self.before:
            setattr(config, *self.before.popitem())


settings = Settings()


def _begin_again(reason: str) -> NoReturn:
    """Start the trace under way over, with nothing of it kept: no public way, but what Dynamo itself does."""
    raise UnspecializeRestartAnalysis(restart_reason=reason)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _trace_autograd() -> None:
    settings.require("trace_autograd_ops", "capture_scalar_outputs")


torch.compiler.assume_constant_result(trees._register)  # a class is registered for real, not in a graph


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _trace_scalars() -> None:
    settings.require("capture_scalar_outputs")


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def import_quietly() -> None:
    """Import what scan and inductor do, which warns of torch's own use of what torch has deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        importlib.import_module("torch.fx.experimental.optimization")


class _Trace:
    """How deep in gradients and in operators a trace is. It is counted for real, by functions that Dynamo calls.

    Dynamo (2.13) loses what a function that it traces sets on objects before and after a loop.
    """

    differentiations = 0
    operators = 0


_traces: Final[MutableMapping[TracingContext, _Trace]] = weakref.WeakKeyDictionary()


def _trace() -> _Trace:
    return _traces.setdefault(TracingContext.get(), _Trace())


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _enter_gradient(within: bool) -> bool:
    """Begin a differentiation, perhaps within one outside of the graph; returns whether it is inside of another one."""
    trace = _trace()
    trace.differentiations = max(trace.differentiations, int(within)) + 1
    return trace.differentiations > 1


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _leave_gradient() -> None:
    _trace().differentiations -= 1


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def twice() -> bool:
    """Whether what is traced now will be differentiated twice."""
    return _trace().differentiations > 1


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _enter_operator() -> None:
    _trace().operators += 1


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _leave_operator() -> None:
    _trace().operators -= 1


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def assigning() -> None:
    """Note an assignment. torch's operators allow none, so a trace that has one in a loop or branch begins again."""
    if _trace().operators:
        settings.verbs_as_python = True
        _begin_again("a variable is assigned in a loop or branch")


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def verbs_as_python() -> bool:
    return settings.verbs_as_python


# Gradients.


def value_and_grad(
    fn: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], variables: Sequence[Any], *, within: bool
) -> tuple[Any, list[Any], list[Any]]:
    """`Mode.value_and_grad` as part of the graph, `within` where a function that calls it is differentiated outside.

    Before torch 2.10 Dynamo breaks the graph at the gradient.
    """
    _trace_autograd()
    again = _enter_gradient(within)
    given = [leaf for position in argnums for leaf in trees.leaves(args[position])]
    again = again or any(differentiable(leaf) and not leaf.is_leaf for leaf in given)
    tracked = list(args)
    with torch.enable_grad():
        for position in argnums:
            tracked[position] = trees.map(_tracked, args[position])
        value = fn(*tracked)
        require_scalar(fn, value, _is_tensor)
        wanted = [leaf for position in argnums for leaf in trees.leaves(tracked[position])]
        grads = _gradients(value, [*wanted, *variables], create_graph=again)
    _leave_gradient()
    of_args = []
    for position in argnums:
        leaves, spec = trees.flatten(tracked[position])
        of_args.append(trees.unflatten(spec, grads[: len(leaves)]))
        grads = grads[len(leaves) :]
    # A value that belongs to a graph which the gradient has consumed would break Dynamo's graph.
    return value if again else value.detach(), of_args, grads


def _is_tensor(value: object) -> bool:
    return isinstance(value, torch.Tensor)


def _tracked(leaf: Any) -> Any:
    if not differentiable(leaf):
        return leaf
    return leaf.view_as(leaf) if leaf.requires_grad else leaf.detach().requires_grad_()


def _gradients(value: Any, wanted: Sequence[Any], *, create_graph: bool) -> list[Any]:
    can = [differentiable(leaf) and leaf.requires_grad for leaf in wanted]
    if not any(can) or not value.requires_grad:
        return [None for _ in wanted]
    inputs = [leaf for leaf, one in zip(wanted, can, strict=True) if one]
    found = list(torch.autograd.grad(value, inputs, create_graph=create_graph, allow_unused=True))
    return [found.pop(0) if one else None for one in can]


# Control flow. The operators take flat tuples of distinct tensors, and give back tensors that alias none of them.


def while_loop(cond: Callable[[Any], Any], body: Callable[[Any], Any], state: Any, device: torch.device) -> Any:
    from torch._higher_order_ops.while_loop import while_loop as operator  # torch.while_loop is not public yet

    def holds(*carried: Any) -> Any:
        return torch.as_tensor(cond(carried), device=device).reshape(())

    def advance(*carried: Any) -> Any:
        return _clones(_inside(body, carried))

    def run(carried: tuple[Any, ...]) -> tuple[Any, Any]:
        found = tuple(operator(holds, advance, carried))
        if any(leaf.requires_grad for leaf in found):
            _trace_scalars()  # the gradient reads the number of trips
        return found, None

    return _reached_by_gradients(run, _clones(state))[0]


def fori_loop(
    lower: Any, upper: Any, body: Callable[[Any, Any], Any], state: Any, device: torch.device
) -> tuple[Any, ...]:
    dtype = lower.dtype if isinstance(lower, torch.Tensor) else torch.int32
    index = torch.as_tensor(lower, dtype=dtype, device=device)

    def holds(carried: Any) -> Any:
        return carried[0] < upper

    def advance(carried: Any) -> Any:
        return (carried[0] + 1, *body(carried[0], carried[1:]))

    final: tuple[Any, ...] = while_loop(holds, advance, (index, *state), device)
    return final[1:]


def scan(f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any) -> tuple[Any, Any]:
    operator = _scan_operator()
    import_quietly()

    def combine(carried: Any, row: Any) -> Any:
        carry, y = _inside(f, tuple(carried), tuple(row))
        return list(_clones(carry)), _result(y)

    def run(carried: tuple[Any, ...]) -> tuple[Any, Any]:
        carry, ys = operator(combine, list(carried), list(_clones(xs)))
        return tuple(carry), ys

    carry, ys = _reached_by_gradients(run, _clones(init))
    return carry, _with_none(ys)


def _scan_operator() -> Callable[..., Any]:
    try:
        from torch._higher_order_ops.scan import scan as operator
    except ImportError:
        raise UnsupportedError(
            f"torch {torch.__version__} has no scan operator for torch.compile: use torch 2.6 or newer, or fori_loop, "
            "or mark the test @pytest.mark.graph_skip('torch:compile', reason=...)"
        ) from None
    found: Callable[..., Any] = operator
    return found


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
    _enter_operator()
    result = callback(*args)
    _leave_operator()
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


def _register_dataclass(cls: type) -> None:
    """Let the operators return instances of a dataclass, which `trees` has met."""
    from torch.utils import _pytree  # private, but what the operators themselves take results apart with

    if cls not in _pytree.SUPPORTED_NODES:
        names = [field.name for field in dataclasses.fields(cls) if field.init]
        _pytree.register_pytree_node(
            cls,
            lambda value: ([getattr(value, name) for name in names], None),
            lambda children, _: cls(**dict(zip(names, children, strict=True))),
        )
    if TracingContext.try_get() is not None:
        _begin_again(f"{cls.__qualname__} was made known as a tree")


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
