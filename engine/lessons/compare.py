"""The same media under several collections: gap and retrieval on the pairs that all of them hold.

An item is the same where its id is, which is made from the SHA-256 of its content. All collections are
measured on the same pairs and asked the same questions, so that a difference is of the models alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from engine.analysis.gap import l2m, rmg
from engine.analysis.gap_chance import intervals
from engine.errors import GapError
from engine.evaluation.gap_retrieval import MOST_QUESTIONS, best_ranks
from engine.evaluation.metrics import Interval
from engine.lessons.pairs import LEAST_PAIRS, draw, pair_ids, trained_words, twos, unit_vectors
from engine.lessons.recalls import Recalls, recalls
from engine.progress import Watch
from engine.storage.columns import Columns, read_columns
from engine.storage.data_folder import DataFolder
from engine.types import PLURAL, Modality

KS = (1, 5, 10)
MOST_COLLECTIONS = 6  # more do not stand side by side
MOST = 2_000  # pairs on which recall of several collections is told apart to about 3 points


@dataclass(frozen=True)
class Chosen:
    """A collection that is compared: what made its vectors, of how many numbers, and what it holds.

    Of its `items` the `unshared` are not in all the others. `training` are words where its model was trained
    here, "" else: pairs that it has learned are no fair comparison.
    """

    collection: str
    model: str
    revision: str
    dim: int
    items: int
    unshared: int
    training: str


@dataclass(frozen=True)
class Measured:
    """Gap and retrieval of one collection on the shared pairs; changes are against the first collection.

    l2m in [0, 2] and rmg in [0, 1], with 95 % bootstrap intervals over pairs.
    """

    collection: str
    l2m: Interval
    rmg: Interval
    a_to_b: Recalls
    b_to_a: Recalls


@dataclass(frozen=True)
class SharedPairs:
    """Two modalities on the same n pairs of `there`, drawn by the seed, under every collection.

    `questions` of each modality are asked among all n of the other.
    """

    a: Modality
    b: Modality
    n: int
    there: int
    questions: int
    measured: tuple[Measured, ...]


@dataclass(frozen=True)
class Comparison:
    """Collections side by side over the `shared` items that all of them hold.

    `left_out` says which two modalities are not measured and why, `notes` what was done to vectors.
    """

    chosen: tuple[Chosen, ...]
    shared: int
    pairs: tuple[SharedPairs, ...]
    seed: int
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def compare(
    folder: DataFolder, collections: Sequence[str], *, most: int = MOST, seed: int = 0, watch: Watch
) -> Comparison:
    """Return every two modalities under all collections, on at most `most` pairs that all of them have.

    Raises GapError for fewer than two or more than MOST_COLLECTIONS collections, and where they share no
    pairs to measure; CollectionNotFoundError, ProjectionError for an empty collection, StoreError,
    FolderError, CancelledError.
    """
    names = list(dict.fromkeys(collections))
    if not 2 <= len(names) <= MOST_COLLECTIONS:
        raise GapError(
            f"{len(names)} collections cannot be compared; it takes 2 to {MOST_COLLECTIONS} different ones."
        )
    columns = {name: read_columns(folder, name) for name in names}
    shared = _shared(columns)
    few = {name: one.take(sorted(shared)) for name, one in columns.items()}
    pairs: list[SharedPairs] = []
    left_out: list[str] = []
    notes: dict[str, None] = {}
    kinds = twos(few[names[0]].present)
    for place, (a, b) in enumerate(kinds):
        both = sorted(set.intersection(*(set(pair_ids(one, a, b)) for one in few.values())))
        if len(both) < LEAST_PAIRS:
            left_out.append(f"{PLURAL[a]} and {PLURAL[b]}: {len(both):,} shared pairs of {LEAST_PAIRS}")
            continue
        part = watch.part(place / len(kinds), (place + 1) / len(kinds))
        found, noted = _measured(folder, few, draw(both, most, seed), (a, b), seed, part)
        n = min(most, len(both))
        pairs.append(SharedPairs(a, b, n, len(both), min(n, MOST_QUESTIONS), found))
        notes |= dict.fromkeys(noted)
    if not pairs:
        why = "; ".join(left_out) or f"the {len(shared):,} that they share are {_kinds(few[names[0]])} only"
        raise GapError(f"These collections share no pairs to measure ({why}).")
    chosen = tuple(_chosen(folder, name, len(columns[name]), len(shared)) for name in names)
    return Comparison(chosen, len(shared), tuple(pairs), seed, tuple(left_out), tuple(notes))


def most_shared(folder: DataFolder, collections: Sequence[str]) -> tuple[str, ...]:
    """Return the two collections that hold the most items in common, none where no two hold any.

    Raises as `read_columns` does.
    """
    ids = {name: frozenset(read_columns(folder, name).ids) for name in collections}
    twos_of = list(combinations(collections, 2))
    shared = [len(ids[one] & ids[other]) for one, other in twos_of]
    return twos_of[int(np.argmax(shared))] if any(shared) else ()


def _shared(columns: Mapping[str, Columns]) -> frozenset[str]:
    shared = frozenset.intersection(*(frozenset(one.ids) for one in columns.values()))
    if shared:
        return shared
    raise GapError(
        f"No item is in all of {', '.join(columns)}. The same media are the same items: ingest them into "
        f"both, or re-embed a collection with another model into a new one."
    )


def _kinds(columns: Columns) -> str:
    return " and ".join(PLURAL[one] for one in columns.present)


def _chosen(folder: DataFolder, name: str, items: int, shared: int) -> Chosen:
    made_by = folder.store.info(name).made_by
    training = " ".join(trained_words(made_by))
    return Chosen(name, made_by.model, made_by.revision, made_by.dim, items, items - shared, training)


def _measured(
    folder: DataFolder,
    columns: Mapping[str, Columns],
    pairs: Sequence[tuple[str, str]],
    kinds: tuple[Modality, Modality],
    seed: int,
    watch: Watch,
) -> tuple[tuple[Measured, ...], list[str]]:
    """Measure the pairs under every collection; the first is what changes are told against."""
    found: list[Measured] = []
    notes: list[str] = []
    before: tuple[np.ndarray, np.ndarray] | None = None
    for place, (name, one) in enumerate(columns.items()):
        watch.at(place / len(columns))
        rows, noted = unit_vectors(folder, name, one, pairs, kinds)
        x, y = (rows[kind] for kind in kinds)
        ranks = _ranks(x, y, seed)
        old = before or (None, None)
        both = [
            recalls(_at_all(new), None if was is None else _at_all(was), seed=seed)
            for new, was in zip(ranks, old, strict=True)
        ]
        found.append(Measured(name, *_gap(x, y, seed), *both))
        notes += [f"{name}: {note}" for note in noted]
        before = before or ranks
    return tuple(found), notes


def _ranks(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    keys = range(len(x))
    return best_ranks(x, y, keys, keys, seed=seed), best_ranks(y, x, keys, keys, seed=seed)


def _at_all(ranks: np.ndarray) -> dict[int, np.ndarray]:
    return dict.fromkeys(KS, ranks)


def _gap(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[Interval, Interval]:
    n = len(x)
    ends = intervals(x, y, [*range(n), *range(n)], (range(n), range(n)), seed=seed)
    return Interval(l2m(x, y), *ends["l2m"], n), Interval(rmg(x, y), *ends["rmg"], n)
