"""From a choice to a loaded model: which files, which loader, on what device; keeps nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import ModelError, ModelKindError, RemoteCodeError
from engine.models.base import ModelChoice, ModelSpec
from engine.models.catalog import CATALOG, describe, missing_modules, missing_packages
from engine.models.device import (
    Device,
    check_dtype,
    cpu,
    default_dtype,
    devices,
    is_out_of_memory,
    needed_bytes,
)
from engine.models.hub import files
from engine.models.pocket.recipe import PROVENANCE
from engine.models.towers import kept
from engine.types import MODALITIES, Provenance

if TYPE_CHECKING:
    from engine.models.hub.embedder import EmbedderWeights
    from engine.models.in_memory import Weights
    from engine.models.pocket.features import PocketFeatures
    from engine.settings import Settings

OnStage = Callable[[str], None]
_AND = "+"  # between the commits of the two models of one space


class Loader:
    """The functions that `in_memory.LoadedModels` asks for, over one set of settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def resolve(self, choice: ModelChoice) -> ModelChoice:
        """Fill in what a choice leaves open: the full id, the commit on this machine, the dtype.

        Raises NotDownloadedError, UnknownModelError, WeightsError or ModelOptionError, without asking
        the hub.
        """
        spec = describe(choice.id)
        if spec.runner == "pocket":
            return replace(choice, id=spec.id, revision=spec.revision, dtype=PROVENANCE.dtype)
        if spec.runner == "towers":
            revision = kept.find(self._settings.data_dir, spec.id, choice.revision)
            return replace(choice, revision=revision, dtype=PROVENANCE.dtype)
        found, device = self._find(spec, choice), self.device_of(choice)
        dtype = choice.dtype or default_dtype(spec, device)
        check_dtype(spec.id, dtype, device)
        return replace(choice, id=spec.id, revision=self._revision(spec, choice, found), dtype=dtype)

    def device_of(self, choice: ModelChoice) -> Device:
        """Return where a choice is loaded: what is not of the hub on the CPU, without importing torch."""
        return devices(self._settings)[0] if describe(choice.id).from_hub else cpu()

    def needs(self, choice: ModelChoice, device: Device) -> int | None:
        """Return the bytes that loading takes, or None where that is not known beforehand."""
        spec = describe(choice.id)
        if not spec.from_hub:
            return needed_bytes(spec, PROVENANCE.dtype)
        dtype = choice.dtype or default_dtype(spec, device)
        sizes = [_bytes_of(spec, self._find(spec, choice).folder, dtype)]
        if spec.images_by:
            sizes.append(_bytes_of(describe(spec.images_by), self._find_images(spec, choice).folder, dtype))
        return _sum(sizes)

    def would_fit(self, device: Device, free: int) -> list[str]:
        """Return the models of the catalog that fit into so many bytes of a device."""
        fitting = []
        for spec in CATALOG.values():
            needed = whole_bytes(spec, default_dtype(spec, device))
            if spec.kind != "multi-vector" and needed is not None and needed <= free:
                fitting.append(spec.id)
        return fitting

    def load(self, choice: ModelChoice, device: Device, on_stage: OnStage) -> Weights:
        """Load the weights of a choice on a device, from local files alone. Raises ModelError.

        on_stage is told in words what is being waited for.
        """
        spec = describe(choice.id)
        if not spec.from_hub:
            return self._load_pocket(spec, choice, on_stage)
        from jinja2 import TemplateError

        from engine.models.hub.opening import library_errors, unusable

        if missing := missing_packages(spec):
            raise _lacking(spec, missing)
        found, dtype = self._find(spec, choice), choice.dtype or default_dtype(spec, device)
        check_dtype(spec.id, dtype, device)
        self._check_allowed(spec, found)
        on_stage(f"Loading {spec.id} on {device.name}")
        try:
            if files.kind_of(found.folder) == "reranker":
                return self._load_reranker(spec, found, device, dtype)
            return self._load_embedder(spec, choice, found, device, dtype)
        except library_errors() as error:  # what it does not say when it is opened, but when it is tried
            if is_out_of_memory(error):
                raise
            raise unusable(spec.id, error) from error
        except ModelError as error:
            if not isinstance(error.__cause__, TemplateError):
                raise
            raise unusable(spec.id, error.__cause__) from error  # its chat template, tried on the first item

    def features(self, on_stage: OnStage) -> PocketFeatures:
        """Open Pocket's networks as two spaces of their own. Raises ModelError, FolderError."""
        from engine.models.pocket.features import PocketFeatures

        return PocketFeatures.load(self._settings.data_dir / "models", self._settings.threads, on_stage)

    def _load_pocket(self, spec: ModelSpec, choice: ModelChoice, on_stage: OnStage) -> Weights:
        from engine.models.pocket.embedder import Pocket
        from engine.models.pocket.reranker.reranker import PocketReranker, PocketRerankerWeights
        from engine.models.single_view import SingleView
        from engine.models.towers.embedder import TowersEmbedder

        data_dir, threads = self._settings.data_dir, self._settings.threads
        models_dir = data_dir / "models"
        if missing := missing_modules(spec.packages):
            raise _lacking(spec, missing)
        if spec.runner == "towers":
            revision = kept.find(data_dir, spec.id, choice.revision)
            return SingleView(TowersEmbedder.load(spec, revision, data_dir, threads, on_stage))
        if spec.kind == "reranker":
            return PocketRerankerWeights(PocketReranker.load(spec, models_dir, threads, on_stage))
        return SingleView(Pocket.load(spec, models_dir, threads, on_stage))

    def _load_reranker(self, spec: ModelSpec, found: files.Checkpoint, device: Device, dtype: str) -> Weights:
        from engine.models.hub.opening import libraries, open_checkpoint
        from engine.models.hub.reranker import RerankerWeights

        code = self._settings.allows_remote_code(spec.id)
        model = open_checkpoint("reranker", spec, found.folder, device, dtype, remote_code=code)
        _check_modalities(spec, model.modalities)
        made_by = Provenance(spec.id, found.revision, 1, dtype, libraries=libraries())
        return RerankerWeights(spec, made_by, model, device, batch_items=self._settings.model_batch_items)

    def _load_embedder(
        self, spec: ModelSpec, choice: ModelChoice, found: files.Checkpoint, device: Device, dtype: str
    ) -> EmbedderWeights:
        from engine.models.hub.embedder import EmbedderWeights
        from engine.models.hub.limits import model_pixel_limits
        from engine.models.hub.opening import libraries, open_checkpoint, prompt_of, width_of

        code = self._settings.allows_remote_code(spec.id)
        model = open_checkpoint("embedder", spec, found.folder, device, dtype, remote_code=code)
        towers = {one: model for one in MODALITIES if one in model.modalities}
        if spec.images_by:
            images, drawn = describe(spec.images_by), self._find_images(spec, choice)
            self._check_allowed(images, drawn)
            code = self._settings.allows_remote_code(images.id)
            towers["image"] = open_checkpoint(
                "embedder", images, drawn.folder, device, dtype, remote_code=code
            )
        _check_modalities(spec, towers or model.modalities)
        limits = model_pixel_limits(towers["image"]) if "image" in towers else None
        query = prompt_of(model, ("query",)) if spec.query_prompt is None else spec.query_prompt
        document = prompt_of(model, ("document", "passage", "corpus"))
        made_by = Provenance(
            spec.id,
            self._revision(spec, choice, found),
            width_of(model),
            dtype,
            query_prompt=query,
            document_prompt=document if spec.document_prompt is None else spec.document_prompt,
            min_pixels=(spec.min_pixels or limits[0]) if limits else None,
            max_pixels=(spec.max_pixels or limits[1]) if limits else None,
            libraries=libraries(),
        )
        names = [one.name for one in devices(self._settings)]
        items = self._settings.model_batch_items
        return EmbedderWeights(spec, made_by, towers, device, batch_items=items, devices=names)

    def _check_allowed(self, spec: ModelSpec, found: files.Checkpoint) -> None:
        if files.kind_of(found.folder) == "multi-vector":
            raise ModelKindError(spec.id, "multi-vector", "embedder or reranker")
        if files.needs_remote_code(found.folder) and not self._settings.allows_remote_code(spec.id):
            raise RemoteCodeError(spec.id)

    def _find(self, spec: ModelSpec, choice: ModelChoice) -> files.Checkpoint:
        """Return the files of a choice; a local folder's revision says what it held, and asks for nothing."""
        revision = (choice.revision or spec.revision or "").split(_AND)[0] or None
        local = revision is not None and revision.startswith("local-")
        return files.find(spec.id, None if local else revision)

    def _find_images(self, spec: ModelSpec, choice: ModelChoice) -> files.Checkpoint:
        """Return the files of the model that embeds the pictures of a text-only one."""
        _, _, revision = (choice.revision or "").partition(_AND)
        return files.find(spec.images_by or "", revision or None)

    def _revision(self, spec: ModelSpec, choice: ModelChoice, found: files.Checkpoint) -> str:
        """Return what exactly makes the vectors: the commit, or the two of a pair of models."""
        if not spec.images_by:
            return found.revision
        return f"{found.revision}{_AND}{self._find_images(spec, choice).revision}"


