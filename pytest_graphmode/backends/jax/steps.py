"""The steps of JAX at which a graph is traced, and which of them a version has. Called by `tracing.py`.

All of them are private: JAX's public monitoring events have neither functions nor arguments nor graphs, and miss a jit
within a jit and the bodies of loops.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import jax

from pytest_graphmode.errors import UnsupportedError

Function = Callable[..., Any]

# What JAX traces a function for where that makes a graph of its own outside of jit, and what its users call that.
CONSTRUCTS: Final[Mapping[str, str]] = {
    "scan": "scan",
    "fori_loop": "fori_loop",
    "while_cond": "while_loop",
    "while_body": "while_loop",
    "while_loop": "while_loop",  # the body, in JAX 0.4
    "cond": "cond",
    "switch": "switch",
}


@dataclass
class Step:
    """One way through a step of JAX that traces a function unless it has a graph for it.

    Attributes:
        construct: `scan`, `while_loop`, ...; empty for jax.jit.
        origin: the same object for all traces that one call of a construct makes.
        began: whether the function is being traced, or was: JAX had no graph for it.
    """

    function: Function
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    static_numbers: tuple[int, ...] = ()
    static_names: tuple[str, ...] = ()
    construct: str = ""
    origin: object = None
    began: bool = False
    started: float = 0.0

    def static(self, number: int, name: str) -> bool:
        return number in self.static_numbers or name in self.static_names


class Around(Protocol):
    """What is done around a step: `tracing.py` notes what happens while it runs."""

    def __call__(self, step: Step, run: Callable[[], Any], graph: Callable[[Any], Any]) -> Any: ...


def installed(around: Around, begin: Callable[[], None], outermost: Callable[[], bool]) -> Callable[[], None]:
    """Have `around` run each step, and `begin` called whenever JAX begins to trace; returns what undoes it.

    `outermost` tells whether this thread is in no step.

    Raises:
        UnsupportedError: this version of JAX lacks a step, or calls it otherwise.
    """
    evaluation, pjit, core = _module("interpreters.partial_eval"), _module("pjit"), _module("core")
    if hasattr(pjit, "_create_pjit_jaxpr"):  # JAX before 0.9 or so
        step = (pjit, "_infer_params", _jit(_existing(pjit, "_infer_params"), _of_call, around))
    else:
        step = (pjit, "_trace_for_jit", _jit(_existing(pjit, "_trace_for_jit", _MISS), _of_miss, around))
    common = _module("lax.control_flow.common")
    stackless = hasattr(core, "trace_ctx")  # JAX 0.4.36 and later: each trace is an object of its own
    if hasattr(common, _OLD_CONSTRUCT) or not stackless:  # JAX before 0.7 or so
        construct = (common, _OLD_CONSTRUCT, _construct(_existing(common, _OLD_CONSTRUCT), around, outermost))
    else:
        traced = _existing(evaluation, "trace_to_jaxpr")
        construct = (evaluation, "trace_to_jaxpr", _Traced(traced, around, outermost))
    if stackless:
        beginning = (_existing(evaluation, "DynamicJaxprTrace"), "__init__", _begun(_constructor(evaluation), begin))
    else:
        beginning = (evaluation, _OLD_TRACE, _begun(_existing(evaluation, _OLD_TRACE), begin))
    replacements: list[tuple[Any, str, Any]] = [step, construct, beginning]
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in replacements]
    for owner, name, replacement in replacements:
        setattr(owner, name, replacement)

    def undo() -> None:
        for (owner, name, original), (_, _, replacement) in zip(originals, replacements, strict=True):
            if getattr(owner, name) is replacement:
                setattr(owner, name, original)

    return undo


# The parameters of a step by which it is understood.
_MISS: Final = ("fun", "ji", "args", "kwargs")
_OLD_CONSTRUCT: Final = "_initial_style_open_jaxpr"
_OLD_TRACE: Final = "trace_to_jaxpr_dynamic"


def _module(name: str) -> Any:
    found = sys.modules.get(f"jax._src.{name}")
    if found is None:
        raise _unsupported(f"jax._src.{name}")
    return found


def _existing(owner: Any, name: str, parameters: tuple[str, ...] = ()) -> Any:
    found = getattr(owner, name, None)
    if found is None:
        raise _unsupported(f"{owner.__name__}.{name}")
    if parameters and not set(parameters) <= set(inspect.signature(found).parameters):
        raise UnsupportedError(
            f"JAX {jax.__version__} calls {owner.__name__}.{name} otherwise than the versions this version of "
            f"pytest-graphmode knows, which pass it {', '.join(parameters)}: {_ADVICE}"
        )
    return found


def _constructor(evaluation: Any) -> Function:
    constructor: Function = evaluation.DynamicJaxprTrace.__init__
    return constructor


_ADVICE: Final = "use a version of JAX that its README names, or a newer pytest-graphmode"


def _unsupported(name: str) -> UnsupportedError:
    return UnsupportedError(f"JAX {jax.__version__} has no {name}, by which traces are seen: {_ADVICE}")


# jax.jit.


def _jit(step: Function, understood: Callable[..., Step], around: Around) -> Function:
    """The step of jit in which a function is traced, or, in older versions, its graph is looked up too."""
    signature = inspect.signature(step)

    def watched(*inputs: Any, **named: Any) -> Any:
        __tracebackhide__ = True
        return around(understood(signature.bind(*inputs, **named)), lambda: step(*inputs, **named), _graph_of_jit)

    return watched


def _of_miss(call: inspect.BoundArguments) -> Step:
    return _step(call.arguments["fun"], call.arguments["ji"], call.arguments["args"], call.arguments["kwargs"])


def _of_call(call: inspect.BoundArguments) -> Step:
    *head, args, kwargs = call.args
    options = head[-1]
    return _step(head[0] if len(head) == 2 else options.fun, options, args, kwargs)  # JAX 0.4 has it in the options


def _step(function: Function, options: Any, args: Any, kwargs: Mapping[str, Any]) -> Step:
    return Step(function, tuple(args), kwargs, tuple(options.static_argnums), tuple(options.static_argnames))


def _graph_of_jit(found: Any) -> Any:
    params = getattr(found, "params", None) or getattr(found[0], "params", None) or found[1]
    return params["jaxpr"]


# Loops and branches outside of jit.


class _Traced:
    """`trace_to_jaxpr` of JAX 0.10, a cache that is called for jit and for every construct."""

    def __init__(self, original: Any, around: Around, outermost: Callable[[], bool]) -> None:
        self._original = original
        self._around = around
        self._outermost = outermost

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def __call__(self, fun: Function, in_avals: Any, debug_info: Any, *more: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        construct = CONSTRUCTS.get(debug_info.traced_for)
        if construct is None or not self._outermost():
            return self._original(fun, in_avals, debug_info, *more, **options)
        args, kwargs = in_avals.unflatten()
        step = Step(fun, tuple(args), kwargs, construct=construct, origin=debug_info)
        return self._around(step, lambda: self._original(fun, in_avals, debug_info, *more, **options), _first)


def _construct(original: Function, around: Around, outermost: Callable[[], bool]) -> Function:
    """`_initial_style_open_jaxpr` of JAX 0.4 to 0.6."""

    def watched(fun: Function, in_tree: Any, in_avals: Any, *more: Any, **named: Any) -> Any:
        __tracebackhide__ = True
        described = next(iter((*more, *named.values())), None)  # JAX 0.4: a name; later the same object in one call
        construct = CONSTRUCTS.get(str(getattr(described, "traced_for", described)))
        if construct is None or not outermost():
            return original(fun, in_tree, in_avals, *more, **named)
        args = jax.tree_util.tree_unflatten(in_tree, in_avals)
        origin = None if isinstance(described, str) else described
        step = Step(fun, tuple(args), {}, construct=construct, origin=origin)
        return around(step, lambda: original(fun, in_tree, in_avals, *more, **named), _first)

    return watched


def _first(found: Any) -> Any:
    return found[0]


def _begun(original: Function, begin: Callable[[], None]) -> Function:
    """What every trace begins with."""

    def watched(*inputs: Any, **named: Any) -> Any:
        __tracebackhide__ = True
        begin()
        return original(*inputs, **named)

    return watched


# Graphs that JAX has.


class Cached(NamedTuple):
    """A graph that JAX holds: its arguments as abstract values, and a number for the context it was traced in."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    context: int


