"""The backends that come with the plugin, as plain data."""

from __future__ import annotations

from pytest_graphmode.backends.base import BackendSpec

BACKENDS = (
    BackendSpec(
        name="tf",
        modes=("graph", "eager"),
        default_mode="graph",
        module="tensorflow",
        distributions=("tensorflow", "tensorflow-cpu", "tensorflow-intel", "tensorflow-macos", "tf-nightly"),
        target="pytest_graphmode.backends.tensorflow:TensorFlow",
        requires="pytest-graphmode[tf]",
    ),
    BackendSpec(
        name="torch",
        modes=("eager",),
        default_mode="eager",
        module="torch",
        distributions=("torch",),
        target="pytest_graphmode.backends.torch:Torch",
        requires="pytest-graphmode[torch]",
    ),
    BackendSpec(
        name="numpy",
        modes=("eager",),
        default_mode="eager",
        module="numpy",
        distributions=("numpy",),
        target="pytest_graphmode.backends.numpy:NumPy",
    ),
)
