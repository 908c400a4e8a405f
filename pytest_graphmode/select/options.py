"""What the plugin adds to pytest's --help, --markers and header.

Called by `plugin.py` in every run of pytest, so it imports nothing but what the header lists.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_graphmode.backends.installed import Framework
    from pytest_graphmode.select.registry import Registry

REGISTRY: pytest.StashKey[Registry] = pytest.StashKey()
_VALUES: Final = {
    "graph_backends": (
        "SPEC",
        """comma list of BACKEND[:MODE[+MODE...]], e.g. tf,torch:eager+compile; all = every installed backend in every
        mode (default: those of tf and torch that are installed, in their default modes)""",
    ),
    "graph_devices": ("LIST", "comma list of devices, e.g. cpu,gpu:0, or all (default: all)"),
    "graph_dtypes": (
        "LIST",
        "comma list of float16, bfloat16, float32, float64, complex64, complex128 (default: float32)",
    ),
    "graph_logical_cpus": (
        "N",
        """have TensorFlow and JAX divide the CPU into N devices, cpu, cpu:1, ..., so that code for several devices is
        tested without an accelerator (default: one)""",
    ),
    "graph_seed": ("N", "seed of random, NumPy and the framework before each variant (default: 0)"),
    "graph_records": (
        "DIR",
        """keep what graphmode.agree and taps record in this folder, and compare with what was kept there by other runs:
        of another framework, version or machine""",
    ),
    "graph_label": (
        "NAME",
        "name of this environment in records (default: the framework with its version, e.g. tensorflow-2.21.0)",
    ),
    "graph_trace": (
        "DIR",
        """keep in this folder, for each test that fails, what the framework says of its graphs: torch's log for
        tlparse, TensorFlow's graphs as text, JAX's jaxprs and StableHLO""",
    ),
    "graph_json": (
        "FILE",
        """write what the tests built, and why, how the variants agreed and what they recorded as JSON, by the schema
        that ships with the package, pytest_graphmode/report/schema.json""",
    ),
    "graph_html": (
        "FILE",
        """write the same as one page for a browser, which opens from disk and needs no network (needs Jinja2: pip
        install 'pytest-graphmode[html]')""",
    ),
    "graph_lock": (
        "FILE",
        """compare what each test builds with this committed file: tests that build more again, break more or capture
        less fail, and where CI is set those without a line in it""",
    ),
    "graph_compiler": (
        "NAME",
        """compiler backend of torch:compile variants (default: aot_eager), and, where it is given, of torch.compile
        calls in anybody's code that name none""",
    ),
    "graph_progress": (
        "auto|off",
        """on a terminal, say below a test that takes more than 2 seconds what runs, how often it built and how many
        calls it makes a second; never with -q, -s or CI set (default: auto)""",
    ),
}
_SWITCHES: Final = {
    "graph_watch": "keep a ledger for every test of the run, also those that never heard of this plugin",
    "graph_records_frozen": "compare with the kept records, as golden values, and write none",
    "graph_report": "print a table of what each test built, and the worst rebuilders with cause and hint",
}
# Of one run, so that no ini file has them.
_ONCE: Final = ("graph_lock_update", "graph_lock_from")
_INI_ONLY: Final = {
    "graph_per_object": (
        "bool",
        """tell functions apart by the objects they are bound to or close over too, for tests that build several models
        of one class on purpose (default: false)""",
    ),
    "graph_within": (
        "linelist",
        "packages whose graph breaks count, others are listed apart (default: all packages)",
    ),
    "graph_tolerances": (
        "linelist",
        """the project's own tolerances of agreement and check_control_flow, a line each, e.g.
        float32: rtol=1e-4 atol=1e-6, or gpu.bfloat16: rtol=0.02 (default: torch.testing's table)""",
    ),
}
_WHEN: Final = "; when='torch<2.9' has it apply there only"
_MARKERS: Final = (
    "graphmode(backends=None, devices=None, dtypes=None): narrow the variants of a test, class or module",
    f"""graph_rebuilds(count=None, *, at_most=None, per_object=None, when=None, **by_backend): how often graphs may be
    built again during the test, e.g. graph_rebuilds(0), graph_rebuilds(tf=0, torch=499, torch_compile=0){_WHEN}""",
    f"""graph_budget(*, builds=None, rebuilds=None, breaks=None, fallbacks=None, nodes=None, seconds=None,
    internal=False, within=None, function=None, fresh=True, per_object=None, when=None): limits, each a number (the
    most), a pair (least, most), or a dict of these by backend or backend_mode; internal=True counts the framework's own
    machinery too, within='package' and function='name' look at these only, fresh=False keeps the caches that a fixture
    warmed{_WHEN}""",
    f"""graph_agree(*, rtol=None, atol=None, reference=None, dtypes=False, triage=True, when=None): adds an item that
    compares what the variants recorded with graphmode.agree; dtypes=True asks for equal dtypes too, triage=False runs
    none of them again to say why they differ{_WHEN}""",
    f"""graph_skip(variants, *, reason, when=None): skip the variants matching 'tf', 'tf:session', 'torch:compile@gpu',
    'torch@gpu[bfloat16]'{_WHEN}""",
    f"""graph_xfail(variants, *, reason, raises=None, strict=True, when=None): expect the variants matching 'tf',
    'tf:session', 'torch:compile@gpu', 'torch@gpu[bfloat16]' to fail{_WHEN}""",
)
MARKER_NAMES: Final = tuple(description.partition("(")[0] for description in _MARKERS)


