"""How the variants of a run got on in other workers: two of them over one folder, without pytest-xdist."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from pytest_graphmode.records.origin import Origin
from pytest_graphmode.records.recording import Recording, Run
from pytest_graphmode.run import beside
from pytest_graphmode.run.agreement import keeping, travelling
from pytest_graphmode.run.agreement.travelling import Travel
from pytest_graphmode.select.variants import Variant

VARIANT = Variant("ref", "eager")


@pytest.fixture
def workers(tmp_path, monkeypatch):
    fields = dict.fromkeys(Origin.__dataclass_fields__, "text")
    monkeypatch.setattr(keeping, "origin", lambda item, variant: Origin(**{**fields, "seed": 0}))
    return Travel(tmp_path, "gw0"), Travel(tmp_path, "gw1")


def item():
    return SimpleNamespace(nodeid="test_net.py::test_net[ref-eager-cpu]", stash=pytest.Stash())


def test_what_one_recorded_another_finds(workers):
    one, other = workers
    values = {"loss": [{"loss": np.float32([1, 2])}, {"loss": 3}]}
    one.began(item())
    one.ended(item(), Run(VARIANT, "passed", recording=Recording(values=values)))
    found = other.elsewhere(item(), VARIANT, wait=True)
    assert (found.variant, found.outcome) == (VARIANT, "passed")
    first, second = found.recording.values["loss"]
    np.testing.assert_array_equal(first["loss"], np.float32([1, 2]), strict=True)
    assert second == {"loss": 3}


@pytest.mark.parametrize(("outcome", "reason"), [("failed", "E assert \ud800"), ("skipped", "no gradients")])
def test_failures_and_skips_are_found_too(workers, outcome, reason):
    one, other = workers
    one.began(item())
    one.ended(item(), Run(VARIANT, outcome, reason))
    assert other.elsewhere(item(), VARIANT, wait=True) == Run(VARIANT, outcome, reason)


def test_why_a_record_for_other_runs_was_not_written_is_found_too(workers):
    one, other = workers
    there, here = item(), item()
    there.stash[keeping.UNWRITTEN] = "the disk is full"
    one.began(there)
    one.ended(there, Run(VARIANT, "passed"))
    other.elsewhere(here, VARIANT, wait=True)
    assert keeping.trouble([here]) == "the disk is full"


def test_what_nobody_ran_is_to_be_run_here(workers):
    one, other = workers
    assert other.elsewhere(item(), VARIANT, wait=True) is None
    one.began(item())  # an item that is tried again looks for what its own worker ran
    assert one.elsewhere(item(), VARIANT, wait=True) is None


def test_an_item_waits_for_a_variant_that_another_worker_is_in_the_middle_of(workers):
    one, other = workers
    one.began(item())
    later = threading.Timer(0.2, one.ended, [item(), Run(VARIANT, "passed")])
    later.start()
    assert other.elsewhere(item(), VARIANT, wait=True) == Run(VARIANT, "passed")
    later.join()


def test_it_does_not_wait_for_ever_nor_where_it_need_not(workers, monkeypatch):
    one, other = workers
    one.began(item())
    assert other.elsewhere(item(), VARIANT, wait=False) is None
    monkeypatch.setattr(travelling, "_PATIENCE", 0.1)
    started = time.monotonic()
    assert other.elsewhere(item(), VARIANT, wait=True) is None
    assert time.monotonic() - started >= 0.1


def test_a_variant_that_crashed_its_worker_is_known_by_it(workers):
    one, other = workers
    one.began(item())
    assert list(one.unfinished()) == [item().nodeid]
    assert not other.unfinished()
    one.lost()
    assert other.elsewhere(item(), VARIANT, wait=True) == Run(VARIANT, "crashed", "gw0")
    other.forget(item())
    assert other.elsewhere(item(), VARIANT, wait=False) == Run(VARIANT, "crashed", "gw0")


def test_what_ended_before_its_worker_crashed_stays(workers):
    one, other = workers
    one.began(item())
    one.ended(item(), Run(VARIANT, "passed"))
    one.lost()
    assert not one.unfinished()
    assert other.elsewhere(item(), VARIANT, wait=True) == Run(VARIANT, "passed")


def test_a_variant_that_is_tried_again_has_not_ended(workers):
    one, other = workers
    one.began(item())
    one.ended(item(), Run(VARIANT, "failed", "flaky"))
    one.began(item())
    assert other.elsewhere(item(), VARIANT, wait=False) is None


def test_of_a_run_that_this_process_does_not_know_nothing_is_told(workers, tmp_path):
    one, other = workers
    one.began(item())
    one.ended(item(), None)
    assert other.elsewhere(item(), VARIANT, wait=True) is None
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_record_is_computed_again(workers, tmp_path):
    one, other = workers
    one.began(item())
    one.ended(item(), Run(VARIANT, "passed", recording=Recording(values={"loss": [{"loss": np.float32(1)}]})))
    (file,) = tmp_path.glob("*.npz")
    file.write_bytes(file.read_bytes()[:-9])
    assert other.elsewhere(item(), VARIANT, wait=True) is None


def test_once_compared_nothing_is_left(workers, tmp_path):
    one, other = workers
    one.began(item())
    one.ended(item(), Run(VARIANT, "passed", recording=Recording(values={"loss": [{"loss": np.float32(1)}]})))
    assert len(list(tmp_path.iterdir())) == 3
    other.forget(item())
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_does_not_see_the_folder_does_without(tmp_path):
    def config(**told):
        return SimpleNamespace(workerinput={"workerid": "gw0", beside.GRAPHMODE: told})

    assert travelling.of(config(folder=str(tmp_path))) == Travel(tmp_path, "gw0")
    assert travelling.of(config(folder=str(tmp_path / "on another host"))) is None
    assert travelling.of(config(folder=None)) is None
    assert travelling.of(SimpleNamespace()) is None
