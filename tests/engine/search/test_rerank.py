"""Proves the order after reranking: with a reranker that is told its scores, and with real tiny ones."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from PIL import Image
from sentence_transformers import CrossEncoder

from engine.errors import MediaError, ModelError, ModelKindError, QueryError, UnreadableMediaError
from engine.models.base import ModelChoice, ModelSpec
from engine.search.rerank import Opened, rerank
from engine.search.search import Query
from engine.types import Filters, Hit, Item

JOINT = {("text", "text"), ("text", "image"), ("image", "image"), ("image", "text")}
ASKED = ("text", "a cat")


class Told:
    """A reranker whose scores are in the documents: ("text", "0.5"), or a picture so many pixels wide."""

    def __init__(self, pairs=JOINT, *, refused=()) -> None:
        self.spec, self.pairs = ModelSpec("told", "reranker", ("text",), "MIT", ""), pairs
        self.refused, self.calls = refused, []

    def can_read(self, query, document):
        return (query, document) in self.pairs

    def score(self, query, documents):
        assert documents
        assert all(self.can_read(query[0], kind) for kind, _ in documents)
        self.calls.append(list(documents))
        for _, content in documents:
            if content in self.refused:
                raise UnreadableMediaError("too long and thin")
        return np.array([float(content) for _, content in documents], np.float32)


def hit(number: int, modality: str = "text", caption: str = "", *, media: str | None = None) -> Hit:
    media = media if modality == "image" else None
    item = Item(f"{number:064x}", modality, f"{number}", "text/plain", "p", caption=caption, media=media)
    return Hit(number, item, 1 - number / 100, number)


def texts(*scores: float) -> list[Hit]:
    return [hit(number, caption=str(score)) for number, score in enumerate(scores, start=1)]


def opened(item: Item):
    """Open an item: a text's caption, a picture's `media` as its score; "gone" cannot be opened."""
    if item.media == "gone":
        raise MediaError("the file is gone")
    return Opened(item.media or item.caption)


def order(reranked) -> list[int]:
    return [int(one.item.name) for one in reranked.hits]


def test_hits_come_in_the_order_of_their_scores_with_new_ranks():
    found = rerank(ASKED, texts(0.1, 3, -2, 0.5), Told(), top=10, open_item=opened)
    assert order(found) == [2, 4, 1, 3]
    assert [one.rank for one in found.hits] == [1, 2, 3, 4]
    assert [one.retrieval_rank for one in found.hits] == [2, 4, 1, 3]
    assert [one.rerank_score for one in found.hits] == pytest.approx([3, 0.5, 0.1, -2])
    assert [one.score for one in found.hits] == pytest.approx([0.98, 0.96, 0.99, 0.97])
    assert (found.scored, found.notes) == (4, ())


def test_scores_may_all_be_negative_or_zero():
    assert order(rerank(ASKED, texts(-5, -1, -3), Told(), top=10, open_item=opened)) == [2, 3, 1]
    assert order(rerank(ASKED, texts(-5, 0, -3), Told(), top=10, open_item=opened)) == [2, 3, 1]


def test_ties_stay_as_they_were_retrieved():
    some = texts(1, 2, 1, 2, 1, 1, 2, 1, 2, 1, 1, 2)  # more than are opened at once
    found = rerank(ASKED, some, Told(), top=20, open_item=opened)
    assert order(found) == [2, 4, 7, 9, 12, 1, 3, 5, 6, 8, 10, 11]


def test_what_is_below_the_top_keeps_its_order_and_is_not_read():
    read = []
    found = rerank(
        ASKED, texts(1, 2, 99, 98), Told(), top=2, open_item=lambda item: read.append(item) or opened(item)
    )
    assert order(found) == [2, 1, 3, 4]
    assert [one.rerank_score is None for one in found.hits] == [False, False, True, True]
    assert [one.rank for one in found.hits] == [1, 2, 3, 4]
    assert (len(read), found.scored) == (2, 2)


@pytest.mark.parametrize("top", [1, 3, 5])
def test_p21_an_oracle_puts_first_what_was_in_its_head_and_own_scores_gain_nothing(top):
    for right in range(1, 6):
        told = [float(number == right) for number in range(1, 6)]
        found = order(rerank(ASKED, texts(*told), Told(), top=top, open_item=opened))
        assert (found[0] == right) == (right <= top)  # R@1 after = R@top before
        assert found[top:] == [number for number in range(1, 6) if number > top]
    assert order(rerank(ASKED, texts(5, 4, 3, 2, 1), Told(), top=top, open_item=opened)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("top", [0, 1, 5])
def test_no_hits_are_no_hits(top):
    model = Told()
    assert rerank(ASKED, (), model, top=top, open_item=opened).hits == ()
    assert not model.calls


def test_a_top_of_none_changes_nothing():
    found = rerank(ASKED, texts(1, 2), Told(), top=0, open_item=opened)
    assert (order(found), found.scored, found.notes) == ([1, 2], 0, ())


def test_what_the_reranker_does_not_read_is_read_by_its_caption():
    some = [hit(1, "image", "0.5", media="9"), hit(2, caption="0.7"), hit(3, "image", "0.9", media="9")]
    model = Told({("text", "text")})
    found = rerank(ASKED, some, model, top=10, open_item=opened)
    assert order(found) == [3, 2, 1]
    assert found.scored == 3
    assert found.notes == ("told read 2 of 3 hits by their captions.",)
    assert model.calls == [[("text", "0.5"), ("text", "0.7"), ("text", "0.9")]]


def test_pictures_are_read_as_pictures_where_that_is_possible():
    some = [hit(1, "image", "0.5", media="3"), hit(2, caption="1"), hit(3, "image", "0.9", media="7")]
    model = Told()
    found = rerank(ASKED, some, model, top=10, open_item=opened)
    assert order(found) == [3, 1, 2]
    assert model.calls == [[("image", "3"), ("text", "1"), ("image", "7")]]
    assert found.notes == ()


def test_what_cannot_be_read_stays_below_in_its_order_and_is_told():
    some = [hit(1, "image"), hit(2, caption="1"), hit(3, "video"), hit(4, caption="2"), hit(5, "image")]
    found = rerank(ASKED, some, Told({("text", "text")}), top=10, open_item=opened)
    assert order(found) == [4, 2, 1, 3, 5]
    assert [one.rerank_score for one in found.hits[2:]] == [None] * 3
    assert found.scored == 2
    (note,) = found.notes
    assert note.startswith(
        "told gave no score for 3 of 5 hits, which stay below the scored ones (1: it does not read image"
    )


def test_what_is_unread_stays_above_what_is_below_the_top():
    some = [hit(1, "image"), hit(2, caption="1"), hit(3, caption="2"), hit(4, caption="99")]
    assert order(rerank(ASKED, some, Told({("text", "text")}), top=3, open_item=opened)) == [3, 2, 1, 4]


def test_nothing_readable_changes_nothing_but_says_so():
    some = [hit(1, "image"), hit(2, "image")]
    model = Told({("text", "text")})
    found = rerank(ASKED, some, model, top=10, open_item=opened)
    assert (order(found), found.scored, model.calls) == ([1, 2], 0, [])
    assert "gave no score for 2 of 2 hits" in found.notes[0]


def test_a_file_that_is_gone_costs_only_its_own_place():
    some = [hit(1, "image", media="gone"), hit(2, caption="1"), hit(3, "image", media="2")]
    found = rerank(ASKED, some, Told(), top=10, open_item=opened)
    assert order(found) == [3, 2, 1]
    assert "gave no score for 1 of 3 hits" in found.notes[0]


@pytest.mark.parametrize("count", [1, 3, 20])
def test_a_picture_the_reranker_refuses_costs_only_its_own_place(count):
    some = [hit(number, "image", media=str(number)) for number in range(1, count + 1)]
    found = rerank(ASKED, some, Told(refused={"1", "12"}), top=50, open_item=opened)
    refused = [number for number in (1, 12) if number <= count]
    assert order(found) == [*(number for number in range(count, 0, -1) if number not in refused), *refused]
    assert f"gave no score for {len(refused)} of {count} hits" in found.notes[0]


def test_a_picture_may_be_the_question():
    some = [hit(1, caption="1"), hit(2, "image", media="5"), hit(3, "video", "8")]
    found = rerank(("image", "a picture"), some, Told(), top=10, open_item=opened)
    assert order(found) == [3, 2, 1]
    words_only = rerank(("image", "a picture"), some, Told({("text", "text")}), top=10, open_item=opened)
    assert (order(words_only), words_only.scored) == ([1, 2, 3], 0)
    assert "gave no score for 3 of 3" in words_only.notes[0]


def test_an_error_of_the_model_is_passed_on():
    def fail(query, documents):
        raise ModelError("unloaded")

    model = Told()
    model.score = fail
    with pytest.raises(ModelError, match="unloaded"):
        rerank(ASKED, texts(1, 2), model, top=2, open_item=opened)


def test_one_that_fails_on_the_seventh_of_fifty_is_named_and_the_others_keep_their_scores():
    class Failing(Told):
        def score(self, query, documents):
            if any(content == "7.0" for _, content in documents):
                raise ModelError("out of memory with one picture")
            return super().score(query, documents)

    some = [hit(number, caption=f"{number}.0") for number in range(1, 51)]
    found = rerank(ASKED, some, Failing(), top=50, open_item=opened)
    assert order(found) == [*(number for number in range(50, 0, -1) if number != 7), 7]
    assert (found.scored, found.failed) == (49, {some[6].item.id: "out of memory with one picture"})
    assert found.notes == (
        "told gave no score for 1 of 50 hits, which stay below the scored ones "
        "(7: out of memory with one picture).",
    )


def test_a_score_that_is_no_number_costs_only_its_own_place():
    found = rerank(ASKED, texts(1, float("nan"), 3), Told(), top=10, open_item=opened)
    assert order(found) == [3, 1, 2]
    assert found.failed == {found.hits[2].item.id: "its score is not a finite number"}


def test_what_was_prepared_for_the_first_time_is_counted_and_timed():
    fresh = {"1", "3"}
    found = rerank(
        ASKED,
        texts(1, 2, 3),
        Told(),
        top=10,
        open_item=lambda item: Opened(item.caption, item.caption in fresh),
    )
    assert found.fresh == 2
    assert set(found.timings_ms) == {"open", "score"} and min(found.timings_ms.values()) >= 0


def test_few_pictures_are_held_in_memory_at_once():
    held, most = [], []

    class Picture:
        def __float__(self):
            return 1.0

    def open_item(item):
        picture = Picture()
        held.append(weakref.ref(picture))
        most.append(sum(one() is not None for one in held))
        return Opened(picture)

    model = Told()
    model.score = lambda query, documents: np.ones(len(documents), np.float32)
    some = [hit(number, "image", media="1") for number in range(1, 41)]
    assert rerank(ASKED, some, model, top=40, open_item=open_item).scored == 40
    gc.collect()
    assert max(most) <= 16


# ── with tiny rerankers, over real photographs ───────────────────────────────────────────────────


@pytest.fixture(scope="module")
def searched(shared, tiny):
    """Return a function that searches the shared photographs, with a tiny reranker by its name."""

    def search(reranker: str | None, *, k: int = 10, top: int = 50, **query):
        filters = query.pop("filters", None)
        model = ModelChoice(str(tiny(reranker))) if reranker else None
        return shared.search(
            Query(**query), collection="photos", k=k, filters=filters, reranker=model, rerank_top=top
        )

    yield search
    for loaded in shared.models.loaded.list():
        if loaded.kind == "reranker":
            shared.models.loaded.unload(loaded.choice)


def directly(shared, tiny, name: str, asked: dict, hits) -> list[float]:
    """Return the library's own scores of hits, each as words or as a picture."""
    model, scores = CrossEncoder(str(tiny(name)), device="cpu"), []
    for one in hits:
        as_words = one.item.modality == "text" or name == "text_reranker"
        document = {"text": one.item.caption} if as_words else {"image": shared.folder.open_item(one.item)}
        pair = (asked["text"], document["text"]) if name == "text_reranker" else (asked, document)
        scores.append(float(model.predict([pair], show_progress_bar=False)[0]))
    return scores


