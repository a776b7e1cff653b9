"""Questions find what they should, text is never opened as a path or an address, and every stage is kept."""

from __future__ import annotations

import base64
import socket
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import CollectionModelError, CollectionNotFoundError, QueryError
from engine.search.search import MAX_QUERY_CHARS, Query, search
from engine.types import Condition, Filters, Provenance, SearchTrace
from tests.helpers.data import SAMPLES, generated_photos, sources, write_captions


def ask(shared, *, k: int = 10, filters: Filters | None = None, **query: object) -> SearchTrace:
    return shared.search(Query(**query), collection="photos", k=k, filters=filters)


def pictures(shared):
    return list(shared.store.all_items("photos", "image"))


def stored_picture(shared, item) -> Image.Image:
    with Image.open(shared.library.media_path(item.media, item.mime)) as picture:
        return picture.convert("RGB")


def test_text_finds_its_own_caption_and_mostly_its_picture(shared):
    first_images = 0
    for item in pictures(shared):
        trace = ask(shared, text=item.caption)
        assert trace.retrieved["text"][0].item.caption == item.caption
        assert trace.retrieved["text"][0].score > 0.999
        first_images += trace.retrieved["image"][0].item.id == item.id
    assert first_images > 12


def test_a_picture_finds_itself(shared):
    for item in pictures(shared)[:6]:
        trace = ask(shared, image=stored_picture(shared, item), name="mine.jpg", k=3)
        assert trace.query == "mine.jpg" and trace.query_modality == "image"
        best = trace.retrieved["image"][0]
        assert best.item.id == item.id and best.score > 0.99


@pytest.mark.parametrize("modality", ["image", "text"])
def test_like_leaves_itself_out_and_ranks_as_brute_force(shared, modality):
    table = shared.store.vectors("photos", modality)
    for row in (0, 7):
        trace = ask(shared, like=table.ids[row], k=5, filters=Filters(modalities=(modality,)))
        cosines = table.vectors @ table.vectors[row]
        order = [table.ids[other] for other in np.argsort(-cosines) if other != row][:5]
        assert [hit.item.id for hit in trace.results] == order
        assert trace.query_modality == modality


def test_like_an_unknown_id_is_a_query_error(shared):
    with pytest.raises(QueryError, match="no item"):
        ask(shared, like="f" * 64)


def test_like_embeds_nothing(shared):
    def refuse():
        raise AssertionError("nothing need be embedded")

    id_ = pictures(shared)[0].id
    trace = search(Query(like=id_), collection="photos", folder=shared.folder, embedder=refuse)
    assert len(trace.results) == 10


def test_the_trace_keeps_every_stage(shared):
    trace = ask(shared, text="a dog", k=5)
    assert (trace.collection, trace.model, trace.query, trace.query_modality) == (
        "photos",
        "pocket",
        "a dog",
        "text",
    )
    assert trace.searched == {"text": 24, "image": 24} and trace.notes == ()
    for modality, hits in trace.retrieved.items():
        assert [hit.retrieval_rank for hit in hits] == [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
        assert all(hit.item.modality == modality for hit in hits)
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True) and -1 <= scores[-1] <= scores[0] <= 1
    assert [hit.rank for hit in trace.results] == [1, 2, 3, 4, 5]
    merged = sorted((h.score for hits in trace.retrieved.values() for h in hits), reverse=True)[:5]
    assert [hit.score for hit in trace.results] == merged
    assert set(trace.timings_ms) == {"embed", "balance", "retrieve", "rerank", "total"}
    assert trace.timings_ms["total"] >= trace.timings_ms["embed"] + trace.timings_ms["retrieve"]


def test_filters_limit_what_is_found(shared):
    trace = ask(shared, text="a dog", k=100, filters=Filters(modalities=("image",)))
    assert set(trace.retrieved) == {"image"} and len(trace.results) == 24
    label = pictures(shared)[3].labels[0]
    trace = ask(shared, text="a dog", k=100, filters=Filters(labels=(label,)))
    assert trace.results and all(label in hit.item.labels for hit in trace.results)
    name = pictures(shared)[5].name
    trace = ask(shared, text="a dog", k=100, filters=Filters(conditions=(Condition("name", "=", name),)))
    assert {(hit.item.name, hit.item.modality) for hit in trace.results} == {(name, "image"), (name, "text")}


