"""check_control_flow and check_not_frozen on real graphs."""

import functools
import random
import time

import numpy as np
import pytest

from tests.backends.variants import failure, variants

every_mode = variants("tf:graph", "tf:eager", "tf:session", "torch:eager", "torch:compile", "jax:jit", "jax:eager")
static_modes = variants("tf:graph", "jax:jit")


def collatz_steps(graphmode, n):
    def body(n, steps):
        return graphmode.cond(n % 2 < 1, lambda n: n // 2, lambda n: 3 * n + 1, n), steps + 1

    return graphmode.while_loop(lambda n, steps: n > 1, body, (n, 0))[1]


@every_mode
def test_functions_taken_out_of_the_handle_before(graphmode):
    xp = graphmode.xp

    def fn(pred, x):
        return xp.sum(graphmode.cond(pred, lambda x: xp.tanh(x) * x, lambda x: x + xp.ones(2), x))

    cases = [(True, np.full(2, 0.5)), (False, np.full(2, 0.5))]
    graphmode.check_control_flow(fn, cases)
    assert "differs" in failure(graphmode.check_control_flow, fn, cases, reference=lambda pred, x: x.sum())


@every_mode
def test_a_loop_with_a_branch(graphmode):
    graphmode.check_control_flow(lambda n: collatz_steps(graphmode, n), [(1,), (2,), (3,), (27,)])
    message = failure(graphmode.check_control_flow, lambda n: collatz_steps(graphmode, n), [(1,), (2,), (4,)])
    assert "false_fn of cond at tests/backends/test_controlflow_check.py" in message


@every_mode
def test_every_operator_in_one_function(graphmode):
    def everything(x, k, n):
        x = graphmode.fori_loop(0, n, lambda i, x: x * 2, x)
        x, ys = graphmode.scan(lambda x, y: (x + y, {"y": y * x}), x, np.arange(3.0))
        x = graphmode.switch(k, [lambda x: x, lambda x: -x, lambda x: x * x], x)
        return {"x": graphmode.cond(x > 0, lambda x: x + 1, lambda x: x - 1, x), "ys": ys}

    graphmode.check_control_flow(everything, [(1.0, 0, 0), (2.0, 1, 3), (3.0, 2, 1), (np.ones(()), 1, 2)])


@variants("tf:graph", "tf:eager", "torch:eager")
def test_functions_of_the_framework_run_on_its_own_tensors(graphmode):
    """NumPy arrays would be refused, or taken for something else: the plain run is the framework's own then."""
    scale = graphmode.variable(np.full(3, 2.0))

    lib = graphmode.lib
    relu, total = (lib.nn.relu, lib.reduce_sum) if graphmode.backend == "tf" else (lib.relu, lib.sum)

    def fn(x, n):
        return total(graphmode.while_loop(lambda x, i: i < n, lambda x, i: (relu(x) * scale - 1, i + 1), (x, 0))[0])

    graphmode.check_control_flow(fn, [(np.ones(3), 0), (np.arange(3.0), 4)])
    assert "never ran zero times" in failure(graphmode.check_control_flow, fn, [(np.ones(3), 4)])
    message = failure(graphmode.check_control_flow, fn, [(np.ones(3), 0)], reference=lambda x, n: x.sum() + 1)
    assert "case 1 ([1.0, 1.0, 1.0], 0) differs from plain Python: result: got 3.0, expected 4.0" in message


@static_modes
def test_a_branch_decided_by_a_python_bool(graphmode):
    flag = True

    def fn(x):
        return graphmode.cond(flag, lambda x: x + 1, lambda x: x - 1, x)

    message = failure(graphmode.check_control_flow, fn, [(1.0,)], coverage=False)
    assert "the graph for case 1 (1.0,) holds no branches where the code has 1: cond at tests/backends/" in message
    graphmode.check_control_flow(fn, [(1.0,)], coverage=False, in_graph=False)


@pytest.mark.slow
@variants("torch:compile")
def test_a_recompile_for_cases_of_one_signature(graphmode):
    calls = []

    def fn(x):
        calls.append(1)  # Dynamo guards on the length of a list
        return x * len(calls) / len(calls)

    message = failure(graphmode.check_control_flow, fn, [(1.0,), (2.0,)])
    assert "case 2 (2.0,) has the signature of case 1 (1.0,) and built the graph again\n" in message
    assert "calls changed structure [] -> [1]" in message


@static_modes
def test_a_frozen_draw(graphmode):
    """The depth of a network drawn by Python while its graph is built."""
    weights = graphmode.variable(np.full((2, 2), 0.25))

    def network(x):
        for _ in range(random.randint(0, 3)):
            x = graphmode.xp.maximum(x @ weights, 0)
        return graphmode.xp.sum(x)

    state = random.getstate()
    message = failure(graphmode.check_not_frozen, network, np.ones((1, 2)))
    assert "random and numpy.random were reseeded" in message
    assert random.getstate() == state

    def with_depth(x, depth):
        x = graphmode.fori_loop(0, depth, lambda i, x: graphmode.xp.maximum(x @ weights, 0), x)
        return graphmode.xp.sum(x)

    graphmode.check_not_frozen(with_depth, np.ones((1, 2)), np.int32(2))


@static_modes
def test_a_frozen_clock_and_state(graphmode):
    pytest.importorskip("time_machine")
    assert "the clock moved" in failure(graphmode.check_not_frozen, lambda x: x * (time.time() % 1000), np.ones(2))
    scale = [1.0]
    message = failure(
        graphmode.check_not_frozen, lambda x: x * scale[0], np.ones(2), vary=lambda: scale.__setitem__(0, 2.0)
    )
    assert "was called; the graph's did not" in message
    variable = graphmode.variable(1.0)
    graphmode.check_not_frozen(lambda x: x * variable, np.ones(2), vary=lambda: graphmode.assign(variable, 3.0))


@variants("tf:session")
def test_plain_python_beside_a_session(graphmode):
    """Symbolic tensors are run at once, or TensorFlow runs eagerly: NumPy alone knows neither."""
    tf, weight = graphmode.lib, graphmode.variable(2.0)

    def with_operations(x, n):
        x = graphmode.while_loop(lambda x, i: i < n, lambda x, i: (tf.nn.relu(x) * weight - 1, i + 1), (x, 0))[0]
        return tf.reduce_sum(x)

    def with_python(x):
        if tf.reduce_sum(x) > 0:
            return tf.nn.relu(x)
        return x * 2

    graphmode.check_control_flow(with_operations, [(np.ones(3), 0), (np.arange(3.0), 4)])
    message = failure(graphmode.check_control_flow, with_operations, [(np.arange(3.0), 4)])
    assert "never ran zero times, it ran 4 times" in message
    graphmode.check_control_flow(with_python, [(np.ones(3),), (-np.ones(3),)])
    message = failure(graphmode.check_not_frozen, lambda x: tf.nn.relu(x) * weight * random.random(), np.ones(3))
    assert "random and numpy.random were reseeded" in message


@variants("tf:graph", "tf:eager", "torch:eager", "torch:compile", "jax:jit")
@pytest.mark.graph_rebuilds(0)
def test_checks_are_not_counted_against_the_test(graphmode):
    def fn(n):
        return collatz_steps(graphmode, n)

    assert graphmode.numpy(graphmode.function(fn)(np.int32(3))) == 7
    graphmode.check_control_flow(fn, [(1,), (2,), (3,)])
    graphmode.check_not_frozen(fn, np.int32(3))
    assert graphmode.ledger.builds == (graphmode.mode in ("graph", "jit", "compile"))


# Functions that are decorated already: plain Python is what the decorator was put on.


def decorate(graphmode, fn):
    lib = graphmode.lib
    return graphmode.pick(
        tf=lambda fn: lib.function(fn), torch=lambda fn: lib.compile(fn, backend="eager"), jax=lambda fn: lib.jit(fn)
    )(fn)


class Model:
    def __init__(self, made):
        self.made = made

    def step(self, x):
        return self.made(x)


FORMS = {
    "itself": lambda made: made,
    "in a lambda": lambda made: lambda x: made(x),
    "partial": functools.partial,
    "method": lambda made: Model(made).step,
}


def decorated(graphmode, fn, form):
    return FORMS[form](decorate(graphmode, fn))


@variants("tf:graph", "torch:eager", "jax:jit")
@pytest.mark.parametrize("form", FORMS)
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
@pytest.mark.parametrize("form", ["itself", "method"])
def test_control_flow_of_a_decorated_function(graphmode, form):
    def fn(n):
        return graphmode.while_loop(lambda n: n < 10, lambda n: n * 2, (n,))[0]

    made = decorated(graphmode, fn, form)
    graphmode.check_control_flow(made, [(1,), (20,), (5,)])
    assert "never ran zero times" in failure(graphmode.check_control_flow, made, [(1,)])


@variants("tf:graph", "tf:eager", "torch:eager", "torch:compile", "jax:jit", "jax:eager")
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


# A graph that breaks is not one graph: the check names the line, and what to write there instead.

HERE = "tests/backends/test_controlflow_check.py"
compiled = variants("torch:compile")


def branch(x):
    if x > 0:
        return x * 2
    return x - 1


@pytest.mark.slow
@compiled
def test_a_python_if_on_a_tensor(graphmode):
    message = failure(graphmode.check_control_flow, branch, [(1.0,), (-1.0,)])
    assert (
        "check_control_flow(branch) in torch-compile-cpu: it is not all in one graph, which breaks\n"
        f"  at Python's `if x > 0` at {HERE}:{branch.__code__.co_firstlineno + 1}, which needs the value of a tensor: "
        "use graphmode.cond(pred, true_fn, false_fn, *operands)\n"
        "or pass in_graph=False"
    ) in message
    graphmode.check_control_flow(branch, [(1.0,), (-1.0,)], in_graph=False)
    graphmode.check_control_flow(
        lambda x: graphmode.cond(x > 0, lambda x: x * 2, lambda x: x - 1, x), [(1.0,), (-1.0,)]
    )


@compiled
def test_a_break_that_the_test_met_before(graphmode):
    """Dynamo keeps the graphs of a code, broken ones too, so the check itself may see no break."""
    graphmode.function(branch)(graphmode.tensor(1.0))
    graphmode.function(branch)(graphmode.tensor(-1.0))
    assert "at Python's `if x > 0` at" in failure(graphmode.check_control_flow, branch, [(1.0,), (-1.0,)])


@compiled
def test_any_other_break_is_told_in_the_words_of_torch(graphmode):
    def fn(x):
        x = x * 2
        print(end="")
        return x + 1

    message = failure(graphmode.check_control_flow, fn, [(1.0,)])
    assert f"test_controlflow_check.py:{fn.__code__.co_firstlineno + 2}: " in message
    graphmode.check_control_flow(fn, [(1.0,)], in_graph=False)


@variants("tf:graph", "torch:eager", "tf:eager")
def test_where_python_s_statements_are_fine(graphmode):
    graphmode.check_control_flow(branch, [(1.0,), (-1.0,)])
    message = failure(graphmode.check_control_flow, branch, [(1.0,)])
    assert (
        f"the false side of `if x > 0` at {HERE}:{branch.__code__.co_firstlineno + 1} was taken by no case" in message
    )
