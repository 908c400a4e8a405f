"""What pytest imports: nothing heavy for those who don't use the plugin, one framework for those who chose one.

Fresh interpreters, since this one has imported it all.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

FRAMEWORKS = ("tensorflow", "torch", "jax", "keras")
HEAVY = (*FRAMEWORKS, "numpy", "optree")

# Registered first, so that it runs last: what other exit functions import is seen too.
RUN = f"""
import atexit, sys
atexit.register(lambda: print("IMPORTED", *[name for name in {HEAVY!r} if name in sys.modules]))
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""


def imported(project: Path, *arguments: str, code: int = 0) -> set[str]:
    """Which heavy modules a run of pytest in `project` had imported when its process ended."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": ""}
    run = subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == code, run.stdout + run.stderr
    lines = [line.split()[1:] for line in run.stdout.splitlines() if line.startswith("IMPORTED")]
    assert len(lines) == 1, run.stdout + run.stderr
    return set(lines[0])


def only_cpu() -> None:
    from pytest_graphmode.select.registry import accelerator_present

    if accelerator_present():
        pytest.skip("a machine with an accelerator asks the frameworks which devices there are")


def test_every_public_name_is_there() -> None:
    import pytest_graphmode

    for name in pytest_graphmode.__all__:
        assert getattr(pytest_graphmode, name).__name__ == name
    import pytest_graphmode.ledger.watcher as module  # which no function hides

    assert module.watch is pytest_graphmode.watch
    with pytest.raises(AttributeError, match="module 'pytest_graphmode' has no attribute 'nothing'"):
        pytest_graphmode.nothing  # noqa: B018


def test_unused_the_plugin_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text("def test_plain(): pass\n")
    assert imported(tmp_path) == set()
    assert imported(tmp_path, "--collect-only", "-q") == set()


# Each module costs an import, of which pytest's own start has room for few: see CONTRIBUTING.md, "Speed".
STARTED = {"pytest_graphmode", "pytest_graphmode.plugin", "pytest_graphmode.select", "pytest_graphmode.select.options"}
SHOWN = {"pytest_graphmode.backends", "pytest_graphmode.backends.installed"}
COLLECTED = {f"pytest_graphmode.{name}" for name in ("run", "run.concern", "ledger", "ledger.places")}

OWN = """
import sys, pytest
pytest.main(["-p", "no:cacheprovider", *sys.argv[1:]])
print("OWN", *[name for name in sys.modules if name.partition(".")[0] == "pytest_graphmode"])
"""


def own_modules(project: Path, *arguments: str) -> set[str]:
    """Which modules of the plugin a run of pytest imports."""
    environment = {name: value for name, value in os.environ.items() if name != "GITHUB_ACTIONS"}
    command = [sys.executable, "-c", OWN, *arguments]
    run = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=300, check=True)
    return set(run.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    ("body", "options", "modules"),
    [
        ("", ["-q"], STARTED),
        ("", [], STARTED | SHOWN),
        ("def test_plain(): pass", ["-q"], STARTED | COLLECTED),
        ("import pytest\n@pytest.mark.parametrize('n', [1])\ndef test_plain(n): pass", ["-q"], STARTED | COLLECTED),
        ("import unittest\nclass TestIt(unittest.TestCase):\n  def test_it(self): pass", ["-q"], STARTED | COLLECTED),
    ],
)
def test_a_run_that_does_not_use_the_plugin_imports_little_of_it(
    tmp_path: Path, body: str, options: list[str], modules: set[str]
) -> None:
    (tmp_path / "test_plain.py").write_text(body)
    assert own_modules(tmp_path, *options) == modules


def test_a_run_that_uses_the_plugin_imports_more_of_it(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(graph_ledger): assert not graph_ledger.builds\n")
    assert own_modules(tmp_path, "-q") > STARTED | COLLECTED


@pytest.mark.parametrize("source", ["import numpy", "import atexit\natexit.register(__import__, 'numpy')"])
def test_the_test_above_can_fail(tmp_path: Path, source: str) -> None:
    (tmp_path / "conftest.py").write_text(source)
    (tmp_path / "test_plain.py").write_text("def test_plain(): pass\n")
    assert imported(tmp_path) == {"numpy"}


def test_watching_and_reporting_import_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text("def test_plain(graph_ledger): assert not graph_ledger.builds\n")
    assert imported(tmp_path, "--graph-watch", "--graph-report") == set()


def test_collecting_imports_nothing_heavy(tmp_path: Path) -> None:
    only_cpu()
    (tmp_path / "test_net.py").write_text(
        "import pytest\n@pytest.mark.graph_rebuilds(0)\n@pytest.mark.graph_agree\ndef test_net(graphmode): pass\n"
    )
    assert imported(tmp_path, "--collect-only", "--graph-backends=all", "--graph-records=kept") == set()
    assert imported(tmp_path, "--help") == set()
    assert imported(tmp_path, "--markers") == set()


LATE = {
    "tf": "f = tensorflow.function(lambda x: x + 1.0); f(tensorflow.constant(1.0)); f(tensorflow.constant([1.0]))",
    "torch": "f = torch.compile(lambda x: x + 1.0, backend='eager', dynamic=False); f(torch.ones(2)); f(torch.ones(3))",
    "jax": "f = jax.jit(lambda x: x + 1.0); f(jax.numpy.ones(2)); f(jax.numpy.ones(3))",
}


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "module"), [("tf", "tensorflow"), ("torch", "torch"), ("jax", "jax")])
def test_one_framework_is_imported_where_one_is_chosen_and_watched_from_then_on(
    tmp_path: Path, backend: str, module: str
) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    (tmp_path / "test_late.py").write_text(
        f"""
import pytest, sys

@pytest.mark.graph_rebuilds({backend}=1)
def test_late(graph_ledger):
    assert {module!r} not in sys.modules
    import {module}
    {LATE[backend]}
    assert [event.function for event in graph_ledger.events] == ["<lambda>", "<lambda>"]
    assert [event.backend for event in graph_ledger.events] == [{backend!r}] * 2

def test_variant(graphmode): graphmode.tensor([1.0])
"""
    )
    found = imported(tmp_path, f"--graph-backends={backend}")
    brought = {"keras", "jax"} if backend == "tf" else set()  # TensorFlow imports both, where they are, by itself
    assert module in found
    assert not found & (set(FRAMEWORKS) - {module} - brought)


def without_frameworks(*modules: str) -> subprocess.CompletedProcess[str]:
    """What an interpreter says that imports modules of the plugin, and in which no framework can be imported."""
    absent = f"import sys; sys.modules.update(dict.fromkeys({FRAMEWORKS!r})); sys.path[:0] = {sys.path!r}"
    names = ", ".join(modules)
    return subprocess.run(
        [sys.executable, "-c", f"{absent}; import {names}"], capture_output=True, text=True, timeout=300, check=False
    )


def test_what_counts_selects_and_checks_needs_no_framework() -> None:
    import pytest_graphmode

    root = Path(pytest_graphmode.__file__).parent
    files = [file for package in ("ledger", "select", "checks") for file in sorted((root / package).rglob("*.py"))]
    names = [".".join(file.relative_to(root.parent).with_suffix("").parts) for file in files]
    done = without_frameworks(*(name.removesuffix(".__init__") for name in names))
    assert done.returncode == 0, done.stderr


def test_a_module_that_needs_a_framework_is_told() -> None:
    assert "import of torch halted" in without_frameworks("pytest_graphmode.backends.torch.backend").stderr
