"""The time between builds in which functions were called, for a timeline of what a test did. Called by `events.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pytest_graphmode.ledger.durations import Timed

if TYPE_CHECKING:
    from pytest_graphmode.ledger.ledger import GraphLedger

# Of more the first and last ones are shown, and those between them as one. The schema says so.
MOST_STRETCHES: Final = 401
Data = dict[str, Any]


class Stretch(NamedTuple):
    """A time in seconds since the test's call began, in which nothing was built, and the calls that ended in it.

    `seconds` is its length, without the builds in it where it stands for several; `timed` has the calls of it that were
    measured.
    """

    begun: float
    ended: float
    seconds: float
    calls: Counter[str]
    timed: Timed


class Busy(NamedTuple):
    """A time in which something was built, the calls since the time before, and what was measured by then."""

    begun: float
    ended: float
    calls: Counter[str]
    timed: Timed


def stretches_data(ledger: GraphLedger, seconds: float, timed: Timed = Timed(), *, known: bool) -> list[Data]:  # noqa: B008 - it is frozen
    """The stretches of a test whose call took `seconds`; `known` says whether the framework tells of all calls."""
    found = [one for one in between(ledger, seconds, timed) if one.calls.total()]
    half = MOST_STRETCHES // 2
    if len(found) > MOST_STRETCHES:
        found = [*found[:half], _joined(found[half:-half]), *found[-half:]]
    return [_data(one, known=known) for one in found]


def between(ledger: GraphLedger, seconds: float, timed: Timed) -> Iterator[Stretch]:
    """The stretches before, between and after builds; calls that ended during a build, in a thread, are before it."""
    begun, left, before = 0.0, Counter(ledger.calls_by_function), Timed()
    for busy in _builds(ledger):
        yield Stretch(begun, busy.begun, busy.begun - begun, busy.calls, busy.timed.since(before))
        begun, left, before = busy.ended, left - busy.calls, busy.timed
    yield Stretch(begun, max(seconds, begun), max(seconds - begun, 0.0), left, timed.since(before))


def _builds(ledger: GraphLedger) -> Iterator[Busy]:
    """When something was built; nested builds are one."""
    latest: Busy | None = None
    for event in sorted(ledger.events, key=lambda event: event.began):
        begun, ended = (max(moment - ledger.started, 0.0) for moment in (event.began, event.ended))
        if latest is not None and begun > latest.ended:
            yield latest
            latest = None
        if latest is None:
            latest = Busy(begun, ended, Counter(event.calls), event.timed)
        else:
            ended, timed = max(latest.ended, ended), max(latest.timed, event.timed)
            latest = Busy(latest.begun, ended, latest.calls + Counter(event.calls), timed)
    if latest is not None:
        yield latest


def _joined(parts: Sequence[Stretch]) -> Stretch:
    calls = sum((one.calls for one in parts), Counter[str]())
    timed = Timed(*map(sum, zip(*(one.timed for one in parts), strict=True)))
    return Stretch(parts[0].begun, parts[-1].ended, sum(one.seconds for one in parts), calls, timed)


def _data(stretch: Stretch, *, known: bool) -> Data:
    calls, timed = stretch.calls.total(), stretch.timed
    return {
        "begun_seconds": round(stretch.begun, 6),
        "ended_seconds": round(stretch.ended, 6),
        "calls": dict(sorted((name, count) for name, count in stretch.calls.items() if count)),
        "call_seconds": round(stretch.seconds / calls, 9) if known else None,
        "first_call_seconds": round(timed.first_seconds / timed.first, 9) if timed.first else None,
        "steady_call_seconds": round(timed.other_seconds / timed.others, 9) if timed.others else None,
    }
