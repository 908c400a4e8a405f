"""One test body as a TensorFlow static graph and as eager PyTorch, counted, compared and differentiated."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_graphmode.backends.base import Backend, BackendSpec, Mode, SourceSpec
    from pytest_graphmode.checks.expecting import expect
    from pytest_graphmode.errors import GraphmodeWarning, PrecisionWarning, UnsupportedError
    from pytest_graphmode.handle import Handle
    from pytest_graphmode.ledger.ledger import Argument, Cause, GraphBreak, GraphBuild, GraphLedger
    from pytest_graphmode.ledger.watcher import watch
    from pytest_graphmode.select.variants import Variant

__all__ = [
    "Argument",
    "Backend",
    "BackendSpec",
    "Cause",
    "GraphBreak",
    "GraphBuild",
    "GraphLedger",
    "GraphmodeWarning",
    "Handle",
    "Mode",
    "PrecisionWarning",
    "SourceSpec",
    "UnsupportedError",
    "Variant",
    "expect",
    "watch",
]
__version__ = "0.1.0"

# The others when they are asked for, since pytest imports this package in every run of every project.
_HOMES = {
    "backends.base": ("Backend", "BackendSpec", "Mode", "SourceSpec"),
    "errors": ("GraphmodeWarning", "PrecisionWarning", "UnsupportedError"),
    "checks.expecting": ("expect",),
    "handle": ("Handle",),
    "ledger.ledger": ("Argument", "Cause", "GraphBreak", "GraphBuild", "GraphLedger"),
    "select.variants": ("Variant",),
    "ledger.watcher": ("watch",),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            import_module(f"{__name__}.backends.watched")  # so that whoever watches hears of their graphs
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
