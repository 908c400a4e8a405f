"""What the ledger says of Dynamo's compilations: every cause with its words, breaks, failures, identities."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import threading

import pytest

from pytest_graphmode import UnsupportedError, watch


@pytest.fixture(autouse=True)
def torch(dynamo):
    dynamo.reset()
    yield pytest.importorskip("torch")
    dynamo.reset()


@pytest.fixture
def compiled(torch):
    """torch.compile with Dynamo's own, quick backend."""
    return functools.partial(torch.compile, backend="eager")


# Causes. Each case makes calls of which the last builds a function again, and says why that is.


def shape(torch, compiled):
    f = compiled(lambda x: x * 2)
    f(torch.ones(4, 3))
    f(torch.ones(5, 3))
    return "x changed shape [4, 3] -> [5, 3]: torch.compile(dynamic=True), or torch._dynamo.mark_dynamic(x, dimension)"


def size_one(torch, compiled):
    f = compiled(lambda x: x * 2)
    f(torch.ones(4, 3))
    f(torch.ones(5, 3))
    f(torch.ones(1, 3))
    return "x changed shape [None, 3] -> [1, 3]: torch builds graphs of their own for sizes 0 and 1"


def rank(torch, compiled):
    f = compiled(lambda x: x * 2)
    f(torch.ones(4, 3))
    f(torch.ones(4))
    return "x changed rank [4, 3] -> [4]: pass tensors of one rank"


def dtype(torch, compiled):
    f = compiled(lambda x: x * 2)
    f(torch.ones(4))
    f(torch.ones(4, dtype=torch.float64))
    return "x changed dtype float32 -> float64: cast x before the call"


def layout(torch, compiled):
    f = compiled(lambda x: x * 2)
    f(torch.ones(4, 3))
    f(torch.ones(3, 4).T)
    return "x changed layout strides [3, 1] -> strides [1, 4]: call .contiguous()"


def requires_grad(torch, compiled):
    f = compiled(lambda x: x * 2)
    f(torch.ones(4))
    f(torch.ones(4, requires_grad=True))
    return "x.requires_grad changed False -> True: call the function under one grad mode"


def device(torch, compiled):
    f = compiled(lambda x: x * 2)
    f(torch.ones(4))
    f(torch.ones(4, device="meta"))
    return "x changed device cpu -> meta: call the function on one device"


def subclass(torch, compiled):
    f = compiled(lambda x: x * 2)
    f(torch.ones(4))
    f(torch.nn.Parameter(torch.ones(4), requires_grad=False))
    return "x changed structure Tensor -> Parameter: pass x with the same keys, length and types"


def python_bool(torch, compiled):
    f = compiled(lambda x, training: x * 2 if training else x + 1)
    f(torch.ones(4), True)
    f(torch.ones(4), False)
    return "training is a Python bool that changed True -> False: pass a tensor, or accept one build per value"


def python_int(torch, compiled):
    f = compiled(lambda x, n: x * n)
    f(torch.ones(4), 2)
    f(torch.ones(4), 3)
    return "n is a Python int that changed 2 -> 3: pass a tensor"


def python_text(torch, compiled):
    f = compiled(lambda x, *, how: x * 2 if how == "double" else x + 1)
    f(torch.ones(4), how="double")
    f(torch.ones(4), how="single")
    return "how is a Python str that changed 'double' -> 'single': pass the same one each time"


def python_type(torch, compiled):
    f = compiled(lambda x, n: x * n)
    f(torch.ones(4), 2)
    f(torch.ones(4), torch.ones(4))
    return "n changed structure Python int 2 -> float32[4]"


def any_int(torch, compiled):
    f = compiled(lambda x, n: x * n)
    for n in (2, 3, 2.5):
        f(torch.ones(4), n)
    return "n is a Python float that changed any int -> 2.5"


