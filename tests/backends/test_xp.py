"""`graphmode.xp` against NumPy: values, shapes, dtypes and gradients, in every way each framework runs a function."""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_graphmode.backends.xp.arrays import ALIASES
from tests.backends.xp_table import ARGUMENTS, EAGER, EVERYWHERE, STATIC, Row

pytestmark = [
    pytest.mark.table,
    # tf.cast and Tensor.to warn when the imaginary part of zero is dropped, as NumPy does.
    pytest.mark.filterwarnings("ignore:Casting complex values to real discards:UserWarning"),
]

Call = Callable[..., Any]
Arrays = dict[str, np.ndarray]
BIG = 2**40


class Framework:
    """Runs functions of a dict of a framework's tensors; subclasses know the framework."""

    module: str

    def namespace(self, dtype: str) -> Any:
        module = importlib.import_module(f"pytest_graphmode.backends.{self.module}")
        return getattr(module, f"{type(self).__name__}Namespace")(self.place, lambda: dtype)

    def place(self, array: np.ndarray, name: str) -> Any:
        raise NotImplementedError

    def gradients(self, total: Call, tensors: dict[str, Any], wrap: Call) -> dict[str, Any]:
        raise NotImplementedError

    def numpy(self, tensor: Any) -> np.ndarray:
        return np.asarray(tensor)

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()


class Numpy(Framework):
    module = "numpy_namespace"

    def place(self, array: np.ndarray, name: str) -> Any:
        return np.asarray(array).astype(name)


class TensorFlow(Framework):
    module = "tensorflow.namespace"

    def __init__(self) -> None:
        self.tf = pytest.importorskip("tensorflow")

    def place(self, array: np.ndarray, name: str) -> Any:
        return self.tf.constant(np.asarray(array).astype(name))

    def gradients(self, total: Call, tensors: dict[str, Any], wrap: Call) -> dict[str, Any]:
        def derivative(tensors: dict[str, Any]) -> Any:
            with self.tf.GradientTape() as tape:
                tape.watch(tensors)
                value = total(tensors)
            return tape.gradient(value, tensors, unconnected_gradients="zero")

        return {name: self.tf.convert_to_tensor(one) for name, one in wrap(derivative)(tensors).items()}


class Torch(Framework):
    module = "torch.namespace"

    def __init__(self) -> None:
        self.torch = pytest.importorskip("torch")

    def place(self, array: np.ndarray, name: str) -> Any:
        return self.torch.tensor(array, dtype=getattr(self.torch, name))

    def numpy(self, tensor: Any) -> np.ndarray:
        return tensor.detach().resolve_conj().numpy()

    def gradients(self, total: Call, tensors: dict[str, Any], wrap: Call) -> dict[str, Any]:
        tensors = {name: tensor.clone().requires_grad_() for name, tensor in tensors.items()}
        found = self.torch.autograd.grad(wrap(total)(tensors), list(tensors.values()), materialize_grads=True)
        return dict(zip(tensors, found, strict=True))


class Jax(Framework):
    module = "jax.namespace"

    def __init__(self) -> None:
        self.jax = pytest.importorskip("jax")

    def place(self, array: np.ndarray, name: str) -> Any:
        return self.jax.numpy.asarray(np.asarray(array).astype(name))

    def gradients(self, total: Call, tensors: dict[str, Any], wrap: Call) -> dict[str, Any]:
        found: dict[str, Any] = wrap(self.jax.grad(total))(tensors)
        return found

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


FRAMEWORKS = {"numpy": Numpy, "tf": TensorFlow, "torch": Torch, "jax": Jax}


@functools.cache
def made(name: str) -> Framework:
    return FRAMEWORKS[name]()


@pytest.fixture(params=list(FRAMEWORKS))
def framework(request: pytest.FixtureRequest) -> Iterator[Framework]:
    framework = made(request.param)
    with framework.scope():
        yield framework


def leaves(result: Any) -> list[Any]:
    """The arrays of a result that may be a sequence of them."""
    return [leaf for part in result for leaf in leaves(part)] if isinstance(result, (tuple, list)) else [result]


def arguments(names: Any, dtype: str) -> Arrays:
    """Arguments of the table, floating and complex ones in the dtype under test."""
    kinds = {"f": dtype, "c": {"float32": "complex64", "float64": "complex128"}[dtype]}
    return {
        name: ARGUMENTS[name].astype(kinds.get(ARGUMENTS[name].dtype.kind, ARGUMENTS[name].dtype)) for name in names
    }


