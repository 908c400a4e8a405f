"""`graphmode.xp` against NumPy: values, shapes, dtypes and gradients, in every way each framework runs a function."""

import contextlib
import difflib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_graphmode.backends.xp.arrays import ALIASES
from pytest_graphmode.handle import Handle
from tests.backends.variants import variant, variants
from tests.backends.xp_table import ARGUMENTS, EAGER, EVERYWHERE, STATIC, Row

pytestmark = [
    pytest.mark.table,
    # tf.cast and Tensor.to warn when the imaginary part of zero is dropped, as NumPy does.
    pytest.mark.filterwarnings("ignore:Casting complex values to real discards:UserWarning"),
]

Call = Callable[..., Any]
Arrays = dict[str, np.ndarray]
BIG = 2**40


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


def check(graphmode: Handle, rows: list[Row], dtype: str, *, sizes: bool = True) -> None:
    """Rows in one function against NumPy, in float64 the gradient of their sum too; in graphs that know `sizes`."""
    if graphmode.backend == "jax":  # they make every first call slow, and `isolate` gives them back
        graphmode.lib.config.update("jax_disable_most_optimizations", True)
    runtime = graphmode.runtime
    with runtime.backend.precision("float64"), runtime.using_dtype(dtype), np.errstate(all="ignore"):
        values = arguments({name for row in rows for name in row.names}, dtype)
        tensors = {name: graphmode.tensor(value, value.dtype.name) for name, value in values.items()}
        results = graphmode.numpy(wrapped(graphmode, calling(graphmode, rows), tensors, sizes)(tensors))
        for row, result in zip(rows, results, strict=True):
            assert_same(row.text, result, expected(row, dtype))
        smooth = [row for row in rows if floating(row)]
        if dtype == "float64" and smooth and graphmode.backend != "numpy":
            check_gradient(graphmode, smooth, tensors, sizes)


def calling(graphmode: Handle, rows: list[Row]) -> Call:
    def called(tensors: dict[str, Any]) -> list[list[Any]]:
        return [leaves(row.call(graphmode.xp, *[tensors[name] for name in row.names])) for row in rows]

    return called


def wrapped(graphmode: Handle, function: Call, tensors: dict[str, Any], sizes: bool) -> Call:
    graph: dict[str, Any] = {"autograph": False}
    if not sizes:
        tf = graphmode.lib
        graph["input_signature"] = [
            {name: tf.TensorSpec([None] * x.shape.rank, x.dtype) for name, x in tensors.items()}
        ]
    # Without a graph break, or it fails.
    whole = {"fullgraph": True, "dynamic": False}
    return graphmode.function(function, tf_graph=graph, tf_xla={"autograph": False}, torch_compile=whole)


def check_gradient(graphmode: Handle, rows: list[Row], tensors: dict[str, Any], sizes: bool) -> None:
    weights = [weighted(expected(row, "float64")) for row in rows]
    watched = sorted({name for row in rows for name in floating(row)})
    called, xp = calling(graphmode, rows), graphmode.xp

    def total(chosen: dict[str, Any], others: dict[str, Any]) -> Any:
        parts = []
        for results, scales in zip(called({**others, **chosen}), weights, strict=True):
            parts += [xp.sum(xp.multiply(scale, leaf)) for scale, leaf in zip(scales, results, strict=True)]
        return sum(parts[1:], parts[0])

    def gradients(tensors: dict[str, Any]) -> dict[str, Any]:
        chosen = {name: tensors[name] for name in watched}
        found: dict[str, Any] = graphmode.grad(total)(chosen, tensors)
        return found

    inside = graphmode.backend == "tf"  # where options tell of sizes; torch.compile differentiates outside only
    found = graphmode.numpy((wrapped(graphmode, gradients, tensors, sizes) if inside else gradients)(tensors))
    text = ", ".join(row.text for row in rows)
    for name in watched:
        slope = sum(slopes(row)[name] for row in rows if name in floating(row))
        grad = np.zeros_like(slope) if found[name] is None else found[name]
        np.testing.assert_allclose(grad, slope, rtol=1e-6, atol=1e-7 * len(rows), err_msg=f"{name} of {text}")


ROWS = [*EVERYWHERE, *STATIC, *EAGER]
EACH = ("numpy:eager", "tf:eager", "torch:eager", "jax:eager")
SIZE = 30


