"""What a map keeps of the original neighbours, in numbers: how far its picture can be believed.

Original space: cosine of the vectors; the map: Euclidean distance of the places. Nothing here is the modality
gap, nor may it be presented so (`analysis/gap.py` measures that, from the vectors). Pure. Sources:
Venna and Kaski 2001 (trustworthiness, continuity), as in `sklearn.manifold.trustworthiness`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from engine.progress import CancelledError
from engine.types import MODALITIES, Modality, Projection, VectorTable
from engine.vectors import normalise

SAMPLE = 2_000  # asked about: the standard error of a share is then at most 0.011
_POOL_NUMBERS = 20_000_000  # of float64, 160 MB: 52,000 rows of 384, 4,882 rows of 4,096
_BLOCK_NUMBERS = 2_000_000  # scores held at once, 16 MB of float64
_NORMALISED_AT_ONCE = 10_000
_DECIMALS = 13  # of a cosine: rounding makes equal vectors tie, and is above float64's own error


@dataclass(frozen=True)
class MapQuality:
    """How well a map keeps neighbours; every share is in [0, 1], None where it cannot be computed.

    `sample` rows of the `n` were asked for their `k` nearest among `pool` rows (themselves left out), all
    drawn with `seed`; where n <= sample all three are n and the numbers are exact. `trustworthiness` falls
    where the map shows neighbours that are none, `continuity` where it tears neighbours apart; `overlap` is
    the mean share of the k nearest that are among the k nearest on the map, `overlap_by_modality` the same
    over the rows of one (`sample_by_modality` of them). `cross_modal_*` is the mean share of the k nearest
    that are of another modality, `cross_modal_chance` what it would be if modality did not matter; None
    with one modality. `note` says what was not done as asked.
    """

    n: int
    sample: int
    pool: int
    k: int
    seed: int
    trustworthiness: float | None = None
    continuity: float | None = None
    overlap: float | None = None
    overlap_by_modality: Mapping[Modality, float] | None = None
    sample_by_modality: Mapping[Modality, int] | None = None
    cross_modal_original: float | None = None
    cross_modal_map: float | None = None
    cross_modal_chance: float | None = None
    note: str = ""

    @property
    def overlap_chance(self) -> float:
        """Return the overlap that places at random would have, in [0, 1]."""
        return self.k / max(1, self.pool - 1)

    @property
    def intrusion_chance(self) -> float:
        """Return the trustworthiness, and continuity, that places at random would have: about a half.

        There a neighbour's rank among the pool's n - 1 others is any with equal chance, so that what it
        exceeds k by sums to (n - 1 - k)(n - k) / 2 over them.
        """
        n, k = self.pool, self.k
        return 1 - (n - 1 - k) * (n - k) / ((n - 1) * (2 * n - 3 * k - 1)) if n > 1 else 1.0


@dataclass(frozen=True)
class _Neighbours:
    """Of every row asked about: the k nearest in both spaces, and their rank in the other one, from 1.

    Each (sample, k) int64 of rows of the pool, or of ranks in it.
    """

    original: np.ndarray
    on_map: np.ndarray
    rank_on_map: np.ndarray
    rank_in_original: np.ndarray


def quality(
    table: VectorTable,
    projection: Projection,
    modalities: Mapping[str, Modality],
    *,
    k: int = 15,
    sample: int = SAMPLE,
    seed: int = 0,
    on_progress: Callable[[float], None] = lambda share: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> MapQuality:
    """Return how well a projection keeps the neighbours that the vectors have.

    Over the items that are in the table and on the map, placed ones too. k is lowered to below half of the
    pool, and a note says so; below 3 items there is no number. Ties: an item as near as another is not held
    against the map, and of equally near ones any are the nearest, by the seed. Raises ValueError for a zero
    row, an item without modality, or k or sample below 1, and CancelledError.
    """
    if k < 1 or sample < 1:
        raise ValueError(f"k and sample must be 1 or more, not {k} and {sample}")
    rows = {id_: row for row, id_ in enumerate(table.ids)}
    shown = [row for row, id_ in enumerate(projection.ids) if id_ in rows]
    pool = _drawn(shown, table.vectors.shape[1], sample, seed)
    asked, fitting = min(sample, len(pool)), min(k, max(0, (len(pool) - 1) // 2))
    note = f"k is {fitting}, not {k}: it must be below half of {len(pool)} items." if fitting < k else ""
    if fitting < 1:
        return MapQuality(
            len(shown), asked, len(pool), 0, seed, note="With fewer than 3 items there are no neighbours."
        )
    ids = [projection.ids[row] for row in pool]
    names = _names(ids, modalities)
    found = _neighbours(
        _unit(table.vectors[[rows[id_] for id_ in ids]]),
        projection.places[pool].astype(np.float64),
        (asked, fitting),
        on_progress,
        cancelled,
    )
    return _measured(found, names, MapQuality(len(shown), asked, len(pool), fitting, seed, note=note))


def _drawn(shown: list[int], dim: int, sample: int, seed: int) -> np.ndarray:
    """Return rows (pool,) int64 of the map in random order, the first of which are asked.

    They are all that are shown, or as many as memory is given for.
    """
    room = max(sample, _POOL_NUMBERS // max(1, dim))
    return np.random.default_rng(seed).permutation(np.array(shown, np.int64))[:room]


def _names(ids: list[str], modalities: Mapping[str, Modality]) -> np.ndarray:
    """Return the modality of every id: (pool,) str. Raises ValueError for one that has none."""
    unknown = next((id_ for id_ in ids if modalities.get(id_) not in MODALITIES), None)
    if unknown is not None:
        raise ValueError(f"the modality of {unknown} is {modalities.get(unknown)!r}")
    return np.array([modalities[id_] for id_ in ids])


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Return vectors (n, d) as unit rows (n, d) float64, with little memory beside them."""
    found = np.empty(vectors.shape, np.float64)
    for start in range(0, len(vectors), _NORMALISED_AT_ONCE):
        part = slice(start, start + _NORMALISED_AT_ONCE)
        found[part] = normalise(vectors[part], dtype=np.float64)
    return found


