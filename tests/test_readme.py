"""The README's tests print what the README says they print."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_graphmode.select.options import MARKER_NAMES

README = Path(__file__).parents[1] / "README.md"
_BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VARYING = (
    (re.compile(r"in \d+\.\d\d s"), "in N s"),
    (re.compile(r"@(tensorflow|torch)-[\w.+]+"), r"@\1-N"),
    (re.compile(r"\(Python .*\)"), "(...)"),
    (re.compile(r"\s+"), " "),
)
FRAMEWORKS = {"tf": "tensorflow", "torch": "torch"}


@dataclass(frozen=True)
class Shown:
    """A test of the README, and what it is run with: each command's words, and the lines it prints."""

    name: str
    code: str
    commands: list[tuple[list[str], list[str]]]

    @property
    def frameworks(self) -> list[str]:
        imported = [module for module in FRAMEWORKS.values() if f"import {module}" in self.code]
        arguments = [word for words, _ in self.commands for word in words if "backends=" in word]
        return imported + [FRAMEWORKS[name] for argument in arguments for name in _backends(argument)]


def _backends(argument: str) -> list[str]:
    return argument.partition("=")[2].split(",")


def shown() -> list[Shown]:
    found, code = [], ""
    for kind, text in _BLOCK.findall(README.read_text()):
        if kind == "python":
            code = text
            continue
        commands = [(line.split(), lines) for line, *lines in map(str.splitlines, text.split("$ ")[1:])]
        file = commands[0][0][-1]
        assert code.startswith(f"# {file}\n"), f"the block before `{text}` is not {file}"
        found.append(Shown(file.removesuffix(".py"), code, commands))
    return found


def normal(line: str) -> str:
    for pattern, replacement in _VARYING:
        line = pattern.sub(replacement, line)
    return line.strip()


@pytest.fixture
def imported(example: Shown, request: pytest.FixtureRequest) -> None:
    """What the example needs, before pytester begins: a run in this process forgets what it imported itself."""
    clock = "(time-machine)" in str(example.commands)
    needed = {"tensorflow": "keras", "torch": "torch"}
    for module in [*example.frameworks, *(needed[name] for name in example.frameworks), *["time_machine"][:clock]]:
        pytest.importorskip(module)
    if "torch" in example.frameworks:
        request.getfixturevalue("dynamo")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's own (2.13)
@pytest.mark.parametrize("example", shown(), ids=lambda example: example.name)
def test_output(example: Shown, imported: None, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(**{example.name: example.code})
    for (program, *arguments), lines in example.commands:
        if program == "pytest":
            result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--show-capture=no", *arguments)
        else:
            result = pytester.run(sys.executable, *arguments)
        printed = iter([normal(line) for line in result.outlines])
        assert lines, "the README shows no output"
        for line in lines:
            assert any(normal(line) in found for found in printed), f"not printed, or not in this order: {line}"


def test_all_are_found() -> None:
    assert len(shown()) >= 6


def test_the_tables_name_every_option_and_marker(pytester: pytest.Pytester) -> None:
    text = README.read_text()
    told = pytester.runpytest_inprocess("--help").stdout.str()
    flags, keys = re.findall(r"--graph-[a-z-]+", told), re.findall(r"^  (graph_\w+) \(", told, re.MULTILINE)
    assert len(flags) >= 7
    assert len(keys) >= 10
    assert [flag for flag in flags if f"`{flag}" not in text] == []
    assert [key for key in keys if f"[`{key}`]" not in text] == []
    assert [name for name in MARKER_NAMES if f"`{name}(" not in text] == []
