import functools
import gc
import os
import sys
import types
import weakref

import numpy as np
import pytest

from pytest_graphmode.ledger import identity
from pytest_graphmode.ledger.closure import Tokens


def twice(x):
    return 2 * x


def scaled(factor):
    def scale(x):
        return factor * x

    return scale


class Model:
    def __init__(self, units=1):
        self.units = units

    def step(self, x):
        return x * self.units

    def __call__(self, x):
        return x


class Wider(Model):
    pass


def same(first, second):
    return identity.of(first).same(identity.of(second))


def same_object(first, second):
    return identity.of(first).same_object(identity.of(second))


def test_name_file_and_line_are_those_of_the_user():
    found = identity.of(twice)
    assert (found.name, found.location) == ("twice", f"tests/ledger/test_identity.py:{twice.__code__.co_firstlineno}")
    assert not found.library


def test_the_name_leaves_out_the_functions_around():
    assert identity.of(scaled(2)).name == "scale"
    assert identity.of(Model().step).name == "Model.step"


VALUES = [
    (2, 2),
    (2, 3),
    (1, 1.0),
    (1, None),
    ("a", "b"),
    ([1, {"a": (2, 3)}], [1, {"a": (2, 4)}]),
    (np.ones(2), np.ones(3)),
]


@pytest.mark.parametrize(("first", "second"), VALUES)
def test_values_that_are_closed_over_tell_objects_apart_and_no_functions(first, second):
    assert same(scaled(first), scaled(second))
    equal = not isinstance(first, np.ndarray) and first == second and type(first) is type(second)
    assert same_object(scaled(first), scaled(second)) is equal


def test_objects_that_are_closed_over_go_by_their_class():
    model = Model()
    assert same(scaled(model), scaled(Model(3)))
    assert not same(scaled(model), scaled(Wider()))
    assert same_object(scaled(model), scaled(model))
    assert not same_object(scaled(model), scaled(Model()))


def test_classes_and_functions_that_are_closed_over_go_by_what_they_are():
    assert not same(scaled(Model), scaled(Wider))
    assert same(scaled(Model), scaled(Model))
    assert same(scaled(scaled(2)), scaled(scaled(3)))
    assert not same(scaled(twice), scaled(scaled(2)))
    assert not same(scaled([twice]), scaled([scaled(2)]))
    assert not same(scaled(functools.partial(twice)), scaled(functools.partial(scaled(2))))
    assert not same(scaled(Model().step), scaled(Model().__call__))


def test_an_object_that_raises_when_it_is_looked_at_tells_nothing():
    class Shy:
        def __getattr__(self, name):
            raise RuntimeError("no")

        def __repr__(self):
            raise RuntimeError("no")

        @property
        def shape(self):
            raise RuntimeError("no")

        dtype = shape

    assert same(scaled(Shy()), scaled(Shy()))
    assert identity.of(scaled(Shy())).contents[0].text == "<Shy>"
    assert same(scaled([Shy()]), scaled([Shy()]))


def by_nonlocal():
    traces = 0

    def define():
        def f(x):
            nonlocal traces
            traces += 1

        return f

    return define


def by_list():
    traces = []
    return lambda: lambda x: traces.append(x)


def by_dict():
    counts = {"n": 0}
    return lambda: lambda x: counts.update(n=counts["n"] + 1)


def by_logger():
    log = [].append
    return lambda: lambda x: log(x)


@pytest.mark.parametrize("counting", [by_nonlocal, by_list, by_dict, by_logger])
def test_a_count_of_traces_does_not_make_a_function_another(counting):
    define, found = counting(), []
    for _ in range(3):
        function = define()
        found.append(identity.of(function))
        function(1)
    assert found[0].same(found[1])
    assert found[1].same(found[2])


def test_containers_that_a_function_only_reads_tell_objects_apart_at_one_address():
    found = []
    for units in (8, 16, 8):
        config = {"units": units}

        def f(x):
            return x * config["units"]  # noqa: B023

        found.append(identity.of(f))
        config = None  # so that the next is made at the same address
    first, second, third = found
    assert first.same(second)
    assert not first.same_object(second)
    assert first.same_object(third)


def test_a_function_object_is_known_again_whatever_it_closes_over_by_now():
    state = [1]

    def f(x):
        return state[0] * x

    before = identity.of(f)
    state = [2]
    assert before.contents != identity.of(f).contents
    assert before.same_object(identity.of(f))


def test_a_name_that_is_not_bound_yet_tells_nothing():
    def define():
        def f(x):
            return later(x)

        found = identity.of(f)
        later = f
        return found

    assert define().same(define())


def test_two_lambdas_on_one_line_are_two_functions():
    first, second = lambda x: x + 1, lambda x: x + 2
    assert not same(first, second)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 keeps no columns, so equal lambdas look the same")
def test_two_equal_lambdas_on_one_line_are_two_functions():
    first, second = lambda x: x, lambda x: x
    assert not same(first, second)


def test_methods_go_by_the_class_they_are_bound_to():
    model, other = Model(), Model()
    assert same(model.step, other.step)
    assert not same(model.step, Wider().step)
    assert not same(model.step, Model.step)
    assert same_object(model.step, model.step)
    assert not same_object(model.step, other.step)


def test_a_method_of_an_object_made_again_at_one_address_is_of_another_object():
    found = [identity.of(Model().step) for _ in range(20)]
    assert all(found[0].same(other) for other in found[1:])
    assert not any(found[0].same_object(other) for other in found[1:])


