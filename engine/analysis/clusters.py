"""Clusters of vectors by HDBSCAN, with names; noise stays noise. Pure; knows no store and no map.

Clustered are the vectors (cosine: unit length, then Euclidean), never places on a map. The minimum spanning
tree is built here and given to scikit-learn's HDBSCAN as a graph that holds it: from vectors scikit-learn
builds the same tree while it holds Python's lock, and froze every other thread for 9.7 s at 5,000 x 384
(measured). Sources: Campello, Moulavi and Sander 2013 (HDBSCAN), Prim 1957.

scikit-learn's HDBSCAN knows no weights, and copies of one vector, at no distance from each other, would be
infinitely dense: a dozen of them outweigh any cluster they lie in. How dense a place is therefore goes by the
different vectors alone, and a copy joins its first one at that one's own core distance, before all else at
that distance: copies count in the size and the stability of every cluster, and never in a density.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from engine.analysis.cluster_names import names
from engine.analysis.copies import Copies, copies
from engine.progress import Watch
from engine.types import MODALITIES, Modality, VectorTable
from engine.vectors import normalise

if TYPE_CHECKING:
    from scipy.sparse import csr_array

NOISE = -1
SAMPLE = 20_000  # rows that HDBSCAN sees: its tree costs n² / 2 distances
MAX_DIMS = 50  # wider vectors are clustered on their first principal components: there is density there
_MIN_SAMPLES = 10  # neighbours that make a place dense; more only makes more noise
_BLOCK_NUMBERS = 2_000_000  # distances held at once, 16 MB of float64
_HEARD_EVERY = 200  # steps of the tree between two looks at a cancel
_SAME = 1e-5  # vectors that spread less than this are all the same: float32 rounds at 1e-7
_NO_ZERO = 1e-9  # on every distance: a sparse graph takes a length of 0 for no edge


@dataclass(frozen=True)
class Clusters:
    """Clusters 0 to m - 1, the largest first: row i of `labels` belongs to `ids[i]`.

    labels: (n,) int32, NOISE where an item is in none; `names` and `sizes` (items) one per cluster.
    `sample` items were clustered, and the others given the cluster of their nearest of those; `modalities`
    are those that were clustered each by itself, none where all were together. Raises ValueError if lengths,
    the dtype or the ids (unique) do not agree.
    """

    ids: tuple[str, ...]
    labels: np.ndarray = field(repr=False)
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    min_cluster_size: int
    sample: int
    seed: int
    modalities: tuple[Modality, ...] = ()

    def __post_init__(self) -> None:
        n, count = len(self.ids), len(self.names)
        if self.labels.shape != (n,) or self.labels.dtype != np.int32 or len(set(self.ids)) != n:
            raise ValueError(f"{n} ids do not fit labels of {self.labels.shape} {self.labels.dtype}")
        sizes = tuple(np.bincount(self.labels[self.labels >= 0], minlength=count).tolist())
        if sizes != self.sizes or len(set(self.names)) != count or (self.labels < NOISE).any():
            raise ValueError("labels must be NOISE or of a cluster, with a name (unique) and size for each")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def noise(self) -> int:
        """Return how many items are in no cluster."""
        return int((self.labels == NOISE).sum())


def cluster(
    table: VectorTable,
    texts: Mapping[str, str],
    *,
    min_cluster_size: int = 10,
    seed: int = 0,
    modalities: Mapping[str, Modality] | None = None,
    on_progress: Callable[[float], None] = lambda share: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Clusters:
    """Return the clusters of a table, named from the captions and labels in texts (id to text; some or none).

    Give `modalities` to cluster each by itself, which is what a mixed collection wants: over a modality gap
    nothing is as dense as the islands (500 pictures and 500 captions of real CLIP came out as two clusters
    of 500, one per modality; each by itself, as 7). Of more than SAMPLE rows a sample is clustered, with
    min_cluster_size scaled down to it, but not below 10. The same items give the same clusters, in whatever
    order. Copies of a vector are in one cluster, and min_cluster_size of them are never noise: in no other
    cluster they are one of their own. Other than that, fewer than 2 min_cluster_size rows are noise. Raises
    ValueError for a zero row, a min_cluster_size below 2 or an item without modality, and CancelledError.

    A cancel is heard between blocks, but not inside scikit-learn's PCA and HDBSCAN: of SAMPLE rows these
    take a few seconds, and what they return is dropped.
    """
    if min_cluster_size < 2:
        raise ValueError(f"min_cluster_size must be 2 or more, not {min_cluster_size}")
    watch = Watch(on_progress, cancelled)
    labels, sample, done = np.full(len(table), NOISE, np.int64), 0, 0
    parts = _parts(table, modalities)
    for rows in parts.values():
        part = watch.part(done / len(table), (done + len(rows)) / len(table))
        part.at(0)
        found, seen = _labels(table.vectors[rows], min_cluster_size, seed, part)
        labels[rows] = np.where(found >= 0, found + labels.max(initial=NOISE) + 1, NOISE)
        sample, done = sample + seen, done + len(rows)
    labels, sizes = _largest_first(labels, np.argsort(np.array(table.ids)))
    named = names(labels.tolist(), [texts.get(id_, "") for id_ in table.ids], len(sizes))
    alone = tuple(name for name in parts if name)
    on_progress(1.0)
    return Clusters(table.ids, labels, named, sizes, min_cluster_size, sample, seed, alone)


def _parts(
    table: VectorTable, modalities: Mapping[str, Modality] | None
) -> dict[Modality | None, np.ndarray]:
    """Return the rows (m,) int64 to cluster together, by modality, or all of them by None.

    They are in the order of their ids. Raises ValueError for an item without modality.
    """
    order = np.argsort(np.array(table.ids))
    if modalities is None:
        return {None: order} if len(table) else {}
    unknown = [id_ for id_ in table.ids if modalities.get(id_) not in MODALITIES]
    if unknown:
        raise ValueError(f"the modality of {unknown[0]} is {modalities.get(unknown[0])!r}")
    of = np.array([modalities[id_] for id_ in table.ids])
    return {name: order[of[order] == name] for name in MODALITIES if (of == name).any()}


def _labels(vectors: np.ndarray, least: int, seed: int, watch: Watch) -> tuple[np.ndarray, int]:
    """Return the cluster of every row of vectors (n, d): (n,) int64, and how many rows were clustered."""
    same = copies(vectors)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(vectors))[:SAMPLE])
    found = _different_labels(vectors, same, chosen, least, seed, watch)
    alone = np.flatnonzero((found == NOISE) & (same.counts >= least))
    found[alone] = found.max(initial=NOISE) + 1 + np.arange(len(alone))
    return found[same.of], len(chosen)


def _different_labels(
    vectors: np.ndarray, same: Copies, chosen: np.ndarray, least: int, seed: int, watch: Watch
) -> np.ndarray:
    """Return the cluster of every different vector of rows (n, d): (u,) int64.

    chosen: (m,) int64, the rows to cluster; the others get the cluster of their nearest of those.
    """
    n, labels = len(vectors), np.full(len(same.first), NOISE, np.int64)
    points, reduce = _reduced(normalise(vectors[chosen]), seed)
    kinds, first, counts = np.unique(same.of[chosen], return_index=True, return_counts=True)
    points, fewest = points[first], least
    if n > SAMPLE:
        least = max(min(least, 10), round(least * SAMPLE / n))
    if np.ptp(points, axis=0).max(initial=0) < _SAME:  # copies but for rounding
        found = np.full(len(points), 0 if n >= fewest else NOISE)
        reach = np.full(1, _SAME * points.shape[1])
    elif len(chosen) < 2 * least:
        return labels
    else:
        k = min(least, _MIN_SAMPLES, len(points)) - 1
        near = _nearest(points, k, watch.part(0, 0.3))
        found = _hdbscan(points, near, least, watch.part(0.3, 0.8), counts)
        reach = _reach(points, near, found)
    labels[kinds] = found
    others = np.setdiff1d(np.arange(len(labels)), kinds)
    for some in _blocks(others, len(points), watch.part(0.8, 1)):
        rows = vectors[same.first[some]]
        labels[some] = _assigned(reduce(normalise(rows)), points, found, reach)
    return labels


def _blocks(rows: np.ndarray, width: int, watch: Watch) -> Iterator[np.ndarray]:
    """Yield rows (n,) int64 in parts, of which each times `width` numbers can be held at once."""
    step = max(1, _BLOCK_NUMBERS // width)
    for start in range(0, len(rows), step):
        watch.at(start / len(rows))
        yield rows[start : start + step]


def _reduced(unit: np.ndarray, seed: int) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Return unit rows (n, d) as points (n, at most MAX_DIMS) float64, and what makes more such points."""
    if unit.shape[1] <= MAX_DIMS or len(unit) < 2:
        return unit.astype(np.float64), lambda rows: rows.astype(np.float64)
    from sklearn.decomposition import PCA

    pca = PCA(min(MAX_DIMS, len(unit)), random_state=seed).fit(unit)
    return pca.transform(unit).astype(np.float64), lambda rows: pca.transform(rows).astype(np.float64)


