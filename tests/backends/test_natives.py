"""What the ledger says of tf.function, torch.compile and jax.jit alike, in code that knows nothing of the plugin."""

import sys
import threading

import pytest

from pytest_graphmode import expect, watch
from tests.backends.ledgers import ledger_of


def line() -> str:
    """`tests/backends/test_natives.py:12` for the line of the caller."""
    return f"tests/backends/test_natives.py:{sys._getframe(1).f_lineno}"


def test_each_trace_is_a_build_with_name_place_argument_operations_and_the_users_line(native):
    def double(x):
        return x * 2

    function = native.compiled(double)
    with watch() as ledger:
        function(native.ones(3)), (called := line())
        for size in (3, 4, 3, 4):
            function(native.ones(size))
    assert (ledger.builds, ledger.rebuilds) == (2, 1)
    first, second = ledger.events
    assert (first.backend, first.mode, first.number) == (native.backend, native.mode, 1)
    assert first.function.rpartition(".")[2] == "double"
    assert first.location == f"tests/backends/test_natives.py:{double.__code__.co_firstlineno}"
    assert (first.call_site, first.signature, first.causes, first.failed) == (called, "x: float32[3]", (), False)
    assert first.operations[native.product] == 1
    assert first.nodes == sum(first.operations.values())
    assert native.backend == "tf" or first.nodes == 1
    assert 0 < first.seconds < 10
    assert (second.signature, second.cause.kind) == ("x: float32[4]", "shape")


def test_a_function_that_had_a_graph_when_the_block_began_is_built_again(native):
    double = native.compiled(lambda x: x * 2)
    double(native.ones(3))
    with watch() as ledger:
        double(native.ones(3))
        assert ledger.builds == 0
        double(native.ones(4))
    assert (ledger.builds, ledger.rebuilds) == (1, 1)
    assert ledger.events[0].cause.kind in ("shape", "guard")  # JAX 0.4 doesn't say what its graphs were made for


def test_builds_in_threads_are_seen(native):
    double = native.compiled(lambda x: x * 2)
    with watch() as ledger:
        for size in (2, 3):
            thread = threading.Thread(target=double, args=(native.ones(size),))
            thread.start()
            thread.join()
    assert (ledger.builds, ledger.rebuilds) == (2, 1)


class Scaled:
    def __init__(self, rate):
        self.rate = rate

    def __call__(self, x):
        return x * self.rate


def closed_over(rate):
    return lambda x: x * rate


@pytest.mark.parametrize("make", [Scaled, closed_over])
@pytest.mark.parametrize("per_object", [True, False])
def test_several_objects_or_closures_are_each_built_once_where_they_are_told_apart(native, make, per_object):
    def run():
        for rate in (2, 3):
            native.compiled(make(rate))(native.ones(3))

    if per_object:
        with expect(builds=2, rebuilds=0, per_object=True):
            run()
        return
    with pytest.raises(AssertionError, match=r"(?s)1 rebuild.*per_object=True"), expect(rebuilds=0):
        run()


def test_one_object_is_built_again_by_object_too(native):
    double = native.compiled(lambda x: x * 2)
    with pytest.raises(AssertionError, match="1 rebuild"), expect(rebuilds=0, per_object=True):
        ledger_of(double, native.ones(2), native.ones(3))


def test_what_raises_while_it_is_described_never_reaches_the_call(native):
    class Odd:
        def __repr__(self):
            raise RuntimeError("no")

        def __eq__(self, other):
            raise RuntimeError("no")

        __hash__ = object.__hash__

    options = {"static_argnums": 1} if native.backend == "jax" else {}
    function, kept = native.compiled(lambda x, odd: x * 2, **options), [Odd(), Odd()]
    with watch() as ledger:
        for size, one in zip((1, 2), kept, strict=True):
            function(native.ones(size), one)
    assert ledger.builds == 2
    assert "Odd" in ledger.explain()
    assert " at 0x" not in ledger.explain()


