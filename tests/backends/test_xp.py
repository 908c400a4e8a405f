"""`graphmode.xp` against NumPy: values, shapes, dtypes and gradients, in every way each framework runs a function."""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.backends.xp_table import TABLE, Row

pytestmark = [
    pytest.mark.table,
    # tf.cast and Tensor.to warn when the imaginary part of zero is dropped, as NumPy does.
    pytest.mark.filterwarnings("ignore:Casting complex values to real discards:UserWarning"),
]

Call = Callable[..., Any]
Arrays = list[np.ndarray]


class Eager:
    """Runs functions of a framework's tensors; subclasses know the framework."""

    dtypes: tuple[str, ...] = ("float32", "float64")
    every = 1
    """Of the table one row in so many, where a mode is slow and differs from a faster one in few places."""
    differentiates = True

    def gradient(self, function: Call, values: Arrays, wrt: int, weights: Arrays) -> np.ndarray:
        raise NotImplementedError

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
    differentiates = False

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

    dtypes = ("float64",)

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
    """Without a graph break, or it fails."""

    dtypes = ("float64",)
    every = 9

    def wrap(self, function: Call) -> Call:
        self.torch._dynamo.reset()
        return self.torch.compile(function, backend="aot_eager", fullgraph=True)


class JaxEager(Eager):
    every = 7

    def __init__(self) -> None:
        self.jax = pytest.importorskip("jax")

    def namespace(self, dtype: str) -> Any:
        from pytest_graphmode.backends.jax.namespace import JaxNamespace

        return JaxNamespace(self.place, lambda: dtype)

    def place(self, array: np.ndarray, name: str) -> Any:
        return self.jax.numpy.asarray(np.asarray(array).astype(name))

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """With float64, and without the optimisations that make every first call slow."""
        from jax import experimental

        with (self.jax if hasattr(self.jax, "enable_x64") else experimental).enable_x64(True):
            self.jax.config.update("jax_disable_most_optimizations", True)
            try:
                yield
            finally:
                self.jax.config.update("jax_disable_most_optimizations", False)

    def gradient(self, function: Call, values: Arrays, wrt: int, weights: Arrays) -> np.ndarray:
        def total(*tensors: Any) -> Any:
            results = leaves(function(*tensors))
            return sum((w * leaf).sum() for w, leaf in zip(weights, results, strict=True))

        tensors = [self.place(value, value.dtype.name) for value in values]
        return np.asarray(self.wrap(self.jax.grad(total, wrt))(*tensors))


class JaxJit(JaxEager):
    dtypes = ("float64",)
    every = 1

    def wrap(self, function: Call) -> Call:
        return self.jax.jit(function)


MODES = {
    "numpy": NumpyEager,
    "tf-eager": TensorFlowEager,
    "tf-graph": TensorFlowGraph,
    "tf-unknown": TensorFlowUnknown,
    "torch-eager": TorchEager,
    "torch-compile": TorchCompile,
    "jax-eager": JaxEager,
    "jax-jit": JaxJit,
}


@functools.cache
def made(mode: str) -> Eager:
    return MODES[mode]()


@pytest.fixture(params=["numpy", "tf-eager", "torch-eager", "jax-eager"])
def mode(request: pytest.FixtureRequest) -> Iterator[Eager]:
    mode = made(request.param)
    with mode.scope():
        yield mode


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
        if row.wrt is not None and dtype == "float64" and mode.differentiates:
            weights = weights_for(wanted)
            slope = numeric_gradient(numpy, values, row.wrt, weights)
            np.testing.assert_allclose(mode.gradient(call, values, row.wrt, weights), slope, rtol=1e-6, atol=1e-7)


CASES = [
    pytest.param(name, dtype, row, id=f"{name}-{dtype}-{row.name}")
    for name, mode in MODES.items()
    for dtype in mode.dtypes
    for row in TABLE[:: mode.every]
    if name not in row.refused_by and row.numpy <= int(np.__version__.partition(".")[0])
]


@pytest.mark.parametrize(("name", "dtype", "row"), CASES)
def test_equals_numpy(name: str, dtype: str, row: Row) -> None:
    check(made(name), row, dtype)


