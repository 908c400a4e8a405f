"""The exceptions and warnings of the plugin that are not pytest's or Python's own."""

from __future__ import annotations


class UnsupportedError(NotImplementedError):
    """A mode was asked for something its framework can't do; the message names the mode, the thing and the hint."""


class UnsupportedCheckError(UnsupportedError, AssertionError):
    """The verdict of a check on a mode that can't do what the check is about."""


class GraphmodeWarning(UserWarning):
    """Something that a test's author should know and that does not make the test fail."""


class PrecisionWarning(GraphmodeWarning):
    """A gradient could not be checked in float64, so larger errors than usual pass; the message says why."""
