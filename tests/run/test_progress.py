"""The live line of a long test: on a terminal alone, below what pytest writes, which it leaves as it is."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from pytest_graphmode.ledger import identity
from pytest_graphmode.ledger.builds import BuildReport
from pytest_graphmode.ledger.recorder import Recorder
from pytest_graphmode.run import progress
from tests.project import Project

pty = pytest.importorskip("pty")  # none on Windows

SUITE = """
    import time

    def test_quick(graphmode):
        graphmode.function(abs)(-1)

    def test_loop(graphmode):
        f = graphmode.function(abs)
        for value in (1, 2.0, 3):
            f(value)
        print("captured")
        time.sleep(0.6)
        assert graphmode.mode == "eager", "as planned"

    def test_after(graphmode):
        graphmode.function(abs)(-1)
"""
CONFTEST = """

    from pytest_graphmode.run import progress

    progress.DELAY, progress.INTERVAL = 0.3, 0.1
"""
SHOWN = re.compile("\x1bD\x1bM\x1b7\x1b\\[1B\r\x1b\\[2K(.*?)\x1b8")
ERASED = "\x1b7\x1b[1B\r\x1b[2K\x1b8"


def on_a_terminal(toy: Project, *options: str, **environment: str) -> tuple[list[str], str]:
    """The lines shown, and all else that pytest wrote, in the order of time."""
    text = written_to_a_terminal(toy, SUITE, *options, **environment)
    lines = SHOWN.findall(text)
    if lines:
        last = max(match.end() for match in SHOWN.finditer(text))
        assert ERASED in text[last:]
    return lines, SHOWN.sub("", text).replace(ERASED, "")


def written_to_a_terminal(toy: Project, suite: str, *options: str, **environment: str) -> str:
    conftest = toy.path / "conftest.py"
    if "progress" not in conftest.read_text(encoding="utf-8"):
        conftest.write_text(conftest.read_text(encoding="utf-8") + CONFTEST.replace("\n    ", "\n"), encoding="utf-8")
    toy.write(suite, "test_suite")
    ours, theirs = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "GITHUB_ACTIONS")}
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "--color=no", "--graph-backends=toy:eager+graph", *options],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=toy.path,
        env={**kept, "TERM": "xterm", "COLUMNS": "80", **environment},
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux says so where others give nothing
            break
        if not part:
            break
        written += part
    os.close(ours)
    run.wait()
    return written.decode()


def timeless(text: str) -> str:
    """From where tests run, and without what differs between any two runs."""
    text = text.rpartition("collected ")[2]
    return re.sub(r"\d+\.\d+ ?s\b|0x[0-9a-f]+", "T", text)


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("-v",)])
def test_a_long_test_says_how_it_gets_on_and_leaves_pytests_output_alone(
    toy: Project, options: tuple[str, ...]
) -> None:
    lines, written = on_a_terminal(toy, *options)
    for mode in ("eager", "graph"):
        assert any(line.startswith(f"test_loop[toy-{mode}-cpu]: ") for line in lines)
    (first, *_) = (line for line in lines if "loop[toy-graph" in line)
    assert re.fullmatch(r"test_loop\[toy-graph-cpu\]: \d+ s, 2 builds, 3 calls, \S+ a second", first)
    none, plainly = on_a_terminal(toy, *options, "--graph-progress=off")
    assert none == []
    assert timeless(written) == timeless(plainly)
    assert "as planned" in written


@pytest.mark.slow
def test_the_line_is_away_while_a_test_writes_to_the_terminal(toy: Project) -> None:
    suite = """
        import time

        def test_loop(graphmode, capsys):
            graphmode.mode
            time.sleep(0.5)
            with capsys.disabled():
                print("said")
                time.sleep(0.3)
                print("more")
            time.sleep(0.3)
        """
    text = written_to_a_terminal(toy, suite, "-k", "eager")
    before, _, after = text.partition("said")
    between, _, after = after.partition("more")
    assert before.endswith(ERASED)
    assert between.strip() == ""
    assert SHOWN.search(before)
    assert SHOWN.search(after)


@pytest.mark.slow
def test_no_line_in_the_log_of_a_job(toy: Project) -> None:
    lines, written = on_a_terminal(toy, "-k", "loop and eager", CI="true")
    assert lines == []
    assert "1 passed" in written


@pytest.mark.parametrize(
    ("options", "environment", "shown"),
    [
        ("", {}, True),
        ("-vv --capture=sys", {}, True),
        ("-q", {}, False),
        ("-s", {}, False),
        ("--capture=tee-sys", {}, False),
        ("--log-cli-level=info", {}, False),
        ("-o log_cli=true", {}, False),
        ("--pdb", {}, False),
        ("--trace", {}, False),
        ("--graph-progress=off", {}, False),
        ("-o graph_progress=off", {}, False),
        ("", {"CI": "true"}, False),
        ("", {"CI": "false"}, True),
        ("", {"CI": "0"}, True),
        ("", {"TERM": "dumb"}, False),
        pytest.param("--dist=load --tx=popen", {}, False, id="workers"),
        pytest.param("--dist=loadscope", {}, True, id="no workers"),
    ],
)
def test_no_line_where_nobody_looks_or_the_test_itself_writes(
    toy: Project, monkeypatch: pytest.MonkeyPatch, options: str, environment: dict[str, str], shown: bool
) -> None:
    if "dist" in options:
        pytest.importorskip("xdist")
    monkeypatch.delenv("CI", raising=False)
    for name, value in ({"TERM": "xterm"} | environment).items():
        monkeypatch.setenv(name, value)
    assert progress.wanted(toy.parseconfig(*options.split())) is shown


def test_no_line_and_no_thread_without_a_terminal(toy: Project) -> None:
    toy.write("""
        import sys, threading

        def test_a(graphmode):
            graphmode.function(abs)(-1)
            assert not [one for one in threading.enumerate() if "progress" in repr(getattr(one, "_target", ""))]
    """)
    modules = "pytest_graphmode.run.progress"
    kept = sys.modules.pop(modules)
    try:
        toy.run("--graph-backends=toy", passed=1)
        assert modules not in sys.modules
    finally:
        sys.modules[modules] = kept


# Without a terminal and with a clock of its own.


class Screen:
    """What was written; `waited` is set at each line."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.now = 0.0
        self.waited = threading.Event()

    def write(self, text: str) -> None:
        self.written.append(text)
        self.waited.set()

    def clock(self) -> float:
        self.now += 2.0
        return self.now

    @property
    def lines(self) -> list[str]:
        return [line for text in self.written for line in SHOWN.findall(text)]


