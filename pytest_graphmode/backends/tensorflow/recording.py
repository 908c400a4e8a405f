"""Counts what gradient tapes record while TensorFlow runs eagerly: the nodes of tf:eager.

Entered by `eager.py` around a test. A tape keeps its graph in C++ and shows it to nobody, so each operation is asked
about as it runs, and only while a tape is open.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import tensorflow as tf

from pytest_graphmode.backends.patching import patched
from pytest_graphmode.backends.tensorflow.internals import SUPPORTED, context, record
from pytest_graphmode.ledger.watcher import watcher

_RECORDED: Final = ("op_type", "output_tensors", "input_tensors")


class _Thread(threading.local):
    """What the tapes of one thread have recorded: the nodes, and the structure of those since the last look."""

    def __init__(self) -> None:
        self.tapes = 0
        self.nodes = 0
        self.structure = 0
        self.last_structure = 0
        self.numbers: dict[int, int] = {}


class TapeCounter:
    """Counts the operations that any tape of a thread records."""

    def __init__(self) -> None:
        self._thread = _Thread()

    def look(self) -> int:
        """The nodes recorded so far in this thread; what is recorded from here on is a structure of its own."""
        thread = self._thread
        thread.last_structure, thread.structure = thread.structure, 0
        thread.numbers.clear()
        return thread.nodes

    def last_structure(self) -> str | None:
        """Equal for the same operations on each other's results, between the last two looks."""
        found = self._thread.last_structure
        return f"{found:08x}" if found else None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Count in the block, in every thread; graphs called and custom gradients are told to tapes from Python."""
        undo = patched(
            SUPPORTED,
            (tf.GradientTape, "__enter__", self._entering, ("self",)),
            (tf.GradientTape, "__exit__", self._exiting, ("self",)),
            (record, "record_operation", self._recording, _RECORDED),
            (record, "record_operation_backprop_only", self._recording, _RECORDED),
        )
        try:
            yield
        finally:
            undo()

    def _entering(self, enter: Callable[..., Any]) -> Callable[..., Any]:
        def entering(tape: Any) -> Any:
            self._thread.tapes += 1
            context.context().add_op_callback(self._ran)
            return enter(tape)

        return entering

    def _exiting(self, leave: Callable[..., Any]) -> Callable[..., Any]:
        def exiting(tape: Any, *error: Any) -> Any:
            self._thread.tapes -= 1
            if not self._thread.tapes:
                context.context().remove_op_callback(self._ran)
                self._thread.numbers.clear()
            return leave(tape, *error)

        return exiting

    def _ran(
        self, kind: Any, inputs: Any, attrs: Any, outputs: Any, op_name: str | None = None, graph: Any = None
    ) -> None:
        """An operation ran; one that is put in a graph is not recorded by itself."""
        if graph is None and record.should_record_backprop(inputs):
            self._count(kind, inputs, outputs)

    def _recording(self, record_operation: Callable[..., Any]) -> Callable[..., Any]:
        def recording(kind: Any, outputs: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            if context.executing_eagerly() and record.should_record_backprop(inputs):
                self._count(kind, inputs, outputs)
            return record_operation(kind, outputs, inputs, *args, **kwargs)

        return recording

    def _count(self, kind: Any, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        thread = self._thread
        thread.nodes += 1
        recorder = watcher.current
        if recorder is not None and recorder.structures:
            numbers = thread.numbers
            ids = [getattr(tensor, "_id", None) for tensor in inputs]
            edges = [numbers.setdefault(one, len(numbers)) for one in ids if one is not None]
            for tensor in outputs:
                numbers.setdefault(getattr(tensor, "_id", 0), len(numbers))
            thread.structure = zlib.crc32(f"{kind}{edges}".encode(), thread.structure)
