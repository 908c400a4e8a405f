"""A real browser, Chromium without a window, for the HTML report of made-up reports: no framework is needed."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_graphmode.report import html
from tests.report import many

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync"""
Page = Any
Opened = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One for all tests; it makes an empty profile of its own."""
    pytest.importorskip("jinja2", reason="the page is made by Jinja2: pip install jinja2")
    sync_api = pytest.importorskip("playwright.sync_api", reason="the browser is driven by pip install playwright")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS.split())
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Opened]:
    """Opens the page of a report from disk; at the end it has logged nothing and asked for nothing else.

    It waits until what `shown` selects is there."""
    contexts, complaints = [], []

    def open_page(
        report: dict[str, Any] | None = None, at: str = "", shown: str = "body", width: int = 1280, **options: Any
    ) -> Page:
        file = tmp_path / "report.html"
        html.write_page(file, many.report(tests=3) if report is None else report)
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        context.set_default_timeout(8000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(file.as_uri()) else complaints.append(asked.url))
        page.goto(file.as_uri() + at)
        page.wait_for_selector(shown)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture
def detail(opened: Opened) -> Page:
    """The page of the first of three tests."""
    return opened(at=many.FIRST, shown="#detail h2")
