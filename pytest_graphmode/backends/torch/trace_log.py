"""What torch's own experts ask for: the structured log of compilations, which `tlparse` makes a page of.

Used by `--graph-trace`. torch writes it where the environment variable TORCH_TRACE says, which is read once, when torch
is imported; no public function changes that, so this adds a handler of torch's own class to torch's own logger.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from pytest_graphmode.errors import UnsupportedError

try:
    from torch._logging._internal import LazyTraceHandler, TorchLogsFormatter, trace_structured
    from torch._logging.structured import INTERN_TABLE
except ImportError as error:
    raise UnsupportedError(
        f"torch {torch.__version__} is not as it was ({error}), so its log of compilations can't be kept: use torch "
        "2.4 to 2.15, or a later pytest-graphmode"
    ) from error


class _Handler(LazyTraceHandler):  # type: ignore[misc]
    """Writes a file that can be read by itself: torch gives a number to each name of a file once in a process."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self._begun = False

    def emit(self, record: logging.LogRecord) -> None:
        if not self._begun:
            self._begun = True
            for text, number in list(INTERN_TABLE.items()):
                trace_structured("str", lambda pair=(text, number): pair, suppress_context=True)
        super().emit(record)


class TraceLog:
    """A `Tracer`: the files are made once something is compiled."""

    def __init__(self) -> None:
        self._logger: logging.Logger = logging.getLogger("torch.__trace")
        self._handler: Any = None

    def start(self, folder: Path) -> None:
        self._handler = _Handler(folder)
        self._handler.setFormatter(TorchLogsFormatter(trace=True))
        self._logger.addHandler(self._handler)

    def stop(self) -> None:
        handler, self._handler = self._handler, None
        if handler is not None:
            self._logger.removeHandler(handler)
            handler.close()

    def end(self) -> None:
        """Nothing else was changed."""
