"""What reports show of builds beyond what decides a verdict: calls in between, conditions in words, graphs drawn.

Kept by `recorder.py` in runs that write a report, and in no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pytest_graphmode.ledger.builds import BuildReport
    from pytest_graphmode.ledger.drawing import Drawing
    from pytest_graphmode.ledger.identity import Content

# How many different graphs of a test are kept, how many of these may be of functions that are built again, and how many
# are looked at until it has so many.
MOST_DRAWINGS: Final = 8
_MOST_OF_REBUILDS: Final = 4
_MOST_TRIES: Final = 64
MOST_CONDITIONS: Final = 40
# What nearly every test closes over, by its customary name, and never changes.
_HANDLES: Final = ("graphmode", "xp")
_TYPES: Final = ("Runtime", "Handle", "UntouchedHandle", "_Conversion", "module")


class Details:
    """Of one recorder."""

    def __init__(self) -> None:
        self._counted: dict[str, int] = {}
        self._drawings: dict[Drawing, Drawing] = {}
        self._of_rebuilds = self._tries = 0

    @property
    def drawing(self) -> bool:
        """Whether graphs of further builds may be kept."""
        return len(self._drawings) < MOST_DRAWINGS and self._tries < _MOST_TRIES

    def calls(self, now: dict[str, int], report: BuildReport | None = None) -> dict[str, int]:
        """The calls that ended since this was asked before, by function; `now` has all of the test.

        One that is under way, and was told of when it began, is left for the next time.
        """
        ended = {name: count - self._counted.get(name, 0) for name, count in now.items()}
        ended = {name: count for name, count in ended.items() if count > 0}
        if report is not None and report.called and ended:
            own = report.identity.name.rpartition(".")[2]
            under_way = own if own in ended else next(reversed(ended))
            ended[under_way] -= 1
            now = {**now, under_way: now[under_way] - 1}
        self._counted = now
        return {name: count for name, count in ended.items() if count}

    def kept(self, drawing: Drawing | None, *, first: bool) -> Drawing | None:
        """The one object that stands for all equal drawings; None where there are too many different ones."""
        if drawing is None:
            return None
        known, wanted = self._drawings.get(drawing), self.drawing
        self._tries += 1
        if known is not None or not wanted or (not first and self._of_rebuilds >= _MOST_OF_REBUILDS):
            return known
        self._of_rebuilds += not first
        self._drawings[drawing] = drawing
        return drawing


def conditions(report: BuildReport) -> Mapping[str, str]:
    """What beside its arguments a graph was built for, in words: what it closes over and is bound to, and settings."""
    found: dict[str, str] = {}
    for content in report.identity.contents:
        if content.name not in _HANDLES and content.type_name not in _TYPES:
            found.update(_of_content(content))
    if report.depends_on is not None:
        found.update(report.depends_on())
    for one in report.conditions:
        if one.shown:
            found[f"device of {one.name}" if one.kind == "device" else one.name or one.kind] = one.value
    return dict(list(found.items())[:MOST_CONDITIONS])


def _of_content(content: Content) -> dict[str, str]:
    """`closes over rate` with what it is, and `rate.value` for each attribute of an object."""
    how = {"closure": "closes over", "partial": "partial with", "bound": "bound to"}.get(content.role, content.role)
    return {
        f"{how} {content.name}": content.text,
        # Keras names a layer by how many there were before in the process.
        **{f"{content.name}.{name}": text for name, text in content.attributes if name != "name"},
    }
