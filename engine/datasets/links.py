"""Which symbolic links in a folder may be read: those whose target is given too, or in its own store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

OUTSIDE = "Links to outside the folder given are not read."
BROKEN = "Links without a target are not read: `git annex get` or `dvc pull` may fetch what they stand for."
FOLDERS = "Links to folders are not followed; a folder inside the one given is read where it lies."


class Links:
    """The links of one folder that was given.

    Their targets may lie in the folder, in the hub cache that it is a snapshot of (`blobs` beside
    `snapshots`), or in the store of the git-annex or DVC repository that it is part of.
    """

    def __init__(self, folder: Path) -> None:
        real = folder.resolve()
        self._allowed = (real, *_stores(real))

    def follow(self, link: Path) -> tuple[Path | None, str]:
        """Return the file that a link leads to, or None and why it is left out, as a sentence."""
        try:
            target = link.resolve(strict=True)
        except (OSError, RuntimeError):  # a RuntimeError for links in a circle
            return None, BROKEN
        if not any(target.is_relative_to(place) for place in self._allowed):
            return None, OUTSIDE
        return (None, FOLDERS) if target.is_dir() else (target, "")


def is_hub_cache(folder: Path) -> bool:
    """Tell whether a folder is one repository in a cache of the Hugging Face hub."""
    return (folder / "blobs").is_dir() and (folder / "snapshots").is_dir()


def _stores(folder: Path) -> Iterator[Path]:
    for parent in folder.parents:
        if parent.name == "snapshots" and is_hub_cache(parent.parent):
            yield parent.parent / "blobs"
        for store in (".git/annex/objects", ".dvc/cache"):
            if (place := parent / store).is_dir():
                yield Path(os.path.realpath(place))
