"""Keeps what reports tell from breaking the run that they tell of; called by `telling.py` and the agreement item."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def guarded(item: pytest.Item, what: str, *, unless: type[Exception] | tuple[()] = ()) -> Iterator[list[str]]:
    """Go on where an error comes up, with a warning at the item; yields a list that its text is put into too.

    Args:
        unless: the errors that are no fault of the plugin's, and go through.
    """
    said: list[str] = []
    try:
        yield said
    except unless:
        raise
    except Exception as error:
        said.append(f"{what} left out, since reading it failed ({type(error).__name__}: {error})")
        with warnings.catch_warnings():
            warnings.simplefilter("always")  # an error here would end the whole run
            item.warn(pytest.PytestWarning(f"pytest-graphmode: {said[0]}: a fault of the plugin, please report it"))