def shown(monkeypatch: pytest.MonkeyPatch, act: Callable[[Screen, Recorder], None], width: int = 80) -> Screen:
    monkeypatch.setattr(progress, "DELAY", 0.01)
    monkeypatch.setattr(progress, "INTERVAL", 0.01)
    screen, recorder = Screen(), Recorder()
    made = progress.Progress(screen.write, lambda: width, screen.clock)
    before = threading.active_count()
    with made.of("test_net[tf-graph-cpu]", recorder.ledger):
        act(screen, recorder)
        assert screen.waited.wait(10)
    assert threading.active_count() == before
    return screen


def test_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def act(screen: Screen, recorder: Recorder) -> None:
        recorder.build(BuildReport("tf", "graph", identity.of(act)))
        for _ in range(6):
            recorder.call("tf", "graph")

    screen = shown(monkeypatch, act)
    assert screen.lines[0] == "test_net[tf-graph-cpu]: 2 s, 1 build, 6 calls, 3 a second"
    assert screen.written[-1] == ERASED
    assert screen.written.count(ERASED) == 1


def test_a_line_that_is_paused_is_shown_again_when_it_goes_on() -> None:
    screen = Screen()
    made = progress.Progress(screen.write, lambda: 80, screen.clock)
    for act in (made.pause, made.go_on):
        made._show("t")
        act()
        made._show("t")
    assert screen.written == ["\x1bD\x1bM\x1b7\x1b[1B\r\x1b[2Kt\x1b8", ERASED, *screen.written[:1]]


def test_a_line_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, lambda screen, recorder: None, width=11).lines[0] == "test_net[t"


@pytest.mark.parametrize(
    ("text", "cells", "kept"),
    [
        ("test_net", 4, "test"),
        ("test_net", -1, ""),
        ("試験_net", 5, "試験_"),
        ("試験_net", 3, "試"),
        ("e\u0301te\u0301", 2, "e\u0301t"),
    ],
)
def test_a_line_is_measured_in_cells(text: str, cells: int, kept: str) -> None:
    assert progress.fitted(text, cells) == kept


def test_calls_that_are_not_all_told_are_said_to_be_those_told() -> None:
    recorder = Recorder()
    assert progress.line("t", recorder.ledger, 3.2, 0.0) == "t: 3 s, 0 builds"
    recorder.call("jax", "jit")
    recorder.calls_unknown("jax", "jit")
    assert progress.line("t", recorder.ledger, 3.2, 0.5) == "t: 3 s, 0 builds, 1 call told, 0.5 a second"


def test_what_the_plugins_own_checks_run_is_said_apart() -> None:
    recorder = Recorder()
    for _ in range(3):
        recorder.hidden()
    assert progress.line("t", recorder.ledger, 3.2, 1.5) == "t: 3 s, 0 builds, 3 in checks, 1.5 a second"


def test_a_short_test_has_no_line() -> None:
    screen = Screen()
    with progress.Progress(screen.write, lambda: 80, screen.clock).of("t", Recorder().ledger):
        pass
    assert screen.written == []


def test_a_terminal_that_is_gone_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "DELAY", 0.0)
    tried = threading.Event()

    def write(text: str) -> None:
        tried.set()
        raise OSError

    with progress.Progress(write, lambda: 80, lambda: 0.0).of("t", Recorder().ledger):
        assert tried.wait(10)


@pytest.mark.parametrize("value", ["on", "", "AUTO"])
def test_the_option_is_auto_or_off(toy: Project, value: str) -> None:
    toy.run(f"--graph-progress={value}").refuses(f"*--graph-progress={value}: the progress is auto or off")
