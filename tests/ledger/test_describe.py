"""How values read in messages: each kind of value, and what would take long or run the user's code."""

import enum
import functools
from collections import namedtuple

import numpy as np
import pytest

from pytest_graphmode.ledger import describe


class Mode(enum.Enum):
    TRAIN = 1


class Config:
    def __init__(self, n):
        self.n = n

    def step(self):
        """Something to bind."""


class Slotted:
    __slots__ = ("left", "right")

    def __init__(self, left):
        self.left = left


class Spoken(Config):
    def __repr__(self):
        return f"Spoken at\n  {self.n}"


class Silent:
    def __repr__(self):
        raise ValueError("no words")


def double(x):
    return 2 * x


def wrapped():
    @functools.lru_cache
    def once(x):
        return x

    return once


Pair = namedtuple("Pair", "first second")
OUTER = Config({"inner": Config(Config(1))})


@pytest.mark.parametrize(
    ("value", "text", "in_full"),
    [
        (1.5, "1.5", "1.5"),
        ("a", "'a'", "'a'"),
        (Mode.TRAIN, "Mode.TRAIN", "Mode.TRAIN"),
        (np.ones((2, 3), "float32"), "float32[2, 3]", "float32[2, 3]"),
        ([np.ones(2), 1], "[float64[2], 1]", "[float64[2], 1]"),
        ((1,), "(1,)", "(1,)"),
        ({"a": {2}}, "{'a': {2}}", "{'a': {2}}"),
        (Pair(1, 2), "(1, 2)", "Pair(first=1, second=2)"),
        (double, "double", "the function double"),
        (Config(1).step, "Config.step", "the function Config.step"),
        (functools.partial(double, 1), "double", "the function double"),
        (wrapped(), "once", "the function once"),
        (Config, "Config", "the class Config"),
        (Config(2), "<Config>", "Config(n=2)"),
        (Slotted(double), "<Slotted>", "Slotted(left=double)"),
        (Spoken(1), "<Spoken>", "Spoken at 1"),
        (Silent(), "<Silent>", "<Silent>"),
        (Config(Silent()), "<Config>", "<Config>"),
        (OUTER, "<Config>", "Config(n={'inner': <Config>})"),
        (list(range(30)), "<list>", "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16..."),
    ],
)
def test_each_kind_of_value(value, text, in_full):
    assert (describe.text(value), describe.in_full(value)) == (text, in_full)


def test_an_object_that_holds_itself_and_much_more_has_an_end():
    endless = Config(1)
    endless.n = [endless] * 20
    for number in range(20):
        setattr(endless, f"more{number}", endless)
    assert len(describe.in_full(endless)) <= 60


def test_leaves_of_arguments():
    assert describe.leaf(np.int32(1)) == "int32[]"
    assert describe.leaf(2.0) == "the Python float 2.0"
    assert describe.dimensions((None, 3)) == "[None, 3]"
    assert describe.dimensions(None) == "[?]"
