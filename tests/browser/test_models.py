"""A real Chromium on the Models page: load, unload, playground, and a collection re-embedded with CLIP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.helpers.chromium import JOB_MS, LOAD_MS, READY, pick, press, served_with, tab_of
from tests.helpers.data import real_photos
from tests.helpers.tiny_models import build_clip_saved

CLIP = "sentence-transformers/clip-ViT-B-32"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[str]:
    """Run the app with a dozen photographs, beside a cache of the hub with a tiny CLIP, and a dead hub."""
    cache = tmp_path_factory.mktemp("hub")
    repo = cache / "hub" / f"models--{CLIP.replace('/', '--')}"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("a" * 40)
    (repo / "snapshots").mkdir()
    build_clip_saved(repo / "snapshots" / ("a" * 40))
    env = {"HF_HOME": str(cache), "HF_ENDPOINT": "http://127.0.0.1:9"}
    photos = real_photos(tmp_path_factory.mktemp("real"), 12)
    with served_with(tmp_path_factory.mktemp("app"), photos, models_dir, **env) as address:
        yield address


def models_page(page, server) -> None:
    page.goto(f"{server}/Models")
    page.get_by_text("All models").wait_for(timeout=JOB_MS)
    page.wait_for_selector(READY)


def choose(page, model: str) -> None:
    box = page.get_by_role("combobox", name="Model", exact=False).first
    pick(page, box, page.get_by_role("option", name=re.compile(re.escape(model))).first, typed=model)


def choose_folder(page, folder: Path) -> None:
    choose(page, "Another one")
    box = page.get_by_label("Hub id, or a folder on this machine")
    box.fill(str(folder))
    box.press("Enter")
    page.wait_for_selector(READY)
    expect(box).to_have_value(str(folder))


def load(page, model: str) -> None:
    choose(page, model)
    press_load(page, model)


def press_load(page, model: str) -> None:
    began = loaded(page, model).or_(page.locator('[data-testid="stProgress"]'))
    press(page, page.locator(".st-key-load button"), began)
    loaded(page, model).wait_for(timeout=LOAD_MS)


def loaded(page, model: str):
    return page.locator('[class*="st-key-loaded_"]').filter(has_text=model)


def test_a_model_is_loaded_and_unloaded(page, server):
    models_page(page, server)
    load(page, "clip-ViT-B-32")
    for words in ("texts, pictures", "cpu · float32", "one text"):
        expect(loaded(page, "clip-ViT-B-32")).to_contain_text(words)
    loaded(page, "clip-ViT-B-32").get_by_role("button").click()
    loaded(page, "clip-ViT-B-32").wait_for(state="detached")


def test_two_visitors_who_load_one_model_get_one(page, server, browser):
    models_page(page, server)
    with tab_of(browser) as other:
        models_page(other, server)
        choose(page, "clip-ViT-B-32")
        choose(other, "clip-ViT-B-32")
        page.locator(".st-key-load button").click()
        other.locator(".st-key-load button").click(no_wait_after=True)
        for tab in (other, page):
            tab.bring_to_front()  # Streamlit does not poll for a tab that nobody sees
            loaded(tab, "clip-ViT-B-32").wait_for(timeout=LOAD_MS)
    models_page(page, server)
    expect(loaded(page, "clip-ViT-B-32")).to_have_count(1)


def test_a_hub_that_is_out_of_reach_is_said_and_names_the_models_here(page, server):
    models_page(page, server)
    choose(page, "Qwen3-VL-Embedding-2B")
    page.locator(".st-key-download button").first.click()
    answer = page.get_by_text("does not answer")
    answer.wait_for(timeout=JOB_MS)
    expect(answer).to_contain_text(CLIP)


def test_a_folder_that_is_no_model_is_refused_in_words(page, server, tmp_path):
    models_page(page, server)
    choose_folder(page, tmp_path)
    page.locator(".st-key-load button").click()
    page.get_by_text("neither config.json nor modules.json").wait_for()


def test_the_playground_compares_with_pocket_and_scores_with_the_reranker(page, server, tiny):
    models_page(page, server)
    choose_folder(page, tiny("qwen_reranker"))  # by the catalog it would need 16 GB of free memory
    press_load(page, "qwen_reranker")
    page.get_by_text("Playground", exact=True).first.click()
    chart, asked = page.locator(".js-plotly-plot").first, page.locator('[class*="st-key-play_go_"] button')
    chart.or_(asked).first.wait_for()
    if asked.count():  # a busy machine was measured as too slow to compare without a word
        asked.first.click()
    chart.wait_for(timeout=LOAD_MS)
    page.wait_for_selector(READY)
    page.get_by_text("Pocket").first.wait_for(state="attached")


def test_a_collection_is_made_again_with_clip_beside_the_old_ones_and_searched(page, server):
    page.goto(f"{server}/Library?browse=photos&remake=yes")
    page.get_by_text("Embeds all 24 items again").wait_for()
    page.wait_for_selector(READY)  # a list that is opened while the page is drawn closes again
    option = page.get_by_role("option", name="clip-ViT-B-32").first
    pick(page, page.locator(".st-key-remake_model input"), option, typed="clip-ViT-B-32")
    load, measured = page.locator(".st-key-remake_load button"), page.get_by_text("(measured on one)")
    load.or_(measured).first.wait_for()
    if load.count():
        load.click()
    measured.wait_for(timeout=LOAD_MS)
    page.get_by_text("Make a new collection").click()
    page.wait_for_selector(READY)
    page.locator(".st-key-remake_go button").click()
    job = page.locator('[class*="st-key-job_"]').filter(has_text="Re-embed photos with")
    done = job.get_by_text("24 items stored")
    slow = job.get_by_role("button", name="Start anyway")  # a machine that was busy when measured
    done.or_(slow).first.wait_for(timeout=LOAD_MS)
    if slow.count():
        slow.click()
    done.wait_for(timeout=LOAD_MS)
    page.goto(f"{server}/Search?collection=photos-2&q=a+bee+on+a+flower")
    page.get_by_text(f"model {CLIP}").wait_for(timeout=LOAD_MS)
    expect(page.locator('[class*="st-key-grid_hit"] .gs-card')).to_have_count(12)
