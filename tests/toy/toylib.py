"""A framework in miniature, for tests of the plugin that need none: `jit` builds a graph for each argument type.

Like the real ones it tells nobody of a call: the plugin has to patch `_build` and `_call`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_caches: list[dict[str, Callable[..., Any]]] = []


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, built again for each new type of its argument."""
    graphs: dict[str, Callable[..., Any]] = {}
    _caches.append(graphs)

    def call(value: Any) -> Any:
        kind = type(value).__name__
        if kind not in graphs:
            graphs[kind] = _build(function, value)
        return _call(graphs[kind], value)

    return call


def clear_caches() -> None:
    for graphs in _caches:
        graphs.clear()


def _build(function: Callable[..., Any], value: Any) -> Callable[..., Any]:
    return function


def _call(graph: Callable[..., Any], value: Any) -> Any:
    return graph(value)
