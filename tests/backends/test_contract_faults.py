"""Each test of the contract fails for a backend with the fault it is about."""

import textwrap

import pytest

pytestmark = [pytest.mark.table, pytest.mark.slow]

CONTRACT = """
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest

from pytest_graphmode import UnsupportedError
from pytest_graphmode.backends.specs import BACKENDS
from pytest_graphmode.testing import BackendContract

SPEC = {{spec.name: spec for spec in BACKENDS}}["{backend}"]


class TestIt(BackendContract, spec=SPEC, modes=["{mode}"]):
    def disturb(self, graphmode):
        np.seterr(divide="raise")

    def state(self, graphmode):
        return np.geterr()

    def random(self, graphmode):
        return np.random.rand(4)


@pytest.fixture(autouse=True)
def fault(monkeypatch):
    kept_errors = np.geterr()
    plant = lambda name, value: monkeypatch.setattr(Mode, name, value)
{fault}
    yield
    np.seterr(**kept_errors)
"""

PLAIN = """
from pytest_graphmode.backends.numpy import NumPy, NumPyEager as Mode
"""
JITTED = """
from pytest_graphmode.backends.jax import Jax
from pytest_graphmode.backends.jax.jit import Jit as Mode
"""

PLAIN_FAULTS = {
    "test_it_is_what_its_spec_says": "plant('name', 'eagre')",
    "test_devices_have_the_names_of_the_plugin": "monkeypatch.setattr(NumPy, 'devices', lambda _: ['cpu', 'cuda:0'])",
    "test_global_state_is_given_back and numpy": """
        @contextmanager
        def isolate(self):
            kept = np.geterr()
            yield
            np.seterr(**kept)
        monkeypatch.setattr(NumPy, 'isolate', isolate)
        """,
    "test_a_seed_repeats_random_numbers": "monkeypatch.setattr(NumPy, 'seed', lambda self, seed: None)",
    "test_float64_is_there_or_refused": """
        plant('tensor', lambda self, array, dtype: np.array(array, dtype='float32'))
        """,
    "test_floating_values_get_the_dtype_of_the_variant": """
        plant('tensor', lambda self, array, dtype: np.array(array))
        """,
    "test_integers_and_booleans_of_numpy_stay": """
        plant('tensor', lambda self, array, dtype: np.array(array, dtype='float32'))
        """,
    "test_integers_of_python_are_int32": """
        plant('tensor', lambda self, array, dtype: np.array(array).astype('int32'))
        """,
    "test_shapes_stay": "plant('numpy', lambda self, tensor: np.atleast_1d(tensor))",
    "test_views_of_numpy_are_read_as_they_are": """
        plant('tensor', lambda self, array, dtype: array.astype(dtype).ravel('K').reshape(array.shape))
        """,
    "test_tensors_and_arrays_share_no_memory": """
        plant('tensor', lambda self, array, dtype: np.asarray(array, dtype=dtype))
        """,
    "test_a_variable_has_the_values_it_was_given_last": "plant('assign', lambda self, variable, value: None)",
    "test_assign_in_a_function_happens_in_every_call": """
        def assign(self, variable, value):
            variable[...] = value if not variable.any() else variable
        plant('assign', assign)
        """,
    "test_python_functions_are_taken_or_refused": "monkeypatch.setattr(NumPy, 'traces_python', False)",
    "test_results_follow_the_arguments": """
        def function(self, fn, **options):
            kept = []
            def call(*args):
                kept[:] = kept or [fn(*args)]
                return kept[0]
            return call
        plant('function', function)
        """,
    "test_an_error_in_the_function_is_the_users": """
        def function(self, fn, **options):
            def call(*args):
                try:
                    return fn(*args)
                except Exception:
                    raise RuntimeError('graph failed')
            return call
        plant('function', function)
        """,
    "test_control_flow and while_loop": """
        def while_loop(self, cond, body, state):
            state = body(state)
            while cond(state):
                state = body(state)
            return state
        plant('while_loop', while_loop)
        """,
    "test_control_flow and fori_loop": """
        def fori_loop(self, lower, upper, body, state):
            for index in range(int(lower), int(upper) + 1):
                state = body(self.index(index), state)
            return state
        plant('fori_loop', fori_loop)
        """,
    "test_control_flow and scan": """
        def scan(self, f, init, xs):
            carry, ys = kept(self, f, init, xs)
            return carry, {name: y[::-1] for name, y in ys.items()}
        kept = Mode.scan
        plant('scan', scan)
        """,
    "test_control_flow and cond": "plant('cond', lambda self, pred, yes, no, *operands: yes(*operands))",
    "test_control_flow and switch": """
        plant('switch', lambda self, index, branches, *operands: branches[int(index) % 3](*operands))
        """,
    "test_gradients_are_there_or_refused": "monkeypatch.setattr(NumPy, 'gradients', True)",
}