def weighted(result: Any) -> list[np.ndarray]:
    """Weights for every array of a result, the same everywhere, that make one number to differentiate."""
    return [np.random.default_rng(at).uniform(0.5, 1.5, np.shape(one)) for at, one in enumerate(leaves(result))]


@functools.cache
def expected(row: Row, dtype: str) -> Any:
    """NumPy's result; rows that this NumPy can't do are skipped where they stand alone."""
    values = arguments(row.names, dtype)
    with np.errstate(all="ignore"):
        return row.call(np, **values)


@functools.cache
def slopes(row: Row) -> Arrays:
    """Central differences of the weighted sum of NumPy's results, in float64, for each floating argument."""
    values = arguments(row.names, "float64")
    weights = weighted(expected(row, "float64"))
    found, step = {}, 1e-6
    for name in floating(row):
        found[name] = np.empty_like(values[name])
        for index in np.ndindex(found[name].shape):
            shift = np.zeros_like(values[name])
            shift[index] = step
            ends = [row.call(np, **{**values, name: values[name] + one}) for one in (shift, -shift)]
            sums = [sum(np.sum(w * leaf) for w, leaf in zip(weights, leaves(end), strict=True)) for end in ends]
            found[name][index] = (sums[0] - sums[1]) / (2 * step)
    return found


def floating(row: Row) -> list[str]:
    return [name for name in row.names if row.smooth and ARGUMENTS[name].dtype.kind == "f"]


def assert_same(text: str, actual: Any, wanted: Any) -> None:
    """Equal dtypes and shapes, and values within the roundings of the dtype."""
    assert len(leaves(actual)) == len(leaves(wanted)), text
    for one, other in zip(leaves(actual), map(np.asarray, leaves(wanted)), strict=True):
        assert one.dtype == other.dtype, f"{text}: dtype {one.dtype}, NumPy has {other.dtype}"
        assert one.shape == other.shape, f"{text}: shape {one.shape}, NumPy has {other.shape}"
        tolerance = 200 * np.finfo(one.dtype).eps if one.dtype.kind in "fc" else 0
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance, err_msg=text)


def check(framework: Framework, rows: list[Row], dtype: str, wrap: Call = lambda function: function) -> None:
    """Rows in one function, as a mode wraps it, against NumPy; in float64 the gradient of their sum too."""
    xp = framework.namespace(dtype)

    def called(tensors: dict[str, Any]) -> list[list[Any]]:
        return [leaves(row.call(xp, *[tensors[name] for name in row.names])) for row in rows]

    values = arguments({name for row in rows for name in row.names}, dtype)
    tensors = {name: framework.place(value, value.dtype.name) for name, value in values.items()}
    with np.errstate(all="ignore"):
        results = wrap(called)(tensors)
    for row, result in zip(rows, results, strict=True):
        assert_same(row.text, [framework.numpy(leaf) for leaf in leaves(result)], expected(row, dtype))
    smooth = [row for row in rows if floating(row)]
    if dtype == "float64" and smooth and not isinstance(framework, Numpy):
        check_gradient(framework, smooth, tensors, wrap)


def check_gradient(framework: Framework, rows: list[Row], tensors: dict[str, Any], wrap: Call) -> None:
    xp = framework.namespace("float64")
    weights = [weighted(expected(row, "float64")) for row in rows]
    watched = sorted({name for row in rows for name in floating(row)})

    def total(chosen: dict[str, Any]) -> Any:
        values = {**tensors, **chosen}
        parts = []
        for row, scales in zip(rows, weights, strict=True):
            results = leaves(row.call(xp, *[values[name] for name in row.names]))
            parts += [xp.sum(xp.multiply(scale, leaf)) for scale, leaf in zip(scales, results, strict=True)]
        return sum(parts[1:], parts[0])

    found = framework.gradients(total, {name: tensors[name] for name in watched}, wrap)
    text = ", ".join(row.text for row in rows)
    for name in watched:
        slope = sum(slopes(row)[name] for row in rows if name in floating(row))
        np.testing.assert_allclose(
            framework.numpy(found[name]), slope, rtol=1e-6, atol=1e-7 * len(rows), err_msg=f"{name} of {text}"
        )


ROWS = [*EVERYWHERE, *STATIC, *EAGER]


@pytest.mark.parametrize(
    ("name", "row"),
    # JAX compiles each operation by itself, so only some of its rows run by themselves.
    [
        pytest.param(name, row, id=f"{row.text}-{name}")
        for name in FRAMEWORKS
        for row in ROWS[:: 12 if name == "jax" else 1]
    ],
)
def test_equals_numpy(name: str, row: Row) -> None:
    framework = made(name)
    with framework.scope():
        for dtype in ("float32", "float64"):
            check(framework, [row], dtype)


