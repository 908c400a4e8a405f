"""The contract about `function`, and about what is counted when functions run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest

from pytest_graphmode.errors import UnsupportedError
from pytest_graphmode.ledger.describe import dtype_name
from pytest_graphmode.testing.contract import (
    Contract,
    backend_of,
    expect,
    mode_of,
    needs_gradients,
    needs_python,
    needs_static,
    run,
    supported,
)

if TYPE_CHECKING:
    from pytest_graphmode.handle import Handle

VECTOR = np.array([1.0, -2.0, 3.0])


def _scaled(x: Any, by: Any = 2.0, *, plus: Any = 0.0) -> Any:
    return x * by + plus


def _swapped(batch: Any) -> Any:
    return {"second": batch["first"] * 2, "first": [batch["second"][0], (batch["second"][1],)]}


# A function, how it is called, and what it returns.
CALLS: Final[dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any]]] = {
    "a default": (_scaled, (VECTOR,), {}, VECTOR * 2),
    "a Python number": (_scaled, (VECTOR, 3), {}, VECTOR * 3),
    "a keyword": (_scaled, (VECTOR,), {"plus": np.float32(1)}, VECTOR * 2 + 1),
    "nothing but keywords": (_scaled, (), {"x": VECTOR, "by": np.float32(3)}, VECTOR * 3),
    "trees": (
        _swapped,
        ({"first": VECTOR, "second": [np.ones(2), np.zeros(1)]},),
        {},
        {"second": VECTOR * 2, "first": [np.ones(2), (np.zeros(1),)]},
    ),
}


class FunctionContract(Contract):
    def test_python_functions_are_taken_or_refused(self, graphmode: Handle) -> None:
        """`traces_python` is true or false, and not just said."""
        if backend_of(graphmode).traces_python:
            expect(graphmode, graphmode.function(lambda x: x + x)(VECTOR), VECTOR + VECTOR)
            return
        with pytest.raises((UnsupportedError, TypeError)) as refused:
            graphmode.function(lambda x: x + x)(VECTOR)
        assert "pick" in str(refused.value), "say that a model is handed over with graphmode.pick"

    def test_a_model_is_run(self, graphmode: Handle) -> None:
        if backend_of(graphmode).traces_python:
            pytest.skip("functions are Python's")
        model, reference = self.model(graphmode)
        run_model = graphmode.function(model)
        for _ in range(2):
            expect(graphmode, run_model(VECTOR), reference(VECTOR.astype(np.float32)))
        assert (graphmode.ledger.builds, graphmode.ledger.rebuilds) == (1, 0)

    def test_arrays_become_tensors(self, graphmode: Handle) -> None:
        needs_python(graphmode)
        seen = []

        def double(x: Any, n: Any) -> Any:
            seen.append((mode_of(graphmode).is_tensor(x), dtype_name(x), dtype_name(n)))
            return x * 2, n

        result = run(graphmode, double, VECTOR, np.arange(2, dtype=np.int16))
        assert seen[0] == (True, graphmode.dtype, "int16")
        expect(graphmode, result, (VECTOR * 2, np.arange(2, dtype=np.int16)))

    @pytest.mark.parametrize("call", CALLS)
    def test_arguments_and_results(self, graphmode: Handle, call: str) -> None:
        needs_python(graphmode)
        function, args, kwargs, wanted = CALLS[call]
        expect(graphmode, run(graphmode, function, *args, **kwargs), wanted)

    def test_native_tensors_are_arguments_and_in_closures_too(self, graphmode: Handle) -> None:
        needs_python(graphmode)
        tensor = graphmode.tensor(VECTOR)
        expect(graphmode, run(graphmode, lambda x, by: x * by + tensor, tensor, 2), VECTOR * 3)

    def test_a_function_in_a_function_is_part_of_it(self, graphmode: Handle) -> None:
        needs_python(graphmode)
        inside = []

        def inner(x: Any) -> Any:
            inside.append(mode_of(graphmode).inside())
            return x + 1

        increment = graphmode.function(inner)
        expect(graphmode, run(graphmode, lambda x: increment(increment(x)), VECTOR), VECTOR + 2)
        assert all(inside)

    def test_results_follow_the_arguments(self, graphmode: Handle) -> None:
        needs_python(graphmode)
        square = graphmode.function(lambda x: x * x)
        for value in (VECTOR, VECTOR + 1, VECTOR - 1):
            expect(graphmode, square(value), value * value)

    def test_an_error_in_the_function_is_the_users(self, graphmode: Handle) -> None:
        needs_python(graphmode)

        def broken(x: Any) -> Any:
            raise ValueError("no such thing")

        with pytest.raises(ValueError, match="no such thing"):
            graphmode.function(broken)(VECTOR)
        assert not mode_of(graphmode).inside()
        expect(graphmode, run(graphmode, lambda x: x + 1, VECTOR), VECTOR + 1)

    def test_xp(self, graphmode: Handle) -> None:
        needs_python(graphmode)

        def several(x: Any, a: Any) -> Any:
            xp = graphmode.xp
            return {
                "matmul": xp.matmul(a, x),
                "mean": xp.mean(a, axis=0),
                "where": xp.where(x > 0, x, xp.zeros_like(x)),
                "stack": xp.stack([x, xp.exp(x)]),
                "shape": xp.reshape(a, (-1,)),
            }

        a = np.arange(6.0).reshape(2, 3)
        wanted = {
            "matmul": a @ VECTOR,
            "mean": a.mean(axis=0),
            "where": np.where(VECTOR > 0, VECTOR, 0.0),
            "stack": np.stack([VECTOR, np.exp(VECTOR)]),
            "shape": a.reshape(-1),
        }
        expect(graphmode, run(graphmode, several, VECTOR, a), wanted)


class CountingContract(Contract):
    def test_nothing_is_counted_before_something_ran(self, graphmode: Handle) -> None:
        assert (graphmode.ledger.builds, graphmode.ledger.calls) == (0, 0)

    def test_a_graph_is_built_once_for_a_signature(self, graphmode: Handle) -> None:
        needs_static(graphmode)
        double = graphmode.function(lambda x: x * 2)
        for offset in range(3):
            double(VECTOR + offset)
        assert (graphmode.ledger.builds, graphmode.ledger.rebuilds) == (1, 0), graphmode.explain()
        (event,) = graphmode.ledger.events
        assert (event.backend, event.mode) == (graphmode.backend, graphmode.mode)
        assert event.nodes > 0, "a graph has nodes"
        assert event.seconds > 0, "a build takes time"
        assert "x" in {argument.root for argument in event.arguments}, event.signature

    @pytest.mark.parametrize(("kind", "other"), [("shape", np.ones(5)), ("dtype", np.arange(3, dtype=np.int32))])
    def test_a_rebuild_has_its_cause(self, graphmode: Handle, kind: str, other: Any) -> None:
        needs_static(graphmode)
        double = graphmode.function(lambda x, y: x + x + y[0])
        double(VECTOR, VECTOR)
        double(other, VECTOR if kind == "shape" else other)
        assert (graphmode.ledger.builds, graphmode.ledger.rebuilds) == (2, 1), graphmode.explain()
        cause = graphmode.ledger.events[-1].causes[0]
        assert (cause.kind, cause.argument) == (kind, "x"), graphmode.explain()
        assert cause.hint, "a cause says what to do about it"
        if kind == "shape":
            assert ("3" in cause.before, "5" in cause.after) == (True, True), graphmode.explain()

    def test_two_functions_are_two_builds_and_no_rebuild(self, graphmode: Handle) -> None:
        needs_static(graphmode)
        graphmode.function(lambda x: x + 1)(VECTOR)
        graphmode.function(lambda x: x - 1)(VECTOR)
        assert (graphmode.ledger.builds, graphmode.ledger.rebuilds) == (2, 0), graphmode.explain()

    def test_a_block_counts_what_is_built_in_it(self, graphmode: Handle) -> None:
        needs_static(graphmode)
        double = graphmode.function(lambda x: x * 2)
        double(VECTOR)
        with graphmode.watch() as first:
            double(VECTOR)
        with graphmode.watch() as second:
            double(np.ones(4))
        assert (first.builds, second.builds, second.rebuilds) == (0, 1, 1)

    def test_calls_are_counted(self, graphmode: Handle) -> None:
        needs_python(graphmode)
        double = graphmode.function(lambda x: x * 2)
        for _ in range(3):
            double(VECTOR)
        assert graphmode.ledger.calls == 3

    def test_an_eager_call_is_a_build_if_it_records_a_graph(self, graphmode: Handle) -> None:
        needs_gradients(graphmode)
        if mode_of(graphmode).static:
            pytest.skip("graphs are built, not recorded")
        with supported():
            weight = graphmode.variable(VECTOR)
        loss = graphmode.value_and_grad(lambda x: graphmode.xp.sum(weight * x), variables=weight)
        step = graphmode.function(loss)
        before = mode_of(graphmode).recorded_nodes()
        for _ in range(3):
            step(VECTOR)
        recorded = mode_of(graphmode).recorded_nodes() - before
        assert graphmode.ledger.calls == 3
        assert graphmode.ledger.builds == (3 if recorded else 0), graphmode.explain()
        assert graphmode.ledger.nodes == recorded
