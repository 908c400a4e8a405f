"""Verbs without a framework: trees, and that a verb at top level keeps no graph."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from pytest_graphmode.backends.control_flow.layout import Kind, pack


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


def test_a_verb_at_top_level_is_a_function_built_for_this_call(static):
    for start in (0, 5, 20):
        (result,) = static.while_loop(lambda n: n < 10, lambda n: n + 1, (start,))
        assert result == max(start, 10)
    assert static.ledger.builds == 3
    assert static.ledger.events[0].function == "while_loop(<lambda>)"


def test_a_verb_inside_a_function_is_part_of_it(static):
    function = static.function(lambda n: static.fori_loop(0, n, lambda i, x: x + i, 0))
    assert function(np.int32(4)) == 6
    assert static.ledger.builds == 1


SCALE = 1


class Model:
    def __init__(self):
        self.step = 1

    def body(self, n):
        return n + self.step


MODEL = Model()


def add_scale(n):
    return n + SCALE


def change(name, value):
    globals()[name] = value


CHANGES = {
    "closure": lambda step, box: lambda n: n + step,
    "default": lambda step, box: lambda n, step=step: n + step,
    "keyword default": lambda step, box: lambda n, *, step=step: n + step,
    "list": lambda step, box: (box.__setitem__(0, step), lambda n: n + box[0])[1],
    "array": lambda step, box: (lambda array: lambda n: n + array[0])(np.full(1, step)),
    "global": lambda step, box: (change("SCALE", step), lambda n: n + SCALE)[1],
    "global of a function it calls": lambda step, box: (change("SCALE", step), lambda n: add_scale(n))[1],
    "partial": lambda step, box: functools.partial(lambda step, n: n + step, step),
    "function": lambda step, box: (lambda inner: lambda n: inner(n))(lambda n: n + step),
    "attribute": lambda step, box: (setattr(MODEL, "step", step), lambda n: n + MODEL.step)[1],
    "attribute of a method's object": lambda step, box: (setattr(MODEL, "step", step), MODEL.body)[1],
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_verb_at_top_level_reads_what_is_there_now(static, mode, kind):
    """The miniature's graphs hold the first value they saw, as real ones do."""
    mode.frozen = True
    box = [None]
    for step in (1, 2, 2, 3):
        body = CHANGES[kind](step, box)
        assert static.fori_loop(0, 3, lambda i, n: body(n), 0) == 3 * step  # noqa: B023
    assert static.ledger.builds == 4


def test_in_a_function_a_verb_is_built_once(static, mode):
    mode.frozen = True
    box = [1]
    looped = static.function(lambda n: static.fori_loop(0, 3, lambda i, n: n + box[0], n))
    assert [looped(np.int32(0)), box.__setitem__(0, 2), looped(np.int32(0))] == [3, None, 3]
    assert static.ledger.builds == 1


def test_a_function_that_calls_itself(static):
    def factorial(n):
        return static.cond(n > 0, lambda n: n * factorial(n - 1), lambda n: n * 0 + 1, n)

    assert [factorial(static.tensor(4)), factorial(static.tensor(3))] == [24, 6]


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
