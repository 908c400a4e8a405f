"""A runtime in miniature that only runs models forward: a model is text, `"x, y: x + y"`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_graphmode import BackendSpec
from pytest_graphmode.backends.base import Mode
from pytest_graphmode.backends.forward_only import Array, ForwardOnlyBackend, ForwardOnlyMode, Program
from pytest_graphmode.ledger.ledger import tensor_argument

SPEC = BackendSpec(
    name="calculator",
    modes=("sums",),
    default_mode="sums",
    module="numpy",
    distributions=("calculator",),
    target="calculator:Calculator",
)


class Sums(ForwardOnlyMode):
    backend = "calculator"
    name = "sums"

    def read(self, model: Any) -> bytes:
        if not isinstance(model, str):
            raise TypeError(f"calculator runs text, not {type(model).__name__}")
        return model.encode()

    def build(self, data: bytes, *, shape: Sequence[int | None] | None = None, dtype: str = "float32") -> Program:
        names, _, body = data.decode().partition(":")
        inputs = tuple(tensor_argument(name.strip(), dtype, shape) for name in names.split(",") if name.strip())
        code = compile(body.strip(), "<calculator>", "eval")

        def run(arrays: Sequence[Array]) -> Sequence[Array]:
            named = {argument.name: array for argument, array in zip(inputs, arrays, strict=True)}
            result = eval(code, {}, named)
            return result if isinstance(result, tuple) else (result,)

        return Program("model", inputs, run, nodes=body.count("*") + body.count("+"))


class Calculator(ForwardOnlyBackend):
    name = "calculator"

    def mode(self, name: str, device: str) -> Mode:
        return Sums(device)