def tf_graph() -> Call:
    return functools.partial(made("tf").tf.function, autograph=False)


def tf_xla() -> Call:
    return functools.partial(made("tf").tf.function, autograph=False, jit_compile=True)


def tf_unknown() -> Call:
    """A graph built without knowing any size."""
    tf = made("tf").tf

    def wrap(function: Call) -> Call:
        def call(tensors: dict[str, Any]) -> Any:
            specs = {name: tf.TensorSpec([None] * x.shape.rank, x.dtype) for name, x in tensors.items()}
            return tf.function(function, input_signature=[specs], autograph=False)(tensors)

        return call

    return wrap


def torch_compile() -> Call:
    """Without a graph break, or it fails."""
    torch = made("torch").torch
    torch._dynamo.reset()
    return functools.partial(torch.compile, backend="aot_eager", fullgraph=True, dynamic=False)


def jax_jit() -> Call:
    jit: Call = made("jax").jax.jit
    return jit


GRAPHS = {
    "tf": [(tf_graph, ROWS), (tf_unknown, [*EVERYWHERE, *EAGER]), (tf_xla, EVERYWHERE[::9])],
    "torch": [(torch_compile, [*EVERYWHERE, *STATIC][::4])],
    "jax": [(jax_jit, [*EVERYWHERE, *STATIC])],
}
SIZE = 30
CHUNKS = [
    pytest.param(name, mode, rows[start : start + SIZE], id=f"{mode.__name__}-{start}")
    for name, modes in GRAPHS.items()
    for mode, rows in modes
    for start in range(0, len(rows), SIZE)
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "mode", "rows"), CHUNKS)
def test_graphs_equal_numpy(name: str, mode: Call, rows: list[Row]) -> None:
    framework = made(name)
    with framework.scope():
        check(framework, rows, "float64", mode())


# The comparison notices what is wrong.


class Faulty(Torch):
    """A framework whose `sum` and gradient are what the test gives it."""

    def __init__(self, function: Call, slope: float) -> None:
        self.function, self.slope = function, slope

    def namespace(self, dtype: str) -> Any:
        return type("Namespace", (), {"sum": staticmethod(self.function), "multiply": np.multiply})

    def place(self, array: np.ndarray, name: str) -> Any:
        return np.asarray(array)

    def numpy(self, tensor: Any) -> np.ndarray:
        return np.asarray(tensor)

    def gradients(self, total: Call, tensors: dict[str, Any], wrap: Call) -> dict[str, Any]:
        (weight,) = weighted(1.0)
        return {"X": np.full_like(tensors["X"], self.slope * weight)}


@pytest.mark.parametrize(
    ("function", "slope", "message"),
    [
        (np.sum, 1.0, ""),
        (lambda x: np.sum(x) * (1 + 1e-9), 1.0, "Not equal to tolerance"),
        (lambda x: np.sum(x).astype("float32"), 1.0, "dtype float32, NumPy has float64"),
        (lambda x: np.sum(x, keepdims=True), 1.0, "shape"),
        (lambda x: (np.sum(x), np.sum(x)), 1.0, "assert 2 == 1"),
        (np.sum, 1.00001, r"X of sum\(X\)"),
    ],
)
def test_the_comparison_notices_what_is_wrong(function: Call, slope: float, message: str) -> None:
    row = next(row for row in EVERYWHERE if row.text == "sum(X)")
    with pytest.raises(AssertionError, match=message) if message else contextlib.nullcontext():
        check(Faulty(function, slope), [row], "float64")


# The rules of the namespace.


def names(framework: Framework, *tensors: Any) -> list[str]:
    return [framework.numpy(tensor).dtype.name for tensor in tensors]


def test_an_unknown_name_says_what_there_is_instead(framework: Framework) -> None:
    xp = framework.namespace("float32")
    with pytest.raises(
        AttributeError, match=r"no 'cumsun' \(nearest: 'cumsum'\): .* graphmode\.lib .* graphmode\.pick"
    ) as caught:
        xp.cumsun  # noqa: B018
    shown = caught.traceback.filter(caught)
    assert [Path(str(entry.path)).name for entry in shown] == ["test_xp.py"]
    with pytest.raises(AttributeError, match=r"xp\.linalg has no 'expm': .* graphmode\.lib .* graphmode\.pick"):
        xp.linalg.expm  # noqa: B018
    assert not hasattr(xp, "softmax")


