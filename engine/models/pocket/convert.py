"""Converts Pocket's weights to ONNX once; the only part of Pocket that imports torch.

Run as a process of its own (`python -m engine.models.pocket.convert towers|regions FOLDER`), so that
torch never enters the app. Prints one stage per line. The finished folder appears by one rename: a conversion
cut short leaves only a `.partial` folder of its own, which the next one removes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from engine.disk import folder_error
from engine.errors import WeightsError
from engine.models.pocket.labels import class_texts
from engine.models.pocket.recipe import RECIPE, verified
from engine.models.pocket.reranker.regions import FILES as REGION_FILES
from engine.models.pocket.text import TextTower
from engine.settings import PROJECT_DIR
from engine.vectors import normalise

FILES = ("text.onnx", "image.onnx", "tokenizer.json", "anchors.npy")


def converted_folder(models_dir: Path) -> Path:
    """Return where this recipe's converted weights live."""
    return models_dir / f"pocket-{RECIPE.revision}"


def ensure_converted(models_dir: Path, on_stage: Callable[[str], None]) -> Path:
    """Return the folder of converted weights, making it on first use in a process of its own.

    Two processes that start together convert once. Raises WeightsError or FolderError.
    """
    return _ensure(models_dir, "towers", converted_folder(models_dir), on_stage)


def ensure_regions(models_dir: Path, on_stage: Callable[[str], None]) -> Path:
    """Return the folder of the picture tower cut before its pooling, as `ensure_converted` does.

    Raises WeightsError or FolderError.
    """
    return _ensure(
        models_dir, "regions", models_dir / f"pocket-regions-{RECIPE.image['sha256'][:10]}", on_stage
    )


def _ensure(models_dir: Path, what: str, folder: Path, on_stage: Callable[[str], None]) -> Path:
    from filelock import FileLock

    folder = folder.absolute()  # the process below works in another folder
    if folder.is_dir():
        return folder
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(models_dir / "convert.lock"):
            if not folder.is_dir():
                _convert_in_process(what, folder, on_stage)
    except OSError as error:
        raise folder_error(models_dir, error) from error
    return folder


