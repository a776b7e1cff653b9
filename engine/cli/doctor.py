"""What works on this machine, and why the rest does not: the checks behind `python -m engine doctor`."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from engine.errors import GapscopeError
from engine.settings import Settings
from engine.workspace import Workspace

_PACKAGES = (
    "streamlit",
    "chromadb",
    "onnxruntime",
    "pillow",
    "torch",
    "transformers",
    "sentence-transformers",
)


@dataclass(frozen=True)
class Check:
    """One thing that must work: what is so, or the trouble with it."""

    name: str
    value: str = ""
    trouble: str = ""


def checks(settings: Settings) -> Iterator[Check]:
    """Yield the checks one after the other; the last ones import torch and open the store."""
    from engine.models.pocket.recipe import RECIPE

    yield Check("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Check("packages", ", ".join(_versions()))
    yield Check("settings", f"data folder {settings.data_dir}")
    yield _disk(settings)
    for part in (RECIPE.text, RECIPE.image):
        yield _attempt(f"weights {part['weights']}", partial(_weights_state, part))
    yield _attempt("model pocket", lambda: _pocket_state(settings))
    yield from _devices(settings)
    yield _attempt("hub models", lambda: _hub_state(settings))
    yield _attempt("store", lambda: _store_state(settings))


def _attempt(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, check())
    except GapscopeError as error:
        return Check(name, trouble=str(error))


def _weights_state(part: dict[str, Any]) -> str:
    from engine.models.pocket.recipe import verified

    return f"verified {verified(part).name}"


def _disk(settings: Settings) -> Check:
    folder = settings.data_dir if settings.data_dir.exists() else Path.cwd()
    free = shutil.disk_usage(folder).free
    trouble = f"only {free / 1e9:.1f} GB free" if free < settings.min_free_disk_mb * 1e6 else ""
    return Check("disk", f"{free / 1e9:.1f} GB free", trouble)


def _pocket_state(settings: Settings) -> str:
    from engine.models.pocket.convert import converted_folder

    folder = converted_folder(settings.data_dir / "models")
    when = "converted" if folder.is_dir() else "will be converted on first use"
    return f"{when}; runs on the CPU with ONNX Runtime"


def _devices(settings: Settings) -> Iterator[Check]:
    from engine.models.device import devices, free_bytes

    try:
        for device in devices(settings):
            free, total = free_bytes(device) / 1e9, device.total_bytes / 1e9
            fast = "bfloat16" if device.bfloat16 and device.kind != "cpu" else "float32"
            told = f"{device.label}, {free:.1f} of {total:.1f} GB free, hub models in {fast}"
            yield Check(f"device {device.name}", told)
    except GapscopeError as error:
        yield Check("device", trouble=str(error))


def _hub_state(settings: Settings) -> str:
    from engine.models.readiness import survey

    found = survey(settings)
    ready = [one.spec.id for one in found if one.runnable and one.spec.from_hub]
    why = "; `python -m engine models` says why for each of the others"
    return f"{len(ready)} of {len(found) - 1} run here ({', '.join(ready) or 'none'}){why}"


def _store_state(settings: Settings) -> str:
    workspace = Workspace.open(settings)
    try:
        return f"Chroma at {workspace.store.where}, {len(workspace.store.collections())} collections"
    finally:
        workspace.close()


def _versions() -> Iterator[str]:
    for package in _PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            yield f"{package} not installed"
