"""What check_control_flow sees of Python's own `if`, `while` and `for`: with the line and the case to add."""

import functools

import numpy as np
import pytest

HERE = "tests/checks/test_statements.py"


@pytest.fixture(autouse=True)
def _no_nodes(mode):
    mode.control_flow = {}


def gaps(handle, fn, *arguments):
    """The gaps that are left by cases of one argument each."""
    with pytest.raises(AssertionError) as caught:
        handle.check_control_flow(fn, cases(arguments))
    lines = str(caught.value).splitlines()
    assert lines[-1] == "or pass coverage=False"
    return [line.strip() for line in lines[1:-1]]


def passes(handle, fn, *arguments):
    handle.check_control_flow(fn, cases(arguments))


def cases(arguments):
    return [argument if isinstance(argument, tuple) else (argument,) for argument in arguments]


def branch(x):
    if x > 0:
        return x * 2
    return x - 1


def line(fn, after):
    return f"{HERE}:{fn.__code__.co_firstlineno + after}"


@pytest.mark.parametrize(
    ("case", "side", "verb"), [(1.0, "false", "does not hold"), (-1.0, "true", "holds")], ids=["true", "false"]
)
def test_a_side_of_an_if(eager, case, side, verb):
    assert gaps(eager, branch, case) == [
        f"the {side} side of `if x > 0` at {line(branch, 1)} was taken by no case: add a case in which `x > 0` {verb}"
    ]
    passes(eager, branch, 1.0, -1.0)
    eager.check_control_flow(branch, [(case,)], coverage=False)


def test_branches_within_one_line(eager):
    # fmt: off
    def fn(x):
        if x > 0: x = x + 1  # noqa: E701
        y = 1 if x > 5 else 2
        return x + y
    # fmt: on

    told = gaps(eager, fn, 1)
    assert [gap.partition(" was")[0] for gap in told] == [
        f"the false side of `if x > 0` at {line(fn, 1)}",
        f"the true side of `if x > 5` at {line(fn, 2)}",
    ]
    passes(eager, fn, 1, 7, 0)


def halvings(n):
    steps = 0
    while n > 1:
        n = n // 2
        steps += 1
        if steps == 5:
            break
    return steps


def test_iterations_of_a_while(eager):
    passes(eager, halvings, 1, 2, 8, 1000)
    begin = f"`while n > 1` at {line(halvings, 2)} never ran"
    assert gaps(eager, halvings, 2, 1000) == [
        f"{begin} zero times, it ran 1 to 5 times: add a case in which `n > 1` does not hold from the start"
    ]
    assert gaps(eager, halvings, 1, 2)[0] == (
        f"{begin} several times, it ran 0 to 1 times: add a case in which it runs twice or more"
    )


def total(n):
    found = 0
    for i in range(n):
        found += i
    return found


def test_iterations_of_a_for(eager):
    passes(eager, total, 0, 3)
    (gap,) = gaps(eager, total, 3)
    assert gap.startswith(
        f"`for i in range(n)` at {line(total, 2)} never ran zero times, it ran 3 times: add a case in "
    )
    assert gap.endswith("which there is nothing in `range(n)`")
    assert "never ran several times" in gaps(eager, total, 0, 1)[0]


def test_loops_that_no_case_can_change_are_exempt(eager):
    layers = [lambda x: x + 1, lambda x: x * 2]

    def fn(x, steps=3):
        for layer in layers:
            x = layer(x)
        for _ in range(steps):
            x = x + 1
        for size in x.shape:
            x = x * size
        for _ in range(len(x)):
            x = x + 1
        for i in (1, 2):
            x = x - i
        while True:
            x = x + 1
            break
        if __debug__:
            x = x + 1
        return x

    passes(eager, fn, np.ones(2))
    assert [gap.partition("` at")[0] for gap in gaps(eager, fn, (np.ones(2), 3))] == ["`for _ in range(steps)"]


def test_spaces_in_a_text_stay_in_its_condition(eager):
    def fn(x):
        if x.shape == "a  b":
            x = x + 1
        return x if SCALED else -x

    assert any("`if x.shape == 'a  b'`" in gap for gap in gaps(eager, fn, np.ones(2)))


SCALED = True


class Options:
    bias = 1


