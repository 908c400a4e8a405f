"""What messages call things under torch.compile, and hints for what numbers are used for, each done to the letter."""

import enum
import functools

import pytest

from pytest_graphmode import watch
from tests.backends.ledgers import ledger_of
from tests.backends.variants import variants

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.usefixtures("torch")

ONES, TWELVE = torch.ones(2), torch.ones(12)


def said(function, *calls, **options):
    """What is said of a function that is compiled and called with each of some arguments, "" if it is built once."""
    ledger = ledger_of(torch.compile(function, backend="eager", **options), *calls)
    assert ledger.builds > 0
    return ledger.explain() if ledger.rebuilds else ""


def scale(x, n):
    return x * n


def scaled_by(n, x):
    return x * n


def logged(function):
    @functools.wraps(function)
    def call(*a, **k):
        return function(*a, **k)

    return call


def timed(method):
    @functools.wraps(method)
    def call(self, *args, **kwargs):
        return method(self, *args, **kwargs)

    return call


class Net(torch.nn.Module):
    @timed
    def forward(self, x, n=1.0):
        return x * n


@pytest.mark.parametrize(
    ("function", "call"),
    [(logged(scale), lambda f, n: f(ONES, n)), (Net(), lambda f, n: f(x=ONES, n=n))],
    ids=["function", "method"],
)
def test_an_argument_has_the_name_of_the_decorated_functions_parameter(compiled, function, call):
    f = compiled(function)
    assert "       n is a Python float that changed 2.0 -> 3.0" in ledger_of(lambda n: call(f, n), 2.0, 3.0).explain()


@pytest.mark.parametrize("made", [lambda n: functools.partial(scale, n=n), lambda n: functools.partial(scaled_by, n)])
def test_what_a_partial_holds_has_the_name_of_the_parameter(compiled, made):
    ledger = ledger_of(lambda n: compiled(made(n))(torch.ones(2)), 2, 3)
    assert "       n is a Python int that changed 2 -> 3: make it a tensor" in ledger.explain()


def test_an_attribute_of_a_callable_object_is_one_of_self(compiled):
    class Scale:
        def __init__(self, n):
            self.n = n

        def __call__(self, x):
            return x * self.n

    ledger = ledger_of(lambda n: compiled(Scale(n))(torch.ones(2)), 2, 3)
    assert "self.n is a Python int that changed 2 -> 3" in ledger.explain()


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch 2.13 does so itself
def test_an_argument_of_an_autograd_function_has_its_name_in_forward():
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, gradient):
            return 2 * ctx.saved_tensors[0] * gradient

    calls = [(torch.ones(size, requires_grad=True),) for size in (2, 3)]
    assert "x changed shape [2] -> [3]" in said(Square.apply, *calls, dynamic=False)


def test_a_numpy_array_is_called_by_its_name_and_can_not_be_marked_dynamic():
    np = pytest.importorskip("numpy")
    arrays = [(np.ones(2),), (np.ones(3),)]
    text = said(lambda a: np.sin(a) * 2, *arrays, dynamic=False)
    assert "a changed shape [2] -> [3]: torch.compile(dynamic=True), or accept one build per shape" in text
    assert "___from_numpy" not in text
    assert not said(lambda a: np.sin(a) * 3, *arrays, dynamic=True)


class Mode(enum.Enum):
    FAST = 1
    SLOW = 2


@pytest.mark.parametrize(
    ("function", "values", "words"),
    [
        (lambda x, v: x + (v is Mode.FAST), (Mode.FAST, Mode.SLOW), "Mode.FAST -> Mode.SLOW"),
        (lambda x, v: x.to(v), (torch.float64, torch.int32), "torch.float64 -> torch.int32"),
        (lambda x, v: v(x), (torch.relu, torch.tanh), "the function relu -> the function tanh"),
        (lambda x, v: x * ("a" in v), ({"a"}, {"b"}), "{'a'} -> {'b'}"),
        (lambda x, v: x * sum(v.values()), ({"a": 2}, {"b": 2}), "{'a': 2} -> {'b': 2}"),
        (lambda x, v: x * v, (2, 2.0), "2 -> 2.0"),
    ],
)
def test_values_are_said_as_users_write_them(function, values, words):
    text = said(function, *((ONES, value) for value in values))
    assert f"changed {words}" in text.replace("structure ", "")


def test_a_dict_that_grows_is_said_by_its_length():
    class Cache:
        def __init__(self):
            self.kept = {}

    def add(x, cache):
        cache.kept[len(cache.kept)] = x
        return sum(cache.kept.values())

    cache = Cache()
    text = said(add, *((torch.ones(2), cache) for _ in range(3)))
    assert "cache.kept changed structure length 0 -> length 1" in text


