"""Options of one backend or mode, and the names that mean one: without a framework."""

import pytest

from pytest_graphmode.backends.mode_options import options_for

LEGAL = ("tf", "tf_graph", "torch", "torch_eager", "torch_compile")
COMPILE, EAGER, GRAPH = ("torch_compile", "torch"), ("torch_eager", "torch"), ("tf_graph", "tf")
OPTIONS = {"a": 0, "torch": {"a": 1, "b": 1}, "torch_compile": {"b": 2}}


@pytest.mark.parametrize(
    ("keys", "chosen"), [(COMPILE, {"a": 1, "b": 2}), (EAGER, {"a": 1, "b": 1}), (GRAPH, {"a": 0})]
)
def test_the_most_specific_option_wins_and_others_are_left_alone(keys, chosen):
    assert options_for(keys, OPTIONS, LEGAL) == chosen


def test_a_variant_knows_its_own_names_without_a_run():
    assert options_for(COMPILE, {"torch_compile": {"b": 2}, "c": 3}, ()) == {"b": 2, "c": 3}