@pytest.mark.parametrize("name", ["text_reranker", "qwen_reranker"])
def test_a_search_is_reordered_as_the_library_scores_it(shared, searched, tiny, name):
    plain = searched(None, text="a cat on a chair", k=12)
    trace = searched(name, text="a cat on a chair", k=5, top=12)
    assert [one.item.id for one in trace.retrieval] == [one.item.id for one in plain.retrieval]
    wanted = directly(shared, tiny, name, {"text": "a cat on a chair"}, trace.retrieval)
    places = sorted(range(12), key=lambda place: -wanted[place])[:5]
    assert [one.item.id for one in trace.results] == [trace.retrieval[place].item.id for place in places]
    assert [one.rerank_score for one in trace.results] == pytest.approx(sorted(wanted)[::-1][:5], abs=1e-5)
    assert [one.rank for one in trace.results] == [1, 2, 3, 4, 5]
    by_id = {one.item.id: one for one in trace.retrieval}
    for one in trace.results:
        assert one.score == by_id[one.item.id].score
        assert one.retrieval_rank == by_id[one.item.id].retrieval_rank
    assert trace.timings_ms["rerank"] > 0


def test_pictures_are_read_by_their_captions_where_the_reranker_reads_words_alone(searched):
    only_pictures = Filters(modalities=("image",))
    trace = searched("text_reranker", text="a dog", k=8, top=8, filters=only_pictures)
    assert all(one.rerank_score is not None for one in trace.results)
    assert any("read 8 of 8 hits by their captions" in note for note in trace.notes)
    seen = searched("qwen_reranker", text="a dog", k=8, top=8, filters=only_pictures)
    assert seen.notes == ()
    assert [one.item.id for one in seen.results] != [one.item.id for one in trace.results]


