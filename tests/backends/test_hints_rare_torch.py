"""What torch's rarer hints say, done to the letter: the rebuilds that they are printed for are gone."""

import contextlib

import pytest

from tests.backends.ledgers import ledger_of

torch = pytest.importorskip("torch")

X = torch.ones(2)


@pytest.fixture(autouse=True)
def recent(torch, dynamo):
    if not hasattr(dynamo.config, "recompile_limit"):
        pytest.skip("torch 2.4 tells less")


def doubled(x):
    return x * 2


def plain(f):
    f(X)


def called(*calls, function=doubled):
    """The ledger of a few calls, each a function of the compiled one."""
    torch._dynamo.reset()
    compiled = torch.compile(function, backend="eager")
    return ledger_of(lambda call: call(compiled), *calls)


def within(scope):
    def call(f):
        with scope():
            f(X)

    return call


def set_to(put, value, usual):
    @contextlib.contextmanager
    def scope():
        put(value)
        try:
            yield
        finally:
            put(usual)

    return within(scope)


class Settings:
    def __init__(self, **kept):
        vars(self).update(kept)


DROPOUT, IMAGE = torch.nn.Dropout(), torch.ones(1, 2, 3, 4)
LAST = IMAGE.to(memory_format=torch.channels_last)
BARE, SCALED = Settings(), Settings(scale=2)
FLOAT64 = set_to(torch.set_default_dtype, torch.float64, torch.float32)
DETERMINISTIC = set_to(torch.use_deterministic_algorithms, True, False)
ON_CPU = within(lambda: torch.device("cpu"))
DROPPED = (
    "the graph built before was not there: leave out torch._dynamo.reset() and torch._dynamo.explain(), which drop "
    "the graphs there are"
)
AROUND = "call the function only inside or only outside of it, or accept one build for each"
TWIN = (
    "y changed structure a tensor of its own -> the same tensor as x: pass y as a tensor of its own each time "
    "(.clone()), or accept one build for each"
)


def evaluated(f):
    f(DROPOUT.eval(), X)


def mapped(f):
    torch.vmap(f)(torch.ones(2, 2))


# What is said; calls that build again; the same calls after the hint was followed; what is compiled.
CASES = {
    "device": (
        "x changed device cpu -> meta: call the function on one device, or accept one build per device",
        [plain, lambda f: f(torch.ones(2, device="meta"))],
        [lambda f: f(torch.ones(2, device="meta"))] * 2,
    ),
    "mode": (
        "accept one build for train() and one for eval(), or call it in one of the two",
        *([lambda f: f(DROPOUT.train(), X), evaluated], [evaluated, evaluated], lambda module, x: module(x)),
    ),
    "layout": (
        "x changed layout strides [24, 12, 4, 1] -> strides [24, 1, 8, 2]: call .contiguous() before the call",
        *([lambda f: f(IMAGE), lambda f: f(LAST)], [lambda f: f(IMAGE), lambda f: f(LAST.contiguous())]),
    ),
    "reset": (DROPPED, [plain, lambda f: torch._dynamo.reset() or f(X)], [plain, plain]),
    "explanation": (DROPPED, [plain, lambda f: torch._dynamo.explain(doubled)(X), plain], [plain, plain]),
    "setting": (
        "the default dtype changed float32 -> float64: set it before the first call, and leave it",
        *([plain, FLOAT64], [FLOAT64, FLOAT64]),
    ),
    "unnamed setting": (
        "deterministic algorithms: set it before the first call, and leave it",
        *([plain, DETERMINISTIC], [DETERMINISTIC, DETERMINISTIC]),
    ),
    "mode around": (
        f"the mode (torch.device, for one) around the call: {AROUND}",
        *([plain, ON_CPU], [ON_CPU, ON_CPU]),
    ),
    "transform around": (
        f"the transform of torch.func (vmap, grad, ...) around the call: {AROUND}",
        *([plain, mapped], [mapped, mapped]),
    ),
    "twin": (
        *(TWIN, [lambda f: f(X, X + 1), lambda f: f(X, X)], [lambda f: f(X, X + 1), lambda f: f(X, X.clone())]),
        lambda x, y: x + y,
    ),
    "guard": (
        "keep it the same between calls, or accept one build for each",
        *([lambda f: f(X, BARE), lambda f: f(X, SCALED)], [lambda f: f(X, SCALED)] * 2),
        lambda x, settings: x * 2 if hasattr(settings, "scale") else x * 3,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_rare_hint_that_is_followed_ends_the_rebuilds(case):
    text, fault, followed, *function = CASES[case]
    function = function[0] if function else doubled
    ledger = called(*fault, function=function)
    assert ledger.rebuilds > 0
    assert text in ledger.explain()
    ledger = called(*followed, function=function)
    assert (ledger.builds, ledger.rebuilds) == (1, 0), ledger.explain()


def test_options_that_are_the_same_each_time_end_it():
    def compiled(*options):
        torch._dynamo.reset()
        return ledger_of(lambda dynamic: torch.compile(doubled, backend="eager", dynamic=dynamic)(X), *options)

    assert "name it by a string, and with the same options each time" in compiled(None, True).explain()
    assert compiled(True, True).rebuilds == 0


def test_a_function_given_up_that_compiles_less_often_or_a_higher_limit_ends_the_fallback():
    def lengths(*, dynamic=False):
        torch._dynamo.reset()
        return ledger_of(torch.compile(doubled, backend="eager", dynamic=dynamic), *map(torch.ones, range(2, 12)))

    ledger = lengths()
    assert ledger.fallbacks == 1
    assert "make it compile less often (the last time because x changed shape [9] -> [10])" in ledger.explain()
    assert "or raise the limit" in ledger.explain()
    ledger = lengths(dynamic=True)
    assert (ledger.rebuilds, ledger.fallbacks) == (0, 0)
    with torch._dynamo.config.patch(recompile_limit=20):
        assert lengths().fallbacks == 0


def test_a_function_that_raises_outside_of_the_compiled_one_ends_the_fallback():
    def refused(x):
        raise ValueError("not on weekends")

    def raising(function):
        with pytest.raises(ValueError, match="not on weekends"):
            function(X)

    ledger = called(raising, function=refused)
    assert ledger.fallbacks == 1
    assert "torch does not try again: raise outside of the compiled function" in ledger.explain()
    ledger = called(lambda f: raising(lambda x: refused(f(x))))
    assert (ledger.builds, ledger.fallbacks) == (1, 0)
