"""Why JAX built again, in the words of the user's code, and what ends the rebuilds: each hint is done to the letter."""

import contextlib
import dataclasses
import enum
import functools

import numpy as np
import pytest

from pytest_graphmode import watch
from tests.backends.ledgers import changes, ledger_of, repeated, within

pytestmark = pytest.mark.usefixtures("jax")


class Config:
    def __init__(self, n):
        self.n = n


class Hashed(Config):
    """Has a hash and no equality, so that JAX takes each for another value."""

    def __hash__(self):
        return hash(self.n)


class Mode(enum.Enum):
    TRAIN = 1
    EVAL = 2


def first(x):
    return x


def second(x):
    return x


class Shape:
    """A class with a static part that it flattens itself."""

    def __init__(self, length, idx):
        self.length = length
        self.idx = idx


@pytest.fixture(scope="module")
def shape_class(jax):
    jax.tree_util.register_pytree_node(
        Shape,
        lambda shape: ((shape.length,), {"index": shape.idx}),
        lambda static, leaves: Shape(*leaves, static["index"]),
    )
    return Shape


# What changed, and what to do about it.

X = np.ones(2, "float32")
DOUBLE, SCALE, ADD = (lambda x: 2 * x), (lambda x, by: x * by), (lambda x, y: x + y)
STATIC, BY_STATIC = (lambda x, by: x * 2), {"static_argnums": 1}
TRAIN, BY_NAME = (lambda x, train=True: x if train else -x), {"static_argnames": "train"}
APPLY, BY_FUNCTION = (lambda fn, x: fn(x)), {"static_argnums": 0}
KEPT, ANEW = "keep one value, or allow one build for each", "made anew for another value: define it once, outside of"
BY_IDENTITY = "has no __eq__ and __hash__, so that JAX takes each object for another value"
DTYPE, TREE = "before every call with jax.numpy.asarray(value, dtype)", "with one structure in every call"


def call(*args, **kwargs):
    return args, kwargs


def anew():
    return lambda x: x


def total(batch):
    return sum(part.sum() for part in batch.values() if hasattr(part, "sum"))


