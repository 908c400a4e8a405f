"""`check_not_frozen`: whether a graph holds on to Python state that the function reads anew on every call."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pytest_graphmode.backends import calls, trees
from pytest_graphmode.checks.clock import Clock
from pytest_graphmode.checks.plain import native_worlds, run_plainly
from pytest_graphmode.ledger import identity
from pytest_graphmode.ledger.watcher import watcher

if TYPE_CHECKING:
    from pytest_graphmode.runtime import Runtime

__tracebackhide__ = True  # in failures, the user's frames are of interest

_SEEDS: Final = range(1, 9)
# Seconds: a little, a minute, an hour, a day, a month and more, so that every digit of a date and time moves.
_SHIFTS: Final = (1.3702471, 67.4139027, 3_671.8350619, 90_061.2914473, 3_222_061.7138291, 40_003_681.5371937)
_DRAW: Final = "draw them outside and pass them as tensors, or draw with the framework's own random operations"
_READ: Final = "read the clock outside and pass the time as a tensor"
_KEEP: Final = "pass it to the function as a tensor, or hold it in a graphmode.variable"


@dataclass(frozen=True)
class _Source:
    """Python state that may change between calls: what to say of the change, the hint, and how it is made."""

    change: str
    hint: str
    attempts: tuple[Callable[[], object], ...]


def check_not_frozen(
    handle: Runtime, fn: Callable[..., Any], *args: Any, vary: Callable[[], object] | None = None
) -> None:
    """Fail if Python's result changes with state that it reads and the result of one graph of `fn` does not.

    Varied are `random` and `numpy.random`, which are reseeded up to 8 times until Python's result moves, the clock, and
    what `vary` changes. The random numbers continue afterwards as if nothing had been drawn.

    Raises:
        AssertionError: the graph holds on to a value that was read while it was built.
    """
    __tracebackhide__ = True
    handle.require_function("graphmode.check_not_frozen", fn)
    check = _Check(handle, fn, handle.converted(args))
    with watcher.only(), calls.uncounted(not handle.mode.static), _random_kept(), check.clock.installed(fn):
        failure = check.failure(vary)
    watcher.call(handle.variant.backend, handle.variant.mode, identity.of(fn).name)
    if failure is not None:
        raise AssertionError(f"check_not_frozen({identity.of(fn).name}) in {handle.variant}: {failure}")


class _Check:
    def __init__(self, handle: Runtime, fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._handle = handle
        self._fn = fn
        self._args = args
        self._function = handle.function(fn)
        self._worlds = native_worlds(handle)
        self._seed = 0
        self.clock = Clock()

    def failure(self, vary: Callable[[], object] | None) -> str | None:
        """What is frozen, None if nothing is found to be."""
        python, again = self._python(), self._python()
        self._graph()  # builds it; what only the first call does is no change
        graph, graph_again = self._graph(), self._graph()
        if not again.same(python):
            return self._restless(python, again, graph, graph_again)
        for source in self._sources(vary):
            for attempt in source.attempts:
                attempt()
                moved = self._python()
                if moved.same(python):
                    continue
                now = self._graph()
                if now.same(graph):
                    return _frozen(source.change, source.hint, (python, moved), (graph, now))
                break
            self._seed, self.clock.shift = 0, 0.0
        return None

    def _restless(self, python: _Run, again: _Run, graph: _Run, graph_again: _Run) -> str | None:
        """A function whose result changes with every call: only what is drawn tells random numbers that were frozen."""
        if graph_again.same(graph):
            change = "the function was called again, because of a counter, an iterator or the like"
            return _frozen(change, _KEEP, (python, again), (graph, graph_again))
        if again.drew and not graph_again.drew:
            return (
                "every call in Python draws from random or numpy.random, and calls of the graph draw nothing: the "
                f"numbers were drawn once, while the graph was built; {_DRAW}"
            )
        return None

    def _sources(self, vary: Callable[[], object] | None) -> Iterator[_Source]:
        def reseed(seed: int) -> Callable[[], object]:
            return lambda: setattr(self, "_seed", seed)

        def shift(seconds: float) -> Callable[[], object]:
            return lambda: setattr(self.clock, "shift", seconds)

        yield _Source("random and numpy.random were reseeded", _DRAW, tuple(map(reseed, _SEEDS)))
        yield _Source(
            "the clock moved", "read the clock outside and pass the time as a tensor", tuple(map(shift, _SHIFTS))
        )
        if vary is not None:
            yield _Source(f"vary ({identity.of(vary).name}) was called", _KEEP, (vary,))

    def _python(self) -> _Run:
        run: _Run
        world, run = run_plainly(self._handle, self._worlds, lambda _: self._plain_run())
        self._worlds = [world]
        return run

    def _plain_run(self) -> _Run:
        with self.clock.stopped():
            return self._run(self._fn)

    def _graph(self) -> _Run:
        return self._run(self._function)

    def _run(self, function: Callable[..., Any]) -> _Run:
        random.seed(self._seed)
        np.random.seed(self._seed)
        before = _random_state()
        result = function(*self._args)
        return _Run(self._handle.numpy(result), _random_state() != before)


@dataclass(frozen=True)
class _Run:
    """What a call returned, and whether it drew from Python's or NumPy's global random numbers."""

    result: Any
    drew: bool

    def same(self, other: _Run) -> bool:
        (mine, spec), (theirs, other_spec) = trees.flatten(self.result), trees.flatten(other.result)
        return bool(spec == other_spec) and all(map(_equal, mine, theirs))

    def told(self, other: _Run) -> str:
        """The first element that differs between two results, else the first leaf."""
        pairs = list(zip(trees.paths(self.result, "result"), trees.leaves(other.result), strict=False))
        if not pairs:
            return "returned nothing"
        (path, mine), theirs = next((pair for pair in pairs if not _equal(pair[0][1], pair[1])), pairs[0])
        index = _differing(mine, theirs)
        if index is not None:
            path, mine, theirs = f"{path} at {list(index)}", mine[index], theirs[index]
        return f"{path} {_short(mine)} -> {_short(theirs)}"


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, (np.ndarray, np.generic)) and isinstance(b, (np.ndarray, np.generic)):
        numeric = a.dtype.kind in "fc"
        return np.array_equal(a, b, equal_nan=numeric)
    return bool(a == b)


def _differing(mine: Any, theirs: Any) -> tuple[int, ...] | None:
    """The index of the first element that differs between two arrays of one shape."""
    if not isinstance(mine, np.ndarray) or not mine.ndim or np.shape(theirs) != mine.shape:
        return None
    differ = np.asarray(mine != theirs)
    return tuple(int(i) for i in np.unravel_index(int(differ.argmax()), mine.shape)) if differ.any() else None


def _short(leaf: Any) -> str:
    if isinstance(leaf, np.ndarray) and leaf.size > 1:
        return f"[{leaf.flat[0]:.6g}, ...]"
    return f"{leaf:.6g}" if isinstance(leaf, (np.ndarray, np.generic)) and leaf.dtype.kind == "f" else str(leaf)


def _frozen(change: str, hint: str, python: tuple[_Run, _Run], graph: tuple[_Run, _Run]) -> str:
    return (
        f"Python's result moved when {change}; the graph's did not, so it holds what it read while it was built\n"
        f"  Python: {python[0].told(python[1])}\n"
        f"  graph:  {graph[0].told(graph[1])}\n"
        f"{hint}"
    )


def _random_state() -> tuple[object, ...]:
    kind, keys, *rest = np.random.get_state(legacy=True)
    return random.getstate(), kind, np.asarray(keys).tobytes(), *rest


@contextmanager
def _random_kept() -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
