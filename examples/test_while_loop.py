"""A loop over tensors: once with `while_loop`, once as Python's own `while`.

Two counters start at 0 and 10; the first grows by 2 and the second by 1 while the first is smaller.
"""

import pytest

pytestmark = pytest.mark.graphmode(backends="tf:graph+eager+session+xla,torch:eager+compile,jax:jit+eager,numpy")


def race_with_verb(graphmode, first, second):
    return graphmode.while_loop(
        lambda first, second, trips: first < second,
        lambda first, second, trips: (first + 2, second + 1, trips + 1),
        (first, second, 0),
    )


def race_in_python(first, second):
    trips = 0
    while first < second:
        first, second, trips = first + 2, second + 1, trips + 1
    return first, second, trips


STARTS = [(0, 10), (7, 7), (3, 5)]  # ten trips, none, two


@pytest.mark.graph_rebuilds(0)
def test_while_loop(graphmode):
    race = graphmode.function(lambda first, second: race_with_verb(graphmode, first, second))
    first, second, trips = race(graphmode.tensor(0), graphmode.tensor(10))
    assert (graphmode.numpy(first), graphmode.numpy(second), graphmode.numpy(trips)) == (20, 20, 10)


def test_while_loop_stays_in_the_graph(graphmode):
    """Right for every start, in one graph with a `while` node, and plain Python agrees."""
    graphmode.check_control_flow(
        lambda first, second: race_with_verb(graphmode, first, second), STARTS, reference=race_in_python
    )


@pytest.mark.graph_skip("jax:jit", reason="jax.jit does not convert Python's while: use while_loop")
@pytest.mark.graph_skip("torch:compile", reason="Dynamo breaks the graph at Python's while: use while_loop")
def test_python_while(graphmode):
    """AutoGraph turns the `while` into a node of the graph; eager frameworks just run it."""
    race = graphmode.function(race_in_python)
    first, second, trips = race(graphmode.tensor(0), graphmode.tensor(10))
    assert (graphmode.numpy(first), graphmode.numpy(second), graphmode.numpy(trips)) == (20, 20, 10)
    graphmode.check_control_flow(race_in_python, STARTS)