# The function, the options of jax.jit, two calls; what the second says, and a part of the hint.
CHANGES = {
    "shape": (DOUBLE, {}, call(np.ones(3)), call(np.ones(4)), "x changed shape [3] -> [4]", "pad x to one size"),
    "rank": (DOUBLE, {}, call(X), call(X[:, None]), "x changed rank [2] -> [2, 1]", "reshape x, or use jax.vmap"),
    "dtype": (DOUBLE, {}, call(X), call(X.astype("int32")), "x changed dtype float32 -> int32", DTYPE),
    "weak": (ADD, {}, call(X, X[0]), call(X, 1.0), "y changed dtype float32 -> weak float32", DTYPE),
    "container": (lambda x: x[0], {}, call([X]), call((X,)), "x changed structure list -> tuple", TREE),
    "none": (lambda x: x[0], {}, call((X, None)), call((X, X)), "x[1] changed structure None -> float32[2]", TREE),
    "keys": (total, {}, call({"x": X}), call({"x": X, "mask": X}), "batch has a new element batch['mask']", TREE),
    "no key": (
        *(total, {}, call({"x": X, "mask": X}), call({"x": X, "mask": None})),
        *("batch['mask'] changed structure float32[2] -> None", TREE),
    ),
    "empty": (
        *(total, {}, call({"x": X}), call({"x": []})),
        *("batch['x'] changed structure float32[2] -> Python list []", TREE),
    ),
    "keyword": (
        *(ADD, {}, call(X, X), call(X, y=X), "y changed structure by position -> by keyword"),
        "pass y in one way, by position or by keyword, in every call",
    ),
    "rest": (lambda x, *xs: x + sum(xs), {}, call(X, X), call(X, X, X), "xs has a new element xs[1]", TREE),
    "mask": (
        *(lambda x, mask=None: x if mask is None else x * mask, {}, call(X), call(X, X)),
        *("mask changed structure None -> float32[2]", TREE),
    ),
    "left out": (
        *(TRAIN, BY_NAME, call(X), call(X, train=False)),
        *("train is a Python bool that changed True -> False", "train is static"),
    ),
    "default": (
        *(TRAIN, BY_NAME, call(X), call(X, train=True)),
        *("train changed structure left out -> by keyword", "pass train in one way"),
    ),
    "number": (
        *(STATIC, BY_STATIC, call(X, 1), call(X, 2), "by is a Python int that changed 1 -> 2"),
        "by is static (static_argnums, static_argnames), with a graph for each value: leave it out of them",
    ),
    "text": (STATIC, BY_STATIC, call(X, "a"), call(X, "b"), "by is a Python str that changed 'a' -> 'b'", KEPT),
    "tuple": (
        *(STATIC, BY_STATIC, call(X, (1, 2)), call(X, (1, 3))),
        *("by is a Python tuple that changed (1, 2) -> (1, 3)", KEPT),
    ),
    "member": (
        *(STATIC, BY_STATIC, call(X, Mode.TRAIN), call(X, Mode.EVAL)),
        *("by is a Python Mode that changed Mode.TRAIN -> Mode.EVAL", KEPT),
    ),
    "object": (
        *(STATIC, BY_STATIC, call(X, Config(2)), call(X, Config(2))),
        *("by is another Config object, made anew (Config(n=2))", f"Config {BY_IDENTITY}"),
    ),
    "another object": (
        *(STATIC, BY_STATIC, call(X, Config(2)), call(X, Config(3))),
        *("by is a Python Config that changed Config(n=2) -> Config(n=3)", f"Config {BY_IDENTITY}"),
    ),
    "hash alone": (
        *(STATIC, BY_STATIC, call(X, Hashed(2)), call(X, Hashed(2))),
        *("by is another Hashed object, made anew (Hashed(n=2))", f"Hashed {BY_IDENTITY}"),
    ),
    "function": (
        *(APPLY, BY_FUNCTION, call(first, X), call(second, X)),
        *("fn is a Python function that changed the function first -> the function second", KEPT),
    ),
    "lambda": (
        *(APPLY, BY_FUNCTION, call(anew(), X), call(anew(), X)),
        *("fn is another function object, made anew (the function <lambda>)", ANEW),
    ),
    "partial": (
        *(APPLY, BY_FUNCTION, *(call(functools.partial(SCALE, by=2), X) for _ in range(2))),
        *("fn is another partial object, made anew (the function <lambda>)", ANEW),
    ),
}


@pytest.mark.parametrize(("fn", "options", "before", "after", "what", "hint"), CHANGES.values(), ids=list(CHANGES))
def test_what_changed(jax, fn, options, before, after, what, hint):
    jax.clear_caches()
    function = jax.jit(fn, **options)
    with watch() as ledger:
        for args, kwargs in (before, after):
            function(*args, **kwargs)
    assert [cause.what for cause in ledger.events[-1].causes] == [what]
    assert hint in ledger.events[-1].cause.hint
    with watch() as ledger:
        for args, kwargs in (before, after, before):
            function(*args, **kwargs)
    assert ledger.builds == 0


def test_equal_objects_are_one_static_value(jax):
    function = jax.jit(STATIC, **BY_STATIC)
    cls = dataclasses.make_dataclass("Frozen", ["n"], frozen=True)
    assert ledger_of(function, (X, cls(2)), (X, cls(2))).builds == 1


def test_keys_of_two_kinds_and_of_two_generators(jax):
    draw = jax.jit(lambda key: jax.random.normal(key, (2,)))
    keys = (jax.random.PRNGKey(0), jax.random.key(0), jax.random.key(1), jax.random.key(0, impl="rbg"))
    ledger = ledger_of(draw, *keys)
    _, of_kind, of_generator = ledger.events
    assert str(of_kind.cause) == (
        "key changed structure uint32[2] -> key<fry>[]: make every key with jax.random.key, or every one with "
        "jax.random.PRNGKey"
    )
    assert of_generator.cause.hint == "make every key with one impl of jax.random.key"


def test_a_static_field(jax, jnp, shape_class):
    area = jax.jit(lambda shape: shape.length**2)
    ledger = ledger_of(area, *(shape_class(jnp.ones(()), idx) for idx in (1, 1, 2)))
    assert changes(ledger)[1] == [("python-value", "shape.idx", "1", "2")]
    assert ledger.events[1].signature == "shape.idx: 2, shape.length: float32[]"
    assert "shape.idx is a Python int that changed 1 -> 2: idx is a static field of Shape" in ledger.explain()
    assert "PyTreeDef" not in ledger.explain()