def params(name: str, rows: list[Any], *more: Any) -> list[Any]:
    """A variant with each of the rows."""
    made = variant(name)
    return [
        pytest.param(*made.values, row, *more, marks=made.marks, id=f"{made.id}-{getattr(row, 'text', number * SIZE)}")
        for number, row in enumerate(rows)
    ]


def chunks(rows: list[Row]) -> list[list[Row]]:
    return [rows[start : start + SIZE] for start in range(0, len(rows), SIZE)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("graphmode", "row"),
    # JAX compiles each operation by itself, so only some of its rows run by themselves.
    [param for name in EACH for param in params(name, ROWS[:: 12 if name == "jax:eager" else 1])],
    indirect=["graphmode"],
)
def test_equals_numpy(graphmode: Handle, row: Row) -> None:
    for dtype in ("float32", "float64"):
        check(graphmode, [row], dtype)


GRAPHS = [
    *params("tf:graph", chunks(ROWS), True),
    *params("tf:graph", chunks([*EVERYWHERE, *EAGER]), False),
    *params("tf:xla", chunks(EVERYWHERE[::9]), True),
    *params("torch:compile", chunks([*EVERYWHERE, *STATIC][::4]), True),
    *params("jax:jit", chunks([*EVERYWHERE, *STATIC]), True),
]


@pytest.mark.slow
@pytest.mark.parametrize(("graphmode", "rows", "sizes"), GRAPHS, indirect=["graphmode"])
def test_graphs_equal_numpy(graphmode: Handle, rows: list[Row], sizes: bool) -> None:
    check(graphmode, rows, "float64", sizes=sizes)


@variants("torch:eager")
@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda xp, x: xp.sum(x), ""),
        (lambda xp, x: xp.sum(x) * (1 + 1e-9), "Not equal to tolerance"),
        (lambda xp, x: xp.astype(xp.sum(x), "float32"), "dtype float32, NumPy has float64"),
        (lambda xp, x: xp.sum(x, keepdims=True), "shape"),
        (lambda xp, x: (xp.sum(x), xp.sum(x)), "assert 2 == 1"),
        (lambda xp, x: xp.sum(x) + 1e-5 * (xp.sum(x) - xp.sum(x).detach()), r"X of sum\(X\)"),
    ],
)
def test_the_comparison_notices_what_is_wrong(graphmode: Handle, function: Call, message: str) -> None:
    row = Row("sum(X)", lambda xp, X: np.sum(X) if xp is np else function(xp, X), ("X",), True)
    with pytest.raises(AssertionError, match=message) if message else contextlib.nullcontext():
        check(graphmode, [row], "float64")


# The rules of the namespace.

each = variants(*EACH)


@pytest.fixture
def xp(graphmode: Handle) -> Any:
    """The namespace where JAX has float64 and int64 too."""
    with graphmode.runtime.backend.precision("float64"):
        yield graphmode.xp


def names(graphmode: Handle, *tensors: Any) -> list[str]:
    return [graphmode.numpy(tensor).dtype.name for tensor in tensors]


@each
def test_an_unknown_name_says_what_there_is_instead(graphmode: Handle, xp: Any) -> None:
    with pytest.raises(
        AttributeError, match=r"no 'cumsun' \(nearest: 'cumsum'\): .* graphmode\.lib .* graphmode\.pick"
    ) as caught:
        xp.cumsun  # noqa: B018
    shown = caught.traceback.filter(caught)
    assert [Path(str(entry.path)).name for entry in shown] == ["test_xp.py"]
    with pytest.raises(AttributeError, match=r"xp\.linalg has no 'expm': .* graphmode\.lib .* graphmode\.pick"):
        xp.linalg.expm  # noqa: B018
    assert not hasattr(xp, "softmax")


