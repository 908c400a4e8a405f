"""What the messages say to do, done to the letter, ends the rebuilds.

Each case has the call that is built again, a part of the hint that is printed for it, and the same code after the hint
was followed.
"""

from __future__ import annotations

import functools

import pytest

from pytest_graphmode import watch

pytestmark = pytest.mark.usefixtures("torch")


def _scale(x, n):
    return x * n


def _shapes(f, torch, mark=False):
    for size in (4, 3, 7):
        x = torch.ones(size, 3)
        if mark and size == 4:
            torch._dynamo.mark_dynamic(x, 0)
        f(x)


def shape(torch, compiled):
    _shapes(compiled(lambda x: x * 2), torch)
    return "torch.compile(dynamic=True), or torch._dynamo.mark_dynamic(x, dimension) before the first call"


def shape_dynamic(torch, compiled):
    _shapes(compiled(lambda x: x * 2, dynamic=True), torch)


def shape_marked(torch, compiled):
    _shapes(compiled(lambda x: x * 2), torch, mark=True)


def size_one(torch, compiled):
    f = compiled(lambda x: x * 2, dynamic=True)
    for size in (4, 1):
        f(torch.ones(size, 3))
    return "torch builds graphs of their own for sizes 0 and 1; pad"


def size_one_padded(torch, compiled):
    f = compiled(lambda x: x * 2, dynamic=True)
    for size in (4, 1):
        f(torch.nn.functional.pad(torch.ones(size, 3), (0, 0, 0, 4 - size)))


def number(torch, compiled):
    f = compiled(_scale)
    for n in (2.0, 3.0, 4.0):
        f(torch.ones(3), n)
    return "n is a Python float that changed 2.0 -> 3.0: pass a tensor"


def number_as_tensor(torch, compiled):
    f = compiled(_scale)
    for n in (2.0, 3.0, 4.0):
        f(torch.ones(3), torch.tensor(n))


def _accumulate(x, start, end):
    total = x[start]
    for i in range(start + 1, end):
        total = total + x[i]
    return total


def loop_bound(torch, compiled):
    f = compiled(_accumulate)
    for start in range(3):
        f(torch.arange(20.0), start, start + 4)
    return "loop over one fixed range and mask the rest by a tensor end"


def _masked(torch, x, start, end):
    total = torch.zeros(())
    for i in range(20):
        total = torch.where((start <= i) & (i < end), total + x[i], total)
    return total


def loop_bound_masked(torch, compiled):
    f, x = compiled(functools.partial(_masked, torch)), torch.arange(20.0)
    for start in range(3):
        expected = _accumulate(x, start, start + 4)
        assert f(x, torch.tensor(start), torch.tensor(start + 4)) == expected


def _layers(torch, forward):
    cls = type("Layer", (torch.nn.Module,), {"forward": forward})
    made = [cls() for _ in range(3)]
    for index, layer in enumerate(made):
        layer.index = index
        layer.compile(backend="eager")
    return made


def _pick(self, x, cache):
    return x + cache[self.index]


def list_index(torch, compiled):
    cache = [torch.ones(2) for _ in range(3)]
    for layer in _layers(torch, _pick):
        layer(torch.ones(2), cache)
    return "self.index is a Python int that changed 0 -> 1: index outside and pass the element"


def list_index_outside(torch, compiled):
    cache = [torch.ones(2) for _ in range(3)]
    for layer in _layers(torch, lambda self, x, entry: x + entry):
        layer(torch.ones(2), cache[layer.index])


def gradients(torch, compiled):
    f, a = compiled(lambda a: a.clip(0) * 2), torch.ones(3)
    with torch.no_grad():
        f(a)
        f(a.requires_grad_())
    return "a.requires_grad changed False -> True: pass tensors of which all or none require gradients (.detach())"


def gradients_detached(torch, compiled):
    f, a = compiled(lambda a: a.clip(0) * 2), torch.ones(3)
    with torch.no_grad():
        f(a.detach())
        f(a.requires_grad_().detach())


def _two_layers(torch, freeze):
    for frozen in freeze:
        layer = torch.nn.Sequential(torch.nn.Linear(2, 2)).requires_grad_(not frozen)
        torch.compile(layer, backend="eager")(torch.ones(1, 2))


def frozen(torch, compiled):
    _two_layers(torch, (False, True))
    return "weight.requires_grad changed True -> False: freeze it in all objects or in none"


def frozen_in_all(torch, compiled):
    _two_layers(torch, (True, True))


def parameters(torch, compiled):
    f = compiled(lambda X: [x / (x.norm() + 1e-6) for x in X])
    for width in (3, 5, 8):
        f([torch.nn.Parameter(torch.ones(2, width))])
    return "torch._dynamo.config.force_parameter_static_shapes = False with torch.compile(dynamic=True)"


