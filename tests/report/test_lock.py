"""The counts of the lock: what is worse, what is better, and what an update leaves as it is."""

from typing import Any

import pytest

from pytest_graphmode.report.lock import Counts, Frameworks, changes, seen, told, updated

HERE = Frameworks({"tf": "2.21.0", "torch": "2.13.0+cpu", "numpy": "2.4"}, ["tf", "torch", "jax"])
TEST = "test_net.py::test_net"
ONE = Counts(1, 0, 0, 0)


def variant(backend: str = "tf", mode: str = "graph", device: str = "cpu", dtype: str = "float32") -> dict[str, str]:
    return {"backend": backend, "mode": mode, "device": device, "dtype": dtype}


def item(ran_as: dict[str, str] | None, outcome: str = "passed", **modes: Counts) -> dict[str, Any]:
    """What a report tells of a test; `tf_graph=Counts(...)`, with operations, is what it counted in that mode."""
    counted = {
        name.replace("_", ":"): {**one._asdict(), "operations": one.operations or 0, "recorded": name.endswith("eager")}
        for name, one in modes.items()
    }
    return {"test": TEST, "variant": ran_as, "outcome": outcome, "counts": {}, "modes": counted}


def update(lines: dict[str, Counts], *items: dict[str, Any], operations: bool = False) -> dict[str, Counts]:
    return updated(lines, items, HERE, operations=operations)


# Directions.


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (Counts(1, 0), Counts(3, 2), ["worse: was 0 rebuilds, now 2"]),
        (Counts(3, 2), Counts(1, 0), ["better: was 2 rebuilds, now 0"]),
        (Counts(1, 0, 0), Counts(1, 0, 1), ["worse: was 0 breaks, now 1"]),
        (Counts(1, 0, 1), Counts(1, 0, 0), ["better: was 1 break, now 0"]),
        (Counts(1, 0, 0, 0), Counts(1, 0, 0, 1), ["worse: was 0 fallbacks, now 1"]),
        (Counts(1, 0, 0, 1), Counts(1, 0, 0, 0), ["better: was 1 fallback, now 0"]),
        (Counts(2, 0), Counts(1, 0), ["worse: was 2 builds, now 1"]),
        (Counts(1, 0), Counts(2, 0), ["better: was 1 build, now 2"]),
        # A rebuild more hides no graph less.
        (Counts(2, 0), Counts(2, 1), ["worse: was 0 rebuilds, now 1", "worse: was 2 first builds, now 1"]),
        (Counts(3, 1), Counts(3, 0), ["better: was 1 rebuild, now 0", "better: was 2 first builds, now 3"]),
        (ONE, ONE, []),
    ],
)
def test_directions(before: Counts, after: Counts, said: list[str]) -> None:
    found = [f"{'worse' if change.worse else 'better'}: {change}" for change in changes(before, after)]
    assert found == said


@pytest.mark.parametrize(
    ("locked", "now", "worse"),
    [
        (Counts(1, operations=5, version="2.21"), Counts(1, operations=4, version="2.21"), [True]),
        (Counts(1, operations=5, version="2.21"), Counts(1, operations=6, version="2.21"), [False]),
        (Counts(1, operations=5, version="2.20"), Counts(1, operations=4, version="2.21"), []),
        (Counts(1), Counts(1, operations=4, version="2.21"), []),
    ],
)
def test_operations_are_compared_where_the_line_has_them_for_that_version(
    locked: Counts, now: Counts, worse: list[bool]
) -> None:
    assert [change.worse for change in changes(locked, now)] == worse


# What is locked.


def test_a_variant_has_one_line_of_all_it_built() -> None:
    (one,) = seen(TEST, item(variant("torch", "eager"), torch_eager=Counts(5, 4), torch_compile=Counts(2, 0, 1)), HERE)
    assert (one.line, one.counts[:3]) == (f"{TEST} torch:eager", (7, 4, 1))
    (one,) = seen(TEST, item(variant(), tf_graph=Counts(1, operations=3), torch_eager=Counts(5, 4)), HERE)
    assert (one.line, one.counts) == (f"{TEST} tf:graph", Counts(1, operations=3, version="2.21"))