def test_a_static_field_that_became_data_is_no_cause(jax, jnp):
    @dataclasses.dataclass
    class Area:
        length: object
        idx: object

    jax.tree_util.register_dataclass(Area, data_fields=["length", "idx"], meta_fields=[])
    area = jax.jit(lambda shape: shape.length**2 * shape.idx)
    assert ledger_of(area, *(Area(jnp.ones(()), idx) for idx in (1, 2, 3))).builds == 1


def test_a_closed_over_value_and_what_to_do_about_it(jax, jnp):
    ledger = ledger_of(lambda rate: jax.jit(lambda x: x * rate)(jnp.ones(3)), 0.1, 0.2)
    assert ("closure", "rate", "0.1", "0.2") in changes(ledger)[1]
    assert ledger_of(jax.jit(lambda x, rate: x * rate), (jnp.ones(3), 0.1), (jnp.ones(3), 0.2)).builds == 1


# Loops and branches outside of jit.

CONSTRUCTS = {
    "scan": lambda jax: jax.lax.scan(lambda carry, x: (carry + x, carry), 0.0, jax.numpy.ones(4)),
    "while_loop": lambda jax: jax.lax.while_loop(lambda n: n < 3, lambda n: n + 1, 0),
    "fori_loop": lambda jax: jax.lax.fori_loop(0, 3, lambda i, x: x + i, 0),
    "fori_loop of arrays": lambda jax: jax.lax.fori_loop(0, jax.numpy.int32(3), lambda i, x: x + i, 0),
    "map": lambda jax: jax.lax.map(lambda x: x + 1, jax.numpy.ones(3)),
    "cond": lambda jax: jax.lax.cond(jax.numpy.array(True), lambda x: x + 1, lambda x: x + 2, 1.0),
    "switch": lambda jax: jax.lax.switch(jax.numpy.int32(1), [lambda x: x + 1, lambda x: x + 2, lambda x: x], 1.0),
}
FUNCTIONS = {"while_loop": 2, "cond": 2, "switch": 3}


@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_a_construct_outside_of_jit_with_new_functions(jax, construct):
    functions = FUNCTIONS.get(construct, 1)
    ledger = repeated(lambda: CONSTRUCTS[construct](jax))
    assert (ledger.builds, ledger.rebuilds) == (3 * functions, 2 * functions)
    name = construct.partition(" ")[0]
    assert {event.function for event in ledger.events} == {f"{name}(<lambda>)"}
    assert all("one function under jax.jit" in cause.hint for event in ledger.events for cause in event.causes)
    assert repeated(jax.jit(lambda: CONSTRUCTS[construct](jax))).builds == 1


def test_a_construct_with_its_functions_defined_once(jax, jnp):
    def body(carry, x):
        return carry + x, carry

    ledger = repeated(lambda: jax.lax.scan(body, 0.0, jnp.ones(4)))
    assert ledger.builds == 1
    assert [argument.name for argument in ledger.events[0].arguments] == ["carry", "x"]


def test_a_construct_whose_body_raises(jax, jnp):
    def body(carry, x):
        raise ValueError("no")

    with watch() as ledger, pytest.raises(ValueError, match="no"):
        jax.lax.scan(body, 0.0, jnp.ones(4))
    assert [event.failed for event in ledger.events] == [True]


def test_calls_are_unknown_and_not_none(jax, jnp):
    ledger = ledger_of(jax.jit(lambda x: x * 2), *[jnp.ones(3)] * 3)
    assert ledger.uncountable_calls == {("jax", "jit")}


def test_calls_of_the_handles_functions_are_known(jnp):
    from pytest_graphmode.backends.jax import Jax

    double = Jax().mode("jit", "cpu").function(lambda x: jnp.where(x > 0, x * 2, x))
    ledger = ledger_of(double, jnp.ones(3), jnp.ones(3))
    assert (ledger.builds >= 1, ledger.calls, ledger.uncountable_calls) == (True, 2, frozenset())


# Rarer ones.


