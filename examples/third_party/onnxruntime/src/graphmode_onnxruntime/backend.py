"""The backend itself: an `onnx.ModelProto`, its bytes or its file becomes an InferenceSession, which is the build."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import onnx
import onnxruntime

from pytest_graphmode.backends.base import Mode
from pytest_graphmode.backends.forward_only import Array, ForwardOnlyBackend, ForwardOnlyMode, Program
from pytest_graphmode.ledger.ledger import Argument, tensor_argument

_DTYPES: Final = {"float": "float32", "double": "float64"}
_CONTROL_FLOW: Final = {"Loop": "while", "If": "cond", "Scan": "scan"}


class Session(ForwardOnlyMode):
    """Runs ONNX models; `graphmode.function(model, **options)` passes options on to the InferenceSession."""

    backend = "onnxruntime"
    name = "session"

    def read(self, model: Any) -> bytes:
        if isinstance(model, onnx.ModelProto):
            model = model.SerializeToString()
        if isinstance(model, os.PathLike):
            return Path(model).read_bytes()
        if isinstance(model, bytes):
            return model
        raise TypeError(f"onnxruntime runs an onnx.ModelProto, its bytes or a path, not {type(model).__name__}")

    def build(self, data: bytes, **options: Any) -> Program:
        session = onnxruntime.InferenceSession(data, **{"providers": ["CPUExecutionProvider"], **options})
        names = [node.name for node in session.get_inputs()]
        graph = onnx.load_model_from_string(data).graph
        operators = [node.op_type for node in _nodes(graph)]

        def run(arrays: Sequence[Array]) -> Sequence[Array]:
            outputs: Sequence[Array] = session.run(None, dict(zip(names, arrays, strict=True)))
            return outputs

        return Program(
            name=graph.name,
            inputs=tuple(map(_described, session.get_inputs())),
            run=run,
            nodes=len(operators),
            control_flow=Counter(_CONTROL_FLOW[name] for name in operators if name in _CONTROL_FLOW),
        )


class OnnxRuntime(ForwardOnlyBackend):
    name = "onnxruntime"
    lib = onnxruntime

    def mode(self, name: str, device: str) -> Mode:
        return Session(device)

    def seed(self, seed: int) -> None:
        """Of random operators in sessions made from here on."""
        onnxruntime.set_seed(seed)


def _described(node: Any) -> Argument:
    """An input: `tensor(float)` is float32, and dimensions that are names (or nothing) are free."""
    dtype = node.type.removeprefix("tensor(").removesuffix(")")
    shape = [size if isinstance(size, int) else None for size in node.shape]
    return tensor_argument(node.name, _DTYPES.get(dtype, dtype), shape)


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The operators of a graph and of those in its loops and branches."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from _nodes(attribute.g)  # empty for an attribute that is no graph
