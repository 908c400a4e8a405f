"""The counts of eagerly run functions, which build a graph on every call: numbers, and no event for each.

`calls.py` and `recorder.py` count; a ledger sees each counter through a window that begins where the ledger does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(slots=True)
class EagerCounter:
    """Tallies of one eagerly run function; nothing in it grows with the number of calls.

    `tally` has the calls, and `sizes` the nodes of each, by the fingerprint of the recorded graph (or by its number of
    nodes). Calls that recorded nothing, which are no builds, are those of 0.
    """

    backend: str
    mode: str
    function: str
    location: str
    group: int = 0
    tally: dict[object, int] = field(default_factory=lambda: {0: 0})
    sizes: dict[object, int] = field(default_factory=dict)

    @property
    def calls(self) -> int:
        return sum(self.tally.values())

    @property
    def builds(self) -> int:
        return self.calls - self.tally[0]

    def clear(self) -> None:
        self.tally.clear()
        self.tally[0] = 0
        self.sizes.clear()


@dataclass(frozen=True)
class Window:
    """An eager counter and what it had counted when the ledger began."""

    counter: EagerCounter
    tally: Mapping[object, int] = field(default_factory=dict)

    @classmethod
    def opened(cls, counter: EagerCounter) -> Window:
        return cls(counter, dict(counter.tally))

    def closed(self) -> Window:
        """With a copy of the counter, which may go on counting."""
        counter = self.counter
        return replace(self, counter=replace(counter, tally=dict(counter.tally), sizes=dict(counter.sizes)))

    @property
    def since(self) -> Mapping[object, int]:
        """The builds in the window by structure."""
        counts = {key: count - self.tally.get(key, 0) for key, count in self.counter.tally.items() if key}
        return {key: count for key, count in counts.items() if count}

    @property
    def called(self) -> int:
        return self.counter.calls - sum(self.tally.values())

    @property
    def built(self) -> int:
        return sum(self.since.values())

    @property
    def rebuilt(self) -> int:
        """All builds in the window but the first there ever was."""
        first = not any(count for key, count in self.tally.items() if key)
        return max(self.built - first, 0)

    @property
    def nodes(self) -> int:
        return sum(count * self.counter.sizes[key] for key, count in self.since.items())
