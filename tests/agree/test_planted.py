"""A fault that is planted in one environment is caught by what the others recorded, in a folder from `tox -m agree`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NET = "tests/agree/test_net.py"


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """A copy of the records of TensorFlow, PyTorch and JAX, each of which ran alone."""
    made = os.environ.get("AGREE_RECORDS")
    if made is None:
        pytest.skip("tox -m agree sets AGREE_RECORDS to a folder in which three environments have left records")
    shutil.copytree(made, tmp_path / "records")
    return tmp_path / "records"


def run(records: Path, *arguments: str, planted: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", f"--graph-records={records}", "--graph-backends=jax", *arguments, NET]
    environment = {**os.environ, "PLANTED": planted}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_the_right_network_agrees_with_all_three(records: Path) -> None:
    found = sorted(file.name.partition("@")[0] for file in records.glob("tests/agree/test_net.py/*/*.npz"))
    assert found == ["jax-jit-cpu", "tf-graph-cpu", "torch-eager-cpu"]
    for arguments in ([], ["--graph-records-frozen"]):
        told = run(records, *arguments)
        assert told.returncode == pytest.ExitCode.OK, told.stdout
        assert "2 passed" in told.stdout


def test_a_planted_fault_is_caught_by_the_records_of_the_others(records: Path) -> None:
    told = run(records, planted="1")
    assert told.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 failed, 1 passed" in told.stdout
    for other in ("tf-graph-cpu@tensorflow-", "torch-eager-cpu@torch-"):
        (line,) = [line for line in told.stdout.splitlines() if line.startswith(f"{other}") and line.endswith(":")]
        assert line.endswith(" does not agree with the reference, jax-jit-cpu:")
    assert "step 0, the first of 10 to differ: loss: tf-graph-cpu@tensorflow-" in told.stdout


def test_a_planted_fault_is_caught_by_golden_values(records: Path) -> None:
    told = run(records, "--graph-records-frozen", planted="1")
    assert told.returncode == pytest.ExitCode.TESTS_FAILED
    assert "jax-jit-cpu does not agree with the record, jax-jit-cpu@jax-" in told.stdout
