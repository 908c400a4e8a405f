"""`python -m pytest_graphmode`: lists, compares and prunes folders of records."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pytest_graphmode.__main__ import main
from pytest_graphmode.records.folder import Folder
from tests.records.conftest import origin, recorded

TEST = """
import numpy as np
import pytest

@pytest.mark.graph_agree
@pytest.mark.parametrize("x", [1, 2])
def test_net(graphmode, x):
    for step in range(3):
        graphmode.agree(loss=graphmode.tensor(2.0 * x))

@pytest.mark.graph_agree
@pytest.mark.graphmode(backends=["numpy", "torch"])
class TestOther:
    def test_other(self, graphmode):
        graphmode.agree(loss=1.0)
"""
VARIANT = f"numpy-eager-cpu@numpy-{np.__version__}"
Said = Callable[[], str]


@pytest.fixture
def kept(pytester: pytest.Pytester) -> Path:
    """A folder with the records of three tests, in the folder that pytest was started in."""
    pytester.makepyfile(test_net=TEST)
    pytester.runpytest_inprocess("--graph-records=kept", "--graph-backends=numpy").assert_outcomes(passed=3, skipped=3)
    return pytester.path / "kept"


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """What was printed since it was asked before."""

    def read() -> str:
        return capsys.readouterr().out

    return read


def files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.npz"))


def test_records_are_listed_test_by_test(kept: Path, said: Said) -> None:
    said()
    assert main(["records", "kept"]) == 0
    lines = said().splitlines()
    tests = ["test_net.py::TestOther::test_other", "test_net.py::test_net[1]", "test_net.py::test_net[2]"]
    assert lines[0::2] == tests
    assert all(line.startswith(f"  {VARIANT}  loss") for line in lines[1::2])
    assert "loss x3 (Python 3." in lines[3]


def test_a_damaged_record_is_a_complaint_beside_the_others(kept: Path, said: Said) -> None:
    files(kept)[0].write_bytes(b"")
    said()
    assert main(["records", "kept"]) == 1
    assert f"{Path('kept') / files(kept)[0].relative_to(kept)}: the record is damaged" in (told := said())
    assert "test_net.py::test_net[2]" in told


def test_equal_folders_do_not_differ(kept: Path, said: Said) -> None:
    shutil.copytree(kept, "other")
    said()
    assert main(["records", "diff", "other", "kept"]) == 0
    assert said() == "3 records compared, none of them differ\n"


def test_differences_are_told_by_the_words_of_the_agreement_item(
    pytester: pytest.Pytester, kept: Path, said: Said
) -> None:
    shutil.copytree(kept, "old")
    pytester.makepyfile(test_net=TEST.replace("2.0 * x", "2.0 * x + (x == 2) * step"))
    pytester.runpytest_inprocess("--graph-records=kept", "--graph-backends=numpy", "-k", "net")
    said()
    assert main(["records", "diff", "old", "kept"]) == 1
    told = said().splitlines()
    assert told[:2] == ["test_net.py::test_net[2]:", f"kept/{VARIANT} does not agree with the record, old/{VARIANT}:"]
    assert told[2].startswith(
        f"  step 1, the first of 3 to differ: loss: kept/{VARIANT} 5.0, old/{VARIANT} 4.0: they differ by 1 "
    )
    assert told[3] == f"kept/{VARIANT} was made by another version of the test's source."
    assert told[-1] == "3 records compared, 1 of them differs"
    assert main(["records", "diff", "old", "kept", "--rtol=1"]) == 0


def test_tests_that_one_folder_lacks_are_named(kept: Path, said: Said) -> None:
    shutil.copytree(kept, "old")
    shutil.rmtree(kept / "test_net.py" / "test_net[1]")
    said()
    assert main(["records", "diff", "old", "kept"]) == 1
    assert said().splitlines() == ["test_net.py::test_net[1]: only in old", "2 records compared, none of them differ"]


def test_nothing_is_pruned_while_all_tests_are_there(kept: Path, said: Said) -> None:
    before = files(kept)
    said()
    assert main(["records", "prune", "kept"]) == 0
    assert said() == ""
    assert files(kept) == before


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        (TEST.replace("[1, 2]", "[1]"), ["test_net.py::test_net[2]"]),
        (TEST.replace("test_other", "test_by_another_name"), ["test_net.py::TestOther::test_other"]),
        (TEST.replace('["numpy", "torch"]', '"torch"'), []),  # a test without a variant here is there all the same
    ],
    ids=["parameter", "function", "variant"],
)
def test_records_whose_tests_are_gone_are_pruned(
    pytester: pytest.Pytester, kept: Path, said: Said, text: str, gone: list[str]
) -> None:
    pytester.makepyfile(test_net=text)
    pytester.makeini("[pytest]\naddopts = -k nothing\n")  # what a run deselects is there too
    sys.modules.pop("test_net", None)
    before = files(kept)
    said()
    assert main(["records", "prune", "kept", "--dry-run"]) == 0
    assert [line.rpartition(": there is no test ")[2] for line in said().splitlines()] == gone
    assert files(kept) == before
    sys.modules.pop("test_net", None)
    assert main(["records", "prune", "kept"]) == 0
    assert [line.startswith("removed ") for line in said().splitlines()] == [True] * len(gone)
    assert len(files(kept)) == len(before) - len(gone)
    assert all(any(folder.iterdir()) for folder in kept.rglob("*") if folder.is_dir())


def test_all_is_pruned_where_the_only_file_of_tests_is_gone(kept: Path, said: Said) -> None:
    (kept.parent / "test_net.py").unlink()
    said()
    assert main(["records", "prune", "kept"]) == 0
    assert said().count("there is no test test_net.py::") == 3
    assert list(kept.iterdir()) == []


def test_nothing_is_pruned_where_the_tests_can_not_be_collected(
    pytester: pytest.Pytester, kept: Path, said: Said
) -> None:
    before = files(kept)
    pytester.makepyfile(test_net="import nothing_of_this_name")
    sys.modules.pop("test_net", None)
    said()
    assert main(["records", "prune", "kept"]) == 1
    assert "nothing is removed, since the tests can't be collected:" in (told := said())
    assert "No module named 'nothing_of_this_name'" in told
    os.chdir(kept)  # in which there is a folder of the test file's name
    assert main(["records", "prune", "."]) == 1
    assert "none of the tests' files is in" in said()
    assert files(kept) == before


def test_nothing_is_pruned_from_below_the_root_folder(pytester: pytest.Pytester, kept: Path, said: Said) -> None:
    pytester.makeini("[pytest]\n")
    below = pytester.mkdir("below")
    shutil.copy("test_net.py", below)
    os.chdir(below)
    sys.modules.pop("test_net", None)
    said()
    assert main(["records", "prune", "../kept"]) == 1
    assert f"pytest's root folder is {pytester.path}: start it there" in said()
    assert len(files(kept)) == 3


def test_what_a_killed_run_left_is_pruned_once_it_is_old(kept: Path, said: Said) -> None:
    left = kept / "test_net.py" / ".a.npz.123-abc.part"
    left.write_bytes(b"half")
    assert main(["records", "prune", "kept"]) == 0
    assert left.exists()  # a run may be writing it
    os.utime(left, (0, 0))
    said()
    assert main(["records", "prune", "kept"]) == 0
    assert said() == f"removed {left.relative_to(kept.parent)}: a run that was killed left it\n"
    assert not left.exists()


@pytest.mark.parametrize("arguments", [[], ["records"], ["records", "nowhere"], ["records", "diff", "nowhere"], ["x"]])
def test_wrong_commands_say_how_it_is_called(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    told = capsys.readouterr().err
    assert "usage: python -m pytest_graphmode" in told
    assert "error: " in told


def test_it_is_a_command(kept: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "pytest_graphmode", "records", "kept"]
    told = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
    assert VARIANT in told


def test_an_id_that_the_terminal_has_no_letters_for_is_escaped(tmp_path: Path, said: Said) -> None:
    Folder(tmp_path).write(origin(test="test_net.py::test_net[\ud800]"), recorded(x=1.0))
    assert main(["records", str(tmp_path)]) == 0
    assert said().splitlines()[0] == r"test_net.py::test_net[\ud800]"
