"""Second derivatives through torch.compile: right for plain operations, refused for control flow.

Called by `compile.py`. Autograd can differentiate twice through graphs that Dynamo's `eager` backend runs; through
those of `aot_eager` and inductor it raises. Through torch's control-flow operators second derivatives raise (cond) or
are silently wrong (while_loop and scan, torch 2.13), so a graph that holds one is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch._dynamo.exc import BackendCompilerFailed

from pytest_graphmode.backends.torch.dynamo.graphs import GraphContents
from pytest_graphmode.errors import UnsupportedError


def compiled(function: Callable[..., Callable[..., Any]], fn: Callable[..., Any]) -> Callable[..., Any]:
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
        raise unsupported(", ".join(found))
    forward: Callable[..., Any] = module.forward
    return forward


def unsupported(what: str) -> UnsupportedError:
    return UnsupportedError(
        f"torch:compile has no second derivatives through {what}: torch's control-flow operators raise or give wrong "
        "ones. Check order 2 under torch:eager, and mark the test @pytest.mark.graph_skip('torch:compile', reason=...)"
    )
