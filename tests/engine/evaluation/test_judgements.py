"""Judgements stay with their collection, go with what they name, and come and go as TREC's files."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.cli.judgements import measure_run
from engine.errors import JudgementError, QueryError, TrecError
from engine.evaluation.judgements import Judgement, Judgements, asked_with, qid_of, question_key
from engine.evaluation.trec import parse_run
from engine.search.search import Query
from engine.storage.ledger import Ledger
from engine.types import Item, Provenance
from tests.helpers.data import MADE_BY, generated_photos, plain_items, sources, unit_table
from tests.helpers.fake_embedder import NEW, OLD, Fake, lend

A, B, C = (f"{number:064x}" for number in range(3))
TEXT = "7" * 64


@pytest.fixture
def ledger(tmp_path: Path):
    """Return a ledger with the pictures 0.jpg, 1.jpg and 2.jpg and a caption of the first in 'photos'."""
    opened = Ledger(tmp_path / "ledger.sqlite3")
    for name in ("photos", "others"):
        opened.set_provenance(name, MADE_BY)
        table = unit_table(3)
        opened.put(name, plain_items(table), table)
        words = Item(TEXT, "text", "0.jpg", "text/plain", A, caption="a  red\nbird")
        opened.put(name, [words], type(table)((TEXT,), table.vectors[:1]))
    yield opened
    opened.close()


@pytest.fixture
def marks(ledger: Ledger) -> Judgements:
    return Judgements(ledger)


def everything(marks: Judgements, collection: str = "photos") -> list[tuple[str, str, int]]:
    return [(one.question, one.item, one.relevance) for one in marks.of(collection)]


def test_a_question_has_one_key_however_it_is_typed():
    assert question_key(Query(text="  a red\n bird\u202e ")) == question_key(Query(text="a red bird"))
    assert question_key(Query(text="A red bird")) != question_key(Query(text="a red bird"))
    assert len(question_key(Query(text="x" * 10_000))) == 4096
    assert question_key(Query(like=A)) == f"item:{A}"
    picture = Query(image=Image.new("RGB", (2, 2)))
    assert question_key(picture, B) == f"image:{B}"
    for nothing in (Query(text=" \x00 "), Query(), picture):
        with pytest.raises(QueryError):
            question_key(nothing)


def test_what_a_key_asks_with():
    assert asked_with(f"image:{A}") == ("image", A)
    assert asked_with(f"item:{B}") == ("like", B)
    for words in ("a red bird", "image: of a bird", "item:7"):
        assert asked_with(words) == ("text", words)


def test_the_id_of_a_question_has_no_spaces_and_stays():
    assert qid_of("a red bird") == "b858e86ff86e6ef8"
    assert qid_of("a red bird") != qid_of("a blue bird")


def test_marks_are_kept_changed_and_taken_back(ledger, marks):
    marks.mark("photos", "a bird", B, 1)
    marks.mark("photos", "a bird", A, 0)
    marks.mark("photos", "a bee", A, 3)
    assert marks.of("photos") == [
        Judgement("a bee", A, 3),
        Judgement("a bird", A, 0),
        Judgement("a bird", B, 1),
    ]
    assert marks.for_question("photos", "a bird") == {A: 0, B: 1}
    assert (marks.grade("photos", "a bird", A), marks.grade("photos", "a bird", C)) == (0, None)
    marks.mark("photos", "a bird", A, 1)
    marks.mark("photos", "a bird", B, None)
    marks.mark("photos", "never asked", B, None)
    assert marks.for_question("photos", "a bird") == {A: 1}
    assert marks.of("others") == [] and marks.for_question("photos", "a dog") == {}
    reopened = Ledger(ledger.path)
    assert Judgements(reopened).of("photos") == marks.of("photos")
    reopened.close()


@pytest.mark.parametrize(
    ("collection", "question", "item", "relevance", "says"),
    [
        ("photos", "a bird", "f" * 64, 1, "holds no item “ffff"),
        ("nothing", "a bird", A, 1, "'nothing' holds no item"),
        ("photos", "", A, 1, "is not a question"),
        ("photos", "two\nlines", A, 1, "is not a question"),
        ("photos", "a bird", A, 11, "0 (wrong) to 10, not 11"),
        ("photos", "a bird", A, -1, "not -1"),
    ],
)
def test_a_mark_that_cannot_be_is_refused_in_words(marks, collection, question, item, relevance, says):
    with pytest.raises(JudgementError) as refused:
        marks.mark(collection, question, item, relevance)
    assert says in str(refused.value)
    assert marks.of(collection) == []


def test_marks_go_with_their_item_and_with_their_collection(ledger, marks):
    for name in ("photos", "others"):
        for question, item in (("a bird", A), ("a bird", B), (f"item:{A}", B), (f"item:{B}", C)):
            marks.mark(name, question, item, 1)
    ledger.delete("photos", [A])
    assert everything(marks) == [("a bird", B, 1), (f"item:{B}", C, 1)]
    assert len(marks.of("others")) == 4
    ledger.forget("photos")
    assert marks.of("photos") == [] and len(marks.of("others")) == 4


def test_marks_outlive_the_items_dropped_for_another_model(ledger, marks):
    marks.mark("photos", "a bird", A, 1)
    ledger.set_provenance("photos", Provenance("tester", "2", 8))
    assert ledger.known("photos", "image", [A]) == set()
    assert everything(marks) == [("a bird", A, 1)]


def test_marks_outlive_a_remake_in_place_and_go_with_deleted_items(workspace, tmp_path):
    lend(workspace, Fake("old", 8), Fake("new", 12))
    workspace.ingest("photos", sources([generated_photos(tmp_path / "in", 4)]), choice=OLD)
    ids = sorted(workspace.ledger.ids("photos", "image"))
    marks = Judgements(workspace.ledger)
    for item in ids:
        marks.mark("photos", "a picture", item, 1)
    workspace.reembed("photos", NEW)
    assert workspace.store.info("photos").made_by.model == "new"
    assert marks.for_question("photos", "a picture") == dict.fromkeys(ids, 1)
    workspace.delete_items("photos", ids[:1])
    assert marks.for_question("photos", "a picture") == dict.fromkeys(ids[1:], 1)
    workspace.reembed("photos", OLD, into="beside")
    assert marks.of("beside") == []  # they stay where they were made; export and import carry them over
    marks.take("beside", io.BytesIO(marks.export("photos")))
    assert marks.of("beside") == marks.of("photos")
    workspace.delete_collection("photos")
    assert marks.of("photos") == [] and len(marks.of("beside")) == 3


def test_a_ledger_without_judgements_opens(ledger, tmp_path):
    with ledger.transaction() as db:
        db.execute("DROP TABLE judgements")
    reopened = Ledger(ledger.path)
    Judgements(reopened).mark("photos", "a bird", A, 1)
    assert len(Judgements(reopened).of("photos")) == 1
    reopened.close()


QUESTIONS = ("a bird", "ein Vögelchen", f"item:{A}", f"image:{C}")


def marked(marks: Judgements, collection: str = "photos") -> None:
    for number, question in enumerate(QUESTIONS):
        marks.mark(collection, question, B, number % 4)
        marks.mark(collection, question, C, 1)


def test_an_export_holds_qrels_and_topics_and_is_the_same_every_time(marks):
    marked(marks)
    data = marks.export("photos")
    assert data == marks.export("photos")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["qrels.txt", "topics.tsv"]
        qrels, topics = (archive.read(name).decode() for name in archive.namelist())
    assert f"{qid_of('a bird')} 0 {B} 0\n" in qrels and len(qrels.splitlines()) == 8
    assert f"{qid_of(QUESTIONS[1])}\tein Vögelchen\n" in topics and len(topics.splitlines()) == 4
    assert topics.splitlines() == sorted(topics.splitlines())


def test_what_was_exported_can_be_imported(marks, ledger):
    marked(marks)
    done = marks.take("others", io.BytesIO(marks.export("photos")))
    assert (done.stored, done.questions, done.left_out, done.faults) == (8, 4, 0, ())
    assert marks.of("others") == marks.of("photos")
    with zipfile.ZipFile(io.BytesIO(marks.export("photos"))) as archive:
        ledger.delete("others")  # and its items
        assert marks.of("others") == []
        [qrels, _] = [archive.read(name) for name in archive.namelist()]
    for one in QUESTIONS:
        marks.mark("photos", one, C, None)
    marks.take("photos", io.BytesIO(qrels))  # these questions are known here, without topics
    assert len(marks.of("photos")) == 8


def test_questions_are_known_from_captions_and_text_items_and_items_by_file_name(marks):
    qrels = (
        f"{TEXT} 0 1.jpg 1\n{qid_of('a  red' + chr(10) + 'bird')} 0 {A} 2\n{qid_of('a red bird')} 0 0.jpg 2\n"
    )
    done = marks.take("photos", qrels.splitlines())
    assert (done.stored, done.questions) == (2, 1)
    assert everything(marks) == [("a red bird", A, 2), ("a red bird", B, 1)]


def test_topics_name_the_questions_and_an_import_replaces_marks(marks):
    marks.mark("photos", "a blue bird", A, 0)
    marks.mark("photos", "a blue bird", B, 1)
    marks.take("photos", [b"7 0 0.jpg 1\n"], [b"7\t a blue   bird\n"])
    assert everything(marks) == [("a blue bird", A, 1), ("a blue bird", B, 1)]


def test_one_malformed_line_leaves_everything_as_it_was(marks):
    marks.mark("photos", "a bird", A, 1)
    lines = [f"{qid_of('a bird')} 0 {B} 1", "too few", f"{qid_of('a bird')} 0 {C} high"]
    for skip in (False, True):
        with pytest.raises(
            TrecError, match=r"Nothing was taken: 2 lines .*line 2: .* 2 columns.*line 3: .*high"
        ):
            marks.take("photos", lines, skip_unknown=skip)
    assert everything(marks) == [("a bird", A, 1)]


def test_unknown_ids_are_refused_or_left_out_and_listed(marks, ledger):
    table = unit_table(1, start=9)
    ledger.put("photos", plain_items(table), table)  # a second 0.jpg
    lines = ["1 0 1.jpg 1", "1 0 nobody.jpg 1", "2 0 1.jpg 1", "1 0 0.jpg 1", "3 0 1.jpg 1"]
    topics = ["1\ta bird", f"3\titem:{'e' * 64}"]
    with pytest.raises(TrecError) as refused:
        marks.take("photos", lines, topics)
    for says in (
        "4 lines",
        "line 2: there is no item “nobody.jpg”",
        "line 3: there is no question “2”",
        "line 4: several items are called “0.jpg”; use the id",
        "line 5: the question “3” is an item that is not here",
    ):
        assert says in str(refused.value)
    assert marks.of("photos") == []
    done = marks.take("photos", lines, topics, skip_unknown=True)
    assert (done.stored, done.questions, done.left_out) == (1, 1, 4)
    assert [fault.line for fault in done.faults] == [2, 3, 4, 5]
    assert everything(marks) == [("a bird", B, 1)]


def test_an_item_judged_twice_must_be_judged_alike(marks):
    topics = ["1\ta bird", "2\ta  bird"]
    assert marks.take("photos", ["1 0 1.jpg 1", f"1 0 {B} 1", f"2 0 {B} 1"], topics).stored == 1
    with pytest.raises(TrecError, match=r"line 2: .* is 0 here and 1 in line 1"):
        marks.take("photos", ["1 0 1.jpg 1", f"2 0 {B} 0"], topics)


@pytest.mark.parametrize("lines", [[], ["", " \n"]])
def test_an_import_of_nothing_is_refused(marks, lines):
    with pytest.raises(TrecError, match="nothing to take"):
        marks.take("photos", lines)


def zipped(**files: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name.replace("_", "."), text)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (zipped(other_txt="x"), "holds no qrels.txt"),
        (zipped(qrels_txt="x y\n" * 99)[:60], "cannot be read"),
        (b"PK\x03\x04" + b"junk" * 99, "cannot be read"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "cannot be read"),
    ],
    ids=["another zip", "half a zip", "junk", "a picture"],  # a zip holds the time: no two are alike
)
def test_a_file_that_is_something_else_is_refused_in_words(marks, data, says):
    with pytest.raises(TrecError, match=says):
        marks.take("photos", io.BytesIO(data))


@pytest.mark.parametrize("method", ["deflate", "bzip2", "lzma"])
def test_a_damaged_zip_is_refused_in_words_whatever_packed_it(marks, method):
    import io
    import random
    import zipfile

    kinds = {"deflate": zipfile.ZIP_DEFLATED, "bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kinds[method]) as archive:
        archive.writestr("qrels.txt", "".join(f"q{n} 0 d{n} 1\n" for n in range(200)))
    chance = random.Random(1)
    for _ in range(60):
        damaged = bytearray(out.getvalue())
        for _ in range(4):
            damaged[chance.randrange(4, len(damaged))] ^= 1 << chance.randrange(8)
        with pytest.raises(TrecError):
            marks.take("photos", io.BytesIO(bytes(damaged)))


def test_a_zip_that_unpacks_to_too_much_is_refused_before_it_is_read(marks, monkeypatch):
    import io
    import zipfile

    monkeypatch.setattr("engine.evaluation.judgement_files.MAX_MEMBER_BYTES", 1_000)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("qrels.txt", "q 0 d 1\n" * 1_000)
    out.seek(0)
    with pytest.raises(TrecError, match="which is the limit"):
        marks.take("photos", out)


def test_a_run_is_ranked_by_item_and_question(marks):
    marks.mark("photos", "a bird", A, 1)
    lines = [
        f"{qid_of('a bird')} Q0 {docid} 1 {score} t" for docid, score in (("1.jpg", 1), ("gone", 3), (A, 2))
    ]
    run = parse_run([*lines, "stranger Q0 1.jpg 1 1 t"])
    assert marks.ranked("photos", run) == {"a bird": ["gone", A, B]}
    assert marks.ranked("photos", run, ["stranger\ta dog"])["a dog"] == [B]
    with pytest.raises(TrecError, match="answers no question"):
        marks.ranked("photos", run[-1:])


def test_an_exported_set_and_a_run_measure_alike_in_ir_measures(marks, ledger, tmp_path):
    """Grades, ties, items nobody judged, a question without a right item, and one not in the run."""
    import ir_measures
    from ir_measures import AP, RR, P, R, Success, nDCG

    table = unit_table(40)
    ledger.put("photos", plain_items(table), table)
    rng = np.random.default_rng(7)
    lines = []
    for number in range(12):
        for id_ in rng.choice(table.ids, 9, replace=False):
            marks.mark("photos", f"question {number}", str(id_), int(rng.integers(0, 11)) if number else 0)
        for id_ in rng.choice(table.ids, 25, replace=False) if number != 5 else ():
            lines.append(f"{qid_of(f'question {number}')} Q0 {id_} 0 {rng.choice([0.1, 0.2, 0.3])} t")
    with zipfile.ZipFile(io.BytesIO(marks.export("photos"))) as archive:
        archive.extract("qrels.txt", tmp_path)
    (tmp_path / "run").write_text("\n".join(lines))
    theirs = ir_measures.calc_aggregate(
        [*(one @ k for one in (Success, R, P, AP) for k in (1, 5, 10)), RR, nDCG @ 10],
        list(ir_measures.read_trec_qrels(str(tmp_path / "qrels.txt"))),
        list(ir_measures.read_trec_run(str(tmp_path / "run"))),
    )
    by_question: dict[str, dict[str, int]] = {}
    for one in marks.of("photos"):
        by_question.setdefault(one.question, {})[one.item] = one.relevance
    ours = measure_run(marks.ranked("photos", parse_run(lines)), by_question)
    assert (ours.queries, ours.unanswered, ours.hopeless) == (12, 1, 1)
    names = {"Success": "hit", "R": "recall", "P": "precision", "AP": "map", "RR": "mrr", "nDCG": "ndcg"}
    renamed = {"@".join([names[str(m).split("@")[0]], *str(m).split("@")[1:]]): v for m, v in theirs.items()}
    assert ours.metrics == pytest.approx(renamed, abs=1e-9) and len(renamed) == 14
    assert 0.1 < ours.metrics["ndcg@10"] < 0.9


QUERIES = '{"_id": "1", "text": "a bird", "metadata": {}}\n{"_id": 2, "text": "a dog"}\n'


def beir_zip(files: dict[str, str]) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"set/{name}", text)
    out.seek(0)
    return out


def test_a_zip_of_beir_is_read_with_its_questions_and_says_which_split(marks):
    head = "query-id\tcorpus-id\tscore\n"
    files = {
        "corpus.jsonl": "{}",
        "queries.jsonl": QUERIES,
        "qrels/train.tsv": f"{head}1\t2.jpg\t1\n",
        "qrels/test.tsv": f"{head}1\t0.jpg\t0.5\n2\t1.jpg\t10\n2\t2.jpg\t-1\n",
    }
    done = marks.take("photos", beir_zip(files))
    assert (done.stored, done.questions, done.file) == (3, 2, "set/qrels/test.tsv")
    assert everything(marks) == [("a bird", A, 0.5), ("a dog", B, 10), ("a dog", C, 0)]
    out = io.BytesIO(marks.export("photos"))
    marks.mark("photos", "a bird", A, None)
    assert marks.take("photos", out).file == "qrels.txt" and ("a bird", A, 0.5) in everything(marks)
    del files["qrels/test.tsv"]
    assert marks.take("photos", beir_zip(files)).file == "set/qrels/train.tsv"
    files["qrels/other.tsv"] = files["qrels/train.tsv"]
    with pytest.raises(TrecError, match=r"several qrels files .set/qrels/other.tsv, set/qrels/train.tsv"):
        marks.take("photos", beir_zip(files))


def test_an_item_is_known_by_what_its_data_set_calls_it(ledger, marks):
    table = unit_table(4)
    items = plain_items(table)
    ledger.put("photos", [replace(items[3], given_id="MED-10", name="x")], table.take([items[3].id]))
    marks.take("photos", ["query-id\tcorpus-id\tscore", "1\tMED-10\t2"], QUERIES.splitlines())
    assert everything(marks) == [("a bird", items[3].id, 2)]


def test_a_grade_that_is_a_decimal_gains_in_ndcg_and_counts_as_right(marks):
    marks.mark("photos", "a bird", A, 0.5)
    marks.mark("photos", "a bird", B, 2)
    assert marks.grade("photos", "a bird", A) == 0.5
    found = measure_run({"a bird": [A, B]}, {"a bird": marks.for_question("photos", "a bird")}).metrics
    ideal = 2 + 0.5 / np.log2(3)
    assert found["ndcg@10"] == pytest.approx((0.5 + 2 / np.log2(3)) / ideal)
    assert found["recall@1"] == 0.5 and found["precision@1"] == 1 and found["map@5"] == 1
