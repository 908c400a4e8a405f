"""Control-flow operators without a framework: trees, and that one at top level keeps no graph."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_graphmode.backends.control_flow.layout import Kind, pack


def test_a_layout_leaves_out_none_and_rebuilds_the_tree():
    layout, tensors = pack({"a": (1, None), "b": [2.0]}, "loop_vars")
    assert tensors == (1, 2.0)
    assert layout.tensor_paths == ["loop_vars['a'][0]", "loop_vars['b'][0]"]
    assert layout.unpack("xy") == {"a": ("x", None), "b": ["y"]}


@pytest.mark.parametrize(
    ("one", "other", "fits"),
    [
        ((2, 3), (2, 3), True),
        ((2, 3), (2, 4), False),
        ((2, 3), (2, 3, 1), False),
        ((None, 3), (2, 3), True),
        (None, (2, 3), True),
        ((), (1,), False),
    ],
)
def test_shapes_fit_as_far_as_they_are_known(one, other, fits):
    assert Kind("float32", one).fits(Kind("float32", other)) is fits
    assert Kind("float32", other).fits(Kind("float32", one)) is fits


SCALE = 1


class Model:
    def __init__(self):
        self.step = 1

    def body(self, n):
        return n + self.step


MODEL = Model()


def change(name, value):
    globals()[name] = value


CHANGES = {
    "closure": lambda step: lambda n: n + step,
    "global": lambda step: (change("SCALE", step), lambda n: n + SCALE)[1],
    "attribute of a method's object": lambda step: (setattr(MODEL, "step", step), MODEL.body)[1],
}


@pytest.mark.parametrize("kind", CHANGES)
def test_an_operator_at_top_level_is_built_anew_and_reads_what_is_there_now(static, mode, kind):
    """The miniature's graphs hold the first value they saw, as real ones do."""
    mode.frozen = True
    for step in (1, 2, 2, 3):
        body = CHANGES[kind](step)
        assert static.fori_loop(0, 3, lambda i, n: body(n), 0) == 3 * step  # noqa: B023
    assert static.ledger.builds == 4
    assert static.ledger.events[0].function == "fori_loop(<lambda>)"


def test_in_a_function_an_operator_is_part_of_it(static, mode):
    mode.frozen = True
    box = [1]
    looped = static.function(lambda n: static.fori_loop(0, 3, lambda i, n: n + box[0], n))
    assert [looped(np.int32(0)), box.__setitem__(0, 2), looped(np.int32(0))] == [3, None, 3]
    assert static.ledger.builds == 1


def test_python_values_decide_while_a_graph_is_built_and_tensors_in_it(static, mode):
    function = static.function(lambda x: static.cond(True, lambda x: x + 1, pytest.fail, x))
    assert function(np.float32(1)) == 2
    function = static.function(lambda x: static.switch(7, [pytest.fail, lambda x: x + 2], x))
    assert function(np.float32(1)) == 3


def test_a_scan_over_nothing_changes_nothing(eager):
    total, start, seen = eager.variable(1.0), np.zeros(2), np.random.get_state()[2]

    def step(carry, x):
        eager.assign(total, carry.sum() + x + np.random.rand())
        carry += 1
        return carry, {"y": carry * x, "n": 1}

    carry, ys = eager.scan(step, start, np.zeros(0))
    assert (total, carry.tolist(), start.tolist()) == (1.0, [0, 0], [0, 0])
    assert (ys["y"].shape, ys["n"].shape, ys["n"].dtype.name) == ((0, 2), (0,), "int32")
    assert np.random.get_state()[2] == seen
    eager.scan(step, start, np.zeros(1))
    assert total != 1.0
