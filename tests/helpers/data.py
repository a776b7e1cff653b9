"""What tests feed: photographs, captions, tables of vectors and their items."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from engine.media.sources import Source, SourceList
from engine.settings import PROJECT_DIR
from engine.types import Item, Provenance, VectorTable

SAMPLES = PROJECT_DIR / "sample_data"


ROOT = PROJECT_DIR


def sources(paths: list[Path]):
    from engine.datasets.find import find_sources

    return find_sources(paths, max_file_bytes=50_000_000)


def sample_rows() -> list[dict]:
    return [json.loads(line) for line in (SAMPLES / "metadata.jsonl").read_text("utf-8").splitlines()]


def real_photos(folder: Path, count: int) -> Path:
    """Copy every n-th sample photograph, with its caption and labels, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = sample_rows()
    rows = [row for row in rows[:: max(1, len(rows) // count)] if (SAMPLES / row["file_name"]).exists()]
    for row in rows[:count]:
        row["file_name"] = Path(row["file_name"]).name
        (folder / row["file_name"]).write_bytes((SAMPLES / "photos" / row["file_name"]).read_bytes())
    write_captions(folder, rows[:count])
    return folder


def generated_photos(folder: Path, count: int, *, seed: int = 0, side: int = 96) -> Path:
    """Write small distinct JPEGs 0000.jpg… with the captions 'picture number 0'… into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number:04}.jpg").write_bytes(jpeg(seed * 100_000 + number, side))
    rows = [{"file_name": f"{n:04}.jpg", "caption": f"picture number {n}"} for n in range(count)]
    write_captions(folder, rows)
    return folder


def jpeg(seed: int, side: int = 96) -> bytes:
    """Return a JPEG of smooth random colours; every seed gives other bytes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).save(out, "JPEG", quality=80)
    return out.getvalue()


def write_captions(folder: Path, rows: list[dict]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", "utf-8")


def unit_table(count: int, dim: int = 8, *, seed: int = 0, start: int = 0) -> VectorTable:
    """Return random unit vectors with ids of 64 hexadecimal digits."""
    vectors = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return VectorTable(tuple(f"{start + row:064x}" for row in range(count)), vectors)


def plain_items(table: VectorTable, modality: str = "image", **fields: object) -> list[Item]:
    mime = "text/plain" if modality == "text" else "image/jpeg"
    return [Item(id_, modality, f"{row}.jpg", mime, id_, **fields) for row, id_ in enumerate(table.ids)]


MADE_BY = Provenance("tester", "1", 8)


def source(name: str, data: bytes, *captions: str) -> Source:
    return Source(name, lambda: data, captions)


def mixed_sources(good: int) -> SourceList:
    """Return good pictures with a bad file after every third, all with captions."""
    bad = [b"", b"\xff\xd8\xff" + b"junk" * 50, b"\x00\x01\x02" * 9, jpeg(0)[:300]]
    found = []
    for number in range(good):
        found.append(source(f"{number}.jpg", jpeg(number), f"caption of {number}"))
        if number % 3 == 0:
            found.append(source(f"bad{number}.jpg", bad[number // 3 % len(bad)], f"bad caption {number}"))
    return SourceList(tuple(found))
