"""`python -m pytest_graphmode`, outside of pytest: what runs kept with `--graph-records`, and the page of a report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

_ACTIONS = ("list", "diff", "prune")


def main(arguments: Sequence[str]) -> int:
    """Run a command; returns 0, or 1 where there was something to complain of."""
    words = list(arguments)
    if words[:1] == ["records"] and len(words) > 1 and words[1] not in (*_ACTIONS, "-h", "--help"):
        words.insert(1, "list")
    parser = _parser()
    given = parser.parse_args(words)
    if given.command == "report":
        return _report(parser, given.file, given.out)
    for root in given.folders:
        if not root.is_dir():
            parser.error(f"{root} is no folder")
    try:
        return _tell(_lines(given))
    except BrokenPipeError:  # of `| head`
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m pytest_graphmode", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    report = commands.add_parser("report", help="make the page of --graph-html from a file of --graph-json")
    report.add_argument("file", type=Path, metavar="FILE.json")
    report.add_argument("-o", dest="out", type=Path, metavar="FILE.html", help="default: FILE.html beside it")
    records = commands.add_parser(
        "records",
        usage="python -m pytest_graphmode records DIR | diff A B | prune DIR",
        help="list, compare and prune folders of --graph-records",
    )
    actions = records.add_subparsers(required=True, dest="action", metavar="DIR | diff | prune")
    listed = actions.add_parser("list", help="the records of a folder, test by test")
    listed.add_argument("folders", nargs=1, type=Path, metavar="DIR")
    compared = actions.add_parser(
        "diff", help="how the records of the second folder differ from the nearest ones of the first"
    )
    compared.add_argument("folders", nargs=2, type=Path, metavar="DIR")
    for name in ("rtol", "atol"):
        compared.add_argument(f"--{name}", type=float, help="instead of the default for the dtype")
    pruned = actions.add_parser(
        "prune", help="remove the records of tests that are gone, by what pytest collects in this folder, its root"
    )
    pruned.add_argument("folders", nargs=1, type=Path, metavar="DIR")
    pruned.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    pruned.add_argument("arguments", nargs="*", metavar="-- ARGUMENT", help="arguments for pytest, such as -p PLUGIN")
    return parser


def _report(parser: argparse.ArgumentParser, file: Path, out: Path | None) -> int:
    from pytest_graphmode.records.replacing import check_writable
    from pytest_graphmode.report import document, html, validity

    out = file.with_suffix(".html") if out is None else out
    if not html.installed():
        parser.error(html.CURE)
    if out.resolve() == file.resolve():
        parser.error(f"{out}: the page would replace the report: name another file, -o FILE.html")
    try:
        report = document.read(file)
        if (problem := validity.problem(report)) is not None:
            parser.error(f"{file}: the report is damaged: {problem}: make it again, with --graph-json={file}")
        check_writable(out)
        html.write_page(out, report)
    except document.ReportError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"{out}: the page can't be written: {error.strerror or error}")
    print(f"graph report written to {out}")
    return 0


def _lines(given: argparse.Namespace) -> Iterable[str]:
    # Here, since NumPy takes time to import and `--help` needs none of it.
    from pytest_graphmode.records import commands

    if given.action == "list":
        return commands.listing(*given.folders)
    if given.action == "diff":
        from pytest_graphmode.records.disagreement import Allowed

        before, after = given.folders
        return commands.diff(before, after, Allowed(given.rtol, given.atol))
    (root,) = given.folders
    files = sorted(commands.test_files(root))
    if not files:
        return commands.prune(root, (), dry=given.dry_run)
    from pytest_graphmode.run.existing import CollectionFailedError, tests_in

    try:
        tests = tests_in(files, root, given.arguments)
    except CollectionFailedError as error:
        return [commands.Complaint(f"nothing is removed, since the tests can't be collected:\n{error}")]
    return commands.prune(root, tests, dry=given.dry_run)


def _tell(lines: Iterable[str]) -> int:
    from pytest_graphmode.records.commands import Complaint

    code, encoding = 0, sys.stdout.encoding or "utf-8"  # which may lack what is in a test's id
    for line in lines:
        print(line.encode(encoding, "backslashreplace").decode(encoding))
        code |= isinstance(line, Complaint)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
