"""What the ledger sees of tf.functions: each kind of function and argument, each cause of a trace."""

import collections
import dataclasses
import functools
import gc
import importlib
import sys
import weakref

import pytest

from pytest_graphmode import UnsupportedError, watch
from tests.backends.ledgers import ledger_of, repeated

tf = pytest.importorskip("tensorflow")


def ones(*shape, dtype=tf.float32):
    return tf.ones(shape, dtype)


def signatures(ledger):
    return [event.signature for event in ledger.events]


def causes(ledger):
    """The kinds and arguments of the causes of the last build."""
    return [(cause.kind, cause.argument) for cause in ledger.events[-1].causes]


# What is built, called and how it is told.


def test_nodes_are_the_operations_of_the_graph():
    step = tf.function(lambda x, training=True: x + 1.0 if training else x)
    ledger = ledger_of(step, ones(2, 3))
    (event,) = ledger.events
    assert event.signature == "x: float32[2, 3], training: True"
    assert event.nodes == len(step.get_concrete_function(ones(2, 3)).graph.get_operations()) > 0
    assert (ledger.builds, ledger.calls, ledger.rebuilds) == (1, 1, 0)


def test_gradients_are_no_calls():
    step = tf.function(lambda x: x * x)
    x = ones(3)
    with watch() as ledger:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = step(x)
        tape.gradient(y, x)
    assert (ledger.calls, ledger.builds) == (1, 1)


def test_compiled_functions_are_of_mode_xla():
    step = tf.function(lambda x: x + 1.0, jit_compile=True)
    with watch() as ledger:
        step(ones(3)), step(ones(3))
        step.get_concrete_function(ones(3))(ones(3))
    assert [(event.mode, event.number) for event in ledger.events] == [("xla", 1)]
    assert ledger.select("tf", "xla").calls == 3
    assert ledger.select("tf", "graph").calls == 0


def test_nothing_stays_patched():
    from tensorflow.python.eager.polymorphic_function import tracing_compilation
    from tensorflow.python.eager.polymorphic_function.polymorphic_function import Function

    before = tracing_compilation._create_concrete_function, Function._call
    with watch():
        during = tracing_compilation._create_concrete_function, Function._call
    assert (tracing_compilation._create_concrete_function, Function._call) == before
    assert not set(before) & set(during)


def test_a_tensorflow_without_the_modules_is_a_clear_error(monkeypatch):
    name = "pytest_graphmode.backends.tensorflow.internals"
    monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorflow.core.function.polymorphism.function_cache", None)
    with pytest.raises(UnsupportedError, match=r"is not as it was \(.*function_cache.*use TensorFlow 2\.16 to"):
        importlib.import_module(name)


def test_a_function_may_have_an_argument_of_any_name():
    step = tf.function(lambda function, layer, cls: function)
    assert repeated(lambda: step(function=ones(1), layer=1, cls=2), 1).calls == 1


def test_nothing_is_kept_alive():
    class Model(tf.Module):
        @tf.function
        def __call__(self, x, other):
            return x + 1.0

    with watch() as ledger:
        model, argument = Model(), Model()
        step = tf.function(lambda x: model(x, argument))
        step(ones(3))
        references = [weakref.ref(model), weakref.ref(argument), weakref.ref(step)]
        assert ledger.builds == 2
        model = argument = step = None
        gc.collect()
        assert [reference() for reference in references] == [None, None, None]


# Arguments.

Pair = collections.namedtuple("Pair", "first second")


@dataclasses.dataclass
class Batch:
    x: object
    n: int

    def __tf_flatten__(self):
        return (), (self.x, self.n)

    @classmethod
    def __tf_unflatten__(cls, metadata, components):
        return cls(*components)


class Extension(tf.experimental.ExtensionType):
    values: tf.Tensor
    size: int = 3


