"""torch.compile: Dynamo traces a function into graphs, once for each set of guards, and runs those.

Graphs and gradients are what is tested here, not code generation, so the compiler backend is `aot_eager` unless a
function or `--graph-compiler` asks for another one.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from threading import get_ident
from typing import Any, Final

import numpy as np
import torch
from torch._dynamo.exc import BackendCompilerFailed

from pytest_graphmode.backends import calls, tapping
from pytest_graphmode.backends.layers import Layer
from pytest_graphmode.backends.torch import autograd, capture, state, taps, tracing
from pytest_graphmode.backends.torch.default_compiler import default
from pytest_graphmode.backends.torch.dynamo import outputs
from pytest_graphmode.backends.torch.dynamo.graphs import GraphContents
from pytest_graphmode.backends.torch.eager import TorchMode, native_dtype
from pytest_graphmode.errors import UnsupportedError

_IN_OPERATOR: Final = tapping.within("loop or branch")
OPTIONS: Final = ("backend", "fullgraph", "dynamic", "mode", "options", "disable")


class Compile(TorchMode):
    """torch.compile, with the control-flow operators as torch's higher-order operators.

    Code that a graph break left outside of a graph runs as eager Python, and so do the operators in it; in torch 2.4,
    which can't trace the plugin's trees, all operators do.
    """

    name = "compile"
    static = True
    differentiates_outside = True
    carries_taps = True

    def __init__(self, device: str) -> None:
        super().__init__(device)
        self._traces_trees = tracing.prepare()
        self._differentiating = False
        self._twice = False

    def scope(self) -> AbstractContextManager[None]:
        return state.fresh_graphs()

    def inside(self) -> bool:
        return torch.compiler.is_compiling() or calls.inside_function()

    def function(self, fn: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        unknown = [name for name in options if name not in OPTIONS]
        if unknown:
            raise TypeError(
                f"torch.compile has no option {', '.join(unknown)}: graphmode.function takes {', '.join(OPTIONS)}"
            )
        backend = options.get("backend")
        if not callable(backend):
            backend = options["backend"] = default.of_function(backend)
        if backend not in ("eager", "aot_eager"):
            tracing.import_quietly()
        compiled = torch.compile(fn, **options)

        @functools.wraps(fn, updated=())
        def call(*args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_compiling():
                return fn(*args, **kwargs)  # part of the graph of the function that calls it
            thread, around = get_ident(), calls.here()
            if around == calls.CALL:
                return compiled(*args, **kwargs)
            calls.within[thread] = around or calls.CALL
            try:
                return compiled(*args, **kwargs)
            except torch._dynamo.exc.TorchDynamoException:
                if not tracing.settings.refused_tap:
                    raise
                raise tapping.refused(tracing.settings.refused_tap, _IN_OPERATOR) from None
            finally:
                if around is None:
                    del calls.within[thread]
                    tracing.settings.restore()
                if taps.pending.taps[0] is not None:
                    taps.pending.hand_on()

        return call

    def dtype_of(self, array: np.ndarray[Any, Any]) -> str:
        if not torch.compiler.is_compiling():
            return super().dtype_of(array)
        return str(torch.as_tensor(array).dtype).removeprefix("torch.")  # Dynamo traces NumPy as torch

    def tensor(self, array: np.ndarray[Any, Any], dtype: str) -> Any:
        if not torch.compiler.is_compiling():
            return super().tensor(array, dtype)
        # Dynamo traces NumPy as torch: the array is a tensor, of which torch.tensor would warn.
        return torch.as_tensor(array).to(native_dtype(dtype)).to(self.device)

    def assign(self, variable: Any, value: Any) -> None:
        if torch.compiler.is_compiling():
            tracing.assigning()
        super().assign(variable, value)

    # Gradients.

    def value_and_grad(
        self, fn: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], variables: Sequence[Any]
    ) -> tuple[Any, list[Any], list[Any]]:
        if torch.compiler.is_compiling():
            return capture.value_and_grad(fn, args, argnums, variables, within=self._differentiating)
        kept = self._differentiating, self._twice
        self._differentiating, self._twice = True, self._differentiating
        try:
            with warnings.catch_warnings(), taps.seeing_gradients():
                # Dynamo (2.13) asks tensors that are no leaves for their gradient, and hides the warning too late.
                warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")
                return super().value_and_grad(fn, args, argnums, variables)
        finally:
            self._differentiating, self._twice = kept

    def differentiable(self, fn: Callable[..., Any], order: int) -> Callable[..., Any]:
        """The compiled `fn`: autograd differentiates from outside, since Dynamo can't trace torch.func over loops."""
        compiled = self.function(fn) if order == 1 else twice_differentiable(self.function, fn)
        return autograd.tracking(compiled)

    # Taps.

    def untappable(self, tap: str = "") -> str | None:
        if torch.compiler.is_compiling():
            return _IN_OPERATOR if tracing.in_operator(tap) else None
        return tapping.untappable()

    def tapped(self, name: str, value: Any) -> Any:
        if torch.compiler.is_compiling() and tracing.in_checkpoint():
            return tracing.run_with_effects(taps.tap, name, value)
        if self.inside():
            return taps.tap(name, value)
        self.hand_on_taps()
        return super().tapped(name, value)

    def layers(self, model: Any) -> list[Layer]:
        outputs.require()
        return super().layers(model)

    def hand_on_taps(self) -> None:
        """Those of a torch.compile of the test's own, after which nobody else does."""
        taps.pending.hand_on()

    # Control flow.

    def operating(self, operator: str, run: Callable[[], Any]) -> Any:
        return run() if torch.compiler.is_compiling() else super().operating(operator, run)

    def while_loop(self, cond: Callable[[Any], Any], body: Callable[[Any], Any], state: Any) -> Any:
        if not self._in_graph("while_loop"):
            return super().while_loop(cond, body, state)
        return capture.while_loop(cond, body, state, self.device)

    def fori_loop(self, lower: Any, upper: Any, body: Callable[[Any, Any], Any], state: Any) -> Any:
        if not self._in_graph("fori_loop"):
            return super().fori_loop(lower, upper, body, state)
        return capture.fori_loop(lower, upper, body, state, self.device)

    def scan(self, f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any) -> tuple[Any, Any]:
        if not self._in_graph("scan") or len(xs[0]) == 0:
            return super().scan(f, init, xs)
        return capture.scan(f, init, xs)

    def cond(self, pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
        if not self._in_graph("cond"):
            return super().cond(pred, true_fn, false_fn, *operands)
        return capture.cond(pred, true_fn, false_fn, operands)

    def switch(self, index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
        if not self._in_graph("switch"):
            return super().switch(index, branches, *operands)
        return capture.switch(index, branches, operands)

    def _in_graph(self, operator: str) -> bool:
        """Whether it becomes one of torch's; raises UnsupportedError where a second derivative would go through it."""
        compiling = bool(torch.compiler.is_compiling())
        if self._twice or (compiling and tracing.twice()):
            raise _not_twice(operator)
        return compiling and self._traces_trees and not tracing.operators_as_python()


# Second derivatives. Autograd can differentiate twice through graphs that Dynamo's `eager` backend runs, through those
# of `aot_eager` and inductor it raises. Through torch's control-flow operators second derivatives raise (cond) or are
# silently wrong (while_loop and scan, torch 2.13), so a graph that holds one is refused.


def twice_differentiable(function: Callable[..., Callable[..., Any]], fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` compiled so that it can be differentiated twice; a call raises UnsupportedError where it can't."""
    run = function(fn, backend=_plain_operations)

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return run(*args, **kwargs)
        except BackendCompilerFailed as error:
            if isinstance(error.inner_exception, UnsupportedError):
                raise error.inner_exception from None
            raise

    return call


def _plain_operations(module: Any, inputs: Any) -> Callable[..., Any]:
    """Dynamo's `eager` backend for graphs without control flow."""
    found = GraphContents.of(module).control_flow
    if found:
        raise _not_twice(", ".join(found))
    forward: Callable[..., Any] = module.forward
    return forward


def _not_twice(what: str) -> UnsupportedError:
    return UnsupportedError(
        f"torch:compile has no second derivatives through {what}: torch's control-flow operators raise or give wrong "
        "ones. Check order 2 under torch:eager, and mark the test @pytest.mark.graph_skip('torch:compile', reason=...)"
    )
