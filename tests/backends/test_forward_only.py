"""The base of backends that only run models forward, by a runtime in miniature; framework-free."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pytest_graphmode import GraphLedger, UnsupportedError, watch
from tests.toy import calculator
from tests.toy.calculator import Sums

SPEC = dataclasses.replace(calculator.SPEC, target="tests.toy.calculator:Calculator")
CONFTEST = """
    from tests.backends.test_forward_only import SPEC

    def pytest_graphmode_backends():
        return [SPEC]
    """


@pytest.fixture
def ledger() -> Iterator[GraphLedger]:
    with watch() as ledger:
        yield ledger


def floats(*values: float) -> Any:
    return np.array(values, np.float32)


# What a model is.


def test_what_is_no_model_is_refused_in_the_words_of_the_backend() -> None:
    with pytest.raises(TypeError, match="calculator runs text, not int"):
        Sums().function(3)


# Calls.


def test_inputs_are_given_in_order_or_by_name() -> None:
    difference = Sums().function("x, y: x - y")
    for result in (difference(floats(3), floats(1)), difference(floats(3), y=floats(1)), difference(y=1, x=floats(3))):
        np.testing.assert_array_equal(result, [2])


def test_several_outputs_are_a_tuple() -> None:
    assert Sums().function("x: (x, x * 2)")(floats(1)) == (1, 2)


def test_no_inputs_at_all() -> None:
    assert Sums().function(": 3 * 2")() == 6


@pytest.mark.parametrize("number", [True, 2, 2.0], ids=str)
def test_a_python_number_is_an_array_without_axes(number: float) -> None:
    found = Sums().function("x: x")(number)
    assert (found.dtype, found.shape, float(found)) == ("float32", (), number)


@pytest.mark.parametrize(
    ("args", "kwargs", "passed"),
    [
        ((), {}, "0 in order"),
        ((1, 2, 3), {}, "3 in order"),
        ((1,), {"z": 2}, "1 in order, 'z'"),
        ((1,), {"x": 2}, "'x'"),
    ],
)
def test_other_arguments_than_the_inputs_are_refused(args: Any, kwargs: Any, passed: str) -> None:
    with pytest.raises(TypeError, match=f"model takes x, y; the call passed .*{passed}"):
        Sums().function("x, y: x + y")(*args, **kwargs)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros(3), r"float32\[None, 3\], not float64\[3\]: run with --graph-dtypes=float32, or declare float64"),
        (np.zeros((1, 3), int), r"float32\[None, 3\], not int64\[1, 3\]: cast to float32, or declare int64"),
        ("text", "x of model is str: pass a NumPy array"),
    ],
)
def test_another_dtype_is_refused(value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Sums().function("x: x", shape=[None, 3])(value)


@pytest.mark.parametrize("shape", [(3,), (2, 4), (1, 2, 3)], ids=str)
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    model = Sums().function("x: x", shape=[None, 3])
    assert model(np.zeros((7, 3), np.float32)).shape == (7, 3)
    with pytest.raises(ValueError, match=r"declared as float32\[None, 3\], not .*: pass that shape, or leave .* free"):
        model(np.zeros(shape, np.float32))


# Counting.


def test_a_build_is_counted_with_what_the_model_says(ledger: GraphLedger) -> None:
    run = Sums().function("x: x * x + x", shape=[None])
    for size in (1, 2):
        run(np.ones(size, np.float32))
    (build,) = ledger.events
    assert (build.backend, build.mode, build.function, build.nodes) == ("calculator", "sums", "model", 2)
    assert build.signature == "x: float32[None]"
    assert build.call_site is not None
    assert build.call_site == build.location
    assert build.seconds > 0
    assert (ledger.builds, ledger.rebuilds, ledger.calls) == (1, 0, 2)


def test_other_models_from_one_line_are_first_builds(ledger: GraphLedger) -> None:
    for factor in range(3):
        Sums().function(f"x: x * {factor}")
    assert (ledger.builds, ledger.rebuilds) == (3, 0)


def test_a_build_that_fails_is_counted_too(ledger: GraphLedger) -> None:
    with pytest.raises(SyntaxError):
        Sums().function("x: x +")
    with pytest.raises(TypeError, match="speed"):
        Sums().function("x: x", speed=3)
    assert [event.failed for event in ledger.events] == [True, True]


# What it can't do.


def test_bfloat16_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"no bfloat16: use float16 or float32, or .*graph_skip\('calculator'"):
        Sums().tensor(np.ones(1), "bfloat16")


def test_checks_that_need_gradients_or_python_fail_by_name(pytester: pytest.Pytester, run_tests: Any) -> None:
    pytester.makeconftest(CONFTEST)
    source = """
        def test_grads(graphmode):
            graphmode.check_grads("x: x * x", graphmode.tensor(3.0))

        def test_loop(graphmode):
            graphmode.while_loop(lambda x: x < 3, lambda x: x + 1, (0,))

        def test_python(graphmode):
            graphmode.check_control_flow(lambda x: x, [(1,)])
        """
    said = ["*the gradient of str can't be checked*", "*calculator has no reverse mode*"]
    result = run_tests(source, "--graph-backends=calculator", said=said, failed=3)
    result.stdout.fnmatch_lines(["*can't trace Python functions*"] * 2)


def test_it_keeps_the_forward_part_of_the_contract(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        """
        import numpy as np
        from pytest_graphmode.testing import BackendContract
        from tests.backends.test_forward_only import SPEC

        class TestContract(BackendContract, spec=SPEC):
            def model(self, graphmode):
                return "x: x * x + x", lambda x: x * x + x

            def disturb(self, graphmode):
                np.seterr(divide="raise")

            def state(self, graphmode):
                return np.geterr()
        """
    )
    result = pytester.runpytest_inprocess("-v", "-p", "no:warnings")
    outcomes = result.parseoutcomes()
    assert not outcomes.keys() & {"failed", "errors"}
    assert outcomes["passed"] > 25
    for name in ("model_is_run", "python_functions_are_taken_or_refused", "gradients_are_there_or_refused"):
        result.stdout.fnmatch_lines([f"*{name}[[]calculator-sums-cpu[]] PASSED*"])
