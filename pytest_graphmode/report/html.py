"""The HTML report: one file that opens from disk without network, made from the JSON report alone.

Jinja2 makes the page and the table of all tests. The details of a test are compressed data, one block a test and a
graph, which the page's script unpacks when somebody opens the test: so a page of thousands of variants is small and
opens at once.
Called by `run/writing.py` at the end of a run with `--graph-html`, and by `python -m pytest_graphmode report`.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from pytest_graphmode.records import replacing
from pytest_graphmode.report import overview

Data = dict[str, Any]
CURE: Final = "the HTML report needs Jinja2: pip install 'pytest-graphmode[html]'"
# The numbers of all series that a page holds; where there are more, each series keeps every k-th step.
_MOST_NUMBERS: Final = 400_000
_HERE: Final = Path(__file__).parent
_LIBRARIES: Final = (("uPlot.LICENSE", "uPlot.iife.min.js"), ("dagre.LICENSE", "dagre.min.js"))
_SCRIPTS: Final = ("elements", "data", "table", "timeline", "builds", "series", "taps", "drawing", "detail", "main")


def installed() -> bool:
    return find_spec("jinja2") is not None


def write_page(file: Path, report: Data) -> None:
    replacing.write(file, page(report))


def page(report: Data) -> str:
    """The page of a report that is as its schema says, the same for the same report."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    loader = FileSystemLoader(_HERE / "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    environment.filters["duration"] = overview.duration
    script = _script()  # whose hash the page allows to run, beside what tools evaluate that drive a browser
    rendered: str = environment.get_template("report.html").render(
        **overview.of(report),
        chunks=_chunks(report),
        # Both are files of this package and its libraries; no text of a test is in them.
        style=Markup(_text("assets/uPlot.min.css") + _text("templates/style.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return rendered


def _script() -> str:
    """The libraries, and the page's own scripts as one, which share nothing with these but their names."""
    own = "\n".join(_text(f"templates/{name}.js") for name in _SCRIPTS)
    libraries = "\n".join(f"/*\n{_text(f'assets/{terms}')}*/\n{_text(f'assets/{code}')}" for terms, code in _LIBRARIES)
    return f'{libraries}\n(() => {{\n"use strict";\n{own}}})();\n'


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _chunks(report: Data) -> Iterator[tuple[str, str]]:
    """The blocks of data by their names. Base64 holds no character that could end a block."""
    every = _every(report)
    for index, test in enumerate(report["tests"]):
        yield f"test-{index}", _packed(_thinned(test, every))
    for index, graph in enumerate(report["graphs"]):
        yield f"graph-{index}", _packed(graph)


def _packed(data: Data) -> str:
    text = json.dumps(data, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def _every(report: Data) -> int:
    numbers = sum(
        len(series["values"])
        for test in report["tests"]
        for variant in test["variants"]
        for series in (*variant["series"], *variant["taps"])
    )
    return -(-numbers // _MOST_NUMBERS) or 1  # rounded up


def _thinned(test: Data, every: int) -> Data:
    variants = [
        {**variant, **{kind: [_thin(one, every) for one in variant[kind]] for kind in ("series", "taps")}}
        for variant in test["variants"]
    ]
    return {**test, "variants": variants}


def _thin(series: Data, every: int) -> Data:
    """A series with every k-th of its numbers, and with these as short as a plot needs them."""
    values = [float(f"{value:.7g}") if isinstance(value, float) else value for value in series["values"][::every]]
    return {**series, "every": series["every"] * every, "values": values}
