"""The project's own tolerances: how a line reads, and which line says how far apart values may be."""

import pytest

from pytest_graphmode.checks.tolerances import DEFAULTS, looser, parse


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("float32: rtol=1e-4 atol=1e-6", ("float32", (1e-4, 1e-6))),
        ("float32:atol=1e-6,rtol=0", ("float32", (0.0, 1e-6))),
        ("gpu.bfloat16: rtol=0.02", ("gpu.bfloat16", (0.02, None))),
        ("cuda.bfloat16: atol=1", ("gpu.bfloat16", (None, 1.0))),
        ("complex64: rtol=1e-3", ("complex64", (1e-3, None))),
    ],
)
def test_lines(line: str, expected: tuple[str, tuple[float | None, float | None]]) -> None:
    assert parse(line) == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("float32", "write DTYPE: rtol=1e-4 atol=1e-6, or DEVICE.DTYPE: ..."),
        (
            "int8: rtol=1",
            "unknown dtype 'int8': the dtypes are float16, bfloat16, float32, complex64, float64, complex128",
        ),
        (": rtol=1", "unknown dtype ''"),
        (
            "npu.float32: rtol=1",
            "unknown device 'npu': the devices are cpu, gpu, cuda, mps, xpu, tpu, without a number",
        ),
        ("gpu:0.float32: rtol=1", "unknown dtype 'gpu'"),
        (".float32: rtol=1", "unknown device ''"),
        ("float32:", "it gives neither rtol nor atol"),
        ("float32: tol=1", "'tol=1' is not rtol=NUMBER or atol=NUMBER, each once"),
        ("float32: 1e-4", "'1e-4' is not rtol=NUMBER or atol=NUMBER, each once"),
        ("float32: rtol=1 rtol=2", "'rtol=2' is not rtol=NUMBER or atol=NUMBER, each once"),
        ("float32: rtol=x", "rtol must be a number from 0, not 'x'"),
        ("float32: rtol=-1", "rtol must be a number from 0, not '-1'"),
        ("float32: atol=nan", "atol must be a number from 0, not 'nan'"),
        ("float32: atol=inf", "atol must be a number from 0, not 'inf'"),
    ],
)
def test_wrong_lines(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message.replace('.', '[.]')}"):
        parse(line)


def test_without_a_table_it_is_that_of_torch_testing_for_the_looser_side() -> None:
    for dtype, tolerance in DEFAULTS.items():
        assert looser([(dtype, "cpu")], {}) == tolerance
    assert looser([("float64", "cpu"), ("bfloat16", "cpu")], {}) == (1.6e-2, 1e-5)
    assert looser([("longdouble", "cpu")], {}) == DEFAULTS["float64"]


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ([("float32", "cpu")], (1e-4, 1e-6)),
        ([("float32", "gpu:1")], (1e-3, 1e-6)),  # what the device's line leaves open is the dtype's
        ([("float32", "gpu:0"), ("float32", "cpu")], (1e-3, 1e-6)),
        ([("float64", "gpu:0")], (1e-7, 1e-7)),  # no line: torch.testing's
        ([("float64", "cpu"), ("float32", "cpu")], (1e-4, 1e-6)),
        ([("bfloat16", "cpu")], (1.6e-2, 0.5)),
        ([("complex64", "cpu")], (1e-4, 1e-6)),  # that of its parts
        ([("complex64", "gpu:0")], (1e-3, 1e-6)),
        ([("complex128", "cpu")], (1e-2, 1e-7)),
    ],
)
def test_the_closest_line_wins(sides: list[tuple[str, str]], expected: tuple[float, float]) -> None:
    lines = ["float32: rtol=1e-4 atol=1e-6", "gpu.float32: rtol=1e-3", "bfloat16: atol=0.5", "complex128: rtol=1e-2"]
    assert looser(sides, dict(map(parse, lines))) == expected
