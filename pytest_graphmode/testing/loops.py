"""The contract about control flow: the five operators give Python's results, in one graph where there are graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest

from pytest_graphmode.testing.contract import Contract, expect, mode_of, needs_python, run, supported

if TYPE_CHECKING:
    from pytest_graphmode.handle import Handle


def _triangle(g: Handle, size: Any) -> Any:
    def row(i: Any, total: Any) -> Any:
        _, total = g.while_loop(lambda j, t: j < i, lambda j, t: (j + 1, t + 1), (0, total))
        return i + 1, total

    return g.while_loop(lambda i, total: i < size, row, (0, 0))[1]


def _fibonacci(g: Handle, limit: Any) -> Any:
    def step(state: Any) -> Any:
        a, b = state["pair"]
        return {"pair": (b, a + b), "sums": state["sums"] + 1}

    return g.while_loop(lambda state: state["pair"][1] < limit, step, {"pair": (0, 1), "sums": g.xp.zeros(2)})


def _careful(g: Handle, x: Any) -> Any:
    """A loop that would not end, in the branch that is not taken."""

    def endless(x: Any) -> Any:
        return g.while_loop(lambda y: y < 1, lambda y: (y * x,), (x,))[0]

    return g.cond(x > 1, endless, lambda x: x, x)


def _collatz(g: Handle, n: Any) -> Any:
    def step(n: Any, steps: Any) -> Any:
        even = g.xp.equal(n % 2, 0)  # TensorFlow 1 compares tensors by identity with ==
        return g.cond(even, lambda n: n // 2, lambda n: 3 * n + 1, n), steps + 1

    return g.while_loop(lambda n, steps: n > 1, step, (n, 0))[1]


def _running(g: Handle, xs: Any) -> Any:
    return g.scan(lambda total, x: (total + x, {"total": total, "square": x * x}), 0.0, xs)


_XS: Final = np.array([1.0, 2.0, 4.0])
_TOTALS: Final = np.array([0.0, 1.0, 3.0])

# The function of a handle and one argument, and what it returns for some.
PROGRAMS: Final[dict[str, tuple[Callable[[Any, Any], Any], list[tuple[Any, Any]]]]] = {
    "while_loop": (
        lambda g, limit: g.while_loop(lambda x, n: x < limit, lambda x, n: (x * 2, n + 1), (1.0, 0)),
        [(0.5, (1.0, np.int32(0))), (2.0, (2.0, np.int32(1))), (10.0, (16.0, np.int32(4)))],
    ),
    "while_loop_over_a_tree": (
        _fibonacci,
        [
            (1, {"pair": (np.int32(0), np.int32(1)), "sums": np.zeros(2)}),
            (9, {"pair": (np.int32(8), np.int32(13)), "sums": np.full(2, 6.0)}),
        ],
    ),
    "while_loop_in_a_while_loop": (_triangle, [(0, np.int32(0)), (1, np.int32(0)), (5, np.int32(10))]),
    "fori_loop": (
        lambda g, n: g.fori_loop(1, n + 1, lambda i, total: total * i, 1),
        [(-3, np.int32(1)), (0, np.int32(1)), (1, np.int32(1)), (5, np.int32(120))],
    ),
    "scan": (
        _running,
        [(s * _XS, (np.float64(7 * s), {"total": s * _TOTALS, "square": _XS * _XS})) for s in (1, -1)],
    ),
    "cond": (
        lambda g, x: g.cond(x < 0, lambda x: {"y": -x, "flag": 1}, lambda x: {"y": x, "flag": 0}, x),
        [(x, {"y": abs(x), "flag": np.int32(x < 0)}) for x in (-2.0, 3.0)],
    ),
    "cond_with_closures": (lambda g, x: g.cond(x > 1, lambda: x * 0 + 1, lambda: x), [(0.5, 0.5), (7.0, 1.0)]),
    "only_the_branch_that_is_taken": (_careful, [(0.0, 0.0), (2.0, 2.0)]),
    "switch_clamps_its_index": (
        lambda g, index: g.switch(index, [lambda x: x, lambda x: x * 10, lambda x: x * 100], g.tensor(2.0)),
        [(-5, 2.0), (0, 2.0), (1, 20.0), (2, 200.0), (9, 200.0)],
    ),
    "a_branch_in_a_loop": (_collatz, [(1, np.int32(0)), (2, np.int32(1)), (6, np.int32(8))]),
}


class OperatorContract(Contract):
    @pytest.mark.parametrize("program", PROGRAMS)
    def test_control_flow(self, graphmode: Handle, program: str) -> None:
        """One function on every case, in one graph where the mode has graphs."""
        needs_python(graphmode)
        body, cases = PROGRAMS[program]
        function = graphmode.function(lambda x: body(graphmode, x))
        for argument, wanted in cases:
            with supported():
                result = function(graphmode.tensor(argument))
            expect(graphmode, result, wanted)
        if mode_of(graphmode).static:
            assert graphmode.ledger.builds == 1, graphmode.explain()
            assert sum(graphmode.ledger.events[0].control_flow.values()), "the control flow is not in the graph"

    @pytest.mark.parametrize("iterations", [0, 1, 4])
    def test_fori_loop_with_known_bounds(self, graphmode: Handle, iterations: int) -> None:
        needs_python(graphmode)
        result = run(graphmode, lambda x: graphmode.fori_loop(0, iterations, lambda i, x: x * 2, x), np.ones(2))
        expect(graphmode, result, np.full(2, 2.0**iterations))

    def test_scan_over_a_tree(self, graphmode: Handle) -> None:
        needs_python(graphmode)
        x, w = np.arange(6.0).reshape(3, 2), np.array([1.0, 0.5, 2.0])

        def weighted(x: Any, w: Any) -> Any:
            rows = {"x": x, "w": w}
            return graphmode.scan(lambda total, row: (total + row["x"] * row["w"], None), np.zeros(2), rows)[0]

        expect(graphmode, run(graphmode, weighted, x, w), (x * w[:, None]).sum(axis=0))

    def test_scan_over_nothing(self, graphmode: Handle) -> None:
        needs_python(graphmode)
        carry, ys = run(graphmode, lambda xs: graphmode.scan(lambda c, x: (c + 1, x * 2), 3.0, xs), np.zeros((0, 2)))
        expect(graphmode, carry, np.float32(3))
        assert ys.shape == (0, 2)

    def test_operators_at_top_level(self, graphmode: Handle) -> None:
        needs_python(graphmode)
        with supported():
            looped = graphmode.while_loop(lambda x: x < 10, lambda x: (x * 2,), (1.0,))
            branched = graphmode.cond(graphmode.tensor(3.0) > 2, lambda: 1.0, lambda: 2.0)
        expect(graphmode, (looped[0], branched), (16.0, 1.0))
