"""A graph that breaks is not one graph: check_control_flow names the line, and what to write there instead."""

from __future__ import annotations

import pytest

from tests.backends.variants import variants

HERE = "tests/backends/test_controlflow_breaks.py"
compiled = variants("torch:compile")


def failure(check, *args, **options):
    with pytest.raises(AssertionError) as caught:
        check(*args, **options)
    return str(caught.value)


def branch(x):
    if x > 0:
        return x * 2
    return x - 1


@compiled
def test_a_python_if_on_a_tensor(graphmode):
    message = failure(graphmode.check_control_flow, branch, [(1.0,), (-1.0,)])
    assert (
        "check_control_flow(branch) in torch-compile-cpu: it is not all in one graph, which breaks\n"
        f"  at Python's `if x > 0` at {HERE}:{branch.__code__.co_firstlineno + 1}, which needs the value of a tensor: "
        "use graphmode.cond(pred, true_fn, false_fn, *operands)\n"
        "or pass in_graph=False"
    ) in message
    graphmode.check_control_flow(branch, [(1.0,), (-1.0,)], in_graph=False)
    graphmode.check_control_flow(
        lambda x: graphmode.cond(x > 0, lambda x: x * 2, lambda x: x - 1, x), [(1.0,), (-1.0,)]
    )


@compiled
def test_a_break_that_the_test_met_before(graphmode):
    """Dynamo keeps the graphs of a code, broken ones too, so the check itself may see no break."""
    graphmode.function(branch)(graphmode.tensor(1.0))
    graphmode.function(branch)(graphmode.tensor(-1.0))
    assert "at Python's `if x > 0` at" in failure(graphmode.check_control_flow, branch, [(1.0,), (-1.0,)])


@compiled
def test_any_other_break_is_told_in_the_words_of_torch(graphmode):
    def fn(x):
        x = x * 2
        print(end="")
        return x + 1

    message = failure(graphmode.check_control_flow, fn, [(1.0,)])
    assert f"test_controlflow_breaks.py:{fn.__code__.co_firstlineno + 2}: " in message
    graphmode.check_control_flow(fn, [(1.0,)], in_graph=False)


@variants("tf:graph", "torch:eager", "tf:eager")
def test_where_python_s_statements_are_fine(graphmode):
    graphmode.check_control_flow(branch, [(1.0,), (-1.0,)])
    message = failure(graphmode.check_control_flow, branch, [(1.0,)])
    assert (
        f"the false side of `if x > 0` at {HERE}:{branch.__code__.co_firstlineno + 1} was taken by no case" in message
    )
