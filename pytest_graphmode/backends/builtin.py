"""The backends that come with the plugin, as plain data, and their event sources made known to the watcher."""

from __future__ import annotations

from pytest_graphmode.backends.specs import BackendSpec, SourceSpec

BACKENDS = (
    BackendSpec(
        name="tf",
        modes=("graph", "session", "eager", "xla"),
        default_mode="graph",
        module="tensorflow",
        distributions=("tensorflow", "tensorflow-cpu", "tensorflow-intel", "tensorflow-macos", "tf-nightly"),
        target="pytest_graphmode.backends.tensorflow:TensorFlow",
        requires="pytest-graphmode[tf]",
        tested=("2.16", "2.21"),
        sources=(
            SourceSpec(
                ("tensorflow.python.eager.polymorphic_function.tracing_compilation",),
                "pytest_graphmode.backends.tensorflow.tracing:TracingSource",
            ),
            SourceSpec(
                ("tensorflow.python.client.session",), "pytest_graphmode.backends.tensorflow.growth:GrowthSource"
            ),
        ),
    ),
    BackendSpec(
        name="torch",
        modes=("eager", "compile"),
        default_mode="eager",
        module="torch",
        distributions=("torch",),
        target="pytest_graphmode.backends.torch:Torch",
        requires="pytest-graphmode[torch]",
        tested=("2.4", "2.15"),
        sources=(
            SourceSpec(("torch._dynamo.convert_frame",), "pytest_graphmode.backends.torch.dynamo.source:DynamoSource"),
            SourceSpec(("torch.nn.modules.module",), "pytest_graphmode.backends.torch.modules:ModuleSource"),
            SourceSpec(("torch.export._trace",), "pytest_graphmode.backends.torch.export:ExportSource"),
        ),
    ),
    BackendSpec(
        name="jax",
        modes=("jit", "eager"),
        default_mode="jit",
        module="jax",
        distributions=("jax",),
        target="pytest_graphmode.backends.jax:Jax",
        requires="pytest-graphmode[jax]",
        tested=("0.4.30", "0.12"),
        sources=(SourceSpec(("jax._src.pjit",), "pytest_graphmode.backends.jax.tracing:TracingSource"),),
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
