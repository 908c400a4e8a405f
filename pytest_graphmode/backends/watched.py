"""The built-in backends where whoever watches hears of their graphs, outside of pytest too."""

from __future__ import annotations

from pytest_graphmode.backends.specs import BACKENDS
from pytest_graphmode.ledger.watcher import watcher

for _spec in BACKENDS:
    watcher.register(_spec.sources, _spec)
