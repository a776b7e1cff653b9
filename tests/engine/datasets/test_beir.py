"""A folder of BEIR goes in as its documents, known by their ids, and nothing of it is lost unsaid."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from engine.datasets import beir
from engine.datasets.beir import Beir, read_beir
from engine.datasets.listing import list_paths
from engine.datasets.plan import understand
from engine.errors import UnreadableMediaError
from engine.evaluation.judgements import Judgements
from tests.helpers.data import sources
from tests.helpers.fake_embedder import OLD, opened

DOCUMENTS = [
    {"_id": "MED-10", "title": "Statins", "text": "and breast cancer", "metadata": {"url": "http://x"}},
    {"_id": "d 2.1", "title": "", "text": "zweites Stück", "year": 1999},
    {"_id": 3, "text": "a third one", "nested": {"a": 1}},
]
HEAD = "query-id\tcorpus-id\tscore\n"


def folder(root: Path, documents: list = DOCUMENTS, more: str = "") -> Path:
    (root / "qrels").mkdir(parents=True)
    (root / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in documents) + more, "utf-8")
    (root / "queries.jsonl").write_text('{"_id": "q1", "text": "a question"}\n', "utf-8")
    (root / "qrels" / "test.tsv").write_text(f"{HEAD}q1\tMED-10\t2\nq1\td 2.1\t0.5\nq1\t3\t0\n", "utf-8")
    return root


def found(path: Path) -> Beir:
    [listing] = list_paths([path])
    return read_beir(listing.entries)


@pytest.mark.parametrize("packed", [False, True])
def test_documents_are_sources_with_their_ids_words_and_columns(tmp_path, packed):
    root = folder(tmp_path / "set")
    if packed:
        with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
            for path in root.rglob("*.*"):
                archive.write(path, path.relative_to(tmp_path))
        root = tmp_path / "set.zip"
    read = found(root)
    assert [source.given_id for source in read.sources] == ["MED-10", "d 2.1", "3"]
    assert [source.name for source in read.sources] == ["MED-10", "d 2.1.txt", "3"]
    words = [source.read().decode() for source in read.sources]
    assert words == ["Statins\nand breast cancer", "zweites Stück", "a third one"]
    assert [source.metadata for source in read.sources] == [(("url", "http://x"),), (("year", 1999),), ()]
    assert read.rest == read.failed == read.notes == ()
    assert [(one.count, one.examples) for one in read.left_out] == [(2, ("queries.jsonl", "test.tsv"))]
    assert read.layouts[0].endswith("corpus.jsonl is a corpus of BEIR: 3 documents, known by their ids.")


def test_what_is_empty_the_same_twice_or_no_document_is_counted_and_named(tmp_path):
    more = [
        {"_id": "same", "text": "a third one"},
        {"_id": "MED-10", "text": "another text"},
        {"_id": "void", "title": " ", "text": ""},
    ]
    read = found(
        folder(tmp_path / "set", [*DOCUMENTS, *more], '{"_id": "half\n\n["no object"]\n{"text": "x"}\n')
    )
    assert len(read.sources) == 3
    assert "1 documents have the same words as another (same)" in read.notes[0]
    assert "1 documents have an id twice (MED-10)" in read.notes[1]
    assert [(one.count, one.examples) for one in read.left_out[1:]] == [(1, ("void",))]
    [failure] = read.failed
    assert failure.name == "corpus.jsonl" and failure.reason.startswith("3 lines (7, 9, 10 …)")


def test_what_else_lies_there_is_understood_as_ever(tmp_path):
    root = folder(tmp_path / "set")
    (root / "notes.txt").write_text("a note")
    (root / "metadata.jsonl").write_text('{"file_name": "notes.txt", "label": "x"}\n')
    [listing] = list_paths([root])
    plan = understand(listing, max_file_bytes=1_000)
    assert [source.name for source in plan.sources] == ["MED-10", "d 2.1.txt", "3", "notes.txt"]
    assert plan.sources[-1].labels == ("x",) and plan.failed == ()
    assert "is a corpus of BEIR" in plan.layouts[0]


def test_other_tables_of_that_name_and_files_beside_are_left_to_others(tmp_path):
    root = folder(tmp_path / "set")
    (root / "picture.jpg").write_bytes(b"x")
    (tmp_path / "set" / "b").mkdir()
    (tmp_path / "set" / "b" / "corpus.jsonl").write_text('{"file_name": "a.jpg", "caption": "x"}\n')
    (tmp_path / "set" / "b" / "queries.jsonl").write_text("{}\n")
    rest = [entry.path.removeprefix("set/") for entry in found(tmp_path / "set").rest]
    assert sorted(rest) == ["b/corpus.jsonl", "b/queries.jsonl", "picture.jpg"]


def test_a_corpus_too_large_for_an_archive_is_refused_with_the_way_out(tmp_path, monkeypatch):
    root = folder(tmp_path / "set")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.write(root / "corpus.jsonl", "corpus.jsonl")
    monkeypatch.setattr(beir, "MAX_PACKED_BYTES", 10)
    [failure] = found(tmp_path / "set.zip").failed
    assert "unpack it and give the folder" in failure.reason


def test_a_corpus_that_changed_meanwhile_is_named(tmp_path):
    root = folder(tmp_path / "set")
    source = found(root).sources[1]
    (root / "corpus.jsonl").write_text("{}\n" * 100)
    with pytest.raises(UnreadableMediaError, match="has changed"):
        source.read()


def test_a_corpus_and_its_judgements_are_measured_together(tmp_path):
    root = folder(tmp_path / "set")
    workspace = opened(tmp_path / "data")
    try:
        given = sources([root])
        assert "is a corpus of BEIR" in given.notes[0] and given.left_out[0].count == 2
        report = workspace.ingest("set", given, choice=OLD)
        assert (report.stored, report.failed) == (3, ())
        items = {item.given_id: item for item in workspace.store.all_items("set", "text")}
        assert set(items) == {"MED-10", "d 2.1", "3"} and items["MED-10"].caption.startswith("Statins")
        with (
            (root / "qrels" / "test.tsv").open("rb") as qrels,
            (root / "queries.jsonl").open("rb") as queries,
        ):
            done = Judgements(workspace.ledger).take("set", qrels, queries)
        assert (done.stored, done.questions, done.left_out) == (3, 1, 0)
        grades = Judgements(workspace.ledger).for_question("set", "a question")
        assert grades == {items["MED-10"].id: 2, items["d 2.1"].id: 0.5, items["3"].id: 0}
    finally:
        workspace.close()