def parameters_dynamic(torch, compiled):
    with torch._dynamo.config.patch(force_parameter_static_shapes=False):
        f = compiled(lambda X: [x / (x.norm() + 1e-6) for x in X], dynamic=True)
        for width in (3, 5, 8):
            f([torch.nn.Parameter(torch.ones(2, width))])


def read_value(torch, compiled):
    f = compiled(lambda x: (x * 2) * x.sum().item())
    for value in (1.0, 2.0, 3.0):
        f(torch.full((3,), value))
    return "keep it a tensor and leave out what reads its value"


def read_value_kept(torch, compiled):
    f = compiled(lambda x: (x * 2) * x.sum())
    for value in (1.0, 2.0, 3.0):
        f(torch.full((3,), value))


class Counting:
    @staticmethod
    def make(torch, tensor):
        class Counter(torch.nn.Module):
            def __init__(self):
                super().__init__()
                if tensor:
                    self.register_buffer("counter", torch.zeros((), dtype=torch.int64))
                else:
                    self.counter = 0

            def forward(self, x):
                self.counter += 1
                return x * self.counter

        return Counter()


def counter(torch, compiled):
    f = compiled(Counting.make(torch, tensor=False))
    for _ in range(4):
        f(torch.ones(2))
    return "self.counter is a Python int that changed 0 -> 1: make it a tensor (register it as a buffer)"


def counter_buffer(torch, compiled):
    f = compiled(Counting.make(torch, tensor=True))
    for _ in range(4):
        f(torch.ones(2))


def _step(torch, compiled, lr, change):
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    optimizer = torch.optim.Adam([weight], lr=lr)
    step = compiled(lambda: optimizer.step())
    for value in (0.1, 0.09, 0.08):
        change(optimizer.param_groups[0], value)
        step()


def rate(torch, compiled):
    _step(torch, compiled, 0.1, lambda group, value: group.update(lr=value))
    return (
        "optimizer.param_groups[0]['lr'] is a Python float that changed 0.1 -> 0.09: pass a tensor lr to the optimizer"
    )


def rate_tensor(torch, compiled):
    _step(torch, compiled, torch.tensor(0.1), lambda group, value: group["lr"].fill_(value))


def rate_replaced(torch, compiled):
    _step(torch, compiled, torch.tensor(0.1), lambda group, value: value < 0.1 and group.update(lr=value))
    return "changed structure float32[] -> Python float 0.09: write into the tensor, lr.fill_(value)"


def setting(torch, compiled):
    _step(torch, compiled, torch.tensor(0.1), lambda group, value: group.update(betas=(value, 0.9)))
    return "optimizer.param_groups[0]['betas'][0] is a Python float that changed 0.1 -> 0.09: leave it between steps"


def structure(torch, compiled):
    f = compiled(lambda x, mask=None: x + 1 if mask is None else x * mask)
    f(torch.ones(2))
    f(torch.ones(2), torch.ones(2))
    return "mask changed structure None -> float32[2]: give mask in all calls or in none"


def structure_given(torch, compiled):
    f = compiled(lambda x, mask=None: x + 1 if mask is None else x * mask)
    f(torch.ones(2), torch.ones(2))
    f(torch.ones(2), torch.ones(2))


HINTS = (
    (shape, shape_dynamic),
    (shape, shape_marked),
    (size_one, size_one_padded),
    (number, number_as_tensor),
    (loop_bound, loop_bound_masked),
    (list_index, list_index_outside),
    (gradients, gradients_detached),
    (frozen, frozen_in_all),
    (parameters, parameters_dynamic),
    (read_value, read_value_kept),
    (counter, counter_buffer),
    (rate, rate_tensor),
    (rate_replaced, rate_tensor),
    (setting, rate_tensor),
    (structure, structure_given),
)


@pytest.mark.parametrize(("fault", "followed"), HINTS, ids=[followed.__name__ for _, followed in HINTS])
def test_a_hint_that_is_followed_ends_the_rebuilds(torch, compiled, fault, followed):
    recent = hasattr(torch._dynamo.config, "recompile_limit")
    if fault is frozen and not recent:
        pytest.skip("torch 2.4 builds graphs for each module")
    with watch() as ledger:
        hint = fault(torch, compiled)
    assert ledger.rebuilds > 0
    if recent:  # torch 2.4 tells less
        assert hint in ledger.explain()
    torch._dynamo.reset()
    with watch() as ledger:
        followed(torch, compiled)
    assert ledger.builds > 0
    assert ledger.rebuilds == 0, ledger.explain()
