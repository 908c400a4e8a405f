"""What a backend and its event sources are listed by, and the backends that come with the plugin.

Plain data, so that listing backends imports nothing; what pytest's header says of a framework stands in `installed.py`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_graphmode.backends.installed import DEFAULTS, Framework, release

if TYPE_CHECKING:
    from pytest_graphmode.backends.base import Backend, Tracer
    from pytest_graphmode.ledger.watcher import EventSource


class SourceSpec(NamedTuple):
    """A place where a framework's builds are seen, as plain data, so that watching imports nothing.

    Attributes:
        anchors: modules of the framework that the source patches or listens to. The source is imported and attached
            once they, and the packages they are in, are imported by somebody else.
        target: `"package.module:Class"`; the class takes no arguments and follows
            `pytest_graphmode.ledger.watcher.EventSource`.
    """

    anchors: tuple[str, ...]
    target: str

    def load(self) -> EventSource:
        """The source itself; for use when its anchors are imported."""
        factory: Callable[[], EventSource] = _named(self.target)
        return factory()


# Of what dataclasses can generate nothing: each method would be compiled anew in every run that uses the plugin.
@dataclass(init=False, eq=False, repr=False, match_args=False)
class BackendSpec(Framework):
    """A backend as plain data, so that listing backends imports nothing.

    Attributes:
        name: as in `--graph-backends`; a letter, then letters and digits.
        modes: the names of its modes; a letter, then letters, digits and underscores.
        default_mode: the mode meant where none is named.
        module: the framework's top-level module; the backend is installed if it can be found.
        distributions: names under which the framework is published, the first of them the one to recommend.
        target: `"package.module:Class"`; the class takes no arguments and follows `Backend`.
        requires: what to install, e.g. `pytest-graphmode[torch]`.
        sources: where the framework's builds are seen; none if `Mode.function` reports them itself.
        tested: the oldest and the newest version that the backend is tested with, `("2.4", "2.15")`; the report header
            says of others that they are older or newer.
        logical_cpus: `"package.module:function"` for a framework that can have several devices on one CPU; the
            function takes their number, is called once the framework is imported, and raises `RuntimeError` where it is
            too late.
        tracer: `"package.module:Class"` of what `--graph-trace` has the framework write; the class takes no arguments,
            follows `pytest_graphmode.backends.base.Tracer`, and is made once the framework is imported.
    """

    name: str
    modes: tuple[str, ...]
    default_mode: str
    module: str
    distributions: tuple[str, ...]
    target: str
    requires: str = ""
    sources: tuple[SourceSpec, ...] = ()
    tested: tuple[str, ...] = ()
    logical_cpus: str = ""
    tracer: str = ""

    def __init__(
        self,
        name: str,
        modes: tuple[str, ...],
        default_mode: str,
        module: str,
        distributions: tuple[str, ...],
        target: str,
        requires: str = "",
        sources: tuple[SourceSpec, ...] = (),
        tested: tuple[str, ...] = (),
        logical_cpus: str = "",
        tracer: str = "",
    ) -> None:
        self.name = name
        self.modes = modes
        self.default_mode = default_mode
        self.module = module
        self.distributions = distributions
        self.target = target
        self.requires = requires
        self.sources = sources
        self.tested = tested
        self.logical_cpus = logical_cpus
        self.tracer = tracer
        self._check()

    def _check(self) -> None:
        """Raise ValueError or TypeError for what could not be selected, listed or loaded later."""
        where = f"BackendSpec({self.name!r})"
        if not _is_name(self.name) or "_" in self.name or self.name == "all":
            raise ValueError(f"{where}: name must be a letter followed by letters and digits, and not 'all'")
        for field in ("modes", "distributions", "sources", "tested"):
            if not isinstance(getattr(self, field), tuple):
                raise TypeError(f"{where}: {field} must be a tuple, not {getattr(self, field)!r}")
        if not self.modes or len(set(self.modes)) != len(self.modes) or not all(map(_is_name, self.modes)):
            raise ValueError(f"{where}: modes must be different names of letters, digits and _, not {self.modes!r}")
        if self.default_mode not in self.modes:
            raise ValueError(
                f"{where}: default_mode {self.default_mode!r} is not one of its modes ({', '.join(self.modes)})"
            )
        if not self.distributions:
            raise ValueError(f"{where}: distributions must name what to install")
        if not _is_name(self.module):
            raise ValueError(f"{where}: module must be a top-level module, not {self.module!r}")
        if self.tested and (len(self.tested) != 2 or not release(self.tested[0]) <= release(self.tested[1])):
            raise ValueError(f"{where}: tested must be the oldest and the newest version, not {self.tested!r}")
        for target in (self.target, *(source.target for source in self.sources), *filter(None, [self.tracer])):
            if not all(target.partition(":")):
                raise ValueError(f"{where}: target must read 'package.module:Class', not {target!r}")
        if self.logical_cpus and not all(self.logical_cpus.partition(":")):
            raise ValueError(f"{where}: logical_cpus must read 'package.module:function', not {self.logical_cpus!r}")

    def __repr__(self) -> str:
        return f"BackendSpec(name={self.name!r}, target={self.target!r})"

    def load(self) -> Backend:
        """The backend itself; imports the framework."""
        factory: Callable[[], Backend] = _named(self.target)
        return factory()

    def load_tracer(self) -> Tracer:
        """What `tracer` names; for use when the framework is imported."""
        factory: Callable[[], Tracer] = _named(self.tracer)
        return factory()

    def divide_cpu(self, count: int) -> None:
        """Have the framework, which is imported, make so many devices of the CPU; see `logical_cpus`."""
        divide: Callable[[int], None] = _named(self.logical_cpus)
        divide(count)


def keys(specs: Mapping[str, BackendSpec]) -> tuple[str, ...]:
    """The names that limits can be given for, and implementations picked by: `tf`, `tf_graph`, ..."""
    return tuple(key for name, spec in specs.items() for key in (name, *(f"{name}_{mode}" for mode in spec.modes)))


def _is_name(name: str) -> bool:
    return name.isascii() and name.isidentifier() and not name.startswith("_")


def _named(target: str) -> Any:
    """The object that `"package.module:name"` names."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


