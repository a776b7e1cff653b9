"""The one settings object; the only file that reads the environment (prefix GAPSCOPE_)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from engine.errors import SettingError

PREFIX = "GAPSCOPE_"
PROJECT_DIR = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Every setting with its unit in its name; set one as GAPSCOPE_<NAME>."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True)

    data_dir: Annotated[Path, Field(description="Where media, vectors and converted weights live")]
    chroma_url: Annotated[
        str | None,
        Field(pattern=r"^https?://[^/\s]+/?$", description="A Chroma server instead of the folder"),
    ] = None
    ingest_dir: Annotated[Path | None, Field(description="A server folder that visitors may ingest from")] = (
        None
    )
    max_image_megapixels: Annotated[
        float, Field(gt=0, description="Larger pictures are refused before decoding")
    ] = 100.0
    max_file_mb: Annotated[float, Field(gt=0, description="Larger files are refused unread")] = 200
    min_free_disk_mb: Annotated[
        float, Field(ge=0, description="An ingest stops before the disk has less")
    ] = 500.0
    batch_files: Annotated[int, Field(ge=1, le=1000, description="Files decoded per batch")] = 32
    store_batch_rows: Annotated[
        int, Field(ge=1, le=5000, description="Rows per write; Chroma Cloud takes 300")
    ] = 256
    threads: Annotated[int, Field(ge=1, le=256, description="CPU threads for decoding and for Pocket")] = (
        os.cpu_count() or 1
    )

    @property
    def max_image_pixels(self) -> int:
        """Return the limit on width times height, in pixels."""
        return int(self.max_image_megapixels * 1e6)

    @property
    def max_file_bytes(self) -> int:
        """Return the limit on one file, in bytes."""
        return int(self.max_file_mb * 1e6)


def load_settings(**overrides: object) -> Settings:
    """Read the settings from the environment; `overrides` win.

    Raises SettingError naming the key, the value and what is wanted, also for a GAPSCOPE_
    variable that does not exist (a misspelt setting would otherwise be silently without effect).
    """
    _refuse_unknown_keys()
    defaults: dict[str, object] = {}
    if not os.environ.get(f"{PREFIX}DATA_DIR"):
        defaults["data_dir"] = PROJECT_DIR / ".gapscope"
    try:
        settings = Settings(**{**defaults, **overrides})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        key = f"{PREFIX}{str(first['loc'][0]).upper()}"
        wanted = first["msg"].removeprefix("Input should be ").removeprefix("String should ")
        raise SettingError(key, first["input"], wanted) from error
    return settings.model_copy(update={"data_dir": settings.data_dir.expanduser().absolute()})


def _refuse_unknown_keys() -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    for key in os.environ:
        if key.startswith(PREFIX) and key not in known:
            raise SettingError(key, os.environ[key], f"one of {', '.join(sorted(known))}")
