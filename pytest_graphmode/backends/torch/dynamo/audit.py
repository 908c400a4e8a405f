"""Holds torch's public counter of graphs beside what the source reported: a graph that nobody saw is never silent.

Called by `source.py`. The counter is `torch._dynamo.utils.counters["stats"]["unique_graphs"]`, which tests may clear at
any time; so it is read before and after each compilation, and only what it has above the reports is held against them.
"""

from __future__ import annotations

import threading

from torch._dynamo.utils import counters


class Audit:
    """How many graphs torch counted and nobody reported."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._missed = 0
        self.begin()

    def begin(self) -> None:
        """Watching begins: what was counted meanwhile is nobody's business."""
        self._latest = int(counters["stats"]["unique_graphs"])

    def report(self, graphs: int) -> None:
        """A compilation has ended that made so many graphs, and is reported."""
        with self._lock:
            before = self._latest
            self.begin()
            self._missed += self._latest - (before if self._latest >= before else 0) - graphs  # it may be cleared

    @property
    def missed(self) -> int:
        self.report(0)
        return self._missed

    def differs(self, before: int) -> str | None:
        """What torch counted and nobody reported since `missed` was `before`."""
        more = self.missed - before
        if more <= 0:
            return None
        return (
            f"torch's own counter (torch._dynamo.utils.counters['stats']['unique_graphs']) has {more} "
            f"graph{'s' if more > 1 else ''} more than were seen"
        )