def tensor_for_any_int(torch, compiled):
    f = compiled(lambda x, n: x * n)
    for n in (2, 3, torch.ones(4)):
        f(torch.ones(4), n)
    return "n changed structure Python int -> float32[4]"


def number_for_tensor(torch, compiled):
    f = compiled(lambda x, n: x * n)
    for n in (torch.ones(4), 2):
        f(torch.ones(4), n)
    return "n changed structure float32[4] -> Python int 2"


def attribute(torch, compiled):
    class Scaled:
        def __init__(self):
            self.scale = 2.0

        def run(self, x):
            return x * self.scale

    scaled = Scaled()
    f = compiled(scaled.run)
    f(torch.ones(4))
    scaled.scale = 3.0
    f(torch.ones(4))
    return "self.scale is a Python float that changed 2.0 -> 3.0: pass a tensor"


SETTING = {"scale": 2.0}


def global_value(torch, compiled):
    f = compiled(lambda x: x * SETTING["scale"])
    f(torch.ones(4))
    SETTING["scale"] += 1.0
    f(torch.ones(4))
    return "SETTING['scale'] is a Python float that changed"


def closed_over_value(torch, compiled):
    scale = 2.0

    def f(x):
        return x * scale

    f = compiled(f)
    f(torch.ones(4))
    scale = 3.0
    f(torch.ones(4))
    return "scale is a Python float that changed 2.0 -> 3.0: pass a tensor"


def length(torch, compiled):
    f = compiled(lambda xs: sum(xs))
    f([torch.ones(4)])
    f([torch.ones(4), torch.ones(4)])
    return "xs changed structure length 1 -> length 2: pass xs with the same keys, length and types each time"


def container(torch, compiled):
    f = compiled(lambda xs: xs[0] * 2)
    f([torch.ones(4)])
    f((torch.ones(4),))
    return "-> tuple: pass xs with the same keys, length and types each time"


def field(torch, compiled):
    @dataclasses.dataclass
    class Batch:
        x: object
        times: int

    f = compiled(lambda batch: batch.x * batch.times)
    f(Batch(torch.ones(4), 2))
    f(Batch(torch.ones(4), 3))
    return "batch.times is a Python int that changed 2 -> 3"


def one_tensor_twice(torch, compiled):
    f = compiled(lambda x, y: x * y)
    x = torch.ones(4)
    f(x, torch.ones(4))
    f(x, x)
    return "y changed structure a tensor of its own -> the same tensor as x"


def no_tensor_twice(torch, compiled):
    f = compiled(lambda x, y: x * y)
    x = torch.ones(4)
    f(x, x)
    f(x, torch.ones(4))
    return "y changed structure the same tensor as x -> a tensor of its own"


def no_grad(torch, compiled):
    f = compiled(lambda x: x * 2)
    f(torch.ones(4))
    with torch.no_grad():
        f(torch.ones(4))
    return "grad-mode changed grad -> no_grad: call the function under one grad mode, or accept one build for each"


def inference_mode(torch, compiled):
    f = compiled(lambda x: x * 2)
    x = torch.ones(4)
    with torch.no_grad():
        f(x)
    with torch.inference_mode():
        f(x)
    return "grad-mode changed no_grad -> inference_mode"


def out_of_inference_mode(torch, compiled):
    f = compiled(lambda x: x * 2)
    x = torch.ones(4)
    with torch.inference_mode():
        f(x)
    f(x)
    return "grad-mode changed inference_mode -> grad"


def train_eval(torch, compiled):
    net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Dropout())
    f = compiled(net)
    f(torch.ones(4, 3))
    net.eval()
    f(torch.ones(4, 3))
    return "training changed True -> False: accept one build for train() and one for eval()"


def default_dtype(torch, compiled):
    f = compiled(lambda x: x * 2)
    f(torch.ones(4))
    torch.set_default_dtype(torch.float64)
    try:
        f(torch.ones(4, dtype=torch.float32))
    finally:
        torch.set_default_dtype(torch.float32)
    return "-> float64: set it before the first call, and leave it"


