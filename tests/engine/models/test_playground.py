"""The playground's tables and sums: who asks whom, what is not read, firsts, margins and the gap."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from engine.errors import ModalityError, QueryError
from engine.ingest.samples import SAMPLE_DIR, list_samples
from engine.models import playground
from engine.models.playground import Entry, First, Gap, Heading, Matrix, Mean


class FakeEmbedder:
    """Embeds content that is a list of numbers; questions are told from documents by a mark."""

    def __init__(self, modalities=("text", "image")):
        self.spec, self.modalities = SimpleNamespace(id="fake"), modalities
        self.asked: list = []
        self.stored: list = []

    def prepare(self, modality, content):
        return ("prepared", content)

    def encode_document(self, modality, prepared):
        assert all(mark == "prepared" for mark, _ in prepared)
        self.stored += [(modality, content) for _, content in prepared]
        return self._vectors([content for _, content in prepared])

    def encode_query(self, modality, contents):
        self.asked += [(modality, content) for content in contents]
        return self._vectors(contents)

    def _vectors(self, contents):
        vectors = np.array([[np.cos(angle), np.sin(angle)] for angle in contents], np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class FakeReranker:
    """Scores a pair by 10 * question + document; reads only the pairs it is told to."""

    def __init__(self, pairs):
        self.spec, self._pairs, self.calls = SimpleNamespace(id="judge"), pairs, []

    def can_read(self, query, document):
        return (query, document) in self._pairs

    def score(self, query, documents):
        self.calls.append((query, documents))
        return np.array([10 * query[1] + content for _, content in documents], np.float32)


def text(id_: str, content=0.0) -> Entry:
    return Entry(id_, id_.upper(), "text", content)


def picture(id_: str, content=0.0) -> Entry:
    return Entry(id_, id_.upper(), "image", content)


def matrix(values, *, texts=None, pictures=None, scale="cosine", with_texts=False) -> Matrix:
    """Return texts t0… against pictures p0…, or against texts and pictures."""
    values = np.array(values, np.float32)
    rows = tuple(Heading(f"t{n}", f"text {n}", "text") for n in range(len(values)))
    left = values.shape[1] - (len(rows) if with_texts else 0)
    columns = tuple(Heading(f"p{n}", f"picture {n}", "image") for n in range(left))
    return Matrix(rows, (*rows, *columns) if with_texts else columns, values, "fake", scale)


MIXED = [picture("p", 0.0), text("t", 0.1), picture("q", 0.7), text("u", 1.0)]


def test_texts_ask_and_pictures_answer():
    model = FakeEmbedder()
    table = playground.similarity(MIXED, model)
    shown = table.without_texts()
    assert [row.id for row in shown.rows] == ["t", "u"]
    assert [column.id for column in shown.columns] == ["p", "q"]
    assert np.allclose(shown.values, np.cos([[0.1, 0.6], [1.0, 0.3]]), atol=1e-6)
    assert model.asked == [("text", 0.1), ("text", 1.0)]
    assert shown.values.dtype == np.float32
    assert (shown.model, shown.scale, shown.notes) == ("fake", "cosine", ())


def test_every_value_stays_with_its_ids_in_any_order():
    table = playground.similarity(MIXED, FakeEmbedder(), "everything")
    angles = {one.id: one.content for one in MIXED}
    assert [row.id for row in table.rows] == [column.id for column in table.columns] == ["p", "t", "q", "u"]
    wanted = [[np.cos(angles[row.id] - angles[column.id]) for column in table.columns] for row in table.rows]
    assert np.allclose(table.values, wanted, atol=1e-6)


def test_everything_asks_with_pictures_too():
    model = FakeEmbedder()
    playground.similarity(MIXED, model, "everything")
    assert ("image", 0.7) in model.asked
    assert len(model.stored) == 4


def test_what_the_model_does_not_embed_is_nan_and_named():
    table = playground.similarity(MIXED, FakeEmbedder(("text",)), "everything")
    assert table.read == 4
    assert np.isnan(table.values[0]).all()
    assert table.notes == ("fake does not embed a picture.",)
    assert playground.similarity(MIXED, FakeEmbedder(("text",))).without_texts().read == 0


def test_a_model_that_cannot_take_the_question_is_refused():
    with pytest.raises(ModalityError, match="cannot embed text"):
        playground.similarity(MIXED, FakeEmbedder(("image",)))


@pytest.mark.parametrize("mode", ["words", "everything"])
def test_more_than_24_entries_are_refused_with_the_number(mode):
    many = [text("t"), *(picture(f"p{n}") for n in range(24))]
    with pytest.raises(QueryError, match=r"25 texts and pictures; .* 24 at most\. Leave out 1\."):
        playground.similarity(many, FakeEmbedder(), mode)
    with pytest.raises(QueryError):
        playground.rerank_scores(many, FakeReranker([]), mode)
    assert playground.similarity(many[:24], FakeEmbedder(), mode).values.shape[1] == 24


@pytest.mark.parametrize(
    ("entries", "mode", "words"),
    [
        ([], "words", "at least one text"),
        ([picture("p")], "words", "at least one text"),
        ([text("t")], "words", "at least one picture"),
        ([text("t")], "everything", "at least two"),
    ],
)
def test_nothing_to_compare_is_said(entries, mode, words):
    with pytest.raises(QueryError, match=words):
        playground.sides(entries, mode)


def test_entries_of_the_same_id_are_a_fault_of_the_caller():
    with pytest.raises(ValueError, match="unique"):
        playground.similarity([text("t"), picture("p"), picture("p", 1.0)], FakeEmbedder())


def test_the_reranker_scores_what_it_reads_row_by_row():
    judge = FakeReranker([("text", "image")])
    table = playground.rerank_scores([picture("p", 1), text("t", 2), picture("q", 3), text("u", 4)], judge)
    assert table.values.tolist() == [[21, 23], [41, 43]]
    assert (table.scale, table.model, table.notes) == ("own", "judge", ())
    assert judge.calls[0] == (("text", 2), [("image", 1), ("image", 3)])


def test_unread_pairs_are_nan_with_a_note_that_says_which():
    judge = FakeReranker([("text", "text")])
    table = playground.rerank_scores([text("t", 1), text("u", 2), picture("p", 3)], judge, "everything")
    assert np.isnan(table.values).tolist() == [[False, False, True], [False, False, True], [True] * 3]
    assert table.notes == (
        "judge does not read a text with a picture, a picture with a text, a picture with a picture: "
        "5 of 9 pairs have no score.",
    )


def test_a_reranker_that_reads_nothing_is_never_called():
    judge = FakeReranker([])
    table = playground.rerank_scores(MIXED, judge)
    assert (table.read, judge.calls) == (0, [])


@pytest.mark.parametrize(
    "change",
    [
        {"values": np.zeros((2, 3), np.float32)},
        {"values": np.zeros((2, 2))},
        {"values": np.full((2, 2), np.inf, np.float32)},
        {"values": np.full((2, 2), 1.5, np.float32)},
        {"rows": (Heading("t0", "", "text"), Heading("t0", "", "text"))},
        {"columns": (Heading("p", "", "image"), Heading("p", "", "image"))},
    ],
)
def test_a_matrix_checks_itself(change):
    with pytest.raises(ValueError):
        replace(matrix([[0.1, 0.2], [0.3, 0.4]]), **change)


def test_a_rerankers_scores_may_be_of_any_size():
    assert matrix([[-12.5, 40.0]], scale="own").read == 2


def test_firsts_tell_margin_and_whether_it_is_right():
    table = matrix([[0.5, 0.2, 0.4], [0.1, 0.3, 0.2], [0.2, 0.9, 0.1]])
    found = playground.firsts(table, {"t0": "p0", "t1": "p2"})
    assert [one.picture.id for one in found] == ["p0", "p1", "p1"]
    assert [one.right for one in found] == [True, False, None]
    assert np.allclose([one.margin for one in found], [0.1, 0.1, 0.7])
    assert found[1].named.id == "p2"
    assert playground.right_firsts(found) == (1, 2)


def test_a_tie_for_the_first_place_is_not_right():
    [found] = playground.firsts(matrix([[0.4, 0.4]]), {"t0": "p0"})
    assert (found.picture.id, found.margin, found.right) == ("p0", 0.0, False)


def test_a_single_picture_proves_nothing():
    [found] = playground.firsts(matrix([[0.4]]), {"t0": "p0"})
    assert (found.margin, found.right) == (None, None)
    assert playground.right_firsts([found]) == (0, 0)


def test_a_picture_that_is_switched_off_counts_for_nothing():
    found = playground.firsts(matrix([[0.4, 0.1]]), {"t0": "elsewhere"})
    assert playground.right_firsts(found) == (0, 0)


def test_pairs_that_were_not_read_never_come_first():
    nan = float("nan")
    found = playground.firsts(matrix([[nan, -3, nan], [nan, nan, nan]], scale="own"), {"t0": "p0"})
    assert [(one.text.id, one.picture.id, one.margin) for one in found] == [("t0", "p1", None)]


def test_firsts_leave_the_texts_among_the_columns_out():
    found = playground.firsts(matrix([[1.0, 0.9, 0.2, 0.1], [0.9, 1.0, 0.0, 0.3]], with_texts=True), {})
    assert [one.picture.id for one in found] == ["p0", "p1"]


def test_the_gap_compares_matching_pairs_with_two_of_a_kind():
    table = matrix([[1.0, 0.6, 0.3, 0.1], [0.7, 1.0, 0.0, 0.5]], with_texts=True)
    gap = playground.gap_of(table, {"t0": "p0", "t1": "p1"})
    assert (gap.matching, gap.pictures) == (True, None)
    assert gap.across.value == pytest.approx(0.4)
    assert gap.texts.value == pytest.approx(0.65)
    assert (gap.across.n, gap.texts.n) == (2, 1)
    assert str(gap) == (
        "Mean cosines: matching pairs 0.40 (n 2), two texts 0.65 (n 1). "
        "On average a text is nearer to other texts than to its own picture: that is the modality gap."
    )


def test_the_gap_without_known_pairs_takes_every_text_with_every_picture():
    gap = playground.gap_of(matrix([[1.0, 0.2, 0.3, 0.5], [0.2, 1.0, 0.1, 0.7]], with_texts=True), {})
    assert (gap.matching, gap.across.n) == (False, 4)
    assert gap.across.value == pytest.approx(0.4)
    assert str(gap).endswith("On average a text is not nearer to other texts than to a picture.")


def test_pictures_that_asked_are_in_the_gap():
    gap = playground.gap_of(playground.similarity(MIXED, FakeEmbedder(), "everything"), {"t": "p"})
    assert gap.pictures == Mean(pytest.approx(np.cos(0.7)), 1)


@pytest.mark.parametrize(
    ("across", "texts", "pictures", "words"),
    [
        (0.3, 0.6, 0.5, "each kind is nearer to its own than to what belongs to it: that is the modality"),
        (0.7, 0.6, 0.5, "neither kind is nearer to its own than to what belongs to it."),
        (0.55, 0.6, 0.5, "texts are nearer to texts than to pictures, and pictures are not nearer to"),
        (0.55, 0.5, 0.6, "pictures are nearer to pictures than to texts, and texts are not nearer to"),
    ],
)
def test_the_verdict_says_only_what_the_numbers_say(across, texts, pictures, words):
    assert f"On average {words}" in str(Gap(Mean(across, 5), Mean(texts, 6), Mean(pictures, 7), True))


def test_a_gap_needs_two_texts_and_cosines():
    assert playground.gap_of(matrix([[1.0, 0.4]], with_texts=True), {}) is None
    with pytest.raises(ValueError):
        playground.gap_of(matrix([[3.0]], scale="own"), {})


def test_the_default_content_is_in_the_samples():
    names = {sample.file_name for sample in list_samples()}
    assert set(playground.PICTURES) <= names
    belonging = [one for one in playground.TEXTS.values() if one]
    assert sorted(belonging) == sorted(playground.PICTURES)
    assert None in playground.TEXTS.values()  # a hard negative that no picture shows
    assert len(playground.TEXTS) + len(playground.PICTURES) <= playground.MAX_ENTRIES


def test_pocket_on_the_default_content(pocket):
    pictures = [
        Entry(name, name, "image", Image.open(SAMPLE_DIR / name).convert("RGB"))
        for name in playground.PICTURES
    ]
    texts = [Entry(line, line, "text", line) for line in playground.TEXTS]
    table = playground.similarity([*texts, *pictures], pocket)
    assert table.read == 7 * 12
    belongs = {line: name for line, name in playground.TEXTS.items() if name}
    found = playground.firsts(table, belongs)
    right, named = playground.right_firsts(found)
    assert named == 5
    assert 2 <= right < 5  # it knows bees and cars; not colours, which is what this content shows
    assert isinstance(found[0], First)
    assert found[0].right is True
