"""The playground: every pair of a handful of texts and pictures, compared; draws and stores nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from engine.errors import ModalityError, QueryError
from engine.models.base import Embedder, Reranker
from engine.types import Modality, VectorTable
from engine.vectors import cosine

MAX_ENTRIES = 24
Mode = Literal["words", "everything"]  # texts ask for pictures; everything asks for everything
Scale = Literal["cosine", "own"]

# Sample photographs that differ in one thing each, and texts that name them or miss by one word.
PICTURES = (
    "photos/bee-on-purple-flower.jpg",
    "photos/bee-flying-to-red-flowers.jpg",
    "photos/striped-butterfly-on-purple-flower.jpg",
    "photos/small-blue-car.jpg",
    "photos/racing-car.jpg",
)
# text -> the picture it belongs to; None where no picture shows it
TEXTS: dict[str, str | None] = {
    "a bee on a purple flower": PICTURES[0],
    "a bee flying to red flowers": PICTURES[1],
    "a butterfly on a purple flower": PICTURES[2],
    "a butterfly on a red flower": None,
    "a small blue car": PICTURES[3],
    "a red racing car": PICTURES[4],
    "a blue racing car": None,
}

_WORDS: dict[Modality, str] = {"text": "text", "image": "picture", "audio": "sound", "video": "video"}


@dataclass(frozen=True)
class Heading:
    """What a row or a column of a matrix stands for; `label` is for people and may occur twice."""

    id: str
    label: str
    modality: Modality


@dataclass(frozen=True)
class Entry(Heading):
    """A text or a picture to compare; `content` as an embedder takes it (see `models.base.Embedder`)."""

    content: Any = field(repr=False)

    @property
    def heading(self) -> Heading:
        """Return the entry without its content."""
        return Heading(self.id, self.label, self.modality)


@dataclass(frozen=True)
class Matrix:
    """Scores of every row, asked as a question, against every column, a document.

    values: (n, m) float32 for n rows and m columns; NaN where the model does not read the pair. They
    are cosines in [-1, 1], or on the `own` scale of a reranker, which is comparable with no other.
    Raises ValueError if shapes, dtype, range or ids (unique among the rows, and among the columns)
    do not agree.
    """

    rows: tuple[Heading, ...]
    columns: tuple[Heading, ...]
    values: np.ndarray = field(repr=False)
    model: str
    scale: Scale
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.rows), len(self.columns)) or self.values.dtype != np.float32:
            raise ValueError(
                f"values must be ({len(self.rows)}, {len(self.columns)}) float32, "
                f"not {self.values.shape} {self.values.dtype}"
            )
        for side in (self.rows, self.columns):
            if len({one.id for one in side}) != len(side):
                raise ValueError("ids must be unique")
        if np.isinf(self.values).any() or (self.scale == "cosine" and (np.abs(self.values) > 1).any()):
            raise ValueError("values must be finite or NaN, and cosines in [-1, 1]")

    @property
    def read(self) -> int:
        """Return how many pairs have a value."""
        return int(np.isfinite(self.values).sum())

    def without_texts(self) -> Matrix:
        """Return the columns that are no texts, in their order."""
        kept = [place for place, column in enumerate(self.columns) if column.modality != "text"]
        return replace(self, columns=tuple(self.columns[one] for one in kept), values=self.values[:, kept])


@dataclass(frozen=True)
class First:
    """Which picture is first for a text.

    `value` is its score, `margin` how far the next one is below (0 where two share the first place,
    None where there is no other); `named` is the picture the text belongs to, where that is here.
    """

    text: Heading
    picture: Heading
    value: float
    margin: float | None
    named: Heading | None

    @property
    def right(self) -> bool | None:
        """Tell whether the picture that belongs to the text is first, alone; None where that says nothing."""
        if self.named is None or self.margin is None:
            return None
        return self.picture == self.named and self.margin > 0


@dataclass(frozen=True)
class Mean:
    """A mean cosine over n pairs."""

    value: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.2f} (n {self.n:,})"


@dataclass(frozen=True)
class Gap:
    """Mean cosines across and within kinds: what the gap looks like in this handful.

    `across` covers the texts with the pictures that belong to them where `matching`, otherwise every
    text with every picture. `pictures` is None where no picture was asked with.
    """

    across: Mean
    texts: Mean
    pictures: Mean | None
    matching: bool

    def __str__(self) -> str:
        means = [f"{'matching pairs' if self.matching else 'a text and a picture'} {self.across}"]
        means += [f"two texts {self.texts}", *([f"two pictures {self.pictures}"] if self.pictures else [])]
        return f"Mean cosines: {', '.join(means)}. {self._verdict()}"

    def _verdict(self) -> str:
        other = "what belongs to it" if self.matching else "the other kind"
        nearer = self.texts.value > self.across.value
        if self.pictures is None:
            own = "its own picture" if self.matching else "a picture"
            if nearer:
                return f"On average a text is nearer to other texts than to {own}: that is the modality gap."
            return f"On average a text is not nearer to other texts than to {own}."
        if nearer == (self.pictures.value > self.across.value):
            kind, end = ("each kind is", ": that is the modality gap") if nearer else ("neither kind is", "")
            return f"On average {kind} nearer to its own than to {other}{end}."
        near, far = ("texts", "pictures") if nearer else ("pictures", "texts")
        return f"On average {near} are nearer to {near} than to {far}, and {far} are not nearer to {far}."


def similarity(entries: Sequence[Entry], embedder: Embedder, mode: Mode = "words") -> Matrix:
    """Return the cosine of every question with every entry as a document.

    Questions are the texts ("words") or every entry ("everything"), embedded as a search would embed
    them. The columns hold the texts too: `without_texts` gives words against pictures, `gap_of` needs
    both. What the model does not embed is NaN, and a note says so. Raises QueryError for more than
    MAX_ENTRIES entries or nothing to compare, ModelError.
    """
    asked, _ = sides(entries, mode)
    questions = _table(asked, embedder, embedder.encode_query)
    documents = _table(entries, embedder, lambda modality, some: _as_documents(embedder, modality, some))
    values = np.full((len(asked), len(entries)), np.nan, np.float32)
    rows, columns = _places(asked, questions.ids), _places(entries, documents.ids)
    values[np.ix_(rows, columns)] = cosine(questions.vectors, documents.vectors)
    missing = sorted({one.modality for one in entries} - set(embedder.modalities))
    notes = [f"{embedder.spec.id} does not embed a {_WORDS[modality]}." for modality in missing]
    return _matrix(asked, entries, values, embedder.spec.id, "cosine", notes)


def rerank_scores(entries: Sequence[Entry], reranker: Reranker, mode: Mode = "words") -> Matrix:
    """Return the reranker's score of every question with every document, on its own scale.

    In the mode "words" the texts ask and everything else is a document. Pairs it cannot read are
    NaN, and a note says which. Raises QueryError as `similarity` does, ModelError.
    """
    asked, documents = sides(entries, mode)
    values = np.full((len(asked), len(documents)), np.nan, np.float32)
    unread: dict[tuple[Modality, Modality], int] = {}
    for row, question in enumerate(asked):
        readable = []
        for column, document in enumerate(documents):
            if reranker.can_read(question.modality, document.modality):
                readable.append(column)
            else:
                kinds = question.modality, document.modality
                unread[kinds] = unread.get(kinds, 0) + 1
        if readable:
            contents = [(documents[one].modality, documents[one].content) for one in readable]
            values[row, readable] = reranker.score((question.modality, question.content), contents)
    notes = _unread_notes(reranker.spec.id, unread, values.size)
    return _matrix(asked, documents, values, reranker.spec.id, "own", notes)


def sides(entries: Sequence[Entry], mode: Mode) -> tuple[list[Entry], list[Entry]]:
    """Return the entries that ask and the entries that are asked for.

    Raises QueryError for more than MAX_ENTRIES entries, or where nothing is left to compare.
    """
    if len(entries) > MAX_ENTRIES:
        raise QueryError(
            f"These are {len(entries):,} texts and pictures; the playground compares {MAX_ENTRIES} at most. "
            f"Leave out {len(entries) - MAX_ENTRIES:,}."
        )
    if mode == "everything":
        if len(entries) < 2:
            raise QueryError("There is nothing to compare: give at least two texts or pictures.")
        return list(entries), list(entries)
    texts = [one for one in entries if one.modality == "text"]
    others = [one for one in entries if one.modality != "text"]
    if not texts or not others:
        missing = "Type at least one text." if not texts else "Give at least one picture."
        raise QueryError(f"There is nothing to compare. {missing}")
    return texts, others


def firsts(matrix: Matrix, belongs: Mapping[str, str]) -> tuple[First, ...]:
    """Return for every text that was asked the picture with the highest score; ties go to the left one.

    `belongs` maps the id of a text to the id of its picture. A text with no score is left out.
    """
    pictures = matrix.without_texts()
    found = []
    for row, text in enumerate(pictures.rows):
        scores = pictures.values[row]
        if text.modality != "text" or not np.isfinite(scores).any():
            continue
        best = int(np.nanargmax(scores))
        others = np.delete(scores, best)
        margin = float(scores[best] - np.nanmax(others)) if np.isfinite(others).any() else None
        named = next((one for one in pictures.columns if one.id == belongs.get(text.id)), None)
        found.append(First(text, pictures.columns[best], float(scores[best]), margin, named))
    return tuple(found)


def right_firsts(found: Iterable[First]) -> tuple[int, int]:
    """Return how many texts have their own picture first, and how many could have."""
    told = [one.right for one in found if one.right is not None]
    return sum(told), len(told)


def gap_of(matrix: Matrix, belongs: Mapping[str, str]) -> Gap | None:
    """Return the mean cosines across and within kinds, of what `similarity` gave; None with too few.

    `belongs` maps the id of a text to the id of its picture. No entry is compared with itself. Raises
    ValueError for scores that are no cosines.
    """
    if matrix.scale != "cosine":
        raise ValueError("a gap is measured in cosines")
    own = _mean(matrix, lambda row, column: belongs.get(row.id) == column.id)
    across = own or _mean(matrix, lambda row, column: (row.modality, column.modality) == ("text", "image"))
    texts, pictures = (_mean(matrix, _two_of(modality)) for modality in ("text", "image"))
    if across is None or texts is None:
        return None
    return Gap(across, texts, pictures, matching=own is not None)


def _two_of(modality: Modality) -> Callable[[Heading, Heading], bool]:
    return lambda row, column: row.modality == column.modality == modality and row.id != column.id


def _mean(matrix: Matrix, wanted: Callable[[Heading, Heading], bool]) -> Mean | None:
    """Return the mean of the cells that are wanted; a pair asked both ways counts once."""
    cells = {
        (row.id, column.id): float(matrix.values[i, j])
        for i, row in enumerate(matrix.rows)
        for j, column in enumerate(matrix.columns)
        if wanted(row, column) and np.isfinite(matrix.values[i, j])
    }
    if not cells:
        return None
    return Mean(sum(cells.values()) / len(cells), len({frozenset(pair) for pair in cells}))


def _table(
    entries: Sequence[Entry], embedder: Embedder, encode: Callable[[Modality, list[Any]], np.ndarray]
) -> VectorTable:
    """Embed the entries whose modality the model embeds. Raises ModalityError where there are none.

    encode gives n contents of one modality as (n, dim) float32, rows of unit length.
    """
    ids: list[str] = []
    parts = []
    for modality in embedder.modalities:
        some = [one for one in entries if one.modality == modality]
        if some:
            ids += [one.id for one in some]
            parts.append(encode(modality, [one.content for one in some]))
    if not parts:
        raise ModalityError(embedder.spec.id, entries[0].modality, embedder.modalities)
    return VectorTable(tuple(ids), np.concatenate(parts))


def _as_documents(embedder: Embedder, modality: Modality, contents: Sequence[Any]) -> np.ndarray:
    """Embed n contents as they are stored: (n, dim) float32, rows of unit length."""
    return embedder.encode_document(modality, [embedder.prepare(modality, one) for one in contents])


def _places(entries: Sequence[Entry], ids: Sequence[str]) -> list[int]:
    place = {one.id: index for index, one in enumerate(entries)}
    return [place[id_] for id_ in ids]


def _matrix(
    asked: Sequence[Entry],
    documents: Sequence[Entry],
    values: np.ndarray,
    model: str,
    scale: Scale,
    notes: Sequence[str],
) -> Matrix:
    rows, columns = (tuple(one.heading for one in side) for side in (asked, documents))
    return Matrix(rows, columns, values, model, scale, tuple(notes))


def _unread_notes(model: str, unread: Mapping[tuple[Modality, Modality], int], total: int) -> list[str]:
    if not unread:
        return []
    kinds = ", ".join(f"a {_WORDS[asked]} with a {_WORDS[document]}" for asked, document in unread)
    return [f"{model} does not read {kinds}: {sum(unread.values()):,} of {total:,} pairs have no score."]
