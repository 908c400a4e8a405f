"""The ledger against Dynamo's own counters and its log of recompilations, on generated sequences of calls."""

import functools
import random

import pytest

from pytest_graphmode import watch

from .torch_records import recorded

pytestmark = pytest.mark.usefixtures("torch")


def _plain(torch):
    return lambda x, n, flag: x * n if flag else x + n


def _broken(torch):
    def f(x, n, flag):
        x = x * n
        print(end="")
        return x + 1 if flag else x - 1

    return f


def _module(torch):
    class Net(torch.nn.Module):
        def forward(self, x, n, flag):
            return x * n if flag and self.training else x + n

    return Net()


def _call(torch, f, choice):
    shape = choice.choice([(2,), (3,), (4,), (2, 3), (1, 3)])
    x = torch.ones(shape, dtype=choice.choice([torch.float32, torch.float64]))
    mode = choice.choice([torch.enable_grad, torch.no_grad, torch.inference_mode])
    with mode():
        f(x, choice.choice([1, 2, 2.5, torch.ones(())]), choice.random() < 0.5)


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.slow
def test_the_ledger_agrees_with_dynamos_own_counters(torch, compiled, seed):
    """On what both can count: graphs of functions that are within the recompile limit."""
    choice = random.Random(seed)
    counters = torch._dynamo.utils.counters
    counters.clear()
    f = compiled(choice.choice([_plain, _broken, _module])(torch))
    with recorded(torch) as records, watch() as ledger, torch._dynamo.config.patch(cache_size_limit=64):
        for _ in range(8):
            _call(torch, functools.partial(records.call, f), choice)
    assert ledger.rebuilds == records.rebuilds
    assert ledger.builds == counters["stats"]["unique_graphs"]
    assert ledger.breaks == min(1, sum(counters["graph_break"].values()))
    assert not any(build.failed for build in ledger.events)
    assert all(build.causes for build in ledger.events if build.rebuild)
    assert not any(cause.kind in ("cache-reset", "guard") for build in ledger.events for cause in build.causes)
    assert ledger.fallbacks == 0