_TENSORFLOW, _TORCH = DEFAULTS["tf"], DEFAULTS["torch"]
BACKENDS = (
    BackendSpec(
        name="tf",
        modes=("graph", "session", "eager", "xla"),
        default_mode="graph",
        module=_TENSORFLOW.module,
        distributions=_TENSORFLOW.distributions,
        target="pytest_graphmode.backends.tensorflow:TensorFlow",
        requires=_TENSORFLOW.requires,
        tested=_TENSORFLOW.tested,
        logical_cpus="pytest_graphmode.backends.logical_cpus:of_tensorflow",
        tracer="pytest_graphmode.backends.tensorflow.graph_text:GraphText",
        sources=(
            SourceSpec(
                ("tensorflow.python.eager.polymorphic_function.tracing_compilation",),
                "pytest_graphmode.backends.tensorflow.tracing:FunctionSource",
            ),
            SourceSpec(
                ("tensorflow.python.client.session",), "pytest_graphmode.backends.tensorflow.growth:GrowthSource"
            ),
        ),
    ),
    BackendSpec(
        name="torch",
        modes=("eager", "compile"),
        default_mode="eager",
        module=_TORCH.module,
        distributions=_TORCH.distributions,
        target="pytest_graphmode.backends.torch:Torch",
        requires=_TORCH.requires,
        tested=_TORCH.tested,
        sources=(
            SourceSpec(("torch._dynamo.convert_frame",), "pytest_graphmode.backends.torch.dynamo.source:DynamoSource"),
            SourceSpec(("torch.nn.modules.module",), "pytest_graphmode.backends.torch.modules:ModuleSource"),
            SourceSpec(("torch.export._trace",), "pytest_graphmode.backends.torch.export:ExportSource"),
        ),
        tracer="pytest_graphmode.backends.torch.trace_log:TraceLog",
    ),
    BackendSpec(
        name="jax",
        modes=("jit", "eager"),
        default_mode="jit",
        module="jax",
        distributions=("jax",),
        target="pytest_graphmode.backends.jax:Jax",
        requires="pytest-graphmode[jax]",
        tested=("0.4.30", "0.12"),
        sources=(SourceSpec(("jax._src.pjit",), "pytest_graphmode.backends.jax.tracing:JitSource"),),
        logical_cpus="pytest_graphmode.backends.logical_cpus:of_jax",
        tracer="pytest_graphmode.backends.jax.dumps:Dumps",
    ),
    BackendSpec(
        name="numpy",
        modes=("eager",),
        default_mode="eager",
        module="numpy",
        distributions=("numpy",),
        target="pytest_graphmode.backends.numpy:NumPy",
    ),
)
