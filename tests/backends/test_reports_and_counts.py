"""A report changes no count, though users' own compilations meet what it adds to a run."""

import pytest

pytestmark = pytest.mark.slow

SUITE = """
import {module} as framework

def test_counts(graphmode):
    compiled, broken = {compiled}, {broken}

    def body(x):
        y = x * 2
        broken()
        return y + 1

    function = graphmode.function(body)
    gradient = graphmode.value_and_grad(lambda x: graphmode.xp.sum(x * x))

    def loss(x):
        return graphmode.xp.sum(x ** 3)

    def calling(x):
        return function(x) + gradient(x)[1]

    both = graphmode.grad(loss), calling
    uses = [function, gradient, *map(compiled, (function, gradient, *both)), graphmode.function(calling)]
    for use in uses:
        for size in (3, 4):
            use(graphmode.tensor([1.0] * size))
    ledger = graphmode.ledger
    with open("counts.txt", "w", encoding="utf-8") as file:
        for event in ledger.events:
            print(event.function, event.location, event.signature, event.nodes, event.rebuild, file=file)
        for found in (ledger.builds, ledger.calls, ledger.graph_breaks, ledger.fallback_reasons):
            print(found, file=file)
"""
REPORTS = ("--graph-report", "--graph-json=counts.json", "--graph-html=counts.html")


@pytest.fixture(scope="module")
def tensorflow():
    """Before pytester begins, since it can be imported only once."""
    return pytest.importorskip("tensorflow")


@pytest.fixture
def same_counts(pytester, monkeypatch):
    """What a mode counts without a report, after that was compared with what it counts with all of them."""

    def counts(mode, *options):
        result = pytester.runpytest_inprocess(f"--graph-backends={mode}", "-Wignore::UserWarning", *options)
        result.assert_outcomes(passed=1)
        return (pytester.path / "counts.txt").read_text(encoding="utf-8")

    def compare(mode, module, compiled, broken="int"):
        pytester.makepyfile(test_suite=SUITE.format(module=module, compiled=compiled, broken=broken))
        plain = counts(mode)
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        assert counts(mode, *REPORTS) == plain
        assert "body test_suite.py:6 " in plain
        return plain

    return compare


@pytest.mark.parametrize("mode", ["eager", "compile"])
def test_torch(dynamo, same_counts, mode):
    compiled = '(framework._dynamo.reset(), lambda f: framework.compile(f, backend="eager"))[1]'
    plain = same_counts(f"torch:{mode}", "torch", compiled, broken="framework._dynamo.graph_break")
    assert "calls.py" not in plain
    assert "graph_break" in plain
    assert mode == "eager" or "grad(loss) test_suite.py:14 " in plain


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_tensorflow(tensorflow, same_counts, mode):
    assert "Fallback" not in same_counts(f"tf:{mode}", "tensorflow", "framework.function")


@pytest.mark.parametrize("mode", ["eager", "jit"])
def test_jax(jax, same_counts, mode):
    plain = same_counts(f"jax:{mode}", "jax", "framework.jit")
    assert "grad(loss) test_suite.py:14 " in plain
