"""The import watch, and event sources that attach to frameworks imported later, with small made-up modules."""

import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_graphmode.backends.base import SourceSpec
from pytest_graphmode.ledger.importing import ImportWatch, complete
from pytest_graphmode.ledger.recorder import Recorder
from pytest_graphmode.ledger.watcher import Watcher

SPEC = SourceSpec(("madeup.inner",), "madeup_source:Source")


@pytest.fixture
def madeup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A framework `madeup` with an inner module that is done before the framework is, and an event source for it."""
    package = tmp_path / "madeup"
    package.mkdir()
    (package / "__init__.py").write_text("from madeup import inner\nready = True\n")
    (package / "inner.py").write_text("def build(): pass\n")
    (tmp_path / "unrelated_module.py").write_text("")
    (tmp_path / "madeup_source.py").write_text(
        "import madeup\n"
        "assert madeup.ready\n"
        "log = []\n"
        "class Source:\n"
        "    def attach(self, sink):\n"
        "        log.append('attach')\n"
        "        return lambda: log.append('detach')\n"
        "    def reset(self):\n"
        "        log.append('reset')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield package
    for name in ("madeup", "madeup.inner", "madeup_source", "unrelated_module"):
        sys.modules.pop(name, None)


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    watcher = Watcher([SPEC])
    yield watcher
    assert watcher.current is None
    assert not any(isinstance(finder, ImportWatch) and finder is watcher._imports for finder in sys.meta_path)


@pytest.fixture
def watching() -> Iterator[Callable[..., list[str]]]:
    """Installs an import watch for some names and returns the list it notes finished modules in."""
    installed: list[ImportWatch] = []

    def start(*names: str) -> list[str]:
        finished: list[str] = []
        installed.append(ImportWatch(set(names), finished.append))
        installed[-1].install()
        return finished

    yield start
    for finder in installed:
        finder.remove()


def log() -> list[str]:
    return list(sys.modules["madeup_source"].log) if "madeup_source" in sys.modules else []


def test_modules_that_were_imported_before_are_told_in_the_order_of_their_names() -> None:
    for names in (("json", "sys", "os"), ("os", "json", "sys")):
        found: list[str] = []
        watch = ImportWatch(names, found.append)
        watch.begin()
        watch.remove()
        assert found == list(names)


def test_tells_when_a_named_module_has_run(madeup: Path, watching: Callable[..., list[str]]) -> None:
    finished = watching("madeup", "madeup.inner")
    importlib.import_module("unrelated_module")
    importlib.import_module("madeup")
    assert finished == ["madeup.inner", "madeup"]


def test_a_module_keeps_its_own_loader(madeup: Path, watching: Callable[..., list[str]]) -> None:
    importlib.import_module("unrelated_module")
    watching("madeup.inner")
    module = importlib.import_module("madeup.inner")
    expected = type(sys.modules["unrelated_module"].__loader__)
    assert type(module.__loader__) is expected
    assert type(module.__spec__.loader) is expected
    assert module.__file__ == str(madeup / "inner.py")


def test_is_silent_about_a_module_that_raises(madeup: Path, watching: Callable[..., list[str]]) -> None:
    (madeup / "inner.py").write_text("raise RuntimeError('broken')")
    finished = watching("madeup", "madeup.inner")
    with pytest.raises(RuntimeError, match="broken"):
        importlib.import_module("madeup")
    assert finished == []
    assert "madeup" not in sys.modules


def test_two_watches_both_hear_of_a_module(madeup: Path, watching: Callable[..., list[str]]) -> None:
    first, second = watching("madeup.inner"), watching("madeup.inner")
    importlib.import_module("madeup")
    assert first == second == ["madeup.inner"]


def test_a_module_is_complete_when_its_packages_are(madeup: Path) -> None:
    (madeup / "__init__.py").write_text(
        "from madeup import inner\n"
        "from pytest_graphmode.ledger.importing import complete\n"
        "during = complete('madeup.inner'), complete('madeup.inner', finishing='madeup')\n"
    )
    assert not complete("madeup.inner")
    assert importlib.import_module("madeup").during == (False, True)
    assert complete("madeup.inner")


def test_attaches_when_a_framework_is_imported_later(madeup: Path, watcher: Watcher) -> None:
    recorder = Recorder()
    watcher.open(recorder)
    assert log() == []
    assert "madeup" not in sys.modules
    importlib.import_module("madeup")
    assert log() == ["attach"]
    watcher.close(recorder)
    assert log() == ["attach", "detach"]


def test_attaches_when_a_thread_imports_it(madeup: Path, watcher: Watcher) -> None:
    recorder = Recorder()
    watcher.open(recorder)
    thread = threading.Thread(target=importlib.import_module, args=("madeup",))
    thread.start()
    thread.join()
    assert log() == ["attach"]
    watcher.close(recorder)


def test_stays_attached_until_the_last_recorder_closes(madeup: Path, watcher: Watcher) -> None:
    importlib.import_module("madeup")
    outer, inner = Recorder(), Recorder()
    watcher.open(outer)
    watcher.open(inner)
    watcher.close(inner)
    assert log() == ["attach"]
    watcher.close(outer)
    assert log() == ["attach", "detach"]


def test_a_source_made_unknown_is_detached(madeup: Path) -> None:
    importlib.import_module("madeup")
    watcher, recorder = Watcher(), Recorder()
    watcher.open(recorder)
    unregister = watcher.register([SPEC])
    assert log() == ["attach"]
    unregister()
    assert log() == ["attach", "detach"]
    watcher.close(recorder)
    assert log() == ["attach", "detach"]


def test_reset_reaches_imported_frameworks_only(madeup: Path, watcher: Watcher) -> None:
    watcher.reset()
    assert "madeup" not in sys.modules
    importlib.import_module("madeup")
    recorder = Recorder()
    watcher.open(recorder)
    watcher.reset()
    watcher.close(recorder)
    assert log() == ["attach", "reset", "detach"]


def test_a_source_that_fails_leaves_the_import_alone_and_its_backend_uncounted(madeup: Path, watcher: Watcher) -> None:
    (madeup.parent / "madeup_source.py").write_text(
        "class Source:\n    def attach(self, sink):\n        raise RuntimeError('madeup.inner.build is gone')\n"
    )
    recorder = Recorder()
    watcher.open(recorder)
    trust = watcher.trust()
    assert trust.broken() == {}
    assert importlib.import_module("madeup").ready
    assert trust.broken() == {"madeup": "madeup: RuntimeError: madeup.inner.build is gone"}
    watcher.close(recorder)


def test_a_source_whose_caches_can_not_be_cleared_is_not_trusted(madeup: Path, watcher: Watcher) -> None:
    (madeup.parent / "madeup_source.py").write_text(
        "class Source:\n"
        "    attach = lambda self, sink: lambda: None\n"
        "    def reset(self): raise RuntimeError('locked')\n"
    )
    importlib.import_module("madeup")
    recorder = Recorder()
    watcher.open(recorder)
    watcher.reset()
    assert watcher.trust().broken() == {"madeup": "madeup: its caches of graphs can't be cleared: RuntimeError: locked"}
    watcher.close(recorder)


PROVED = """
class Source:
    def attach(self, sink):
        self.sink = sink
        return lambda: None

    def probe(self):
        from pytest_graphmode.ledger.arguments import tensor_argument
        from pytest_graphmode.ledger.identity import Identity
        from pytest_graphmode.ledger.ledger import BuildReport

        for name in NAMES:
            arguments = (tensor_argument(name, "float32", (1,)),)
            self.sink.build(BuildReport("madeup", "graph", Identity("f", "f.py", 1), arguments=arguments))
        PROBES.append(1)

    def audit_start(self):
        return PUBLIC[0]

    def audit(self, start):
        return f"its own counter says {PUBLIC[0] - start}, none was seen" if PUBLIC[0] != start else None


