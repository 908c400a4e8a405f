"""What is otherwise for a block only."""

from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace

import pytest

from pytest_graphmode.backends.patching import changed, pushed


def test_attributes_and_lists_are_what_they_were_after_an_error():
    owner, entries = SimpleNamespace(dtype="float32", depth=1), [1]
    with suppress(KeyError), changed(owner, dtype="float64"), pushed(entries, 2) as entry:
        assert (owner.dtype, owner.depth, entries, entry) == ("float64", 1, [1, 2], 2)
        raise KeyError
    assert (owner.dtype, entries) == ("float32", [1])


def test_what_is_not_there_is_not_made():
    owner = SimpleNamespace(dtype="float32")
    with pytest.raises(AttributeError, match="dtpye"), changed(owner, dtype="float64", dtpye="float16"):
        pass
    assert vars(owner) == {"dtype": "float32"}
