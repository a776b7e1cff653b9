"""Two linear heads trained on pairs of features: the modality gap made and unmade, step by step.

Symmetric InfoNCE (Radford et al. 2021; `info_nce.py`) over all pairs at once, at a fixed temperature, by Adam
(Kingma and Ba 2015). What is told of a step is measured by `gap.py`. Pure NumPy: where features come from,
and what becomes of the heads, is for others. Whether a gap is left depends on the temperature and on the cone
the training starts from: Liang et al. 2022.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

import numpy as np

from engine.analysis.gap import knn_purity, l2m, rmg, unit
from engine.analysis.info_nce import loss_and_gradients
from engine.errors import TowerError
from engine.progress import Watch

Start = Literal["cone", "centred"]
STARTS: tuple[Start, ...] = get_args(Start)
DIM = 64
EVERY = 10  # steps between two snapshots
NEIGHBOURS = 15
MIN_PAIRS = 10  # trained: twenty vectors, so that fifteen neighbours are not all of the others
EDGES = np.linspace(-1.0, 1.0, 41)  # of the histograms' bins
_TEMPERATURES, _STEPS, _SEEDS = (0.001, 10.0), (1, 5_000), (0, 2**32 - 1)
_HELD_OUT, _MISMATCHED = (0.0, 0.9), (0.0, 1.0)
_RATE, _DECAY, _BETAS, _EPSILON = 3e-3, 1e-4, (0.9, 0.999), 1e-8
_UNHEARD = Watch()


@dataclass(frozen=True)
class TowerSettings:
    """What a training is to be; the defaults make a gap. Raises TowerError for what is out of range.

    `start` is "cone" (features as they are, their mean far from zero) or "centred" (less the mean of the
    trained ones). `mismatched` is the share of the trained pairs whose texts change places, `held_out` that
    of all pairs which are only measured.
    """

    temperature: float = 0.01
    start: Start = "cone"
    mismatched: float = 0.0
    steps: int = 300
    seed: int = 0
    held_out: float = 0.23

    def __post_init__(self) -> None:
        _check("temperature", self.temperature, _TEMPERATURES)
        _check("share of mismatched pairs", self.mismatched, _MISMATCHED)
        _check("number of steps", self.steps, _STEPS, whole=True)
        _check("seed", self.seed, _SEEDS, whole=True)
        _check("held-out share", self.held_out, _HELD_OUT)
        if self.start not in STARTS:
            raise TowerError(f"The start is {self.start!r}; it must be one of {', '.join(STARTS)}.")

    @classmethod
    def of(cls, data: dict[str, Any]) -> TowerSettings:
        """Return settings as `dataclasses.asdict` gave them. Raises TowerError, and TypeError for no such."""
        return cls(**{one.name: data[one.name] for one in fields(cls) if one.name in data})


@dataclass(frozen=True)
class Cosines:
    """Cosines of one kind of pairs: their mean, in [-1, 1], and counts (40,) int64 between EDGES."""

    mean: float
    counts: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Retrieval:
    """R@1 both ways among `n` true pairs, in [0, 1]; chance is 1 / n. A tie for the first place is a miss."""

    n: int
    text_to_image: float
    image_to_text: float


@dataclass(frozen=True)
class Snapshot:
    """Where a training stood after `step` steps: `loss` of the pairs as trained, all else of true pairs.

    `l2m`, `rmg` and the four cosines (i = i left out) are of the trained pairs. `cross_neighbours` is the
    share of the NEIGHBOURS nearest vectors that are of the other modality: n / (2n - 1) where they are mixed.
    images and texts are the vectors of the n trained pairs, (n, DIM) float32 of unit length, row i with
    row i; `places` draws them. `held_out` is None where fewer than two pairs are.
    """

    step: int
    loss: float
    l2m: float
    rmg: float
    paired: Cosines
    unpaired: Cosines
    image_image: Cosines
    text_text: Cosines
    cross_neighbours: float
    trained: Retrieval
    held_out: Retrieval | None
    images: np.ndarray = field(repr=False)
    texts: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Head:
    """What a tower has learned: a vector is features (n, d) @ weights + bias at unit length.

    weights (d, DIM) and bias (DIM,) float32; scale and mean of the features are already in them.
    """

    weights: np.ndarray = field(repr=False)
    bias: np.ndarray = field(repr=False)


class Training:
    """A training of two towers on n pairs, to be run once.

    images (n, p) and texts (n, q): any float dtype, row i with row i. `trained` and `held` are the rows,
    drawn by the seed. Raises TowerError for features that are not finite, all the same, or of too few pairs.
    """

    def __init__(self, images: np.ndarray, texts: np.ndarray, settings: TowerSettings) -> None:
        self.settings = settings
        if len(images) != len(texts):
            raise TowerError(f"{len(images):,} pictures and {len(texts):,} texts are no pairs.")
        self.trained, self.held = split(len(images), settings)
        chance = np.random.default_rng(settings.seed)
        self._image = _Tower(images, self.trained, settings.start, chance)
        self._text = _Tower(texts, self.trained, settings.start, chance)
        partners = self.trained[mismatch(len(self.trained), settings)]
        self._inputs = self._image.features[self.trained], self._text.features[partners]

    def run(self, *, every: int = EVERY, watch: Watch = _UNHEARD) -> Iterator[Snapshot]:
        """Train, and yield a snapshot before the first step, every few steps and after the last.

        Raises CancelledError where the watch hears a cancel.
        """
        if every < 1:
            raise TowerError(f"A snapshot is taken every 1 or more steps, not every {every}.")
        watch.at(0)
        yield self._snapshot(0)
        for step in range(1, self.settings.steps + 1):
            watch.at(step / self.settings.steps)
            self._step()
            if step % every == 0 or step == self.settings.steps:
                yield self._snapshot(step)

    @property
    def image_head(self) -> Head:
        """Return what the tower of pictures has learned so far."""
        return self._image.head()

    @property
    def text_head(self) -> Head:
        """Return what the tower of texts has learned so far."""
        return self._text.head()

    def _step(self) -> None:
        _, images, texts = self._loss()
        self._image.adam.step(images)
        self._text.adam.step(texts)

    def _loss(self) -> tuple[float, np.ndarray, np.ndarray]:
        weights = self._image.weights, self._text.weights
        return loss_and_gradients(*self._inputs, *weights, self.settings.temperature)

    def _snapshot(self, step: int) -> Snapshot:
        x, y = self._image.vectors(self.trained), self._text.vectors(self.trained)
        scores, apart = x @ y.T, ~np.eye(len(x), dtype=bool)
        held = None
        if len(self.held) > 1:
            held = _retrieval(self._image.vectors(self.held) @ self._text.vectors(self.held).T)
        return Snapshot(
            step=step,
            loss=self._loss()[0],
            l2m=l2m(x, y),
            rmg=rmg(x, y),
            paired=_cosines(np.diag(scores)),
            unpaired=_cosines(scores[apart]),
            image_image=_cosines((x @ x.T)[apart]),
            text_text=_cosines((y @ y.T)[apart]),
            cross_neighbours=1.0 - knn_purity(x, y, k=NEIGHBOURS),
            trained=_retrieval(scores),
            held_out=held,
            images=x.astype(np.float32),
            texts=y.astype(np.float32),
        )


def split(pairs: int, settings: TowerSettings) -> tuple[np.ndarray, np.ndarray]:
    """Return which of so many pairs are trained, and which held out: (t,) and (h,) int64, t + h = pairs.

    Raises TowerError where fewer than MIN_PAIRS would be trained.
    """
    held = round(pairs * settings.held_out)
    if pairs - held < MIN_PAIRS:
        raise TowerError(
            f"{pairs:,} pairs of a picture and its caption, {held:,} of them held out, are too few: "
            f"at least {MIN_PAIRS} are trained on. Add captioned pictures, or hold out fewer."
        )
    order = np.random.default_rng(settings.seed).permutation(pairs)
    return order[: pairs - held], order[pairs - held :]


def mismatch(pairs: int, settings: TowerSettings) -> np.ndarray:
    """Return whose text every picture is trained with: (pairs,) int64, its own but for the mismatched share.

    None of those that are mismatched keeps its own; a share that would be one pair alone mismatches none.
    """
    partners = np.arange(pairs)
    count = round(pairs * settings.mismatched)
    chosen = np.random.default_rng([settings.seed, 1]).permutation(pairs)[:count]
    partners[chosen] = np.roll(chosen, 1)
    return partners


def places(snapshots: Sequence[Snapshot], by: Snapshot) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return where the pairs of every snapshot lie in one plane: images (n, 2) and texts (n, 2) float32.

    The plane is that of the snapshot `by`: the line of its centroids, so that their distance along the first
    axis is its L2M, and the main axis of both clouds across it. Of any other snapshot it may hide some of the
    gap, and never adds to it.
    """
    x, y = by.images.astype(np.float64), by.texts.astype(np.float64)
    both, line = np.concatenate([x, y]), x.mean(0) - y.mean(0)
    length = float(np.linalg.norm(line))
    line = line / length if length else np.eye(DIM)[0]
    middle = both.mean(0)
    rows = both - middle
    across = np.linalg.svd(rows - np.outer(rows @ line, line), full_matrices=False)[2][0]
    axes = np.stack([line, across], axis=1)  # (DIM, 2)

    return [
        (
            ((one.images - middle) @ axes).astype(np.float32),
            ((one.texts - middle) @ axes).astype(np.float32),
        )
        for one in snapshots
    ]


