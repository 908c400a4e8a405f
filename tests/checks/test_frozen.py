"""check_not_frozen without a framework: what it varies, what it says, what it leaves as it was."""

import datetime
import itertools
import random
import sys
import time
from contextlib import nullcontext
from datetime import datetime as moment
from time import time as now

import numpy as np
import pytest

from pytest_graphmode import GraphmodeWarning

X = np.ones(2)

RANDOM = {
    "random": lambda x: x * random.random(),
    "random, seldom another value": lambda x: x * random.randint(0, 1),
    "numpy.random": lambda x: x * np.random.rand(),
}
CLOCK = {
    "time.time": lambda x: x + time.time() % 100,
    "imported by name": lambda x: x + now() % 100,
    "nanoseconds": lambda x: x + time.time_ns() // 10**7 % 100,
    "seldom another value": lambda x: x + int(time.time() // 86400) % 2,
    "datetime": lambda x: x + moment.now().second,
    "date": lambda x: x + datetime.date.today().day,
    "with a time zone": lambda x: x + moment.now(datetime.timezone.utc).hour,
}
NO_TIME_MACHINE = "the clock did not move, since time-machine is not installed (pip install 'pytest-graphmode[clock]')"


@pytest.fixture
def time_machine():
    """A test that needs the clock moved."""
    return pytest.importorskip("time_machine")


@pytest.fixture
def no_time_machine(monkeypatch):
    monkeypatch.setitem(sys.modules, "time_machine", None)


def failure(handle, fn, *args, **options):
    with pytest.raises(AssertionError) as caught:
        handle.check_not_frozen(fn, *args, **options)
    return str(caught.value)


@pytest.mark.parametrize("source", RANDOM)
def test_frozen_random_numbers(static, mode, source):
    static.check_not_frozen(RANDOM[source], X)
    mode.frozen = True
    message = failure(static, RANDOM[source], X)
    assert message.startswith(
        "check_not_frozen(<lambda>) in numpy-graph-cpu: Python's result moved when random and numpy.random were "
        "reseeded; the graph's did not, so it holds what it read while it was built\n  Python: result at [0] "
    )
    assert message.endswith(
        "draw them outside and pass them as tensors, or draw with the framework's own random operations"
    )


@pytest.mark.usefixtures("time_machine")
def test_values_that_differ_in_their_last_digits_are_told_apart(static, mode):
    mode.frozen = True
    message = failure(static, lambda x: x * time.time(), np.ones(3))
    before, after = message.split("  Python: result at [0] ")[1].partition("\n")[0].split(" -> ")
    assert float(before) != float(after)


@pytest.mark.parametrize("source", CLOCK)
@pytest.mark.usefixtures("time_machine")
def test_a_frozen_clock(static, mode, source):
    static.check_not_frozen(CLOCK[source], X)
    mode.frozen = True
    message = failure(static, CLOCK[source], X)
    assert "Python's result moved when the clock moved; the graph's did not" in message
    assert message.endswith(
        "  varied: random numbers, the clock (time-machine)\nread the clock outside and pass the time as a tensor"
    )


@pytest.mark.usefixtures("time_machine")
def test_a_function_that_waits_for_a_deadline_ends(static):
    def fn(x):
        end = time.time() + 1e-3
        while time.time() < end:
            x = x * 1
        return x

    static.check_not_frozen(fn, X)


@pytest.mark.usefixtures("no_time_machine")
def test_without_time_machine_the_clock_stands_and_the_check_says_so(static, mode):
    mode.frozen = True
    assert f"  varied: random numbers; {NO_TIME_MACHINE}\n" in failure(static, RANDOM["random"], X)
    with pytest.warns(GraphmodeWarning) as caught:
        static.check_not_frozen(CLOCK["date"], X)
    assert str(caught[0].message) == (
        f"check_not_frozen(<lambda>) in numpy-graph-cpu: {NO_TIME_MACHINE}, so that a frozen time would pass"
    )
    assert caught[0].filename == __file__
    static.check_not_frozen(lambda x: x * 2, X)  # it reads no clock: nothing to warn of


def test_what_vary_changes(static, mode):
    state = {"scale": 1.0}

    def vary():
        state["scale"] = 2.0  # once and for all: the graph has to be built before

    static.check_not_frozen(lambda x: x * state["scale"], X, vary=vary)
    state["scale"] = 1.0
    mode.frozen = True
    message = failure(static, lambda x: x * state["scale"], X, vary=vary)
    assert "Python's result moved when vary (vary) was called; the graph's did not" in message
    assert "  Python: result at [0] 1 -> 2\n  graph:  result [1, ...] -> [1, ...]\n" in message
    assert "  varied: random numbers, " in message
    assert "what vary changes" in message
    assert message.endswith("pass it to the function as a tensor, or hold it in a graphmode.variable")


def test_state_of_the_functions_own(static, mode):
    counter = itertools.count()
    static.check_not_frozen(lambda x: x * next(counter), X)
    mode.frozen = True
    message = failure(static, lambda x: x * next(counter), X)
    assert "moved when the function was called again, because of a counter, an iterator or the like; the" in message


def test_random_numbers_frozen_in_a_function_whose_result_always_moves(static, mode):
    """As in a training step: the weights move anyway."""
    total = [0.0]

    def step(x):
        total[0] += 1
        return x * total[0] * (drawn if static.mode == "graph" and mode.inside() else random.random())

    drawn = 0.5
    message = failure(static, step, X)
    assert (
        "every call in Python draws from random or numpy.random, and calls of the graph draw nothing: the numbers were "
        "drawn once, while the graph was built; draw them outside"
    ) in message


def test_functions_that_read_nothing_pass(static, mode):
    mode.frozen = True
    static.check_not_frozen(lambda x: {"y": x * 2, "text": "constant", "nan": x * np.nan}, X)
    static.check_not_frozen(lambda x: None, X)
    static.check_not_frozen(lambda: 1.0)


def test_operators_are_python_in_the_plain_runs(static, mode):
    mode.frozen = True
    message = failure(static, lambda x: static.fori_loop(0, 2, lambda i, x: x * random.random(), x), X)
    assert "random and numpy.random were reseeded" in message


@pytest.mark.parametrize("frozen", [False, True])
def test_random_numbers_and_clocks_are_as_before(static, mode, frozen):
    mode.frozen = frozen
    expected, before = (random.Random(1).random(), np.random.RandomState(1).rand()), time.time()
    random.seed(1)
    np.random.seed(1)
    with pytest.raises(AssertionError) if frozen else nullcontext():
        static.check_not_frozen(RANDOM["random"], X)
    assert (random.random(), np.random.rand()) == expected
    with pytest.raises(KeyError, match="mine"):
        static.check_not_frozen({}.__getitem__, "mine")
    assert before <= time.time() < before + 1


def test_the_check_builds_nothing_of_the_tests(static):
    static.check_not_frozen(lambda x: x * 2, X)
    assert (static.ledger.builds, static.ledger.calls) == (0, 1)
