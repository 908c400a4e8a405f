import threading

import numpy as np
import pytest

from pytest_graphmode.backends import calls, trees
from pytest_graphmode.backends.python_mode import PythonMode
from pytest_graphmode.ledger import identity
from pytest_graphmode.ledger.recorder import Recorder


class Tape(PythonMode):
    """A mode in which `record` records autograd nodes."""

    def __init__(self):
        self._thread = threading.local()

    def record(self, nodes=1):
        self._thread.nodes = self.recorded_nodes() + nodes

    def recorded_nodes(self):
        return getattr(self._thread, "nodes", 0)

    def fingerprint(self, outputs):
        return f"graph of {outputs}"


@pytest.fixture
def mode():
    return Tape()


@pytest.fixture
def recorder():
    return Recorder()


def counted(fn, mode, recorder):
    return calls.counted(fn, recorder.counter(identity.of(fn), "torch", "eager"), mode, recorder, lambda value: value)


def test_what_is_recorded_between_calls_is_nobodys(mode, recorder):
    run = counted(lambda: None, mode, recorder)
    mode.record()
    run()
    mode.record()
    assert recorder.ledger.builds == 0


def test_a_call_that_raises_leaves_the_next_an_outermost_one(mode, recorder):
    def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        counted(fail, mode, recorder)()
    counted(mode.record, mode, recorder)()
    assert (recorder.ledger.calls, recorder.ledger.builds) == (1, 1)


def test_calls_in_threads_are_outermost_there_and_all_counted(mode, recorder):
    run = counted(mode.record, mode, recorder)

    def work():
        for _ in range(500):
            run()

    def outer():
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    counted(outer, mode, recorder)()
    assert (recorder.ledger.calls, recorder.ledger.builds) == (2001, 2000)


def test_one_function_wrapped_twice_is_counted_as_one(mode, recorder):
    def compute():
        mode.record()

    counted(compute, mode, recorder)()
    counted(compute, mode, recorder)()
    assert (recorder.ledger.builds, recorder.ledger.rebuilds) == (2, 1)


# Arguments.


def doubled(value):
    return trees.map(lambda leaf: leaf * 2 if isinstance(leaf, np.ndarray) else leaf, value)


@pytest.fixture(params=["built once", "eager"])
def echo(request, mode, recorder):
    def run(*args, **kwargs):
        return args, kwargs

    if request.param == "built once":
        return calls.converting(run, doubled)
    return calls.counted(run, recorder.counter(identity.of(run), "torch", "eager"), mode, recorder, doubled)


def test_arrays_are_converted_wherever_they_stand(echo):
    args, kwargs = echo(np.ones(1), [np.ones(1), 3], key={"a": np.ones(1)})
    assert (args[0][0], args[1][0][0], args[1][1], kwargs["key"]["a"][0]) == (2, 2, 3, 2)


def test_plain_values_are_passed_as_they_are(echo):
    values = (True, 1, 1.5, 2j, "x", None, object())
    for _ in range(2):
        args, _ = echo(*values)
        assert all(mine is theirs for mine, theirs in zip(args, values, strict=True))


def test_a_container_is_looked_into_on_every_call(echo):
    assert echo([1])[0] == ([1],)
    (converted,), _ = echo([np.ones(1)])
    assert converted[0][0] == 2