class _Tower:
    """The features of one modality (n, d) float64, divided by their spread, and the weights (d, DIM)."""

    def __init__(
        self, given: np.ndarray, trained: np.ndarray, start: Start, chance: np.random.Generator
    ) -> None:
        features = np.asarray(given, np.float64)
        if not np.isfinite(features).all():
            raise TowerError("There are features that are no finite numbers. Make them again.")
        self._scale = float(features.std())
        if not self._scale:
            raise TowerError("All features are the same: nothing can be learned from them.")
        features = features / self._scale
        self._mean = features[trained].mean(0) if start == "centred" else np.zeros(features.shape[1])
        self.features = features - self._mean
        if not self.features.any(axis=1).all():
            raise TowerError("There are features that say nothing: all their numbers are zero.")
        self.weights = chance.normal(size=(features.shape[1], DIM)) / np.sqrt(features.shape[1])
        self.adam = _Adam(self.weights)

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """Return the vectors of some rows (m,) int64: (m, DIM) float64, of unit length."""
        return unit(self.features[rows] @ self.weights)

    def head(self) -> Head:
        """Return what has been learned, with the scale and the mean of the features in it."""
        weights, bias = self.weights / self._scale, -self._mean @ self.weights
        return Head(weights.astype(np.float32), bias.astype(np.float32))