def test_operations_are_those_of_the_framework_of_the_variant() -> None:
    built = {"tf_graph": Counts(1, operations=3), "torch_compile": Counts(1, operations=7)}
    (one,) = seen(TEST, item(variant(), **built), HERE)
    assert one.counts == Counts(2, operations=3, version="2.21")
    (one,) = seen(TEST, item(variant("torch", "compile"), **built), HERE)
    assert one.counts == Counts(2, operations=7, version="2.13")


def test_a_variant_that_built_nothing_has_a_line_where_it_could_have() -> None:
    assert [one.counts[:4] for one in seen(TEST, item(variant()), HERE)] == [(0, 0, 0, 0)]
    assert list(seen(TEST, item(variant("numpy", "eager")), HERE)) == []


def test_a_plain_test_has_a_line_of_each_mode_that_built_once() -> None:
    built = {"tf_graph": Counts(1), "torch_compile": Counts(1, 0, 2), "torch_eager": Counts(9, 8), "tf_xla": Counts()}
    assert [one.line for one in seen(TEST, item(None, **built), HERE)] == [f"{TEST} tf:graph", f"{TEST} torch:compile"]


# Updates.


def test_an_update_of_a_variant() -> None:
    lines = update({"other tf:graph": ONE}, item(variant(), tf_graph=Counts(2, 1)))
    assert lines == {"other tf:graph": ONE, f"{TEST} tf:graph": Counts(2, 1)}


@pytest.mark.parametrize("outcome", ["failed", "skipped", "error", "xfailed", "xpassed", "crashed", "unfinished"])
def test_a_test_that_did_not_pass_keeps_its_line(outcome: str) -> None:
    lines = {f"{TEST} tf:graph": ONE}
    assert update(lines, item(variant(), outcome, tf_graph=Counts(9, 8))) == lines
    assert update(lines, item(None, outcome)) == lines


def test_a_test_that_was_not_called_keeps_its_line() -> None:
    lines = {f"{TEST} tf:graph": ONE}
    assert update(lines, {**item(variant()), "counts": None}) == lines


def test_other_devices_and_dtypes_have_a_line_where_they_differ() -> None:
    cpu, double = item(variant(), tf_graph=ONE), variant(dtype="float64")
    gpu = variant(device="gpu:0", dtype="float64")
    lines = update({}, item(gpu, tf_graph=Counts(2)), item(double, tf_graph=ONE), cpu)
    assert lines == {f"{TEST} tf:graph": ONE, f"{TEST} tf:graph@gpu:0[float64]": Counts(2)}
    assert update(lines, item(gpu, tf_graph=ONE)) == {f"{TEST} tf:graph": ONE}
    assert update(lines, item(double, tf_graph=Counts(3))) == {**lines, f"{TEST} tf:graph[float64]": Counts(3)}
    assert update({}, item(gpu, tf_graph=Counts(2))) == {f"{TEST} tf:graph": Counts(2)}


def test_a_mode_in_which_a_plain_test_builds_no_more_loses_its_line_where_the_framework_is_installed() -> None:
    lines = {f"{TEST} tf:graph": ONE, f"{TEST} jax:jit": ONE, f"{TEST}2 tf:graph": ONE}
    found = update(lines, item(None, torch_compile=ONE))
    assert sorted(found) == [f"{TEST} jax:jit", f"{TEST} torch:compile", f"{TEST}2 tf:graph"]


def test_operations_are_locked_where_asked_for_and_renewed_where_they_were() -> None:
    built = item(variant(), tf_graph=Counts(1, operations=3))
    assert update({}, built) == {f"{TEST} tf:graph": ONE}
    locked = update({}, built, operations=True)
    assert locked == {f"{TEST} tf:graph": Counts(1, operations=3, version="2.21")}
    assert update({f"{TEST} tf:graph": Counts(1, operations=9, version="2.20")}, built) == locked


def test_what_an_update_changed_is_told() -> None:
    before = {"a tf:graph": Counts(1, 0), "b tf:graph": ONE, "c tf:graph": ONE}
    after = {"a tf:graph": Counts(3, 2), "c tf:graph": Counts(1, operations=2, version="1.0"), "d tf:graph": ONE}
    assert told(before, after) == [
        "a tf:graph: was 0 rebuilds, now 2",
        "b tf:graph: removed",
        "c tf:graph: operations locked anew",
        "d tf:graph: new",
    ]
