"""`expect`: the counts of a block, asserted at its end or at once."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_graphmode.watcher import watch, watcher

if TYPE_CHECKING:
    from pytest_graphmode.budget import Question
    from pytest_graphmode.ledger import GraphLedger
    from pytest_graphmode.limits import Limit
    from pytest_graphmode.variant import Variant

Count = int | tuple[int | None, int | None] | Mapping[str, Any] | None


@contextmanager
def expect(
    *,
    builds: Count = None,
    rebuilds: Count = None,
    breaks: Count = None,
    fallbacks: Count = None,
    nodes: Count = None,
    seconds: float | tuple[float | None, float | None] | Mapping[str, Any] | None = None,
    internal: bool = False,
    within: str | None = None,
    function: str | None = None,
    per_object: bool = False,
    at_once: bool = False,
    _variant: tuple[Variant, bool] | None = None,
) -> Iterator[GraphLedger]:
    """Assert how many graphs a block builds, whoever wrote the code in it; usable in a test, script or notebook.

    No cache is cleared: after a warm-up, `with expect(builds=0):` says that nothing is built any more. A function that
    has a graph when the block begins counts as built, so that building it again is a rebuild.

    Args:
        builds, rebuilds, breaks, fallbacks, nodes: exactly this many, or from the least to the most of a pair (None for
            an open end), or a dict of these by backend or backend_mode: `{"torch_compile": 1, "tf": (0, 2)}`.
        seconds: the time spent building, at most.
        internal: count the framework's own machinery too.
        within: look at the code of one package or module only; `function` at one function.
        per_object: tell functions apart by object too: each model of a class has a first build of its own.
        at_once: raise at the call that exceeds a count, in the middle of the block.

    Yields:
        The ledger of the block.

    Raises:
        AssertionError: at the end, or at once, with the ledger's text; also where the graphs of a backend that the
            counts are about can't be counted.
        TypeError, ValueError: no count is given, or a wrong one.
    """
    __tracebackhide__ = True
    from pytest_graphmode.budget import Question, verdict

    counts = {
        "builds": builds,
        "rebuilds": rebuilds,
        "breaks": breaks,
        "fallbacks": fallbacks,
        "nodes": nodes,
        "seconds": seconds,
    }
    given = {"internal": internal, "within": within, "function": function, "per_object": per_object}
    limits = _limits(counts, given)
    variant, static = _variant or (None, True)
    with watch() as ledger:
        question = Question(ledger, variant, static, vacuous=False)
        trust = watcher.trust()
        with _told_at_once(question, limits, at_once):
            yield ledger
        untrusted = trust.broken()
    failure = verdict(Question(ledger, variant, static, untrusted=untrusted, vacuous=False), limits)
    if failure is not None:
        raise AssertionError(failure)


def _limits(counts: Mapping[str, Any], given: dict[str, Any]) -> list[Limit]:
    from pytest_graphmode.limits import COUNTS, Limit, bounds, scopes

    named = {name: value for name, value in counts.items() if value is not None}
    if not named:
        raise TypeError(f"expect() needs a count: one of {', '.join(COUNTS)}, like expect(builds=1, breaks=0)")
    try:
        narrowed = scopes(given)
        keys = _keys()
        return [
            Limit(name, bounds(name, value, keys, exact=name != "seconds"), **narrowed) for name, value in named.items()
        ]
    except (TypeError, ValueError) as error:
        raise type(error)(f"expect(): {error}") from None


def _keys() -> list[str]:
    from pytest_graphmode.builtin import BACKENDS

    specs = {**{spec.name: spec for spec in BACKENDS}, **watcher.backends}
    return [key for spec in specs.values() for key in (spec.name, *(f"{spec.name}_{mode}" for mode in spec.modes))]


@contextmanager
def _told_at_once(question: Question, limits: list[Limit], applies: bool) -> Iterator[None]:
    """While the block runs each build is held against its counts, and the one too many raises where it is built."""
    __tracebackhide__ = True
    recorder = watcher.current
    if not applies or recorder is None:
        yield
        return
    from pytest_graphmode.budget import exceeded

    def guard() -> None:
        __tracebackhide__ = True
        failure = exceeded(question, limits)
        if failure is not None and sys.exc_info()[0] is None:
            raise AssertionError(failure)

    recorder.guards.append(guard)
    try:
        yield
    finally:
        recorder.guards.remove(guard)
