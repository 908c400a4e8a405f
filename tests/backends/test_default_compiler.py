"""`--graph-compiler`: whose graphs it compiles, that it ends with the run, and what a wrong name is told."""

import functools
from typing import Any

import pytest

torch = pytest.importorskip("torch")

# Compiles by a backend that says so, as a project's conftest may register one.
CONFTEST = """
import sys

def register():
    import torch._dynamo
    if "counting" not in torch.compiler.list_backends(exclude_tags=()):
        @torch._dynamo.register_backend
        def counting(graph, inputs, **options):
            print("COUNTING")
            return graph.forward

def pytest_sessionstart():
    {when}
"""
PLAIN = """
import torch

class Net(torch.nn.Module):
    def forward(self, x):
        return x * 2

def test_plain():
    torch._dynamo.reset()
    {compiled}(torch.ones(2))
"""


@pytest.fixture
def project(dynamo: Any, pytester: pytest.Pytester, run_tests: Any) -> Any:
    pytester.makeconftest(CONFTEST.format(when="register()"))
    return run_tests


@pytest.mark.parametrize(
    ("compiled", "used"),
    [
        ("torch.compile(lambda x: x * 2)", True),
        ("torch.compile()(lambda x: x * 2)", True),
        ("torch.compile(Net())", True),
        ("(lambda net: net.compile() or net)(Net())", True),
        ("torch.compile(lambda x: x * 2, backend='eager')", False),
    ],
)
def test_calls_that_name_none_take_it(project: Any, compiled: str, used: bool) -> None:
    result = project(PLAIN.format(compiled=compiled), "--graph-compiler=counting", "-s", passed=1)
    assert ("COUNTING" in result.stdout.str()) is used


def test_variants_of_torch_compile_take_it_unless_a_function_names_another(project: Any) -> None:
    source = """
        def test_net(graphmode):
            graphmode.function(lambda x: x * 2)(graphmode.tensor([1.0]))

        def test_named(graphmode):
            print("NAMED")
            graphmode.function(lambda x: x * 3, backend="eager")(graphmode.tensor([1.0]))
        """
    result = project(source, "--graph-backends=torch:compile", "--graph-compiler=counting", "-s", passed=2)
    before, _, after = result.stdout.str().partition("NAMED")
    assert "COUNTING" in before
    assert "COUNTING" not in after
    result = project(source, "--graph-backends=torch:compile", "-s", passed=2)
    assert "COUNTING" not in result.stdout.str()


def test_it_ends_with_the_run(project: Any) -> None:
    before = torch.compile.__kwdefaults__["backend"], current_default()
    project(PLAIN.format(compiled="torch.compile(lambda x: x * 2)"), "--graph-compiler=counting", passed=1)
    assert (torch.compile.__kwdefaults__["backend"], current_default()) == before


def current_default() -> object:
    get = getattr(torch.compiler, "get_default_backend", None)
    return None if get is None else get()


def test_older_versions_have_it_in_the_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_graphmode.backends.torch.default_compiler import DefaultCompiler

    def compile(model: object = None, *, dynamic: bool | None = None, backend: str = "inductor") -> str:
        return backend

    monkeypatch.setattr(torch, "compile", compile)
    default = DefaultCompiler()
    default.use("eager")
    default.use("eager")
    assert (compile(None), compile(None, backend="aot_eager"), default.name) == ("eager", "aot_eager", "eager")
    default.restore()
    assert (compile(None), default.name) == ("inductor", None)
    default.restore()


def test_a_torch_without_a_default_to_set_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_graphmode.backends.torch.default_compiler import DefaultCompiler
    from pytest_graphmode.errors import UnsupportedError

    monkeypatch.setattr(torch, "compile", lambda model: model)
    monkeypatch.delattr(torch.compiler, "set_default_backend", raising=False)
    with pytest.raises(UnsupportedError, match=r"torch \S+ has no default compiler backend that can be set"):
        DefaultCompiler().use("eager")


LEGAL = "torch * has no compiler backend 'counted': its backends are aot_eager, *eager,*inductor*"


@pytest.mark.parametrize("compiled", ["torch.compile(lambda x: x * 2)", "abs"])
@pytest.mark.usefixtures("project")
def test_an_unknown_name_is_a_usage_error_where_dynamo_is_imported(pytester: pytest.Pytester, compiled: str) -> None:
    pytester.makepyfile(PLAIN.format(compiled=compiled))
    result = pytester.runpytest_inprocess("--graph-compiler=counted")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --graph-compiler=counted: {LEGAL}"])
    assert "TESTING_ONLY" not in result.stderr.str()
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    assert current_default() in (None, "inductor")


# In a fresh interpreter: what is imported when.

LATE = """
import sys

def test_first():
    assert "torch" not in sys.modules

def test_imports():
    import torch
    assert "torch._dynamo" not in sys.modules

def test_compiles():
    import torch
    torch.compile(lambda x: x * 2)(torch.ones(2))

def test_last():
    pass
"""


@pytest.fixture
def fresh(pytester: pytest.Pytester, run_tests: Any) -> Any:
    pytester.makeconftest(CONFTEST.format(when="pass"))
    return functools.partial(run_tests, fresh=True)


@pytest.mark.slow
def test_nothing_is_imported_for_it(fresh: Any) -> None:
    source = LATE.replace("    torch.compile", "    import conftest; conftest.register(); torch.compile")
    result = fresh(source, "--graph-compiler=counting", "-s", passed=4)
    assert "COUNTING" in result.stdout.str()


@pytest.mark.slow
def test_an_unknown_name_ends_the_run_at_its_first_use(fresh: Any) -> None:
    said = ["*::test_imports PASSED*", f"*Exit: --graph-compiler=counted: {LEGAL}*"]
    result = fresh(LATE, "--graph-compiler=counted", "-v", said=said, passed=2)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.no_fnmatch_line("*test_last*")
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


@pytest.mark.slow
@pytest.mark.usefixtures("fresh")
def test_an_unknown_name_ends_the_workers_of_xdist(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    pytester.makepyfile(LATE)
    result = pytester.runpytest_subprocess("--graph-compiler=counted", "-n", "1")
    assert result.ret != 0
    result.stdout.fnmatch_lines([f"--graph-compiler=counted: {LEGAL}"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
