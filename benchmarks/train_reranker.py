"""Learns the weights of the embedded reranker, and measures it on pictures it was not trained on.

    .venv/bin/python benchmarks/train_reranker.py train [FOLDER]      writes weights.json
    .venv/bin/python benchmarks/train_reranker.py measure [FOLDER]    held-out sets, through the engine

Fetches the packages of retrieval.py (needs apt-get, dpkg-deb, npm) into FOLDER, once. The split is
fixed and stands in this file: training reads sample_data, the Tux Paint photographs whose path has
an even SHA-256, and composed pictures of the training split (attribute_pictures.py); everything
else is held out. Feature settings were chosen by cross-validation on the training split alone.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.optimize
from attribute_pictures import compose
from gcompris import DRAWN, PHOTOGRAPHS, pictures, unpack
from PIL import Image
from retrieval import PROJECT, engine, fetch, foods, scenes, stamps, write

sys.path.insert(0, str(PROJECT))
from engine.models.catalog import POCKET_RERANKER
from engine.models.pocket.reranker.features import FEATURES
from engine.models.pocket.reranker.recipe import FILE
from engine.models.pocket.reranker.reranker import PocketReranker

L2 = 1.0  # on weights of features of unit spread; 0.1 to 20 made no difference in cross-validation
SAMPLE_SCENES = ("abandoned-house", "boats-by-lake", "brick-lighthouse", "castle-over", "city-skyline")


class Captioned(NamedTuple):
    """Pictures with a caption each; the caption's only right answer is its own picture."""

    pictures: list[Image.Image]
    captions: list[str]


def training_sets(folder: Path) -> dict[str, Captioned]:
    """Return the sets of the training split."""
    samples = PROJECT / "sample_data"
    rows = [json.loads(line) for line in (samples / "metadata.jsonl").read_text("utf-8").splitlines()]
    photographs = [_opened(samples / row["file_name"]) for row in rows]
    cut_outs = [row for row in _stamps(folder) if _is_training(row[0], folder)]
    grounds = [
        path for path in sorted((samples / "photos").glob("*.jpg")) if path.stem.startswith(SAMPLE_SCENES)
    ]
    composed = list(compose(_stamp_folder(folder), grounds, "train"))
    return {
        "samples": Captioned(photographs, [row["caption"] for row in rows]),
        "stamps": Captioned([_opened(path) for path, _ in cut_outs], [caption for _, caption in cut_outs]),
        "attributes": Captioned([row[0] for row in composed], [row[1] for row in composed]),
    }


def train(folder: Path) -> None:
    """Learn the weights and write them; prints the loss of a training set after and before."""
    reranker = _reranker(folder)
    tables = {}
    for name, captioned in training_sets(folder).items():
        prepared = [reranker.prepare("image", picture) for picture in captioned.pictures]
        tables[name] = np.stack([reranker.features(caption, prepared) for caption in captioned.captions])
        print(f"{name}: {len(prepared)} captioned pictures", flush=True)
    weights = learned(list(tables.values()))
    recipe = json.loads(FILE.read_bytes())
    recipe["weights"] = dict(zip(FEATURES, (round(float(one), 3) for one in weights), strict=True))
    recipe["trained_on"] = {name: len(table) for name, table in tables.items()}
    FILE.write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(recipe["weights"]))


def learned(tables: Sequence[np.ndarray]) -> np.ndarray:
    """Return one weight per feature, none below 0: (k,).

    tables: (questions, pictures, k) each, with the right picture of question i at place i. Minimises
    the listwise softmax loss (ListNet's top one, Cao et al. 2007) plus L2.
    """
    spread = np.mean([table.std(axis=1).mean(axis=0) for table in tables], axis=0) + 1e-9
    scaled = [table / spread for table in tables]
    count = sum(len(table) for table in tables)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        total, slope = L2 * weights @ weights, 2 * L2 * weights
        for table in scaled:
            scores = table @ weights  # (questions, pictures)
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            chances = powers / powers.sum(axis=1, keepdims=True)
            right = np.arange(len(table))
            total -= np.log(chances[right, right] + 1e-12).sum()
            slope = slope - (table[right, right] - np.einsum("qn,qnk->qk", chances, table)).sum(axis=0)
        return total / count, slope / count

    start = np.zeros(tables[0].shape[-1])
    found = scipy.optimize.minimize(loss, start, jac=True, bounds=[(0, None)] * len(start))
    return found.x / spread


