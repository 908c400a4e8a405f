"""How taps travel: collected where they are met, they come out of a graph with the result of its function.

The handle's `tap` goes through `Mode.tapped`. A mode that traces functions opens a frame around the trace and returns
`TracedTaps.carried`, one more output of the graph; around the call, `received` takes it off again and hands the taps
on: to the frame around, where there is one, else to the recording of the test.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import optree

from pytest_graphmode.backends import trees
from pytest_graphmode.backends.patching import pushed
from pytest_graphmode.ledger import identity

__tracebackhide__ = True


class Tap(NamedTuple):
    """A tree of values under a name."""

    name: str
    value: Any


class Tapped:
    """The result of a traced function with what was tapped in it: a tree, of which the names are structure."""

    def __init__(self, result: Any, taps: Sequence[Tap]) -> None:
        self.result = result
        self.taps = taps

    def parts(self) -> tuple[tuple[Any, list[Any]], tuple[str, ...]]:
        """The children of this node of a tree, and the names."""
        return (self.result, [value for _, value in self.taps]), tuple([name for name, _ in self.taps])

    @classmethod
    def of(cls, names: Sequence[str], children: Any) -> Tapped:
        result, values = children
        return cls(result, [Tap(*pair) for pair in zip(names, values, strict=True)])

    # By these two TensorFlow takes a value apart (tensorflow/python/util/custom_nest_protocol.py).

    def __tf_flatten__(self) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        children, names = self.parts()
        return names, children

    @classmethod
    def __tf_unflatten__(cls, metadata: tuple[str, ...], components: tuple[Any, ...]) -> Tapped:
        return cls.of(metadata, components)


optree.register_pytree_node(Tapped, Tapped.parts, Tapped.of, namespace=trees.NAMESPACE)  # type: ignore[arg-type]


class TracedTaps:
    """What was tapped in one piece of code that a mode traces as a whole.

    `place` is what the framework puts operations into there: a tap in another place belongs to a loop, a branch or
    somebody else's graph.
    """

    def __init__(self, place: object = None) -> None:
        self.place = place
        self.taps: list[Tap] = []

    def carried(self, result: Any) -> Any:
        """A function's result as it leaves the graph: itself, where nothing was tapped."""
        return Tapped(result, self.taps) if self.taps else result


class _TapPlace(threading.local):
    """What this thread's code is inside of.

    Attributes:
        frames: the traces under way, the innermost last.
        operator: the loop or branch of the handle's that runs, None outside of them.
        gradients: what was tapped on the way of each gradient that is being taken, the innermost last, with the number
            of frames around it.
    """

    def __init__(self) -> None:
        self.frames: list[TracedTaps] = []
        self.operator: str | None = None
        self.gradients: list[tuple[list[Tap], int]] = []


here = _TapPlace()
_Receiver = Callable[[str, Any], None]
_receivers: list[_Receiver | None] = []


def received_by(receiver: _Receiver | None) -> AbstractContextManager[object]:
    """In the block taps that have left all graphs go here; None drops them, in the runs that checks make."""
    return pushed(_receivers, receiver)


def collecting(place: object = None) -> AbstractContextManager[TracedTaps]:
    """A frame around a trace."""
    return pushed(here.frames, TracedTaps(place))


def differentiating(tapped: list[Tap]) -> AbstractContextManager[object]:
    """Around a function whose gradient is taken: what is tapped on its way, to which `Mode.tapped` adds."""
    return pushed(here.gradients, (tapped, len(here.frames)))


def differentiated() -> list[Tap] | None:
    """What is tapped on the way of the gradient that is being taken here.

    None outside of one, and in a function with a graph of its own: a gradient passes its results, not what is in it.
    """
    tapped, frames = here.gradients[-1] if here.gradients else (None, 0)
    return tapped if frames == len(here.frames) else None


class LeftOut(str):
    """In place of a value: why it was not tapped."""


def leave_out(name: str, reason: str) -> None:
    """Note why something is not tapped, at once and for the whole test: it is no value in a graph."""
    if _receivers and _receivers[-1] is not None:
        _receivers[-1](name, LeftOut(reason))


def emit(name: str, value: Any) -> None:
    """Hand a tap on to the trace around, or to the test."""
    if here.frames:
        here.frames[-1].taps.append(Tap(name, value))
    elif _receivers and _receivers[-1] is not None:
        _receivers[-1](name, value)


def emit_gradients(gradients: Sequence[Tap]) -> None:
    """Hand on gradients by taps, given in the order of the taps."""
    for name, gradient in as_computed(gradients):
        emit(name, gradient)


def as_computed(gradients: Sequence[Tap]) -> list[Tap]:
    """Gradients by taps, given in the order of the taps, in the order in which they are computed: the reverse.

    Those of one name stay in the order of the code, as the series of the taps themselves.
    """
    by_name: dict[str, list[Any]] = {}
    for name, gradient in gradients:
        by_name.setdefault(name, []).append(gradient)
    return [Tap(f"grad({name})", gradient) for name in list(by_name)[::-1] for gradient in by_name[name]]


def received(result: Any, untappable: Callable[[], str | None]) -> Any:
    """The result of a traced function, its taps handed on, where the mode's `untappable` allows it.

    Raises:
        TypeError: the function was called in a loop or branch, and has taps.
    """
    if type(result) is not Tapped:
        return result
    where = untappable()
    if where is not None:
        raise refused(result.taps[0].name, where)
    for name, value in result.taps:
        emit(name, value)
        if differentiated() is not None:
            _leave_out_gradients(name, value)
    return result.result


def _leave_out_gradients(name: str, value: Any) -> None:
    """A gradient passes the results of a graph of its own: what is computed on the way in that is none of them."""
    for path, leaf in trees.paths(value, name):
        if "float" in (dtype := str(getattr(leaf, "dtype", ""))) or "complex" in dtype:
            leave_out(f"grad({path})", "inside of a graphmode.function that the differentiated function calls")


def carrying(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` for a mode that knows nothing of taps and traces functions which return trees: they are part of its result.

    What it is made to must be called through `received`.
    """

    @functools.wraps(fn, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        with collecting() as frame:
            return frame.carried(fn(*args, **kwargs))

    return identity.subject(call, fn)


# Loops and branches.


def operating(operator: str, run: Callable[[], Any]) -> Any:
    """Run a loop or branch of the handle's, where nothing can be tapped."""
    kept, here.operator = here.operator, operator
    try:
        return run()
    finally:
        here.operator = kept


def within(operator: str) -> str:
    return f"inside of a {operator}"


def untappable(tap: str = "") -> str | None:
    """Why nothing can be tapped where the caller is, None where it can."""
    return None if here.operator is None else within(here.operator)


def refused(name: str, where: str) -> TypeError:
    return TypeError(
        f"graphmode.tap({name!r}) is {where}: a graph gives nothing of what its loops and branches compute on the way. "
        "Let the loop or branch return the value (a scan stacks one for each step), and tap what comes out of it"
    )
