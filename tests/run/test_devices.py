"""Logical CPUs, devices that are not there, and values on another device than their variant's."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.project import Project

HERE = Path(__file__).parent
TWO = ("--graph-backends=placed,numpy", "--graph-logical-cpus=2")


@pytest.fixture
def placed(pytester: pytest.Pytester) -> Project:
    """A project with the backend `placed` (see `toy/placedlib.py`)."""
    for file in ("placedlib.py", "placedbackend.py"):
        shutil.copy(HERE.parent / "toy" / file, pytester.path)
    pytester.makeconftest("""
        def pytest_graphmode_backends():
            from pytest_graphmode import BackendSpec

            return [BackendSpec(
                name="placed",
                modes=("eager",),
                default_mode="eager",
                module="placedlib",
                distributions=("placedlib",),
                target="placedbackend:Placed",
                logical_cpus="placedlib:divide",
            )]
    """)
    return Project(pytester)


WHERE = """
    def test_where(graphmode):
        print("AT", graphmode.variant, graphmode.tensor(1.0).device if graphmode.backend == "placed" else "")
"""


@pytest.mark.parametrize("devices", ["all", "cpu,cpu:1"])
def test_the_cpu_is_divided_for_backends_that_can(placed: Project, devices: str) -> None:
    placed.write(WHERE)
    result = placed.run(*TWO, f"--graph-devices={devices}", "-s", passed=3)
    result.says(
        "*devices: cpu, cpu:1; *", "*AT placed-eager-cpu cpu", "*AT placed-eager-cpu:1 cpu:1", "*AT numpy-eager-cpu *"
    )


def test_a_framework_that_is_not_selected_may_have_its_devices_already(placed: Project) -> None:
    placed.write(WHERE)
    (placed.path / "early.py").write_text("import placedlib\nplacedlib.devices()\n")
    placed.syspathinsert()
    placed.run("-p", "early", "--graph-backends=numpy", "--graph-logical-cpus=2", passed=1)


def test_collecting_for_logical_cpus_imports_no_framework(placed: Project) -> None:
    placed.write("""
        def test_nothing(graphmode): pass
    """)
    placed.makeini("[pytest]\ngraph_logical_cpus = 2\ngraph_backends = placed\n")
    (placed.path / "plugin_at_end.py").write_text(
        "import sys\ndef pytest_collection_finish(): print('IMPORTED', 'placedlib' in sys.modules)\n"
    )
    placed.syspathinsert()
    result = placed.run("--collect-only", "-q", "-s", "-p", "plugin_at_end")
    result.stdout.fnmatch_lines_random(["IMPORTED False", "*test_nothing?placed-eager-cpu?", "*?placed-eager-cpu:1?"])


def test_devices_that_a_conftest_has_made_already_are_a_usage_error(placed: Project) -> None:
    placed.syspathinsert()
    placed.extend("\nimport placedlib\nplacedlib.devices()\n")
    placed.write(WHERE)
    placed.run(*TWO).refuses("--graph-logical-cpus=2: placedlib has made its devices already, 1 of the CPU")


def test_devices_that_something_else_makes_later_fail_the_variant_without_one(placed: Project) -> None:
    placed.write("import placedlib\nplacedlib._cpus[:] = ['cpu']\n" + WHERE.replace("\n    ", "\n"))
    result = placed.run(*TWO, passed=2, errors=1)
    result.says("*--graph-logical-cpus=2 made no cpu:1: placed has cpu, since something else has divided the CPU*")


def test_a_logical_cpu_that_nobody_made_names_the_option(placed: Project) -> None:
    placed.write(WHERE)
    result = placed.run("--graph-backends=placed", "--graph-devices=cpu:3")
    result.refuses("*: there is no cpu:3 here: placed has cpu; --graph-logical-cpus=4 makes it for TensorFlow and JAX")


def test_a_backend_without_logical_cpus_that_was_named_has_none_of_them(placed: Project) -> None:
    result = placed.run(*TWO, "--graph-devices=cpu:1")
    result.refuses(
        "*numpy has none of these devices, but was named in --graph-backends: placed has cpu, cpu:1; numpy has cpu"
    )


def test_a_variant_that_a_test_names_is_skipped_without_its_device(placed: Project) -> None:
    placed.write("""
        @pytest.mark.parametrize("graphmode", ["placed@cpu:1", "placed@gpu"], indirect=True)
        def test_own(graphmode): graphmode.variant
    """)
    result = placed.run(*TWO, "-rs", passed=1, skipped=1)
    result.says("*placed-eager-gpu:0 was named by the test, and there is no gpu:0 here: placed has cpu, cpu:1")


# Placement.

MOVED = """
    def test_result(graphmode):
        step = graphmode.function(lambda x: {"kept": x, "moved": graphmode.lib.put(x, "cpu")})
        step(graphmode.tensor(1.0))

    def test_result_inside(graphmode):
        inner = graphmode.function(lambda x: graphmode.lib.put(x, "cpu"))
        graphmode.function(lambda x: graphmode.lib.put(inner(x), graphmode.device))(graphmode.tensor(1.0))

    def test_variable(graphmode):
        graphmode.runtime.mode.variable = lambda array, dtype: graphmode.lib.put(array, "cpu")
        graphmode.variable(1.0)

    def test_gradient(graphmode):
        gradient = graphmode.lib.put(1.0, "cpu")
        graphmode.runtime.mode.value_and_grad = lambda fn, args, *_: (fn(*args), [gradient], [])
        graphmode.grad(lambda x: x)(graphmode.tensor(1.0))

    def test_value(graphmode):
        graphmode.value_and_grad(lambda x: graphmode.lib.put(x, "cpu"))(graphmode.tensor(1.0))
