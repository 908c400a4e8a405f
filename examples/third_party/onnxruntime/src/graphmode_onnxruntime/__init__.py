"""Offers ONNX Runtime to pytest-graphmode. pytest imports this in every run, so it imports no framework."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_graphmode import BackendSpec

SPEC = BackendSpec(
    name="onnxruntime",
    modes=("session",),
    default_mode="session",
    module="onnxruntime",
    distributions=("onnxruntime", "onnxruntime-gpu"),
    target="graphmode_onnxruntime.backend:OnnxRuntime",
)


@pytest.hookimpl(optionalhook=True)  # pytest starts without pytest-graphmode too
def pytest_graphmode_backends() -> Sequence[BackendSpec]:
    return [SPEC]