def test_numpys_names_are_the_standards_functions(framework: Framework) -> None:
    xp = framework.namespace("float32")
    assert all(getattr(xp, name).__func__ is getattr(xp, standard).__func__ for name, standard in ALIASES.items())


def test_python_scalars_are_weak(framework: Framework) -> None:
    xp = framework.namespace("float32")
    half, double, whole = (framework.place(np.ones(2), name) for name in ("float16", "float64", "int32"))
    made_ = [xp.multiply(half, 2.0), xp.add(double, 1), xp.add(whole, 1), xp.maximum(0.0, half)]
    made_ += [xp.where(whole > 0, half, 0.0), xp.add(whole, 0.5), xp.multiply(half, 1j)]
    assert names(framework, *made_) == ["float16", "float64", "int32", "float16", "float16", "float64", "complex64"]


def test_what_is_made_from_numbers_has_the_default_dtype_of_the_moment(framework: Framework) -> None:
    defaults = ["float32"]
    xp = type(framework.namespace("float32"))(framework.place, lambda: defaults[0])
    for default in ("float32", "float64"):
        defaults[0] = default
        made_ = [xp.zeros(2), xp.ones((2, 1)), xp.full(3, 0.5), xp.eye(2), xp.linspace(0, 1, 3), xp.arange(0.0, 2.0)]
        made_ += [xp.array([1, 2.5]), xp.sin(1.0), xp.sqrt(2), xp.sum([0.5, 1.5]), xp.asarray(0.5)]
        assert names(framework, *made_) == [default] * len(made_)
        assert names(framework, xp.array([1j])) == [{"float32": "complex64", "float64": "complex128"}[default]]


def test_lists_of_ints_are_int32_and_numpy_integers_stay(framework: Framework) -> None:
    xp = framework.namespace("float32")
    made_ = [xp.array([1, 2]), xp.asarray(3), xp.array([True]), xp.arange(3), xp.full(2, 3)]
    assert names(framework, *made_) == ["int32", "int32", "bool", "int64", "int64"]
    if not isinstance(framework, Numpy):
        assert names(framework, xp.negative(np.ones(2, "int16")), xp.negative(np.ones(2))) == ["int16", "float32"]


def test_dtypes(framework: Framework) -> None:
    xp = framework.namespace("float32")
    for dtype in ("int16", np.int16, np.dtype("int16"), xp.int16):
        assert names(framework, xp.zeros(2, dtype=dtype), xp.astype([1.5], dtype)) == ["int16", "int16"]
    made_ = [xp.zeros(2, dtype=float), xp.zeros(2, dtype=int), xp.zeros(2, bool)]
    assert names(framework, *made_) == ["float32", "int64", "bool"]
    x = xp.zeros((2, 3))
    assert (xp.finfo(x.dtype).eps, xp.iinfo("int8").max) == (np.finfo("float32").eps, 127)
    assert (xp.result_type(x, xp.int32), xp.result_type(x, 1.0)) == (xp.float64, xp.float32)
    assert xp.can_cast(xp.float32, xp.float64)
    assert not xp.can_cast(xp.float64, x)
    assert xp.isdtype(xp.uint8, ("bool", "integral"))
    assert xp.isdtype(xp.float32, "float32")
    assert not xp.isdtype(xp.float32, "complex floating")


def test_constants_and_shapes(framework: Framework) -> None:
    xp = framework.namespace("float32")
    assert (xp.pi, xp.e, xp.newaxis, xp.shape(xp.zeros((2, 3)))) == (np.pi, np.e, None, (2, 3))
    assert framework.numpy(xp.from_dlpack(np.arange(3.0))).tolist() == [0.0, 1.0, 2.0]
    assert framework.numpy(xp.argsort([2, 3, 2, 1], descending=True)).tolist() == [1, 0, 2, 3]
    assert framework.numpy(xp.sort([2, 3, 1], descending=True)).tolist() == [3, 2, 1]
    with pytest.raises(ValueError, match="axis 2 is out of bounds for a tensor with 2 axes"):
        xp.flip(xp.zeros((2, 3)), axis=2)
    with pytest.raises(ValueError, match=r"cannot squeeze axis 1 of shape \(2, 3\): its size is not one"):
        xp.squeeze(xp.zeros((2, 3)), axis=1)


def test_numbers_reach_a_wider_dtype_unrounded(framework: Framework) -> None:
    xp = framework.namespace("float32")
    made_ = [xp.array([0.1], dtype="float64"), xp.astype(np.array([0.1]), "float64"), xp.full(1, 0.1, "float64")]
    assert [framework.numpy(tensor).tolist() for tensor in made_] == [[0.1]] * 3
    assert framework.numpy(xp.array([BIG], dtype="int64")).tolist() == [BIG]


