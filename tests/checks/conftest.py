"""Handles without a framework: eager NumPy, and a miniature of a static graph."""

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np
import pytest

from pytest_graphmode.backends.numpy import NumPy, NumPyEager
from pytest_graphmode.handle import Handle
from pytest_graphmode.ledger.identity import of
from pytest_graphmode.ledger.ledger import BuildReport, tensor_argument
from pytest_graphmode.ledger.watcher import recording, watcher
from pytest_graphmode.runtime import Runtime
from pytest_graphmode.select.variants import Variant


class Static(NumPyEager):
    """Builds a graph per signature and runs it with what Python held when it was built.

    There is no tracing in it: `frozen` is what a test says the graph holds on to, and `control_flow` which nodes.
    """

    name = "graph"
    static = True

    def __init__(self) -> None:
        self.depth = 0
        self.frozen = False
        self.always_rebuild = False
        self.control_flow: dict[str, int] = {}

    def inside(self) -> bool:
        return self.depth > 0

    def function(self, fn: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        built: dict[object, Any] = {}

        def call(*args: Any) -> Any:
            key = tuple((np.shape(arg), np.asarray(arg).dtype.name) for arg in args)
            if key not in built or self.always_rebuild:
                arguments = tuple(tensor_argument(f"args[{n}]", dtype, shape) for n, (shape, dtype) in enumerate(key))
                watcher.build(BuildReport("numpy", "graph", of(fn), arguments, 3, control_flow=self.control_flow))
                built[key] = self._inside(fn, args)
            return built[key] if self.frozen else self._inside(fn, args)

        return call

    def _inside(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        self.depth += 1
        try:
            return fn(*args)
        finally:
            self.depth -= 1


class World(NumPy):
    """NumPy with one static mode, and its eager one."""

    def __init__(self, static: Static) -> None:
        self._static = static

    def mode(self, name: str, device: str) -> Any:
        return self._static if name == "graph" else NumPyEager()


def skip(reason: str) -> NoReturn:
    raise AssertionError(reason)


@pytest.fixture
def eager() -> Iterator[Handle]:
    """A handle on NumPy."""
    with recording() as recorder:
        backend = NumPy()
        mode = backend.mode("eager", "cpu")
        runtime = Runtime(Variant("numpy", "eager"), backend, mode, recorder, rng=np.random.default_rng(0))
        yield Handle(runtime, skip=skip)


@pytest.fixture
def mode() -> Static:
    return Static()


@pytest.fixture
def static(mode: Static) -> Iterator[Handle]:
    """A handle on the miniature."""
    with recording() as recorder:
        runtime = Runtime(Variant("numpy", "graph"), World(mode), mode, recorder, rng=np.random.default_rng(0))
        yield Handle(runtime, skip=skip)