class Faulty(NumpyEager):
    """A namespace whose `sum` and gradient are what the test gives it."""

    differentiates = True

    def __init__(self, function: Call, slope: float) -> None:
        self.function, self.slope = function, slope

    def namespace(self, dtype: str) -> Any:
        return types.SimpleNamespace(sum=self.function)

    def gradient(self, function: Call, values: Arrays, wrt: int, weights: Arrays) -> np.ndarray:
        return np.full_like(values[wrt], self.slope * weights[0])


SUM = Row("sum", lambda xp, x: xp.sum(x), (np.array([1.0, 2.0, 4.0]),))


def test_the_comparison_passes_what_is_right() -> None:
    check(Faulty(np.sum, 1.0), SUM, "float64")


@pytest.mark.parametrize(
    ("function", "slope", "message"),
    [
        (lambda x: np.sum(x) * (1 + 1e-9), 1.0, "Not equal to tolerance"),
        (lambda x: np.sum(x).astype("float32"), 1.0, "dtype float32, NumPy has float64"),
        (lambda x: np.sum(x, keepdims=True), 1.0, "shape"),
        (lambda x: (np.sum(x), np.sum(x)), 1.0, "assert 2 == 1"),
        (np.sum, 1.00001, "Not equal to tolerance"),
    ],
    ids=["value", "dtype", "shape", "count", "gradient"],
)
def test_the_comparison_notices_what_is_wrong(function: Call, slope: float, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check(Faulty(function, slope), SUM, "float64")


def test_an_unknown_name_says_what_there_is_instead(mode: Eager) -> None:
    xp = mode.namespace("float32")
    with pytest.raises(AttributeError, match=r"no 'relu': it holds NumPy-named functions .* graphmode\.pick"):
        xp.relu  # noqa: B018
    with pytest.raises(AttributeError, match=r"xp\.linalg has no 'expm': .* graphmode\.lib"):
        xp.linalg.expm  # noqa: B018
    assert not hasattr(xp, "softmax")


def test_python_scalars_are_weak(mode: Eager) -> None:
    xp = mode.namespace("float32")
    half, double, whole = (mode.place(np.ones(2), name) for name in ("float16", "float64", "int32"))
    assert names(mode, xp.multiply(half, 2.0), xp.add(double, 1), xp.add(whole, 1)) == ["float16", "float64", "int32"]
    assert names(mode, xp.maximum(0.0, half), xp.where(whole > 0, half, 0.0)) == ["float16", "float16"]
    assert names(mode, xp.add(whole, 0.5), xp.multiply(half, 1j)) == ["float64", "complex64"]


def test_what_is_made_from_numbers_has_the_default_dtype_of_the_moment(mode: Eager) -> None:
    defaults = ["float32"]
    xp = type(mode.namespace("float32"))(mode.place, lambda: defaults[0])
    for default in ("float32", "float64"):
        defaults[0] = default
        made = [xp.zeros(2), xp.ones((2, 1)), xp.full(3, 0.5), xp.eye(2), xp.linspace(0, 1, 3), xp.arange(0.0, 2.0)]
        made += [xp.array([1, 2.5]), xp.sin(1.0), xp.sqrt(2), xp.sum([0.5, 1.5]), xp.asarray(0.5), xp.tri(2)]
        assert names(mode, *made) == [default] * len(made)
        assert names(mode, xp.array([1j])) == [{"float32": "complex64", "float64": "complex128"}[default]]


def test_lists_of_ints_are_int32_and_numpy_integers_stay(mode: Eager) -> None:
    xp = mode.namespace("float32")
    made = [xp.array([1, 2]), xp.asarray(3), xp.array([True]), xp.arange(3), xp.full(2, 3)]
    assert names(mode, *made) == ["int32", "int32", "bool", "int64", "int64"]
    if not isinstance(mode, NumpyEager):
        assert names(mode, xp.negative(np.ones(2, "int16")), xp.negative(np.ones(2))) == ["int16", "float32"]


def test_a_dtype_can_be_written_in_every_way(mode: Eager) -> None:
    xp = mode.namespace("float32")
    for dtype in ("int16", np.int16, np.dtype("int16"), xp.int16):
        assert names(mode, xp.zeros(2, dtype=dtype), xp.astype([1.5], dtype)) == ["int16", "int16"]
    assert names(mode, xp.zeros(2, dtype=float), xp.zeros(2, dtype=int), xp.zeros(2, bool)) == [
        "float32",
        "int64",
        "bool",
    ]


def test_numbers_reach_a_wider_dtype_unrounded(mode: Eager) -> None:
    xp = mode.namespace("float32")
    made = [xp.array([0.1], dtype="float64"), xp.astype(np.array([0.1]), "float64"), xp.full(1, 0.1, "float64")]
    assert [mode.numpy(tensor).tolist() for tensor in made] == [[0.1]] * 3
    assert mode.numpy(xp.array([2**40], dtype="int64")).tolist() == [2**40]


def test_refused_dtypes_are_named(mode: Eager) -> None:
    xp = mode.namespace("float32")
    with pytest.raises(TypeError, match=r"xp\.bitwise_and takes no float32 argument, as numpy\.bitwise_and takes none"):
        xp.bitwise_and(xp.ones(2), xp.ones(2))


def test_constants_and_shapes(mode: Eager) -> None:
    xp = mode.namespace("float32")
    x = xp.zeros((2, 3))
    assert (xp.pi, xp.e, xp.newaxis) == (np.pi, np.e, None)
    assert np.isnan(xp.nan)
    assert (xp.shape(x), xp.ndim(x), xp.size(x), xp.size(x, 1)) == ((2, 3), 2, 6, 3)
    assert xp.finfo(x.dtype).eps == np.finfo("float32").eps
    assert xp.result_type(x, xp.int32) == xp.float64


def names(mode: Eager, *tensors: Any) -> list[str]:
    return [mode.numpy(tensor).dtype.name for tensor in tensors]


def test_jax_without_x64_has_the_narrow_dtypes() -> None:
    mode = made("jax-eager")
    xp = mode.namespace("float32")
    whole, single = mode.place(np.ones(2), "int32"), mode.place(np.ones(2), "float32")
    made_ = [xp.sum(whole), xp.argmax(whole), xp.arange(3), xp.mean(whole), xp.add(whole, single), xp.sin(whole)]
    assert names(mode, *made_) == ["int32"] * 3 + ["float32"] * 3
    assert names(mode, xp.full(2, 3), xp.median([1.0, 2.0]), xp.cov([1.0, 2.0])) == ["int32", "float32", "float32"]


@pytest.mark.parametrize("name", ["tf-eager", "torch-eager", "jax-eager"])
def test_bfloat16_promotes(name: str) -> None:
    mode = made(name)
    xp = mode.namespace("float32")
    narrow = xp.astype([1.0, 2.0], "bfloat16")
    assert xp.add(narrow, 2.0).dtype == xp.sum(narrow).dtype == xp.exp(narrow).dtype == xp.bfloat16
    assert xp.add(narrow, xp.ones(2)).dtype == xp.float32


def test_tensorflow_variables_and_autograph() -> None:
    """Users' own tf.function converts what it calls, the namespace too."""
    mode = made("tf-eager")
    assert isinstance(mode, TensorFlowEager)
    xp, variable = mode.namespace("float32"), mode.tf.Variable([3.0, 1.0, 2.0])

    @mode.tf.function
    def function(x: Any) -> Any:
        return xp.median(xp.multiply(x, variable)), xp.pad(x, 1, mode="reflect"), xp.linalg.norm(x)

    with mode.tf.GradientTape() as tape:
        median, padded, norm = function(mode.tf.constant([1.0, 1.0, 1.0]))
    assert float(median) == 2.0
    assert padded.numpy().tolist() == [1.0] * 5
    assert float(norm) == pytest.approx(3**0.5)
    assert mode.tf.convert_to_tensor(tape.gradient(median, variable)).numpy().tolist() == [0.0, 0.0, 1.0]


def test_sizes_that_must_be_known_are_named() -> None:
    mode = made("tf-unknown")
    xp = mode.namespace("float32")
    with pytest.raises(
        ValueError, match=r"size of axis 0 decides how many operations there are: give it a static size"
    ):
        mode.run(lambda p: xp.polyval(p, 2.0), [np.ones(3, "float32")])


def test_torch_parameters_are_differentiated() -> None:
    mode = made("torch-eager")
    assert isinstance(mode, TorchEager)
    parameter = mode.torch.nn.Parameter(mode.torch.tensor([3.0, 1.0]))
    mode.namespace("float32").sum(parameter).backward()
    assert parameter.grad is not None
    assert parameter.grad.tolist() == [1.0, 1.0]
