"""The report: rows that survive a test report, and the layout of the table and of the worst rebuilders."""

from dataclasses import replace

import pytest

from pytest_graphmode import Cause, GraphBuild, GraphLedger, Variant
from pytest_graphmode.ledger.recorder import Recorder
from pytest_graphmode.report import Rebuilder, Row, properties, read, rebuilders, row
from pytest_graphmode.report.terminal import NOTE, table
from tests.project import Project

ROW = Row("test_a.py::test_net", "tf-graph-cpu", 1, 0, 0, 0, 500, 41, 0.3141, 0.000238)


def event(number: int, *causes: Cause, **more: object) -> GraphBuild:
    made = GraphBuild("step", "model.py:42", "tf", "graph", group=1, number=number, nodes=5, seconds=0.5, causes=causes)
    return replace(made, **more)  # type: ignore[arg-type]


def ledger(*events: GraphBuild) -> GraphLedger:
    recorder = Recorder()
    for entry in events:
        recorder.ledger.add_build(entry)
    for _ in range(4):
        recorder.call("tf", "graph")
    return recorder.ledger


# Rows


def test_a_row_of_a_variant() -> None:
    made = row("t", Variant("tf", "graph"), ledger(event(1), event(2, Cause("shape", "x", "[1]", "[2]"))), 3.0)
    assert made == Row("t", "tf-graph-cpu", 2, 1, 0, 0, 4, 10, 1.0, 0.5, True, made.rebuilders)
    assert [entry.rebuilds for entry in made.rebuilders] == [1]


def test_a_row_of_a_plain_test_names_the_modes_seen() -> None:
    made = ledger(event(1), event(1, backend="torch", mode="compile", group=2))
    assert row("t", None, made, 1.0).variant == "tf:graph torch:compile"


def test_calls_that_a_framework_does_not_tell_of_are_no_zero() -> None:
    recorder = Recorder()
    recorder.ledger.add_build(event(1, backend="jax", mode="jit"))
    recorder.calls_unknown("jax", "jit")
    made = row("t", None, recorder.ledger, 1.0)
    assert (made.calls_known, made.call_seconds) == (False, 0.0)
    assert read(properties(made, recorder.ledger)) == made
    assert table([made])[2].split() == ["jax:jit", "1", "0", "0", "0", "?", "5", "500", "ms", "-"]
    recorder.call("jax", "jit")
    assert " 1? " in table([row("t", None, recorder.ledger, 1.0)])[2]


def test_rebuilders_leave_out_eager_code_and_keep_different_causes() -> None:
    shapes = [Cause("shape", "x", f"[{size}]", f"[{size + 1}]", "pad it") for size in range(5)]
    flips = [Cause("python-value", "training", "True", "False", type_name="bool")] * 2
    found = rebuilders(
        ledger(
            event(1),
            *(event(2 + index, cause) for index, cause in enumerate(shapes)),
            event(1, group=2, function="twice"),
            *(event(2 + index, cause, group=2, function="twice") for index, cause in enumerate(flips)),
            event(2, Cause("structure"), group=3, recorded=True),
            event(2, Cause("variable-creation"), group=4),
        )
    )
    first = tuple(f"x changed shape [{size}] -> [{size + 1}]: pad it" for size in range(3))
    assert found == [
        Rebuilder("step", "model.py:42", 5, first, 2),
        Rebuilder("twice", "model.py:42", 2, ("training is a Python bool that changed True -> False",)),
    ]


def test_properties_are_strings_and_numbers_that_read_back() -> None:
    made = ledger(event(1), event(2, Cause("shape", "x", "[1]", "[2]", "pad it")))
    of_variant = row("t", Variant("tf", "graph"), made, 3.0)
    entries = properties(of_variant, made)
    assert all(name.startswith("graphmode_") and isinstance(value, (str, int, float)) for name, value in entries)
    assert read([("other", 1), *entries]) == of_variant
    assert read([("other", 1)]) is None


# The table


def test_the_table() -> None:
    rows = [
        replace(ROW, variant="torch-eager-cpu", builds=500, rebuilds=499, nodes=3000, build_seconds=0.0),
        ROW,
        replace(ROW, test="a.py::test_b[3]", calls=0, nodes=123456, build_seconds=12.5, call_seconds=0.0, builds=2),
        Row("test_idle.py::test_idle", "", 0, 0, 0, 0, 0, 0, 0.0, 0.0),
    ]
    assert table(rows) == [
        "test, variant     builds rebuilds breaks fallbacks calls  nodes  build   call",
        "a.py::test_b[3]",
        "  tf-graph-cpu         2        0      0         0     0 123456 12.5 s      -",
        "test_a.py::test_net",
        "  tf-graph-cpu         1        0      0         0   500     41 314 ms 238 us",
        "  torch-eager-cpu    500      499      0         0   500   3000      - 238 us",
        NOTE,
        "1 watched test built and called no graph",
    ]