class _Adam:
    """Adam with weight decay added to the gradient, on weights that are changed in place."""

    def __init__(self, weights: np.ndarray) -> None:
        self._weights, self._steps = weights, 0
        self._mean, self._square = np.zeros_like(weights), np.zeros_like(weights)

    def step(self, gradient: np.ndarray) -> None:
        """Change the weights by their gradient (d, DIM) float64."""
        gradient, (first, second) = gradient + _DECAY * self._weights, _BETAS
        self._steps += 1
        self._mean += (1 - first) * (gradient - self._mean)
        self._square += (1 - second) * (gradient**2 - self._square)
        mean = self._mean / (1 - first**self._steps)
        self._weights -= _RATE * mean / (np.sqrt(self._square / (1 - second**self._steps)) + _EPSILON)


def _cosines(values: np.ndarray) -> Cosines:
    return Cosines(float(values.mean()), np.histogram(np.clip(values, -1.0, 1.0), EDGES)[0])


def _retrieval(scores: np.ndarray) -> Retrieval:
    """Return R@1 of scores (n, n), pictures in rows and texts in columns, pair i at (i, i)."""
    return Retrieval(len(scores), _first(scores.T), _first(scores))


def _first(scores: np.ndarray) -> float:
    return float(((scores >= np.diag(scores)[:, None]).sum(1) == 1).mean())


def _check(name: str, value: float, limits: tuple[float, float], *, whole: bool = False) -> None:
    low, high = limits
    number = isinstance(value, int) if whole else isinstance(value, int | float)
    if not number or isinstance(value, bool) or not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        raise TowerError(f"The {name} is {value!r}; it must be {kind} from {low:,} to {high:,}.")