def test_a_picture_question_is_reranked_by_pictures(shared, searched, tiny):
    asked = Image.new("RGB", (64, 48), (200, 30, 30))
    trace = searched("qwen_reranker", image=asked, name="mine", k=4, top=6)
    wanted = directly(shared, tiny, "qwen_reranker", {"image": asked}, trace.retrieval[:6])
    places = sorted(range(6), key=lambda place: -wanted[place])[:4]
    assert [one.item.id for one in trace.results] == [trace.retrieval[place].item.id for place in places]
    words = searched("text_reranker", image=asked, name="mine", k=4, top=6)
    assert [one.item.id for one in words.results] == [one.item.id for one in words.retrieval[:4]]
    assert any("gave no score for 6 of 6" in note for note in words.notes)


def test_fewer_than_asked_for_are_reranked_and_the_rest_follows(searched):
    trace = searched("text_reranker", text="a red flower", k=10, top=3)
    assert [one.rerank_score is None for one in trace.results] == [False] * 3 + [True] * 7
    assert [one.item.id for one in trace.results[3:]] == [one.item.id for one in trace.retrieval[3:10]]
    assert {one.item.id for one in trace.results[:3]} == {one.item.id for one in trace.retrieval[:3]}


def test_a_search_that_finds_nothing_stays_empty(searched):
    nothing = Filters(labels=("no such label",))
    assert searched("text_reranker", text="a cat", filters=nothing).results == ()


