"""Functions that are decorated already: plain Python is what the decorator was put on."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from tests.backends.variants import variants

every_mode = variants("tf:graph", "tf:eager", "torch:eager", "torch:compile", "jax:jit", "jax:eager")
forms = pytest.mark.parametrize("form", ["itself", "in a lambda", "partial", "method"])


def decorate(graphmode, fn):
    lib = graphmode.lib
    return graphmode.pick(
        tf=lambda fn: lib.function(fn), torch=lambda fn: lib.compile(fn, backend="eager"), jax=lambda fn: lib.jit(fn)
    )(fn)


def decorated(graphmode, fn, form):
    made = decorate(graphmode, fn)
    if form == "method":

        class Model:
            def step(self, x):
                return made(x)

        return Model().step
    return {"itself": made, "in a lambda": lambda x: made(x), "partial": functools.partial(made)}[form]


def failure(check, *args, **options):
    with pytest.raises(AssertionError) as caught:
        check(*args, **options)
    return str(caught.value)


@variants("tf:graph", "torch:eager", "jax:jit")
@forms
def test_what_a_decorated_function_froze(graphmode, form):
    box = [1.0]

    def scaled(x):
        return x * box[0]

    def bump():
        box[0] += 1.0

    made = decorated(graphmode, scaled, form)
    if graphmode.backend == "torch":  # Dynamo looks at the list before each call
        graphmode.check_not_frozen(made, np.ones(2), vary=bump)
        return
    message = failure(graphmode.check_not_frozen, made, np.ones(2), vary=bump)
    assert "was called; the graph's did not" in message
    assert "Python: result at [0] " in message


@variants("tf:graph", "torch:compile", "jax:jit")
@forms
def test_control_flow_of_a_decorated_function(graphmode, form):
    def fn(n):
        return graphmode.while_loop(lambda n: n < 10, lambda n: n * 2, (n,))[0]

    made = decorated(graphmode, fn, form)
    graphmode.check_control_flow(made, [(1,), (20,), (5,)])
    assert "never ran zero times" in failure(graphmode.check_control_flow, made, [(1,)])


@every_mode
def test_the_framework_compiles_again_after_a_check(graphmode):
    calls = []

    def fn(x):
        calls.append(1)
        return x * 2

    graphmode.check_not_frozen(decorate(graphmode, lambda x: x * 2), np.ones(2))
    made = decorate(graphmode, fn)
    for _ in range(3):
        made(graphmode.tensor(np.ones(2)))
    assert len(calls) in ((1, 2, 3) if graphmode.backend == "torch" else (1,))
