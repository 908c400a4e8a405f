"""The exceptions and warnings of the plugin that are not pytest's or Python's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NoReturn


class SuggestsNames:
    """An object whose missing attributes raise an error with the nearest name; `_called` is its own name in tests."""

    _called: ClassVar[str]

    if not TYPE_CHECKING:  # else every name would be known to type checkers

        def __getattr__(self, name: str) -> NoReturn:
            __tracebackhide__ = True
            from difflib import get_close_matches

            found = getattr(type(self), name, None)
            if isinstance(found, property):
                found.__get__(self)  # raises again what the property raised itself
            if name.startswith("__"):  # asked of any object, by the plugin and by frameworks, in every test
                raise AttributeError(name)
            near = get_close_matches(name, [known for known in dir(type(self)) if not known.startswith("_")])
            called = self._called
            hint = f"did you mean {called}.{near[0]}?" if near else f"see help(pytest_graphmode.{type(self).__name__})"
            # Without the object: Python 3.12 would add the nearest name once more.
            raise AttributeError(f"{called} has no attribute {name!r}: {hint}", name=name)


class UnsupportedError(NotImplementedError):
    """A mode was asked for something its framework can't do; the message names the mode, the thing and the hint."""


class UnsupportedCheckError(UnsupportedError, AssertionError):
    """The verdict of a check on a mode that can't do what the check is about."""


class GraphmodeWarning(UserWarning):
    """Something that a test's author should know and that does not make the test fail."""


class PrecisionWarning(GraphmodeWarning):
    """A gradient could not be checked in float64, so larger errors than usual pass; the message says why."""