"""
HINT = (
    "placed-eager-cpu:1 runs on cpu:1: placedlib.put moved it; where that is meant, do it after the call, or leave "
    "the variant out with graph_skip('placed@cpu:1', reason=...)"
)


def test_what_is_on_another_device_fails_with_both_names(placed: Project) -> None:
    placed.write(MOVED)
    result = placed.run("--graph-backends=placed", "--graph-logical-cpus=2", passed=6, failed=4)
    result.says(
        f"E*AssertionError: ?'moved'? of what <lambda> returned is on cpu, and {HINT}",
        f"E*AssertionError: what graphmode.variable made is on cpu, and {HINT}",
        f"E*AssertionError: the gradient of <lambda> is on cpu, and {HINT}",
        f"E*AssertionError: the value of <lambda> is on cpu, and {HINT}",
    )


def test_nothing_is_looked_at_where_there_is_only_the_cpu(placed: Project) -> None:
    placed.write("""
        def test_nothing(graphmode):
            assert graphmode.runtime.placement is None
            graphmode.function(lambda x: graphmode.lib.put(x, "elsewhere"))(graphmode.tensor(1.0))
    """)
    placed.run("--graph-backends=placed", passed=1)


# Errors and memory of accelerators.


@pytest.fixture
def accelerated(placed: Project, accelerator: None) -> Project:
    """The same project, where `placed` has the CPU and one GPU."""
    placed.syspathinsert()
    placed.extend("\nimport placedlib\nplacedlib._cpus[:] = ['cpu', 'gpu:0']\n")
    return placed


def test_an_error_that_a_device_reports_late_fails_the_test_that_caused_it(accelerated: Project) -> None:
    accelerated.write("""
        def test_late(graphmode):
            graphmode.lib.pending.append(RuntimeError("kernel launch failed"))

        def test_next(graphmode):
            graphmode.variant
    """)
    result = accelerated.run("--graph-backends=placed", "--graph-devices=gpu:0", "-rf", passed=1, failed=1)
    result.says("E*RuntimeError: kernel launch failed", "FAILED *test_late*")
    if sys.version_info >= (3, 11):
        result.says("E*gpu:0 said so when it was waited for at the end of the test: *")


def test_a_test_that_failed_leaves_no_error_and_no_memory_to_the_next(accelerated: Project) -> None:
    accelerated.write("""
        import weakref

        def test_memory(graphmode):
            global large
            held = graphmode.tensor(1.0)
            large = weakref.ref(held)
            graphmode.lib.pending.append(RuntimeError("said by nobody"))
            raise MemoryError("out of memory")

        def test_next(graphmode):
            print("LEFT", large(), graphmode.lib.pending, graphmode.lib.log)
    """)
    result = accelerated.run("--graph-backends=placed", "--graph-devices=gpu:0", "-s", passed=1, failed=1)
    log = "'full precision', 'synchronized gpu:0', 'released gpu:0', 'full precision'"
    result.says(f"*LEFT None ?? ?{log}?", "E*MemoryError: out of memory")


def test_a_device_that_failed_for_good_is_told_of_in_a_line_by_all_that_need_it(accelerated: Project) -> None:
    accelerated.write("""
        def test_kernel(graphmode):
            if graphmode.device == "gpu:0":
                graphmode.lib.lost.append(RuntimeError("device-side assert triggered\\nCompile with DSA"))
                raise graphmode.lib.lost[0]

        def test_next(graphmode):
            graphmode.variant
    """)
    result = accelerated.run("--graph-backends=placed,numpy", passed=3, failed=1, errors=2)
    told = (
        "placed-eager-{0} can't run in this process any more: *test_kernel?placed-eager-gpu:0? left gpu:0 of placed "
        "unusable (device-side assert triggered). Mend that test first, or run this one apart from it"
    )
    result.says(told.format("cpu"), told.format("gpu:0"))
    result.omits("*release_memory*")


def test_the_cpu_keeps_its_precision_and_the_frames_of_a_failure(accelerated: Project) -> None:
    accelerated.write("""
        def test_fails(graphmode):
            graphmode.variant
            raise ValueError

        def test_next(graphmode):
            print("LEFT", graphmode.lib.log)
    """)
    accelerated.run("--graph-backends=placed", "--graph-devices=cpu", "-s").says("*LEFT ?'synchronized cpu'?")