@pytest.mark.parametrize(
    ("argument", "signature"),
    [
        (3, "x: 3"),
        (2.5, "x: 2.5"),
        (True, "x: True"),
        (None, "x: None"),
        ("mean", "x: 'mean'"),
        (ones(2, 3), "x: float32[2, 3]"),
        (ones(dtype=tf.int64), "x: int64[]"),
        (tf.constant("a"), "x: string[]"),
        (tf.TensorSpec([None, 3]), "x: float32[None, 3]"),
        (tf.TensorSpec(None), "x: float32[?]"),
        ([ones(2), 3], "x[0]: float32[2], x[1]: 3"),
        ((ones(2), (4,)), "x[0]: float32[2], x[1][0]: 4"),
        ({"a": ones(2), "b": [1]}, "x['a']: float32[2], x['b'][0]: 1"),
        (Pair(ones(2), 1), "x.first: float32[2], x.second: 1"),
        (Batch(ones(2), 1), "x[0]: float32[2], x[1]: 1"),
        (Extension(ones(2)), "x.values: float32[2], x.size: 3"),
        ([], "x: []"),
        ((), "x: ()"),
        ({}, "x: {}"),
        (tf.Variable([1.0, 2.0]), "x: Variable float32[2]"),
        (tf.RaggedTensor.from_row_splits([1, 2], [0, 1, 2]), "x: RaggedTensor int32[2, None]"),
        (tf.sparse.from_dense([[1, 0]]), "x: SparseTensor int32[1, 2]"),
        (tf.data.Dataset.from_tensors((1, 2.0)), "x.element[0]: int32[], x.element[1]: float32[]"),
    ],
)
def test_arguments_are_described_by_the_paths_of_their_leaves(argument, signature):
    ledger = ledger_of(tf.function(lambda x: 1).get_concrete_function, (argument,))
    assert signatures(ledger) == [signature]


def test_positional_keyword_default_and_variable_arguments_have_their_names():
    @tf.function
    def step(x, rate=0.5, *rest, training, **options):
        return x

    with watch() as ledger:
        step(ones(1), 0.1, 7, ones(2), training=True, scale=ones(3))
        step(ones(1), training=True)
    assert signatures(ledger) == [
        "x: float32[1], rate: 0.1, rest_0: 7, rest_1: float32[2], training: True, scale: float32[3]",
        "x: float32[1], rate: 0.5, training: True",
    ]


# Causes: each from code that has it.


def test_variables_created_by_the_first_call_are_no_rebuild():
    made = []

    @tf.function
    def step(x):
        if not made:
            made.append(tf.Variable(tf.ones([3])))
        return x + made[0]

    with watch() as ledger:
        step(ones(3))
        assert (ledger.builds, ledger.rebuilds) == (2, 0)
        assert causes(ledger) == [("variable-creation", "")]
        step(ones(1))
        assert (ledger.builds, ledger.rebuilds) == (3, 1)
        assert causes(ledger) == [("shape", "x")]
    assert [build.function for build in ledger.internal] == ["initialize_variables"]
    assert "create variables before the first call" in str(ledger.events[1].cause)
    early = tf.Variable(tf.ones([3]))
    assert ledger_of(tf.function(lambda x: x + early), ones(3)).builds == 1


def test_a_call_under_a_device_function_is_a_device():
    step = tf.function(lambda x: x + 1.0)
    with watch() as ledger, tf.Graph().as_default():
        step(ones(3))
        with tf.compat.v1.device(lambda operation: "/cpu:0"):
            step(ones(3))
    assert causes(ledger) == [("device", "the call")]
    assert "the call changed device none -> " in ledger.explain()


# Which function a trace is of.


class Plain:
    def __init__(self, scale=1.0):
        self.scale = scale

    def step(self, x):
        return self.scale * x

    def __call__(self, x):
        return x


def names(ledger):
    return [event.function for event in ledger.events]


def test_callable_objects_partials_lambdas_and_wrappers():
    def doubling(fn):
        @functools.wraps(fn)
        def inner(*args):
            return 2.0 * fn(*args)

        return inner

    @tf.function
    @doubling
    def wrapped(x):
        return x

    with watch() as ledger:
        tf.function(Plain())(ones(3))
        tf.function(functools.partial(lambda scale, x: scale * x, 2.0))(ones(3))
        tf.function(lambda x: x)(ones(3)), tf.function(lambda x: -x)(ones(3))
        wrapped(ones(3))
    assert names(ledger) == ["Plain.__call__", "<lambda>", "<lambda>", "<lambda>", "wrapped"]
    assert ledger.rebuilds == 0


