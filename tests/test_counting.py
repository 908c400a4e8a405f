"""The rebuild and budget markers on real code of the frameworks: what passes, and what a failure tells its reader."""

import re
from textwrap import dedent

import pytest

pytestmark = pytest.mark.usefixtures("frameworks")

MODEL = "\n" * 40 + dedent("""
    import tensorflow as tf
    @tf.function
    def train_step(x, training):
        x = tf.matmul(x, tf.ones([3, 2]))
        if training:
            x = tf.nn.dropout(x, 0.5)
        return tf.reduce_sum(x)
""").lstrip("\n")
PYTHON_VALUE = (
    "accept one build per value (at_most=1), or pass a tensor, tf.constant(training), where only an `if` of the "
    "function looks at it; other code, such as Keras' Dropout, needs the Python bool"
)
SHAPE = (
    "tf.function(input_signature=[tf.TensorSpec(...)]) with None for what varies, or tf.function(reduce_retracing=True)"
    ", which builds once more and then no more"
)


def shown(result):
    """The lines of a run's output from the first that counts something, numbers that vary replaced."""
    lines = result.outlines
    first = next(index for index, line in enumerate(lines) if re.match(r"\d[\d.]* ", line))
    text = "\n".join(lines[first:])
    return re.sub(r"in \d+\.\d\d s", "in 0.31 s", text).splitlines()


def test_the_message_of_a_failure_word_for_word(project):
    project.path.joinpath("model.py").write_text(MODEL)
    project.write("""
        import tensorflow as tf
        from model import train_step

        @pytest.mark.graph_rebuilds(at_most=0)
        def test_training():
            train_step(tf.ones([32, 3]), True)
            train_step(tf.ones([32, 3]), training=False)

            train_step(tf.ones([7, 3]), False)
    """)
    lines = shown(project.run(failed=1))[:7]
    nodes = [re.search(r"(\d+) nodes", line)[1] for line in lines if " nodes" in line]
    assert len(set(nodes)) == 2
    assert lines == [
        "2 rebuilds, at most 0 allowed",
        "  train_step (model.py:42) built 3 times in 0.31 s",
        f"    1  x: float32[32, 3], training: True {nodes[0]:>13} nodes   called from test_net.py:8",
        f"    2  x: float32[32, 3], training: False{nodes[1]:>13} nodes   called from test_net.py:9",
        f"       training is a Python bool that changed True -> False: {PYTHON_VALUE}",
        f"    3  x: float32[7, 3],  training: False{nodes[2]:>13} nodes   called from test_net.py:11",
        f"       x changed shape [32, 3] -> [7, 3]: {SHAPE}",
    ]


BODY = """
    import numpy as np

    def body(graphmode, sizes):
        weight = graphmode.variable(np.ones(1))
        step = graphmode.function(lambda x: graphmode.xp.sum(x * weight))
        for size in sizes:
            if graphmode.backend == "tf" and graphmode.mode == "eager":
                with graphmode.lib.GradientTape():
                    step(np.ones(size))
            else:
                step(np.ones(size))
"""


def run(project, marker, sizes, *options):
    project.write(
        BODY
        + f"""
    @pytest.mark.graphmode(backends="tf:graph+eager,torch:eager")
    @pytest.mark.{marker}
    def test_it(graphmode):
        body(graphmode, {sizes})
    """
    )
    return project.run("--graph-backends=tf,torch", "-rA", *options)


def outcomes(result):
    """`{"tf-graph-cpu": "PASSED", ...}`"""
    found = (re.match(r"(PASSED|FAILED) .*\[(.*?)\]", line) for line in result.outlines)
    return {match[2]: match[1] for match in found if match}


