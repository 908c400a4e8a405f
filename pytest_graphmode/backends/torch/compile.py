"""torch.compile: Dynamo traces a function into graphs, once for each set of guards, and runs those.

Graphs and gradients are what is tested here, not code generation, so the compiler backend is `aot_eager` unless a
function asks for another one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch

from pytest_graphmode import calls
from pytest_graphmode.backends.torch import capture
from pytest_graphmode.backends.torch.eager import TorchMode, native_dtype

DEFAULT_COMPILER: Final = "aot_eager"
OPTIONS: Final = ("backend", "fullgraph", "dynamic", "mode", "options", "disable")


class Compile(TorchMode):
    """torch.compile, with the control-flow verbs as torch's higher-order operators.

    Code that a graph break left outside of a graph runs as eager Python, and so do the verbs in it.
    """

    name = "compile"
    static = True

    def inside(self) -> bool:
        return torch.compiler.is_compiling() or calls.depth.inside

    def function(self, fn: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        unknown = [name for name in options if name not in OPTIONS]
        if unknown:
            raise TypeError(
                f"torch.compile has no option {', '.join(unknown)}: graphmode.function takes {', '.join(OPTIONS)}"
            )
        compiled = torch.compile(fn, **{"backend": DEFAULT_COMPILER, **options})

        @functools.wraps(fn, updated=())
        def call(*args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_compiling():
                return fn(*args, **kwargs)  # part of the graph of the function that calls it
            if calls.depth.inside:
                return compiled(*args, **kwargs)
            calls.depth.inside = True
            try:
                return compiled(*args, **kwargs)
            finally:
                calls.depth.inside = False
                if capture.settings.before:
                    capture.settings.restore()

        return call

    def differentiable(self, fn: Callable[..., Any], order: int) -> Callable[..., Any]:
        """The compiled `fn`: autograd differentiates from outside, since Dynamo can't trace torch.func over loops."""
        return self.function(fn)

    def tensor(self, array: np.ndarray[Any, Any], dtype: str) -> Any:
        if not torch.compiler.is_compiling():
            return super().tensor(array, dtype)
        # Dynamo traces NumPy as torch: the array is a tensor, of which torch.tensor would warn.
        return torch.as_tensor(array).to(native_dtype(dtype)).to(self.device)

    def value_and_grad(
        self, fn: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], variables: Sequence[Any]
    ) -> tuple[Any, list[Any], list[Any]]:
        if torch.compiler.is_compiling():
            return capture.value_and_grad(fn, args, argnums, variables)
        return super().value_and_grad(fn, args, argnums, variables)

    def while_loop(self, cond: Callable[[Any], Any], body: Callable[[Any], Any], state: Any) -> Any:
        if not torch.compiler.is_compiling():
            return super().while_loop(cond, body, state)
        return capture.while_loop(cond, body, state, self.device)

    def fori_loop(self, lower: Any, upper: Any, body: Callable[[Any, Any], Any], state: Any) -> Any:
        if not torch.compiler.is_compiling():
            return super().fori_loop(lower, upper, body, state)
        start = torch.as_tensor(lower, dtype=torch.int32, device=self.device)
        _, result = capture.while_loop(
            lambda carried: carried[0] < upper,
            lambda carried: (carried[0] + 1, body(carried[0], carried[1])),
            (start, state),
            self.device,
        )
        return result

    def scan(self, f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any) -> tuple[Any, Any]:
        if not torch.compiler.is_compiling():
            return super().scan(f, init, xs)
        return capture.scan(f, init, xs, self.device)

    def cond(self, pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
        if not torch.compiler.is_compiling():
            return super().cond(pred, true_fn, false_fn, *operands)
        return capture.cond(pred, true_fn, false_fn, operands, self.device)

    def switch(self, index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
        if not torch.compiler.is_compiling():
            return super().switch(index, branches, *operands)
        return capture.switch(index, branches, operands, self.device)