def _squared(some: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return res[i][j] = ‖some[i] - points[j]‖²: (b, d), (n, d) -> (b, n), all float64."""
    found = some @ points.T
    found *= -2
    found += (some**2).sum(1)[:, None]
    found += (points**2).sum(1)
    return np.maximum(found, 0, out=found)


def _nearest(points: np.ndarray, k: int, watch: Watch) -> np.ndarray:
    """Return the k nearest others of every point: (n, d) float64 -> (n, k) int64 rows, in no order."""
    found = []
    for rows in _blocks(np.arange(len(points)), len(points), watch):
        squares = _squared(points[rows], points)
        squares[np.arange(len(rows)), rows] = np.inf
        found.append(np.argpartition(squares, k - 1, axis=1)[:, :k].copy())  # a view would keep all n
    return np.concatenate(found)


def _hdbscan(
    points: np.ndarray, near: np.ndarray, least: int, watch: Watch, counts: np.ndarray | None = None
) -> np.ndarray:
    """Return scikit-learn's labels (n,) int64 by a graph that holds the tree and the k nearest others.

    points: (n, d) float64, all different; near: (n, k) int64; counts: (n,) int64, how often each occurs.
    """
    from sklearn.cluster import HDBSCAN

    n, k = near.shape
    core = np.linalg.norm(points[:, None] - points[near], axis=2).max(1)
    pairs = np.concatenate(
        [np.stack([np.repeat(np.arange(n), k), near.ravel()], 1), _tree(points, core, watch)]
    )
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    lengths = _not_zero(np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1))
    if counts is not None and (counts > 1).any():
        pairs, lengths = _with_copies(pairs, lengths, _not_zero(core), counts)
        k = 1  # the lengths are reachabilities by now, which no nearest of a row's own makes longer
    # k others and the point itself are min_samples in scikit-learn's count; the graph holds no "itself".
    model = HDBSCAN(min_cluster_size=least, min_samples=k, metric="precomputed", copy=False)
    return model.fit(_graph(pairs, lengths)).labels_[:n].astype(np.int64)


def _not_zero(lengths: np.ndarray) -> np.ndarray:
    """Return lengths (n,) float64 so that a graph takes none for no edge.

    Copies but for rounding lie apart by what a processor rounds, and by another much on each.
    """
    return np.where(lengths < _SAME, 0, lengths) + _NO_ZERO


def _with_copies(
    pairs: np.ndarray, lengths: np.ndarray, core: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return edges (m, 2) int64 with their reachability (m,) float64, and an edge more for every copy.

    pairs: (e, 2) int64; lengths: (e,) float64; core: (n,) float64; counts: (n,) int64. Copies are numbered
    from n on, each joined to its first.
    """
    reach = np.maximum(lengths, core[pairs].max(1))
    firsts = np.repeat(np.arange(len(counts)), counts - 1)
    added = np.stack([firsts, len(counts) + np.arange(len(firsts))], 1)
    before = np.nextafter(core[firsts], 0)  # so that no other edge of that length goes first
    return np.concatenate([pairs, added]), np.concatenate([reach, before])


def _graph(pairs: np.ndarray, lengths: np.ndarray) -> csr_array:
    """Return edges (m, 2) int64 of some lengths (m,) float64, both ways, as a matrix of all points."""
    from scipy.sparse import coo_array

    n = int(pairs.max()) + 1
    both = tuple(np.concatenate([pairs, pairs[:, ::-1]]).T)
    return coo_array((np.tile(lengths, 2), both), shape=(n, n)).tocsr()


def _tree(points: np.ndarray, core: np.ndarray, watch: Watch) -> np.ndarray:
    """Return the edges (n - 1, 2) int64 of a minimum spanning tree of the mutual reachability, by Prim.

    The reachability of two points (n, d) is their distance, or the larger core distance (n,) where that is
    more; all float64.
    """
    squares, columns = (points**2).sum(1), np.ascontiguousarray(points.T)
    best, source = np.full(len(points), np.inf), np.zeros(len(points), np.int64)
    waiting, edges, now = np.ones(len(points), bool), [], 0
    for step in range(len(points) - 1):
        if step % _HEARD_EVERY == 0:
            watch.at(step / len(points))
        waiting[now], best[now] = False, np.inf
        # einsum runs on one thread: a threaded product this small took 5 times as long on busy cores.
        dots = np.einsum("dn,d->n", columns, points[now])
        reach = np.maximum(np.sqrt(np.maximum(0, squares + squares[now] - 2 * dots)), core)
        closer = waiting & (np.maximum(reach, core[now], out=reach) < best)
        best[closer], source[closer] = reach[closer], now
        now = int(best.argmin())
        edges.append((source[now], now))
    return np.array(edges, np.int64)


def _reach(points: np.ndarray, near: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return how far the members of each of m clusters lie at most from their nearest point: (m,) float64.

    points: (n, d) float64; near: (n, k) int64; labels: (n,) int64.
    """
    nearest = np.linalg.norm(points[:, None] - points[near], axis=2).min(1)
    return np.array([nearest[labels == label].max() for label in range(labels.max(initial=NOISE) + 1)])


def _assigned(rows: np.ndarray, points: np.ndarray, labels: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Return the cluster of the nearest point, or NOISE where it is farther than its members are.

    rows (b, d), points (n, d) and reach (m,) float64; labels (n,) int64. Returns (b,) int64.
    """
    nearest = _squared(rows, points).argmin(1)
    found, far = labels[nearest], np.linalg.norm(rows - points[nearest], axis=1)
    return np.where(far <= np.append(reach, -1.0)[found], found, NOISE)  # NOISE is the last: always farther


def _largest_first(labels: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return labels (n,) int32 numbered by size, of equal ones by the first in this order, and the sizes.

    labels and order, which are rows: (n,) int64.
    """
    known, first, counts = np.unique(labels[order], return_index=True, return_counts=True)
    known, first, counts = (part[known >= 0] for part in (known, first, counts))
    ranked = np.lexsort((first, -counts))
    number = np.full(len(known) + 1, NOISE, np.int32)  # the last is NOISE's
    number[known[ranked]] = np.arange(len(known))
    return number[labels], tuple(counts[ranked].tolist())
