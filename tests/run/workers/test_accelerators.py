"""How workers share accelerators: by what execnet is told of each worker, and on a fake host."""

from types import SimpleNamespace

import pytest

from pytest_graphmode.run.workers import accelerators
from pytest_graphmode.select.registry import Registry
from pytest_graphmode.select.settings import Settings

ALL = Settings(devices=None, written={"graph_devices": "all"})
NAMED = Settings(devices=("gpu:0", "gpu:1"), written={"graph_devices": "gpu:0,gpu:1"})


def specs(count, **fields):
    return [SimpleNamespace(**{"popen": True, "via": None, "env": {}, **fields}) for _ in range(count)]


@pytest.fixture
def host(monkeypatch):
    """A host that has these GPUs."""

    def has(*names):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(names))

    return has


def visible(workers):
    return [spec.env.get("CUDA_VISIBLE_DEVICES") for spec in workers]


def test_workers_take_the_accelerators_in_turn(host):
    host("0", "1", "2")
    workers = specs(4)
    accelerators.hand_out(workers, ALL, each=False)
    assert visible(workers) == ["0", "1", "2", "0"]
    assert [accelerators.share(workers, spec, ALL) for spec in workers] == [0.5, None, None, 0.5]


def test_tensorflow_and_jax_take_memory_as_they_need_it_unless_told_otherwise(host, monkeypatch):
    host("0")
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "true")
    (worker,) = workers = specs(1)
    accelerators.hand_out(workers, ALL, each=False)
    assert worker.env == {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "true"}


def test_the_only_accelerator_is_shared(host):
    host("0")
    workers = specs(2)
    accelerators.hand_out(workers, ALL, each=False)
    assert visible(workers) == [None, None]
    assert accelerators.share(workers, workers[0], ALL) == 0.5


@pytest.mark.parametrize(("settings", "each"), [(NAMED, False), (ALL, True)])
def test_all_are_seen_where_devices_were_named_or_each_worker_runs_all_tests(host, settings, each):
    host("0", "1")
    workers = specs(2)
    accelerators.hand_out(workers, settings, each=each)
    assert visible(workers) == [None, None]
    assert accelerators.share(workers, workers[1], settings) == 0.5


@pytest.mark.parametrize(
    "settings", [Settings(), Settings(devices=("cpu", "cpu:1"), written={"graph_devices": "cpu,cpu:1"})]
)
def test_nothing_is_changed_where_nobody_asked_for_accelerators(host, settings):
    host("0", "1")
    workers = specs(2)
    accelerators.hand_out(workers, settings, each=False)
    assert [spec.env for spec in workers] == [{}, {}]
    assert accelerators.share(workers, workers[0], settings) is None


def test_what_a_worker_was_told_by_its_own_specification_stays_and_other_hosts_have_their_own(host):
    host("0", "1")
    here, told = specs(2)
    told.env["CUDA_VISIBLE_DEVICES"] = "0"
    there = [*specs(1, popen=None), *specs(1, via="host")]
    workers = [*there, here, told]
    accelerators.hand_out(workers, ALL, each=False)
    assert visible(workers) == [None, None, "0", "0"]
    assert [accelerators.share(workers, spec, ALL) for spec in workers] == [None, None, 0.5, 0.5]


@pytest.mark.parametrize(
    ("listed", "found"), [("3,GPU-8f2a", ["3", "GPU-8f2a"]), ("", []), ("-1", []), (None, ["0", "1"])]
)
def test_accelerators_are_found_without_a_framework(monkeypatch, tmp_path, listed, found):
    for name in ("nvidia0", "nvidia3", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(accelerators, "Path", lambda _: tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if listed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert accelerators.accelerators() == found


@pytest.mark.parametrize("share", [0.5, None])
def test_a_backend_is_told_its_share_once(share):
    told = []
    backend = SimpleNamespace(limit_memory=told.append)
    registry = Registry(Settings(), {"fake": SimpleNamespace(load=lambda: backend)}, share)
    assert registry.backend("fake") is registry.backend("fake") is backend
    assert told == ([] if share is None else [0.5])


def test_a_backend_that_limits_nothing_is_left_alone():
    backend = object()
    assert Registry(Settings(), {"fake": SimpleNamespace(load=lambda: backend)}, 0.5).backend("fake") is backend


CONFTEST = """
import os

names = "CUDA_VISIBLE_DEVICES", "TF_FORCE_GPU_ALLOW_GROWTH", "XLA_PYTHON_CLIENT_PREALLOCATE"
SEEN = [os.environ.get(name) for name in names]

def pytest_sessionstart(session):
    told = getattr(session.config, "workerinput", None)
    if told:
        with open("seen-" + told["workerid"], "w") as file:
            print(*SEEN, told["graphmode"]["share"], file=file)
"""


@pytest.mark.slow
def test_workers_see_it_before_a_conftest_runs(pytester, host):
    pytest.importorskip("xdist")
    host("GPU-a", "GPU-b")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("def test_net(): pass")
    result = pytester.runpytest_subprocess("-n3", "--graph-devices=all", "--graph-backends=numpy")
    result.assert_outcomes(passed=1)
    seen = [(pytester.path / f"seen-gw{number}").read_text().split() for number in range(3)]
    assert seen == [
        [gpu, "true", "false", share] for gpu, share in (("GPU-a", "0.5"), ("GPU-b", "None"), ("GPU-a", "0.5"))
    ]