def _neighbours(
    unit: np.ndarray,
    places: np.ndarray,
    sizes: tuple[int, int],
    on_progress: Callable[[float], None],
    cancelled: Callable[[], bool],
) -> _Neighbours:
    """Ask the first rows for their k nearest; sizes are how many are asked, and k.

    unit: (n, d) float64; places: (n, 2 or 3) float64.
    """
    asked, k = sizes
    step = max(1, _BLOCK_NUMBERS // len(unit))
    parts = []
    for start in range(0, asked, step):
        if cancelled():
            raise CancelledError
        block = slice(start, min(start + step, asked))
        original = _without_own(np.round(1 - unit[block] @ unit.T, _DECIMALS), start)
        on_map = _without_own(_squared(places[block], places), start)
        near, near_on_map = _nearest(original, k), _nearest(on_map, k)
        parts.append((near, near_on_map, _ranks(on_map, near), _ranks(original, near_on_map)))
        on_progress(block.stop / asked)
    return _Neighbours(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _squared(some: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return res[i][j] = ‖some[i] - places[j]‖², exactly 0 for equal places.

    (b, 2 or 3), (n, 2 or 3) -> (b, n), all float64.
    """
    return sum((some[:, axis, None] - places[:, axis]) ** 2 for axis in range(places.shape[1]))


def _without_own(distances: np.ndarray, start: int) -> np.ndarray:
    """Set the distance of row i to itself, column start + i, to infinity in place: (b, n) float64."""
    own = np.arange(len(distances))
    distances[own, own + start] = np.inf
    return distances


def _nearest(distances: np.ndarray, k: int) -> np.ndarray:
    """Return the columns of the k least distances of every row: (b, n) float64 -> (b, k) int64, unordered."""
    return np.argpartition(distances, k - 1, axis=1)[:, :k].copy()  # a view would keep all n


def _ranks(distances: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return 1 + how many are strictly nearer: (b, n) float64 distances, (b, k) int64 -> (b, k) int64."""
    limits = np.take_along_axis(distances, columns, 1)
    return np.stack(
        [1 + np.count_nonzero(distances < limits[:, [place]], axis=1) for place in range(limits.shape[1])], 1
    )


def _measured(found: _Neighbours, names: np.ndarray, about: MapQuality) -> MapQuality:
    """Return the numbers; names (pool,) str are the modalities, of which the first were asked."""
    own, k = names[: about.sample], about.k
    kept = (found.rank_in_original <= k).mean(1)  # (sample,)
    present = [name for name in MODALITIES if (own == name).any()]
    several = len(np.unique(names)) > 1
    return MapQuality(
        n=about.n,
        sample=about.sample,
        pool=about.pool,
        k=k,
        seed=about.seed,
        trustworthiness=_intrusion(found.rank_in_original, about.pool),
        continuity=_intrusion(found.rank_on_map, about.pool),
        overlap=float(kept.mean()),
        overlap_by_modality={name: float(kept[own == name].mean()) for name in present},
        sample_by_modality={name: int((own == name).sum()) for name in present},
        cross_modal_original=_cross(names, found.original) if several else None,
        cross_modal_map=_cross(names, found.on_map) if several else None,
        cross_modal_chance=_chance(names, own) if several else None,
        note=about.note,
    )


def _intrusion(ranks: np.ndarray, n: int) -> float:
    """Return 1 - 2 Σ max(0, rank - k) / (m k (2n - 3k - 1)), in [0, 1].

    ranks: (m, k) int64 among n, k < n / 2.
    """
    m, k = ranks.shape
    return float(1 - 2 * np.maximum(0, ranks - k).sum() / (m * k * (2 * n - 3 * k - 1)))


def _cross(names: np.ndarray, nearest: np.ndarray) -> float:
    """Return the share, in [0, 1], of neighbours that are of another modality.

    names: (pool,) str; nearest: (sample, k) int64 rows of the pool.
    """
    return float((names[nearest] != names[: len(nearest), None]).mean())


def _chance(names: np.ndarray, own: np.ndarray) -> float:
    """Return the mean share, in [0, 1], of another modality among all other rows, over the rows asked.

    names (pool,) and own, those of the rows asked, (sample,) str.
    """
    return float(np.mean([(names != name).sum() / (len(names) - 1) for name in own]))
