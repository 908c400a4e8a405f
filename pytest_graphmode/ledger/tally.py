"""The counts of eagerly run functions, which build a graph on every call: numbers, and no event for each.

`calls.py` and `recorder.py` count; a ledger sees each counter through a window that begins where the ledger does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(slots=True)
class EagerCounter:
    """Tallies of one eagerly run function; nothing in it grows with the number of calls.

    `structures` has the builds, and `sizes` the nodes of each, by the fingerprint of the recorded graph (or by its
    number of nodes).
    """

    backend: str
    mode: str
    function: str
    location: str
    group: int = 0
    calls: int = 0
    structures: dict[object, int] = field(default_factory=dict)
    sizes: dict[object, int] = field(default_factory=dict)

    @property
    def builds(self) -> int:
        return sum(self.structures.values())

    def clear(self) -> None:
        self.calls = 0
        self.structures.clear()
        self.sizes.clear()


@dataclass(frozen=True)
class Window:
    """An eager counter and what it had counted when the ledger began."""

    counter: EagerCounter
    calls: int = 0
    structures: Mapping[object, int] = field(default_factory=dict)

    @classmethod
    def opened(cls, counter: EagerCounter) -> Window:
        return cls(counter, counter.calls, dict(counter.structures))

    def closed(self) -> Window:
        """With a copy of the counter, which may go on counting."""
        counter = self.counter
        structures, sizes = dict(counter.structures), dict(counter.sizes)
        return replace(self, counter=replace(counter, structures=structures, sizes=sizes))

    @property
    def since(self) -> Mapping[object, int]:
        """The builds in the window by structure."""
        counts = {key: count - self.structures.get(key, 0) for key, count in self.counter.structures.items()}
        return {key: count for key, count in counts.items() if count}

    @property
    def called(self) -> int:
        return self.counter.calls - self.calls

    @property
    def built(self) -> int:
        return sum(self.since.values())

    @property
    def rebuilt(self) -> int:
        """All builds in the window but the first there ever was."""
        return max(self.built - (not self.structures), 0)

    @property
    def nodes(self) -> int:
        return sum(count * self.counter.sizes[key] for key, count in self.since.items())
