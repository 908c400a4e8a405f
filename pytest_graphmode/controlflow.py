"""The control-flow verbs: one meaning for every backend, over the primitives of `backends.base.Mode`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_graphmode.handle import Handle


class Verbs:
    """What `graphmode.while_loop` and the rest do: convert arguments, run in the variant's mode, pass trees."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._mode = handle._mode

    def while_loop(self, cond: Callable[..., Any], body: Callable[..., Any], loop_vars: Any) -> Any:
        raise NotImplementedError

    def fori_loop(self, lower: Any, upper: Any, body: Callable[[Any, Any], Any], init: Any) -> Any:
        raise NotImplementedError

    def scan(self, f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any) -> tuple[Any, Any]:
        raise NotImplementedError

    def cond(self, pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any) -> Any:
        raise NotImplementedError

    def switch(self, index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
        raise NotImplementedError
