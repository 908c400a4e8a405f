"""Offers Caffe networks to pytest-graphmode. pytest imports this in every run, so it imports no framework."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_graphmode import BackendSpec

SPEC = BackendSpec(
    name="caffe",
    modes=("net",),
    default_mode="net",
    module="cv2",
    distributions=("opencv-python-headless", "opencv-python", "opencv-contrib-python"),
    target="graphmode_caffe.backend:Caffe",
    requires="'opencv-python-headless<5'",
)


@pytest.hookimpl(optionalhook=True)  # pytest starts without pytest-graphmode too
def pytest_graphmode_backends() -> Sequence[BackendSpec]:
    return [SPEC]