def cached(function: Function) -> list[Cached]:
    """The graphs that JAX holds of a function, the oldest first; JAX 0.4 doesn't tell them."""
    traced = getattr(sys.modules.get("jax._src.interpreters.partial_eval"), "trace_to_jaxpr", None)
    found = []
    for reference, context, inputs, *_ in getattr(traced, "cache_keys", list)():
        if reference() is function:
            args, kwargs = inputs[0].unflatten()
            found.append(Cached(tuple(args), kwargs, hash(context)))
    return found


def graphs(function: Function) -> int:
    """How many graphs of a function JAX 0.4 holds; 0 for later versions, which tell more."""
    clear = getattr(getattr(sys.modules.get("jax._src.pjit"), "_create_pjit_jaxpr", None), "cache_clear", None)
    by_function = getattr(clear, "__self__", {})  # a WeakKeyDictionary
    try:
        return len(by_function.get(function, ()))
    except TypeError:  # an object that takes no weak reference
        return 0


def differs_by_weak_types(before: Any, after: Any) -> bool:
    """Whether two trees of abstract values are alike but for weak types."""
    old, new = jax.tree_util.tree_leaves(before), jax.tree_util.tree_leaves(after)
    return [(aval.shape, aval.dtype) for aval in old] == [(aval.shape, aval.dtype) for aval in new]
