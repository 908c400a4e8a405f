"""Causes of compilations with their words and hints; those of which a hint is tried are in the tests of hints."""

from __future__ import annotations

import dataclasses

import pytest

from pytest_graphmode import watch

pytestmark = pytest.mark.usefixtures("torch")


# A function, the arguments of calls of which the last builds it again, the kind and words of the cause.
CALLS = {
    "shape": (
        lambda x: x * 2,
        lambda torch: (torch.ones(4, 3), torch.ones(5, 3)),
        "x changed shape [4, 3] -> [5, 3]: torch.compile(dynamic=True), or torch._dynamo.mark_dynamic(x, dimension)",
    ),
    "rank": (
        lambda x: x * 2,
        lambda torch: (torch.ones(4, 3), torch.ones(4)),
        "x changed rank [4, 3] -> [4]: pass tensors of one rank",
    ),
    "dtype": (
        lambda x: x * 2,
        lambda torch: (torch.ones(4), torch.ones(4, dtype=torch.float64)),
        "x changed dtype float32 -> float64: cast x before the call",
    ),
    "structure: subclass": (
        lambda x: x * 2,
        lambda torch: (torch.ones(4), torch.nn.Parameter(torch.ones(4), requires_grad=False)),
        "x changed structure Tensor -> Parameter: pass x with the same keys, length and types",
    ),
    "structure: tensor for a number": (
        lambda x: torch_ones(4) * x,
        lambda torch: (2, torch.ones(4)),
        "x changed structure Python int 2 -> float32[4]",
    ),
    "structure: number for a tensor": (
        lambda x: torch_ones(4) * x,
        lambda torch: (torch.ones(4), 2),
        "x changed structure float32[4] -> Python int 2",
    ),
    "structure: length": (
        lambda xs: sum(xs),
        lambda torch: ([torch.ones(4)], [torch.ones(4), torch.ones(4)]),
        "xs changed structure length 1 -> length 2: pass xs with the same keys, length and types each time",
    ),
    "structure: container": (
        lambda xs: xs[0] * 2,
        lambda torch: ([torch.ones(4)], (torch.ones(4),)),
        "-> tuple: pass xs with the same keys, length and types each time",
    ),
    "python-value: bool": (
        lambda training: torch_ones(4) * 2 if training else torch_ones(4) + 1,
        lambda torch: (True, False),
        "training is a Python bool that changed True -> False: ",
    ),
    "python-value: float for any int": (
        lambda n: torch_ones(4) * n,
        lambda torch: (2, 3, 2.5),
        "n is a Python float that changed 3 -> 2.5",
    ),
    "python-value: text": (
        lambda how: torch_ones(4) * 2 if how == "double" else torch_ones(4) + 1,
        lambda torch: ("double", "single"),
        "how is a Python str that changed 'double' -> 'single': pass the same one each time",
    ),
    "python-value: field": (
        lambda batch: batch.x * batch.times,
        lambda torch: (Batch(torch.ones(4), 2), Batch(torch.ones(4), 3)),
        "batch.times is a Python int that changed 2 -> 3",
    ),
}


def torch_ones(size):
    import torch

    return torch.ones(size)


@dataclasses.dataclass
class Batch:
    x: object
    times: int


@pytest.mark.parametrize("case", CALLS)
def test_a_call_that_builds_again_has_a_cause_and_a_hint(torch, compiled, case):
    function, arguments, message = CALLS[case]
    function = compiled(function)
    with watch() as ledger:
        for argument in arguments(torch):
            function(argument)
    _last_is(ledger, case.partition(":")[0].split()[0], message)


def _last_is(ledger, kind, message):
    last = ledger.events[-1]
    assert last.rebuild
    assert [cause.kind for cause in last.causes] == [kind]
    assert message in str(last.causes[0])
    assert message in ledger.explain()
    assert last.causes[0].hint


# What changes beside the arguments: each case makes calls of which the last builds a function again.


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
    return "scale is a Python float that changed 2.0 -> 3.0: make it a tensor"


def no_tensor_twice(torch, compiled):
    f = compiled(lambda x, y: x * y)
    x = torch.ones(4)
    f(x, x)
    f(x, torch.ones(4))
    return "y changed structure the same object as x -> an object of its own"


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


def autocast(torch, compiled):
    f = compiled(lambda x: x * 2)
    f(torch.ones(4))
    with torch.autocast("cpu"):
        f(torch.ones(4))
    return "autocast of cpu changed off -> bfloat16: set it before the first call"


def default_device(torch, compiled):
    f = compiled(lambda x: x * 2)
    f(torch.ones(4))
    torch.set_default_device("cpu")
    try:
        f(torch.ones(4))
    finally:
        torch.set_default_device(None)
    return "the default device changed None -> cpu: set it before the first call"


def new_function_object(torch, compiled):
    for _ in range(2):
        scope = {}
        exec(compile("def double(x): return x * 2", __file__, "exec"), scope)
        compiled(scope["double"])(torch.ones(4))
    return (
        "the same code was wrapped again, in a new function object without the graphs of the last: define the function"
    )


CASES = {
    "python-value": (global_value, closed_over_value),
    "structure": (no_tensor_twice,),
    "grad-mode": (no_grad, inference_mode, out_of_inference_mode),
    "global-state": (autocast, default_device),
    "new-function-object": (new_function_object,),
}


@pytest.mark.parametrize(
    ("kind", "case"), [pytest.param(kind, case, id=case.__name__) for kind, cases in CASES.items() for case in cases]
)
def test_a_cause_is_named_with_before_after_and_hint(torch, compiled, kind, case):
    with watch() as ledger:
        message = case(torch, compiled)
    _last_is(ledger, kind, message)


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