def test_callable_objects_go_by_their_class():
    model = Model()
    assert same(model, Model())
    assert not same(model, Wider())
    assert not same_object(model, Model())
    assert identity.of(model).name == "Model.__call__"


def test_an_object_is_found_by_the_method_its_user_wrote(monkeypatch):
    class Base:
        def __call__(self, x):
            return self.forward(x)

    monkeypatch.setattr(Base.__call__, "__code__", Base.__call__.__code__.replace(co_filename="<string>"))

    class Net(Base):
        def forward(self, x):
            return x

    class Plain(Base):
        pass

    class Working(Base):
        def forward(self, x):
            return x

    monkeypatch.setattr(Working.forward, "__code__", Working.forward.__code__.replace(co_filename="<string>"))
    net, plain, other = Net(), Plain(), Plain()
    assert identity.of(net).line == Net.forward.__code__.co_firstlineno
    assert identity.of(plain).name.endswith("Plain")
    assert identity.of(Working()).name.endswith("Working.forward")
    assert identity.of(plain).library
    assert same(plain, other)
    assert not same_object(plain, other)


def test_partials_are_looked_through_and_go_by_their_arguments():
    def partial(*args, **kwargs):
        return functools.partial(scaled(1), *args, **kwargs)

    assert identity.of(partial(1)).name == "scale"
    assert same(partial(1), partial(2))
    assert same(partial(x=1), partial(1))
    assert same_object(partial(1), partial(1))
    assert not same_object(partial(1), partial(2))
    assert not same(functools.partial(scaled(1), twice), functools.partial(scaled(1), len))
    assert [(one.name, one.text) for one in identity.of(functools.partial(pow, 2, exp=3)).contents] == [
        ("base", "2"),
        ("exp", "3"),
    ]


def doubling(fn):
    @functools.wraps(fn)
    def inner(*args):
        return 2 * fn(*args)

    return inner


def multiplying(factor):
    def decorate(fn):
        @functools.wraps(fn)
        def inner(*args):
            return factor * fn(*args)

        return inner

    return decorate


def test_wrappers_go_by_themselves_and_by_what_they_wrap():
    assert identity.of(doubling(twice)).location == identity.of(twice).location
    assert same(doubling(twice), doubling(twice))
    assert not same(doubling(twice), twice)
    assert not same(doubling(twice), doubling(doubling(twice)))
    assert not same(doubling(twice), doubling(scaled(2)))
    assert same(doubling(scaled(1)), doubling(scaled(2)))
    assert same(multiplying(2)(twice), multiplying(3)(twice))
    assert not same_object(multiplying(2)(twice), multiplying(3)(twice))


def tripling(fn):
    def inner(*args):
        return 3 * fn(*args)

    return inner


def renaming(fn):
    inner = tripling(fn)
    inner.__qualname__ = fn.__qualname__
    return inner


def test_another_function_given_to_a_decorator_is_another_function():
    assert same(tripling(twice), tripling(twice))
    assert not same(tripling(twice), tripling(scaled(2)))
    assert identity.of(tripling(twice)).name == "inner"


def test_a_qualname_that_was_set_on_purpose_belongs_to_the_function():
    first, second = tripling(len), tripling(len)
    assert same(first, second)
    second.__qualname__ = "Layer.forward"
    assert not same(first, second)
    assert identity.of(second).name == "Layer.forward"
    assert identity.of(renaming(twice)).name == "twice"


def test_a_wrapper_of_the_plugin_stands_for_the_users_function():
    def compute(*args):
        return twice(*args)

    assert identity.of(identity.subject(compute, twice)).name == "twice"
    assert same(identity.subject(compute, twice), twice)


def test_the_gradient_of_a_function_is_another_function():
    gradient = identity.subject(lambda *args: None, twice, "grad")
    second = identity.subject(lambda *args: None, gradient, "grad")
    assert identity.of(gradient).name == "grad(twice)"
    assert identity.of(second).name == "grad(grad(twice))"
    assert not same(gradient, twice)
    assert not same(second, gradient)


def library_function():
    code = twice.__code__.replace(co_filename=f"{os.path.dirname(functools.__file__)}/library.py")
    return types.FunctionType(code, {})


def test_functions_of_libraries_are_told_apart_like_the_users():
    first, second = library_function(), library_function()
    assert identity.of(first).library
    assert same(first, second)
    assert same(types.MethodType(first, Model()), types.MethodType(second, Model()))
    assert not same(types.MethodType(first, Model()), types.MethodType(second, Wider()))


def test_tokens_are_never_used_twice():
    seen = set()
    for _ in range(50):
        made = Model()
        number = identity.token(made)
        assert identity.token(made) == number
        assert number not in seen
        seen.add(number)
        del made


def test_tokens_forget_objects_that_are_gone():
    tokens = Tokens()
    kept = [Model() for _ in range(10)]
    assert len({tokens(one) for one in kept}) == 10
    assert len(tokens._numbers) == 10
    kept = None
    gc.collect()
    for _ in range(2000):  # each dies at once
        tokens(Model())
    assert len(tokens._numbers) < 1100


def test_an_identity_keeps_nothing_alive():
    model, function = Model(), scaled(Model())
    references = [weakref.ref(model), weakref.ref(function)]
    kept = [identity.of(model.step), identity.of(function), identity.of(scaled(model), owner=model)]
    del model, function
    gc.collect()
    assert kept
    assert [reference() for reference in references] == [None, None]
