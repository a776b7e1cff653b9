"""What a mixed search needs to know of a collection's own vectors so that no modality crowds out another.

Means and spreads by modality, over a sample, and how often the wrong modality would win. Pure: the sample is
read and kept in `storage/calibration.py`, and used in `search/balance.py`. Sources: GR-CLIP (mean-centring),
2511.22141 (z-scores by modality).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from engine.analysis.pairwise import outranks
from engine.types import Balance, Modality, VectorTable

# With fewer the order hangs on which rows they are: of real CLIP vectors, standardised, six samples of 20
# rows put .48 to .89 pictures among the first ten, of 50 rows .51 to .79, of 100 .57 to .71, all 250 .63.
MIN_ROWS = 50
MIN_PAIRS = 10  # below, a probability over pairs moves by more than a tenth with every one of them
_NO_LENGTH = 1e-6  # what is left of a float32 row that is the mean itself


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of the cosines of n (question, item) that do not belong together."""

    mean: float
    sd: float
    n: int


@dataclass(frozen=True)
class Outranked:
    """P(score of an unrelated item of the question's modality > score of the true partner), by treatment.

    Over all of both, ties counted half: an AUC, in [0, 1]. `pairs` is how many true partners there were.
    Places that are dealt in turn have no score, so that "interleaved" is never among them.
    """

    by_mode: Mapping[Balance, float]
    pairs: int


@dataclass(frozen=True)
class Calibration:
    """What a sample of a collection's vectors says of its modalities; `rows` is how many there were of each.

    means: by modality (d,) float32, the mean of unit rows, itself not of unit length. The rest is by the
    modality that asks, then the one that answers; `nearest` is the mean cosine of a centred row with the
    nearest other one.
    """

    rows: Mapping[Modality, int]
    means: Mapping[Modality, np.ndarray] = field(repr=False)
    spreads: Mapping[Modality, Mapping[Modality, Spread]] = field(repr=False)
    outranked: Mapping[Modality, Mapping[Modality, Outranked]] = field(repr=False)
    nearest: Mapping[Modality, Mapping[Modality, float]] = field(repr=False)


def centre(vectors: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return norm(vectors - mean), (n, d) float32: GR-CLIP's centring of unit rows of one modality.

    vectors: (n, d) unit rows, mean: (d,), both of any float dtype. A row that is the mean has no direction
    left and comes back as zeros, so that its cosine with everything is 0.
    """
    moved = np.asarray(vectors, np.float32) - np.asarray(mean, np.float32)
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)  # (n, 1)
    return np.where(lengths > _NO_LENGTH, moved / np.maximum(lengths, _NO_LENGTH), np.float32(0))


def calibrate(tables: Mapping[Modality, VectorTable], pair_of: Mapping[str, int]) -> Calibration:
    """Return the calibration of a sample: unit rows by modality, and the number of every id's pair.

    Takes n² cosines for each two modalities of n rows. Modalities without rows are left out.
    """
    tables = {modality: table for modality, table in tables.items() if len(table)}
    pairs = {one: np.array([pair_of[id_] for id_ in table.ids]) for one, table in tables.items()}
    means = {one: table.vectors.mean(axis=0, dtype=np.float64) for one, table in tables.items()}
    moved = {one: centre(table.vectors, means[one]) for one, table in tables.items()}
    spreads: dict[Modality, dict[Modality, Spread]] = {}
    outranked: dict[Modality, dict[Modality, Outranked]] = {}
    nearest = {
        asks: {one: _nearest(moved[asks], moved[one], asks == one) for one in tables} for asks in tables
    }
    for asks, asking in tables.items():
        own = pairs[asks][:, None] != pairs[asks][None, :]  # (n, n): unrelated rows of its own modality
        unrelated = (asking.vectors @ asking.vectors.T)[own], (moved[asks] @ moved[asks].T)[own]
        spreads[asks], outranked[asks] = {asks: _spread(unrelated[0])}, {}
        for answers in tables.keys() - {asks}:
            true = pairs[asks][:, None] == pairs[answers][None, :]  # (n, m)
            cosines = asking.vectors @ tables[answers].vectors.T
            spreads[asks][answers] = _spread(cosines[~true])
            partners = cosines[true], (moved[asks] @ moved[answers].T)[true]
            if len(partners[0]) >= MIN_PAIRS and len(unrelated[0]):
                outranked[asks][answers] = _outranked(unrelated, partners, spreads[asks], asks, answers)
    return Calibration(
        rows={one: len(table) for one, table in tables.items()},
        means={one: mean.astype(np.float32) for one, mean in means.items()},
        spreads=spreads,
        outranked=outranked,
        nearest=nearest,
    )


def standardise(scores: np.ndarray, spread: Spread) -> np.ndarray:
    """Return (scores - mean) / sd: how many deviations each cosine lies above those of unrelated items.

    scores: (n,) or (n, m) of any float dtype; the spread's sd is above 0. Returns the same shape, float64.
    """
    return (np.asarray(scores, np.float64) - spread.mean) / spread.sd


def can_standardise(spread: Spread | None) -> bool:
    """Tell whether cosines spread at all: those of copies of one vector do not."""
    return spread is not None and spread.sd > _NO_LENGTH


def _nearest(asking: np.ndarray, rows: np.ndarray, same: bool) -> float:
    """asking (n, d), rows (m, d): centred, float32; where they are the same, none is its own neighbour."""
    cosines = asking @ rows.T
    if same:
        np.fill_diagonal(cosines, -1.0)
    return float(cosines.max(axis=1).mean())


def _spread(cosines: np.ndarray) -> Spread:
    if not len(cosines):
        return Spread(0.0, 0.0, 0)
    return Spread(float(cosines.mean(dtype=np.float64)), float(cosines.std(dtype=np.float64)), len(cosines))


def _outranked(
    unrelated: tuple[np.ndarray, np.ndarray],
    partners: tuple[np.ndarray, np.ndarray],
    spreads: Mapping[Modality, Spread],
    asks: Modality,
    answers: Modality,
) -> Outranked:
    """unrelated and partners: cosines (n,) and (m,) float32, as they are and centred."""
    by_mode: dict[Balance, float] = {
        "raw": outranks(unrelated[0], partners[0]),
        "centred": outranks(unrelated[1], partners[1]),
    }
    if can_standardise(spreads[asks]) and can_standardise(spreads[answers]):
        by_mode["standardised"] = outranks(
            standardise(unrelated[0], spreads[asks]), standardise(partners[0], spreads[answers])
        )
    return Outranked(by_mode, len(partners[0]))