def autocast(torch, compiled):
    f = compiled(lambda x: x * 2)
    f(torch.ones(4))
    with torch.autocast("cpu"):
        f(torch.ones(4))
    return "autocast changed False -> True: set it before the first call"


def default_device(torch, compiled):
    f = compiled(lambda x: x * 2)
    f(torch.ones(4))
    torch.set_default_device("cpu")
    try:
        f(torch.ones(4))
    finally:
        torch.set_default_device(None)
    return "the default device changed None -> cpu: set it before the first call"


def cache_reset(torch, compiled):
    f = compiled(lambda x: x * 2)
    f(torch.ones(4))
    torch._dynamo.reset()
    f(torch.ones(4))
    return "the graph built before was not there: leave out torch._dynamo.reset()"


def new_function_object(torch, compiled):
    for _ in range(2):
        scope = {}
        exec(compile("def double(x): return x * 2", __file__, "exec"), scope)
        compiled(scope["double"])(torch.ones(4))
    return (
        "the same code was wrapped again, in a new function object without the graphs of the last: define the function"
    )


CASES = {
    "shape": (shape, size_one),
    "rank": (rank,),
    "dtype": (dtype,),
    "layout": (layout,),
    "device": (device,),
    "structure": (
        subclass,
        python_type,
        tensor_for_any_int,
        number_for_tensor,
        length,
        container,
        one_tensor_twice,
        no_tensor_twice,
    ),
    "python-value": (python_bool, python_int, any_int, python_text, attribute, global_value, closed_over_value, field),
    "grad-mode": (requires_grad, no_grad, inference_mode, out_of_inference_mode),
    "train-eval": (train_eval,),
    "global-state": (default_dtype, autocast, default_device),
    "cache-reset": (cache_reset,),
    "new-function-object": (new_function_object,),
}


@pytest.mark.parametrize(
    ("kind", "case"), [pytest.param(kind, case, id=case.__name__) for kind, cases in CASES.items() for case in cases]
)
def test_a_cause_is_named_with_before_after_and_cure(torch, compiled, kind, case):
    with watch() as ledger:
        message = case(torch, compiled)
    last = ledger.events[-1]
    assert last.rebuild
    assert [cause.kind for cause in last.causes] == [kind]
    assert message in str(last.causes[0])
    assert message in ledger.explain()
    assert last.causes[0].cure


def test_all_that_changed_is_named(torch, compiled):
    f = compiled(lambda x, y, flag: x * y.sum() if flag else x + y)
    with watch() as ledger:
        f(torch.ones(4), torch.ones(4), True)
        f(torch.ones(5, dtype=torch.float64), torch.ones(5), False)
    assert {(cause.kind, cause.argument) for cause in ledger.events[-1].causes} == {
        ("dtype", "x"),
        ("shape", "x"),
        ("shape", "y"),
        ("python-value", "flag"),
    }


def test_an_argument_that_no_guard_looks_at_is_not_blamed(torch, compiled):
    f = compiled(lambda x, unused, also=None: x * 2)
    with watch() as ledger:
        f(torch.ones(4), torch.ones(2), 1)
        f(torch.ones(4), torch.ones(3), 2)
        f(torch.ones(5), torch.ones(4), 3)
    assert ledger.builds == 2
    assert [(cause.kind, cause.argument) for cause in ledger.events[-1].causes] == [("shape", "x")]


def test_a_dimension_that_is_dynamic_is_not_blamed(torch, compiled):
    f = compiled(lambda x, flag: x * 2 if flag else x + 1)
    with watch() as ledger:
        f(torch.ones(4), True)
        f(torch.ones(5), True)
        f(torch.ones(6), False)
    assert [(cause.kind, cause.argument) for cause in ledger.events[-1].causes] == [("python-value", "flag")]


