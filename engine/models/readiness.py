"""Tells of every model whether it runs on this machine, and why not; loads nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.errors import NotDownloadedError, WeightsError
from engine.models.base import ModelSpec
from engine.models.catalog import CATALOG, missing_packages
from engine.models.device import Device, cpu, default_dtype, devices, free_bytes
from engine.models.hub import files
from engine.models.load import whole_bytes
from engine.settings import Settings


@dataclass(frozen=True)
class Readiness:
    """A model on this machine: `reason` is None where it runs, else why it does not, and what to do.

    `needed_bytes` is what it would take on `device` at `dtype`, None where that is not known.
    """

    spec: ModelSpec
    device: str
    dtype: str
    needed_bytes: int | None
    downloaded: bool
    reason: str | None

    @property
    def runnable(self) -> bool:
        """Tell whether the model could be loaded now."""
        return self.reason is None


def survey(settings: Settings) -> list[Readiness]:
    """Return every model of the catalog with its readiness on the first device; imports torch."""
    device = devices(settings)[0]
    free = {device.name: free_bytes(device), "cpu": free_bytes(cpu())}
    local = files.local_models()
    return [
        _readiness(spec, device if spec.from_hub else cpu(), free, local, settings)
        for spec in CATALOG.values()
    ]


def _readiness(
    spec: ModelSpec, device: Device, free: dict[str, int], local: Sequence[str], settings: Settings
) -> Readiness:
    dtype = default_dtype(spec, device)
    needed = whole_bytes(spec, dtype)
    lacking = _missing(spec, local) if spec.from_hub else None
    reasons = _reasons(spec, device, needed, free[device.name], settings)
    return Readiness(spec, device.name, dtype, needed, lacking is None, next(reasons, lacking))


def _reasons(
    spec: ModelSpec, device: Device, needed: int | None, free: int, settings: Settings
) -> Iterator[str]:
    """Yield what stands in the way, the hardest first."""
    if spec.kind == "multi-vector":
        yield "gives a vector per token, and a collection here keeps one vector per item"
    if missing := missing_packages(spec):
        yield f"not installed: {', '.join(missing)}"
    if spec.remote_code and not settings.allows_remote_code(spec.id):
        yield f"runs Python code of its own: read it, then set GAPSCOPE_REMOTE_CODE={spec.id}"
    if needed is not None and needed > free:
        yield f"needs {needed / 1e9:.1f} GB on {device.name}, where {free / 1e9:.1f} GB are free"


def _missing(spec: ModelSpec, local: Sequence[str]) -> str | None:
    """Return which files are missing, and the command that fetches them; None where all are here."""
    for id_ in (spec.id, spec.images_by):
        try:
            if id_:
                files.find(id_, spec.revision if id_ == spec.id else None, lambda: local)
        except NotDownloadedError as error:
            how = "partly downloaded" if error.missing else "not downloaded"
            return f"{how}: `python -m engine download {id_}`"
        except WeightsError as error:
            return str(error)
    return None
