"""Two captioned sets out of Debian's GCompris: photographs called by their file names, and drawn words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from qt_resources import entries

PHOTOGRAPHS = (
    "erase/resource",
    "explore_world_animals/resource/animals",
    "explore_farm_animals/resource/animals",
    "categorization/resource/images/others",
    "categorization/resource/images/tools",
    "categorization/resource/images/monuments",
    "explore_monuments/resource/france",
    "explore_monuments/resource/usa",
    "explore_monuments/resource/germany",
    "explore_monuments/resource/egypt",
    "explore_monuments/resource/wonders",
    "explore_monuments/resource/india",
)
DRAWN = ("lang/resource/words_sample",)


def unpack(folder: Path) -> None:
    """Write every WebP of the package's resource files below folder/gcompris-pictures, once."""
    target = folder / "gcompris-pictures"
    if target.exists():
        return
    for path in sorted((folder / "gcompris").rglob("*.rcc")):
        for name, data in entries(path):
            if name.endswith(".webp"):
                file = target / name.partition("/activities/")[2]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)


def pictures(folder: Path, places: tuple[str, ...], used: str) -> Iterator[tuple[Path, str]]:
    """Yield pictures with their names in words: one of each name, none that sample_data has, no maps."""
    seen = set()
    for place in places:
        for path in sorted((folder / "gcompris-pictures" / place).glob("*.webp")):
            caption = _words(path.stem)
            with Image.open(path) as picture:
                small = picture.width < 100
            if not (small or caption in seen or "map" in caption or f"{place}/{path.name}" in used):
                seen.add(caption)
                yield path, caption


def _words(stem: str) -> str:
    """Return "leaning tower" for leaningTower2."""
    bare = re.sub(r"\d+$", "", stem)
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", bare).replace("_", " ").lower().strip()
