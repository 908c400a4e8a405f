"""The contract about control flow: the five verbs give Python's results, in one graph where there are graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pytest_graphmode.testing.contract import Contract, expect, mode_of, needs_python, run, supported

if TYPE_CHECKING:
    from pytest_graphmode.handle import Handle


def agree(graphmode: Handle, function: Callable[..., Any], cases: list[tuple[Any, Any]]) -> None:
    """One function on every case, in one graph where the mode has graphs."""
    __tracebackhide__ = True
    needs_python(graphmode)
    compiled = graphmode.function(function)
    for argument, wanted in cases:
        with supported():
            result = compiled(graphmode.tensor(argument))
        expect(graphmode, result, wanted)
    if mode_of(graphmode).static:
        assert graphmode.ledger.builds == 1, graphmode.explain()
        assert sum(graphmode.ledger.events[0].control_flow.values()), "the control flow is not in the graph"


class VerbContract(Contract):
    def test_while_loop(self, graphmode: Handle) -> None:
        def doubled(limit: Any) -> Any:
            return graphmode.while_loop(lambda x, n: x < limit, lambda x, n: (x * 2, n + 1), (1.0, 0))

        wanted = [((1.0), 0), ((2.0), 1), ((16.0), 4)]
        agree(
            graphmode,
            doubled,
            [(limit, (x, np.int32(n))) for limit, (x, n) in zip((0.5, 2.0, 10.0), wanted, strict=True)],
        )

    def test_while_loop_over_a_tree(self, graphmode: Handle) -> None:
        def fibonacci(limit: Any) -> Any:
            start = {"pair": (0, 1), "sums": graphmode.xp.zeros(2)}
            return graphmode.while_loop(
                lambda state: state["pair"][1] < limit,
                lambda state: {
                    "pair": (state["pair"][1], state["pair"][0] + state["pair"][1]),
                    "sums": state["sums"] + 1,
                },
                start,
            )

        cases = [(1, (0, 1), 0.0), (9, (8, 13), 6.0)]
        agree(
            graphmode,
            fibonacci,
            [(limit, {"pair": tuple(map(np.int32, pair)), "sums": np.full(2, trips)}) for limit, pair, trips in cases],
        )

    def test_while_loop_in_a_while_loop(self, graphmode: Handle) -> None:
        def triangle(size: Any) -> Any:
            def row(i: Any, total: Any) -> Any:
                _, total = graphmode.while_loop(lambda j, t: j < i, lambda j, t: (j + 1, t + 1), (0, total))
                return i + 1, total

            return graphmode.while_loop(lambda i, total: i < size, row, (0, 0))[1]

        agree(graphmode, triangle, [(size, np.int32(size * (size - 1) // 2)) for size in (0, 1, 5)])

    def test_fori_loop(self, graphmode: Handle) -> None:
        def factorial(n: Any) -> Any:
            return graphmode.fori_loop(1, n + 1, lambda i, total: total * i, 1)

        agree(graphmode, factorial, [(0, np.int32(1)), (1, np.int32(1)), (5, np.int32(120))])

    @pytest.mark.parametrize("trips", [0, 1, 4])
    def test_fori_loop_with_known_bounds(self, graphmode: Handle, trips: int) -> None:
        needs_python(graphmode)
        result = run(graphmode, lambda x: graphmode.fori_loop(0, trips, lambda i, x: x * 2, x), np.ones(2))
        expect(graphmode, result, np.full(2, 2.0**trips))

    def test_scan(self, graphmode: Handle) -> None:
        def running(xs: Any) -> Any:
            return graphmode.scan(lambda total, x: (total + x, {"total": total, "square": x * x}), 0.0, xs)

        xs = np.array([1.0, 2.0, 4.0])
        wanted = (np.float64(7), {"total": np.array([0.0, 1.0, 3.0]), "square": xs * xs})
        agree(
            graphmode,
            running,
            [(xs, wanted), (-xs, (np.float64(-7), {"total": -wanted[1]["total"], "square": xs * xs}))],
        )

    def test_scan_over_a_tree(self, graphmode: Handle) -> None:
        needs_python(graphmode)

        def weighted(x: Any, w: Any) -> Any:
            return graphmode.scan(
                lambda total, row: (total + row["x"] * row["w"], None), np.zeros(2), {"x": x, "w": w}
            )[0]

        x, w = np.arange(6.0).reshape(3, 2), np.array([1.0, 0.5, 2.0])
        expect(graphmode, run(graphmode, weighted, x, w), (x * w[:, None]).sum(axis=0))

    def test_scan_over_nothing(self, graphmode: Handle) -> None:
        needs_python(graphmode)
        carry, ys = run(graphmode, lambda xs: graphmode.scan(lambda c, x: (c + 1, x * 2), 3.0, xs), np.zeros((0, 2)))
        expect(graphmode, carry, np.float32(3))
        assert ys.shape == (0, 2)

    def test_cond(self, graphmode: Handle) -> None:
        def absolute(x: Any) -> Any:
            return graphmode.cond(x < 0, lambda x: {"y": -x, "flag": 1}, lambda x: {"y": x, "flag": 0}, x)

        agree(graphmode, absolute, [(x, {"y": abs(x), "flag": np.int32(x < 0)}) for x in (-2.0, 3.0)])

    def test_cond_with_a_closure_and_no_operands(self, graphmode: Handle) -> None:
        def clipped(x: Any) -> Any:
            return graphmode.cond(x > 1, lambda: x * 0 + 1, lambda: x)

        agree(graphmode, clipped, [(0.5, 0.5), (7.0, 1.0)])

    def test_only_the_branch_that_is_taken_runs(self, graphmode: Handle) -> None:
        """A loop that would not end, in the branch that is not taken."""

        def careful(x: Any) -> Any:
            def endless(x: Any) -> Any:
                return graphmode.while_loop(lambda y: y < 1, lambda y: (y * x,), (x,))[0]

            return graphmode.cond(x > 1, endless, lambda x: x, x)

        agree(graphmode, careful, [(0.0, 0.0), (2.0, 2.0)])

    def test_switch_clamps_its_index(self, graphmode: Handle) -> None:
        def chosen(index: Any) -> Any:
            return graphmode.switch(index, [lambda x: x, lambda x: x * 10, lambda x: x * 100], graphmode.tensor(2.0))

        agree(graphmode, chosen, [(-5, 2.0), (0, 2.0), (1, 20.0), (2, 200.0), (9, 200.0)])

    def test_a_branch_in_a_loop(self, graphmode: Handle) -> None:
        def even(n: Any) -> Any:
            return graphmode.xp.equal(n % 2, 0)  # TensorFlow 1 compares tensors by identity with ==

        def collatz(n: Any) -> Any:
            def step(n: Any, steps: Any) -> Any:
                return graphmode.cond(even(n), lambda n: n // 2, lambda n: 3 * n + 1, n), steps + 1

            return graphmode.while_loop(lambda n, steps: n > 1, step, (n, 0))[1]

        agree(graphmode, collatz, [(1, np.int32(0)), (2, np.int32(1)), (6, np.int32(8))])

    def test_verbs_at_top_level(self, graphmode: Handle) -> None:
        needs_python(graphmode)
        with supported():
            looped = graphmode.while_loop(lambda x: x < 10, lambda x: (x * 2,), (1.0,))
            branched = graphmode.cond(graphmode.tensor(3.0) > 2, lambda: 1.0, lambda: 2.0)
        expect(graphmode, (looped[0], branched), (16.0, 1.0))
