"""What the browser tests share: their mark, a Chromium per file, and what a page shows where a test fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.chromium import CHROMIUM, chromium, tab_of

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder, and skip it where there is no browser."""
    missing = "no Chromium is installed (Debian: apt-get install chromium-headless-shell)"
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.skipif(CHROMIUM is None, reason=missing))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Tell what its page shows where a browser test fails: a machine far away keeps nothing else."""
    report = yield
    page = getattr(item, "funcargs", {}).get("page")
    if report.when == "call" and report.failed and hasattr(page, "inner_text"):
        try:
            report.sections.append((f"page {page.url}", page.inner_text("body", timeout=5_000)))
        except Exception as error:  # noqa: BLE001 - the page may be what is broken
            report.sections.append(("page", f"cannot be read: {error}"))
    return report


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """Start a Chromium for the browser tests of a file."""
    with chromium(tmp_path_factory.mktemp("profile")) as context:
        yield context


@pytest.fixture
def page(browser: object, server: str) -> Iterator[object]:
    """Open a tab for a browser test, once the `server` of its file answers."""
    with tab_of(browser) as tab:
        yield tab
