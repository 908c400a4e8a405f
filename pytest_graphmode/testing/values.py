"""The contract about tensors, trees of them, and variables."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

from pytest_graphmode.ledger.describe import dtype_name
from pytest_graphmode.testing.contract import Contract, expect, mode_of, needs_python, run, supported

if TYPE_CHECKING:
    from pytest_graphmode.handle import Handle


class Point(NamedTuple):
    x: Any
    y: Any


@dataclasses.dataclass
class Batch:
    inputs: Any
    label: Any


class ValueContract(Contract):
    @pytest.mark.parametrize(
        "value", [1.5, np.float64(1.5), np.array([1.5, -2.0]), np.ones((2, 3), np.float32)], ids=str
    )
    def test_floating_values_get_the_dtype_of_the_variant(self, graphmode: Handle, value: Any) -> None:
        made = graphmode.tensor(value)
        assert mode_of(graphmode).is_tensor(made)
        assert dtype_name(made) == graphmode.dtype
        expect(graphmode, made, np.asarray(value))

    @pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "bool"])
    def test_integers_and_booleans_of_numpy_stay(self, graphmode: Handle, dtype: str) -> None:
        value = np.array([0, 1, 1], dtype)
        with supported():
            made = graphmode.tensor(value)
        assert dtype_name(made) == dtype
        np.testing.assert_array_equal(graphmode.numpy(made), value)

    @pytest.mark.parametrize("value", [[1, 2], 2**31, -(2**31) - 1, [1, 2**40]])
    def test_integers_of_python_are_int32_and_larger_ones_int64_or_refused(self, graphmode: Handle, value: Any) -> None:
        try:
            made = graphmode.tensor(value)
        except OverflowError:
            assert np.max(np.abs(value)) > 2
            return
        assert dtype_name(made) == ("int32" if value == [1, 2] else "int64")
        np.testing.assert_array_equal(graphmode.numpy(made), value)

    def test_complex_values_get_the_complex_dtype_of_the_variant(self, graphmode: Handle) -> None:
        with supported():
            made = graphmode.tensor([1 + 2j])
        assert dtype_name(made) == {"float64": "complex128"}.get(graphmode.dtype, "complex64")
        np.testing.assert_array_equal(graphmode.numpy(made), [1 + 2j])

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_a_dtype_that_is_asked_for_is_given(self, graphmode: Handle, dtype: str) -> None:
        with supported():
            made = graphmode.tensor([1, 0.1], dtype=dtype)
        assert dtype_name(made) == dtype
        back = graphmode.numpy(made)
        assert back.dtype.name in (dtype, "float32")
        np.testing.assert_allclose(back.astype(np.float64), [1, 0.1], rtol=1 / 128)

    @pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0, 3), (2, 3, 4)], ids=str)
    def test_shapes_stay(self, graphmode: Handle, shape: tuple[int, ...]) -> None:
        value = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
        made = graphmode.tensor(value)
        assert tuple(made.shape) == shape
        assert graphmode.numpy(made).shape == shape
        expect(graphmode, made, value)

    def test_views_of_numpy_are_read_as_they_are(self, graphmode: Handle) -> None:
        value = np.arange(12.0).reshape(3, 4)[::-1, ::2].T
        expect(graphmode, graphmode.tensor(value), value)

    def test_tensors_and_arrays_share_no_memory(self, graphmode: Handle) -> None:
        source = np.zeros(64, np.dtype(graphmode.dtype) if graphmode.dtype != "bfloat16" else np.float32)
        made = graphmode.tensor(source)
        source[:] = 7
        expect(graphmode, made, np.zeros(64))
        graphmode.numpy(made)[:] = 7
        expect(graphmode, made, np.zeros(64))

    def test_trees_go_in_and_out_whole(self, graphmode: Handle) -> None:
        tree = {"a": [1.0, {"b": np.ones(2)}], "c": (Point(1.0, 2), Batch(np.zeros(1), 3))}
        made = graphmode.tensor(tree)
        assert type(made["c"][0]) is Point
        assert type(made["c"][1]) is Batch
        assert dtype_name(made["c"][1].label) == "int32"
        assert mode_of(graphmode).is_tensor(made["a"][1]["b"])
        expect(graphmode, made, {**tree, "c": (Point(1.0, np.int32(2)), Batch(np.zeros(1), np.int32(3)))})

    def test_what_is_not_a_number_is_refused(self, graphmode: Handle) -> None:
        with pytest.raises(TypeError, match="str"):
            graphmode.tensor("one")
        assert not mode_of(graphmode).is_tensor("one")
        assert not mode_of(graphmode).is_tensor(1.0)


class VariableContract(Contract):
    def test_a_variable_has_the_values_it_was_given_last(self, graphmode: Handle) -> None:
        source = np.array([3.0, 4.0], np.float32)
        with supported():
            made = graphmode.variable({"w": [1.0, 2.0], "n": 3})
            expect(graphmode, made, {"w": np.array([1.0, 2.0]), "n": np.int32(3)})
            graphmode.assign(made["w"], source)
        source[:] = 7
        assert mode_of(graphmode).is_tensor(made["w"])
        assert dtype_name(made["w"]) == graphmode.dtype
        expect(graphmode, made["w"], np.array([3.0, 4.0]))

    def test_a_function_reads_the_value_of_now(self, graphmode: Handle) -> None:
        needs_python(graphmode)
        with supported():
            variable = graphmode.variable(1.0)
            doubled = graphmode.function(lambda: variable * 2)
            expect(graphmode, doubled(), np.float32(2))
            graphmode.assign(variable, 5.0)
            expect(graphmode, doubled(), np.float32(10))

    def test_assign_in_a_function_happens_in_every_call(self, graphmode: Handle) -> None:
        needs_python(graphmode)
        with supported():
            variable = graphmode.variable(0.0)

            def step(by: Any) -> Any:
                graphmode.assign(variable, variable + by)
                return variable * 1

            advance = graphmode.function(step)
            results = [graphmode.numpy(advance(np.float32(by))) for by in (1, 2, 3)]
        assert [float(result) for result in results] == [1, 3, 6]
        expect(graphmode, variable, np.float32(6))

    def test_assign_in_a_loop_happens_in_every_iteration(self, graphmode: Handle) -> None:
        needs_python(graphmode)
        with supported():
            variable = graphmode.variable(1.0)

        def double(index: Any, total: Any) -> Any:
            graphmode.assign(variable, variable * 2)
            return total + variable

        total = run(graphmode, lambda: graphmode.fori_loop(0, 3, double, graphmode.tensor(0.0)))
        expect(graphmode, (total, variable), (np.float32(2 + 4 + 8), np.float32(8)))

    def test_assign_in_a_branch_happens_if_it_is_taken(self, graphmode: Handle) -> None:
        needs_python(graphmode)

        def change(x: Any) -> Any:
            graphmode.assign(variable, variable + x)
            return x

        with supported():
            variable = graphmode.variable(1.0)
            maybe = graphmode.function(lambda x: graphmode.cond(x > 0, change, lambda x: x, x))
            for x, wanted in ((-5.0, 1), (5.0, 6)):
                maybe(graphmode.tensor(x))
                expect(graphmode, variable, np.float32(wanted))
