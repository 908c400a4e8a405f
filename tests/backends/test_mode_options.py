"""Options of one backend or mode, and the names that mean one: without a framework."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from pytest_graphmode.backends.mode_options import options_for, refused, require_function, require_known

TRACING = SimpleNamespace(traces_python=True)
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


@pytest.mark.parametrize("value", [True, ["dynamic"], {1: 2}])
def test_what_stands_under_a_name_is_a_dict(value):
    message = (
        "graphmode.function: torch_compile takes the options of that backend or mode as a dict, torch_compile=dict("
    )
    with pytest.raises(TypeError, match=re.escape(message)):
        options_for(GRAPH, {"torch_compile": value}, LEGAL)


def test_an_option_that_a_mode_does_not_know():
    error = refused("torch-eager-cpu", {"dynamic": True}, TypeError("no option dynamic"), LEGAL)
    assert str(error) == (
        "graphmode.function(dynamic=True) in torch-eager-cpu: no option dynamic\n"
        "an option that only one backend or mode has goes under its name, and the others leave it alone: "
        "graphmode.function(fn, torch_compile=dict(dynamic=True)) "
        "(the names are tf, tf_graph, torch, torch_eager, torch_compile)"
    )


def test_names_of_backends_and_modes():
    require_known("graphmode.pick", {"tf": 1, "torch_compile": 2}, LEGAL)
    require_known("graphmode.pick", {"anything": 1}, ())
    message = (
        "graphmode.pick has no backend or mode tensorflow, pytorch: the names are tf, tf_graph, torch, torch_eager, "
        "torch_compile"
    )
    with pytest.raises(TypeError, match=re.escape(message)):
        require_known("graphmode.pick", {"tensorflow": 1, "tf": 1, "pytorch": 2}, LEGAL)


def test_what_can_be_called():
    require_function(TRACING, "graphmode.function", len)
    require_function(SimpleNamespace(traces_python=False), "graphmode.function", "a model")
    with pytest.raises(
        TypeError, match=re.escape("graphmode.grad takes a function or another callable, not the int 3")
    ):
        require_function(TRACING, "graphmode.grad", 3)
