"""Sees the layers and models of Keras that run eagerly under a tape, in code that nobody wrapped.

Attached by `watcher.py` once both TensorFlow and Keras are imported.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras

from pytest_graphmode.backends.calls import depth
from pytest_graphmode.backends.tensorflow.internals import context, record
from pytest_graphmode.backends.tensorflow.patching import patched
from pytest_graphmode.backends.tensorflow.recording import TapeCounter
from pytest_graphmode.ledger import identity
from pytest_graphmode.ledger.watcher import Sink


class LayerSource:
    """Reports outermost calls of layers, models included; see `watcher.EventSource`."""

    def attach(self, sink: Sink) -> Callable[[], None]:
        tapes = TapeCounter()
        undo_recording = tapes.hear_python()
        undo_calls = patched((keras.layers.Layer, "__call__", lambda call: _calling(call, tapes, sink), ("self",)))

        def undo() -> None:
            undo_calls()
            undo_recording()

        return undo


def _calling(call: Callable[..., Any], tapes: TapeCounter, sink: Sink) -> Callable[..., Any]:
    executing_eagerly, could_possibly_record = context.executing_eagerly, record.could_possibly_record

    @functools.wraps(call)
    def calling(layer: Any, /, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if depth.inside or not could_possibly_record() or not executing_eagerly():
            return call(layer, *args, **kwargs)
        depth.inside = True
        before = tapes.look()
        try:
            with tapes.listening():
                result = call(layer, *args, **kwargs)
        finally:
            depth.inside = False
        nodes = tapes.look() - before
        if nodes:
            sink.eager_call("tf", "eager", identity.of(layer), nodes, tapes.last_structure)
        return result

    return calling
