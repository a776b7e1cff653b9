"""A real browser takes figures, the map, a view and a report away, and opens what it got."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.helpers.chromium import JOB_MS, READY, becomes, overflow, served_with
from tests.helpers.data import real_photos
from tests.helpers.map_page import open_map


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[str]:
    photos = real_photos(tmp_path_factory.mktemp("real"), 24)
    with served_with(tmp_path_factory.mktemp("take"), photos, models_dir) as address:
        yield address


def taken(page, press) -> tuple[str, Path]:
    """Return the name and the place of what a press downloads."""
    with page.expect_download(timeout=JOB_MS) as download:
        press()
    return download.value.suggested_filename, download.value.path()


def contrast(path: Path) -> float:
    """Return how far the darkest and the lightest grey of a picture are apart, in [0, 1], if it is opaque."""
    with Image.open(path) as picture:
        assert picture.convert("RGBA").getextrema()[3] == (255, 255)
        low, high = picture.convert("L").getextrema()
    return (high - low) / 255


def camera(page):
    page.locator(".stPlotlyChart").first.hover()
    page.locator('.modebar-btn[data-title^="Download plot"]').first.click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_figure_is_saved_as_png_and_svg_with_its_data_on_a_phone(page, server, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{server}/Gap_lab?view=Change")
    page.locator(".stPlotlyChart .main-svg").first.wait_for(timeout=JOB_MS)
    page.wait_for_selector(READY)
    name, path = taken(page, lambda: camera(page))
    assert name == "gapscope-photos-as-it-is-map.png" and contrast(path) > 0.5
    page.get_by_role("button", name="Save").first.click()
    name, path = taken(page, lambda: page.get_by_role("button", name="Data as CSV").click())
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"))))
    assert name.endswith(".csv") and sum(one["trace"] == "pictures" for one in rows) == 12
    assert overflow(page) <= 0
    page.get_by_text("SVG", exact=True).click()
    page.wait_for_selector(READY)
    page.keyboard.press("Escape")
    name, path = taken(page, lambda: camera(page))
    assert name == "gapscope-photos-as-it-is-map.svg" and "<svg" in path.read_text("utf-8")


def test_the_map_is_saved_as_a_picture_of_its_points(page, server):
    open_map(page, server)
    name, path = taken(page, lambda: page.locator('[data-tool="save"]').click())
    assert name == "gapscope-photos-umap.png"
    with Image.open(path) as picture:
        colours = sorted(picture.convert("RGB").getcolors(1 << 24), reverse=True)
    assert len(colours) > 2 and min(colours[1][0], colours[2][0]) > 200  # pictures and texts on a ground


def test_a_view_opens_from_its_file_and_a_report_without_a_network(page, server, tmp_path):
    page.goto(f"{server}/Gap_lab?view=Change&change_share=0.5")
    page.locator(".stPlotlyChart .main-svg").first.wait_for(timeout=JOB_MS)
    page.wait_for_selector(READY)
    page.get_by_role("button", name="Take away").click()
    _, path = taken(page, lambda: page.get_by_role("button", name="This view as JSON").click())
    view = tmp_path / "view.json"
    view.write_bytes(path.read_bytes())
    assert json.loads(view.read_text())["settings"]["change_share"] == 0.5
    page.get_by_role("button", name="Make a report of photos").click()
    _, path = taken(page, lambda: page.get_by_role("button", name="The report as HTML").click())
    report = tmp_path / "gap.html"
    report.write_bytes(path.read_bytes())

    page.goto(f"{server}/Gap_lab?view=Lessons")
    page.get_by_role("button", name="Take away").wait_for(timeout=JOB_MS)
    page.wait_for_selector(READY)
    page.get_by_role("button", name="Take away").click()
    page.locator('input[type="file"]').set_input_files(view)
    page.get_by_text("Nothing stored is changed").wait_for(timeout=JOB_MS)
    expect(page.get_by_role("slider")).to_have_value("0.5")

    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    expect(page.locator(".js-plotly-plot .main-svg .lines path").first).to_be_attached()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    page.set_viewport_size({"width": 390, "height": 844})
    becomes(page, lambda: page.evaluate("document.documentElement.scrollWidth"), 390)