def test_conditions_that_no_case_can_change_are_exempt(eager):
    options, table, shift = Options(), {"on": True}, None

    def fn(x):
        if SCALED and __debug__:
            x = x * 2
        if eager.backend == "numpy" and not table["on"]:
            x = eager.tensor(x)
        if shift is not None:
            x = x + shift
        return x + 1 if options.bias > 0 else x

    passes(eager, fn, 1.0)


STATE = {"on": [], "count": 0}
CHANGING = {
    "a method": lambda x: (x if STATE["on"] else x + 0, STATE["on"].append(1))[0],
    "a call that gets it": lambda x: (x if STATE else x + 0, len(STATE))[0],
    "a call": lambda x: x if branch(1) else x + 0,
    "an argument": lambda x: x if x > 0 else x + 0,
}


def assigning(x):
    STATE["count"] = 1
    return x if STATE["count"] > 0 else x + 0


@pytest.mark.parametrize("fn", [*CHANGING.values(), assigning], ids=[*CHANGING, "an assignment"])
def test_conditions_that_the_function_or_a_case_may_change_count(eager, fn):
    assert "side of `if " in gaps(eager, fn, 1)[0]


def test_the_code_of_a_function_is_its_own_after_a_check(eager):
    code, kept = branch.__code__, []

    def fn(x):
        def inner(x):
            return x * 2 if x > 0 else x

        kept.append(inner)
        return inner(x)

    passes(eager, branch, 1, -1)
    with pytest.raises(TypeError):
        eager.check_control_flow(branch, [("text",)])
    assert branch.__code__ is code
    passes(eager, fn, 1, -1)
    assert [inner(3) for inner in kept] == [6] * len(kept)


class Model:
    def __init__(self, layers):
        self.layers = layers

    def __call__(self, x):
        for _ in range(self.layers):
            x = self.step(x)
        return x if x > 0 else -x

    def step(self, x):
        if x > 10:
            return x
        return x + 1


def test_methods_partials_wrappers_and_callable_objects(eager):
    model = Model(2)
    assert "`if x > 10` at" in gaps(eager, model.step, 1)[0]
    passes(eager, model.step, 1, 11)
    passes(eager, functools.partial(Model.step, model), 1, 11)
    assert len(gaps(eager, functools.partial(branch), 1)) == 1

    @functools.wraps(branch)
    def wrapper(x):
        return branch(x)

    assert "`if x > 0` at" in gaps(eager, wrapper, 1)[0]
    assert len(gaps(eager, model, 1)) == 1  # of its own code: not the method that it calls
    passes(eager, model, 1, -5)


def test_functions_inside_of_a_function_are_its_code_and_helpers_are_not(eager):
    def outer(x):
        def inner(z):
            if z > 1:
                return z
            return z + 1

        return inner(x)

    assert "`if z > 1` at" in gaps(eager, outer, 1)[0]
    passes(eager, outer, 1, 2)
    passes(eager, lambda x: branch(x), 1)


def test_callbacks_of_operators_count(static, mode):
    mode.control_flow = {"while": 1}

    def fn(n):
        def body(n):
            if n == 3:
                return n - 2
            return n - 1

        return static.while_loop(lambda n: n > 0, body, (n,))[0]

    passes(static, fn, 0, 5)
    assert "`if n == 3` at" in gaps(static, fn, 0, 2)[0]


def test_a_scan_over_nothing_covers_nothing(eager):
    def fn(x):
        def step(carry, row):
            if row < 1:
                return carry, row
            return carry + 1, row

        return eager.scan(step, 0, x)[0]

    passes(eager, fn, np.zeros(0))
    assert len(gaps(eager, fn, np.zeros(0), np.ones(2))) == 1
    passes(eager, fn, np.array([0.0, 1.0]))


def test_the_function_runs_once_plainly_for_each_case(eager):
    calls = []

    def fn(x):
        calls.append(type(x))
        return x

    eager.check_control_flow(fn, [(1.0,), (2.0,)])
    assert len(calls) == 4
    eager.check_control_flow(fn, [(1.0,), (2.0,)], reference=lambda x: x)
    assert len(calls) == 8


def test_an_error_of_the_function_in_plain_python_is_told(static):
    def fn(x):
        if not static.runtime.mode.static:
            raise ValueError("mine, in plain Python")
        return x

    with pytest.raises(ValueError, match="mine, in plain Python"):
        static.check_control_flow(fn, [(1.0,)])
