"""`expect`: the counts of a block, asserted at its end or at once."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_graphmode.backends.specs import BACKENDS, keys
from pytest_graphmode.checks.budget import Question, exceeded, verdict
from pytest_graphmode.checks.limits import COUNTS, SCOPES, Limit, bounds, scopes
from pytest_graphmode.ledger.ledger import GraphLedger
from pytest_graphmode.ledger.places import call_site, is_library
from pytest_graphmode.ledger.watcher import watch, watcher

if TYPE_CHECKING:
    from pytest_graphmode.select.variants import Variant

Count = int | tuple[int | None, int | None] | Mapping[str, Any] | None


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
    **unknown: object,
) -> Expectation:
    """Assert how many graphs a block builds, whoever wrote the code in it: `with expect(builds=1) as ledger`.

    No cache is cleared: after a warm-up, `with expect(builds=0)` says that nothing is built any more. A function that
    has a graph when the block begins counts as built, so that building it again is a rebuild.

    Args:
        builds, rebuilds, breaks, fallbacks, nodes: exactly this many, or from the least to the most of a pair (None for
            an open end), or a dict of these by backend or backend_mode: `{"torch_compile": 1, "tf": (0, 2)}`.
        seconds: the time spent building, at most.
        internal: count the framework's own machinery too.
        within: look at the code of one package or module only; `function` at one function.
        per_object: tell functions apart by object too: each model of a class has a first build of its own.
        at_once: raise at the call that exceeds a count, in the middle of the block.

    Raises:
        AssertionError: at the end, or at once, with the ledger's text; also where graphs can't be counted.
        TypeError, ValueError: no count is given, or a wrong one.
    """
    if unknown:
        raise TypeError(_unknown(unknown))
    counts = (builds, rebuilds, breaks, fallbacks, nodes, seconds)
    scope = {"internal": internal, "within": within, "function": function, "per_object": per_object}
    return Expectation(_limits(counts, scope), at_once=at_once)


class Expectation(AbstractContextManager[GraphLedger]):
    """The block of an `expect`; `variant` is what the test runs as, `static` whether its graphs are built once."""

    def __init__(self, limits: list[Limit], *, at_once: bool) -> None:
        self.variant: Variant | None = None
        self.static = True
        self._limits = limits
        self._at_once = at_once
        self._scope = ExitStack()
        self._raised: BaseException | None = None

    def __enter__(self) -> GraphLedger:
        self._ledger = self._scope.enter_context(watch())
        self._trust = watcher.trust()
        recorder = watcher.current
        if self._at_once and recorder is not None:
            recorder.guards.append(self._guard)
            self._scope.callback(recorder.guards.remove, self._guard)
        return self._ledger

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *rest: object) -> None:
        __tracebackhide__ = True
        try:
            if error is not None:
                if error is self._raised:
                    error.__traceback__ = _to_the_users_line(error.__traceback__)
                return
            question = replace(self._question, untrusted=self._trust.broken())
        finally:
            self._scope.close()
        failure = verdict(question, self._limits)
        if failure is not None:
            raise AssertionError(failure)

    @property
    def _question(self) -> Question:
        return Question(self._ledger, self.variant, self.static, vacuous=False)

    def _guard(self) -> None:
        """Hold a build, break or fallback that has just happened against the counts."""
        __tracebackhide__ = True
        if self._raised is not None or sys.exc_info()[0] is not None:
            return
        failure = exceeded(self._question, self._limits)
        if failure is not None:
            first, *more = failure.splitlines()
            where = call_site()
            self._raised = AssertionError("\n".join([f"{first}, at {where}" if where else first, *more]))
            raise self._raised


def _to_the_users_line(traceback: types.TracebackType | None) -> types.TracebackType | None:
    """A traceback without what the frameworks and the plugin did after the last line of the user's own."""
    entries = []
    while traceback is not None:
        entries.append(traceback)
        traceback = traceback.tb_next
    while len(entries) > 1 and is_library(entries[-1].tb_frame.f_code.co_filename):
        entries.pop()
    shortened: types.TracebackType | None = None
    for entry in reversed(entries):
        shortened = types.TracebackType(shortened, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return shortened


def _unknown(given: Mapping[str, object]) -> str:
    import difflib  # here, since it is for a typo only

    legal = (*COUNTS, *SCOPES, "at_once")
    close = [match for name in given for match in difflib.get_close_matches(name, legal, 1)]
    meant = f"did you mean {', '.join(close)}? " if close else ""
    return f"expect() has no argument {', '.join(given)}: {meant}It takes {', '.join(legal)}"


def _limits(counts: Sequence[Any], scope: dict[str, Any]) -> list[Limit]:
    given = {name: value for name, value in zip(COUNTS, counts, strict=True) if value is not None}
    if not given:
        raise TypeError(f"expect() needs a count: one of {', '.join(COUNTS)}, like expect(builds=1, breaks=0)")
    specs = {**{spec.name: spec for spec in BACKENDS}, **watcher.backends}
    try:
        narrowed = scopes(scope)
        return [
            Limit(name, bounds(name, value, keys(specs), exact=name != "seconds"), **narrowed)
            for name, value in given.items()
        ]
    except (TypeError, ValueError) as error:
        raise type(error)(f"expect(): {error}") from None
