"""What the rarer hints about tf.functions say, done to the letter: what they are printed for is gone."""

import contextlib

import pytest

from pytest_graphmode import watch

tf = pytest.importorskip("tensorflow")


def scopes(strategy):
    return {"graph": lambda: tf.Graph().as_default(), "strategy": strategy.scope}


@pytest.mark.parametrize(
    ("scope", "what"),
    [
        ("graph", "the graph around the call changed none -> tf.Graph "),
        ("strategy", "the cross-replica context of tf.distribute changed False -> True"),
    ],
)
def test_calls_only_inside_or_only_outside_of_a_scope_end_it(scope, what):
    strategy = tf.distribute.OneDeviceStrategy("/CPU:0")

    def called(*inside):
        function = tf.function(lambda x: x * 2.0)
        with watch() as ledger, contextlib.ExitStack() as stack:
            if all(inside):
                stack.enter_context(scopes(strategy)[scope]())
            for one in inside:
                with scopes(strategy)[scope]() if one and not all(inside) else contextlib.nullcontext():
                    function(tf.ones(2))
        return ledger

    ledger = called(False, True)
    (cause,) = ledger.events[-1].causes
    assert ledger.rebuilds == 1
    assert cause.what.startswith(what)
    assert "object at 0x" not in ledger.explain()
    assert cause.hint == (
        "enter the scope before the first call, and call the function only inside or only outside of it"
    )
    assert called(True, True).rebuilds == 0
    assert called(False, False).rebuilds == 0


DEVICES = """
import pytest, tensorflow as tf
from pytest_graphmode import watch

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

def replicated(*devices):
    double = tf.function(lambda x: x * 2.0)
    strategy = tf.distribute.MirroredStrategy(devices)
    with watch() as ledger:
        for _ in range(2):
            strategy.run(lambda: double(tf.ones(2)))
    return ledger

def test_calls_on_one_device_end_it():
    ledger = replicated("/CPU:0", "/CPU:1")
    assert ledger.rebuilds == 1
    (cause,) = ledger.events[-1].causes
    assert (cause.kind, {cause.before, cause.after}) == ("device", {"CPU:0", "CPU:1"})
    assert cause.what.startswith("the call changed device CPU:")
    assert cause.hint == "call the function on one device, or accept one build per device"
    assert replicated("/CPU:1").rebuilds == 0
"""


@pytest.mark.slow
def test_what_needs_two_devices(run_tests):
    run_tests(DEVICES, fresh=True, passed=1)
