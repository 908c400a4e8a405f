"""The exceptions and warnings of the plugin that are not pytest's or Python's own."""

from __future__ import annotations


def no_attribute(owner: object, name: str, called: str) -> AttributeError:
    """What to raise in `__getattr__`; what a property of that name raised itself is raised again.

    Args:
        called: what the owner is called in a test.
    """
    from difflib import get_close_matches

    found = getattr(type(owner), name, None)
    if isinstance(found, property):
        found.__get__(owner)
    near = get_close_matches(name, [known for known in dir(type(owner)) if not known.startswith("_")])
    hint = f"did you mean {called}.{near[0]}?" if near else f"see help(pytest_graphmode.{type(owner).__name__})"
    return AttributeError(f"{called} has no attribute {name!r}: {hint}", name=name, obj=owner)


class UnsupportedError(NotImplementedError):
    """A mode was asked for something its framework can't do; the message names the mode, the thing and the hint."""


class UnsupportedCheckError(UnsupportedError, AssertionError):
    """The verdict of a check on a mode that can't do what the check is about."""


class GraphmodeWarning(UserWarning):
    """Something that a test's author should know and that does not make the test fail."""


class PrecisionWarning(GraphmodeWarning):
    """A gradient could not be checked in float64, so larger errors than usual pass; the message says why."""
