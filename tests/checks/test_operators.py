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


def test_python_values_decide_while_a_graph_is_built_and_tensors_in_it(static, mode):
    function = static.function(lambda x: static.cond(True, lambda x: x + 1, pytest.fail, x))
    assert function(np.float32(1)) == 2
    function = static.function(lambda x: static.switch(7, [pytest.fail, lambda x: x + 2], x))
    assert function(np.float32(1)) == 3
