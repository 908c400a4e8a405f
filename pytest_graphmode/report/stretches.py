"""The time between builds in which functions were called, for a timeline of what a test did. Called by `events.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from pytest_graphmode.ledger.ledger import GraphLedger

# Of more the first and last ones are shown, and those between them as one. The schema says so.
MOST_STRETCHES: Final = 401
Data = dict[str, Any]


class Stretch(NamedTuple):
    """A time in seconds since the test's call began, in which nothing was built, and the calls that ended in it.

    `seconds` is its length, without the builds in it where it stands for several.
    """

    begun: float
    ended: float
    seconds: float
    calls: Counter[str]


def stretches_data(ledger: GraphLedger, seconds: float, *, known: bool) -> list[Data]:
    """The stretches of a test whose call took `seconds`; `known` says whether the framework tells of all calls."""
    found = [one for one in between(ledger, seconds) if one.calls.total()]
    half = MOST_STRETCHES // 2
    if len(found) > MOST_STRETCHES:
        found = [*found[:half], _joined(found[half:-half]), *found[-half:]]
    return [_data(one, known=known) for one in found]


def between(ledger: GraphLedger, seconds: float) -> Iterator[Stretch]:
    """The stretches before, between and after builds; calls that ended during a build, in a thread, are before it."""
    begun, left = 0.0, Counter(ledger.calls_by_function)
    for began, ended, calls in _builds(ledger):
        yield Stretch(begun, began, began - begun, calls)
        begun, left = ended, left - calls
    yield Stretch(begun, max(seconds, begun), max(seconds - begun, 0.0), left)


def _builds(ledger: GraphLedger) -> Iterator[tuple[float, float, Counter[str]]]:
    """When something was built, and the calls that had ended since the time before; nested builds are one."""
    begun = ended = 0.0
    calls: Counter[str] | None = None
    for event in sorted(ledger.events, key=lambda event: event.began):
        since = max(event.began - ledger.started, 0.0)
        if calls is not None and since > ended:
            yield begun, ended, calls
            calls = None
        if calls is None:
            begun, ended, calls = since, since, Counter()
        calls.update(event.calls)
        ended = max(ended, event.ended - ledger.started)
    if calls is not None:
        yield begun, ended, calls


def _joined(parts: Sequence[Stretch]) -> Stretch:
    calls = sum((one.calls for one in parts), Counter[str]())
    return Stretch(parts[0].begun, parts[-1].ended, sum(one.seconds for one in parts), calls)


def _data(stretch: Stretch, *, known: bool) -> Data:
    calls = stretch.calls.total()
    return {
        "begun_seconds": round(stretch.begun, 6),
        "ended_seconds": round(stretch.ended, 6),
        "calls": dict(sorted((name, count) for name, count in stretch.calls.items() if count)),
        "call_seconds": round(stretch.seconds / calls, 9) if known else None,
    }
