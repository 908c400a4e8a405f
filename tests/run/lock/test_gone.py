"""Lines without a test are named by a run of all tests, and removed by its update."""

from pathlib import Path

import pytest

from tests.project import Project
from tests.run.lock.suite import ALL, GONE, LOCK, ONE, UPDATE, Run, add, locked


def test_a_line_without_a_test_is_named_by_a_whole_run_and_removed_by_its_update(run: Run, lock: Path) -> None:
    add(GONE, "test_removed.py::test_x toy:graph")
    result = run()
    assert result.ret == 0
    result.says(
        "2 lines in graphs.lock without a test:",
        f"  {GONE}",
        "  test_removed.py::test_x toy:graph",
        f"to remove them: pytest --graph-backends=toy {LOCK} {UPDATE}",
    )
    run(UPDATE).says(f"  {GONE}: removed")
    assert locked() == ALL


MARKED = "import pytest\n\n@pytest.mark.{}\ndef test_net(graphmode):\n    graphmode.function(abs)(-1)\n"
EAGER, GRAPH, ELSEWHERE = (f"test_m.py::test_net {mode}" for mode in ("toy:eager", "toy:graph", "absent:eager"))
FLOAT64, GPU = f"{GRAPH}[float64]", f"{GRAPH}@gpu:0"


@pytest.mark.parametrize(
    ("marker", "gone"),
    [
        ("graphmode('toy:graph')", [EAGER]),
        ("graphmode('toy:graph', dtypes='float32', devices='cpu')", [EAGER, GPU, FLOAT64]),
        ("graphmode('toy:graph', devices='cpu,gpu:0')", [EAGER]),
        ("parametrize('graphmode', ['toy:graph'], indirect=True)", [EAGER, GPU, FLOAT64]),
        ("graphmode('toy:graph+eager')", []),
        ("graphmode('numpy')", [EAGER, GRAPH, GPU, FLOAT64]),
        # Other runs may select what this one does not.
        ("graphmode('toy')", []),
        ("slow", []),
    ],
)
def test_lines_of_variants_that_a_test_has_in_no_run(run: Run, lock: Path, marker: str, gone: list[str]) -> None:
    lines = [EAGER, GRAPH, ELSEWHERE, FLOAT64, GPU]
    add(*lines)
    Path("test_m.py").write_text(MARKED.format(marker), encoding="utf-8")
    Path("tox.ini").write_text("[pytest]\nmarkers = slow\n", encoding="utf-8")
    told = [line for line in run().outlines if line.endswith(" (left out by what the test is marked with)")]
    assert [line.split(" (")[0].strip() for line in told] == sorted(gone)
    run(UPDATE)
    assert set(locked()) == {*ALL, *lines} - set(gone)


@pytest.mark.parametrize(
    "arguments",
    [
        ("-k", "test_net"),
        ("-k", "test"),
        ("-m", "not slow"),
        ("test_a.py",),
        (".",),
        ("--deselect=test_a.py::test_plain",),
        ("--ignore=test_other.py",),
        ("--lf",),
        ("-o", "python_functions=test_plain"),
        ("-c", "narrow.ini"),
        ("-p", "sharding"),
    ],
)
def test_a_part_of_a_run_leaves_other_lines_alone(
    run: Run, toy: Project, arguments: tuple[str, ...], lock: Path
) -> None:
    toy.syspathinsert()
    Path("sharding.py").write_text("def pytest_collection_modifyitems(items): items[:] = items[:2]\n", encoding="utf-8")
    Path("narrow.ini").write_text("[pytest]\npython_functions = test_plain\n", encoding="utf-8")
    add(GONE)
    assert run(UPDATE, *arguments).ret == 0
    assert locked() == {**ALL, GONE: ONE}


def test_a_way_to_distribute_tests_without_workers_distributes_none(run: Run, lock: Path) -> None:
    pytest.importorskip("xdist")
    add(GONE)
    Path("tox.ini").write_text("[pytest]\naddopts = --dist=loadscope\n", encoding="utf-8")
    run().says("1 line in graphs.lock without a test:")


def test_an_ini_value_of_the_plugins_narrows_nothing(run: Run, lock: Path) -> None:
    add(GONE)
    run("-o", "graph_progress=off").says("1 line in graphs.lock without a test:")


def test_a_part_of_a_run_tells_of_no_line_without_a_test(run: Run, lock: Path) -> None:
    add(GONE)
    result = run("-k", "test_plain")
    assert result.ret == 0
    result.omits("*graph lock*")


def test_from_another_folder_a_run_is_none_of_all_tests(run: Run, monkeypatch: pytest.MonkeyPatch, lock: Path) -> None:
    add(GONE)
    Path("inner").mkdir()
    monkeypatch.chdir("inner")
    run("--graph-lock=../graphs.lock").omits("*without a test*")


def test_a_module_that_is_not_collected_keeps_its_lines(run: Run, lock: Path) -> None:
    add("test_b.py::test_b toy:graph", "test_c.py::test_c toy:graph")
    Path("test_b.py").write_text("import pytest; pytest.skip(allow_module_level=True)", encoding="utf-8")
    Path("test_c.py").write_text("", encoding="utf-8")
    conftest = Path("conftest.py")
    conftest.write_text(conftest.read_text(encoding="utf-8") + '\ncollect_ignore = ["test_c.py"]\n', encoding="utf-8")
    assert "without a test" not in run().stdout.str()
    Path("test_b.py").write_text("1 / 0", encoding="utf-8")
    assert "without a test" not in run("--continue-on-collection-errors").stdout.str()
    Path("test_b.py").write_text("", encoding="utf-8")
    run().says("1 line in graphs.lock without a test:", "  test_b.py::test_b toy:graph")


def test_a_lock_of_another_folder_loses_no_line(run: Run, lock: Path) -> None:
    Path("test_a.py").rename("test_b.py")
    assert "without a test" not in run().stdout.str()
    run(UPDATE)
    assert "without a test" in run().stdout.str()  # now that some of its lines are of these tests