@pytest.mark.parametrize(
    ("marker", "sizes", "failed"),
    [
        ("graph_rebuilds(0)", [3], []),
        ("graph_rebuilds(0)", [3, 3], ["tf-eager-cpu", "torch-eager-cpu"]),
        ("graph_rebuilds(0)", [3, 4], ["tf-graph-cpu", "tf-eager-cpu", "torch-eager-cpu"]),
        ("graph_rebuilds(1)", [3, 4], []),
        ("graph_rebuilds(1)", [3, 3], ["tf-graph-cpu"]),
        ("graph_rebuilds(at_most=1)", [3, 3], []),
        ("graph_rebuilds(tf_graph=0, tf=2, torch=1)", [3, 3], ["tf-eager-cpu"]),
        ("graph_rebuilds(at_most=0, tf_eager=1)", [3, 3], ["torch-eager-cpu"]),
        ("graph_budget(rebuilds={'tf_graph': 0})", [3, 4], ["tf-graph-cpu"]),
        ("graph_budget(builds={'tf': 2, 'torch_eager': 1})", [3, 4], ["torch-eager-cpu"]),
        ("graph_budget(nodes={'torch': 3, 'tf_eager': 4})", [3, 4], ["torch-eager-cpu"]),
        ("graph_budget(seconds={'tf_graph': 0})", [3, 4], ["tf-graph-cpu"]),
        ("graph_budget(breaks=0)", [3, 4], []),
    ],
)
def test_markers_hold_variants_to_their_limits(project, marker, sizes, failed):
    found = outcomes(run(project, marker, sizes))
    assert set(found) == {"tf-graph-cpu", "tf-eager-cpu", "torch-eager-cpu"}
    assert {variant for variant, outcome in found.items() if outcome == "FAILED"} == set(failed)


def test_what_was_built_before_the_test_does_not_count_and_another_build_of_it_is_a_rebuild(project):
    project.write("""
        import numpy as np, tensorflow as tf

        step = tf.function(lambda x: x + 1.0)
        step(tf.ones(3))

        @pytest.fixture
        def warm(graphmode):
            made = graphmode.function(lambda x: x * 2.0)
            made(np.ones(3))
            return made

        @pytest.mark.graph_rebuilds(1)
        def test_of_a_module(graph_ledger):
            step(tf.ones(4))
            assert graph_ledger.builds == 1

        @pytest.mark.graph_rebuilds(0)
        def test_of_a_module_without_another():
            step(tf.ones(4))

        @pytest.mark.graph_rebuilds(tf=1, torch=0)
        @pytest.mark.graphmode(backends="tf:graph,torch:eager")
        def test_of_a_fixture(graphmode, warm):
            warm(np.ones(4))
            assert graphmode.ledger.builds == (graphmode.backend == "tf")
    """)
    project.run("--graph-backends=tf,torch", passed=4)


def test_arguments_in_dataclasses_dicts_and_lists_are_named_by_their_paths(project):
    project.write("""
        import dataclasses, numpy as np

        @dataclasses.dataclass
        class Batch:
            x: object
            y: object

        @pytest.mark.graphmode(backends="tf:graph")
        def test_paths(graphmode):
            step = graphmode.function(lambda batch, rest, rate=0.5: batch.x)
            step(Batch(np.ones(3), np.ones(1)), {"a": [np.ones(2)]})
            step(Batch(np.ones(4), np.ones(1)), {"a": [np.ones(5)]}, rate=0.1)
            step(Batch(np.ones(4), np.ones(1)), {"a": [np.ones(5)]}, rate=0.1)
            first, second = graphmode.ledger.events
            assert first.signature == (
                "batch.x: float32[3], batch.y: float32[1], rest['a'][0]: float32[2], rate: 0.5"
            )
            assert [(cause.kind, cause.argument) for cause in second.causes] == [
                ("shape", "batch.x"), ("shape", "rest['a'][0]"), ("python-value", "rate")
            ]

        @pytest.mark.graphmode(backends="tf:graph")
        def test_gradients_have_the_names_of_the_function(graphmode):
            step = graphmode.value_and_grad(lambda x, y: graphmode.xp.sum(x * y))
            step(np.ones(3), np.ones(3))
            step(np.ones(4), np.ones(4))
            first, second = graphmode.ledger.events
            assert first.function == "value_and_grad(<lambda>)"
            assert first.signature == "x: float32[3], y: float32[3]"
            assert [cause.argument for cause in second.causes] == ["x", "y"]
    """)
    project.run("--graph-backends=tf", passed=2)
