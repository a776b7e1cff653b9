"""Streamlit's own test harness on the app's pages: open one, read its words, wait for its models and maps."""

from __future__ import annotations

import re
import time
from html import unescape

import numpy as np
from streamlit.testing.v1 import AppTest

from engine.evaluation.judgements import Judgements
from tests.helpers.data import ROOT

PAGES = [
    "streamlit_app.py",
    "pages/1_Search.py",
    "pages/2_Rerank.py",
    "pages/3_Map.py",
    "pages/4_Gap_lab.py",
    "pages/5_Evaluate.py",
    "pages/6_Library.py",
    "pages/7_Models.py",
]
LIBRARY = "pages/6_Library.py"


def page(path: str, **query: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / PAGES[0]), default_timeout=240)
    if path != PAGES[0]:
        app = app.switch_page(path)
    for key, value in query.items():
        app.query_params[key] = value
    return app.run()


def words(app: AppTest) -> str:
    parts = [*app.info, *app.error, *app.warning, *app.caption, *app.markdown, *app.text]
    read = [str(part.value).replace("\\", "") for part in parts]
    return "\n".join([*read, *explained_captions(app)])


def explained_captions(app: AppTest) -> list[str]:
    """Return the captions that `glossary.caption` has drawn, as one reads them."""
    drawn = [block.proto.body for block in app.get("html") if 'class="gs-said"' in block.proto.body]
    return [unescape(re.sub(r"<[^>]+>", "", body)) for body in drawn]


def until_loaded(app: AppTest) -> AppTest:
    """Run a page again until no model is being loaded for it, as the browser does."""
    from pages.ui import resources

    ends = time.monotonic() + 240
    while resources.boot().workspace.models.loads.is_running() and time.monotonic() < ends:
        time.sleep(0.2)
    return app.run()


def resources_closed() -> None:
    """Forget the loaded models, as a restart does."""
    from pages.ui import resources

    workspace = resources.boot().workspace
    for model in workspace.models.loaded.list():
        workspace.models.loaded.unload(model.choice)


def marks() -> Judgements:
    return Judgements(workspace().ledger)


def workspace():
    from pages.ui import resources

    state = resources.boot()
    state.wait(240)
    return state.workspace


def until_fitted(app):
    """Run the page again until its maps are there, as its own polling does in a browser."""
    from pages.ui import resources

    ends = time.monotonic() + 240
    while time.monotonic() < ends:
        jobs = resources.boot().jobs
        if jobs is not None and not (jobs.active() and jobs.active().spec.kind == "fit-map"):
            begun = len(jobs.list())
            app = app.run()
            if len(jobs.list()) == begun:  # a fit begun by this run may be over already, and not drawn
                return app
        time.sleep(0.2)
    raise AssertionError("the map was not fitted")


def shown(**query: str):
    app = until_fitted(page("pages/3_Map.py", **query))
    assert not app.exception
    return app


def texts(app) -> str:
    return words(app) + "\n".join(str(block.proto.body) for block in app.get("html"))


def put(vectors, modality="image", collection="mine", start=0, *, paired=True, **fields):
    """Store given vectors, as an import does; of several modalities, the n-th of each belong together."""
    from engine.types import Item, Provenance, VectorTable

    open_ = workspace()
    rows = np.asarray(vectors, np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    table = VectorTable(tuple(f"{start + n:064x}" for n in range(len(rows))), rows)
    made_by = Provenance.of_import("test", rows.shape[1])
    if open_.ledger.provenance(collection) is None:
        open_.ledger.set_provenance(collection, made_by)
    items = [
        Item(id_, modality, f"{n}.jpg", "", f"pair {n}" if paired else id_, **fields)
        for n, id_ in enumerate(table.ids)
    ]
    open_.ledger.put(collection, items, table)
    open_.store.upsert(collection, made_by, modality, items, table)
    return table


def until_computed(app):
    """Draw the page again once all that is computed for pages has ended, as its polling does in a browser."""
    from pages.ui import resources

    for work in list(resources.works()._works.values()):
        assert work.ended.wait(120)
    return app.run()


def settled(app: AppTest) -> AppTest:
    """Run the page again once no job is active, as its own fragment does."""
    from pages.ui import resources

    jobs, ends = resources.boot().jobs, time.monotonic() + 240
    while jobs and jobs.active() and time.monotonic() < ends:
        time.sleep(0.05)
    app.run()
    assert not app.exception
    return app
