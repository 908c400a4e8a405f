"""`graphmode.xp` against NumPy: values, shapes, dtypes and gradients, in every way each framework runs a function."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from xp_table import TABLE, Row

pytestmark = [
    # tf.cast and Tensor.to warn when the imaginary part of zero is dropped, as NumPy does.
    pytest.mark.filterwarnings("ignore:Casting complex values to real discards:UserWarning"),
]

Call = Callable[..., Any]
Arrays = list[np.ndarray]
ROWS = [pytest.param(row, id=row.name) for row in TABLE]
COMPILED = ROWS[:: int(__import__("os").environ.get("STEP", "9"))]


class Eager:
    """Runs functions of a framework's tensors; subclasses know the framework."""

    name: str

    def namespace(self, dtype: str) -> Any:
        raise NotImplementedError

    def place(self, array: np.ndarray, name: str) -> Any:
        raise NotImplementedError

    def wrap(self, function: Call) -> Call:
        return function

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def numpy(self, tensor: Any) -> np.ndarray:
        return np.asarray(tensor)

    def run(self, function: Call, values: Arrays) -> Arrays:
        tensors = [self.place(value, value.dtype.name) for value in values]
        return [self.numpy(leaf) for leaf in self.wrap(lambda *args: leaves(function(*args)))(*tensors)]


class NumpyEager(Eager):
    def namespace(self, dtype: str) -> Any:
        from pytest_graphmode.backends.numpy_namespace import NumpyNamespace

        return NumpyNamespace(self.place, lambda: dtype)

    def place(self, array: np.ndarray, name: str) -> Any:
        return np.asarray(array).astype(name)


