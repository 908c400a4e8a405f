"""A failure in the code of a framework that is not the variant's own."""

from __future__ import annotations

import sys

import pytest

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes")

HINT = (
    "It was raised by toy's code, in a test that ran as numpy-eager-cpu: where the test is toy's alone, narrow it with "
    '@pytest.mark.graphmode(backends="toy"); '
)


def test_an_error_of_another_framework_says_what_to_do(toy: pytest.Pytester) -> None:
    toy.makepyfile("import toylib\ndef test_net(graphmode): graphmode.function(lambda x: toylib._call(None, x))(1)")
    result = toy.runpytest_inprocess("--graph-backends=numpy,toy")
    result.assert_outcomes(failed=2)
    assert result.stdout.str().count(HINT) == 1


@pytest.mark.parametrize("text", ["[][1]", "graphmode.numpy(graphmode.tensor(1.0)) + 'x'"])
def test_an_error_of_the_tests_own_or_of_numpy_does_not(toy: pytest.Pytester, text: str) -> None:
    toy.makepyfile(f"def test_net(graphmode): graphmode.function(lambda x: {text})(1)")
    result = toy.runpytest_inprocess("--graph-backends=numpy,toy")
    result.assert_outcomes(failed=2)
    result.stdout.no_fnmatch_line("*It was raised by*")


@pytest.fixture
def imported() -> None:
    """Before pytester remembers the modules that there are, since it would import them again."""
    for name in ("torch", "tensorflow"):
        pytest.importorskip(name)


@pytest.mark.parametrize("mode", ["graph", "eager"])
def test_a_torch_module_under_tensorflow(imported: None, pytester: pytest.Pytester, mode: str) -> None:
    pytester.makepyfile(
        """
        import torch
        def test_net(graphmode):
            graphmode.function(torch.nn.Linear(3, 2))(graphmode.tensor([1.0, 2.0, 3.0]))
        """
    )
    result = pytester.runpytest_inprocess(f"--graph-backends=tf:{mode}")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [f"*raised by torch's code, in a test that ran as tf-{mode}-cpu: *narrow it with *backends=?torch?); *"]
    )
