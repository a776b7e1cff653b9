"""What a job is to do: one class per kind, each with a tag under which it is kept as JSON; does nothing.

A new kind is a class here, a line in KINDS, and a function in `run.py`.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from engine.analysis.two_towers import TowerSettings
from engine.datasets.columns import Choices
from engine.evaluation.results import Plan
from engine.maps.projection import ProjectionSettings
from engine.models.base import ModelChoice
from engine.models.catalog import TOWERS
from engine.vector_files.reading import Reading

Files = tuple[tuple[str, str], ...]  # the name that a person knows, and the name in the job's folder


@dataclass(frozen=True)
class Upload:
    """Files that were copied to disk for a job with this id, which there may never be."""

    id: str
    files: Files


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """What every kind of job has: an id that sorts by time, a title for people, the collection it is about.

    `stopped` tells that somebody has cancelled it: a restart lists it and does not go on.
    """

    kind: ClassVar[str]
    id: str
    title: str
    collection: str
    stopped: bool = False

    @property
    def target(self) -> str:
        """Return the collection that the job fills."""
        return self.collection


@dataclass(frozen=True, kw_only=True)
class IngestFiles(JobSpec):
    """Ingest uploaded files; choice is the model (None: what made the collection, or Pocket).

    columns are what a person chose by hand of the tables among them.
    """

    kind = "ingest-files"
    files: Files
    choice: ModelChoice | None = None
    accept_slow: bool = False
    columns: Choices | None = None


@dataclass(frozen=True, kw_only=True)
class IngestFolder(JobSpec):
    """Ingest a folder of this machine; columns are what was chosen by hand of its tables."""

    kind = "ingest-folder"
    folder: str
    choice: ModelChoice | None = None
    accept_slow: bool = False
    columns: Choices | None = None


@dataclass(frozen=True, kw_only=True)
class IngestSamples(IngestFolder):
    """Ingest the bundled photographs, once per version of them and of Pocket."""

    kind = "ingest-samples"


@dataclass(frozen=True, kw_only=True)
class ImportVectors(JobSpec):
    """Import one uploaded file of vectors, and the table beside it where there is one.

    label, skip_bad and reading are as `import_vectors` takes them.
    """

    kind = "import-vectors"
    files: Files
    label: str | None = None
    skip_bad: bool = False
    reading: Reading = field(default_factory=Reading)


@dataclass(frozen=True, kw_only=True)
class Reembed(JobSpec):
    """Embed a collection again with another model, in its place or `into` another."""

    kind = "reembed"
    choice: ModelChoice
    into: str | None = None
    accept_slow: bool = False

    @property
    def target(self) -> str:
        """Return the collection that the job fills."""
        return self.into or self.collection

    @property
    def done_as(self) -> str:
        """Return the key under which the ledger keeps that, and how, it was put in place."""
        return f"job {self.id}"


@dataclass(frozen=True, kw_only=True)
class TrainTowers(Reembed):
    """Train two towers on a collection's pairs, then embed it with them `into` another, which is new."""

    kind = "train-towers"
    settings: TowerSettings


@dataclass(frozen=True, kw_only=True)
class TrainSampleTowers(TrainTowers):
    """Train two towers on the bundled photographs, once for every data folder."""

    kind = "train-sample-towers"


@dataclass(frozen=True, kw_only=True)
class Evaluate(JobSpec):
    """Measure a collection; the result is kept in `Workspace.evaluations`."""

    kind = "evaluate"
    plan: Plan


@dataclass(frozen=True, kw_only=True)
class FitMap(JobSpec):
    """Fit a map of a collection; it is kept in `Workspace.maps`."""

    kind = "fit-map"
    settings: ProjectionSettings


@dataclass(frozen=True, kw_only=True)
class ExportMedia(JobSpec):
    """Write a collection's files as a data set, in one of `datasets.exported.FORMS`, to be fetched."""

    kind = "export-media"
    form: str


