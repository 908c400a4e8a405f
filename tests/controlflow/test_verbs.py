"""Verbs without a framework: trees, and what a verb at top level keeps."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_graphmode.controlflow.layout import Kind, pack


def test_a_layout_leaves_out_none_and_rebuilds_the_tree():
    layout, tensors = pack({"a": (1, None), "b": [2.0]}, "loop_vars")
    assert tensors == (1, 2.0)
    assert layout.tensor_paths == ["loop_vars['a'][0]", "loop_vars['b'][0]"]
    assert layout.unpack("xy") == {"a": ("x", None), "b": ["y"]}


class Unknown:
    """A tensor whose rank TensorFlow does not know."""

    dtype = np.dtype("float32")

    class Shape:
        def __iter__(self):
            raise ValueError("Cannot iterate over a shape with unknown rank.")

    shape = Shape()


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


def test_a_tensor_of_unknown_rank():
    assert Kind.of(Unknown()) == Kind("float32", None)
    assert Kind.of(Unknown()).dimensions == "[?]"


def test_eager_verbs_are_python_loops(eager):
    seen = []
    assert eager.while_loop(lambda n: n < 3, lambda n: seen.append(int(n)) or n + 1, (0,)) == (3,)
    assert seen == [0, 1, 2]
    assert eager.ledger.builds == 0


def test_a_verb_at_top_level_is_one_function_kept_for_equal_callbacks(static):
    for start in (0, 5, 20):
        (result,) = static.while_loop(lambda n: n < 10, lambda n: n + 1, (start,))
        assert result == max(start, 10)
    assert static.ledger.builds == 1
    assert static.ledger.events[0].function == "while_loop(<lambda>)"


def test_a_verb_inside_a_function_is_part_of_it(static):
    function = static.function(lambda n: static.fori_loop(0, n, lambda i, x: x + i, 0))
    assert function(np.int32(4)) == 6
    assert static.ledger.builds == 1


def test_callbacks_that_close_over_other_values_are_another_function(static, mode):
    mode.frozen = True
    for step in (1, 2, 2):
        (result,) = static.while_loop(lambda n: n < 10, lambda n: n + step, (0,))  # noqa: B023
        assert result == 10
    assert static.ledger.builds == 2


def test_a_closed_over_value_that_changed_makes_another_function(static, mode):
    """The function object is the same; a graph kept for it would hold the old value."""
    mode.frozen = True
    step = 1

    def body(n):
        return n + step

    assert static.fori_loop(0, 3, lambda i, n: body(n), 0) == 3
    step = 2
    assert static.fori_loop(0, 3, lambda i, n: body(n), 0) == 6
    assert [static.cond(True, body, body, 1), static.cond(False, body, body, 1)] == [3, 3]
    step = 3
    assert static.cond(True, body, body, 1) == 4


def test_python_values_decide_while_a_graph_is_built_and_tensors_in_it(static, mode):
    function = static.function(lambda x: static.cond(True, lambda x: x + 1, pytest.fail, x))
    assert function(np.float32(1)) == 2
    function = static.function(lambda x: static.switch(7, [pytest.fail, lambda x: x + 2], x))
    assert function(np.float32(1)) == 3