JITTED_FAULTS = {
    "test_a_graph_is_built_once_for_a_signature": """
        kept = Mode.function
        plant('function', lambda self, fn, **o: lambda *args: kept(self, lambda *a: fn(*a))(*args))
        """,
    "test_a_rebuild_has_its_cause": "plant('function', lambda self, fn, **o: fn)",
    "test_calls_are_counted": """
        import pytest_graphmode.backends.jax.jit as module
        monkeypatch.setattr(module.watcher, 'call', lambda backend, mode: None)
        """,
    "test_a_function_reads_the_value_of_now": """
        import jax
        plant('function', lambda self, fn, **o: jax.jit(fn))
        """,
    "test_control_flow and over_a_tree": """
        import jax
        def unrolled(self, cond, body, state):
            for _ in range(8):
                going, after = cond(state), body(state)
                state = tuple(jax.numpy.where(going, new, old) for new, old in zip(after, state))
            return state
        plant('while_loop', unrolled)
        """,
    "test_assign_in_a_branch_happens_if_it_is_taken": """
        import jax
        def both(self, pred, yes, no, *operands):
            return jax.tree_util.tree_map(lambda a, b: jax.numpy.where(pred, a, b), yes(*operands), no(*operands))
        plant('cond', both)
        """,
    "test_value_and_gradients_of_several_arguments": "plant('value_and_grad', changed(lambda g: -g))",
    "test_gradients_through_control_flow and scan": """
        plant('value_and_grad', changed(lambda g: g if g.ndim == 0 else g.at[-1].set(0)))
        """,
    "test_no_path_is_none": """
        plant('value_and_grad', changed(lambda g: np.zeros(3) if g is None else g))
        """,
    "test_complex_gradients_follow_tensorflow_and_torch": """
        plant('value_and_grad', changed(lambda g: g.conj()))
        """,
    "test_gradients_of_variables": """
        kept = Mode.value_and_grad
        def value_and_grad(self, fn, args, argnums, variables):
            value, of_args, of_variables = kept(self, fn, args, argnums, variables)
            return value, of_args, of_variables[::-1]
        plant('value_and_grad', value_and_grad)
        """,
    "test_training_with_the_update_in_the_function": """
        plant('value_and_grad', changed(lambda g: g * 1.01))
        """,
}
CHANGED = """
def changed(change):
    import jax
    kept = Mode.value_and_grad
    def value_and_grad(self, fn, args, argnums, variables):
        value, of_args, of_variables = kept(self, fn, args, argnums, variables)
        trees = [jax.tree_util.tree_map(change, tree, is_leaf=lambda leaf: leaf is None) for tree in of_args]
        return value, trees, [change(grad) for grad in of_variables]
    return value_and_grad
"""


def outcome(pytester, backend, mode, names, fault, test):
    body = textwrap.indent(textwrap.dedent(fault).strip(), "    ")
    pytester.makepyfile(names + CONTRACT.format(backend=backend, mode=mode, fault=body))
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-k", test)
    outcomes = result.parseoutcomes()
    return outcomes.get("failed", 0), outcomes.get("passed", 0)


@pytest.mark.parametrize("test", PLAIN_FAULTS)
def test_a_fault_in_a_forward_backend(pytester, test):
    failed, _ = outcome(pytester, "numpy", "eager", PLAIN, PLAIN_FAULTS[test], test)
    assert failed


@pytest.mark.parametrize("test", JITTED_FAULTS)
def test_a_fault_in_a_static_backend(jax, pytester, test):
    failed, _ = outcome(pytester, "jax", "jit", JITTED + CHANGED, JITTED_FAULTS[test], test)
    assert failed


def test_without_a_fault_nothing_fails(jax, pytester):
    tests = " or ".join(f"({name})" for name in PLAIN_FAULTS if "seed" not in name)
    assert outcome(pytester, "numpy", "eager", PLAIN, "pass", tests)[0] == 0
    failed, passed = outcome(pytester, "jax", "jit", JITTED, "pass", " or ".join(f"({name})" for name in JITTED_FAULTS))
    assert (failed, passed >= len(JITTED_FAULTS)) == (0, True)
