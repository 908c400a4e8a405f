"""`--graph-trace`: what is kept of tests that fail, and that nothing is of others; by a framework in miniature."""

import pytest

from tests.project import Project

HEAD = """import pytest, toylib

def step(value):
    return value + 1
"""


WRONG = "def test_wrong(graphmode):\n    assert graphmode.function(step)(1) == 1"


@pytest.fixture
def traced(toy):
    """A project whose tests have a function to build graphs of, and whose runs keep traces."""
    return Project(toy.pytester, "toy:graph", ("--graph-devices=cpu", "--graph-trace=traces"), HEAD)


def files(project):
    root = project.path / "traces"
    return sorted(str(file.relative_to(root)) for file in root.rglob("*") if not file.is_dir())


def test_of_tests_that_fail_it_is_kept_and_said_where(traced):
    traced.write("""
        def test_right(graphmode):
            assert graphmode.function(step)(1) == 2

        def test_wrong(graphmode):
            assert graphmode.function(step)(1.0) == 1

        def test_of_no_variant():
            assert toylib.jit(step)(True) == 1

        def test_without_graphs():
            assert 0
    """)
    result = traced.run(passed=1, failed=3)
    assert files(traced) == [
        "test_net.py/test_of_no_variant/toylib/builds.txt",
        "test_net.py/test_wrong[toy-graph-cpu]/toylib/builds.txt",
    ]
    kept = traced.path / "traces" / "test_net.py" / "test_wrong[toy-graph-cpu]"
    assert (kept / "toylib" / "builds.txt").read_text() == "step float\n"
    result.says("*- graph trace -*", str(kept).replace("[", "?").replace("]", "?"))
    assert result.outlines.count(str(traced.path / "traces" / "test_net.py" / "test_of_no_variant")) == 1


def test_a_run_in_which_all_pass_leaves_nothing(traced):
    traced.check("\ndef test_right(graphmode):\n    assert graphmode.function(step)(1) == 2", passed=1)
    assert not (traced.path / "traces").exists()


def test_what_fixtures_build_is_in_it_and_their_failures_too(traced):
    traced.write("""
@pytest.fixture
def before(graphmode):
    graphmode.function(step)(1)

@pytest.fixture
def broken(before):
    assert 0

@pytest.fixture
def late(before):
    yield
    assert 0

def test_wrong(before):
    assert 0

def test_never(broken):
    pass

def test_late(late):
    pass
    """)
    traced.run(passed=1, failed=1, errors=2)
    assert [name.split("/")[1] for name in files(traced)] == [
        "test_late[toy-graph-cpu]",
        "test_never[toy-graph-cpu]",
        "test_wrong[toy-graph-cpu]",
    ]


def test_an_expected_failure_is_none(traced):
    text = "\n@pytest.mark.xfail\ndef test_wrong(graphmode):\n    assert graphmode.function(step)(1) == 1"
    traced.check(text, xfailed=1)
    assert not (traced.path / "traces").exists()


def test_a_framework_that_the_test_imports_writes_from_then_on(toy):
    toy.write("def test_wrong():\n    import toylib\n    assert toylib.jit(abs)(1) == 0")
    toy.run("--graph-trace=traces", failed=1)
    assert files(toy) == ["test_net.py/test_wrong/toylib/builds.txt"]


APART = "(graphmode.mode == 'graph')"
AGREE = """
@pytest.mark.graph_agree
def test_net(graphmode):
    graphmode.function(step)(1)
    graphmode.agree(loss=graphmode.tensor(1.0 + {more}))
"""


def test_variants_that_do_not_agree_have_theirs_kept(traced):
    same = AGREE.replace("test_net", "test_same").format(more="0")
    result = traced.check(AGREE.format(more=APART) + same, backends="numpy,toy:graph", passed=5, failed=1)
    assert files(traced) == ["test_net.py/test_net[toy-graph-cpu]/toylib/builds.txt"]
    kept = traced.path / "traces" / files(traced)[0]
    assert kept.read_text() == "step int\n"  # nothing of what triage ran
    assert str(kept.parents[1]) in result.outlines


