"""Large data sets listed, read, decoded and ingested: seconds, and the memory that each step takes.

    .venv/bin/python benchmarks/large_sets.py FOLDER make
    .venv/bin/python benchmarks/large_sets.py FOLDER read parquet
    .venv/bin/python benchmarks/large_sets.py FOLDER read webdataset
    .venv/bin/python benchmarks/large_sets.py FOLDER ingest parquet --items 1000

make    writes `parquet`, four shards as the Hugging Face datasets library writes them (100,000 rows of a JPEG
        of 64 x 64 pixels, two captions, a class), and `webdataset`, a .tar of 5,000 such pictures with a text
        and a JSON each.
read    lists one of them with `find_sources`, and reads and decodes every picture as an ingest does, in
        batches, storing nothing. Memory is that of the process; "peak" is the most since it began.
ingest  takes the first of them into a new collection with Pocket.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

ROWS, SHARDS, SAMPLES, KINDS, SIDE_PX = 100_000, 4, 5_000, 200, 64
LABELS = ("noise", "more noise")
MAX_BYTES = 50_000_000


def main() -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("step", choices=["make", "read", "ingest"])
    parser.add_argument("what", nargs="?", choices=["parquet", "webdataset"], default="parquet")
    parser.add_argument("--items", type=int, default=1_000)
    arguments = parser.parse_args()
    given = arguments.folder / arguments.what
    if arguments.step == "make":
        make_parquet(arguments.folder / "parquet")
        make_tar(arguments.folder / "webdataset")
    elif arguments.step == "read":
        read(given)
    else:
        ingest(given, arguments.folder / "data", arguments.items)


def jpegs() -> list[bytes]:
    """Return some JPEGs of noise, which `numbered` makes as many of as are wanted."""
    import numpy as np
    from PIL import Image

    found = []
    for seed in range(KINDS):
        pixels = np.random.default_rng(seed).integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "JPEG", quality=85)
        found.append(out.getvalue())
    return found


def numbered(jpeg: bytes, number: int) -> bytes:
    """Return a JPEG with a comment of its own, so that no two files are the same."""
    words = f"picture {number}".encode()
    return jpeg[:2] + b"\xff\xfe" + (len(words) + 2).to_bytes(2, "big") + words + jpeg[2:]


def make_parquet(folder: Path) -> None:
    """Write the shards, 100 rows to a row group as the datasets library does for pictures."""
    import pyarrow as pa
    from pyarrow import parquet

    kinds, each = jpegs(), ROWS // SHARDS
    features = {
        "image": {"_type": "Image"},
        "captions": {"_type": "List", "feature": {"_type": "Value", "dtype": "string"}},
        "label": {"_type": "ClassLabel", "names": list(LABELS)},
    }
    schema = pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("captions", pa.list_(pa.string())),
            ("label", pa.int64()),
        ],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(SHARDS):
        path = folder / f"train-{shard:05d}-of-{SHARDS:05d}.parquet"
        with parquet.ParquetWriter(path, schema, compression="snappy") as writer:
            for start in range(shard * each, (shard + 1) * each, 100):
                rows = [row(kinds[n % KINDS], n) for n in range(start, start + 100)]
                writer.write_table(pa.Table.from_pylist(rows, schema))
    say("made", folder, ROWS)


def row(jpeg: bytes, number: int) -> dict[str, Any]:
    """Return one row of the Parquet files."""
    picture = {"bytes": numbered(jpeg, number), "path": f"{number}.jpg"}
    return {"image": picture, "captions": [f"noise {number}", f"again {number}"], "label": number % 2}


def make_tar(folder: Path) -> None:
    """Write the shard of WebDataset."""
    kinds = jpegs()
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "00000.tar", "w") as archive:
        for number in range(SAMPLES):
            files = {
                "jpg": numbered(kinds[number % KINDS], number),
                "txt": f"noise {number}".encode(),
                "json": json.dumps({"number": number}).encode(),
            }
            for suffix, data in files.items():
                info = tarfile.TarInfo(f"{number:08d}.{suffix}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    say("made", folder, SAMPLES)


def say(step: str, folder: Path, items: int) -> None:
    """Tell how large what was made is."""
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{step} {folder.name}: {items:,} items, {size / 1e6:,.0f} MB")


def memory() -> str:
    """Return the memory of this process, now and at most, in words."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{pages * resource.getpagesize() / 1e6:,.0f} MB now, peak {peak * 1.048576:,.0f} MB"


def batches(found: Any, size: int) -> Iterator[Any]:
    """Yield the sources as an ingest takes them."""
    for start in range(0, len(found.sources), size):
        yield found.sources[start : start + size]


def read(given: Path) -> None:
    """List, then read and decode everything, and tell the memory on the way."""
    import pyarrow.parquet  # noqa: F401  # so that the memory before is without what is measured
    from PIL import Image  # noqa: F401

    from engine.datasets.find import find_sources
    from engine.media.decode import Probe
    from engine.media.decoder import Decoder
    from engine.media.parts import Limits
    from engine.settings import load_settings

    settings = load_settings()
    print(f"before: {memory()}")
    started = time.monotonic()
    found = find_sources([given], max_file_bytes=MAX_BYTES)
    captions = sum(len(source.captions) for source in found.sources)
    print(
        f"listed: {len(found.sources):,} pictures, {captions:,} captions, {len(found.failed)} failed in "
        f"{time.monotonic() - started:.1f} s: {memory()}"
    )
    started, done, marks = time.monotonic(), 0, [len(found.sources) * share // 4 for share in (1, 2, 3, 4)]
    with Decoder(Limits(settings.max_image_pixels, 260), threads=settings.threads) as decoder:
        for sources in batches(found, settings.batch_files):
            probes = [one for one in decoder.probe(sources) if isinstance(one, Probe)]
            done += sum(isinstance(one, int) for one in decoder.decode(probes, lambda _, parts: len(parts)))
            while marks and done >= marks[0]:
                print(f"decoded {marks.pop(0):,} after {time.monotonic() - started:.1f} s: {memory()}")
    print(f"decoded {done:,} of {len(found.sources):,}")


def ingest(given: Path, data_dir: Path, items: int) -> None:
    """Ingest the first items with Pocket."""
    from engine.datasets.find import find_sources
    from engine.media.sources import SourceList
    from engine.settings import load_settings
    from engine.workspace import Workspace

    workspace = Workspace.open(load_settings(data_dir=data_dir, min_free_disk_mb=1))
    try:
        found = find_sources([given], max_file_bytes=MAX_BYTES)
        print(f"before: {memory()}")
        report = workspace.ingest("benchmark", SourceList(found.sources[:items]))
        print(
            f"{report.stored:,} items stored, {report.skipped:,} were there, {len(report.failed)} failed in "
            f"{report.seconds:.1f} s: {memory()}"
        )
    finally:
        workspace.close()


if __name__ == "__main__":
    main()
