"""A real browser walks the lessons: predict, reveal, reset, a link, the teacher's arrow keys, on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from pages.ui.gap.lessons.catalog import LESSONS
from tests.helpers.chromium import LOAD_MS, READY, overflow, press, served_with
from tests.helpers.data import real_photos


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[str]:
    photos = real_photos(tmp_path_factory.mktemp("real"), 40)
    with served_with(tmp_path_factory.mktemp("lessons"), photos, models_dir) as address:
        yield address


def reveal(page) -> None:
    begun = page.get_by_text("Source: ").or_(page.locator('[data-testid="stProgress"]'))
    press(page, page.get_by_role("button", name="Reveal"), begun)
    page.get_by_text("Source: ").wait_for(timeout=LOAD_MS)
    page.wait_for_selector(READY)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda one: one.slug)
def test_a_lesson_is_predicted_revealed_and_reset(page, server, lesson):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{server}/Gap_lab?lesson={lesson.number}")
    page.get_by_role("heading", name=lesson.title).wait_for()
    expect(page.get_by_text("Source: ")).to_have_count(0)
    page.get_by_text(lesson.choices[-1], exact=True).first.click()
    reveal(page)
    page.get_by_text(re.compile("(As you|You) expected")).wait_for()
    assert overflow(page) <= 0
    press(page, page.get_by_role("button", name="Reset"), page.get_by_role("button", name="Reveal"))
    expect(page.get_by_text("Source: ")).to_have_count(0)


def test_a_link_opens_a_lesson_with_its_settings(page, server):
    page.goto(f"{server}/Gap_lab?lesson=5&towers_temperature=0.2")
    page.get_by_role("heading", name="Make a gap").wait_for()
    reveal(page)
    page.get_by_text(re.compile("At .*temperature.* 0.2, ")).first.wait_for()
    page.get_by_role("button", name="Link").click()
    expect(page.locator("code")).to_contain_text("towers_temperature=0.2")


def test_arrow_keys_walk_in_the_teachers_view(page, server):
    page.goto(f"{server}/Gap_lab?lesson={LESSONS[0].number}&teach=yes")
    page.get_by_role("heading", name=LESSONS[0].title).wait_for()
    page.get_by_text("Notes for the speaker").wait_for()
    turned(page, "ArrowRight", lambda at: at != f"1 · {LESSONS[0].title}")
    turned(page, "ArrowLeft", lambda at: at == f"1 · {LESSONS[0].title}")


def turned(page, key: str, done) -> None:
    """Press a key until the lesson is another: one that comes before the page listens is lost."""
    title = page.locator("h2").first
    for _ in range(20):
        page.wait_for_selector(READY)
        page.keyboard.press(key)
        page.wait_for_timeout(2_000)
        if done(title.inner_text()):
            return
    raise AssertionError(f"{key} turned no lesson")
