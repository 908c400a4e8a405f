"""What happens for real while Dynamo traces: settings, how deep a trace is in gradients and operators, new beginnings.

Called by `compile.py` and by `capture.py`, from code that Dynamo traces: `assume_constant_result` makes Dynamo call
these functions at the moment when it meets them, and put nothing into the graph. Importing this imports Dynamo.
"""

from __future__ import annotations

import dataclasses
import importlib
import threading
import warnings
import weakref
from collections.abc import Callable, MutableMapping
from typing import Any, Final, NoReturn, TypeVar

import torch
from torch._dynamo import config
from torch._dynamo.exc import UnspecializeRestartAnalysis
from torch._dynamo.symbolic_convert import InstructionTranslator
from torch._guards import TracingContext

from pytest_graphmode.backends import tapping, trees

F = TypeVar("F", bound=Callable[..., Any])
# Lets Dynamo call a function instead of tracing it; its arguments must be constants.
for_real: Final[Callable[[F], F]] = torch.compiler.assume_constant_result


def prepare() -> bool:
    """What Dynamo needs to trace the plugin's trees; called before anything is compiled.

    Returns:
        Whether it can: torch 2.4 breaks its graph at every use of optree.
    """
    for_real(trees._register)  # a class is made known for good, not in a graph
    trees.announce_dataclasses(_register_dataclass)
    try:
        polyfills = importlib.import_module("torch._dynamo.polyfills.pytree")
    except ImportError:
        return False
    # torch 2.13 runs optree's own function for a dict of numbers, whose result (optree 0.20) it can't trace then.
    for name in ("dict_flatten", "dict_unflatten"):
        if hasattr(polyfills, name):
            getattr(polyfills, name).__torch_dynamo_can_constant_fold_through__ = False
    return True


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


class TraceSettings(threading.local):
    """Dynamo settings that a trace asked for, with the values they had before it.

    They are not set for every trace because they hide graph breaks: `capture_scalar_outputs` makes `Tensor.item` part
    of the graph, `trace_autograd_ops`, which torch 2.4 lacks, `torch.autograd.grad` and `Tensor.backward`.
    """

    def __init__(self) -> None:
        self.before: dict[str, Any] = {}
        self.operators_as_python = False
        self.refused_tap = ""

    def restore(self) -> None:
        """Give the settings their old values, when the call that was traced is over."""
        self.operators_as_python, self.refused_tap = False, ""
        while self.before:
            setattr(config, *self.before.popitem())


settings = TraceSettings()


def _begin_again(reason: str) -> NoReturn:
    """Start the trace under way over, with nothing of it kept: no public way, but what Dynamo itself does."""
    raise UnspecializeRestartAnalysis(restart_reason=reason)


@for_real
def require(*names: str) -> None:
    """Set what is not set yet and begin the trace under way again, as Dynamo does when it learns something late."""
    missing = [name for name in names if getattr(config, name, True) is False]
    for name in missing:
        settings.before.setdefault(name, False)
        setattr(config, name, True)
    if missing:
        _begin_again(f"{', '.join(missing)} was set")


@for_real
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


@for_real
def enter_gradient(within: bool) -> bool:
    """Begin a differentiation, perhaps within one outside of the graph; returns whether it is inside of another one."""
    trace = _trace()
    trace.differentiations = max(trace.differentiations, int(within)) + 1
    return trace.differentiations > 1


@for_real
def leave_gradient() -> None:
    _trace().differentiations -= 1


@for_real
def twice() -> bool:
    """Whether what is traced now will be differentiated twice."""
    return _trace().differentiations > 1


@for_real
def enter_operator() -> None:
    _trace().operators += 1


@for_real
def leave_operator() -> None:
    _trace().operators -= 1


@for_real
def in_operator(tap: str) -> bool:
    """Whether a loop or branch is traced. A tap in one is noted: Dynamo makes another error of what is raised then."""
    inside = _trace().operators > 0 or operator_around(InstructionTranslator.current_tx()) is not None
    settings.refused_tap = tap if inside else ""
    return inside


# Effects in what a higher-order operator of torch's runs.


def operator_around(tx: Any) -> str | None:
    """Why nothing that is traced now can leave the graph, None where it can."""
    if _trace().operators or (with_effects(tx) is None and tx.output.current_tracer.parent is not None):
        return tapping.within("loop or branch" if _trace().operators else _operator(tx.output.current_tracer))
    return None


def with_effects(tx: Any) -> Callable[..., Any] | None:
    """What calls a function of which effects are wanted in activation checkpointing; None elsewhere.

    What they keep is then among the results of the checkpointed region, as computed the first time (torch 2.13, which
    calls it experimental). torch's public setting would allow effects of the user's own code too, and hide breaks.
    """
    tracer = tx.output.current_tracer
    checkpointing = tracer.parent is not None and tracer.parent.parent is None and _operator(tracer) == _CHECKPOINT
    return run_with_effects if checkpointing else None


def _operator(tracer: Any) -> str:
    return getattr(tracer, "description", None) or "higher-order operator of torch's"  # torch 2.4 has no name for it


_CHECKPOINT: Final = "torch.utils.checkpoint.checkpoint"
run_with_effects: Any = getattr(torch._dynamo.utils, "_disable_side_effect_safety_checks_for_current_subtracer", None)


@for_real
def in_checkpoint() -> bool:
    """Whether what activation checkpointing runs is traced, with effects."""
    return with_effects(InstructionTranslator.current_tx()) is not None


@for_real
def assigning() -> None:
    """Note an assignment. torch's operators allow none, so a trace that has one in a loop or branch begins again."""
    if _trace().operators:
        settings.operators_as_python = True
        _begin_again("a variable is assigned in a loop or branch")


@for_real
def operators_as_python() -> bool:
    return settings.operators_as_python
