"""Fixtures for the whole suite."""

import importlib
import importlib.util
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

import pytest_graphmode
from tests.project import Project

pytest_plugins = ["pytester"]


_PACKAGE = Path(pytest_graphmode.__file__).parent
_FRAMEWORKS = {"tensorflow": "tensorflow", "torch": "torch._dynamo", "jax": "jax"}


def _import_the_plugin() -> None:
    """At once, with NumPy and optree: pytester's in-process runs forget what is imported in them.

    Extension modules load only once, and a module of the plugin's that is there twice has two of each class. What is
    under `backends` needs a framework; tests that use one in process import it before `pytester` begins.
    """
    later = ["pytest_graphmode.backends", "pytest_graphmode.testing"]
    if importlib.util.find_spec("xdist") is None:
        later.append("pytest_graphmode.run.workers.scheduling")
    for name in _modules(_PACKAGE):
        if not name.startswith(tuple(later)):
            importlib.import_module(name)


def _modules(folder: Path) -> list[str]:
    files = [file.relative_to(_PACKAGE.parent).with_suffix("") for file in sorted(folder.rglob("*.py"))]
    return [".".join(file.parts).removesuffix(".__init__") for file in files]


_import_the_plugin()


@pytest.fixture
def backends_of_imported_frameworks() -> None:
    """The rest of the plugin, for each framework that the test has imported before it asks for `pytester`.

    Else what a run in this process leaves attached to the framework is of other classes than the next run's.
    """
    for folder, framework in _FRAMEWORKS.items():
        if framework in sys.modules:
            for name in _modules(_PACKAGE / "backends" / folder):
                importlib.import_module(name)


@pytest.fixture
def pytester(
    backends_of_imported_frameworks: None, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):  # what runs in here is no job's
        monkeypatch.delenv(name, raising=False)
    # The variants that a test counts are those of a machine without an accelerator.
    monkeypatch.setattr("pytest_graphmode.backends.installed.accelerator_present", lambda: False)
    monkeypatch.setattr("pytest_graphmode.select.registry.accelerator_present", lambda: False)
    return pytester


@pytest.fixture
def accelerator(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """An accelerator in the machine that runs see, which each backend is asked for then."""
    monkeypatch.setattr("pytest_graphmode.select.registry.accelerator_present", lambda: True)


@pytest.fixture(scope="session")
def dynamo() -> Any:
    """torch._dynamo with all that it imports late.

    An in-process run of pytester's forgets what was imported in it, and much of torch can be imported only once; so a
    test that compiles in such a run asks for this.
    """
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("torch._inductor.compile_fx")
        value = torch.compile(lambda x: x * 2, backend="aot_eager")(torch.ones(1, requires_grad=True))
        value.backward()
    torch._dynamo.reset()
    return torch._dynamo


@pytest.fixture(scope="session")
def frameworks(dynamo: Any) -> None:
    """TensorFlow and torch, for tests that use pytester in-process, which forgets what was imported in it."""
    pytest.importorskip("tensorflow")
    pytest.importorskip("keras")


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    """An empty project."""
    return Project(pytester)


@pytest.fixture
def toy(pytester: pytest.Pytester) -> Project:
    """A project whose conftest offers the backend `toy` (see `toy/toylib.py`), and `absent`, which is not installed."""
    for file in ("toylib.py", "toybackend.py"):
        shutil.copy(Path(__file__).parent / "toy" / file, pytester.path)
    pytester.makeconftest("""
        import toybackend

        def pytest_graphmode_backends():
            return [toybackend.SPEC, toybackend.ABSENT]
    """)
    return Project(pytester)
