"""Where a record comes from: the test and its source, what it ran as, and the environment."""

from __future__ import annotations

import ast
import hashlib
import inspect
import io
import platform
import re
import sys
import textwrap
import tokenize
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Origin:
    """Where a record comes from.

    Attributes:
        test: the test's id without its variant.
        variant, backend, mode, device, dtype: what the test ran as.
        label: the environment's name.
        framework, python, platform: of the environment, for people.
        seed: that of `--graph-seed`.
        source: a hash of the test's source, None where it has none that could be read.
    """

    test: str
    variant: str
    backend: str
    mode: str
    device: str
    dtype: str
    label: str
    framework: str
    python: str
    platform: str
    seed: int
    source: str | None

    @property
    def name(self) -> str:
        """`tf-graph-cpu@tensorflow-2.21.0`."""
        return f"{self.variant}@{self.label}"


def environment() -> dict[str, str]:
    """Python and the machine, as far as values could depend on them."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"python": version, "platform": f"{sys.platform}-{platform.machine()}"}


def source_hash(function: Callable[..., Any]) -> str | None:
    """A hash of a function's source, the same wherever it stands; None where it has none that could be read.

    Comments and empty lines are no part of it, nor are the plugin's own marks: a wider tolerance makes no other values.
    Of text rather than of a syntax tree or compiled code, which is another one under the next version of Python.
    """
    try:
        text = textwrap.dedent(inspect.getsource(function))
        marks = _own_marks(text)
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        comments = dict(token.start for token in tokens if token.type == tokenize.COMMENT)  # where one begins, by line
    except (OSError, TypeError, SyntaxError, ValueError, tokenize.TokenError):
        return None
    lines = enumerate(text.split("\n"), 1)
    kept = [line[: comments.get(number)].rstrip() for number, line in lines if number not in marks]
    kept = [line for line in kept if line]
    return hashlib.sha256("\n".join(kept).encode(errors="surrogatepass")).hexdigest()


def _own_marks(text: str) -> set[int]:
    (definition, *_) = ast.parse(text).body
    return {
        number
        for decorator in getattr(definition, "decorator_list", [])
        if re.search(r"\bmark\s*\.\s*graph(mode|_\w+)\b", ast.get_source_segment(text, decorator) or "")
        for number in range(decorator.lineno, (decorator.end_lineno or decorator.lineno) + 1)
    }