def test_variants_that_an_item_runs_itself_have_theirs_kept(traced):
    traced.check(AGREE.format(more=APART), "-k", "agreement", backends="numpy,toy:graph", failed=1, deselected=2)
    assert files(traced) == ["test_net.py/test_net[toy-graph-cpu]/toylib/builds.txt"]


def test_an_older_one_is_replaced_whole(traced):
    traced.check(WRONG)
    (file,) = files(traced)
    (traced.path / "traces" / file).with_name("old.txt").write_text("old")
    traced.check(WRONG)
    assert files(traced) == [file]


@pytest.mark.parametrize("name", ["../../../out", "/", "con", "a" * 300, "\\ud800", "."])
def test_whatever_a_test_is_called_nothing_is_outside(traced, name):
    body = "def test_wrong(graphmode, x):\n    assert not graphmode.function(step)(1)"
    traced.check(f"\n@pytest.mark.parametrize('x', ['{name}'])\n{body}", "-p", "no:cacheprovider", failed=1)
    there = {path.name for path in traced.path.iterdir()} - {"__pycache__"}
    assert there == {"conftest.py", "test_net.py", "toybackend.py", "toylib.py", "traces"}
    assert len(files(traced)) == 1


def test_a_place_that_is_taken_is_said_and_changes_no_verdict(traced):
    (traced.path / "traces").mkdir()
    (traced.path / "traces" / "test_net.py").write_text("# mine")
    traced.check(WRONG, "--ignore=traces", failed=1).says("*test_wrong?toy-graph-cpu? could not be kept: *")
    assert (traced.path / "traces" / "test_net.py").read_text() == "# mine"


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("taken", "--graph-trace=*taken: there is a file of this name: name a folder"),
        ("taken/below", "--graph-trace=taken/below: it can't be written to: Not a directory"),
        ("/proc/traces", "--graph-trace=/proc/traces: it can't be written to: No such file or directory"),
        ("", "--graph-trace=: names no folder"),
    ],
)
def test_a_folder_that_can_not_be_written_to_is_a_usage_error(traced, folder, said):
    (traced.path / "taken").write_text("mine")
    traced.check("\ndef test_right():\n    pass", f"--graph-trace={folder}").refuses(said)
    assert (traced.path / "taken").read_text() == "mine"


def test_a_tracer_that_can_not_start_is_said(traced):
    file = traced.path / "toybackend.py"
    file.write_text(
        file.read_text().replace(
            "        build = toylib._build\n\n        def writing", "        raise OSError('no')\n\n        def writing"
        )
    )
    traced.check(WRONG, failed=1).says("none of toylib: OSError: no")


@pytest.mark.slow
@pytest.mark.parametrize("dist", ["load", "loadgroup"])
def test_under_xdist_too(traced, dist):
    pytest.importorskip("xdist")
    text = AGREE.format(more=APART) + AGREE.replace("test_net", "test_same").format(more="0")
    traced.check(text, "-n2", f"--dist={dist}", backends="numpy,toy:graph", passed=5, failed=1)
    assert files(traced) == ["test_net.py/test_net[toy-graph-cpu]/toylib/builds.txt"]


def test_the_probes_of_event_sources_are_in_no_trace(traced):
    traced.extend("""
import toylib, toybackend

def probe(self):
    toylib.jit(lambda x: x)(b"probe")

toybackend.ToySource.probe = probe
    """)
    traced.write("""
@pytest.mark.graph_rebuilds(0)
def test_wrong(graphmode):
    first = graphmode.function(step)
    first(1), first(1.0)
    """)
    traced.run(failed=1).says("1 rebuild, at most 0 allowed")
    (file,) = files(traced)
    assert (traced.path / "traces" / file).read_text() == "step int\nstep float\n"
