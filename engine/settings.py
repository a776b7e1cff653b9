"""The one settings object; the only file that reads the environment (prefix GAPSCOPE_)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from engine.errors import SettingError

PREFIX = "GAPSCOPE_"
PROJECT_DIR = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Every setting with its unit in its name; set one as GAPSCOPE_<NAME>."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True)

    data_dir: Annotated[Path, Field(description="Where media, vectors and converted weights live")] = (
        PROJECT_DIR / ".gapscope"
    )
    chroma_url: Annotated[
        str | None,
        Field(pattern=r"^https?://[^/\s]+/?$", description="A Chroma server instead of the folder"),
    ] = None
    ingest_dir: Annotated[Path | None, Field(description="A server folder that visitors may ingest from")] = (
        None
    )
    max_image_megapixels: Annotated[
        float, Field(gt=0, allow_inf_nan=False, description="Larger pictures are refused before decoding")
    ] = 100.0
    max_file_mb: Annotated[
        float, Field(gt=0, allow_inf_nan=False, description="Larger files are refused unread")
    ] = 200.0
    max_run_gb: Annotated[
        float, Field(gt=0, allow_inf_nan=False, description="What one ingest reads; files beyond are counted")
    ] = 1000.0
    decode_seconds: Annotated[
        float, Field(gt=0, allow_inf_nan=False, description="Processor time for one file; longer ones fail")
    ] = 20.0
    decode_memory_mb: Annotated[
        float, Field(gt=0, allow_inf_nan=False, description="Memory for all files being decoded together")
    ] = 1500.0
    min_free_disk_mb: Annotated[
        float, Field(ge=0, allow_inf_nan=False, description="An ingest stops before the disk has less")
    ] = 500.0
    batch_files: Annotated[int, Field(ge=1, le=1000, description="Files decoded per batch")] = 32
    store_batch_rows: Annotated[
        int, Field(ge=1, le=5000, description="Rows per write; Chroma Cloud takes 300")
    ] = 256
    threads: Annotated[int, Field(ge=1, le=256, description="CPU threads for decoding and for Pocket")] = (
        os.cpu_count() or 1
    )

    device: Annotated[
        str,
        Field(
            pattern=r"^(auto|(cpu|mps|cuda(:\d+)?)(,(cpu|mps|cuda(:\d+)?))*)$",
            description="Where hub models run: auto, cpu, mps, cuda, cuda:1, or several for large ingests",
        ),
    ] = "auto"
    model_batch_items: Annotated[
        int, Field(ge=1, le=1024, description="Items per forward pass; halved when memory runs out")
    ] = 32
    remote_code: Annotated[
        str, Field(description="Ids of hub models whose own Python code may run here, by comma")
    ] = ""
    warm_up: Annotated[
        bool, Field(description="Compile UMAP after the start, so that the first map does not wait for it")
    ] = True

    @property
    def devices(self) -> tuple[str, ...]:
        """Return the devices asked for, empty where they are to be found out."""
        return () if self.device == "auto" else tuple(self.device.split(","))

    def allows_remote_code(self, model: str) -> bool:
        """Tell whether the operator allowed this model's own code to run here."""
        return model in {one.strip() for one in self.remote_code.split(",")}

    @property
    def max_image_pixels(self) -> int:
        """Return the limit on width times height, in pixels."""
        return int(self.max_image_megapixels * 1e6)

    @property
    def max_file_bytes(self) -> int:
        """Return the limit on one file, in bytes."""
        return int(self.max_file_mb * 1e6)

    @property
    def max_run_bytes(self) -> int:
        """Return the limit on the files of one ingest together, in bytes."""
        return int(self.max_run_gb * 1e9)


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from the environment; `overrides` win.

    Raises SettingError naming the key, the value and what is wanted, also for a GAPSCOPE_
    variable that does not exist (a misspelt setting would otherwise be silently without effect).
    """
    _refuse_unknown_keys()
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        key = f"{PREFIX}{str(first['loc'][0]).upper()}"
        raise SettingError(key, first["input"], _wanted(first)) from error
    folders = {key: getattr(settings, key) for key in ("data_dir", "ingest_dir")}
    return settings.model_copy(update={key: _absolute(key, path) for key, path in folders.items() if path})


_PATTERNS = {
    "chroma_url": "an address such as http://127.0.0.1:8000",
    "device": "auto, cpu, mps, cuda, or one such as cuda:1, or several of them by comma",
}


def _wanted(error: Mapping[str, Any]) -> str:
    """Return in words what pydantic wanted."""
    limit = error.get("ctx", {})
    words = {
        "string_pattern_mismatch": _PATTERNS.get(str(error["loc"][0]), ""),
        "float_parsing": "a number",
        "bool_parsing": "true or false",
        "int_parsing": "a whole number",
        "int_from_float": "a whole number",
        "finite_number": "a finite number",
        "extra_forbidden": f"one of {', '.join(sorted(_known_keys()))}",
        "greater_than": f"a number greater than {limit.get('gt')}",
        "greater_than_equal": f"a number of at least {limit.get('ge')}",
        "less_than_equal": f"a number of at most {limit.get('le')}",
    }
    return words.get(error["type"]) or error["msg"].removeprefix("Input should be ")


def _absolute(key: str, path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:  # "~name" of nobody
        raise SettingError(
            f"{PREFIX}{key.upper()}", str(path), "a folder that exists or can be made"
        ) from error


def _refuse_unknown_keys() -> None:
    known = _known_keys()
    for key in os.environ:
        if key.upper().startswith(PREFIX) and key.upper() not in known:
            raise SettingError(key, os.environ[key], f"one of {', '.join(sorted(known))}")


def _known_keys() -> set[str]:
    return {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