STATE = (
    "jax.jit builds a graph for each configuration and context: set it once, before the first call, or enter it around "
    "every call"
)


def doubling(jax):
    return jax.jit(lambda x: x * 2)


def test_a_setting_that_is_set_once_or_around_every_call_ends_it(jax):
    def exact():
        return jax.default_matmul_precision("float32")

    x = jax.numpy.ones(2)
    double = doubling(jax)
    ledger = within(lambda: double(x), contextlib.nullcontext, exact)
    (cause,) = ledger.events[-1].causes
    assert (cause.kind, cause.hint) == ("global-state", STATE)
    assert "jax.config.jax_default_matmul_precision changed None -> 'float32'" in ledger.explain()
    double = doubling(jax)
    assert within(lambda: double(x), exact, exact, exact).rebuilds == 0
    double, kept = doubling(jax), jax.config.jax_default_matmul_precision
    jax.config.update("jax_default_matmul_precision", "float32")
    try:
        assert within(lambda: double(x), *[contextlib.nullcontext] * 3).rebuilds == 0
    finally:
        jax.config.update("jax_default_matmul_precision", kept)


def test_a_context_that_is_the_same_around_every_call_ends_it(jax):
    double, x = doubling(jax), jax.numpy.ones((2, 2))
    ledger = ledger_of(lambda axis: jax.vmap(double, axis_name=axis)(x), "rows", "columns")
    (cause,) = ledger.events[-1].causes
    assert (cause.what, cause.hint) == ("the context of jax.jit (a mesh, an axis, a context manager)", STATE)
    assert ledger_of(jax.vmap(doubling(jax), axis_name="rows"), x, x, x).builds == 1


@pytest.mark.parametrize("drop", ["all", "own"])
def test_caches_that_are_left_alone_end_it(jax, drop):
    double, x = doubling(jax), jax.numpy.ones(2)
    with watch() as ledger:
        double(x)
        jax.clear_caches() if drop == "all" else double.clear_cache()
        double(x)
    assert ledger.explain().partition("nothing it depends on changed")[2].rstrip() == (
        ", but the graph built before was not there: leave out jax.clear_caches() and clear_cache(), which drop the "
        "graphs there are"
    )
    assert ledger_of(doubling(jax), x, x).builds == 1


DEVICES = """
import jax, numpy as np
from pytest_graphmode import watch

devices, x = jax.devices(), np.ones(2, "float32")

def called(*scopes):
    double = jax.jit(lambda x: x * 2)
    with watch() as ledger:
        for scope in scopes:
            with jax.default_device(scope):
                double(x)
    return ledger

def test_the_default_device_set_around_every_call_ends_it():
    ledger = called(*devices)
    (cause,) = ledger.events[-1].causes
    assert (cause.kind, cause.argument) == ("global-state", "jax.config.jax_default_device")
    assert cause.hint.endswith("set it once, before the first call, or enter it around every call")
    assert called(devices[1], devices[1]).rebuilds == 0

def test_arrays_of_two_devices_share_a_graph():
    double = jax.jit(lambda x: x * 2)
    with watch() as ledger:
        for device in devices:
            double(jax.device_put(x, device))
    assert (len(devices), ledger.builds) == (2, 1)

def sharded(*parts):
    mesh = jax.make_mesh((2,), ("i",), axis_types=(jax.sharding.AxisType.Explicit,))
    double = jax.jit(lambda x: x * 2)
    with watch() as ledger:
        for part in parts:
            sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*part))
            double(jax.device_put(x, sharding))
    return ledger

def test_arrays_that_lie_one_way_on_a_mesh_end_it():
    (cause,) = sharded("i", "").events[-1].causes
    assert cause.what == "x changed layout ('i',) on a mesh (i: Explicit) -> (None,) on a mesh (i: Explicit)"
    assert cause.hint == "put x on one mesh in one way before every call, with jax.device_put(value, sharding)"
    assert sharded("i", "i").rebuilds == 0
"""


@pytest.mark.slow
def test_what_needs_two_devices(jax, run_tests, monkeypatch):
    if not hasattr(jax.sharding, "AxisType"):
        pytest.skip("this JAX has no shardings in types")
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    run_tests(DEVICES, fresh=True, passed=3)
