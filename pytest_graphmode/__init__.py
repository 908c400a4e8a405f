"""One test body as a TensorFlow static graph and as eager PyTorch, counted, compared and differentiated."""

from pytest_graphmode.backends.base import Backend, BackendSpec, Mode
from pytest_graphmode.errors import UnsupportedError
from pytest_graphmode.ledger import Argument, Cause, GraphBreak, GraphBuild, GraphLedger
from pytest_graphmode.variant import Variant
from pytest_graphmode.watch import watch

__all__ = [
    "Argument",
    "Backend",
    "BackendSpec",
    "Cause",
    "GraphBreak",
    "GraphBuild",
    "GraphLedger",
    "Mode",
    "UnsupportedError",
    "Variant",
    "watch",
]
__version__ = "0.1.0"
