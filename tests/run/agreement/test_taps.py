"""Taps in the agreement item: what they decide, and what it says of them; and that nothing of them outlives a test."""

import pytest

TEST = """
    @pytest.mark.graph_agree
    def test_net(graphmode):
        wrong = 1.5 if graphmode.backend == "toy" else 1
        def net(x):
            a = graphmode.tap("a", x + 1)
            b = graphmode.tap("b", a * {factor})
            return graphmode.tap("c", b * b)
        result = graphmode.function(net)(graphmode.tensor([1.0, 2.0]))
        {rest}
"""


def run(toy, factor, rest, **outcomes):
    toy.write(TEST.format(factor=factor, rest=rest))
    return toy.run("-p", "no:cacheprovider", backends="numpy,toy", **outcomes)


def test_taps_decide_where_nothing_else_is_recorded(toy):
    run(toy, "2", "", passed=3)
    result = run(toy, "wrong", "", passed=2, failed=1)
    result.says(
        "toy-graph-cpu does not agree with the reference, numpy-eager-cpu:",
        "  `b` is the first tap that differs (50 % at [[]1]); `a`, before it, agrees to the last bit",
        "  b at [[]1]: toy-graph-cpu 4.5, numpy-eager-cpu 3.0: they differ by 1.5 (relative 0.5); *",
        "  Taps in the order of the code, with the error relative to the largest value, and x its growth*",
        "    a        0",
        "    b     50 %  the first that differs",
        "    c    120 %  x 2.5",
        "A wider tolerance would hide that.",
    )


def test_taps_decide_nothing_while_what_agree_recorded_agrees(toy):
    run(toy, "wrong", "graphmode.agree(result=result * 0)", passed=3)
    result = run(toy, "wrong", "graphmode.agree(result=result)", passed=2, failed=1)
    result.says(
        "  result at [[]1]: toy-graph-cpu 20.25, numpy-eager-cpu 9.0: *",
        "  `b` is the first tap that differs (50 % at [[]1]); `a`, before it, agrees to the last bit",
        "    c    120 %  x 2.5",
    )


@pytest.mark.parametrize(
    ("rest", "line"),
    [
        ("graphmode.backend == 'toy' and graphmode.tap('d', result)", "d: recorded by toy-graph-cpu, not by numpy-*"),
        (
            "graphmode.backend == 'toy' and graphmode.tap('c', result)",
            "c: recorded 2 times by toy-graph-cpu, once by *",
        ),
        (
            "graphmode.tap('d', result[: 1 + (wrong > 1)])",
            "d: toy-graph-cpu float32[[]2], numpy-eager-cpu float32[[]1]: *",
        ),
    ],
)
def test_taps_that_can_not_be_compared_fail_where_taps_decide(toy, rest, line):
    result = run(toy, "2", rest, passed=2, failed=1)
    result.says(f"  {line}", "Record the same names, equally often, as values of the same structure*")
    run(toy, "2", f"{rest}; graphmode.agree(result=result)", passed=3)


@pytest.mark.parametrize("call", ["tap('h', 1.0)", "tap_layers(object())"])
def test_without_the_marker_a_tap_fails_and_names_it(toy, call):
    toy.write(f"def test_net(graphmode):\n    graphmode.{call}")
    result = toy.run("--graph-backends=numpy", failed=1)
    result.says("*graphmode.tap* records values for the agreement item of the test, and this test has none: mark it *")


def test_layers_are_as_before_when_the_test_has_ended(request):
    pytest.importorskip("torch")
    project = request.getfixturevalue("project")
    project.write("""
        import torch
        NET = torch.nn.Sequential(torch.nn.Linear(2, 2))

        @pytest.mark.graph_agree
        @pytest.mark.graphmode(backends="torch:eager")
        def test_taps(graphmode):
            graphmode.tap_layers(NET)
            NET(torch.ones(2))
            assert list(graphmode.recording.taps) == ["0"]

        def test_after():
            assert not NET[0]._forward_hooks
    """)
    project.run(backends="torch:eager", passed=2, skipped=1)


def test_layers_of_keras_and_tensorflow_are_as_before_when_the_test_has_ended(project):
    pytest.importorskip("tensorflow")
    project.write("""
        import tensorflow as tf
        keras = pytest.importorskip("keras")
        NET = keras.Sequential([keras.layers.Dense(2)])
        NET(tf.ones([1, 2]))

        class Module(tf.Module):
            def __call__(self, x):
                return x

        MODULE = Module()

        @pytest.mark.graph_agree
        @pytest.mark.graphmode(backends="tf:eager")
        def test_taps(graphmode):
            graphmode.tap_layers(NET)
            graphmode.tap_layers(MODULE)
            MODULE(NET(tf.ones([1, 2])))
            assert list(graphmode.recording.taps) == ["dense", "Module"]
            assert type(MODULE) is not Module

        def test_after():
            assert "call" not in vars(NET.layers[0])
            assert type(MODULE) is Module
    """)
    project.run(backends="tf:eager", apart=True, passed=2, skipped=1)
