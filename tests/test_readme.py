"""What the README and the pages beside the examples show is what their files print when their commands are run."""

import importlib
import re
import shlex
import sys
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from pytest_graphmode.select.options import MARKER_NAMES

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "examples").glob("*.md")))
FRAMEWORKS = {"tf": "tensorflow", "torch": "torch", "jax": "jax"}
FIXTURES = ("graphmode", "graph_ledger")
_BLOCK = re.compile(r"^```(python|ini|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"# ([\w.]+\.(?:py|ini))\n")
_VARYING = (
    (re.compile(r"\b\d+(\.\d+)? (s|ms|us)\b"), "N s"),
    (re.compile(r"@(tensorflow|torch)-[\w.+]+"), r"@\1-N"),
    (re.compile(r"\(Python .*\)"), "(...)"),
    (re.compile(r"\s+"), " "),
)


@dataclass(frozen=True)
class Shown:
    """A block of commands: the files that its page has before it, each command's words, and the lines it prints."""

    page: Path
    files: dict[str, str]
    commands: list[tuple[list[str], list[str]]]

    @property
    def run(self) -> list[str]:
        """The code of the files that the commands name."""
        return [self.files[word] for words, _ in self.commands for word in words if word in self.files]

    @property
    def frameworks(self) -> list[str]:
        imported = [module for module in FRAMEWORKS.values() if any(f"import {module}" in code for code in self.run)]
        settings = [word for words, _ in self.commands for word in words] + self.files.get("pytest.ini", "").split("\n")
        chosen = [word.partition("=")[2] for word in settings if "backends" in word.partition("=")[0]]
        named = {backend.strip().partition(":")[0] for choice in chosen for backend in choice.split(",")}
        return imported + [module for name, module in FRAMEWORKS.items() if name in named]

    def __str__(self) -> str:
        return f"{self.page.stem}-{self.commands[0][0][-1].removesuffix('.py')}"


def shown() -> list[Shown]:
    found = []
    for page in PAGES:
        files: dict[str, str] = {}
        for kind, text in _BLOCK.findall(page.read_text()):
            if kind == "console":
                commands = [(shlex.split(line), lines) for line, *lines in map(str.splitlines, text.split("$ ")[1:])]
                found.append(Shown(page, dict(files), commands))
            elif named := _NAMED.match(text):
                files[named[1]] = text
    return found


def normal(line: str, folder: Path) -> str:
    line = line.replace(str(folder), "...")
    for pattern, replacement in _VARYING:
        line = pattern.sub(replacement, line)
    return line.strip()


def is_in(line: str, printed: str) -> bool:
    """Whether a line was printed, or a part of it that ends where its words and numbers do: `:1` is not in `:12`."""
    return re.search(rf"(?<!\w){re.escape(line)}(?!\w)", printed) is not None


def run(words: list[str], pytester: pytest.Pytester) -> pytest.RunResult:
    if "=" in words[0]:
        with pytest.MonkeyPatch.context() as changed:
            changed.setenv(*words[0].split("="))
            return run(words[1:], pytester)
    program, *arguments = words
    if program == "cp":
        return pytester.run(*words)
    if program != "pytest":
        return pytester.run(sys.executable, *arguments)
    arguments = ["-p", "no:cacheprovider", "--show-capture=no", *arguments]
    if any(word.startswith("--graph-logical-cpus") for word in arguments):  # too late where the framework is in use
        return pytester.runpytest_subprocess(*arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as in a process of its own; this suite takes them for errors
        return pytester.runpytest_inprocess(*arguments)


@pytest.fixture
def imported(request: pytest.FixtureRequest) -> None:
    """The example's frameworks, with what an in-process run would import, and forget that it did."""
    example: Shown = request.getfixturevalue("example")
    clock = ["time_machine"] if "(time-machine)" in str(example.commands) else []
    for module in [*example.frameworks, *clock]:
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    for module in example.frameworks:
        importlib.import_module("keras" if module == "tensorflow" else module)
    if "torch" in example.frameworks:
        request.getfixturevalue("dynamo").reset()


@pytest.mark.slow
@pytest.mark.parametrize("example", shown(), ids=str)
def test_output(example: Shown, imported: None, pytester: pytest.Pytester) -> None:
    for name, code in example.files.items():
        (pytester.path / name).write_text(code)
    for words, lines in example.commands:
        result = run(words, pytester)
        printed = iter([normal(line, pytester.path) for line in (*result.outlines, *result.errlines)])
        assert lines or words[0] == "cp", "the page shows no output"
        for line in lines:
            wanted = normal(line, pytester.path)
            assert any(is_in(wanted, found) for found in printed), f"not printed, or not in this order: {line}"


def test_all_are_found() -> None:
    pages = [example.page for example in shown()]
    assert pages.count(README) >= 5
    assert len(pages) >= 25


def test_a_number_is_shown_whole() -> None:
    assert is_in("called from test_x.py:12", "1 x: float32 called from test_x.py:12")
    assert not is_in("called from test_x.py:1", "1 x: float32 called from test_x.py:12")
    assert not is_in("2 passed", "12 passed in N s")


def test_the_tables_name_every_option_and_marker(pytester: pytest.Pytester) -> None:
    text = README.read_text()
    flags, keys = options(pytester)
    assert [flag for flag in flags if f"`{flag}" not in text] == []
    assert [key for key in keys if f"[`{key}`]" not in text] == []
    assert [name for name in MARKER_NAMES if f"`{name}(" not in text] == []
    assert [name for name in FIXTURES if f"| `{name}` |" not in text] == []


def test_every_option_marker_and_fixture_is_shown_with_its_output(pytester: pytest.Pytester) -> None:
    flags, keys = options(pytester)
    used = {word.partition("=")[0] for example in shown() for words, _ in example.commands for word in words}
    code = "\n".join(text for example in shown() for text in (*example.run, example.files.get("pytest.ini", "")))
    ini_only = [key for key in keys if f"--{key.replace('_', '-')}" not in flags]
    assert [flag for flag in flags if flag not in used] == [], (
        "show it in examples/options.md: a command, and what it prints"
    )
    assert [key for key in ini_only if f"\n{key} =" not in code] == []
    assert [name for name in MARKER_NAMES if f"@pytest.mark.{name}(" not in code and name != "graph_agree"] == []
    assert [name for name in FIXTURES if f"({name})" not in code] == []


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", page.read_text()):
            file = page.parent / target if target else page
            assert file.exists(), f"{page.name} links to {target}"
            if anchor:
                assert anchor in anchors(file), f"{page.name} links to {target}#{anchor}"


def anchors(page: Path) -> list[str]:
    """The headings of a page as GitHub makes anchors of them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def options(pytester: pytest.Pytester) -> tuple[list[str], list[str]]:
    """The flags and ini keys that `--help` tells of."""
    told = pytester.runpytest_inprocess("--help").stdout.str()
    flags, keys = re.findall(r"--graph-[a-z-]+", told), re.findall(r"^  (graph_\w+) \(", told, re.MULTILINE)
    assert len(flags) >= 7
    assert len(keys) >= 10
    return flags, keys