@pytest.mark.parametrize("native", ["tf", "jax"], indirect=True)
def test_traces_that_raise_are_counted_and_the_hint_ends_them(native):
    def refused(x):
        raise ValueError("not on weekends")

    def called(function):
        with watch() as ledger:
            for _ in range(2):
                with pytest.raises(ValueError, match="not on weekends"):
                    function(native.ones(3))
        return ledger

    ledger = called(native.compiled(refused))
    assert (ledger.builds, ledger.rebuilds, [event.failed for event in ledger.events]) == (2, 1, [True, True])
    assert "failed" in ledger.explain()
    keeper = {"tf": "TensorFlow", "jax": "JAX"}[native.backend]
    last_line = ledger.explain().rstrip().rpartition("\n")[2].strip()
    assert last_line == (
        "nothing it depends on changed, but the graph built before was not there (the earlier one raised): "
        f"{keeper} keeps no graph of a trace that raised: let the function fail before it is traced"
    )
    double = native.compiled(lambda x: x * 2)

    def checked(x):
        refused(x)
        return double(x)

    assert called(checked).builds == 0


# Compilation that is switched off: a test that asserts something about graphs fails, for there were none.

SWITCHED_OFF = """
    import contextlib, functools, pytest
    import {module}

    @contextlib.contextmanager
    def put(function, value, usual):
        function(value)
        yield
        function(usual)

    @pytest.fixture(params=[True, False], ids=["off", "on"])
    def switch(request):
        with {scope} if request.param else contextlib.nullcontext():
            yield

    @pytest.mark.graph_rebuilds(0)
    def test_plain(switch):
        {call}

    @pytest.mark.graphmode(backends="{variant}")
    @pytest.mark.graph_rebuilds(0)
    def test_handle(switch, graphmode):
        graphmode.function(lambda x: x * 2)(graphmode.tensor([1.0]))

    @pytest.mark.graphmode(backends="{variant}")
    @pytest.mark.graph_rebuilds(0)
    def test_never_called(graphmode):
        graphmode.function(lambda x: x * 2)

    @pytest.mark.graphmode(backends="{backend}:eager")
    @pytest.mark.graph_rebuilds(0)
    def test_eager_modes_need_no_graph(graphmode):
        graphmode.function(lambda x: x * 2)(graphmode.tensor([1.0]))
"""
CALLS = {
    "tf": ("tensorflow", "tensorflow.function(lambda x: x * 2)(1.0)"),
    "torch": ("torch", "torch.compile(lambda x: x * 2, backend='eager')(torch.ones(2))"),
    "jax": ("jax", "jax.jit(lambda x: x * 2)(1.0)"),
}
VACUOUS = "*no graph was built and no existing graph was called*TORCHDYNAMO_DISABLE*jax.disable_jit*"


def switched_off(variant: str, scope: str) -> str:
    backend = variant.partition(":")[0]
    module, call = CALLS[backend]
    return SWITCHED_OFF.format(variant=variant, backend=backend, scope=scope, module=module, call=call)


@pytest.mark.parametrize(
    ("native", "variant", "scope"),
    [
        ("tf", "tf:graph", "put(tensorflow.config.run_functions_eagerly, True, False)"),
        ("torch", "torch:compile", "put(functools.partial(setattr, torch._dynamo.config, 'disable'), True, False)"),
        ("torch", "torch:compile", "put(torch.compiler.set_stance, 'force_eager', 'default')"),
        ("jax", "jax:jit", "put(functools.partial(jax.config.update, 'jax_disable_jit'), True, False)"),
        ("jax", "jax:jit", "jax.disable_jit()"),
    ],
    ids=["run_functions_eagerly", "disable", "stance", "jax_disable_jit", "disable_jit"],
    indirect=["native"],
)
def test_where_compilation_is_off_assertions_about_graphs_fail(native, run_tests, variant, scope):
    if "stance" in scope and not hasattr(sys.modules["torch"].compiler, "set_stance"):
        pytest.skip("this torch has no stance")
    run_tests(switched_off(variant, scope), f"--graph-backends={variant}+eager", said=[VACUOUS] * 3, failed=3, passed=3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "name"), [("torch:compile", "TORCHDYNAMO_DISABLE"), ("jax:jit", "JAX_DISABLE_JIT")]
)
def test_where_the_environment_switches_it_off_they_fail_too(run_tests, monkeypatch, variant, name):
    pytest.importorskip(variant.partition(":")[0])
    monkeypatch.setenv(name, "1")
    source = switched_off(variant, "contextlib.nullcontext()")
    run_tests(source, f"--graph-backends={variant}+eager", said=[VACUOUS] * 5, fresh=True, failed=5, passed=1)