def test_a_build_is_compared_with_the_nearest_graph(torch, compiled):
    f = compiled(lambda x, how: x * len(how))
    with watch() as ledger:
        f(torch.ones(4), "a")
        f(torch.ones(4, dtype=torch.float64), "ab")
        f(torch.ones(4, dtype=torch.float64), "abc")
    assert [str(cause) for cause in ledger.events[-1].causes] == [
        "how is a Python str that changed 'ab' -> 'abc': pass the same one each time, or accept one build for each"
    ]


def test_a_compiler_backend_of_its_own_is_a_cause(torch):
    def f(x):
        return x * 2

    with watch() as ledger:
        for _ in range(2):
            torch.compile(f, backend=_Backend())(torch.ones(4))
    assert "the compiler backend: compile with one backend object, or name it by a string" in ledger.explain()


class _Backend:
    def __call__(self, module, inputs):
        return module.forward


def test_objects_that_tell_nothing_do_not_disturb_a_compilation(torch, compiled):
    class Silent:
        def __repr__(self):
            raise RuntimeError("not telling")

        def __eq__(self, other):
            raise RuntimeError("not comparing")

        __hash__ = object.__hash__

    f = compiled(lambda x, silent: x * 2)
    with watch() as ledger:
        f(torch.ones(3), Silent())
        f(torch.ones(4), Silent())
        f(torch.ones(4), [Silent(), torch.ones(3).to_sparse()])
    assert "silent: <Silent>" in ledger.explain()
    assert ledger.builds == 2


# What a build says of itself.


def test_a_build_tells_arguments_nodes_call_site_and_control_flow(torch):
    def f(x, *rest, scale=2, **more):
        return (
            torch.cond(x.sum() > 0, lambda x: x.sin() + 1, lambda x: x.cos(), (x,)) * scale + sum(rest) + more["b"]["c"]
        )

    counted = []

    def counting(module, inputs):
        graphs = [inner.graph for inner in module.modules() if isinstance(inner, torch.fx.GraphModule)]
        counted.append(sum(node.op.startswith("call_") for graph in graphs for node in graph.nodes))
        return module.forward

    with watch() as ledger:
        torch.compile(f, backend=counting)(torch.ones(2), torch.ones(2), scale=3, b={"c": torch.ones(2)})
    (build,) = ledger.events
    assert build.signature == "x: float32[2], scale: 3, rest[0]: float32[2], more['b']['c']: float32[2]"
    assert dict(build.control_flow) == {"cond": 1}
    assert [build.nodes] == counted
    assert build.call_site.startswith("test_torch_dynamo.py:")
    assert (build.failed, build.internal, build.causes) == (False, False, ())


def test_modules_are_told_apart_by_the_module(torch, compiled):
    with watch() as ledger:
        for width in range(1, 5):
            compiled(torch.nn.Linear(3, width))(torch.ones(2, 3))
    assert (ledger.builds, ledger.rebuilds) == (4, 0)
    assert {build.function for build in ledger.events} == {"Linear.forward"}
    assert {build.signature for build in ledger.events} == {"input: float32[2, 3]"}


def test_a_module_compiled_in_place_is_known_by_its_forward(torch):
    class Net(torch.nn.Module):
        def forward(self, x):
            return x * 2

    net = Net()
    net.compile(backend="eager")
    with watch() as ledger:
        net(torch.ones(2, 3))
        net(torch.ones(2, 3, requires_grad=True))
    assert [build.function for build in ledger.events] == ["Net.forward"] * 2
    assert ledger.rebuilds == 1


def test_torchs_own_modules_compiled_in_place_are_not_compiled_at_all(torch):
    """Neither by torch 2.13 alone nor while somebody watches: Dynamo runs the frames of torch.nn as they are."""
    net = torch.nn.Linear(3, 3)
    net.compile(backend="eager")
    torch._dynamo.utils.counters.clear()
    net(torch.ones(2, 3))
    alone = dict(torch._dynamo.utils.counters["frames"])
    with watch() as ledger:
        net(torch.ones(2, 3))
    assert dict(torch._dynamo.utils.counters["frames"]) == alone
    assert ledger.builds == sum(alone.values())