def test_the_seconds_of_nested_builds_are_counted_once(monkeypatch):
    import time

    inner = tf.function(lambda x: time.sleep(0.2) or x)
    outer = tf.function(lambda x: inner(x))
    with watch() as ledger:
        started = time.perf_counter()
        outer(ones(3))
        took = time.perf_counter() - started
    assert ledger.events[0].seconds >= 0.2
    assert ledger.seconds <= took


def test_functions_of_installed_packages_count_like_the_users():
    import types

    code = compile("def helper(x):\n    return x", f"{sys.prefix}/lib/site-packages/library.py", "exec")
    library = types.ModuleType("library")
    exec(code, library.__dict__)
    with watch() as ledger:
        first, second = (tf.function(library.helper, autograph=False) for _ in range(2))
        for size in (1, 2):
            first(ones(size))
            second(ones(size))
    assert [event.number for event in ledger.events] == [1, 2, 3, 4]


# Graphs.


def test_control_flow_is_counted_however_deep():
    @tf.function
    def step(x, n):
        for _ in tf.range(n):
            for _ in tf.range(n):
                x = x / 2.0 if x > 10.0 else x * 3.0
        return tf.switch_case(n, [lambda: x, lambda: -x]) + tf.scan(lambda a, b: a + b, tf.stack([x, x]))[-1]

    ledger = ledger_of(step, (ones(), tf.constant(3)))
    assert ledger.events[0].control_flow == {"while": 2, "cond": 1, "switch": 1, "scan": 1}


def test_nodes_are_those_of_the_graph_and_of_what_it_calls():
    inner = tf.function(lambda x: x + 1.0)
    outer = tf.function(lambda x: tf.cond(x > 0.0, lambda: inner(x), lambda: x))
    ledger = ledger_of(outer, ones())
    nested, event = ledger.events
    graph = outer.get_concrete_function(ones()).graph
    bodies = {node.name for node in graph.as_graph_def().library.function for node in [node.signature]}
    assert len(bodies) == 3  # two branches, and the function that one calls
    assert event.nodes > len(graph.get_operations()) + nested.nodes
    assert event.operations["AddV2"] == nested.operations["AddV2"] == 1
    assert sum(event.operations.values()) == event.nodes


# Machinery.


def test_datasets_are_apart_and_functions_in_them_are_not():
    inner = tf.function(lambda x: x + 1)

    def parse(x):
        return inner(x) * 2

    ledger = ledger_of(lambda parse: list(tf.data.Dataset.range(3).map(parse).batch(2)), parse)
    assert names(ledger) == ["<lambda>"]
    assert [build.function for build in ledger.internal] == ["parse"]
    assert ledger.internal[0].internal
    assert (
        "not counted: 1 build of the framework's own machinery, parse (tests/backends/test_tensorflow_tracing.py:"
        in ledger.explain()
    )


# AutoGraph giving up.


def generated():
    """A function that AutoGraph can't read, with control flow in it."""
    code = "def keep_positive(x):\n    if x.shape[0] > 1:\n        return x\n    return -x\n"
    found = {}
    exec(compile(code, "no_such_file.py", "exec"), found)
    return found["keep_positive"]


def test_a_function_that_autograph_gives_up_is_a_fallback():
    step = tf.function(generated())
    ledger = ledger_of(step, ones(2), ones(3))
    (fallback,) = ledger.fallback_reasons
    assert (fallback.backend, fallback.mode, fallback.function) == ("tf", "graph", "keep_positive")
    assert fallback.location.startswith("no_such_file.py:1")
    assert "AutoGraph could not transform it, so a Python if or loop in it is decided once" in fallback.reason
    assert "fell back to eager execution: AutoGraph could not transform it" in ledger.explain()


def test_each_test_sees_its_own_fallbacks(run_tests):
    source = """
        import pytest, tensorflow as tf

        exec(compile("def odd(x):\\n    return x if x.shape[0] > 1 else -x", "no_such_file.py", "exec"))

        @pytest.mark.parametrize("number", [1, 2])
        @pytest.mark.graph_rebuilds(0)
        def test_odd(number):
            tf.function(odd)(tf.ones(2))
        """
    run_tests(source, said=["*AutoGraph could not transform it*"] * 2, failed=2)
