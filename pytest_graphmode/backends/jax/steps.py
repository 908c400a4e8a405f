"""The steps of JAX at which a graph is traced, and which of them a version has. Called by `tracing.py`.

All of them are private: JAX's public monitoring events have neither functions nor arguments nor graphs, and miss a jit
within a jit and the bodies of loops.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jax

from pytest_graphmode.backends.patching import Replacement, existing, patched
from pytest_graphmode.errors import UnsupportedError

Function = Callable[..., Any]

SUPPORTED: Final = "JAX 0.4.30 to 0.12"
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


# Runs a step, given how, and how to get the graph out of what that returns.
Around = Callable[[Step, Callable[[], Any], Callable[[Any], Any]], Any]


def installed(around: Around, begin: Callable[[], None], outermost: Callable[[], bool]) -> Callable[[], None]:
    """Have `around` run each step, and `begin` called whenever JAX begins to trace; returns what undoes it.

    `outermost` tells whether this thread is in no step: loops and branches in one are a part of its graph.

    Raises:
        UnsupportedError: this version of JAX lacks a step, or calls it otherwise.
    """
    evaluation, common = _module("interpreters.partial_eval"), _module("lax.control_flow.common")
    stackless = hasattr(_module("core"), "trace_ctx")  # JAX 0.4.36 and later: each trace is an object of its own
    of_jit = ("fun", "ji", "args", "kwargs") if stackless else ("jit_info", "args", "kwargs")
    construct: Replacement = (evaluation, "trace_to_jaxpr", lambda step: _Cache(step, around, outermost))
    if hasattr(common, "_initial_style_open_jaxpr") or not stackless:  # JAX before 0.7 or so
        construct = (common, "_initial_style_open_jaxpr", lambda step: _named(step, around, outermost))
    beginning = (evaluation, "trace_to_jaxpr_dynamic")
    if stackless:
        beginning = (existing(SUPPORTED, evaluation, "DynamicJaxprTrace"), "__init__")
    return patched(
        SUPPORTED,
        (_module("pjit"), "_infer_params", lambda step: _jit(step, around), of_jit),
        construct,
        (*beginning, lambda original: _begun(original, begin)),
    )


def _module(name: str) -> Any:
    found = sys.modules.get(f"jax._src.{name}")
    if found is None:
        raise UnsupportedError(f"this version has no jax._src.{name}, by which graphs are counted: use {SUPPORTED}")
    return found


def _jit(step: Function, around: Around) -> Function:
    """The step of jit in which a graph is looked up, and the function traced where there is none."""

    def watched(*inputs: Any) -> Any:
        __tracebackhide__ = True
        *head, options, args, kwargs = inputs
        function = head[0] if head else options.fun  # JAX 0.4 has it in the options
        numbers, names = tuple(options.static_argnums), tuple(options.static_argnames)
        return around(
            Step(function, tuple(args), kwargs, numbers, names), functools.partial(step, *inputs), _graph_of_jit
        )

    return watched


def _graph_of_jit(found: Any) -> Any:
    params = getattr(found[0], "params", None) or found[1]  # JAX 0.4 returns a tuple with a dict
    return params["jaxpr"]


# Loops and branches outside of jit.


class _Cache:
    """In place of `trace_to_jaxpr` of JAX 0.7 to 0.12, a cache that has more to it than being called.

    It is called for jit and for every construct.
    """

    def __init__(self, original: Any, around: Around, outermost: Callable[[], bool]) -> None:
        self._original = original
        self._watch = around, outermost

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def __call__(self, fun: Function, in_avals: Any, debug_info: Any, *more: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        run = functools.partial(self._original, fun, in_avals, debug_info, *more, **options)
        return _of_construct(debug_info, fun, in_avals.unflatten, run, *self._watch)


def _named(original: Function, around: Around, outermost: Callable[[], bool]) -> Function:
    """`_initial_style_open_jaxpr` of JAX 0.4 to 0.6."""

    def watched(fun: Function, in_tree: Any, in_avals: Any, *more: Any, **named: Any) -> Any:
        __tracebackhide__ = True
        run = functools.partial(original, fun, in_tree, in_avals, *more, **named)
        described = next(iter((*more, *named.values())), None)  # JAX 0.4: a name; later the same object in one call
        return _of_construct(
            described, fun, lambda: (jax.tree_util.tree_unflatten(in_tree, in_avals), {}), run, around, outermost
        )

    return watched


def _of_construct(
    described: Any,
    function: Function,
    arguments: Callable[[], tuple[Any, Any]],
    run: Callable[[], Any],
    around: Around,
    outermost: Callable[[], bool],
) -> Any:
    __tracebackhide__ = True
    construct = CONSTRUCTS.get(str(getattr(described, "traced_for", described)))
    if construct is None or not outermost():
        return run()
    origin = None if isinstance(described, str) else described
    step = Step(function, *_abstract(arguments), construct=construct, origin=origin)
    return around(step, run, lambda found: found[0])


def _abstract(arguments: Callable[[], tuple[Any, Any]]) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """The arguments of a graph as abstract values.

    A derivative has none in JAX 0.12, and a class of the user's may take arrays only: none then.
    """
    try:
        args, kwargs = arguments()
    except Exception:
        return (), {}
    return tuple(args), kwargs


def _begun(original: Function, begin: Callable[[], None]) -> Function:
    """What every trace begins with."""

    def watched(*inputs: Any, **named: Any) -> Any:
        __tracebackhide__ = True
        begin()
        return original(*inputs, **named)

    return watched


# Graphs that JAX has.


def cached(function: Function) -> list[tuple[tuple[Any, ...], Mapping[str, Any], int]]:
    """The graphs that JAX holds of a function, the oldest first; JAX 0.4 doesn't tell them.

    Each by its arguments as abstract values, and a number for the context it was traced in.
    """
    traced = getattr(sys.modules.get("jax._src.interpreters.partial_eval"), "trace_to_jaxpr", None)
    found = []
    for reference, context, inputs, *_ in getattr(traced, "cache_keys", list)():
        if reference() is function:
            found.append((*_abstract(inputs[0].unflatten), hash(context)))
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