def measure(folder: Path) -> None:
    """Ingest every held-out set and print the command's evaluation, before and after reranking."""
    for name, (rows, kinds) in held_out_sets(folder).items():
        write(folder / name, rows)
        data = folder / "data"
        engine("ingest", str(folder / name), "--collection", name, data=data)
        arguments = ("evaluate", "--collection", name, "--rerank", POCKET_RERANKER.id, "--json")
        found = json.loads(engine(*arguments, "--csv", str(folder / f"{name}.csv"), data=data))
        print(name, json.dumps({key: value for key, value in found.items() if key != "worse"}))
        print("  worse", json.dumps(found["worse"], ensure_ascii=False), flush=True)
        if kinds:
            print("  right firsts", json.dumps(_firsts(folder / f"{name}.csv", kinds)), flush=True)


def held_out_sets(folder: Path) -> dict[str, tuple[list[tuple[Path, str]], dict[str, str]]]:
    """Return the rows of every set that training never saw, and the kind of each question where it has one.

    "held-out" has all but the composed ones in one collection, and is the set that a claim stands on.
    """
    used = (PROJECT / "sample_data" / "LICENSES.md").read_text(encoding="utf-8")
    captioned = {
        "held-out-stamps": [row for row in _stamps(folder) if not _is_training(row[0], folder)],
        "held-out-names": list(pictures(folder, PHOTOGRAPHS, used)),
        "held-out-scenes": list(scenes(folder, used)),
        "held-out-drawn": list(pictures(folder, DRAWN, used)),
        "held-out-foods": list(foods(folder)),
    }
    backdrops = [path for path, _ in captioned["held-out-scenes"]]
    composed, rows, kinds = folder / "composed", [], {}
    composed.mkdir(parents=True, exist_ok=True)
    for number, (picture, question, kind) in enumerate(compose(_stamp_folder(folder), backdrops, "held-out")):
        picture.save(composed / f"{number:03}.png")
        rows.append((composed / f"{number:03}.png", question))
        kinds[question] = kind
    together = [row for rows in captioned.values() for row in rows]
    sets = {"held-out": together, **captioned}
    return {**{name: (some, {}) for name, some in sets.items()}, "held-out-attributes": (rows, kinds)}


def _firsts(path: Path, kinds: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return for each kind of question how many there are, and the share with the right picture first."""
    with path.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    found = {}
    for kind in dict.fromkeys(kinds.values()):
        own = [row for row in rows if kinds[row["question"]] == kind]
        before, after = (
            np.mean([float(row[f"{when} hit@1"]) for row in own]) for when in ("before", "after")
        )
        found[kind] = {"questions": len(own), "before": round(before, 3), "after": round(after, 3)}
    return found


def _reranker(folder: Path) -> PocketReranker:
    """Return the reranker whatever its weights are: only its features are asked for."""
    return PocketReranker.load(POCKET_RERANKER, folder / "data" / "models", 2, lambda stage: None)


def _stamps(folder: Path) -> list[tuple[Path, str]]:
    used = (PROJECT / "sample_data" / "LICENSES.md").read_text(encoding="utf-8")
    return list(stamps(folder, used))


def _stamp_folder(folder: Path) -> Path:
    return folder / "tuxpaint/usr/share/tuxpaint/stamps"


def _is_training(path: Path, folder: Path) -> bool:
    """Tell which half a photograph is in: fixed by its path alone, whatever else there is."""
    digest = hashlib.sha256(path.relative_to(folder).as_posix().encode()).hexdigest()
    return int(digest, 16) % 2 == 0


def _opened(path: Path) -> Image.Image:
    """Return a picture as retrieval.write and an ingest make it: transparent parts white."""
    with Image.open(path) as picture:
        rgba = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def _main(arguments: list[str]) -> Any:
    folder = Path(arguments[1] if len(arguments) > 1 else tempfile.mkdtemp(prefix="gapscope-reranker-"))
    folder.mkdir(parents=True, exist_ok=True)
    fetch(folder)
    unpack(folder)
    return {"train": train, "measure": measure}[arguments[0]](folder)


if __name__ == "__main__":
    _main(sys.argv[1:] or ["measure"])
