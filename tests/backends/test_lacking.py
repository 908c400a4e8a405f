"""Operations that a framework lacks in a dtype: a skip with its own reason, and nothing else is one."""

from typing import Any

import pytest

from pytest_graphmode.backends.lacking import JAX, TENSORFLOW, TORCH, reason
from tests.backends.natives import Native

# A dtype, what the framework says of it, and what of that a reason must have.
TORCH_SAID = [
    ("float16", "\"cholesky_cpu\" not implemented for 'Half'"),
    ("bfloat16", "\"cholesky_cpu\" not implemented for 'BFloat16'"),
    ("complex64", "\"max_all\" not implemented for 'ComplexFloat'"),
    ("float16", "linalg.inv: Low precision dtypes not supported. Got Half"),
    ("float16", "Dynamo failed: got RuntimeError('Unsupported dtype Half')", "Unsupported dtype Half"),
    ("complex64", "clamp is not supported for complex types"),
    ("complex128", "Sort does not support complex dtypes on CPU"),
    ("complex64", "rfft expects a real input tensor, but got ComplexFloat"),
    ("float64", "Cannot convert, as the MPS framework doesn't support float64"),
]
TENSORFLOW_SAID = [
    ("float16", "Could not find device for node: {{node C}} = Cholesky[T=DT_HALF]\nAll kernels"),
    (
        "float16",
        "No OpKernel was registered to support Op 'Cholesky' used by {{node}} with attrs: [T=DT_HALF]",
    ),
    ("complex64", "Value for attr 'T' of complex64 is not in the list of allowed values: float, double; NodeDef"),
    (
        "bfloat16",
        "in user code:\n    Value passed to parameter 'x' has DataType bfloat16 not in list of allowed values: x",
    ),
    ("complex64", "XLA can't compile MatrixInverse [T=DT_COMPLEX64, adjoint=false] (made at a.py:5)"),
    ("float16", "RFFT requires tf.float32 or tf.float64 inputs, got: tf.Tensor("),
]
JAX_SAID = [
    ("complex64", "lt does not accept dtype complex64 at position 0. Accepted dtypes are subtypes of floating."),
    ("float16", "(KeyError(<class 'numpy.float16'>), 'Unsupported dtype float16.')", "Unsupported dtype float16"),
    ("bfloat16", "RFFT input must be float32 or float64, got bfloat16"),
    ("complex64", "only real valued inputs supported for rfft"),
]


@pytest.mark.parametrize(
    ("patterns", "dtype", "said"),
    [
        (patterns, dtype, said)
        for patterns, rows in ((TORCH, TORCH_SAID), (TENSORFLOW, TENSORFLOW_SAID), (JAX, JAX_SAID))
        for dtype, *said in rows
    ],
)
def test_what_frameworks_say(patterns: tuple[str, ...], dtype: str, said: list[str]) -> None:
    text = said[0]
    found = reason(RuntimeError(text), dtype, patterns)
    assert found
    assert all(part in found for part in said[1:])
    assert found in " ".join(text.split())
    caused = ValueError("something else")
    caused.__cause__ = RuntimeError(text)
    assert reason(caused, dtype, patterns) == found
    assert reason(RuntimeError(text), "float32", patterns) is None


@pytest.mark.parametrize("patterns", [TORCH, TENSORFLOW, JAX])
@pytest.mark.parametrize(
    "text",
    [
        "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)",
        "expected m1 and m2 to have the same dtype, but got: float != struct c10::Half",
        "\"cholesky_cpu\" not implemented for 'Int'",
        "No OpKernel was registered to support Op 'Mine' used by {{node Mine}} with these attrs: [T=DT_FLOAT]",
        "lt does not accept dtype int4. Accepted dtypes are subtypes of floating.",
    ],
)
def test_other_errors_are_none_of_this(patterns: tuple[str, ...], text: str) -> None:
    assert reason(RuntimeError(text), "float16", patterns) is None


BODY = """
    import pytest

    def cholesky(graphmode):
        return graphmode.pick(
            tf=lambda x: graphmode.lib.linalg.cholesky(x),
            torch=lambda x: graphmode.lib.linalg.cholesky(x),
            jax=lambda x: graphmode.lib.numpy.linalg.cholesky(x),
        )

    def test_lacking(graphmode):
        graphmode.function(cholesky(graphmode))(graphmode.tensor([[2.0, 0.5], [0.5, 1.0]]))

    def test_wrong(graphmode):
        graphmode.function(lambda x: x @ graphmode.tensor([[1.0, 2.0, 3.0]]))(graphmode.tensor([[1.0, 2.0]]))

    def test_real(graphmode):
        graphmode.grad(lambda x: graphmode.xp.sum(x * x))(graphmode.tensor([1.0, 2.0]))

    @pytest.mark.graph_xfail("tf", reason="known")
    @pytest.mark.graph_xfail("torch", reason="known")
    @pytest.mark.graph_xfail("jax", reason="known")
    def test_known(graphmode):
        test_lacking(graphmode)
"""


@pytest.mark.slow
def test_a_variant_is_skipped_with_the_frameworks_reason(native: Native, pytester: pytest.Pytester) -> None:
    backend = native.backend
    pytester.makepyfile(BODY)
    options = (f"--graph-backends={backend}", "-rs", "-p", "no:cacheprovider", "-W", "ignore")
    result = pytester.runpytest_inprocess("--graph-dtypes=bfloat16,float64,complex64", *options)
    # In bfloat16 there is no such factorization, and a complex value has no gradient.
    outcomes = result.parseoutcomes()
    assert (outcomes["skipped"], outcomes["xfailed"]) == (2, 1)
    result.stdout.fnmatch_lines_random(
        [
            f"SKIPPED*: {backend} can't do this in bfloat16: *",
            f"SKIPPED*: {backend} can't do this in complex64: a gradient needs *: take its real part *",
        ]
    )


def test_numpy_has_no_bfloat16(run_tests: Any) -> None:
    source, options = "def test_any(graphmode): graphmode.tensor(1.0)", ("--graph-backends=numpy", "-rs")
    said = ["SKIPPED*: numpy has no bfloat16: use float16 or float32, *"]
    run_tests(source, *options, "--graph-dtypes=bfloat16,float16,complex128", said=said, passed=2, skipped=1)


def test_complex_variants_of_numpy(run_tests: Any) -> None:
    source = """
        import numpy as np
        import pytest

        @pytest.mark.graph_agree
        def test_any(graphmode):
            x = graphmode.tensor([1.0, 2.0])
            assert x.dtype == graphmode.native_dtype == graphmode.xp.zeros(1).dtype == graphmode.tensor(1j).dtype
            graphmode.check_control_flow(lambda x: x * 1j, [(np.array([1.0, 2.0]),)])
            graphmode.agree(y=graphmode.function(lambda x: x * x)(x))
        """
    run_tests(source, "--graph-backends=numpy", "--graph-dtypes=complex64,complex128", passed=3)