def test_more_like_this_has_nothing_to_rerank_by(shared, searched):
    item = next(iter(shared.store.all_items("photos", "image")))
    with pytest.raises(QueryError, match="no question to rerank by"):
        searched("text_reranker", like=item.id)


def test_an_embedder_is_no_reranker(searched):
    with pytest.raises(ModelKindError, match="needs a model of kind 'reranker'"):
        searched("clip", text="a cat")


def test_a_picture_file_that_is_gone_is_told_and_the_rest_is_reranked(shared, searched, monkeypatch):
    asked = {"text": "a bird", "k": 6, "top": 6, "filters": Filters(modalities=("image",))}
    trace, open_item = searched("qwen_reranker", **asked), shared.folder.open_item
    gone = trace.retrieval[2].item

    def without_one(item):
        if item.id == gone.id:
            raise MediaError("The file is gone.")
        return open_item(item)

    monkeypatch.setattr(shared.folder, "open_item", without_one)
    again = searched("qwen_reranker", **asked)
    assert again.results[-1].item.id == gone.id
    assert again.results[-1].rerank_score is None
    assert any("gave no score for 1 of 6 hits" in note for note in again.notes)
    rest = [one.item.id for one in trace.results if one.item.id != gone.id]
    assert [one.item.id for one in again.results[:-1]] == rest
