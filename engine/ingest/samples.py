"""Lists the bundled photographs with their captions, authors and licences; stores nothing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from engine.settings import PROJECT_DIR

SAMPLE_DIR = PROJECT_DIR / "sample_data"
COLLECTION = "samples"
TOWERS = "two-towers"  # the collection that two towers make of them, trained on their pairs


@dataclass(frozen=True)
class Sample:
    """One bundled photograph; `source`, `author` and `licence` as LICENSES.md gives them."""

    file_name: str
    caption: str
    labels: tuple[str, ...]
    source: str
    author: str
    licence: str


def list_samples() -> list[Sample]:
    """Return every bundled photograph, in the order of metadata.jsonl."""
    credits = _credits()
    samples = []
    for line in (SAMPLE_DIR / "metadata.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        credit = credits[row["file_name"]]
        samples.append(Sample(row["file_name"], row["caption"], tuple(row["labels"]), *credit))
    return samples


def fingerprint() -> str:
    """Return what changes whenever the bundled collection does."""
    return hashlib.sha256((SAMPLE_DIR / "metadata.jsonl").read_bytes()).hexdigest()


def _credits() -> dict[str, tuple[str, str, str]]:
    """Return file name -> (source, author, licence) from the table of LICENSES.md."""
    credits: dict[str, tuple[str, str, str]] = {}
    for line in (SAMPLE_DIR / "LICENSES.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
        if len(cells) == 4 and cells[0].startswith("photos/"):
            credits[cells[0]] = (cells[1], cells[2], cells[3])
    return credits
