"""The Rerank page in Streamlit's test harness: what it says and keeps, and any address that it is given."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from engine.types import Reranked
from tests.helpers.data import generated_photos, real_photos
from tests.helpers.pages import marks, page, until_loaded, words, workspace
from tests.helpers.workspaces import fill

pytestmark = pytest.mark.usefixtures("app_folder")
RERANK = "pages/2_Rerank.py"


class Told:
    """A reranker that gives every caption the score it is told, and counts how often it is asked."""

    def __init__(self, scores: dict[str, float], failed: dict[str, str] | None = None) -> None:
        self.scores, self.failed, self.asked = scores, failed or {}, 0

    def __call__(self, query, hits, choice, *, top=50):
        from dataclasses import replace

        self.asked += 1
        head = hits[:top]
        read = [hit for hit in head if hit.item.caption not in self.failed]
        scored = [replace(hit, rerank_score=self.scores.get(hit.item.caption, 0.0)) for hit in read]
        scored.sort(key=lambda hit: -hit.rerank_score)
        failed = [hit for hit in head if hit.item.caption in self.failed]
        ordered = [*scored, *failed, *hits[len(head) :]]
        return Reranked(
            model=choice.id,
            hits=tuple(hit.ranked(rank) for rank, hit in enumerate(ordered, start=1)),
            scored=len(scored),
            failed={hit.item.id: self.failed[hit.item.caption] for hit in failed},
            fresh=3,
            timings_ms={"open": 1200.0, "score": 40.0},
        )


@pytest.fixture
def photos(app_folder: Path) -> list[str]:
    """Ingest six photographs; returns their captions."""
    folder = app_folder / "real"
    fill(app_folder, real_photos(folder, 6))
    lines = (folder / "metadata.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["caption"] for line in lines]


def told(app_scores: dict[str, float], monkeypatch: pytest.MonkeyPatch, **more) -> Told:
    model = Told(app_scores, **more)
    monkeypatch.setattr(
        "engine.workspace.Workspace.rerank", lambda self, *args, **named: model(*args, **named)
    )
    return model


def said(app: AppTest) -> str:
    boxes = "\n".join(str(box.value) for box in app.success)
    return f"{boxes}\n{words(app)}".replace("**", "")


def html(app: AppTest) -> str:
    return "\n".join(block.proto.body for block in app.get("html"))


def ask(question: str, **query: str) -> AppTest:
    app = page(RERANK, q=question, **query)
    assert not app.exception
    assert "unexpected" not in words(app)
    return app


def first_mark(app: AppTest, what: str = "right") -> str:
    return next(one.key for one in app.button if (one.key or "").startswith(f"{what}_rr0_"))


def test_it_reranks_with_pocket_and_says_what_changed_and_what_it_cost(photos):
    app = ask("a bird")
    assert not app.error
    assert "All 6 there are (6 pictures) were retrieved, fewer than the 50 asked for." in words(app)
    assert "6 pictures were examined for the first time" in words(app)
    told = html(app)
    assert "pairs scored of 6" in told and "a pair" in told and "to embed the query" in told
    assert "Kendall&#x27;s tau" in told
    assert told.count('class="gs-rr" tabindex="0"') == 12  # the same cards on both sides
    assert "not known" in words(app)


def test_a_win_a_loss_and_a_tie_are_called_so(photos, monkeypatch):
    asked = photos[0]
    before = order(ask(asked))
    place = before.index(asked) + 1
    worst = {caption: rank for rank, caption in enumerate(before)}
    told({**worst, asked: -1.0}, monkeypatch)
    loss = said(ask(asked))
    assert f"It hurt: the right picture fell from {place} to 6" in loss
    assert "1 right picture, known because its caption is the question, word for word" in loss
    told({asked: 9.0}, monkeypatch)
    best = said(ask(asked))
    assert ("No difference" if place == 1 else "Worth it: the right picture rose") in best
    other = photos[1]
    start = order(ask(other)).index(other) + 1
    told({photo: 1.0 for photo in photos}, monkeypatch)
    tie = ask(other)
    assert f"No difference: the right picture stayed at {start}" in said(tie)
    assert "all scores are the same" in html(tie) and "Nothing moved" in said(tie)


def order(app: AppTest) -> list[str]:
    """Return the captions of the retrieved list."""
    return [hit.item.caption for hit in app.session_state["rerank_trace"][1].retrieval]


def test_a_right_picture_that_was_not_retrieved_is_said(photos, monkeypatch):
    app = ask(photos[0])
    last = order(app)[-1]
    told({}, monkeypatch)
    assert "Not among the" in said(ask(last, k="1")) or order(ask(last, k="1")) == [last]
    marks().mark("photos", "a bird", next(iter(workspace().ledger.ids("photos", "image"))), 1)
    everything = {hit.item.id for hit in ask("a bird").session_state["rerank_trace"][1].retrieval[:1]}
    for id_ in workspace().ledger.ids("photos", "image"):
        marks().mark("photos", "a bird", id_, None if id_ in everything else 1)
    one = said(ask("a bird", k="1"))
    assert "Not among the 1 retrieved: no reranker can bring it" in one
    assert "5 right pictures, marked by people here; 0 of 5" in one


def test_a_mark_changes_the_banner_and_asks_no_model(photos, monkeypatch):
    model = told({}, monkeypatch)
    app = ask("a bird")
    assert "not known" in words(app) and model.asked == 1
    app = app.button(key=first_mark(app)).click().run()
    assert not app.exception and model.asked == 1
    assert "No difference: the right picture stayed at 1" in said(app)
    assert "1 right picture, marked by people here" in said(app)
    assert html(app).count("✓ right answer") == 2  # on both sides
    app = app.button(key=first_mark(app)).click().run()
    assert "not known" in words(app) and "✓ right answer" not in html(app)


def test_another_question_or_depth_asks_again_and_the_same_one_does_not(photos, monkeypatch):
    model = told({}, monkeypatch)
    app = ask("a bird")
    app.run()
    assert model.asked == 1
    app.selectbox(key="top").set_value(10).run()
    assert model.asked == 2
    app.selectbox(key="top").set_value(50).run()
    assert model.asked == 2
    app.text_input(key="q").set_value("a castle").run()
    assert model.asked == 3
    workspace().delete_items("photos", workspace().ledger.ids("photos", "image")[:1])
    app.run()
    assert model.asked == 4 and "All 5 there are" in words(app)


def test_what_is_not_reranked_stands_below_a_divider(photos, monkeypatch):
    told({photo: rank for rank, photo in enumerate(photos)}, monkeypatch)
    app = ask("a bird", k="5", top="2")
    body = html(app)
    assert ">not reranked</div>" in body and ">reranked down to here</div>" in body
    assert body.count("as retrieved</span>") == 3
    assert "2 of 2 scored" in body
    last = app.session_state["rerank_trace"][1].retrieval[-1].item.id
    marks().mark("photos", "a bird", last, 1)
    app = ask("a bird", k="5", top="2")
    assert "No difference: the right picture stayed at 5, below the 2 that were reranked" in said(app)


def test_a_right_answer_is_shown_wherever_it_is(photos, monkeypatch):
    told({}, monkeypatch)
    monkeypatch.setattr("pages.ui.rerank.lists.FIRST", 1)
    app = ask("a bird")
    assert html(app).count('class="gs-rr" tabindex="0"') == 2 and "5 more</div>" in html(app)
    last = app.session_state["rerank_trace"][1].retrieval[-1].item.id
    marks().mark("photos", "a bird", last, 1)
    body = html(ask("a bird"))
    assert body.count('class="gs-rr" tabindex="0"') == 4 and "4 more</div>" in body
    assert body.count("✓ right answer") == 2


def test_one_hit_that_fails_is_below_the_scored_ones_and_says_why(photos, monkeypatch):
    told({}, monkeypatch, failed={photos[2]: "the <b>file</b> is gone"})
    app = ask("a bird")
    body = html(app)
    assert ">no score</div>" in body and "no score: the &lt;b&gt;file&lt;/b&gt; is gone" in body
    assert "5 of 6 scored" in body and not app.error


def test_texts_are_beyond_pockets_reranker_and_that_is_said(photos):
    app = ask("a bird", show="Texts", top="10")
    assert not app.error
    assert "Nothing was reranked: pocket-reranker gave no score to any of 6 hits" in said(app)
    assert html(app).count('class="gs-rr" tabindex="0"') == 12  # the lists are there all the same
    app = ask("a bird", show="All")
    assert "gave no score for 6 of 12 hits" in said(app) and "That is the modality gap" in said(app)
    assert "6 of 12 scored" in html(app)


def test_a_picture_as_question_is_beyond_pockets_reranker(photos, app_folder):
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "green").save(out, "WEBP")
    name = hashlib.sha256(out.getvalue()).hexdigest()
    (app_folder / "questions").mkdir(exist_ok=True)
    (app_folder / "questions" / f"{name}.webp").write_bytes(out.getvalue())
    app = page(RERANK, picture=name)
    assert not app.exception and not app.error
    assert "Nothing was reranked" in said(app) and "for a question in image" in said(app)
    app = app.button(key=first_mark(app)).click().run()
    assert len(marks().for_question("photos", f"image:{name}")) == 1


def test_one_item_is_enough(app_folder):
    fill(app_folder, generated_photos(app_folder / "made", 1))
    app = ask("a bird")
    assert not app.error and "needs two scored hits" in html(app)


def test_without_a_question_one_is_asked_for(photos):
    app = page(RERANK)
    assert not app.exception and "Type a few words" in words(app)
    assert not any((one.key or "").startswith("rerank_example") for one in app.button)  # of the samples only


def test_the_samples_come_with_questions(app_folder):
    fill(app_folder, generated_photos(app_folder / "made", 3), "samples")
    app = page(RERANK)
    app = app.button(key="rerank_example_1").click().run()
    assert app.text_input(key="q").value == "a red boat on the water"
    assert not app.exception and html(app).count('class="gs-rr" tabindex="0"') == 6


UNKNOWN = [
    ({"reranker": "no/such-reranker"}, "not on this machine"),
    ({"reranker": "Qwen/Qwen3-VL-Reranker-2B"}, "not on this machine"),
    ({"reranker": "/etc"}, ""),
    ({"reranker": "../../etc/passwd"}, ""),
    ({"reranker": "\x00<script>"}, ""),
    ({"reranker": "[x](http://evil)" * 50}, ""),
    ({"reranker": "pocket"}, "is of kind 'embedder'"),
    ({"second": "no/such-reranker"}, "not on this machine"),
]
HOSTILE = [
    {"q": "\x00\x07"},
    {"q": "x" * 100_000},
    {"q": "<img src=x onerror=alert(1)>"},
    {"q": "/etc/hostname.png"},
    {"like": "nothing", "q": "dog"},
    {"like": "../../etc/passwd"},
    {"picture": "../../etc/passwd"},
    {"collection": "missing", "q": "dog"},
    {"k": "abc", "top": "-1", "q": "dog"},
    {"k": "9" * 5000, "top": "²", "q": "dog"},
    {"k": "1000", "top": "1000", "q": "dog"},
    {"k": "7", "top": "900", "q": "dog"},
    {"show": "<script>", "q": "dog"},
    {"second": "pocket-reranker", "q": "dog"},
    {"second": "", "reranker": "", "q": "dog"},
]


def test_an_unknown_reranker_is_an_error_in_words_beside_what_was_retrieved(app_folder, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(app_folder / "hub"))
    fill(app_folder, generated_photos(app_folder / "made", 3))
    for query, reason in UNKNOWN:
        app = page(RERANK, q="a dog", **query)
        assert not app.exception, query
        assert app.error and reason in words(app), query
        assert "unexpected" not in words(app).lower(), query
        assert html(app).count('class="gs-rr" tabindex="0"') >= 3, query


def test_hostile_addresses_never_show_an_exception(app_folder):
    fill(app_folder, generated_photos(app_folder / "made", 3))
    for query in HOSTILE:
        app = page(RERANK, **query)
        assert not app.exception, query
        assert "unexpected" not in words(app), query


def test_a_caption_is_no_markup(app_folder, monkeypatch):
    folder = generated_photos(app_folder / "made", 2)
    bad = "![x](http://evil/p.png) <img src=x onerror=alert(1)>"
    rows = [{"file_name": "0000.jpg", "caption": bad}, {"file_name": "0001.jpg", "caption": "a dog"}]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    fill(app_folder, folder)
    told({bad: 5.0}, monkeypatch)
    app = ask("a dog")
    assert "<img src=x" not in html(app)
    assert all("![x]" not in str(one.value) for one in app.markdown)


def test_another_language_is_warned_of(photos):
    assert words(ask("一只蜜蜂在花上")).count("the order is arbitrary") == 1
    assert "arbitrary" not in words(ask("a bee on a flower"))


def test_a_second_reranker_gets_a_column_and_their_agreement(photos, tiny, app_folder, monkeypatch):
    from pages.ui import resources

    hub = app_folder / "hub" / "models--Qwen--Qwen3-VL-Reranker-2B"
    (hub / "refs").mkdir(parents=True)
    (hub / "refs" / "main").write_text("a" * 40)
    shutil.copytree(tiny("qwen_reranker"), hub / "snapshots" / ("a" * 40))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(app_folder / "hub"))
    resources.local_models.clear()
    app = until_loaded(ask("a bird", second="Qwen/Qwen3-VL-Reranker-2B"))
    assert not app.exception and not app.error, words(app)
    assert "pocket-reranker and Qwen3-VL-Reranker-2B put" in said(app)
    assert html(app).count('class="gs-rr" tabindex="0"') == 18
    assert html(app).count("pairs scored of 6") == 2
    monkeypatch.setattr("pages.ui.rerank.models._SLOW_SECONDS", 0.0)
    app.text_input(key="q").set_value("a castle").run()
    assert "Qwen3-VL-Reranker-2B needs about" in words(app)
    app = app.button(key="rerank_1_slow").click().run()
    assert not app.exception and html(app).count("pairs scored of 6") == 2
    resources.local_models.clear()
