"""The file of the lock: a line each, that git can merge, and what is wrong with one by its line."""

import json
import shutil
import subprocess
from itertools import product
from pathlib import Path

import pytest

from pytest_graphmode.report.lock import Counts
from pytest_graphmode.report.lock_file import LockError, parse, read, text_of, write

LINES = {
    "test_b.py::test_net[a b] tf:graph": Counts(1, 0, 0, 0),
    'test_a.py::test_net[\n\udc80é"] torch:compile@gpu:0[float64]': Counts(3, 2, 1, 0, 12, "2.13"),
}


def test_a_sorted_line_each(tmp_path: Path) -> None:
    file = tmp_path / "graphs.lock"
    write(file, LINES)
    assert parse(read(file, "graphs.lock"), "graphs.lock") == LINES
    first, *lines, last = file.read_text(encoding="utf-8").splitlines()
    assert (first, last) == ('{"schema": 1, "graphs": {', '"": {}}}')
    assert lines == sorted(lines)
    assert [line[-1] for line in lines] == [",", ","]
    assert lines[1] == (
        '"test_b.py::test_net[a b] tf:graph": {"builds": 1, "rebuilds": 0, "breaks": 0, "fallbacks": 0},'
    )
    assert [path.name for path in tmp_path.iterdir()] == ["graphs.lock"]


def test_none_yet_is_empty(tmp_path: Path) -> None:
    assert parse(read(tmp_path / "graphs.lock", "graphs.lock"), "graphs.lock") == {}
    assert parse(text_of({}), "graphs.lock") == {}


def test_other_formatting_is_read_too(tmp_path: Path) -> None:
    reformatted = json.dumps(json.loads(text_of(LINES)), indent=4).replace("\n", "\r\n")
    (tmp_path / "graphs.lock").write_bytes(b"\xef\xbb\xbf" + reformatted.encode())
    assert parse(read(tmp_path / "graphs.lock", "graphs.lock"), "graphs.lock") == LINES


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real.lock").write_text("", encoding="utf-8")
    (tmp_path / "link.lock").symlink_to("real.lock")
    write(tmp_path / "link.lock", LINES)
    assert (tmp_path / "link.lock").is_symlink()
    assert parse(read(tmp_path / "real.lock", "real.lock"), "real.lock") == LINES


# What can't be used.

FIRST, SECOND, THIRD, LAST = text_of(LINES).splitlines()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], ":1: it is damaged (Expecting value)"),
        ([FIRST, SECOND], ":3: it is damaged (Expecting "),
        ([FIRST, SECOND, THIRD[:40]], ":3: it is damaged ("),
        ([FIRST, SECOND, THIRD[:-1], LAST], ":4: it is damaged (Expecting ',' delimiter)"),
        ([FIRST, "<<<<<<< HEAD", SECOND, "=======", THIRD, ">>>>>>> other", LAST], ":2: a conflict of a merge"),
        ([FIRST, SECOND, "=======", THIRD, LAST], ":3: a conflict of a merge"),
        ([FIRST, SECOND, THIRD, THIRD, LAST], ":4: 'test_b.py::test_net[a b] tf:graph' is there twice"),
        ([FIRST.replace("1", "2"), SECOND, THIRD, LAST], ":1: its schema is 2, and this version"),
        ([FIRST.replace("1", '"1"'), LAST], ":1: it is no lock"),
        (["[]"], ":1: it is no lock"),
        (['{"schema": 1, "tests": []}'], ":1: it is no lock"),
        ([FIRST, SECOND, THIRD.replace('"builds": 1', '"builds": "1"'), LAST], ":3: builds of 'test_b.py"),
        ([FIRST, SECOND, THIRD.replace('"builds": 1', '"builds": -1'), LAST], "is -1, no count"),
        ([FIRST, SECOND, THIRD.replace('"builds": 1', '"builds": true'), LAST], "is True, no count"),
        ([FIRST, SECOND, THIRD.replace('"builds": 1', '"builds": 1.5'), LAST], "is 1.5, no count"),
        ([FIRST, SECOND, THIRD.replace('"builds": 1, ', ""), LAST], ":3: 'test_b.py::test_net[a b] tf:graph' has reb"),
        ([FIRST, SECOND.replace('"2.13"', "2.13"), THIRD, LAST], ":2: version of 'test_a.py"),
        ([FIRST, SECOND.replace(', "version": "2.13"', ""), THIRD, LAST], ":2: 'test_a.py"),
        ([FIRST, SECOND, THIRD.replace(" tf:graph", ""), LAST], ":3: 'test_b.py::test_net[a b]' is no test and"),
        ([FIRST, '"a tf:graph": 3,', LAST], ":2: 'a tf:graph' has no counts"),
        (["[" * 100_000], ":1: it is damaged ("),
        ([FIRST, SECOND, THIRD.replace('"rebuilds"', '"builds"'), LAST], ":3: 'builds' is there twice: keep one"),
        ([FIRST, SECOND, THIRD, '"a": {"x": 1,', '"x": 2},', LAST], ":5: 'x' is there twice"),
        ([FIRST.replace("1", "true"), LAST], ":1: it is no lock"),
        ([FIRST, SECOND, THIRD.replace(": 1", f": {'9' * 5000}"), LAST], f":3: {'9' * 20}... is no count: restore it"),
    ],
)
def test_a_damaged_file_is_named_with_its_line_and_the_cure(lines: list[str], said: str) -> None:
    with pytest.raises(LockError) as raised:
        parse("\n".join([*lines, ""]), "graphs.lock")
    text = str(raised.value)
    assert text.startswith("graphs.lock:")
    assert said in text
    assert "--graph-lock-update" in text


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "graphs.lock").write_bytes(b'{\n"\xff')
    with pytest.raises(LockError, match=r"graphs\.lock:2: it is no text in UTF-8: restore it"):
        read(tmp_path / "graphs.lock", "graphs.lock")