KINDS: dict[str, type[JobSpec]] = {
    one.kind: one
    for one in (
        IngestFiles,
        IngestFolder,
        IngestSamples,
        ImportVectors,
        Reembed,
        TrainTowers,
        TrainSampleTowers,
        Evaluate,
        FitMap,
        ExportMedia,
    )
}


def to_json(spec: JobSpec) -> str:
    """Return a spec as `job.json` keeps it."""
    data = {"kind": spec.kind, **asdict(spec)}
    if isinstance(spec, Evaluate):
        data["plan"] = spec.plan.to_dict()
    if isinstance(spec, FitMap):
        data["settings"] = spec.settings.to_dict()
    return json.dumps(data)


def from_json(text: str) -> JobSpec:
    """Return what `job.json` holds, also one that an earlier version wrote, which had no kind.

    Raises ValueError, TypeError or KeyError where it is none of these.
    """
    data = json.loads(text)
    if "kind" not in data:
        data = _of_before(data)
    kind = KINDS[data.pop("kind")]
    if data.get("choice"):
        data["choice"] = ModelChoice(**data["choice"])
    if data.get("columns"):
        chosen: dict[str, Any] = data["columns"]
        lists = {name: tuple(one) for name, one in chosen.items() if isinstance(one, list)}
        data["columns"] = Choices(**{**chosen, **lists})
    if "files" in data:
        data["files"] = tuple((name, stored) for name, stored in data["files"])
    if "reading" in data:
        data["reading"] = Reading.of(data["reading"])
    if kind is Evaluate:
        data["plan"] = Plan.of(data["plan"])
    if issubclass(kind, TrainTowers):
        data["settings"] = TowerSettings.of(data["settings"])
    if kind is FitMap:
        data["settings"] = ProjectionSettings.of(data["settings"])
    return kind(**data)


def _of_before(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return one class for all kinds, told apart by what was set, as the kind that it meant."""
    vectors = data.get("vectors")
    kind: type[JobSpec]
    own: dict[str, Any]
    if data.get("evaluation") is not None:
        kind, own = Evaluate, {"plan": data["evaluation"]}
    elif data.get("projection") is not None:
        kind, own = FitMap, {"settings": data["projection"]}
    elif data.get("remake"):
        kind, own = Reembed, {"choice": data["choice"], "into": data.get("into")}
    elif vectors is not None:
        kind, own = ImportVectors, {"files": data["files"], **vectors}
    elif data.get("samples"):
        kind, own = IngestSamples, {"folder": data["folder"]}
    elif data.get("folder"):
        kind, own = IngestFolder, {"folder": data["folder"]}
    else:
        kind, own = IngestFiles, {"files": data["files"]}
    names = {field.name for field in fields(kind)}
    shared = {name: data[name] for name in names & {"choice", "accept_slow", "stopped"} & set(data)}
    head = {name: data[name] for name in ("id", "title", "collection")}
    return {"kind": kind.kind, **head, **shared, **own}


_numbering = threading.Lock()
_newest_ns = 0


def new_id() -> str:
    """Return an id that sorts after every earlier one: a restart goes on in the order of the ids."""
    global _newest_ns
    with _numbering:
        _newest_ns = max(time.time_ns(), _newest_ns + 1)  # two jobs of one instant are in order too
        return f"{_newest_ns:019d}-{uuid.uuid4().hex[:8]}"


def sample_spec(collection: str, folder: Path) -> IngestSamples:
    """Return the job that ingests the bundled photographs."""
    return IngestSamples(id=new_id(), title="Sample photographs", collection=collection, folder=str(folder))


def towers_spec(
    collection: str, settings: TowerSettings, into: str, *, kind: type[TrainTowers] = TrainTowers
) -> TrainTowers:
    """Return the job that trains two towers on a collection and keeps them as another."""
    return kind(
        id=new_id(),
        title=f"Two towers of {collection}",
        collection=collection,
        choice=ModelChoice(f"{TOWERS}{into}"),
        into=into,
        settings=settings,
    )
