"""What the tests of hub models ask of ours and of the library alike, and what tempts them to read files."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sentence_transformers import SentenceTransformer

from engine.models.hub.embedder import SentenceEmbedder
from engine.types import Frames, Sound

TEXTS = [
    "a cat",
    "two dogs running on the beach",
    "a small yellow bird sitting on a wooden chair in the garden , and a big red ball",
    "the old castle",
    "drum and guitar",
]


MODELS = {
    "clip": ("text", "image"),
    "clip_saved": ("text", "image"),
    "multilingual_clip": ("text",),
    "qwen_embedder": ("text", "image", "video"),
    "clap": ("text", "audio"),
    "omni": ("text", "image", "audio", "video"),
}


CHATS = ("qwen_embedder", "omni")


RATES = {"clap": 8_000, "omni": 16_000}


def pixels(seed: int, *shape: int) -> np.ndarray:
    """Return smooth random colours; every seed gives others."""
    rough = np.random.default_rng(seed).integers(0, 256, (*shape[:-3], 5, 5, 3), dtype=np.uint8)
    if len(shape) == 3:
        return np.asarray(Image.fromarray(rough).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))
    return np.stack([pixels(1_000 * seed + index, *shape[1:]) for index in range(shape[0])])


def picture(seed: int, width: int = 60, height: int = 50) -> Image.Image:
    return Image.fromarray(pixels(seed, height, width, 3))


def tone(seed: int, seconds: float, rate_hz: int) -> Sound:
    """Return a few sines, the same at every rate."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    waves = [np.sin(2 * np.pi * hertz * times + phase) for hertz, phase in rng.uniform(60, 1_500, (4, 2))]
    return Sound((np.sum(waves, axis=0) / 8 * (1 + times)).clip(-1, 1).astype(np.float32), rate_hz)


def film(seed: int, frames: int = 6) -> Frames:
    return Frames(pixels(seed, frames, 48, 64, 3), 2.0)


def contents(model: str, modality: str) -> list:
    """Return five pieces of content that the model takes as they are: nothing is shrunk or resampled."""
    if modality == "text":
        return TEXTS
    if modality == "image":
        sizes = [(60, 50), (40, 100), (64, 64), (33, 48), (100, 41)]
        return [picture(seed, *size) for seed, size in enumerate(sizes)]
    if modality == "audio":
        return [tone(seed, seconds, RATES[model]) for seed, seconds in enumerate((1.9, 0.4, 1.0, 1.5, 0.2))]
    lengths = (3, 2) if model == "omni" else (6, 2, 5)  # Qwen's processor would drop some of more than 4
    return [film(seed, frames) for seed, frames in enumerate(lengths)]


def plain(modality: str, content) -> dict:
    """Return content as the library's documentation wants it, without any of our code."""
    if modality == "audio":
        return {"audio": {"array": content.samples, "sampling_rate": content.rate_hz}}
    if modality == "video":
        count = len(content.pixels)
        facts = {"fps": content.fps, "total_num_frames": count, "duration": count / content.fps}
        facts["frames_indices"] = list(range(count))
        return {"video": {"array": np.moveaxis(content.pixels, 3, 1), "video_metadata": facts}}
    return {modality: content}


def directly(model: SentenceTransformer, task: str, modality: str, some: list, **options) -> np.ndarray:
    call = model.encode_query if task == "query" else model.encode_document
    if modality == "video":
        options["processing_kwargs"] = {"video": {"do_sample_frames": False}}
    options = {"normalize_embeddings": True, "show_progress_bar": False, **options}
    return call([plain(modality, one) for one in some], **options)


def ours(view: SentenceEmbedder, task: str, modality: str, some: list) -> np.ndarray:
    if task == "query":
        return view.encode_query(modality, some)
    return view.encode_document(modality, [view.prepare(modality, one) for one in some])


def same(a: np.ndarray, b: np.ndarray, atol: float = 1e-5) -> bool:
    return a.shape == b.shape and np.allclose(a, b, atol=atol)


def far(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.abs(a - b).max() > 1e-3)


class Listener:
    """A server that only counts who comes."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port, self.came = self.socket.getsockname()[1], 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                one, _ = self.socket.accept()
            except OSError:
                return
            self.came += 1
            one.close()


def addresses(port: int, file: Path) -> list[str]:
    """Return texts that the library would open where it is given them as bare strings."""
    base = f"http://127.0.0.1:{port}"
    dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    return [
        *(f"{base}/a.{kind}" for kind in ("jpg", "png", "webp", "mp4", "wav", "mp3")),
        f"{base}/a.jpg?b=c",
        str(file),
        f"file://{file}",
        f"data:image/png;base64,{dot}",
        "data:image/png;base64,broken",
        "https://youtu.be/x",
    ]


class Unpaced(dict):
    """Forgets how long an item took, so that only the setting and memory bound a batch."""

    def __setitem__(self, modality: str, seconds: float) -> None:
        pass


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]