# Merges.


def merge(folder: Path, ours: dict[str, Counts], base: dict[str, Counts], theirs: dict[str, Counts], *how: str) -> str:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    files = []
    for name, lines in {"ours": ours, "base": base, "theirs": theirs}.items():
        (folder / name).write_text(text_of(lines), encoding="utf-8")
        files.append(str(folder / name))
    return subprocess.run(["git", "merge-file", "-p", *how, *files], capture_output=True, text=True).stdout


def numbered(*numbers: float) -> dict[str, Counts]:
    return {f"test_{number:04.1f} tf:graph": Counts(1) for number in numbers}


def test_branches_that_add_different_tests_merge_where_a_line_is_between(tmp_path: Path) -> None:
    base = numbered(1, 2, 3)
    for ours, theirs in product((0.5, 1.5, 2.5, 3.5), repeat=2):
        if ours == theirs:
            continue
        merged = merge(tmp_path, {**base, **numbered(ours)}, base, {**base, **numbered(theirs)})
        assert parse(merged, "graphs.lock") == {**base, **numbered(ours, theirs)}


def test_branches_that_change_and_remove_apart_merge(tmp_path: Path) -> None:
    base = numbered(1, 2, 3, 4, 5)
    ours = {**base, **dict.fromkeys(numbered(1), Counts(2, 1))}
    theirs = {line: counts for line, counts in base.items() if line not in numbered(5)}
    merged = merge(tmp_path, ours, base, theirs)
    assert parse(merged, "graphs.lock") == {**theirs, **dict.fromkeys(numbered(1), Counts(2, 1))}


def test_branches_that_add_at_one_place_conflict_unless_git_is_told_to_keep_both(tmp_path: Path) -> None:
    base = numbered(1, 2)
    sides = {**base, **numbered(1.1)}, base, {**base, **numbered(1.2)}
    with pytest.raises(LockError, match=r"graphs\.lock:3: a conflict of a merge"):
        parse(merge(tmp_path, *sides), "graphs.lock")
    assert parse(merge(tmp_path, *sides, "--union"), "graphs.lock") == {**base, **numbered(1.1, 1.2)}


def test_branches_that_change_one_line_are_told_so_also_then(tmp_path: Path) -> None:
    base = numbered(1)
    sides = dict.fromkeys(base, Counts(2)), base, dict.fromkeys(base, Counts(3))
    with pytest.raises(LockError, match=r"graphs\.lock:3: 'test_01\.0 tf:graph' is there twice: keep one"):
        parse(merge(tmp_path, *sides, "--union"), "graphs.lock")