def test_refused_dtypes_are_named(framework: Framework) -> None:
    xp = framework.namespace("float32")
    with pytest.raises(TypeError, match=r"xp\.bitwise_and takes no float32 argument, as numpy\.bitwise_and takes none"):
        xp.bitwise_and(xp.ones(2), xp.ones(2))


CALLS: dict[str, Call] = {
    "asarray": lambda xp: xp.asarray(BIG),
    "array": lambda xp: xp.array([1, BIG]),
    "full": lambda xp: xp.full(2, BIG),
    "arange": lambda xp: xp.arange(BIG, BIG + 2),
}


@pytest.mark.parametrize("name", CALLS)
def test_integers_that_int32_does_not_hold_are_int64(framework: Framework, name: str) -> None:
    made_ = CALLS[name](framework.namespace("float32"))
    assert names(framework, made_) == ["int64"]
    np.testing.assert_array_equal(framework.numpy(made_), CALLS[name](np))


@pytest.mark.parametrize("name", CALLS)
def test_without_int64_they_are_refused(name: str) -> None:
    with pytest.raises(OverflowError, match="does not fit int32"):
        CALLS[name](made("jax").namespace("float32"))


def test_an_integer_that_does_not_fit_is_refused(framework: Framework) -> None:
    xp = framework.namespace("float32")
    with pytest.raises((OverflowError, RuntimeError), match=r"does not fit int32|without overflow"):
        xp.add(framework.place(np.ones(2), "int32"), BIG)
    assert framework.numpy(xp.add(framework.place(np.zeros(2), "float32"), BIG)).tolist() == [BIG] * 2
    with pytest.raises((OverflowError, RuntimeError)):
        xp.full(2, 300, dtype="uint8")
    assert names(framework, xp.full(2, 255, dtype="uint8")) == ["uint8"]


def test_jax_without_x64_has_the_narrow_dtypes() -> None:
    framework = made("jax")
    xp = framework.namespace("float32")
    whole, single = framework.place(np.ones(2), "int32"), framework.place(np.ones(2), "float32")
    made_ = [xp.sum(whole), xp.argmax(whole), xp.arange(3), xp.full(2, 3), xp.mean(whole), xp.add(whole, single)]
    assert names(framework, *made_) == ["int32"] * 4 + ["float32"] * 2


@pytest.mark.parametrize("name", ["tf", "torch", "jax"])
def test_bfloat16_promotes(name: str) -> None:
    xp = made(name).namespace("float32")
    narrow = xp.astype([1.0, 2.0], "bfloat16")
    made_ = [
        xp.add(narrow, 2.0),
        xp.sum(narrow),
        xp.exp(narrow),
        xp.log2(narrow),
        xp.hypot(narrow, 1),
        xp.round(narrow),
    ]
    assert all(tensor.dtype == xp.bfloat16 for tensor in [*made_, xp.matmul(narrow, narrow), xp.flip(narrow)])
    assert xp.add(narrow, xp.ones(2)).dtype == xp.float32


def test_tensorflow_variables_and_autograph() -> None:
    """Users' own tf.function converts what it calls, the namespace too."""
    framework = made("tf")
    xp, variable = framework.namespace("float32"), framework.tf.Variable([3.0, 1.0, 2.0])

    @framework.tf.function
    def function(x: Any) -> Any:
        return xp.max(xp.multiply(x, variable)), xp.linalg.norm(x)

    with framework.tf.GradientTape() as tape:
        largest, norm = function(framework.tf.constant([1.0, 1.0, 1.0]))
    assert float(largest) == 3.0
    assert float(norm) == pytest.approx(3**0.5)
    assert framework.tf.convert_to_tensor(tape.gradient(largest, variable)).numpy().tolist() == [1.0, 0.0, 0.0]


def test_sizes_that_must_be_known_are_named() -> None:
    framework = made("tf")
    xp = framework.namespace("float32")
    with pytest.raises(ValueError, match=r"size of axis 0 decides how many tensors there are: give it a static size"):
        tf_unknown()(lambda tensors: xp.unstack(tensors["x"]))({"x": framework.place(np.ones(3), "float32")})


def test_torch_parameters_are_differentiated() -> None:
    framework = made("torch")
    parameter = framework.torch.nn.Parameter(framework.torch.tensor([3.0, 1.0]))
    framework.namespace("float32").sum(parameter).backward()
    assert parameter.grad.tolist() == [1.0, 1.0]
