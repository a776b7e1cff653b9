"""The Evaluate page in Streamlit's own test harness: empty, full, hostile, and what it says of a result."""

from __future__ import annotations

from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

from engine.evaluation.questions import Direction
from pages.ui.evaluate.form import in_words
from pages.ui.evaluate.results import rerank_link
from tests.helpers.data import generated_photos, real_photos
from tests.helpers.pages import page, words
from tests.helpers.workspaces import fill

pytestmark = pytest.mark.usefixtures("app_folder")
EVALUATE = "pages/5_Evaluate.py"


def test_a_collection_without_captions_says_what_to_do(app_folder):
    folder = generated_photos(app_folder / "bare", 2)
    (folder / "metadata.jsonl").unlink()
    fill(app_folder, folder)
    app = page(EVALUATE)
    assert not app.exception and not app.error
    assert "has no questions with known answers" in words(app)
    assert not [button for button in app.button if button.label == "Measure"]


def test_one_captioned_picture_can_be_measured(app_folder):
    fill(app_folder, generated_photos(app_folder / "one", 1))
    app = page(EVALUATE)
    app.selectbox(key="evaluate_reranker").select("none").run()
    app.button(key="evaluate_go").click().run()
    from pages.ui import resources

    job = resources.boot().jobs.list()[0]
    while job.active:
        app.run()
    app = page(EVALUATE)
    assert not app.exception and not app.error
    assert "1 questions against 1 pictures" in words(app)
    table = next(one.value for one in app.dataframe if "metric" in one.value.columns)
    shown = dict(zip(table["metric"], table["retrieved"], strict=True))
    assert {"hit@1", "recall@5", "precision@5", "MAP@10", "MRR", "nDCG@10"} <= set(shown)
    assert shown["MAP@10"].startswith("1.000") and shown["precision@5"].startswith("0.200")


@pytest.mark.parametrize("query", [{"e": "../../etc/passwd"}, {"e": "x" * 5000}, {"e": "<script>"}])
def test_hostile_addresses_never_show_an_exception(query, app_folder):
    fill(app_folder, real_photos(app_folder / "real", 3))
    from pages.ui import resources

    page(EVALUATE)
    workspace = resources.boot().workspace
    from engine.evaluation.results import Plan

    workspace.evaluations.keep(workspace.evaluate(Plan("photos")))
    app = page(EVALUATE, **query)
    assert not app.exception and not app.error
    assert "no longer kept here" in words(app)


def test_the_marks_of_a_collection_are_there(app_folder):
    fill(app_folder, generated_photos(app_folder / "some", 2))
    assert "Nothing is judged yet" in words(page(EVALUATE))


@pytest.mark.parametrize(
    ("balance", "show", "order"), [(None, "Pictures", "raw"), ("centred", "All", "centred")]
)
def test_a_question_has_its_address_on_the_rerank_page(balance, show, order):
    evaluation = SimpleNamespace(
        plan=SimpleNamespace(top=50, collection="my photos", balance=balance),
        reranked_by=SimpleNamespace(model="pocket-reranker"),
        direction=Direction("text", "image"),
    )
    link = urlsplit(rerank_link(evaluation, SimpleNamespace(shown='a "b" & <c>')))
    assert link.path == "Rerank" and parse_qs(link.query) == {
        "q": ['a "b" & <c>'],
        "collection": ["my photos"],
        "reranker": ["pocket-reranker"],
        "show": [show],
        "balance": [order],
        "k": ["50"],
        "top": ["50"],
    }


@pytest.mark.parametrize(
    ("truth", "way", "said"),
    [
        ("pairs", ("text", "image"), "Captions ask for their pictures"),
        ("pairs", ("image", "text"), "Pictures ask for their captions"),
        ("labels", ("text", "image"), "Labels ask for the pictures that have them"),
        ("labels", ("image", "image"), "Pictures ask for others with the same label"),
        ("judgements", ("image", "text"), "Your marks: pictures ask for texts"),
    ],
)
def test_questions_are_named_in_words(truth, way, said):
    assert in_words(truth, Direction(*way)) == said


def test_the_address_chooses_the_collection(app_folder):
    photos = real_photos(app_folder / "real", 3)
    for name in ("first", "second"):
        fill(app_folder, photos, name)
    assert page(EVALUATE, collection="second").multiselect(key="evaluate_collections").value == ["second"]
    assert page(EVALUATE, collection="gone").multiselect(key="evaluate_collections").value == ["first"]


def test_what_a_reranker_made_worse_is_one_click_from_the_rerank_page(app_folder):
    from engine.evaluation.results import Plan
    from engine.models.base import ModelChoice
    from pages.ui import resources

    fill(app_folder, real_photos(app_folder / "real", 6))
    asked = {"q": "a wild animal", "k": "10", "top": "3"}
    assert "which get worse" in links(page("pages/2_Rerank.py", **asked))
    workspace = resources.boot().workspace
    plan = Plan("photos", reranker=ModelChoice("pocket-reranker"), top=5)
    kept = workspace.evaluate(plan)
    workspace.evaluations.keep(kept)
    app = page("pages/2_Rerank.py", **asked)
    assert not app.exception and not app.error
    summary = kept.summary
    said = f"Over 6 questions pocket-reranker makes {summary.wins} better and {summary.losses} worse"
    assert said in [one.label for one in app.expander]
    assert "The whole evaluation" in links(app)
    listed = [block.proto.body for block in app.get("html") if 'class="gs-worse"' in block.proto.body]
    assert len(listed) == 1 and listed[0].count("<li>") == len(kept.worse)


def links(app) -> str:
    return "\n".join(one.proto.label for one in app.get("page_link"))
