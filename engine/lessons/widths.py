"""A collection's vectors kept smaller: what each width and precision does to retrieval, gap, size and time.

int8 is calibrated on one half of the pairs, of both modalities together; everything is measured on the other
half, and what a search takes over the collection itself, there and then. `analysis/compression.py` encodes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.analysis.compression import Bits, Codes, Cut, Int8, Rescored, Scheme, bytes_per_vector, first
from engine.analysis.gap import l2m, rmg, unit
from engine.blas import one_thread
from engine.evaluation.gap_matrix import unit_rows
from engine.evaluation.metrics import ranks_by_score
from engine.lessons.pairs import Pairs, read_pairs
from engine.lessons.recalls import Recalls, recalls
from engine.maps.gap_input import gap_input
from engine.models.catalog import describe
from engine.progress import Watch
from engine.storage.columns import read_columns, read_vectors
from engine.storage.data_folder import DataFolder
from engine.types import Modality

AS_IS = "float32, as it is"
KS = (1, 10)
WIDTHS = (256, 128, 64)
MOST = 2_000  # pairs, of which half are measured
MOST_TIMED = 20_000  # vectors that a timed search goes through
SEARCHES = 30  # of which the median is told
_ROWS = 200  # questions at once


@dataclass(frozen=True)
class Step:
    """What one way of keeping vectors costs and gives.

    `megabytes` (10^6 bytes) are those of all vectors of the collection; `ms` is the median of SEARCHES exact
    searches for 10. l2m in [0, 2] and rmg in [0, 1] are of the vectors that what is kept stands for, made
    unit length. Changes of recall are against the vectors as they are.
    """

    name: str
    bytes_per_vector: int
    megabytes: float
    ms: float
    l2m: float
    rmg: float
    a_to_b: Recalls
    b_to_a: Recalls


@dataclass(frozen=True)
class Widths:
    """All steps of a collection, measured on n of its `there` pairs; `fitted` others calibrated int8.

    `trained_widths` are the narrower ones that the model's card names (Matryoshka), none where none is known;
    `timed` vectors of `items` were searched. `left_out` says which step there is not, and why.
    """

    collection: str
    model: str
    a: Modality
    b: Modality
    dim: int
    n: int
    fitted: int
    there: int
    items: int
    timed: int
    seed: int
    trained_widths: tuple[int, ...]
    steps: tuple[Step, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def widths(
    folder: DataFolder,
    collection: str,
    *,
    a: Modality = "image",
    b: Modality = "text",
    most: int = MOST,
    seed: int = 0,
    watch: Watch,
) -> Widths:
    """Return what every width below the collection's own and every precision does.

    Raises as `read_pairs` does, and CancelledError.
    """
    pairs = read_pairs(folder, collection, a=a, b=b, most=most, seed=seed)
    info, stored = folder.store.info(collection), _stored(folder, collection, seed)
    fitted, measured = pairs.halves()
    found, left_out = schemes(fitted, (measured.x, measured.y, stored))
    return Widths(
        collection=collection,
        model=pairs.model,
        a=a,
        b=b,
        dim=stored.shape[1],
        n=len(measured),
        fitted=len(fitted),
        there=pairs.there,
        items=info.total,
        timed=len(stored),
        seed=seed,
        trained_widths=() if info.made_by.imported else describe(pairs.model).dims,
        steps=tuple(steps(measured, found, stored, info.total, watch)),
        left_out=tuple(left_out),
        notes=pairs.notes,
    )


def schemes(fitted: Pairs, used: Sequence[np.ndarray]) -> tuple[dict[str, Scheme], list[str]]:
    """Return every way to keep vectors by its name, the first as they are, and why one is left out.

    int8 is calibrated on the fitted pairs. used: all rows (n, d) of any float dtype that will be encoded.
    """
    rows, left_out = np.concatenate([fitted.x, fitted.y]).astype(np.float32), []
    dim = rows.shape[1]
    found: dict[str, Scheme] = {AS_IS: Cut(dim)}
    for width in (one for one in WIDTHS if one < dim):
        if zero := sum(int((~one[:, :width].any(axis=1)).sum()) for one in used):
            left_out.append(f"cut to {width}: {zero:,} vectors are 0 in all of their first {width} numbers")
        else:
            found[f"cut to {width}"] = Cut(width)
    bits, int8 = Bits(dim), Int8.fit(rows)
    found |= {"int8": int8, "binary": bits, "binary, rescored by int8": Rescored(bits, int8)}
    return found, left_out


def steps(
    measured: Pairs, by_name: Mapping[str, Scheme], stored: np.ndarray, items: int, watch: Watch
) -> Iterator[Step]:
    """Yield a step for each scheme; stored (m, d) unit rows float32 are what its searches go through.

    Changes are against the first scheme. Raises CancelledError.
    """
    x, y = measured.x.astype(np.float32), measured.y.astype(np.float32)
    before: tuple[dict[int, np.ndarray], ...] = ()
    for place, (name, scheme) in enumerate(by_name.items()):
        watch.at(place / len(by_name))
        codes_x, codes_y = scheme.encode(x), scheme.encode(y)
        ranks = (_ranks(scheme, x, codes_y), _ranks(scheme, y, codes_x))
        old = before or (None, None)
        both = [recalls(new, was, seed=measured.seed) for new, was in zip(ranks, old, strict=True)]
        before = before or ranks
        size = bytes_per_vector(codes_x)
        kept_x, kept_y = (unit(scheme.decode(one)) for one in (codes_x, codes_y))
        yield Step(
            name=name,
            bytes_per_vector=size,
            megabytes=size * items / 1e6,
            ms=search_ms(scheme, stored, x[:SEARCHES]),
            l2m=l2m(kept_x, kept_y),
            rmg=rmg(kept_x, kept_y),
            a_to_b=both[0],
            b_to_a=both[1],
        )


def search_ms(scheme: Scheme, stored: np.ndarray, questions: np.ndarray) -> float:
    """Return the median time of an exact search for 10 among stored rows, in ms, with one thread of BLAS.

    stored (m, d), questions (q, d): unit rows float32. Questions are asked one by one, in turn, SEARCHES
    times after one that is not counted.
    """
    codes, taken = scheme.encode(stored), []
    with one_thread():
        for place in range(SEARCHES + 1):
            asked = questions[place % len(questions)][None]
            began = time.perf_counter()
            first(scheme.scores(asked, codes, 10)[0], 10)
            taken.append(time.perf_counter() - began)
    return 1_000 * float(np.median(taken[1:]))


def _ranks(scheme: Scheme, questions: np.ndarray, codes: Codes) -> dict[int, np.ndarray]:
    """Return for each k the ranks at which questions (q, d) find their own among codes: (q,) float64."""
    found = {}
    for k in KS:
        ranks = np.empty(len(questions))
        for start in range(0, len(questions), _ROWS):
            # Rounded, as equal vectors differ by the noise of a product, which is no order.
            scores = np.round(scheme.scores(questions[start : start + _ROWS], codes, k), 6)
            for row, of_one in enumerate(scores, start):
                ranks[row] = ranks_by_score(of_one, [row])[0]
        found[k] = ranks
    return found


def _stored(folder: DataFolder, collection: str, seed: int) -> np.ndarray:
    """Return the vectors of all items, at most MOST_TIMED drawn by the seed: (m, d) unit rows float32."""
    columns = read_columns(folder, collection)
    drawn = np.sort(np.random.default_rng(seed).permutation(len(columns))[:MOST_TIMED])
    table = read_vectors(folder, collection, [columns.ids[row] for row in drawn.tolist()])
    tables, _ = gap_input(table, columns)
    return np.concatenate([unit_rows(kind, one)[0].astype(np.float32) for kind, one in tables.items()])
