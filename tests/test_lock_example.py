"""The example of the lock: it passes, and the pull request beside it fails as its README shows."""

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples" / "lock"
COMMAND = ("--graph-lock=examples/lock/graphs.lock", "examples/lock")


def shown() -> list[str]:
    """The lines of the failing run in README, with `...` for what differs from machine to machine."""
    (block,) = re.findall(r"^\$ git apply.*?^```$", (FOLDER / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    lines = block.splitlines()[2:-1]
    return [re.sub(r"in \d+\.\d\d s", "in N s", line).partition("[...]")[0] for line in lines]


def whole_project(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]")
    shutil.copytree(FOLDER, pytester.path / "examples" / "lock")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("tensorflow") is None or find_spec("torch") is None, reason="needs both frameworks")
def test_the_pull_request_fails_as_shown(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    monkeypatch.setenv("CI", "true")
    whole_project(pytester)
    pytester.runpytest_subprocess("--graph-backends=tf,torch", *COMMAND).assert_outcomes(passed=2)
    subprocess.run(["git", "apply", "examples/lock/pull_request.diff"], cwd=pytester.path, check=True)
    result = pytester.runpytest_subprocess("--show-capture=no", "--graph-backends=tf,torch", *COMMAND)
    result.assert_outcomes(failed=2)
    printed = iter([re.sub(r"in \d+\.\d\d s", "in N s", line) for line in result.outlines])
    for line in filter(None, shown()):
        assert any(line in found for found in printed), f"not printed, or not in this order: {line}"


def test_the_lock_has_the_lines_of_the_example() -> None:
    lines = (FOLDER / "graphs.lock").read_text(encoding="utf-8").splitlines()
    assert [line.partition('": ')[0].partition("::")[2] for line in lines[1:-1]] == [
        "test_training tf:graph",
        "test_training torch:compile",
    ]
    assert len(shown()) > 8
