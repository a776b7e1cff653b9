"""Imported vectors are stored once, searched, measured and exported; what needs a model says so."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from engine.errors import (
    CollectionError,
    CollectionModelError,
    CollectionNameError,
    CollectionNotFoundError,
    EvaluationError,
    FolderError,
    ImportedVectorsError,
    MediaError,
    VectorFileError,
)
from engine.evaluation.judgements import Judgements
from engine.evaluation.questions import Direction, survey
from engine.evaluation.results import Plan
from engine.models.base import ModelChoice
from engine.search.search import Query
from engine.types import Failure, Provenance
from engine.vector_files.reading import Reading
from engine.vector_files.rows import VectorRow, item_id
from engine.vector_files.table import VectorFile
from tests.helpers.data import generated_photos, jpeg, sources
from tests.helpers.golden import CLIP
from tests.helpers.vector_files import rows_of, save, vectors

TEXT_IMAGE, IMAGE_TEXT = Direction("text", "image"), Direction("image", "text")


def pairs(count: int = 4, dim: int = 4) -> tuple[list[VectorRow], np.ndarray]:
    """Return pictures and captions, in turn, whose vectors are near those of their own pair."""
    near = np.repeat(vectors(count, dim), 2, axis=0) * 3
    near[1::2] += 0.01
    rows = []
    for number in range(count):
        rows.append(
            VectorRow(f"img/{number}.jpg", "image", labels=("even" if number % 2 == 0 else "odd", "x"))
        )
        rows.append(VectorRow(f"cap {number}", "text", f"caption {number}", f"img/{number}.jpg", name="n"))
    return rows, near


def write(path: Path, rows: list[VectorRow], table: np.ndarray) -> Path:
    """Write rows as another program would, with a media_path."""
    names = ("id", "modality", "text", "pair", "media_path", "name")
    columns = {name: [getattr(row, name) for row in rows] for name in names}
    if any(row.labels for row in rows):
        columns["label"] = [list(row.labels) for row in rows]
    return save(path, columns | {"vector": table})


@pytest.fixture
def paired(tmp_path) -> Path:
    return write(tmp_path / "paired.parquet", *pairs())


@pytest.fixture
def imported(workspace, paired):
    report = workspace.import_vectors("ours", paired, label="a model")
    assert (report.stored, report.skipped, report.failed, report.cancelled) == (8, 0, (), False)
    return workspace


def items(workspace, modality: str, collection: str = "ours") -> dict:
    return {one.given_id or one.id: one for one in workspace.store.all_items(collection, modality)}


def test_rows_become_items_with_their_own_unit_vectors(imported):
    info = imported.store.info("ours")
    assert info.counts == {"text": 4, "image": 4} and info.made_by.imported == "a model"
    assert str(info.made_by) == "imported: a model (4 dimensions)"
    rows, table = pairs()
    for row, vector in zip(rows, table, strict=True):
        item = items(imported, row.modality)[row.id]
        assert item.id == item_id(row.id) and item.pair == item_id(row.pair or row.id)
        assert (item.caption, item.labels, item.media) == (row.text, row.labels, None)
        assert item.name == (row.name or row.id.rsplit("/")[-1])
        for held in (imported.store.vectors, lambda *key: imported.ledger.get(*key)[1]):
            [stored] = held("ours", row.modality, [item.id]).vectors
            assert stored == pytest.approx(vector / np.linalg.norm(vector), abs=1e-6)


def test_again_stores_nothing_twice_and_completes_what_was_cut_short(imported, paired):
    ticks = []
    report = imported.import_vectors(
        "ours", paired, on_progress=ticks.append
    )  # the label is the collection's
    assert (report.stored, report.skipped, report.model) == (0, 8, "imported: a model")
    assert {one.stage for one in ticks} == {"Checking the file", "Storing", "Reading", "Checking the index"}
    assert {one.unit for one in ticks} == {"rows"} and ticks[-1].done == ticks[-1].total == 8
    lost = [item_id("cap 1"), item_id("cap 2")]
    imported.store.delete_items("ours", lost)
    report = imported.import_vectors("ours", paired)
    assert (report.stored, report.skipped) == (2, 6)
    assert imported.store.existing("ours", "text", lost) == set(lost)


@pytest.mark.slow
def test_a_cancelled_import_stores_nothing_or_goes_on_later(workspace, tmp_path):
    rows = [VectorRow(f"row {n}", "text") for n in range(3_000)]
    path = write(tmp_path / "many.npz", rows, vectors(3_000))
    report = workspace.import_vectors("ours", path, cancelled=lambda: True)
    assert report.cancelled and report.stored == 0 and workspace.store.collections() == []
    stop: list[bool] = []

    def watch(progress):
        stop.extend([True] if progress.stored else [])

    report = workspace.import_vectors("ours", path, on_progress=watch, cancelled=lambda: bool(stop))
    assert report.cancelled and 0 < report.stored < 3_000
    rest = workspace.import_vectors("ours", path)
    assert not rest.cancelled and rest.stored == 3_000 - report.stored and rest.skipped == report.stored
    assert workspace.store.info("ours").total == 3_000


def test_an_id_that_is_stored_with_something_else_is_named_and_left(imported, tmp_path):
    rows, table = pairs()
    rows = [*rows, VectorRow("new", "text")]
    changed = np.concatenate([table, vectors(1)])
    changed[0] = -changed[0]
    rows[1] = VectorRow(rows[1].id, "image")
    rows[2] = VectorRow(rows[2].id, "image", "a text")
    report = imported.import_vectors("ours", write(tmp_path / "changed.parquet", rows, changed))
    assert (report.stored, report.skipped) == (1, 5)
    assert [one.name for one in report.failed] == ["row 1 (0.jpg)", "row 2 (cap 0)", "row 3 (1.jpg)"]
    vector, modality, text = (one.reason for one in report.failed)
    assert (
        "its id is stored already with another vector. Give it" in vector.lower()
        or "another vector" in vector
    )
    assert "another modality, another text, another pair" in modality
    assert "another text, another label" in text
    assert items(imported, "image").keys() == {f"img/{number}.jpg" for number in range(4)}


def test_bad_rows_refuse_everything_or_are_listed(workspace, tmp_path):
    rows, table = pairs()
    table[3] = 0
    path = write(tmp_path / "bad.parquet", [*rows, rows[0]], np.concatenate([table, table[:1]]))
    with pytest.raises(
        VectorFileError, match=r"2 rows are bad of 9, and nothing was imported\. row 4, column"
    ):
        workspace.import_vectors("ours", path)
    assert workspace.store.collections() == [] and workspace.ledger.counts() == {}
    report = workspace.import_vectors("ours", path, skip_bad=True, name="an upload.parquet")
    assert (report.stored, report.model) == (7, "imported: an upload")
    assert [one.name for one in report.failed] == ["an upload.parquet, row 4", "an upload.parquet, row 9"]
    assert "column id: row 1 has the same one" in report.failed[1].reason
    again = workspace.import_vectors("ours", path, skip_bad=True)
    assert (again.stored, again.skipped, len(again.failed), again.cancelled) == (0, 7, 2, False)


def test_bad_rows_are_counted_by_kind_and_the_first_hundred_kept(workspace, tmp_path):
    rows = [VectorRow(f"row {n % 700}", "text") for n in range(1_000)]
    table = vectors(1_000)
    table[:250] = 0
    path = write(tmp_path / "bad.parquet", rows, table)
    heard = []
    report = workspace.import_vectors("ours", path, skip_bad=True, on_progress=heard.append)
    assert (report.stored, report.failed_count, len(report.failed)) == (700, 300, 100)
    assert {(kind.count, kind.reason) for kind in report.failed_kinds} == {
        (250, "row …, column vector: all its numbers are zero, so that it has no direction"),
        (50, "row …, column id: row … has the same one"),
    }
    assert max(len(one.failed) for one in heard) == 100 and not report.notes
    with pytest.raises(VectorFileError) as caught:
        workspace.import_vectors("ours", path)
    assert len(caught.value.faults) == 100 and "300 rows are bad of 1,000" in str(caught.value)


def test_arrays_of_pictures_and_captions_over_one_table_are_pairs(workspace, tmp_path):
    save(tmp_path / "metadata_0.parquet", {"image_path": ["a.jpg", "b.jpg"], "caption": ["one", "two"]})
    table = ("metadata_0.parquet", tmp_path / "metadata_0.parquet")
    reading = Reading((("id", ""), ("pair", "image_path")))
    for seed, name in enumerate(("img_emb_0", "text_emb_0")):
        np.save(tmp_path / f"{name}.npy", vectors(2, seed=seed).astype(np.float16))
        report = workspace.import_vectors("ours", tmp_path / f"{name}.npy", reading=reading, table=table)
        assert report.stored == 2 and report.model == "imported: img_emb_0"
    pictures, captions = (dict(sorted(items(workspace, kind).items())) for kind in ("image", "text"))
    assert list(pictures) == ["img_emb_0 row 1", "img_emb_0 row 2"] and len(captions) == 2
    assert [one.pair for one in pictures.values()] == [one.pair for one in captions.values()]
    assert [one.caption for one in captions.values()] == ["one", "two"]
    assert survey(workspace.store, workspace.ledger, "ours")["pairs", TEXT_IMAGE] == 2


def test_other_vectors_are_refused(imported, paired, tmp_path):
    with pytest.raises(CollectionModelError, match="imported: another"):
        imported.import_vectors("ours", paired, label="another")
    wide = write(tmp_path / "wide.npz", [VectorRow("a", "text")], vectors(1, 9))
    with pytest.raises(CollectionModelError, match="dim 4, not 9"):
        imported.import_vectors("ours", wide, label="a model")
    imported.ingest("photos", sources([generated_photos(tmp_path / "in", 1)]))
    with pytest.raises(CollectionModelError, match="was made by pocket"):
        imported.import_vectors("photos", paired)
    with pytest.raises(CollectionModelError, match="was made by imported: a model"):
        imported.ingest("ours", sources([tmp_path / "in"]), choice=ModelChoice("pocket"))
    with pytest.raises(CollectionNameError):
        imported.import_vectors("a/b", paired)
    with pytest.raises(CollectionError, match="names no model"):
        imported.import_vectors("ours", paired, label="\u202e ")
    assert imported.store.info("ours").total == 8


def test_a_full_disk_stops_an_import(workspace, paired, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("usage", (), {"free": 10})())
    with pytest.raises(FolderError, match="MB free"):
        workspace.import_vectors("ours", paired)
    assert workspace.ledger.counts() == {}


def test_what_needs_a_model_says_so_and_more_like_this_needs_none(imported, tmp_path):
    says = "made of imported vectors \\(a model\\): no model here can embed"
    folder = generated_photos(tmp_path / "in", 1)
    for step in (
        lambda: imported.search(Query(text="a dog"), collection="ours"),
        lambda: imported.ingest("ours", sources([folder])),
        lambda: imported.folder.choice_of("ours"),
    ):
        with pytest.raises(ImportedVectorsError, match=says):
            step()
    trace = imported.search(Query(like=item_id("img/2.jpg")), collection="ours", k=7)
    assert trace.results[0].item.given_id == "cap 2" and trace.results[0].score > 0.99
    assert (trace.model, len(trace.results)) == (
        "imported: a model",
        7,
    ) and imported.models.loaded.list() == []


def test_a_remake_makes_what_has_texts_and_says_what_has_not(imported, paired):
    pocket = ModelChoice("pocket")
    with pytest.raises(
        CollectionError, match=r"4 of its items cannot be re-embedded .* without its media file"
    ):
        imported.reembed("ours", pocket)
    assert imported.store.info("ours").made_by.imported == "a model"
    report = imported.reembed("ours", pocket, into="texts")
    assert report.stored == 4 and {one.reason for one in report.failed} == {
        "It was imported without its media file."
    }
    assert imported.store.info("texts").made_by.model == "pocket"
    assert [hit.item.caption for hit in imported.search(Query(text="caption 1"), collection="texts").results]


def test_a_remake_of_nothing_but_vectors_is_refused(workspace, tmp_path):
    rows = [VectorRow("a", "text"), VectorRow("b", "image")]
    workspace.import_vectors("bare", write(tmp_path / "bare.npz", rows, vectors(2)))
    for into in (None, "other"):
        with pytest.raises(CollectionError, match=r"2 of its items .*These are all there are"):
            workspace.reembed("bare", ModelChoice("pocket"), into=into)
    [text] = workspace.store.all_items("bare", "text")
    with pytest.raises(MediaError, match="imported without its text"):
        workspace.folder.open_item(text)
    assert [info.name for info in workspace.store.collections()] == ["bare"]


def test_pictures_beside_the_file_are_kept_and_nothing_beyond_it_is_read(workspace, tmp_path):
    folder, outside = tmp_path / "in", tmp_path / "outside.jpg"
    (folder / "sub").mkdir(parents=True)
    outside.write_bytes(jpeg(1))
    (folder / "sub" / "a.jpg").write_bytes(jpeg(2))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff junk")
    (folder / "words.txt").write_text("words")
    (folder / "link.jpg").symlink_to(outside)
    paths = ["sub/a.jpg", "sub/../sub/a.jpg", "../outside.jpg", str(outside), "link.jpg", "a\0b", "gone.jpg"]
    paths += ["broken.jpg", "words.txt", "sub", ""]
    rows = [VectorRow(f"{n}", "image", media_path=path) for n, path in enumerate(paths)]
    rows += [VectorRow("t", "text", media_path="words.txt"), VectorRow("v", "video", media_path="sub/a.jpg")]
    file = write(folder / "x.parquet", rows, vectors(len(rows)))
    on_page = workspace.import_vectors("ours", file, label="m")
    assert on_page.failed == () and on_page.stored == len(rows)
    assert (
        "media_path of 10 rows of kind image was not read: files are read on the command" in on_page.notes[0]
    )
    report = workspace.import_vectors("ours", file, media_root=folder)
    assert (report.stored, report.skipped, len(report.failed)) == (2, len(rows) - 2, 8)
    reasons = {one.name: one.reason for one in report.failed}
    assert all("Its media file was not stored: " in reason for reason in reasons.values())
    for row in (3, 4, 5):
        assert "leads out of the folder" in reasons[f"row {row} ({row - 1})"]
    assert {one for one in report.notes} == {
        "The media_path of 1 rows of kind text was not read: only pictures can be kept yet.",
        "The media_path of 1 rows of kind video was not read: only pictures can be kept yet.",
    }
    kept = [item for item in workspace.store.all_items("ours", "image") if item.media]
    assert sorted(item.given_id for item in kept) == ["0", "1"] and len({item.media for item in kept}) == 1
    assert workspace.library.thumbnail_path(kept[0].media).is_file()
    assert (kept[0].mime, kept[0].width_px) == ("image/jpeg", 96)
    assert workspace.folder.open_item(kept[0]).size == (96, 96)
    workspace.delete_collection("ours")
    assert not workspace.library.thumbnail_path(kept[0].media).exists()


def test_pairs_of_two_files_and_any_common_name_belong_together(workspace, tmp_path):
    near = pairs(2)[1]
    pictures = [VectorRow("i0", "image"), VectorRow("i1", "image", pair="one")]
    captions = [VectorRow("c0", "text", pair="i0"), VectorRow("c1", "text", pair="one")]
    for name, rows, table in (("i.npz", pictures, near[::2]), ("c.npz", captions, near[1::2])):
        workspace.import_vectors("ours", write(tmp_path / name, rows, table), label="m")
    assert survey(workspace.store, workspace.ledger, "ours") == {
        ("pairs", TEXT_IMAGE): 2,
        ("pairs", IMAGE_TEXT): 2,
    }
    assert workspace.evaluate(Plan("ours")).summary.before["hit@1"].mean == 1.0


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_what_is_exported_is_what_was_imported(imported, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    ticks = []
    report = imported.export_vectors("ours", out, on_progress=ticks.append)
    assert (report.rows, report.dim, report.unrecorded, report.path) == (8, 4, 0, out)
    assert (ticks[-1].done, ticks[-1].total) == (8, 8)
    wanted, table = pairs()
    found, held = rows_of(out)
    place = {row.id: number for number, row in enumerate(found)}
    for row, vector in zip(wanted, table, strict=True):
        assert found[place[row.id]] == row
        assert held[place[row.id]] == pytest.approx(vector / np.linalg.norm(vector), abs=1e-6)
    again = imported.import_vectors("ours", out)
    assert (again.stored, again.skipped, again.failed) == (0, 8, ())
    copied = imported.import_vectors("copy", out, label="a model")
    assert copied.stored == 8
    for modality in ("text", "image"):
        copies = items(imported, modality, "copy")
        assert {key: asdict(one) | {"added_at": 0} for key, one in items(imported, modality).items()} == {
            key: asdict(one) | {"added_at": 0} for key, one in copies.items()
        }


def test_an_ingested_collection_keeps_its_items_through_a_file(workspace, tmp_path):
    workspace.ingest("photos", sources([generated_photos(tmp_path / "in", 3)]))
    workspace.export_vectors("photos", tmp_path / "photos.parquet")
    report = workspace.import_vectors("again", tmp_path / "photos.parquet")
    assert (report.stored, report.failed) == (6, ())
    for modality in ("text", "image"):
        ours, theirs = (workspace.store.vectors(name, modality) for name in ("photos", "again"))
        assert set(ours.ids) == set(theirs.ids)
        assert theirs.take(ours.ids).vectors == pytest.approx(ours.vectors, abs=1e-6)
    assert {one.pair for one in workspace.store.all_items("again", "text")} == set(ours.ids)


def test_a_cancelled_or_impossible_export_leaves_no_file(imported, tmp_path):
    assert imported.export_vectors("ours", tmp_path / "x.npz", cancelled=lambda: True) is None
    with pytest.raises(CollectionNotFoundError):
        imported.export_vectors("nothing", tmp_path / "x.npz")
    with pytest.raises(VectorFileError, match="must end in"):
        imported.export_vectors("ours", tmp_path / "x.csv")
    imported.delete_items("ours", [item_id(row.id) for row in pairs()[0]])
    with pytest.raises(CollectionError, match="nothing to export"):
        imported.export_vectors("ours", tmp_path / "x.npz")
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith((".", "x"))] == []


def test_labels_ask_as_items_and_words_are_refused(imported):
    found = survey(imported.store, imported.ledger, "ours")
    image_image = Direction("image", "image")
    assert found == {
        ("pairs", TEXT_IMAGE): 4,
        ("pairs", IMAGE_TEXT): 4,
        ("labels", image_image): 4,
    }
    measured = imported.evaluate(Plan("ours", truth="labels"))
    assert measured.direction == image_image and measured.summary.queries == 4
    with pytest.raises(EvaluationError, match=r"imported vectors \(a model\).* in words"):
        imported.evaluate(Plan("ours", truth="labels", direction=TEXT_IMAGE))
    marks = Judgements(imported.ledger)
    marks.mark("ours", "typed words", item_id("img/0.jpg"), 1)
    with pytest.raises(EvaluationError, match="in words"):
        imported.evaluate(Plan("ours", truth="judgements"))
    marks.mark("ours", f"item:{item_id('cap 3')}", item_id("img/3.jpg"), 1)
    measured = imported.evaluate(Plan("ours", truth="judgements"))
    assert (measured.summary.queries, measured.answers[0].rank_before) == (1, 1.0)


@pytest.mark.slow
def test_a_reranker_reads_what_media_and_texts_there_are(workspace, tmp_path):
    rows, table = pairs(3)
    rows = [
        VectorRow(row.id, "image", text="a picture" if n == 0 else "", media_path="a.jpg" if n == 2 else "")
        if row.modality == "image"
        else row
        for n, row in enumerate(rows)
    ]
    (tmp_path / "a.jpg").write_bytes(jpeg(3))
    file = write(tmp_path / "x.parquet", rows, table)
    workspace.import_vectors("ours", file, label="m", media_root=tmp_path)
    plan = Plan("ours", reranker=ModelChoice("pocket-reranker"), direction=TEXT_IMAGE, top=3)
    measured = workspace.evaluate(plan)
    assert measured.summary.queries == 3 and measured.summary.pairs_scored == 3
    assert measured.summary.pairs_unscored == 6
    bare = [VectorRow("i", "image", pair="p"), VectorRow("t", "text", pair="p")]
    workspace.import_vectors("ours", write(tmp_path / "bare.npz", bare, vectors(2, seed=1)))
    [unasked] = workspace.evaluate(plan).unasked
    assert unasked == Failure("t", "It was imported without its text.")
    assert workspace.evaluate(Plan("ours")).summary.queries == 4


@pytest.mark.slow
@pytest.mark.skipif(not CLIP.exists(), reason="the golden vectors of CLIP are not on this machine")
def test_clip_is_measured_as_published(workspace, tmp_path):
    images, captions = np.load(CLIP)  # (500, 512) each; row i of one pairs with row i of the other
    count = len(images)
    np.savez(
        tmp_path / "clip.npz",
        id=[f"{kind}-{n}" for kind in ("img", "cap") for n in range(count)],
        vector=np.concatenate([images, captions]),
        modality=["image"] * count + ["text"] * count,
        pair=[""] * count + [f"img-{n}" for n in range(count)],
    )
    report = workspace.import_vectors("clip", tmp_path / "clip.npz", label="CLIP ViT-B/16")
    assert (report.stored, report.failed) == (1_000, ())
    for direction, wanted in (
        (TEXT_IMAGE, (0.506, 0.766, 0.862)),
        (IMAGE_TEXT, (0.552, 0.808, 0.892)),
    ):
        measured = workspace.evaluate(Plan("clip", direction=direction))
        means = {name: one.mean for name, one in measured.summary.before.items()}
        assert (measured.summary.queries, measured.documents) == (500, 500)
        assert [means[f"recall@{k}"] for k in (1, 5, 10)] == pytest.approx(wanted, abs=1e-3)
        assert len({one.qid for one in measured.answers}) == 500


def test_labels_tell_provenances_apart():
    one, other = Provenance.of_import("a", 4), Provenance.of_import("b", 4)
    assert (
        one.imported == "a" and not one.agrees_with(other) and one.agrees_with(Provenance.of_import("a", 4))
    )
    assert Provenance("pocket", "1", 4).imported == ""
    with pytest.raises(ImportedVectorsError):
        ModelChoice.of(one)


def test_two_names_of_one_item_are_one_id(workspace, tmp_path):
    rows = [VectorRow("a", "text"), VectorRow(item_id("a"), "text")]
    with pytest.raises(VectorFileError, match="row 2, column id: row 1 has the same one"):
        VectorFile(write(tmp_path / "x.npz", rows, vectors(2))).check()
