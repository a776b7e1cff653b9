"""What the engine adds to sentence-transformers: `python benchmarks/models.py overhead|cached|hub`.

overhead: 200 pictures through the engine and through sentence-transformers' own encode, tiny CLIP.
cached: loading a model that is in the hub's cache, with a network that swallows everything, against
sentence-transformers with local_files_only. hub: from asking for a download to the answer, where the hub
is out of reach. Prints ratios and seconds with n; the weights are tiny and random, the code is the real one.
"""

from __future__ import annotations

import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
PICTURES, ROUNDS = 200, 7


def bench_overhead(folder: Path) -> None:
    """Compare encoding 200 pictures with and without the engine, in alternating rounds."""
    import numpy as np
    from PIL import Image
    from sentence_transformers import SentenceTransformer

    from engine.models.base import ModelChoice
    from tests.helpers.tiny_models import build_clip

    path = str(build_clip(folder / "clip"))
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (375, 500, 3), np.uint8)) for _ in range(PICTURES)]
    direct = SentenceTransformer(path, device="cpu", local_files_only=True)
    with models(folder).use(ModelChoice(path)) as embedder:

        def through_engine() -> np.ndarray:
            return embedder.encode_document("image", [embedder.prepare("image", one) for one in pictures])

        def alone() -> np.ndarray:
            return direct.encode_document(
                pictures, batch_size=32, normalize_embeddings=True, show_progress_bar=False
            )

        difference = float(np.abs(through_engine() - alone()).max())
        ratios = [seconds(through_engine) / seconds(alone) for _ in range(ROUNDS)]
    shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"engine / own encode: median {statistics.median(ratios):.2f} (rounds {shown}; n = {PICTURES})")
    print(f"largest difference of a number of the vectors: {difference:.1e}")


def bench_cached(folder: Path) -> None:
    """Compare loading from the cache, through the engine and directly, while the network is dead."""
    from sentence_transformers import SentenceTransformer

    from engine.models.base import ModelChoice
    from engine.models.hub import files
    from tests.helpers.tiny_models import build_clip_saved

    commit = "c" * 40
    repo = files.repo_folder("sentence-transformers/clip-ViT-B-32")
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    (repo / "snapshots").mkdir()
    build_clip_saved(repo / "snapshots" / commit)
    choice = ModelChoice("sentence-transformers/clip-ViT-B-32")
    with dead_network():
        SentenceTransformer(choice.id, device="cpu", local_files_only=True)  # imports are paid here
        found = []
        for _ in range(ROUNDS):
            pool = models(folder)
            engine = seconds(lambda pool=pool: touch(pool, choice))
            alone = seconds(lambda: SentenceTransformer(choice.id, device="cpu", local_files_only=True))
            found.append((engine, alone))
    engine, alone = (statistics.median(column) for column in zip(*found, strict=True))
    more = max(engine - alone for engine, alone in found)
    print(
        f"cached, network dead: engine {engine:.2f} s, local_files_only {alone:.2f} s (medians of {ROUNDS})"
    )
    print(f"the engine takes at most {more:.2f} s more; it also measures one item of each kind")


def bench_hub() -> None:
    """Time the answer where the hub cannot be reached, in a warm process."""
    from engine.models.hub.download import Downloads

    silent = socket.create_server(("127.0.0.1", 0))  # accepts, and never says anything
    address = f"http://127.0.0.1:{silent.getsockname()[1]}"
    for endpoint in ("http://127.0.0.1:9", "http://no.such.hub.invalid", address):
        downloads = Downloads(env={**os.environ, "HF_ENDPOINT": endpoint})
        started = time.perf_counter()
        download = downloads.start("Qwen/Qwen3-VL-Embedding-2B")
        download = downloads.wait(download.id, 60)
        print(f"{endpoint}: {time.perf_counter() - started:.2f} s: {download.error}")


def touch(pool: object, choice: object) -> None:
    """Load a model and give it back."""
    with pool.use(choice):
        pass


def models(folder: Path) -> object:
    """Return an owner of models with nothing in it."""
    from engine.models.in_memory import LoadedModels
    from engine.models.load import Loader
    from engine.settings import load_settings

    loader = Loader(load_settings(data_dir=folder / "data"))
    return LoadedModels(
        load_settings(data_dir=folder / "data"),
        loader.load,
        loader.needs,
        loader.would_fit,
        loader.device_of,
    )


class dead_network:  # noqa: N801 (used as a function)
    """Make every connection and every name wait, as a network does that swallows packets."""

    def __enter__(self) -> None:
        self._real = socket.socket.connect, socket.getaddrinfo
        socket.socket.connect = self._wait
        socket.getaddrinfo = self._wait

    def __exit__(self, *error: object) -> None:
        socket.socket.connect, socket.getaddrinfo = self._real

    @staticmethod
    def _wait(*arguments: object, **options: object) -> None:
        time.sleep(10)
        raise TimeoutError("the network is dead")


def seconds(step: Callable[[], object]) -> float:
    """Return how long a step takes."""
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def main() -> None:
    """Run the benchmarks that are named, or all; each in a cache of the hub of its own."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HF_HOME"] = str(Path(folder) / "hub")  # before huggingface_hub is imported
        for name in sys.argv[1:] or ["overhead", "cached", "hub"]:
            {
                "overhead": lambda: bench_overhead(Path(folder)),
                "cached": lambda: bench_cached(Path(folder)),
                "hub": bench_hub,
            }[name]()


if __name__ == "__main__":
    main()
