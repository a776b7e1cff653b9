"""How unrelated questions score: measured once for a version of a collection, kept, never waited for long."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from engine.errors import ModelError
from engine.search.search import Query
from engine.search.unrelated import MEASURING, QUESTIONS, Unrelated, UnrelatedScores, limit
from engine.types import Filters
from tests.helpers.data import generated_photos, real_photos, sources
from tests.helpers.fake_embedder import OLD, Fake, opened


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """Name the collection of every time that the hundred questions are asked."""
    from engine.storage.chroma import Store

    best_scores, names = Store.best_scores, []

    def counting(self, name, modality, vectors):
        names.append(name)
        return best_scores(self, name, modality, vectors)

    monkeypatch.setattr(Store, "best_scores", counting)
    return names


def of(workspace, name: str = "photos", **options: float) -> Unrelated:
    return workspace.unrelated.of(workspace.store.info(name), **{"patience_seconds": 600, **options})


def test_the_limits_are_those_of_the_exact_scores_and_are_kept(workspace, pocket, tmp_path, asked):
    workspace.ingest("photos", sources([real_photos(tmp_path / "real", 12)]))
    found = of(workspace)
    questions = pocket.encode_query("text", QUESTIONS)
    for modality in ("text", "image"):
        exact = (questions @ workspace.store.vectors("photos", modality).vectors.T).max(axis=1)
        assert found.limits[modality] == pytest.approx(limit(exact), abs=1e-4)
    assert of(workspace) == found and asked == ["photos", "photos"]
    again = UnrelatedScores(workspace.folder, workspace.models)
    assert again.of(workspace.store.info("photos")) == found and len(asked) == 2


def test_a_write_makes_them_anew_without_embedding_again_and_another_collection_does_not(tmp_path, asked):
    fake = Fake("old", 8)
    workspace = opened(tmp_path / "data", fake)
    try:
        workspace.ingest("photos", sources([generated_photos(tmp_path / "made", 4)]), choice=OLD)
        before = fake.embedded
        of(workspace)
        assert fake.embedded == before + len(QUESTIONS)
        workspace.ingest("other", sources([generated_photos(tmp_path / "made", 4)]), choice=OLD)
        of(workspace)
        assert asked == ["photos"] * 2  # its pictures and its captions
        workspace.delete_items("photos", [next(workspace.store.all_items("photos", "image")).id])
        before = fake.embedded
        of(workspace)
        assert asked == ["photos"] * 4 and fake.embedded == before
        workspace.delete_collection("photos")
        assert workspace.ledger.states("unrelated scores of") == []
    finally:
        workspace.close()


def test_an_answer_waits_no_longer_than_it_should_and_says_so(tmp_path):
    fake, go, said = Fake("old", 8), threading.Event(), []
    workspace = opened(tmp_path / "data", fake)
    workspace.ingest("photos", sources([generated_photos(tmp_path / "made", 4)]), choice=OLD)

    def held() -> None:
        if threading.current_thread() is not threading.main_thread():
            assert go.wait(60)

    fake.on_encode = held
    try:
        trace = workspace.search(
            Query(text="a dog"),
            collection="photos",
            patience_seconds=0.01,
            on_wait=lambda: said.append("waits"),
        )
        assert trace.doubt == MEASURING and trace.notes == (MEASURING,) and said == ["waits"]
        go.set()
        assert set(of(workspace).limits) == {"image", "text"}
        again = workspace.search(Query(text="a dog"), collection="photos", on_wait=lambda: said.append("2"))
        assert again.doubt != MEASURING and said == ["waits"]
    finally:
        go.set()
        workspace.close()


def test_closing_ends_what_is_being_measured(tmp_path):
    fake, begun, go = Fake("old", 8), threading.Event(), threading.Event()
    workspace = opened(tmp_path / "data", fake)
    workspace.ingest("photos", sources([generated_photos(tmp_path / "made", 4)]), choice=OLD)
    fake.on_encode = lambda: (begun.set(), go.wait(60))
    assert of(workspace, patience_seconds=0).measuring and begun.wait(60)
    threading.Timer(0.05, go.set).start()
    workspace.close()
    [work] = workspace.unrelated._works.values()
    assert work.state == "cancelled" and fake.embedded < 4 + len(QUESTIONS)


def test_what_cannot_be_measured_limits_nothing_and_is_logged(tmp_path, caplog):
    fake = Fake("old", 8)
    workspace = opened(tmp_path / "data", fake)
    workspace.ingest("photos", sources([generated_photos(tmp_path / "made", 4)]), choice=OLD)

    def fails() -> None:
        raise ModelError("It broke.")

    fake.on_encode = fails
    try:
        assert of(workspace) == Unrelated()
        assert "It broke." in caplog.text
        fake.on_encode = lambda: None
        assert of(workspace).limits  # the next question tries again
    finally:
        workspace.close()


def test_a_picture_and_more_like_this_are_not_doubted(shared, asked):
    item = next(shared.store.all_items("photos", "image"))
    trace = shared.search(Query(like=item.id), collection="photos", filters=Filters(("image",)))
    assert trace.doubt == "" and asked == []


def test_the_limit_is_the_95th_percentile_and_a_few_related_questions_do_not_raise_it():
    scores = np.random.default_rng(0).normal(0.2, 0.05, 100)
    assert limit(scores) == pytest.approx(np.quantile(scores, 0.95))
    related = np.concatenate([scores[:80], np.full(20, 0.8)])
    assert limit(related) < 0.5 < np.quantile(related, 0.95)
    assert limit(np.full(100, 0.3, np.float32)) == pytest.approx(0.3)
