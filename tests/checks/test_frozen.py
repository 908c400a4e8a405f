"""check_not_frozen without a framework: what it varies, what it says, what it leaves as it was."""

from __future__ import annotations

import datetime
import itertools
import random
import time
from datetime import date
from datetime import datetime as moment
from time import monotonic, perf_counter_ns
from time import time as now

import numpy as np
import pytest

from pytest_graphmode.checks.clock import Clock

X = np.ones(2)

RANDOM = {
    "random": lambda x: x * random.random(),
    "random, seldom another value": lambda x: x * random.randint(0, 1),
    "numpy.random": lambda x: x * np.random.rand(),
}
CLOCK = {
    "time.time": lambda x: x + time.time() % 100,
    "time imported by name": lambda x: x + now() % 100,
    "time.monotonic": lambda x: x + time.monotonic() % 100,
    "monotonic imported by name": lambda x: x + monotonic() % 100,
    "time.perf_counter": lambda x: x + time.perf_counter() % 100,
    "nanoseconds": lambda x: x + perf_counter_ns() // 10**7 % 100,
    "seldom another value": lambda x: x + int(time.time() // 86400) % 2,
    "datetime.now": lambda x: x + datetime.datetime.now().second,
    "datetime imported by name": lambda x: x + moment.now().microsecond % 100,
    "datetime.utcnow": lambda x: x + moment.utcnow().second,
    "datetime.today": lambda x: x + moment.today().minute,
    "date.today": lambda x: x + date.today().day,
    "with a time zone": lambda x: x + moment.now(datetime.timezone.utc).hour,
}


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


@pytest.mark.parametrize("source", CLOCK)
@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
def test_a_frozen_clock(static, mode, source):
    static.check_not_frozen(CLOCK[source], X)
    mode.frozen = True
    message = failure(static, CLOCK[source], X)
    assert "Python's result moved when the clock moved; the graph's did not" in message
    assert message.endswith("read the clock outside and pass the time as a tensor")


def test_a_clock_that_a_function_closes_over(static, mode):
    from time import time as closed_over

    mode.frozen = True
    assert "the clock moved" in failure(static, lambda x: x + closed_over() % 100, X)


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


def test_a_changed_structure_is_a_move(static, mode):
    mode.frozen = True
    assert "random" in failure(static, lambda x: [x] * random.randint(1, 5), X)


def test_eager_modes_freeze_nothing(eager):
    for fn in (*RANDOM.values(), CLOCK["time.time"]):
        eager.check_not_frozen(fn, X)


def test_verbs_are_python_in_the_plain_runs(static, mode):
    mode.frozen = True
    message = failure(static, lambda x: static.fori_loop(0, 2, lambda i, x: x * random.random(), x), X)
    assert "random and numpy.random were reseeded" in message


def test_random_numbers_and_clocks_are_as_before(static, mode):
    random.seed(1)
    np.random.seed(1)
    expected = random.Random(1).random(), np.random.RandomState(1).rand()
    clocks = time.time, time.monotonic_ns, datetime.datetime, datetime.date, now, moment
    for frozen in (False, True):
        mode.frozen = frozen
        random.seed(1)
        np.random.seed(1)
        if frozen:
            failure(static, RANDOM["random"], X)
        else:
            static.check_not_frozen(RANDOM["random"], X)
        assert (random.random(), np.random.rand()) == expected
        assert clocks == (time.time, time.monotonic_ns, datetime.datetime, datetime.date, now, moment)


def test_clocks_are_as_before_where_the_function_raises(static):
    clocks = time.time, datetime.datetime

    def fn():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        static.check_not_frozen(fn)
    assert clocks == (time.time, datetime.datetime)


def test_the_check_builds_nothing_of_the_tests(static):
    static.check_not_frozen(lambda x: x * 2, X)
    assert (static.ledger.builds, static.ledger.calls) == (0, 1)


# The clock itself.


def test_a_stopped_clock_reads_the_same_times_in_every_block():
    clock = Clock()
    with clock.installed(test_a_stopped_clock_reads_the_same_times_in_every_block):
        with clock.stopped():
            first = [time.time(), time.time(), now()]
        with clock.stopped():
            second = [time.time(), time.time(), now()]
        assert first == second
        assert first[1] - first[0] == pytest.approx(1e-3, rel=0.01)
        clock.shift = 60.0
        with clock.stopped():
            assert time.time() == pytest.approx(first[0] + 60.0, abs=1e-3)
        assert time.time() > first[0] + 59.0


def test_datetimes_stay_datetimes():
    real = datetime.datetime(2020, 1, 2, 3)
    clock = Clock()
    with clock.installed(test_datetimes_stay_datetimes):
        clock.shift = 86400.0 * 3
        assert isinstance(real, datetime.datetime)
        assert isinstance(real, datetime.date)
        assert not isinstance(date(2020, 1, 2), moment)
        assert type(moment(2020, 1, 2)) is type(real)
        assert date(2020, 1, 2) == real.date()
        assert moment.now() - moment.fromtimestamp(0) > datetime.timedelta(days=3)
        assert issubclass(type(real), datetime.datetime)
        later = moment.now()
    assert datetime.timedelta(days=2) < later - datetime.datetime.now() < datetime.timedelta(days=4)


def test_the_element_that_moved_is_told(static, mode):
    mode.frozen = True
    state = [0.0]
    message = failure(static, lambda x: x * [0, 0, state[0]], np.ones(3), vary=lambda: state.__setitem__(0, 4.0))
    assert "  Python: result at [2] 0 -> 4\n" in message
