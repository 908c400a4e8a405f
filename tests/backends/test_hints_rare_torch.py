"""What torch's rarer hints say, done to the letter: the rebuilds that they are printed for are gone."""

from __future__ import annotations

import contextlib
import functools

import pytest

from pytest_graphmode import watch


@pytest.fixture(autouse=True)
def torch(dynamo):
    dynamo.reset()
    torch = pytest.importorskip("torch")
    if not hasattr(torch._dynamo.config, "recompile_limit"):
        pytest.skip("torch 2.4 tells less")
    yield torch
    dynamo.reset()


def doubled(x):
    return x * 2


def called(torch, *calls, function=doubled):
    """The ledger of a few calls, each a function of the compiled one."""
    torch._dynamo.reset()
    compiled = torch.compile(function, backend="eager")
    with watch() as ledger:
        for call in calls:
            call(compiled)
    return ledger


def inside(scope):
    def call(function, x):
        with scope():
            function(x)

    return call


def devices(torch):
    cpu, meta = (lambda f, device=device: f(torch.ones(2, device=device)) for device in ("cpu", "meta"))
    text = "x changed device cpu -> meta: call the function on one device, or accept one build per device"
    return text, (cpu, meta), (meta, meta)


def modes(torch):
    x, module = torch.ones(2), torch.nn.Dropout()
    train, evaluated = lambda f: module.train() and f(module, x), lambda f: module.eval() and f(module, x)
    text = "accept one build for train() and one for eval(), or call it in one of the two"
    return text, (train, evaluated), (evaluated, evaluated)


def layouts(torch):
    plain, last = torch.ones(1, 2, 3, 4), torch.ones(1, 2, 3, 4).to(memory_format=torch.channels_last)
    text = "x changed layout strides [24, 12, 4, 1] -> strides [24, 1, 8, 2]: call .contiguous() before the call"
    calls = (lambda f: f(plain), lambda f: f(last))
    return text, calls, (calls[0], lambda f: f(last.contiguous()))


def resets(torch):
    x = torch.ones(2)
    text = (
        "the graph built before was not there: leave out torch._dynamo.reset() and torch._dynamo.explain(), which drop "
        "the graphs there are"
    )
    plain = lambda f: f(x)  # noqa: E731
    return text, (plain, lambda f: torch._dynamo.reset() or f(x)), (plain, plain)


def explanations(torch):
    text, (plain, _), followed = resets(torch)
    return text, (plain, lambda f: torch._dynamo.explain(doubled)(torch.ones(2)), plain), followed


def set_around(torch, text, put, value, usual):
    """A call with the usual value of a setting, then one with another."""
    x = torch.ones(2)

    def changed(f):
        put(value)
        try:
            f(x)
        finally:
            put(usual)

    return f"{text}: set it before the first call, and leave it", (lambda f: f(x), changed), (changed, changed)


def settings(torch):
    text = "the default dtype changed float32 -> float64"
    return set_around(torch, text, torch.set_default_dtype, torch.float64, torch.float32)


def unnamed_settings(torch):
    return set_around(torch, "deterministic algorithms", torch.use_deterministic_algorithms, True, False)


AROUND = "call the function only inside or only outside of it, or accept one build for each"


def modes_around(torch):
    x = torch.ones(2)
    within = functools.partial(inside(lambda: torch.device("cpu")), x=x)
    text = f"the mode (torch.device, for one) around the call: {AROUND}"
    return text, (lambda f: f(x), within), (within, within)


def transforms_around(torch):
    x = torch.ones(2, 2)
    text = f"the transform of torch.func (vmap, grad, ...) around the call: {AROUND}"
    mapped = lambda f: torch.vmap(f)(x)  # noqa: E731
    return text, (lambda f: f(x[0]), mapped), (mapped, mapped)


def twins(torch):
    x, y = torch.ones(2), torch.ones(2)
    text = (
        "y changed structure a tensor of its own -> the same tensor as x: pass y as a tensor of its own each time "
        "(.clone()), or accept one build for each"
    )
    return text, (lambda f: f(x, y), lambda f: f(x, x)), (lambda f: f(x, y), lambda f: f(x, x.clone()))


def guards(torch):
    class Settings:
        pass

    x, bare, set_up = torch.ones(2), Settings(), Settings()
    set_up.scale = 2
    text = "keep it the same between calls, or accept one build for each"
    calls = (lambda f: f(x, bare), lambda f: f(x, set_up))
    return text, calls, (calls[1], calls[1])


FUNCTIONS = {
    modes: lambda module, x: module(x),
    twins: lambda x, y: x + y,
    guards: lambda x, settings: x * 2 if hasattr(settings, "scale") else x * 3,
}
CASES = (
    *(devices, modes, layouts, resets, explanations, settings, unnamed_settings),
    *(modes_around, transforms_around, twins, guards),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_rare_hint_that_is_followed_ends_the_rebuilds(torch, case):
    text, fault, followed = case(torch)
    function = FUNCTIONS.get(case, doubled)
    ledger = called(torch, *fault, function=function)
    assert ledger.rebuilds > 0
    assert text in ledger.explain()
    ledger = called(torch, *followed, function=function)
    assert (ledger.builds, ledger.rebuilds) == (1, 0), ledger.explain()


def test_options_that_are_the_same_each_time_end_it(torch):
    def compiled(*options):
        torch._dynamo.reset()
        with watch() as ledger:
            for dynamic in options:
                torch.compile(doubled, backend="eager", dynamic=dynamic)(torch.ones(2))
        return ledger

    assert "name it by a string, and with the same options each time" in compiled(None, True).explain()
    assert compiled(True, True).rebuilds == 0


def test_a_function_given_up_that_compiles_less_often_or_a_higher_limit_ends_the_fallback(torch):
    def lengths(*, dynamic=False, scope=contextlib.nullcontext):
        torch._dynamo.reset()
        compiled = torch.compile(doubled, backend="eager", dynamic=dynamic)
        with watch() as ledger, scope():
            for length in range(2, 12):
                compiled(torch.ones(length))
        return ledger

    ledger = lengths()
    assert ledger.fallbacks == 1
    assert "make it compile less often (the last time because x changed shape [9] -> [10])" in ledger.explain()
    assert "or raise the limit" in ledger.explain()
    ledger = lengths(dynamic=True)
    assert (ledger.rebuilds, ledger.fallbacks) == (0, 0)
    assert lengths(scope=lambda: torch._dynamo.config.patch(recompile_limit=20)).fallbacks == 0


def test_a_function_that_raises_outside_of_the_compiled_one_ends_the_fallback(torch):
    def refused(x):
        raise ValueError("not on weekends")

    def raising(function):
        with pytest.raises(ValueError, match="not on weekends"):
            function(torch.ones(2))

    ledger = called(torch, raising, function=refused)
    assert ledger.fallbacks == 1
    assert "torch does not try again: raise outside of the compiled function" in ledger.explain()
    ledger = called(torch, lambda f: raising(lambda x: refused(f(x))))
    assert (ledger.builds, ledger.fallbacks) == (1, 0)
