"""A failure in the code of a framework that is not the variant's own."""

import sys

import pytest

from tests.project import Project

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes")

HINT = (
    "It was raised by toy's code, in a test that ran as numpy-eager-cpu: where the test is toy's alone, narrow it with "
    '@pytest.mark.graphmode(backends="toy"); '
)


def test_an_error_of_another_framework_says_what_to_do(toy: Project) -> None:
    toy.write("import toylib\ndef test_net(graphmode): graphmode.function(lambda x: toylib._call(None, x))(1)")
    result = toy.run("--graph-backends=numpy,toy", failed=2)
    assert result.stdout.str().count(HINT) == 1


@pytest.mark.parametrize("text", ["[][1]", "graphmode.numpy(graphmode.tensor(1.0)) + 'x'"])
def test_an_error_of_the_tests_own_or_of_numpy_does_not(toy: Project, text: str) -> None:
    toy.write(f"def test_net(graphmode): graphmode.function(lambda x: {text})(1)")
    toy.run("--graph-backends=numpy,toy", failed=2).omits("*It was raised by*")


@pytest.fixture
def imported() -> None:
    """Before pytester remembers the modules that there are, since it would import them again."""
    for name in ("torch", "tensorflow"):
        pytest.importorskip(name)


@pytest.mark.parametrize("mode", ["graph", "eager"])
def test_a_torch_module_under_tensorflow(imported: None, project: Project, mode: str) -> None:
    project.write("""
        import torch
        def test_net(graphmode):
            graphmode.function(torch.nn.Linear(3, 2))(graphmode.tensor([1.0, 2.0, 3.0]))
    """)
    result = project.run(f"--graph-backends=tf:{mode}", failed=1)
    result.says(f"*raised by torch's code, in a test that ran as tf-{mode}-cpu: *narrow it with *backends=?torch?); *")