PROBES, PUBLIC = [], [0]
"""


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["x"], None),
        ([], "one build of a trivial function of x was expected, these were seen: none"),
        (["x", "x"], "one build of a trivial function of x was expected, these were seen: x, x"),
        (["args"], "one build of a trivial function of x was expected, these were seen: args"),
        (None, "a trivial function could not be built: TypeError: 'NoneType' object is not iterable"),
    ],
)
def test_a_source_is_trusted_once_it_has_seen_a_trivial_build(
    madeup: Path, watcher: Watcher, names: list[str] | None, reason: str | None
) -> None:
    (madeup.parent / "madeup_source.py").write_text(f"{PROVED}\nNAMES = {names!r}\n")
    importlib.import_module("madeup")
    recorder = Recorder()
    watcher.open(recorder)
    trust = watcher.trust()
    assert trust.broken() == ({} if reason is None else {"madeup": f"madeup: {reason}"})
    assert recorder.ledger.builds == recorder.ledger.hidden_graphs == 0
    watcher.close(recorder)
    another = Recorder()
    watcher.open(another)
    watcher.trust()
    watcher.close(another)
    probes = sys.modules["madeup_source"].PROBES
    assert len(probes) == (0 if names is None else 1 if reason is None else 2)


def test_a_public_counter_that_says_otherwise_makes_counts_untrusted(madeup: Path, watcher: Watcher) -> None:
    (madeup.parent / "madeup_source.py").write_text(f"{PROVED}\nNAMES = ['x']\n")
    importlib.import_module("madeup")
    recorder = Recorder()
    watcher.open(recorder)
    trust = watcher.trust()
    assert trust.broken() == {}
    sys.modules["madeup_source"].PUBLIC[0] += 2
    assert trust.broken() == {"madeup": "its own counter says 2, none was seen"}
    assert watcher.trust().broken() == {}
    watcher.close(recorder)