@each
def test_what_frameworks_ask_of_any_object_is_answered_without_a_search_for_like_names(
    graphmode: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(difflib, "get_close_matches", lambda *args: pytest.fail("searched"))
    for asked in (graphmode, graphmode.xp):
        assert getattr(asked, "__wrapped__", None) is None


@each
def test_numpys_names_are_the_standards_functions(graphmode: Handle, xp: Any) -> None:
    assert all(getattr(xp, name).__func__ is getattr(xp, standard).__func__ for name, standard in ALIASES.items())


@each
def test_python_scalars_are_weak(graphmode: Handle, xp: Any) -> None:
    half, double, whole = (graphmode.tensor(np.ones(2), name) for name in ("float16", "float64", "int32"))
    made = [xp.multiply(half, 2.0), xp.add(double, 1), xp.add(whole, 1), xp.maximum(0.0, half)]
    made += [xp.where(whole > 0, half, 0.0), xp.add(whole, 0.5), xp.multiply(half, 1j)]
    assert names(graphmode, *made) == ["float16", "float64", "int32", "float16", "float16", "float64", "complex64"]


@each
@pytest.mark.parametrize(("default", "complexes"), [("float32", "complex64"), ("float64", "complex128")])
def test_what_is_madefrom_numbers_has_the_dtype_in_use(graphmode: Handle, default: str, complexes: str) -> None:
    xp = graphmode.xp
    with graphmode.runtime.using_dtype(default):
        made = [xp.zeros(2), xp.ones((2, 1)), xp.full(3, 0.5), xp.eye(2), xp.linspace(0, 1, 3), xp.arange(0.0, 2.0)]
        made += [xp.array([1, 2.5]), xp.sin(1.0), xp.sqrt(2), xp.sum([0.5, 1.5]), xp.asarray(0.5)]
        assert names(graphmode, *made, xp.array([1j])) == [default] * len(made) + [complexes]


@each
def test_lists_of_ints_are_int32_and_numpy_integers_stay(graphmode: Handle, xp: Any) -> None:
    made = [xp.array([1, 2]), xp.asarray(3), xp.array([True]), xp.arange(3), xp.full(2, 3)]
    assert names(graphmode, *made) == ["int32", "int32", "bool", "int64", "int64"]
    if graphmode.backend != "numpy":
        assert names(graphmode, xp.negative(np.ones(2, "int16")), xp.negative(np.ones(2))) == ["int16", "float32"]


@each
def test_dtypes(graphmode: Handle, xp: Any) -> None:
    for dtype in ("int16", np.int16, np.dtype("int16"), xp.int16):
        assert names(graphmode, xp.zeros(2, dtype=dtype), xp.astype([1.5], dtype)) == ["int16", "int16"]
    made = [xp.zeros(2, dtype=float), xp.zeros(2, dtype=int), xp.zeros(2, bool)]
    assert names(graphmode, *made) == ["float32", "int64", "bool"]
    x = xp.zeros((2, 3))
    assert (xp.finfo(x.dtype).eps, xp.iinfo("int8").max) == (np.finfo("float32").eps, 127)
    assert (xp.result_type(x, xp.int32), xp.result_type(x, 1.0)) == (xp.float64, xp.float32)
    assert xp.can_cast(xp.float32, xp.float64)
    assert not xp.can_cast(xp.float64, x)
    assert xp.isdtype(xp.uint8, ("bool", "integral"))
    assert xp.isdtype(xp.float32, "float32")
    assert not xp.isdtype(xp.float32, "complex floating")


@each
def test_constants_and_shapes(graphmode: Handle, xp: Any) -> None:
    assert (xp.pi, xp.e, xp.newaxis, xp.shape(xp.zeros((2, 3)))) == (np.pi, np.e, None, (2, 3))
    assert graphmode.numpy(xp.from_dlpack(np.arange(3.0))).tolist() == [0.0, 1.0, 2.0]
    assert graphmode.numpy(xp.argsort([2, 3, 2, 1], descending=True)).tolist() == [1, 0, 2, 3]
    assert graphmode.numpy(xp.sort([2, 3, 1], descending=True)).tolist() == [3, 2, 1]
    with pytest.raises(ValueError, match="axis 2 is out of bounds for a tensor with 2 axes"):
        xp.flip(xp.zeros((2, 3)), axis=2)
    with pytest.raises(ValueError, match=r"cannot squeeze axis 1 of shape \(2, 3\): its size is not one"):
        xp.squeeze(xp.zeros((2, 3)), axis=1)


@each
def test_numbers_reach_a_wider_dtype_unrounded(graphmode: Handle, xp: Any) -> None:
    made = [xp.array([0.1], dtype="float64"), xp.astype(np.array([0.1]), "float64"), xp.full(1, 0.1, "float64")]
    assert [graphmode.numpy(tensor).tolist() for tensor in made] == [[0.1]] * 3
    assert graphmode.numpy(xp.array([BIG], dtype="int64")).tolist() == [BIG]


@each
def test_refused_dtypes_are_named(graphmode: Handle, xp: Any) -> None:
    with pytest.raises(TypeError, match=r"xp\.bitwise_and takes no float32 argument, as numpy\.bitwise_and takes none"):
        xp.bitwise_and(xp.ones(2), xp.ones(2))


CALLS: dict[str, Call] = {
    "asarray": lambda xp: xp.asarray(BIG),
    "array": lambda xp: xp.array([1, BIG]),
    "full": lambda xp: xp.full(2, BIG),
    "arange": lambda xp: xp.arange(BIG, BIG + 2),
}


@each
@pytest.mark.parametrize("name", CALLS)
def test_integers_that_int32_does_not_hold_are_int64(graphmode: Handle, xp: Any, name: str) -> None:
    made = CALLS[name](xp)
    assert names(graphmode, made) == ["int64"]
    np.testing.assert_array_equal(graphmode.numpy(made), CALLS[name](np))


@variants("jax:eager")
@pytest.mark.parametrize("name", CALLS)
def test_without_int64_they_are_refused(graphmode: Handle, name: str) -> None:
    with pytest.raises(OverflowError, match="does not fit int32"):
        CALLS[name](graphmode.xp)


@each
def test_an_integer_that_does_not_fit_is_refused(graphmode: Handle, xp: Any) -> None:
    with pytest.raises((OverflowError, RuntimeError), match=r"does not fit int32|without overflow"):
        xp.add(graphmode.tensor(np.ones(2), "int32"), BIG)
    assert graphmode.numpy(xp.add(graphmode.tensor(np.zeros(2), "float32"), BIG)).tolist() == [BIG] * 2
    with pytest.raises((OverflowError, RuntimeError)):
        xp.full(2, 300, dtype="uint8")
    assert names(graphmode, xp.full(2, 255, dtype="uint8")) == ["uint8"]


@variants("jax:eager")
def test_jax_without_x64_has_the_narrow_dtypes(graphmode: Handle) -> None:
    xp = graphmode.xp
    whole, single = graphmode.tensor(np.ones(2), "int32"), graphmode.tensor(np.ones(2), "float32")
    made = [xp.sum(whole), xp.argmax(whole), xp.arange(3), xp.full(2, 3), xp.mean(whole), xp.add(whole, single)]
    assert names(graphmode, *made) == ["int32"] * 4 + ["float32"] * 2


@variants("tf:eager", "torch:eager", "jax:eager")
def test_bfloat16_promotes(graphmode: Handle) -> None:
    xp = graphmode.xp
    narrow = xp.astype([1.0, 2.0], "bfloat16")
    made = [xp.add(narrow, 2.0), xp.sum(narrow), xp.exp(narrow), xp.log2(narrow), xp.hypot(narrow, 1)]
    made += [xp.round(narrow), xp.matmul(narrow, narrow), xp.flip(narrow)]
    assert all(tensor.dtype == xp.bfloat16 for tensor in made)
    assert xp.add(narrow, xp.ones(2)).dtype == xp.float32


@variants("tf:eager")
def test_tensorflow_variables_and_autograph(graphmode: Handle) -> None:
    """Users' own tf.function converts what it calls, the namespace too."""
    tf, xp = graphmode.lib, graphmode.xp
    variable = tf.Variable([3.0, 1.0, 2.0])

    @tf.function
    def function(x: Any) -> Any:
        return xp.max(xp.multiply(x, variable)), xp.linalg.norm(x)

    with tf.GradientTape() as tape:
        largest, norm = function(tf.constant([1.0, 1.0, 1.0]))
    assert float(largest) == 3.0
    assert float(norm) == pytest.approx(3**0.5)
    assert tf.convert_to_tensor(tape.gradient(largest, variable)).numpy().tolist() == [1.0, 0.0, 0.0]


@variants("tf:graph")
def test_sizes_that_must_be_known_are_named(graphmode: Handle) -> None:
    tensors = {"x": graphmode.tensor(np.ones(3))}
    unstack = wrapped(graphmode, lambda tensors: graphmode.xp.unstack(tensors["x"]), tensors, sizes=False)
    with pytest.raises(ValueError, match=r"size of axis 0 decides how many tensors there are: give it a static size"):
        unstack(tensors)


@variants("torch:eager")
def test_torch_parameters_are_differentiated(graphmode: Handle) -> None:
    parameter = graphmode.lib.nn.Parameter(graphmode.lib.tensor([3.0, 1.0]))
    graphmode.xp.sum(parameter).backward()
    assert parameter.grad.tolist() == [1.0, 1.0]