def test_functions_of_other_closure_contents_are_others(torch, compiled):
    def scaled(by):
        return lambda x: x * by

    with watch() as ledger:
        compiled(scaled(2))(torch.ones(4))
        compiled(scaled(3))(torch.ones(4))
    assert (ledger.builds, ledger.rebuilds) == (2, 0)


def test_methods_of_other_objects_are_others(torch, compiled):
    class Scaled:
        def __init__(self, by):
            self.by = by

        def run(self, x):
            return x * self.by

    with watch() as ledger:
        compiled(Scaled(2).run)(torch.ones(4))
        compiled(Scaled(3).run)(torch.ones(4))
    assert (ledger.builds, ledger.rebuilds) == (2, 0)
    assert {build.function.rpartition(".")[2] for build in ledger.events} == {"run"}


def test_what_a_library_compiles_is_seen(torch, pytester, monkeypatch):
    pytester.makepyfile(
        somelibrary="import torch\n\n@torch.compile(backend='eager')\ndef inner(x):\n    return x * 2\n"
    )
    monkeypatch.syspath_prepend(pytester.path)
    import somelibrary

    with watch() as ledger:
        somelibrary.inner(torch.ones(3))
    assert [build.function for build in ledger.events] == ["inner"]


def test_builds_in_threads_are_seen(torch, compiled):
    f = compiled(lambda x: x * 2)
    with watch() as ledger:
        for size in (2, 3):
            thread = threading.Thread(target=f, args=(torch.ones(size),))
            thread.start()
            thread.join()
    assert (ledger.builds, ledger.rebuilds) == (2, 1)


# Failures.


def _cannot_compile(module, inputs):
    raise RuntimeError("no such luck")


def test_a_compilation_that_raises_is_a_failed_build(torch):
    with watch() as ledger, pytest.raises(torch._dynamo.exc.BackendCompilerFailed):
        torch.compile(lambda x: x * 2, backend=_cannot_compile)(torch.ones(3))
    assert [(build.failed, build.nodes) for build in ledger.events] == [(True, 0)]
    assert "failed" in ledger.explain()


def test_after_a_failure_arguments_are_compared(torch, compiled):
    f = compiled(lambda x, n: x + torch.ones(n))
    with watch() as ledger:
        with pytest.raises(torch._dynamo.exc.TorchRuntimeError):
            f(torch.ones(3), 4)
        f(torch.ones(3), 3)
    assert [str(cause) for cause in ledger.events[-1].causes] == [
        "n is a Python int that changed 4 -> 3: pass a tensor, or accept one build per value"
    ]


def test_a_function_that_raised_while_it_was_traced_runs_eagerly_ever_after(torch, compiled):
    @compiled
    def f(x, n):
        if n > 1:
            raise ValueError("too many")
        return x * 2

    with watch() as ledger:
        with pytest.raises(ValueError, match="too many"):
            f(torch.ones(3), 2)
        f(torch.ones(3), 1)
    assert [build.failed for build in ledger.events] == [True]
    assert ledger.fallbacks == 1
    assert "raised while it was traced, and torch does not try again" in ledger.explain()


# Breaks.


def _line_of(function, text):
    lines, start = inspect.getsourcelines(function)
    return f"test_torch_dynamo.py:{start + next(index for index, line in enumerate(lines) if text in line)}"


def printing(x):
    x = x + 1
    print(end="")
    return x * 2


def reading(x):
    return x * x.sum().item()


def branching(x):
    if x.sum() > 0:
        return x * 2
    return x


def looping(x):
    for _ in range(3):
        x = x + 1
        print(end="")
    return x


def nested(x):
    return printing(x + 1) * 2


BREAKS = [
    (printing, printing, "print(end", "print"),
    (reading, reading, "item()", "item"),
    (branching, branching, "if x.sum()", "a branch depends on the value of a tensor: use torch.cond"),
    (nested, printing, "print(end", "print"),
]


