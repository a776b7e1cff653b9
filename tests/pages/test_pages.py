"""Every page runs without an exception in Streamlit's own test harness, full and empty and hostile."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
import time

import pytest

from engine.models.base import ModelChoice
from tests.helpers.data import ROOT, generated_photos, real_photos
from tests.helpers.pages import PAGES, page, resources_closed, until_loaded, words
from tests.helpers.workspaces import cli_env, fill

pytestmark = pytest.mark.usefixtures("app_folder")


@pytest.mark.parametrize("path", PAGES)
def test_an_empty_folder_shows_what_to_do(path):
    app = page(path)
    assert not app.exception
    assert not app.error
    if path != "streamlit_app.py":
        assert "pictures" in words(app)


@pytest.mark.parametrize("path", PAGES)
def test_a_full_folder_shows(path, app_folder):
    fill(app_folder, real_photos(app_folder / "real", 8))
    app = page(path, q="a bird")
    assert not app.exception
    assert not app.error


def test_a_search_says_what_was_searched_and_shows_cards(app_folder):
    fill(app_folder, real_photos(app_folder / "real", 30))
    app = page("pages/1_Search.py", q="a wild animal", k="48")
    assert not app.exception
    assert "30 of 30 pictures · model pocket" in words(app)
    cards = [block for block in app.get("html") if 'class="gs-card"' in block.proto.body]
    assert len(cards) == 24  # the first of two pages


@pytest.mark.parametrize(
    "query",
    [
        {"q": "\x00\x07"},
        {"q": "x" * 4096},
        {"q": "x" * 100_000},
        {"q": "一只蜜蜂在花上"},
        {"q": "/etc/hostname.png"},
        {"like": "nothing"},
        {"like": "../../etc/passwd"},
        {"picture": "../../etc/passwd"},
        {"picture": "0" * 64},
        {"collection": "missing", "q": "dog"},
        {"k": "abc", "q": "dog"},
        {"show": "<script>", "q": "dog"},
        {"page": "999", "q": "dog"},
        {"labels": "no such label", "q": "dog"},
    ],
)
def test_hostile_addresses_never_show_an_exception(query, app_folder):
    fill(app_folder, generated_photos(app_folder / "made", 4))
    app = page("pages/1_Search.py", **query)
    assert not app.exception
    assert "unexpected" not in words(app)


def test_a_store_in_use_is_named_and_the_page_recovers(app_folder):
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD],
        cwd=ROOT,
        env=cli_env(app_folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline().strip() == "held"
    app = page("pages/1_Search.py")
    assert not app.exception
    assert "another process" in words(app)
    holder.communicate("done\n", timeout=240)
    app.button(key="boot_retry").click().run()
    assert not app.error


def test_models_says_what_runs_here_and_why_the_rest_does_not(app_folder, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(app_folder / "hub"))
    app = page("pages/7_Models.py")
    assert not app.exception
    [table] = app.dataframe
    here = dict(zip(table.value["model"], table.value["here"], strict=True))
    assert len(here) == 33 and here["Pocket"] in ("ready", "in memory")
    assert here["clip-ViT-B-16"] == "not downloaded"
    assert re.match(r"not downloaded|needs [\d.]+ GB on", here["Qwen3-Reranker-8B"])  # a larger machine
    assert here["BGE-VL-base"] == "runs Python code of its own"
    assert "vector per token" in here["colSmol-256M"]


@pytest.mark.parametrize(
    "typed", ["no/such/model/path", "../../etc", "a b c", "/etc", "x" * 300, "\x00", "gpt"]
)
def test_any_model_may_be_typed_in_and_is_refused_in_words(app_folder, typed):
    app = page("pages/7_Models.py")
    app.selectbox(key="model").set_value("Another one …").run()
    app.text_input(key="typed_model").set_value(typed).run()
    assert not app.exception
    app.button(key="load").click().run()
    ends = time.monotonic() + 240
    while not app.error and time.monotonic() < ends:
        time.sleep(0.2)
        app.run()
    assert not app.exception and app.error
    assert "unexpected" not in words(app).lower()


def test_a_collection_whose_model_changed_is_refused_with_the_button_that_makes_it_again(app_folder, tiny):
    model = app_folder / "model"
    shutil.copytree(tiny("clip"), model)
    fill(app_folder, generated_photos(app_folder / "made", 4), "mine", ModelChoice(str(model)))
    app = until_loaded(page("pages/1_Search.py", q="a dog", collection="mine"))
    assert not app.error and "4 of 4 pictures" in words(app)
    resources_closed()
    config = model / "config.json"
    config.write_text(config.read_text() + "\n")
    app = until_loaded(page("pages/1_Search.py", q="a dog", collection="mine"))
    assert not app.exception and "cannot be compared with it (revision" in words(app)
    assert app.button(key="to_remake")


def test_a_setting_that_is_wrong_is_named(app_folder, monkeypatch):
    monkeypatch.setenv("GAPSCOPE_THREADS", "many")
    app = page("streamlit_app.py")
    ends = time.monotonic() + 240
    while "GAPSCOPE_THREADS" not in words(app) and time.monotonic() < ends:
        time.sleep(0.2)
        app.run()
    assert "GAPSCOPE_THREADS" in words(app)
    monkeypatch.setenv("GAPSCOPE_THREADS", "2")
    from pages.ui import resources

    resources.boot.clear()


@pytest.mark.slow
def test_torch_is_not_loaded_by_a_page(app_folder):
    code = (
        "import sys, time\n"
        "from streamlit.testing.v1 import AppTest\n"
        f"app = AppTest.from_file({str(ROOT / 'streamlit_app.py')!r}, default_timeout=240).run()\n"
        "assert not app.exception\n"
        "heavy = [n for n in ('torch', 'umap', 'transformers') if n in sys.modules]\n"
        "print(heavy)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=cli_env(app_folder), capture_output=True, text=True
    )
    assert done.stdout.strip().endswith("[]"), done.stderr


_HOLD = """
from engine.settings import load_settings
from engine.workspace import Workspace
workspace = Workspace.open(load_settings())
print("held", flush=True)
input()
workspace.close()
"""


def test_umap_is_compiled_when_the_jobs_of_the_start_are_done(app_folder, monkeypatch):
    from pages.ui import resources

    warm, seen = threading.Event(), []

    def compile_umap(items: int) -> None:
        seen.append(resources.boot().jobs.active())
        warm.set()

    monkeypatch.setenv("GAPSCOPE_WARM_UP", "true")
    monkeypatch.setattr("engine.maps.projection.warm_up", compile_umap)
    resources.boot()
    assert warm.wait(120) and seen == [None]
