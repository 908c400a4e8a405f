"""`check_not_frozen`: whether a graph holds on to Python state that the function reads anew on every call."""

from __future__ import annotations

import datetime
import random
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from pytest_graphmode.backends import calls, trees
from pytest_graphmode.backends.python_mode import random_kept
from pytest_graphmode.checks.compare import Mismatch, first_leaf_mismatch
from pytest_graphmode.checks.plain import native_worlds, run_plainly, uses
from pytest_graphmode.errors import GraphmodeWarning
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
_NO_CLOCK: Final = "the clock did not move, since time-machine is not installed (pip install 'pytest-graphmode[clock]')"


def check_not_frozen(
    runtime: Runtime, fn: Callable[..., Any], *args: Any, vary: Callable[[], object] | None = None
) -> None:
    """What `Handle.check_not_frozen` does, and documents."""
    __tracebackhide__ = True
    runtime.require_function("graphmode.check_not_frozen", fn)
    with watcher.only(), calls.uncounted(not runtime.mode.static), random_kept(), _clock() as set_clock:
        failure = _FrozenCheck(runtime, fn, runtime.converted(args), vary, set_clock).failure()
    watcher.call(runtime.variant.backend, runtime.variant.mode, identity.of(fn).name)
    told = f"check_not_frozen({identity.of(fn).name}) in {runtime.variant}: "
    if failure is not None:
        raise AssertionError(told + failure)
    if set_clock is None and uses(fn, _is_clock):
        warnings.warn(f"{told}{_NO_CLOCK}, so that a frozen time would pass", GraphmodeWarning, stacklevel=3)


class _FrozenCheck:
    def __init__(
        self,
        runtime: Runtime,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        vary: Callable[[], object] | None,
        set_clock: Callable[[float], None] | None,
    ) -> None:
        self._runtime = runtime
        self._fn = fn
        self._args = args
        self._vary = vary
        self._set_clock = set_clock
        self._function = runtime.function(fn)
        self._worlds = native_worlds(runtime)
        self._seed = 0
        self._shift = 0.0

    def failure(self) -> str | None:
        python, again = self._python(), self._python()
        self._graph()  # builds it; what only the first call does is no change
        graph, graph_again = self._graph(), self._graph()
        if again.moved_from(python):
            return self._restless(python, again, graph, graph_again)
        for change, hint, settings in self._sources():
            for self._seed, self._shift in settings:
                now = self._python()
                if now.moved_from(python):
                    if not (graph_now := self._graph()).moved_from(graph):
                        return self._frozen(change, hint, (python, now), (graph, graph_now))
                    break
        return None

    def _restless(self, python: _Run, again: _Run, graph: _Run, graph_again: _Run) -> str | None:
        """A function whose result changes with every call: only what is drawn tells random numbers that were frozen."""
        if not graph_again.moved_from(graph):
            change = "the function was called again, because of a counter, an iterator or the like"
            return self._frozen(change, _KEEP, (python, again), (graph, graph_again))
        if again.drew and not graph_again.drew:
            return (
                "every call in Python draws from random or numpy.random, and calls of the graph draw nothing: the "
                f"numbers were drawn once, while the graph was built; {_DRAW}"
            )
        return None

    def _frozen(self, change: str, hint: str, python: tuple[_Run, _Run], graph: tuple[_Run, _Run]) -> str:
        clock = ["the clock (time-machine)"] if self._set_clock is not None else []
        varied = ["random numbers", *clock, *(["what vary changes"] if self._vary is not None else [])]
        return (
            f"Python's result moved when {change}; the graph's did not, so it holds what it read while it was built\n"
            f"  Python: {python[0].told(python[1])}\n"
            f"  graph:  {graph[0].told(graph[1])}\n"
            f"  varied: {', '.join(varied)}{'' if clock else f'; {_NO_CLOCK}'}\n"
            f"{hint}"
        )

    def _sources(self) -> Iterator[tuple[str, str, Sequence[tuple[int, float]]]]:
        """What to say of each change, the hint, and the seeds and clocks to try; `vary` is called in passing."""
        yield "random and numpy.random were reseeded", _DRAW, [(seed, 0.0) for seed in _SEEDS]
        if self._set_clock is not None:
            yield "the clock moved", _READ, [(0, seconds) for seconds in _SHIFTS]
        if self._vary is not None:
            self._vary()
            yield f"vary ({identity.of(self._vary).name}) was called", _KEEP, [(0, 0.0)]

    def _python(self) -> _Run:
        run: _Run
        world, run = run_plainly(self._runtime, self._worlds, lambda _: self._run(self._fn))
        self._worlds = [world]
        return run

    def _graph(self) -> _Run:
        return self._run(self._function)

    def _run(self, function: Callable[..., Any]) -> _Run:
        random.seed(self._seed)
        np.random.seed(self._seed)
        before = _random_state()
        if self._set_clock is not None:
            self._set_clock(self._shift)
        result = function(*self._args)
        return _Run(dict(trees.paths(self._runtime.numpy(result), "result")), _random_state() != before)


class _Run(NamedTuple):
    """The leaves of what a call returned, and whether it drew from Python's or NumPy's global random numbers."""

    leaves: dict[str, Any]
    drew: bool

    def moved_from(self, other: _Run) -> Mismatch | None:
        """The first leaf that is not exactly the other's."""
        return first_leaf_mismatch(self.leaves, other.leaves, rtol=0.0, atol=0.0)

    def told(self, later: _Run) -> str:
        """The element that moved, else the first leaf."""
        moved = later.moved_from(self)
        if moved is not None:
            where = f"{moved.path} at {list(moved.index)}" if moved.index else moved.path
            before, after = _short(moved.expected), _short(moved.actual)
            if before == after:  # values of a clock differ in their last digits only
                before, after = str(moved.expected), str(moved.actual)
            return f"{where} {before} -> {after}"
        path, leaf = next(iter(self.leaves.items()), ("nothing", None))
        return f"{path} {_short(leaf)} -> {_short(leaf)}"


def _short(leaf: object) -> str:
    if isinstance(leaf, np.ndarray) and leaf.size > 1:
        return f"[{leaf.flat[0]:.6g}, ...]"
    return f"{leaf:.6g}" if isinstance(leaf, (np.ndarray, np.floating)) and leaf.dtype.kind == "f" else str(leaf)


@contextmanager
def _clock() -> Iterator[Callable[[float], None] | None]:
    """What sets the clock to some seconds after the beginning of the block; None without `time-machine`."""
    try:
        import time_machine
    except ImportError:
        yield None
        return
    start = time.time()
    # It ticks, so that a loop which waits for a deadline ends; the first reading after each move is exact.
    with time_machine.travel(start, tick=True) as traveller:
        yield lambda seconds: traveller.move_to(start + seconds)


def _is_clock(value: object) -> bool:
    """Whether a value is a clock, or a module that has clocks."""
    if isinstance(value, ModuleType):
        return value in (time, datetime)
    return callable(value) and getattr(value, "__module__", None) in (time.__name__, datetime.__name__)


def _random_state() -> tuple[object, ...]:
    kind, keys, *rest = np.random.get_state(legacy=True)
    return random.getstate(), kind, np.asarray(keys).tobytes(), *rest
