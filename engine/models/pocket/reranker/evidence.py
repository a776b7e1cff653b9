"""What is read from a picture once, whatever is asked: class evidence by region, colours, things, text."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np

from engine.models.pocket.reranker.colours import NAMES, named
from engine.models.pocket.reranker.recipe import RECIPE

if TYPE_CHECKING:
    from PIL.Image import Image

    from engine.models.pocket.reranker.reading import Reader
    from engine.models.pocket.reranker.regions import RegionNetwork

_DIGEST_BYTES = 32  # of a SHA-256
_COLOURS_PER_CELL = 8  # pixels to a side of a cell, for the colours
_EVEN = 24.0  # how far a plain background's pixels may be from its own colour, of 255 per channel
_PLAIN = 0.85  # the share of the border that must have one colour for the background to count as plain
_SMALLEST_THING = 0.15  # a thing is at least so large as a share of the largest one


@dataclass(frozen=True)
class Evidence:
    """What a picture shows, in numbers; vectors are unit length in Pocket's text space, less its middle.

    whole: (d,) of the picture at two sizes; regions: (r, d); cells: (h, w, d);
    probabilities: (1000,) of the classes at that temperature; common: () float32, how like all kinds of
    things the picture is at once; colours: (h, w, 11) shares of each cell's foreground by colour name;
    shown: (h, w) share of the cell that is no plain background; things: separate things on a plain
    background, 0 where the background is not plain; text: the lines that were read in it. The other
    floats are float16.
    """

    whole: np.ndarray = field(repr=False)
    regions: np.ndarray = field(repr=False)
    cells: np.ndarray = field(repr=False)
    probabilities: np.ndarray = field(repr=False)
    common: np.ndarray = field(repr=False)
    colours: np.ndarray = field(repr=False)
    shown: np.ndarray = field(repr=False)
    things: int = 0
    text: tuple[str, ...] = ()


class NpzEvidence:
    """Evidence as bytes, to be kept between questions: the SHA-256 of what follows, then NumPy's npz."""

    revision = RECIPE.features_revision

    def pack(self, prepared: Evidence) -> bytes:
        """Return evidence as bytes."""
        out = io.BytesIO()
        arrays = {one.name: np.asarray(getattr(prepared, one.name)) for one in fields(Evidence)}
        np.savez(out, allow_pickle=False, **arrays)
        return hashlib.sha256(out.getvalue()).digest() + out.getvalue()

    def unpack(self, data: bytes) -> Evidence:
        """Return what `pack` was given. Raises ValueError for bytes it did not make, or damaged ones."""
        digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            raise ValueError("these bytes hold no evidence of a picture, or are damaged")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found = {one.name: arrays[one.name] for one in fields(Evidence)}
        found["things"] = int(found["things"])
        found["text"] = tuple(str(line) for line in found["text"])
        return Evidence(**found)


def examine(picture: Image, network: RegionNetwork, reader: Reader) -> Evidence:
    """Read everything from an upright RGB picture."""
    small, large = (fitted(picture, side) for side in RECIPE.image["sides_px"])
    features, finer = network.features(small), network.features(large)  # (1280, h, w)
    logits = (network.logits(features.mean((1, 2))) + network.logits(finer.mean((1, 2)))) / 2  # (1000,)
    cells = network.logits(np.moveaxis(features, 0, -1))  # (h, w, 1000)
    rule, background = RECIPE.anchors, plain_background(picture, cells.shape[:2])
    whole = network.anchored(logits, rule["temperature"])
    return Evidence(
        whole=_half(whole),
        regions=_half(network.anchored(network.logits(windows(features)), rule["region_temperature"])),
        cells=_half(network.anchored(cells, rule["temperature"])),
        probabilities=_half(network.probabilities(logits, rule["temperature"])),
        common=np.asarray(np.log(np.exp(rule["common_beta"] * (network.kinds @ whole)).mean()), np.float32),
        colours=_half(background.colours),
        shown=_half(background.shown),
        things=background.things,
        text=reader.read(picture),
    )


def fitted(picture: Image, side_px: int) -> np.ndarray:
    """Return the whole picture with its shorter side at side_px: (h, w, 3) uint8 RGB.

    Sides are multiples of 32, so that side_px is met to the nearest one, and the longer is bounded.
    """
    from PIL import Image

    multiple, scale = RECIPE.image["multiple"], side_px / min(picture.size)
    longest = side_px * RECIPE.image["longest"]
    size = [max(multiple, round(min(px * scale, longest) / multiple) * multiple) for px in picture.size]
    return np.asarray(picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0), np.uint8)


def windows(features: np.ndarray) -> np.ndarray:
    """Return the mean features of the whole and of R-MAC's windows: (c, h, w) to (r, c), both float32.

    Source: Tolias, Sicre and Jégou 2016, with means for maxima, as the network pools by the mean.
    """
    _, height, width = features.shape
    found = [features.mean((1, 2))]
    for scale in RECIPE.regions["scales"]:
        tall, broad = -(-2 * height // (scale + 1)), -(-2 * width // (scale + 1))
        for down in range(scale):
            for across in range(scale):
                top = round(down * (height - tall) / (scale - 1))
                left = round(across * (width - broad) / (scale - 1))
                found.append(features[:, top : top + tall, left : left + broad].mean((1, 2)))
    return np.stack(found)


@dataclass(frozen=True)
class Background:
    """Colours (h, w, 11) and shown (h, w) float64 and things as in `Evidence`: a plain background is away."""

    colours: np.ndarray
    shown: np.ndarray
    things: int


def plain_background(picture: Image, grid: tuple[int, int]) -> Background:
    """Return the colours of every cell, and the things where all around them is of one colour."""
    from PIL import Image
    from scipy import ndimage

    height, width = grid[0] * _COLOURS_PER_CELL, grid[1] * _COLOURS_PER_CELL
    pixels = np.asarray(picture.resize((width, height), Image.Resampling.BOX, reducing_gap=2.0), np.uint8)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]).astype(np.float32)
    middle = np.median(border, axis=0)
    plain = (np.abs(border - middle).max(-1) < _EVEN).mean() >= _PLAIN
    thing = np.ones((height, width), bool)
    count = 0
    if plain:
        like = np.abs(pixels - middle).max(-1) < _EVEN
        labels, _ = ndimage.label(like)  # what is like the background and touches the border is it
        edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        thing = ~np.isin(labels, edge[edge > 0])
        count = _count(thing)
    shares = (named(pixels)[..., None] == np.arange(len(NAMES))) & thing[..., None]
    per_cell = shares.reshape(grid[0], _COLOURS_PER_CELL, grid[1], _COLOURS_PER_CELL, -1).mean((1, 3))
    shown = per_cell.sum(-1)
    return Background(per_cell / np.maximum(shown, 1e-6)[..., None], shown, count)


def _count(thing: np.ndarray) -> int:
    """Return how many connected pieces there are in a mask (h, w) bool, without specks."""
    from scipy import ndimage

    labels, found = ndimage.label(thing, np.ones((3, 3)))
    if not found:
        return 0
    areas = np.bincount(labels.ravel())[1:]
    return int((areas >= _SMALLEST_THING * areas.max()).sum())


def _half(values: np.ndarray) -> np.ndarray:
    """Return floats of any shape as float16: half the bytes to keep."""
    return values.astype(np.float16)
