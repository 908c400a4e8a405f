"""Which traces of TensorFlow's are rebuilds: by code, whoever made the functions and whenever."""

import pkgutil

import numpy as np
import pytest

from pytest_graphmode import watch
from pytest_graphmode.ledger.watcher import watcher

tf = pytest.importorskip("tensorflow")

pytest_plugins = ["pytester"]


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
    with watch() as ledger:
        squared_rows(), jacobian_of_squares()
    assert ledger.rebuilds == 0


@pytest.mark.parametrize("call", [squared_rows, jacobian_of_squares])
def test_vectorized_loops_are_built_on_every_call(call):
    with watch() as ledger:
        for _ in range(3):
            call()
    assert (ledger.builds, ledger.rebuilds) == (3, 2)
    assert "call it inside a tf.function that is made once, outside the loop" in ledger.explain()
    with watch() as ledger:  # what the hint says
        kept = tf.function(call)
        for _ in range(3):
            kept()
    assert (ledger.builds, ledger.rebuilds) == (1, 0)


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
    with watch() as ledger:
        for size in (4, 6):
            model.train_on_batch(data[0][:size], data[1][:size])
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
    with watch() as ledger:
        for _ in range(2):
            compiled().fit(*data, batch_size=4, verbose=0)
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
    with watch() as ledger:
        tf.saved_model.save(module, str(tmp_path))
    assert {event.function for event in ledger.events} == {"Two.first", "Two.second"}
    loaded = tf.saved_model.load(str(tmp_path))
    with watch() as ledger:
        for _ in range(2):
            loaded.first(ones(2)), loaded.second(ones(2))
    assert [event.function for event in ledger.events] == ["first", "second"]
    assert ledger.rebuilds == 0
    with watch() as ledger:
        for _ in range(2):
            tf.saved_model.load(str(tmp_path)).first(ones(2))
    assert str(ledger.events[-1].cause) == (
        "the function belongs to another SavedModel object: load the model once, outside the loop, and keep it"
    )


# Functions that had graphs before.


def test_an_object_of_a_build_before_is_gone():
    class Settings:
        pass

    step = tf.function(lambda x, settings: x)
    step(ones(1), Settings())
    with watch() as ledger:
        step(ones(1), Settings())
    assert ledger.rebuilds == 1
    assert "settings is a Python Settings that changed an object that is gone -> Settings(): TensorFlow knows" in (
        ledger.explain()
    )


def test_graphs_of_a_check_are_no_graphs_that_were_there_before(pytester):
    pytester.makepyfile(
        """
        import pytest, tensorflow as tf

        step = tf.function(lambda x: x * x)

        @pytest.mark.graphmode(backends="tf:graph")
        @pytest.mark.graph_rebuilds(0)
        def test_step(graphmode):
            graphmode.check_grads(lambda x: step(x), graphmode.tensor([1.0, 2.0]))
            step(tf.ones(2))
        """
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


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


def test_an_assertion_fails_where_a_private_name_is_gone(pytester):
    pytester.makepyfile(
        """
        import pytest, tensorflow as tf
        from tensorflow.core.function.polymorphism.function_cache import FunctionCache

        @pytest.fixture(autouse=True)
        def other_tensorflow(monkeypatch):
            monkeypatch.delattr(FunctionCache, "generalize")

        @pytest.mark.graph_rebuilds(0)
        def test_step():
            tf.function(lambda x: x)(1.0)
        """
    )
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*the graphs of tf are not counted*tf 2.*this version has no FunctionCache.generalize*"]
    )


def test_a_trace_that_is_not_seen_is_noticed_by_tensorflows_own_counter(pytester):
    pytester.makepyfile(
        """
        import pytest, tensorflow as tf
        from tensorflow.python.eager.polymorphic_function import tracing_compilation

        @pytest.mark.parametrize("hidden", [True, False])
        @pytest.mark.graph_rebuilds(0)
        def test_step(hidden):
            step = tf.function(lambda x: x)
            with pytest.MonkeyPatch.context() as patch:
                if hidden:
                    watching = tracing_compilation._create_concrete_function
                    patch.setattr(tracing_compilation, "_create_concrete_function", watching.__wrapped__)
                step(1.0)
        """
    )
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        ["*not counted*experimental_get_tracing_count() grew by 1, but 0 builds of it were seen*"]
    )


@pytest.mark.parametrize("eagerly", [False, True])
def test_the_probe_is_one_build_of_a_function_of_x(eagerly):
    """What a source that reports nothing is known by."""
    tf.config.run_functions_eagerly(eagerly)
    try:
        with watch() as ledger:
            sources()[0].probe()
    finally:
        tf.config.run_functions_eagerly(False)
    assert [event.signature for event in ledger.events] == ["x: float32[]"]
