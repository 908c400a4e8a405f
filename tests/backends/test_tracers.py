"""What each framework writes for `--graph-trace`: files of one test that its own tools read."""

import json
import logging

import pytest

from pytest_graphmode.backends.specs import BACKENDS

SPECS = {spec.name: spec for spec in BACKENDS}


@pytest.fixture
def tracing(tmp_path):
    """Runs a function with a backend's tracer, several times; gives the files of each time by their names."""
    tracers, count = [], 0

    def run(backend, function):
        nonlocal count
        folder = tmp_path / str(count)
        count += 1
        if not tracers:
            tracers.append(SPECS[backend].load_tracer())
        tracers[0].start(folder)
        function()
        tracers[0].stop()
        files = sorted(folder.iterdir()) if folder.exists() else []
        return {file.name: file.read_text(encoding="utf-8") for file in files}

    yield run
    for tracer in tracers:
        tracer.end()


def test_tensorflows_functions_are_graphs_that_it_reads_again(tracing):
    tf = pytest.importorskip("tensorflow")
    from google.protobuf import text_format

    before = tensorflows_hooks()

    def traced():
        @tf.function
        def square(x):
            return x * x

        square(tf.constant(1.0))
        square(tf.constant([1.0]))
        square(tf.constant(2.0))

    files = tracing("tf", traced)
    assert list(files) == ["001-square.pbtxt", "002-square.pbtxt"]
    graph = text_format.Parse(files["001-square.pbtxt"], tf.compat.v1.GraphDef())
    assert "Mul" in [node.op for node in graph.node]
    assert list(tracing("tf", traced)) == ["001-square.pbtxt", "002-square.pbtxt"]
    assert tracing("tf", lambda: tf.constant(1.0) * 2) == {}
    assert tensorflows_hooks() != before  # and the fixture puts it back


def tensorflows_hooks():
    from pytest_graphmode.backends.tensorflow.internals import session, tracing_compilation

    return tracing_compilation._create_concrete_function, session.BaseSession._extend_graph


def torchs_handlers():
    return tuple(logging.getLogger("torch.__trace").handlers)


@pytest.mark.parametrize(("backend", "kept"), [("tf", tensorflows_hooks), ("torch", torchs_handlers)])
def test_a_framework_is_as_it_was_when_the_tracer_ends(tmp_path, backend, kept):
    pytest.importorskip(SPECS[backend].module)
    before, tracer = kept(), SPECS[backend].load_tracer()
    tracer.start(tmp_path)
    assert kept() != before
    tracer.stop()
    if backend == "torch":  # TensorFlow's hooks stay from one test to the next
        assert kept() == before
        tracer.stop()
    tracer.end()
    assert kept() == before


def test_the_graph_of_a_session_is_written_as_it_is_when_it_runs(tracing):
    tf = pytest.importorskip("tensorflow")

    def ran():
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            session.run(tf.add(1, 2, name="first"))
            session.run(tf.add(1, 2, name="second"))

    (text,) = tracing("tf", ran).values()
    assert '"first"' in text
    assert '"second"' in text


@pytest.mark.slow
def test_torchs_logs_are_whole_by_themselves(tracing):
    pytest.importorskip("torch")
    import torch._dynamo

    def compiled():
        torch._dynamo.reset()
        torch.compile(lambda x: x * 2, backend="eager")(torch.ones(3))

    for _ in range(2):
        ((name, text),) = tracing("torch", compiled).items()
        assert name.startswith("dedicated_log_torch_trace_")
        events = [json.loads(line.partition("] ")[2]) for line in text.splitlines() if line[:1] == "V"]
        assert [event for event in events if "dynamo_start" in event]
        names = dict([event["str"][::-1] for event in events if "str" in event])
        frames = [frame for event in events for frame in event.get("dynamo_start", {}).get("stack", [])]
        assert __file__ in {names[frame["filename"]] for frame in frames}
    assert tracing("torch", lambda: torch.ones(3) * 2) == {}


def test_jax_writes_what_it_lowers(tracing):
    jax = pytest.importorskip("jax")
    import jax.numpy as jnp

    x = jnp.ones(3)
    before = dict(jax.config.values)
    files = tracing("jax", lambda: jax.jit(lambda x: x * 2)(x))
    text = "\n".join(files.values())
    assert "stablehlo.multiply" in text
    if "jax_dump_ir_modes" in before:
        assert [name for name in files if name.endswith(".jaxpr.txt")]
    assert dict(jax.config.values) == before
    assert tracing("jax", lambda: jax.devices()) == {}
