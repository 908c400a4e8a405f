"""`--graph-compiler` while a run lasts: given to torch once somebody imports it, checked at its first use.

Registered by `plugin.py` where the option is given. Which names torch knows only torch can tell, and Dynamo takes
seconds to import; so a wrong one ends the run when Dynamo has been imported, with the exit code of a usage error.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Final

import pytest

from pytest_graphmode.ledger.importing import ImportWatch, complete
from pytest_graphmode.select.registry import registry_of

# Where torch keeps the default since it can be set; it is imported with Dynamo.
_REGISTRY: Final = "torch._dynamo.backends.registry"


class Compiler:
    """The compiler backend of a run, by name, and what says so: `--graph-compiler` or the ini file."""

    def __init__(self, name: str, origin: str) -> None:
        self._name = name
        self._origin = origin
        self._imports = ImportWatch({"torch", _REGISTRY}, self._imported)
        self._failure: Exception | None = None
        self._checked = False

    @classmethod
    def use(cls, config: pytest.Config) -> None:
        """Have torch take the compiler backend of `--graph-compiler`, where torch is installed."""
        registry = registry_of(config)
        name = registry.settings.compiler
        if name is not None and "torch" in registry.specs and registry.specs["torch"].installed:
            compiler = cls(name, registry.settings.origin("graph_compiler"))
            config.pluginmanager.register(compiler, "graphmode-compiler")
            config.add_cleanup(compiler.stop)
            compiler._imports.begin()

    def stop(self) -> None:
        """Give torch its own default back."""
        self._imports.remove()
        if "torch" in sys.modules:
            from pytest_graphmode.backends.torch.default_compiler import default

            default.restore()

    def _imported(self, module: str) -> None:
        """In the middle of somebody's import statement, which must not fail for this."""
        try:
            from pytest_graphmode.backends.torch.default_compiler import default

            default.use(self._name)
        except Exception as error:
            self._failure = error

    def _problem(self) -> str | None:
        """What is wrong with the name, once torch can tell."""
        if self._failure is not None:
            return str(self._failure)
        if self._checked or not complete("torch._dynamo"):
            return None
        from pytest_graphmode.backends.torch.default_compiler import unknown

        self._checked = True
        return unknown(self._name)

    def pytest_collection_finish(self) -> None:
        problem = self._problem()
        if problem is not None:
            raise pytest.UsageError(f"{self._origin}={self._name}: {problem}")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        return (yield from self._checking(item.session))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        return (yield from self._checking(item.session))

    def _checking(self, session: pytest.Session) -> Generator[None, object, object]:
        """Around a phase of a test, whose own failure would only repeat that there is no such compiler."""
        try:
            return (yield)
        finally:
            problem = self._problem()
            if problem is not None:
                reason = f"{self._origin}={self._name}: {problem}"
                if not hasattr(session.config, "workerinput"):
                    pytest.exit(reason, returncode=pytest.ExitCode.USAGE_ERROR)
                session.shouldfail = reason  # of a worker of xdist's, whose controller takes an exit for a crash
                raise pytest.fail.Exception(reason, pytrace=False) from None
