"""`check_grads` on tables of right and wrong gradients: no false alarm and no miss, whatever is drawn."""

from contextlib import nullcontext

import pytest

from pytest_graphmode import PrecisionWarning
from tests.backends.gradient_cases import RIGHT, WRONG
from tests.backends.variants import variants

pytestmark = [pytest.mark.table, pytest.mark.slow]

everywhere = variants("torch:eager", "tf:eager", "tf:graph", "jax:jit")


@pytest.fixture(autouse=True)
def one_thread(graphmode):
    """The tensors are small, and on a busy machine torch's threads wait for each other longer than they compute."""
    if graphmode.backend != "torch":
        yield
        return
    threads = graphmode.lib.get_num_threads()
    graphmode.lib.set_num_threads(1)
    yield
    graphmode.lib.set_num_threads(threads)


def draws(graphmode) -> range:
    """How often a case is drawn: torch is fast, and the others share the arithmetic of the check with it."""
    return range({"tf-eager-cpu": 3, "torch-eager-cpu": 20}.get(str(graphmode.variant), 1))


@everywhere
@pytest.mark.parametrize("name", RIGHT)
def test_right_gradients_pass(graphmode, name):
    """In float64, unless the case is one that can't be, which is said."""
    for _ in draws(graphmode):
        case = RIGHT[name](graphmode)
        with pytest.warns(PrecisionWarning) if "float32" in name else nullcontext():
            graphmode.check_grads(case.fn, *case.args, **case.options)


@everywhere
@pytest.mark.parametrize("name", WRONG)
def test_wrong_gradients_are_caught(graphmode, name):
    for _ in draws(graphmode):
        case = WRONG[name](graphmode)
        with pytest.raises(AssertionError, match=r"is wrong|is None"):
            graphmode.check_grads(case.fn, *case.args, **case.options)