@pytest.mark.parametrize(("function", "place", "text", "reason"), BREAKS, ids=[case[0].__name__ for case in BREAKS])
def test_a_break_has_the_users_line_and_a_reason_in_one_line(torch, compiled, function, place, text, reason):
    with watch() as ledger:
        compiled(function)(torch.ones(3))
    assert {entry.where for entry in ledger.graph_breaks} == {_line_of(place, text)}
    assert all(reason in entry.reason and "\n" not in entry.reason for entry in ledger.graph_breaks)
    assert ledger.breaks == 1
    assert f"graph break at {_line_of(place, text)}: " in ledger.explain()


def test_a_break_counts_once_for_all_shapes_and_its_resumption_is_no_rebuild(torch, compiled):
    f = compiled(printing)
    with watch() as ledger:
        for shape in ((4,), (4, 3), (4, 3, 2)):
            f(torch.ones(shape))
    assert ledger.breaks == 1
    assert (ledger.builds, ledger.rebuilds) == (6, 2)
    rest = [build for build in ledger.events if build.resumed]
    assert [build.number for build in rest] == [1, 2, 3]
    assert {build.function for build in rest} == {"printing after its graph break"}
    assert not any(build.rebuild for build in rest)


def test_a_break_in_a_loop_leaves_the_whole_function_to_python(torch, compiled):
    with watch() as ledger:
        compiled(looping)(torch.ones(3))
    if not hasattr(torch._dynamo.config, "recompile_limit"):
        pytest.skip("torch 2.4 keeps it to itself")
    assert (ledger.builds, ledger.breaks) == (0, 1)
    assert "(the whole function runs eagerly)" in ledger.graph_breaks[0].reason


def test_a_frame_without_operations_is_no_graph(torch, compiled):
    @compiled
    def f(x):
        print(end="")
        return x * 2

    with watch() as ledger:
        f(torch.ones(3))
    assert (ledger.builds, ledger.breaks) == (1, 1)
    assert ledger.events[0].resumed


def test_without_breaks_there_are_none(torch, compiled):
    with watch() as ledger:
        compiled(lambda x: x * 2)(torch.ones(3))
    assert (ledger.breaks, ledger.fallbacks) == (0, 0)


# Torch's internals.


@pytest.mark.parametrize("name", ["_compile"])
def test_a_torch_without_the_hook_is_told_so(torch, monkeypatch, name):
    from pytest_graphmode.backends.torch.dynamo.source import DynamoSource

    monkeypatch.delattr(torch._dynamo.convert_frame, name)
    with pytest.raises(
        UnsupportedError, match=r"convert_frame._compile, by which graphs are counted: use torch 2.4 to"
    ):
        DynamoSource().attach(None)


def test_the_internals_that_causes_are_read_from_are_there(torch, compiled):
    """Fails where torch spells its guards in another way: then every cause is the first failure that torch names."""
    from pytest_graphmode.backends.torch.dynamo import guards

    seen = []
    original = guards.EarlierGraph.first_failure
    with pytest.MonkeyPatch.context() as patch, watch() as ledger:
        patch.setattr(guards.EarlierGraph, "first_failure", lambda graph: seen.append(1) or original(graph))
        f = compiled(lambda x, n: x * n)
        for n in (2.0, 3.0):
            f(torch.ones(3), n)
            f(torch.ones(3, dtype=torch.float64), n)
            with torch.no_grad():
                f(torch.ones(3), n)
    assert ledger.rebuilds >= 4
    assert not seen


def test_nothing_stays_patched(torch):
    before = torch._dynamo.convert_frame._compile, torch.nn.Module.__call__
    with watch():
        assert torch._dynamo.convert_frame._compile is not before[0]
    assert (torch._dynamo.convert_frame._compile, torch.nn.Module.__call__) == before