class TensorFlowEager(Eager):
    def __init__(self) -> None:
        self.tf = pytest.importorskip("tensorflow")

    def namespace(self, dtype: str) -> Any:
        from pytest_graphmode.backends.tensorflow.namespace import TensorFlowNamespace

        return TensorFlowNamespace(self.place, lambda: dtype)

    def place(self, array: np.ndarray, name: str) -> Any:
        return self.tf.constant(np.asarray(array).astype(name))

    def gradient(self, function: Call, values: Arrays, wrt: int, weights: Arrays) -> np.ndarray:
        tf = self.tf

        def weigh(weight: np.ndarray, leaf: Any) -> Any:
            return tf.reduce_sum(weight * leaf)

        def derivative(*tensors: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(tensors[wrt])
                total = tf.add_n(list(map(weigh, weights, leaves(function(*tensors)))))
            return tf.convert_to_tensor(tape.gradient(total, tensors[wrt]))

        tensors = [self.place(value, value.dtype.name) for value in values]
        return self.numpy(self.wrap(derivative)(*tensors))


class TensorFlowGraph(TensorFlowEager):
    def wrap(self, function: Call) -> Call:
        return self.tf.function(function, autograph=False)


class TensorFlowUnknown(TensorFlowEager):
    """A graph built without knowing any size."""

    def wrap(self, function: Call) -> Call:
        def call(*tensors: Any) -> Any:
            signature = [self.tf.TensorSpec([None] * x.shape.rank, x.dtype) for x in tensors]
            return self.tf.function(function, input_signature=signature, autograph=False)(*tensors)

        return call


class TorchEager(Eager):
    def __init__(self) -> None:
        self.torch = pytest.importorskip("torch")

    def namespace(self, dtype: str) -> Any:
        from pytest_graphmode.backends.torch.namespace import TorchNamespace

        return TorchNamespace(self.place, lambda: dtype)

    def place(self, array: np.ndarray, name: str) -> Any:
        return self.torch.tensor(array, dtype=getattr(self.torch, name))

    def numpy(self, tensor: Any) -> np.ndarray:
        return tensor.detach().numpy()

    def gradient(self, function: Call, values: Arrays, wrt: int, weights: Arrays) -> np.ndarray:
        tensors = [self.place(value, value.dtype.name) for value in values]
        tensors[wrt].requires_grad_()
        results = self.wrap(lambda *args: leaves(function(*args)))(*tensors)
        total = sum((self.torch.as_tensor(w) * leaf).sum() for w, leaf in zip(weights, results, strict=True))
        (gradient,) = self.torch.autograd.grad(total, tensors[wrt])
        return gradient.numpy()


class TorchCompile(TorchEager):
    def wrap(self, function: Call) -> Call:
        self.torch._dynamo.reset()
        return self.torch.compile(function, backend="aot_eager", fullgraph=True)


class JaxEager(Eager):
    def __init__(self) -> None:
        self.jax = pytest.importorskip("jax")
        self.jax.config.update("jax_disable_most_optimizations", True)

    def namespace(self, dtype: str) -> Any:
        from pytest_graphmode.backends.jax.namespace import JaxNamespace

        return JaxNamespace(self.place, lambda: dtype)

    def place(self, array: np.ndarray, name: str) -> Any:
        return self.jax.numpy.asarray(np.asarray(array).astype(name))

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        from jax import experimental

        return (self.jax if hasattr(self.jax, "enable_x64") else experimental).enable_x64(True)

    def gradient(self, function: Call, values: Arrays, wrt: int, weights: Arrays) -> np.ndarray:
        def total(*tensors: Any) -> Any:
            results = leaves(function(*tensors))
            return sum((w * leaf).sum() for w, leaf in zip(weights, results, strict=True))

        tensors = [self.place(value, value.dtype.name) for value in values]
        return np.asarray(self.wrap(self.jax.grad(total, wrt))(*tensors))


class JaxJit(JaxEager):
    def wrap(self, function: Call) -> Call:
        return self.jax.jit(function)


MODES = {
    "numpy": NumpyEager,
    "tf-eager": TensorFlowEager,
    "tf-graph": TensorFlowGraph,
    "tf-unknown": TensorFlowUnknown,
    "torch-eager": TorchEager,
    "jax-eager": JaxEager,
    "jax-jit": JaxJit,
}


@pytest.fixture(params=MODES, scope="module")
def mode(request: pytest.FixtureRequest) -> Eager:
    made: Eager = MODES[request.param]()
    made.name = request.param
    return made


@pytest.fixture(scope="module")
def compiled() -> TorchCompile:
    return TorchCompile()


def leaves(result: Any) -> list[Any]:
    """The arrays of a result that may be a sequence of them."""
    return [leaf for part in result for leaf in leaves(part)] if isinstance(result, (tuple, list)) else [result]


def weights_for(results: list[Any]) -> Arrays:
    """Weights for every result, the same in every framework, that make one number to differentiate."""
    return [np.random.default_rng(place).uniform(0.5, 1.5, np.shape(one)) for place, one in enumerate(results)]


def arguments(row: Row, dtype: str) -> Arrays:
    """The row's arguments, floating and complex ones in the dtype under test."""
    kinds = {"f": dtype, "c": {"float32": "complex64", "float64": "complex128"}[dtype]}
    return [value.astype(kinds.get(value.dtype.kind, value.dtype)) for value in row.arguments]


def assert_same(actual: Arrays, wanted: list[Any]) -> None:
    """Equal dtypes and shapes, and values within the roundings of the dtype."""
    assert len(actual) == len(wanted)
    for one, other in zip(actual, map(np.asarray, wanted), strict=True):
        assert one.dtype == other.dtype, f"dtype {one.dtype}, NumPy has {other.dtype}"
        assert one.shape == other.shape, f"shape {one.shape}, NumPy has {other.shape}"
        tolerance = 200 * np.finfo(one.dtype).eps if one.dtype.kind in "fc" else 0
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def numeric_gradient(function: Call, values: Arrays, wrt: int, weights: Arrays) -> np.ndarray:
    """Central differences of the weighted sum of NumPy's results, in float64."""

    def total(shifted: np.ndarray) -> float:
        changed = [shifted if place == wrt else value for place, value in enumerate(values)]
        return sum(np.sum(w * leaf) for w, leaf in zip(weights, leaves(function(*changed)), strict=True))

    gradient, step = np.empty_like(values[wrt]), 1e-6
    for index in np.ndindex(gradient.shape):
        shift = np.zeros_like(gradient)
        shift[index] = step
        gradient[index] = (total(values[wrt] + shift) - total(values[wrt] - shift)) / (2 * step)
    return gradient


def check(mode: Eager, row: Row, dtype: str) -> None:
    """The row in one mode and dtype against NumPy, with its gradient in float64."""
    values = arguments(row, dtype)
    with mode.scope(), np.errstate(all="ignore"):
        namespace, numpy_call = mode.namespace(dtype), row.numpy_call or row.call

        def call(*tensors: Any) -> Any:
            return row.call(namespace, *tensors)

        def numpy(*arrays: np.ndarray) -> Any:
            return numpy_call(np, *arrays)

        wanted = leaves(numpy(*values))
        assert_same(mode.run(call, values), wanted)
        if row.wrt is not None and dtype == "float64" and not isinstance(mode, NumpyEager):
            weights = weights_for(wanted)
            slope = numeric_gradient(numpy, values, row.wrt, weights)
            np.testing.assert_allclose(mode.gradient(call, values, row.wrt, weights), slope, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equals_numpy(mode: Eager, row: Row, dtype: str) -> None:
    if mode.name in row.refused_by:
        pytest.skip("needs sizes that this mode does not know")
    check(mode, row, dtype)


@pytest.mark.parametrize("row", COMPILED)
def test_equals_numpy_under_torch_compile_without_a_break(compiled: TorchCompile, row: Row) -> None:
    check(compiled, row, "float64")