def flag(name: str) -> str:
    """`--graph-seed` for `graph_seed`."""
    return f"--{name.replace('_', '-')}"


class _LockUpdate(argparse.Action):
    """Two options in one, neither of which takes the argument after it for its value, as an optional one would."""

    def __call__(self, parser: object, namespace: object, values: object, option_string: str | None = None) -> None:
        _, _, what = (option_string or "").partition("=")
        setattr(namespace, self.dest, what or "counts")


def add_options(parser: pytest.Parser) -> None:
    # Each with its `dest`, which pytest else looks for among all options that there are.
    group = parser.getgroup("graphmode", "graphmode: TensorFlow, PyTorch and JAX variants of tests")
    for name, (metavar, lines) in _VALUES.items():
        text = _one_line(lines)
        group.addoption(flag(name), dest=name, metavar=metavar, default=None, help=text)
        parser.addini(name, _sentence(text), type="string", default=None)
    for name, text in _SWITCHES.items():
        group.addoption(flag(name), dest=name, action="store_true", help=text)
        parser.addini(name, _sentence(text), type="bool", default=False)
    update = flag("graph_lock_update")
    group.addoption(
        update,
        f"{update}=operations",
        action=_LockUpdate,
        nargs=0,
        dest="graph_lock_update",
        default=None,
        help="write what the tests of this run build into the file of --graph-lock, with =operations how many "
        "operations they capture too; refused where CI is set",
    )
    group.addoption(
        flag("graph_lock_from"),
        dest="graph_lock_from",
        metavar="REPORT",
        default=None,
        help="update the file of --graph-lock from a --graph-json report, of another machine say, and run no test",
    )
    for name, (kind, lines) in _INI_ONLY.items():
        default: Any = False if kind == "bool" else []
        parser.addini(name, _sentence(_one_line(lines)), type=kind, default=default)  # type: ignore[arg-type]


def register_markers(config: pytest.Config) -> None:
    for description in _MARKERS:
        config.addinivalue_line("markers", _one_line(description))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def given(config: pytest.Config) -> bool:
    """Whether an option or ini value of the plugin was given: where none was, there is nothing to resolve or refuse."""
    if any(config.getoption(name) not in (None, False) for name in (*_VALUES, *_SWITCHES, *_ONCE)):
        return True
    try:
        return any(map(config.getini, (*_VALUES, *_SWITCHES, *_INI_ONLY)))
    except (TypeError, ValueError, pytest.UsageError):  # one that can't be read, which `settings.py` words
        return True


def in_ci() -> bool:
    """Whether `CI` is set, as the services set it; `CI=false` and the like are how it is unset."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false", "no", "off")


def on_github() -> bool:
    """Whether this is a job of GitHub Actions, where failures are annotated and summed up."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def header(config: pytest.Config) -> str:
    """The line of `pytest_report_header`; it imports no framework, so devices that only one can tell are `all`."""
    from pytest_graphmode.backends import installed  # here, since a quiet run has no header

    registry = config.stash.get(REGISTRY, None)
    if registry is None:
        frameworks: Mapping[str, Framework] = installed.DEFAULTS
        chosen = {name: name for name, framework in frameworks.items() if framework.installed}
        seed, devices = 0, "all" if installed.accelerator_present() or _extended() else "cpu"
    else:
        frameworks, seed, devices = registry.specs, registry.settings.seed, ", ".join(registry.devices_shown())
        chosen = {choice.name: str(choice) for choice in registry.settings.backends}
    backends = ", ".join(f"{text} {frameworks[name].version_shown}" for name, text in chosen.items())
    if not backends:
        backends = f"neither TensorFlow nor PyTorch is installed ({installed.default_hints(frameworks)})"
    return f"graphmode: {backends}; devices: {devices}; seed: {seed}"


def _extended() -> bool:
    """Whether an extension has added a kind of device to torch, which only a torch that is imported can tell."""
    if "torch" not in sys.modules:
        return False
    from pytest_graphmode.backends.names import extension

    return extension() is not None
