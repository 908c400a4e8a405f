"""How a variant runs: its seeds, its isolation, and that it must use its handle."""

from types import SimpleNamespace

import pytest

from pytest_graphmode import Variant
from pytest_graphmode.run import execute
from pytest_graphmode.run.execute import seed_of
from tests.project import Project

BOTH = "--graph-backends=toy,numpy"


def node(callspec: str | None, variant: Variant) -> SimpleNamespace:
    """What `test_of` reads of an item, in an xdist worker too, where `@group` is added to the node id."""
    parent = SimpleNamespace(nodeid="test_a.py::TestNet")
    found = SimpleNamespace(name="test_net", originalname="test_net", parent=parent, nodeid="not to be used")
    if callspec is not None:
        found.callspec = SimpleNamespace(id=callspec, params={"graphmode": variant})
    return found


@pytest.mark.parametrize(
    ("callspec", "expected"),
    [
        ("tf-graph-cpu", "test_a.py::TestNet::test_net"),
        ("tf-graph-cpu-3", "test_a.py::TestNet::test_net[3]"),
        ("tf-graph-cpu-float64", "test_a.py::TestNet::test_net[float64]"),
        ("tf-graph-cpu-tf-graph-cpu", "test_a.py::TestNet::test_net[tf-graph-cpu]"),
        ("3-tf-graph-cpu-4", "test_a.py::TestNet::test_net[3-4]"),
        (None, "test_a.py::TestNet::test_net"),
    ],
)
def test_the_id_of_a_test_has_no_variant(callspec: str | None, expected: str) -> None:
    assert execute.test_of(node(callspec, Variant("tf", "graph"))) == expected  # type: ignore[arg-type]


def test_the_id_of_a_test_in_another_dtype() -> None:
    found = node("tf-graph-cpu-float64-float64", Variant("tf", "graph", dtype="float64"))
    assert execute.test_of(found) == "test_a.py::TestNet::test_net[float64]"  # type: ignore[arg-type]


def test_seeds_differ_by_test_and_by_option() -> None:
    assert seed_of(0, "a") == seed_of(0, "a")
    assert len({seed_of(0, "a"), seed_of(1, "a"), seed_of(0, "b")}) == 3
    assert 0 <= seed_of(2**32 - 1, "a") < 2**31


# Vacuous use

VACUOUS = "*the test asked for graphmode and never used it*use the handle in the body, or drop the argument*"


@pytest.mark.parametrize(
    "source",
    [
        "def test_net(graphmode): pass",
        "def test_net(graphmode): assert graphmode, repr(graphmode)",
        "@pytest.mark.usefixtures('graphmode')\nclass TestNet:\n    def test_net(self): pass",
    ],
)
def test_vacuous_use_fails(toy: Project, source: str) -> None:
    toy.write(source)
    result = toy.run("--graph-backends=numpy", "-s", failed=1)
    result.says(VACUOUS)
    result.omits("*Traceback*")


@pytest.mark.parametrize(
    "source",
    [
        "def test_net(graphmode): graphmode.variant",
        "def test_net(graphmode): graphmode.tensor([1.0])",
        "def test_net(graphmode): graphmode.pick(tf=1)",
        """
        import pytest

        @pytest.fixture
        def model(graphmode): return graphmode.variable([1.0])

        def test_net(model): assert model == 1
        """,
    ],
)
def test_use_of_any_attribute_is_enough(toy: Project, source: str) -> None:
    toy.write(source)
    result = toy.run("--graph-backends=numpy")
    assert result.ret == pytest.ExitCode.OK


def test_a_failing_test_fails_for_its_own_reason(toy: Project) -> None:
    toy.write("def test_net(graphmode): assert 1 == 2")
    result = toy.run("--graph-backends=numpy", failed=1)
    result.says("*assert 1 == 2*")
    result.omits("*never used it*", "*item.py*")


# Randomness


def test_variants_of_one_test_share_their_random_numbers(toy: Project) -> None:
    toy.write("""
        import random
        import numpy as np
        import pytest

        def draw(graphmode):
            return graphmode.rng.random(), random.random(), np.random.random()

        @pytest.mark.parametrize("number", [1, 2])
        def test_first(graphmode, number):
            print("DREW", number, *draw(graphmode))

        def test_second(graphmode):
            print("DREW", 3, *draw(graphmode))
    """)
    result = toy.run(BOTH, "-s")
    drawn = [line.partition("DREW ")[2] for line in result.outlines if "DREW" in line]
    assert len(drawn) == 6
    assert len(set(drawn)) == 3
    assert len({number for line in drawn for number in line.split()[1:]}) == 9
    again = toy.run("--graph-backends=numpy", "-s", "-k", "second")
    assert any(drawn[-1] in line for line in again.outlines)


RESEEDING = """
import random
import numpy as np

def pytest_runtest_call(item):
    random.seed(len(item.nodeid))
    np.random.seed(len(item.nodeid))
"""


def test_plugins_that_seed_every_call_change_nothing(toy: Project) -> None:
    toy.write("""
        import random
        import numpy as np
        import pytest
        import toybackend

        @pytest.fixture
        def before(graphmode):
            return random.random(), np.random.random()

        def test_draw(graphmode, before):
            now = random.random(), np.random.random()
            print("DREW", *before, *now)
            assert not set(before) & set(now)
    """)
    toy.extend("\n\ndef seed(self, seed): print('SEEDED', seed)\n\ntoybackend.Toy.seed = seed\n")
    alone = toy.run(BOTH, "-s").outlines
    toy.extend(RESEEDING)
    beside = toy.run(BOTH, "-s").outlines
    drawn = [line.partition("DREW ")[2] for line in (*alone, *beside) if "DREW" in line]
    assert len(drawn) == 4
    assert len(set(drawn)) == 1
    seeds = [line.partition("SEEDED ")[2] for line in beside if "SEEDED" in line]
    assert len(seeds) == len(set(seeds)) == 2  # the framework too: for the fixtures, and for the call


def test_random_states_outlive_the_test_unchanged(toy: Project) -> None:
    toy.extend("""

import random
import numpy as np
import pytest

def states():
    return random.getstate(), np.random.get_state()[1].tolist()

@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    before = states()
    ran = yield
    print("RESTORED", states() == before)
    return ran
    """)
    toy.write("import random\ndef test_draw(graphmode): random.seed(graphmode.rng.random())")
    toy.run("--graph-backends=numpy", "-s", passed=1).says("*RESTORED True*")


def test_a_dtype_that_a_backend_lacks_skips_with_its_reason(toy: Project) -> None:
    toy.makeconftest("""
        import toybackend
        from contextlib import contextmanager
        from pytest_graphmode import UnsupportedError

        def precision(self, dtype):
            raise UnsupportedError(f"toy has no {dtype}")

        toybackend.Toy.precision = precision

        def pytest_graphmode_backends():
            return [toybackend.SPEC]
    """)
    toy.write("def test_net(graphmode): graphmode.variant")
    toy.run("--graph-backends=toy", "--graph-dtypes=bfloat16", "-rs", skipped=1).says("SKIPPED*toy has no bfloat16")
