"""Which traces of TensorFlow's are rebuilds: by code, whoever made the functions and whenever."""

import pkgutil

import numpy as np
import pytest

from pytest_graphmode import watch
from pytest_graphmode.ledger.watcher import watcher
from tests.backends.ledgers import ledger_of, repeated

tf = pytest.importorskip("tensorflow")


def ones(*shape):
    return tf.ones(shape)


# What TensorFlow makes of the user's code on every call.


def squared_rows():
    return tf.vectorized_map(lambda row: tf.reduce_sum(row**2), ones(4, 2))


def jacobian_of_squares():
    x = ones(3)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x
    return tape.jacobian(y, x)


def test_vectorized_loops_are_told_apart_by_their_code():
    assert repeated(lambda: (squared_rows(), jacobian_of_squares()), 1).rebuilds == 0


@pytest.mark.parametrize("call", [squared_rows, jacobian_of_squares])
def test_vectorized_loops_are_built_on_every_call(call):
    ledger = repeated(call)
    assert (ledger.builds, ledger.rebuilds) == (3, 2)
    assert "call it inside a tf.function that is made once, outside the loop" in ledger.explain()
    assert repeated(tf.function(call)).builds == 1  # what the hint says


def test_forward_gradients_of_operations_are_machinery():
    x = ones(2)
    with watch() as ledger, tf.autodiff.ForwardAccumulator(x, x) as accumulator:
        accumulator.jvp(tf.sin(x) * tf.exp(x))
    assert (ledger.builds, ledger.rebuilds) == (0, 0)


# Keras.


@pytest.fixture
def data():
    return np.ones((8, 3), "float32"), np.ones((8, 1), "float32")


