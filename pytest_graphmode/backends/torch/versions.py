"""The versions of torch whose internals the event sources know; named when one of these is missing."""

from typing import Final

SUPPORTED: Final = "torch 2.4 to 2.15"