def test_the_worst_rebuilders() -> None:
    first = Rebuilder("step", "model.py:42", 9, ("x changed shape [1] -> [2]: pad it", "y changed dtype a -> b"), 5)
    second = Rebuilder("loss", "model.py:7", 1, ("the same code was wrapped again",))
    lines = table([replace(ROW, rebuilders=(second,)), replace(ROW, test="test_b.py::test_b", rebuilders=(first,))])
    assert lines[lines.index("") :] == [
        "",
        "worst rebuilders",
        "  9 rebuilds of step (model.py:42) in test_b.py::test_b, tf-graph-cpu",
        "    x changed shape [1] -> [2]: pad it",
        "    y changed dtype a -> b",
        "    and 5 more causes",
        "  1 rebuild of loss (model.py:7) in test_a.py::test_net, tf-graph-cpu",
        "    the same code was wrapped again",
    ]


def test_only_the_ten_worst_are_shown() -> None:
    many = tuple(Rebuilder(f"f{count}", "m.py:1", count, ("why",)) for count in range(1, 13))
    lines = table([replace(ROW, rebuilders=many)])
    assert sum("why" in line for line in lines) == 10
    assert lines[-1] == "  and 2 more"
    assert not any(" of f2 " in line for line in lines)


def test_an_empty_report_says_how_to_fill_it() -> None:
    assert table([]) == ["no test was watched: use graphmode or graph_ledger, or run with --graph-watch"]
    idle = Row("t", "", 0, 0, 0, 0, 0, 0, 0.0, 0.0)
    assert table([idle, idle]) == ["2 watched tests built and called no graph"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "-"), (2e-9, "2 ns"), (1.5e-5, "15 us"), (0.0123, "12.3 ms"), (0.9996, "1 s"), (75.25, "75.2 s")],
)
def test_seconds_are_read_at_a_glance(seconds: float, text: str) -> None:
    (line,) = [line for line in table([replace(ROW, build_seconds=seconds)]) if line.startswith("  tf-graph")]
    assert line.endswith(f" {text} 238 us")


def test_the_table_fits_eighty_columns_for_every_builtin_variant() -> None:
    from pytest_graphmode.backends.specs import BACKENDS

    rows = [replace(ROW, variant=f"{spec.name}-{mode}-gpu:0") for spec in BACKENDS for mode in spec.modes]
    assert max(map(len, table(rows)[:-1])) <= 80


# Through pytest

SUITE = """
    @pytest.mark.parametrize("size", [1, 2])
    def test_net(graphmode, size):
        f = graphmode.function(lambda x: x)
        f(1), f(2.0)

    def test_fail(graphmode):
        graphmode.function(abs)(-1)
        assert False
"""
EXPECTED = [
    "*= graph report =*",
    "test, variant *builds rebuilds breaks fallbacks calls nodes * build * call*",
    "test_suite.py::test_fail",
    "  numpy-eager-cpu * 1 *",
    "  toy-graph-cpu * 1 *",
    "test_suite.py::test_net[[]1]",
    "  numpy-eager-cpu *2 *",
    "  toy-graph-cpu *2 * 1 * 500 ms *",
    "test_suite.py::test_net[[]2]",
    "worst rebuilders",
    "  1 rebuild of <lambda> (test_suite.py:5) in test_suite.py::test_net[[]1], toy-graph-cpu",
    "    value is a Python str that changed 'int' -> 'float': pass one type",
]


@pytest.mark.parametrize("workers", [(), pytest.param(("-n2",), marks=pytest.mark.slow)])
def test_the_report_of_a_run(toy: Project, workers: tuple[str, ...]) -> None:
    if workers:
        pytest.importorskip("xdist")
    toy.write(SUITE, "test_suite")
    toy.run("--graph-backends=numpy,toy", "--graph-report", *workers, passed=4, failed=2).says(*EXPECTED)


def test_no_report_without_the_option(toy: Project) -> None:
    toy.write(SUITE, "test_suite")
    toy.run("--graph-backends=toy").omits("*graph report*")
