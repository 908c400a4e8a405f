"""The schedulers that are informed of groups, with workers that only note what they are sent."""

from types import SimpleNamespace

import pytest

pytest.importorskip("xdist")
from pytest_graphmode.run.workers.scheduling import SCHEDULERS

VARIANTS = ["test_a.py::test_net[tf]", "test_a.py::test_net[torch]", "test_a.py::test_net[agreement]"]
OTHERS = ["test_b.py::test_other", "test_b.py::test_marked[a@b]", "test_c.py::test_marked"]


class Worker:
    """Takes tests, and forgets none."""

    shutting_down = False

    def __init__(self, name):
        self.gateway = SimpleNamespace(id=name)
        self.sent = []

    def send_runtest_some(self, indices):
        self.sent += indices

    def shutdown(self):
        self.shutting_down = True


def scheduled(kind, groups, tests=(*VARIANTS, *OTHERS)):
    """A scheduler that has handed out tests to two workers, and these."""
    config = SimpleNamespace(getvalue=lambda name: ["popen"] * 2, option=SimpleNamespace(loadscopereorder=False))
    made, workers = SCHEDULERS[kind](config), [Worker("gw0"), Worker("gw1")]
    made.groups = groups
    for worker in workers:
        made.add_node(worker)
        made.add_node_collection(worker, list(tests))
    made.schedule()
    return made, workers


def scopes(kind, groups, tests):
    """The scope of each test."""
    made, workers = scheduled(kind, groups, tests)
    units = [*made.workqueue.items(), *(pair for worker in workers for pair in made.assigned_work[worker].items())]
    found = {test: scope for scope, unit in units for test in unit}
    return [found[test] for test in tests]


def test_items_of_a_group_stay_together():
    groups = {**dict.fromkeys(VARIANTS, VARIANTS[-1]), OTHERS[1]: "mine", OTHERS[2]: "mine"}
    assert scopes("loadgroup", groups, [*VARIANTS, *OTHERS]) == [VARIANTS[-1]] * 3 + [OTHERS[0], "mine", "mine"]


def test_a_group_in_a_node_id_is_xdists_own_and_goes_before():
    tests = [*(f"{test}@mine" for test in VARIANTS), *OTHERS]
    assert scopes("loadgroup", dict.fromkeys(tests[:3], "other"), tests) == ["mine"] * 3 + OTHERS


def test_variants_without_a_group_go_anywhere():
    assert scopes("loadgroup", dict.fromkeys(VARIANTS), VARIANTS) == VARIANTS


@pytest.mark.parametrize("kind", ["loadscope", "loadfile"])
def test_other_kinds_have_their_own_groups(kind):
    files = ["test_a.py"] * 3 + ["test_b.py"] * 2 + ["test_c.py"]
    assert scopes(kind, dict.fromkeys(VARIANTS, "mine"), [*VARIANTS, *OTHERS]) == files


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_a_variant_that_crashed_its_worker_is_not_handed_out_again(kind):
    made, (one, other) = scheduled(kind, dict.fromkeys(VARIANTS, "net"))
    made.mark_test_complete(one, 0)
    before = len(other.sent)
    assert made.remove_node(one) == VARIANTS[1]
    while made.workqueue:
        made._assign_work_unit(other)
    assert 2 in other.sent[before:]
    assert not {0, 1} & set(other.sent[before:])


def test_a_worker_that_ran_all_has_crashed_in_nothing():
    made, (one, _) = scheduled("loadscope", dict.fromkeys(VARIANTS, "net"))
    for index in range(3):
        made.mark_test_complete(one, index)
    for index in set(one.sent) - {0, 1, 2}:
        made.mark_test_complete(one, index)
    assert made.remove_node(one) is None


def test_of_tests_that_are_no_variants_xdist_decides():
    made, (one, other) = scheduled("loadscope", {})
    before = len(other.sent)
    assert made.remove_node(one) == VARIANTS[0]
    while made.workqueue:
        made._assign_work_unit(other)
    assert set(other.sent[before:]) >= {0, 1, 2}