@pytest.mark.parametrize("k", [0, -1, 1001, 10**9])
def test_k_out_of_bounds_is_refused(shared, k):
    with pytest.raises(QueryError, match=r"from 1 to 1,000"):
        ask(shared, text="a dog", k=k)


@pytest.mark.parametrize(("k", "found"), [(1, 1), (48, 48), (1000, 48)])
def test_k_within_bounds(shared, k, found):
    assert len(ask(shared, text="a dog", k=k).results) == found


@pytest.mark.parametrize("text", [None, "", "   ", "\n\t", "\x00\x01\x1b", "\u202e\u200b", "\ud800"])
def test_empty_questions_are_refused(shared, text):
    with pytest.raises(QueryError, match="nothing to search for"):
        ask(shared, text=text)


def test_a_very_long_text_is_searched_with_a_note(shared):
    text = "a horse in the snow " * 5000
    trace = ask(shared, text=text)
    assert len(trace.query) == MAX_QUERY_CHARS
    assert any("4,096 of 99,999 characters" in note for note in trace.notes)  # beside a doubt, it may be
    assert trace.results


@pytest.mark.parametrize(
    "text", ["马在雪中", "собака на траве", "كلب", "🐶🌲", "<script>alert(1)</script>", "% _ ' \" ;"]
)
def test_any_script_is_searched(shared, text):
    trace = ask(shared, text=text)
    assert trace.query == text and len(trace.results) == 10


def test_texts_that_look_like_media_are_searched_as_words(shared, pocket, monkeypatch):
    opened: list[str] = []
    path = shared.library.media_path(pictures(shared)[0].media, "image/jpeg")
    data = base64.b64encode((SAMPLES / "photos" / "bicycle.jpg").read_bytes()[:3000]).decode()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        port = server.getsockname()[1]
        monkeypatch.setattr(Image, "open", lambda *args, **rest: opened.append(str(args[0])))
        for text in (
            "/etc/hostname.png",
            f"http://127.0.0.1:{port}/x.jpg",
            f"data:image/png;base64,{data}",
            str(path),
            f"file://{path}",
        ):
            trace = ask(shared, text=text, k=48)
            vector = pocket.encode_query("text", [text[:MAX_QUERY_CHARS]])[0]
            assert trace.query_modality == "text" and trace.query == text[:MAX_QUERY_CHARS]
            for modality, hits in trace.retrieved.items():
                table = shared.store.vectors("photos", modality, [hit.item.id for hit in hits])
                assert np.allclose([hit.score for hit in hits], table.vectors @ vector, atol=1e-5)
        with pytest.raises(TimeoutError):
            server.accept()
    assert Path(path).exists() and opened == []


def test_ties_keep_their_order(workspace, tmp_path):
    folder = generated_photos(tmp_path / "ties", 12)
    write_captions(folder, [{"file_name": f"{n:04}.jpg", "caption": "all the same"} for n in range(12)])
    workspace.ingest("ties", sources([folder]))
    orders = {
        tuple(hit.item.id for hit in trace.results)
        for trace in [workspace.search(Query(text="all the same"), collection="ties", k=24) for _ in range(5)]
    }
    [order] = orders
    assert order[:12] == tuple(sorted(order[:12])) and len(set(order)) == 24


def test_a_collection_of_another_model_is_refused(shared, pocket):
    class Other:
        provenance = Provenance("other", "9", 384)

    with pytest.raises(CollectionModelError, match="other 9"):
        search(
            Query(text="a dog"),
            collection="photos",
            folder=shared.folder,
            embedder=lambda: nullcontext(Other),
        )


def test_a_missing_collection_is_named(shared):
    with pytest.raises(CollectionNotFoundError, match="photos"):
        shared.search(Query(text="a dog"), collection="nothing")