def compiled():
    model = tf.keras.Sequential([tf.keras.layers.Input((3,)), tf.keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    return model


def test_training_and_validation_are_functions_of_their_own(data):
    with watch() as ledger:
        model = compiled()
        for _ in range(2):
            model.fit(*data, batch_size=4, verbose=0, validation_data=data)
    assert (ledger.rebuilds, len({event.group for event in ledger.events})) == (0, 4)
    assert ledger.calls >= 4


def test_a_retrace_in_keras_is_a_rebuild_with_the_shapes(data):
    model = compiled()
    ledger = ledger_of(model.train_on_batch, *((data[0][:size], data[1][:size]) for size in (4, 6)))
    (rebuilt,) = (event for event in ledger.events if event.rebuild)
    assert "[4, 3] -> [6, 3]" in ledger.explain()
    assert rebuilt.cause.kind == "shape"


def test_a_model_compiled_anew_is_built_again(data):
    model = compiled()
    with watch() as ledger:
        for _ in range(2):
            model.compile("sgd", "mse", jit_compile=False)
            model.fit(*data, batch_size=4, verbose=0)
    assert ledger.rebuilds == 2  # a step, and the loop over it
    assert "in a new function object without the graphs of the last: compile the model once" in ledger.explain()


def test_a_model_made_anew_is_built_again(data):
    ledger = repeated(lambda: compiled().fit(*data, batch_size=4, verbose=0), 2)
    assert ledger.rebuilds == 2
    (cause,) = (str(event.cause) for event in ledger.events[-1:])
    assert cause.startswith("the function belongs to another Sequential object, whose name changed 'sequential")
    assert cause.endswith("make and compile one model and keep it, or allow a build for each with per_object=True")


# Saved models.


class Two(tf.Module):
    @tf.function
    def first(self, x):
        return x + 1.0

    @tf.function
    def second(self, x):
        return x * 2.0


def test_functions_of_a_loaded_model_have_their_names(tmp_path):
    module = Two()
    module.first(ones(2)), module.second(ones(2))
    ledger = ledger_of(tf.saved_model.save, (module, str(tmp_path)))
    assert {event.function for event in ledger.events} == {"Two.first", "Two.second"}
    loaded = tf.saved_model.load(str(tmp_path))
    ledger = repeated(lambda: (loaded.first(ones(2)), loaded.second(ones(2))), 2)
    assert [event.function for event in ledger.events] == ["first", "second"]
    assert ledger.rebuilds == 0
    ledger = repeated(lambda: tf.saved_model.load(str(tmp_path)).first(ones(2)), 2)
    assert str(ledger.events[-1].cause) == (
        "the function belongs to another SavedModel object: load the model once, outside the loop, and keep it"
    )


# Functions that had graphs before.


def test_an_object_of_a_build_before_is_gone():
    class Settings:
        pass

    step = tf.function(lambda x, settings: x)
    step(ones(1), Settings())
    ledger = ledger_of(step, (ones(1), Settings()))
    assert ledger.rebuilds == 1
    assert "settings is a Python Settings that changed an object that is gone -> Settings(): TensorFlow knows" in (
        ledger.explain()
    )


def test_graphs_of_a_check_are_no_graphs_that_were_there_before(run_tests):
    source = """
        import pytest, tensorflow as tf

        step = tf.function(lambda x: x * x)

        @pytest.mark.graphmode(backends="tf:graph")
        @pytest.mark.graph_rebuilds(0)
        def test_step(graphmode):
            graphmode.check_grads(lambda x: step(x), graphmode.tensor([1.0, 2.0]))
            step(tf.ones(2))
        """
    run_tests(source, passed=1)


# How arguments are given.


def test_a_wrapper_never_names_arguments_or_functions():
    def wrapping(fn):
        def wrapper(*args, **kwargs):
            return fn(*args, **kwargs)

        return wrapper

    step = tf.function(wrapping(lambda x, factor: x * factor))
    with watch() as ledger:
        step(ones(2), tf.constant(2.0))
        step(ones(2), factor=tf.constant(2.0))
    assert [event.signature for event in ledger.events] == ["x: float32[2], factor: float32[]"] * 2
    (cause,) = map(str, ledger.events[1].causes)
    assert cause == (
        "factor changed structure by position -> by keyword: give factor in the same way each time, always by position "
        "or always by keyword"
    )


# Counts that can't be trusted are not silent.


PRIVATE = [
    "tensorflow.python.eager.polymorphic_function.tracing_compilation:_create_concrete_function",
    "tensorflow.core.function.polymorphism.function_cache:FunctionCache.generalize",
    "tensorflow.python.eager.polymorphic_function.polymorphic_function:Function._call",
    "tensorflow.python.eager.polymorphic_function.polymorphic_function:class_method_to_instance_method",
    "tensorflow.python.eager.polymorphic_function.concrete_function:ConcreteFunction._call_impl",
    "tensorflow.python.autograph.impl.api:_fall_back_unconverted",
    "tensorflow.python.client.session:BaseSession._extend_graph",
    "tensorflow.python.framework.ops:Graph._get_function",
]


def sources():
    from pytest_graphmode.backends.tensorflow.growth import GrowthSource
    from pytest_graphmode.backends.tensorflow.tracing import FunctionSource

    return [FunctionSource(), GrowthSource()]


def attached():
    """What is patched while both sources are attached, undone at once."""
    for source in sources():
        source.attach(watcher)()


@pytest.mark.parametrize("name", PRIVATE)
@pytest.mark.parametrize("how", ["gone", "changed"])
def test_a_private_name_that_is_not_as_it_was_is_a_clear_error(monkeypatch, name, how):
    from pytest_graphmode import UnsupportedError

    module, _, path = name.partition(":")
    *owners, attribute = path.split(".")
    owner = pkgutil.resolve_name(f"{module}:{owners[0]}" if owners else module)
    if how == "gone":
        monkeypatch.delattr(owner, attribute)
        expected = rf"has no .*{attribute}, by which graphs are counted: use TensorFlow 2\.16 to"
    else:
        monkeypatch.setattr(owner, attribute, lambda somebody, something, *others: None)
        expected = rf"{attribute} of this version, by which graphs are counted, takes somebody, something, others where"
    with pytest.raises(UnsupportedError, match=expected):
        attached()
    monkeypatch.undo()
    attached()


@pytest.mark.parametrize("eagerly", [False, True])
def test_the_probe_is_one_build_of_a_function_of_x(eagerly):
    """What a source that reports nothing is known by."""
    tf.config.run_functions_eagerly(eagerly)
    try:
        ledger = repeated(sources()[0].probe, 1)
    finally:
        tf.config.run_functions_eagerly(False)
    assert [event.signature for event in ledger.events] == ["x: float32[]"]
