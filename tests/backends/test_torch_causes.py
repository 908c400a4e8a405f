"""Causes of compilations with their words and hints; those of which a hint is tried are in the tests of hints."""

import contextlib
import dataclasses
from typing import Any

import pytest

from pytest_graphmode import watch
from tests.backends.ledgers import ledger_of, within

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.usefixtures("torch")

ONES = torch.ones(4)


@dataclasses.dataclass
class Batch:
    x: object
    times: int


def double(x):
    return x * 2


# A function, the arguments of calls of which the last builds it again, and the words of the cause, of this kind.
CALLS: dict[str, tuple[Any, ...]] = {
    "shape": (
        *(double, [torch.ones(4, 3), torch.ones(5, 3)]),
        "x changed shape [4, 3] -> [5, 3]: torch.compile(dynamic=True), or torch._dynamo.mark_dynamic(x, dimension)",
    ),
    "rank": (double, [torch.ones(4, 3), ONES], "x changed rank [4, 3] -> [4]: pass tensors of one rank"),
    "dtype": (double, [ONES, ONES.double()], "x changed dtype float32 -> float64: cast x before the call"),
    "structure: subclass": (
        *(double, [ONES, torch.nn.Parameter(ONES, requires_grad=False)]),
        "x changed structure Tensor -> Parameter: pass x with the same keys, length and types",
    ),
    "structure: tensor for a number": (
        *(lambda x: torch.ones(4) * x, [2, ONES]),
        "x changed structure Python int 2 -> float32[4]",
    ),
    "structure: number for a tensor": (
        *(lambda x: torch.ones(4) * x, [ONES, 2]),
        "x changed structure float32[4] -> Python int 2",
    ),
    "structure: length": (
        *(lambda xs: sum(xs), [[ONES], [ONES, ONES]]),
        "xs changed structure length 1 -> length 2: pass xs with the same keys, length and types each time",
    ),
    "structure: container": (
        *(lambda xs: xs[0] * 2, [[ONES], ((ONES,),)]),
        "-> tuple: pass xs with the same keys, length and types each time",
    ),
    "structure: no tensor twice": (
        *(lambda x, y: x * y, [(ONES, ONES), (ONES, torch.ones(4))]),
        "y changed structure the same object as x -> an object of its own",
    ),
    "python-value: bool": (
        *(lambda training: torch.ones(4) * 2 if training else torch.ones(4) + 1, [True, False]),
        "training is a Python bool that changed True -> False: ",
    ),
    "python-value: float for any int": (
        *(lambda n: torch.ones(4) * n, [2, 3, 2.5]),
        "n is a Python float that changed 3 -> 2.5",
    ),
    "python-value: text": (
        *(lambda how: torch.ones(4) * 2 if how == "double" else torch.ones(4) + 1, ["double", "single"]),
        "how is a Python str that changed 'double' -> 'single': pass the same one each time",
    ),
    "python-value: field": (
        *(lambda batch: batch.x * batch.times, [Batch(ONES, 2), Batch(ONES, 3)]),
        "batch.times is a Python int that changed 2 -> 3",
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_call_that_builds_again_has_a_cause_and_a_hint(compiled, case):
    function, calls, message = CALLS[case]
    assert_last(ledger_of(compiled(function), *calls), case.partition(":")[0], message)


def assert_last(ledger, kind, message):
    last = ledger.events[-1]
    assert last.rebuild
    assert [cause.kind for cause in last.causes] == [kind]
    assert message in str(last.causes[0])
    assert message in ledger.explain()
    assert last.causes[0].hint


@contextlib.contextmanager
def default_device():
    torch.set_default_device("cpu")
    try:
        yield
    finally:
        torch.set_default_device(None)


# What is around the first call and around the second, the kind and the words of the cause.
SCOPES = {
    "no_grad": (
        *(contextlib.nullcontext, torch.no_grad, "grad-mode"),
        "grad-mode changed grad -> no_grad: call the function under one grad mode, or accept one build for each",
    ),
    "inference_mode": (
        *(torch.no_grad, torch.inference_mode, "grad-mode"),
        "grad-mode changed no_grad -> inference_mode",
    ),
    "out of inference_mode": (
        *(torch.inference_mode, contextlib.nullcontext, "grad-mode"),
        "grad-mode changed inference_mode -> grad",
    ),
    "autocast": (
        *(contextlib.nullcontext, lambda: torch.autocast("cpu"), "global-state"),
        "autocast of cpu changed off -> bfloat16: set it before the first call",
    ),
    "default device": (
        *(contextlib.nullcontext, default_device, "global-state"),
        "the default device changed None -> cpu: set it before the first call",
    ),
}


@pytest.mark.parametrize("case", SCOPES)
def test_what_changed_around_the_call(compiled, case):
    *scopes, kind, message = SCOPES[case]
    function = compiled(double)
    assert_last(within(lambda: function(ONES), *scopes), kind, message)


SETTING = {"scale": 2.0}


def global_value(compiled):
    f = compiled(lambda x: x * SETTING["scale"])
    f(ONES)
    SETTING["scale"] += 1.0
    f(ONES)
    return "python-value", "SETTING['scale'] is a Python float that changed"


def closed_over_value(compiled):
    scale = 2.0
    f = compiled(lambda x: x * scale)
    f(ONES)
    scale = 3.0
    f(ONES)
    return "python-value", "scale is a Python float that changed 2.0 -> 3.0: make it a tensor"


def new_function_object(compiled):
    for _ in range(2):
        scope = {}
        exec(compile("def double(x): return x * 2", __file__, "exec"), scope)
        compiled(scope["double"])(ONES)
    said = (
        "the same code was wrapped again, in a new function object without the graphs of the last: define the function"
    )
    return "new-function-object", said


@pytest.mark.parametrize("case", [global_value, closed_over_value, new_function_object])
def test_what_changed_in_the_function(compiled, case):
    with watch() as ledger:
        kind, message = case(compiled)
    assert_last(ledger, kind, message)


# Of several things the one that matters: a function, calls, how many build it, what is said of the last.
BLAMED = {
    "all that changed": (
        *(lambda x, y, flag: x * y.sum() if flag else x + y, 2),
        [(ONES, torch.ones(4), True), (torch.ones(5).double(), torch.ones(5), False)],
        {("dtype", "x"), ("shape", "x"), ("shape", "y"), ("python-value", "flag")},
    ),
    "no argument without a guard": (
        *(lambda x, unused, also=None: x * 2, 2),
        [(ONES, torch.ones(2), 1), (ONES, torch.ones(3), 2), (torch.ones(5), ONES, 3)],
        {("shape", "x")},
    ),
    "no dimension that is dynamic": (
        *(lambda x, flag: x * 2 if flag else x + 1, 3),
        [(ONES, True), (torch.ones(5), True), (torch.ones(6), False)],
        {("python-value", "flag")},
    ),
}


@pytest.mark.parametrize("case", BLAMED)
def test_what_is_blamed(compiled, case):
    function, builds, calls, blamed = BLAMED[case]
    ledger = ledger_of(compiled(function), *calls)
    assert ledger.builds == builds
    assert sorted((cause.kind, cause.argument) for cause in ledger.events[-1].causes) == sorted(blamed)


def test_a_build_is_compared_with_the_nearest_graph(compiled):
    f = compiled(lambda x, how: x * len(how))
    ledger = ledger_of(f, (ONES, "a"), (ONES.double(), "ab"), (ONES.double(), "abc"))
    assert [str(cause) for cause in ledger.events[-1].causes] == [
        "how is a Python str that changed 'ab' -> 'abc': pass the same one each time, or accept one build for each"
    ]