def _lacking(spec: ModelSpec, missing: list[str]) -> ModelError:
    return ModelError(
        f"{spec.id} needs {', '.join(missing)}, which is not installed here. Install what "
        f"requirements.txt lists, or use Pocket."
    )


def whole_bytes(spec: ModelSpec, dtype: str) -> int | None:
    """Return the bytes a model needs by the catalog, with the one that embeds its pictures, or None."""
    parts = [spec, *([describe(spec.images_by)] if spec.images_by else [])]
    return _sum(needed_bytes(part, dtype) for part in parts)


def _bytes_of(spec: ModelSpec, folder: Path, dtype: str) -> int | None:
    size, stored = files.weight_bytes(folder), files.stored_dtype(folder) or "float32"
    return needed_bytes(spec, dtype, weight_bytes=size, weight_dtype=stored)


def _sum(sizes: Iterable[int | None]) -> int | None:
    known = list(sizes)
    return None if None in known else sum(size for size in known if size is not None)


def _check_modalities(spec: ModelSpec, found: Iterable[object]) -> None:
    if not set(found) & set(MODALITIES):
        takes = ", ".join(str(one) for one in found) or "nothing that it names"
        raise ModelError(
            f"{spec.id} takes none of {', '.join(MODALITIES)}, but {takes}. Choose another model."
        )