def test_another_rank_is_said_once():
    text = said(lambda x: x * 2, *((torch.ones(*[2] * rank),) for rank in (1, 2, 3)))
    assert text.count("x changed") == 2
    assert "x changed shape" not in text


# A size.


SPECIAL = "torch builds graphs of their own for sizes 0 and 1"


@pytest.mark.parametrize(
    ("function", "sizes", "dynamic", "words"),
    [
        (lambda x: x.sum() if x.shape[0] > 5 else x.mean(), (4, 6), True, "x.size()[0] <= 5 -> [6]: the code depends"),
        (lambda x: x * 2, (4, 1), True, SPECIAL),
        (lambda x: x * 2, (1, 4), None, f"x changed shape [1] -> [4]: {SPECIAL}"),
    ],
)
def test_dynamic_is_not_named_where_it_ends_nothing(function, sizes, dynamic, words):
    text = said(function, *map(torch.ones, sizes), dynamic=dynamic)
    assert words in text
    assert dynamic is None or "dynamic=True" not in text


def test_sizes_that_were_equal_at_first():
    calls = [(torch.ones(4), torch.ones(4)), (torch.ones(4), torch.ones(5))]
    text = said(lambda x, y: (x * 2, y * 3), *calls, dynamic=True)
    assert "torch.fx.experimental._config.use_duck_shape = False" in text
    torch._dynamo.reset()
    with pytest.importorskip("torch.fx.experimental._config").patch(use_duck_shape=False):
        assert not said(lambda x, y: (x * 2, y * 3), *calls, dynamic=True)


# What a number is used for.


@pytest.mark.parametrize(
    ("function", "values"),
    [
        (lambda x, n: x.topk(n).values, (2, 3, 4)),
        (lambda x, n: x.reshape(n), ((2, 6), (3, 4), (4, 3))),
        (lambda x, n: x[n] * 2, (slice(0, 2), slice(0, 3))),
        (lambda x, n: x[:n] * 2, (2, 3)),
    ],
)
def test_a_number_that_is_a_size_needs_dynamic(function, values):
    calls = [(TWELVE, value) for value in values]
    assert "torch.compile(dynamic=True), or accept one build per value" in said(function, *calls)
    torch._dynamo.reset()
    assert not said(function, *calls, dynamic=True)


def dropout(x, n):
    return torch.nn.functional.dropout(x, p=n)


@pytest.mark.parametrize(
    ("function", "values"),
    [
        (dropout, (0.1, 0.2)),
        (lambda x, n: x.add(x, alpha=n), (0.1, 0.2)),
        (lambda x, n: x.sum(n), (0, 1)),
    ],
)
def test_pass_a_tensor_is_not_said_where_the_operator_takes_none(function, values):
    text = said(function, *((torch.ones(2, 2), value) for value in values))
    assert "keep it the same, for torch takes no tensor there" in text


def test_a_setting_of_a_layer_of_torchs_own_is_to_be_kept():
    layers = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.1))
    compiled = torch.compile(layers, backend="eager")
    with watch() as ledger:
        compiled(torch.ones(1, 2))
        layers[1].p = 0.2
        compiled(torch.ones(1, 2))
    assert "[1].p is a Python float that changed 0.1 -> 0.2: keep it the same" in ledger.explain()


# By object.


@variants("torch:compile")
def test_the_handle_that_a_function_closes_over_is_no_argument(graphmode):
    xp = graphmode.xp

    class Handle:
        def __init__(self):
            self.factor = 2.0

    mine = Handle()

    def scale(x):
        return xp.sum(graphmode.tensor([1.0]) * x) * mine.factor

    scale = graphmode.function(scale)
    scale(graphmode.tensor([1.0, 2.0]))
    (build,) = graphmode.ledger.events
    assert build.signature == "x: float32[2], mine: <Handle>"
    mine.factor = 3.0
    scale(graphmode.tensor([1.0, 2.0]))
    assert "mine.factor is a Python float that changed 2.0 -> 3.0" in graphmode.explain()


@variants("torch:compile")
def test_a_handle_that_a_function_is_given_is_an_argument(graphmode):
    def scale(x, handle):
        return handle.tensor([1.0]) * x

    graphmode.function(scale)(graphmode.tensor([1.0, 2.0]), graphmode)
    (build,) = graphmode.ledger.events
    assert build.signature == "x: float32[2], handle: <Handle>"
