"""The backend itself: a network in prototxt, given as a string, becomes a cv2.dnn.Net, which is the build.

Layers without weights need nothing else. Inner products and convolutions take theirs as a second `bottom`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

import cv2
import numpy as np

from pytest_graphmode import UnsupportedError
from pytest_graphmode.backends.base import Mode
from pytest_graphmode.backends.forward_only import Array, ForwardOnlyBackend, ForwardOnlyMode, Program
from pytest_graphmode.ledger.ledger import Argument, tensor_argument

_NAME: Final = re.compile(r'^\s*name:\s*"([^"]*)"', re.MULTILINE)
_INPUT: Final = re.compile(r'\binput:\s*"([^"]+)"\s*input_shape:?\s*\{([^}]*)\}')


class Net(ForwardOnlyMode):
    """Runs networks; `graphmode.function(prototxt, fusion=True)` lets OpenCV fuse layers."""

    backend = "caffe"
    name = "net"

    def read(self, model: Any) -> bytes:
        if not isinstance(model, str):
            raise TypeError(f"caffe runs networks given as the text of a prototxt, not {type(model).__name__}")
        return model.encode()

    def build(self, data: bytes, *, fusion: bool = False) -> Program:
        """Fusion is off, since OpenCV 4.14 loses an activation after an inner product whose weights are an input."""
        inputs = _inputs(data.decode())
        net = cv2.dnn.readNetFromCaffe(np.frombuffer(data, np.uint8))
        net.enableFusion(fusion)
        outputs = net.getUnconnectedOutLayersNames()

        def run(arrays: Sequence[Array]) -> Sequence[Array]:
            for argument, array in zip(inputs, arrays, strict=True):
                net.setInput(array, argument.name)
            results: Sequence[Array] = net.forward(outputs)
            return results

        name = _NAME.search(data.decode())
        return Program(name[1] if name else "net", inputs, run, nodes=len(net.getLayerNames()))


class Caffe(ForwardOnlyBackend):
    name = "caffe"
    lib = cv2

    def mode(self, name: str, device: str) -> Mode:
        return Net(device)

    def precision(self, dtype: str) -> AbstractContextManager[None]:
        if dtype != "float32":
            raise UnsupportedError(f"OpenCV's Caffe networks compute in float32, not {dtype}")
        return nullcontext()

    def seed(self, seed: int) -> None:
        cv2.setRNGSeed(seed)

    @contextmanager
    def isolate(self) -> Iterator[None]:
        threads, optimized = cv2.getNumThreads(), cv2.useOptimized()
        try:
            with super().isolate():
                yield
        finally:
            cv2.setNumThreads(threads)
            cv2.setUseOptimized(optimized)


def _inputs(prototxt: str) -> tuple[Argument, ...]:
    """The inputs and their fixed shapes, which a cv2.dnn.Net does not tell."""
    found = [
        tensor_argument(name, "float32", list(map(int, re.findall(r"\d+", shape))))
        for name, shape in _INPUT.findall(prototxt)
    ]
    if not found:
        raise ValueError('the prototxt declares no input: write input: "x" input_shape { dim: 1 dim: 3 } for each')
    return tuple(found)