def _convert_in_process(what: str, folder: Path, on_stage: Callable[[str], None]) -> None:
    command = [sys.executable, "-m", "engine.models.pocket.convert", what, str(folder)]
    stages, lines = [], []
    with subprocess.Popen(
        command,
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            if line.startswith("stage: "):
                stages.append(line.removeprefix("stage: ").rstrip())
                on_stage(stages[-1])
            else:
                lines.append(line.rstrip())
    if process.returncode < 0:
        raise WeightsError(
            f"Pocket's weights could not be converted: the process was ended by signal "
            f"{-process.returncode} at {stages[-1] if stages else 'its start'!r}. The system does "
            f"that when memory runs out: free some, then try again."
        )
    if process.returncode:
        reason = lines[-1] if lines else f"exit status {process.returncode}"
        raise WeightsError(f"Pocket's weights could not be converted: {reason}")


def convert(what: str, folder: Path, on_stage: Callable[[str], None]) -> None:
    """Verify and convert 'towers' (both, with the label anchors) or 'regions' into `folder`, atomically."""
    for stale in folder.parent.glob(f"{folder.name}.*partial"):
        shutil.rmtree(stale, ignore_errors=True)
    # A name of its own: a process left over from a killed app must never fill the folder of another.
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    on_stage("Checking the weights of Pocket")
    names = _MAKERS[what](partial, on_stage)
    for name in names:
        with (partial / name).open("rb") as stream:
            os.fsync(stream.fileno())
    try:
        partial.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        shutil.rmtree(partial, ignore_errors=True)  # another process was first, with the same content


def _make_towers(folder: Path, on_stage: Callable[[str], None]) -> tuple[str, ...]:
    """Convert both towers and compute the label anchors; returns the names of the files."""
    text_weights, image_weights = verified(RECIPE.text), verified(RECIPE.image)
    on_stage("Converting the text tower (once)")
    shutil.copyfile(text_weights.with_name("tokenizer.json"), folder / "tokenizer.json")
    _export(_text_module(text_weights.parent), _text_example(), folder / "text.onnx")
    on_stage("Converting the picture tower (once)")
    _export(_image_module(image_weights), _image_example(), folder / "image.onnx")
    on_stage("Embedding the names of a thousand kinds of things (once)")
    np.save(folder / "anchors.npy", _anchors(folder))
    return FILES


def _make_regions(folder: Path, on_stage: Callable[[str], None]) -> tuple[str, ...]:
    """Convert the picture tower up to its last features, for pictures of any size; returns the names."""
    weights = verified(RECIPE.image)
    on_stage("Converting the picture tower for the reranker (once)")
    network, module = _region_module(weights)
    _export(module, _image_example(), folder / REGION_FILES[0], sides={1: "height", 2: "width"})
    matrix, bias = network._fc.weight.detach().numpy(), network._fc.bias.detach().numpy()
    np.savez(folder / REGION_FILES[1], weights=matrix, bias=bias)
    return REGION_FILES


_MAKERS = {"towers": _make_towers, "regions": _make_regions}


def _anchors(folder: Path) -> np.ndarray:
    """Return one unit vector per class, the mean over its wordings: (1000, 384) float32."""
    texts = class_texts()
    flat = [text for wordings in texts for wording in wordings for text in wording]
    vectors = iter(TextTower(folder, os.cpu_count() or 1).encode(flat))
    means = [
        [np.mean([next(vectors) for _ in wording], axis=0) for wording in wordings] for wordings in texts
    ]  # class x wording x (384,)
    return normalise(np.stack([normalise(np.stack(wordings)).mean(axis=0) for wordings in means]))


def _export(module: Any, example: dict[str, Any], path: Path, sides: dict[int, str] | None = None) -> None:
    """Export a module; `sides` names the axes of the pixels that may have any length, besides the first."""
    import torch

    axes = {name: {0: "n", 1: "length"} for name in ("ids", "mask")} | {"pixels": {0: "n", **(sides or {})}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracing exporter is deprecated but exact here
        torch.onnx.export(
            module.eval(),
            tuple(example.values()),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=list(example),
            output_names=["out"],
            dynamic_axes={name: axes[name] for name in example} | {"out": {0: "n"}},
        )


def _text_example() -> dict[str, Any]:
    import torch

    return {
        "ids": torch.ones(2, 16, dtype=torch.int64),
        "mask": torch.ones(2, 16, dtype=torch.int64),
    }


def _image_example() -> dict[str, Any]:
    import torch

    side = RECIPE.image["crop_px"]
    return {"pixels": torch.zeros(1, side, side, 3, dtype=torch.uint8)}


def _text_module(folder: Path) -> Any:
    """Return word pieces -> mean of the token vectors, at unit length (the model card's pooling)."""
    import torch
    from transformers import BertModel

    class MeanPooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = BertModel.from_pretrained(folder, attn_implementation="eager", local_files_only=True)

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            hidden = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state  # (n, l, 384)
            weights = mask.unsqueeze(-1).to(hidden.dtype)  # (n, l, 1)
            mean = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)  # (n, 384)
            return torch.nn.functional.normalize(mean, dim=-1)

    return MeanPooled()


def _network(weights: Path) -> Any:
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name(RECIPE.image["architecture"])
    network.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
    return network


def _scaled(pixels: Any) -> Any:
    """Return (n, h, w, 3) uint8 as the network takes them: (n, 3, h, w) float32."""
    return (pixels.permute(0, 3, 1, 2).float() - RECIPE.image["mean"]) / RECIPE.image["scale"]


def _image_module(weights: Path) -> Any:
    """Return (n, 260, 260, 3) uint8 -> (n, 1000) class probabilities."""
    import torch

    class Classifier(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = _network(weights)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.softmax(self.network(_scaled(pixels)), dim=-1)

    return Classifier()


def _region_module(weights: Path) -> tuple[Any, Any]:
    """Return the network, and (n, h, w, 3) uint8 -> (n, 1280, h / 32, w / 32) features of it."""
    import torch

    class Features(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = _network(weights)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.network.extract_features(_scaled(pixels))

    module = Features()
    return module.network, module


def _main() -> int:
    def stage(text: str) -> None:
        sys.stdout.write(f"stage: {text}\n")
        sys.stdout.flush()

    try:
        convert(sys.argv[1], Path(sys.argv[2]), stage)
    except (WeightsError, OSError, ImportError) as error:
        sys.stdout.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
