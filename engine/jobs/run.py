"""What each kind of job does: one function per class of `spec.py`; when it runs is the queue's business.

A function returns nothing: it leaves its report on the job. It raises CancelledError where it was cancelled,
and a GapscopeError where it failed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from typing import Any

from engine.background import Work
from engine.datasets.export import MediaExport
from engine.datasets.find import sources_in
from engine.datasets.preview import plan_paths
from engine.ingest import samples
from engine.jobs.folder import JobFolder
from engine.jobs.spec import (
    Evaluate,
    ExportMedia,
    FitMap,
    ImportVectors,
    IngestFiles,
    IngestFolder,
    IngestSamples,
    JobSpec,
    Reembed,
    TrainSampleTowers,
    TrainTowers,
    Upload,
)
from engine.media.sources import SourceList
from engine.models.pocket.recipe import PROVENANCE
from engine.progress import CancelledError, Progress
from engine.types import Failure, IngestReport, LeftOut
from engine.workspace import Workspace

SAMPLES_STATE = "samples"  # the key under which the ledger keeps which samples were ingested
SAMPLE_TOWERS_STATE = "towers of the samples"  # and this of which of them two towers were trained


@dataclass(eq=False, kw_only=True)
class Job(Work):
    """A job and how it stands.

    `slow` tells that it was not begun because its model would take very long: going on accepts that.
    `evaluation` is the id under which the result of an evaluation is kept. `bad_rows` tells that an import
    was refused for some of its rows: going on leaves them out.
    """

    spec: JobSpec
    report: IngestReport | None = None
    exported: MediaExport | None = None
    evaluation: str | None = None
    slow: bool = False
    bad_rows: bool = False


@dataclass(frozen=True)
class Place:
    """Where jobs work: the workspace, and the folder of what was uploaded."""

    workspace: Workspace
    folder: JobFolder


@singledispatch
def run(spec: JobSpec, job: Job, place: Place) -> None:
    """Do what a spec says. Raises CancelledError, GapscopeError."""
    raise NotImplementedError(f"no function for jobs of kind {spec.kind}")


@run.register
def _ingest_files(spec: IngestFiles, job: Job, place: Place) -> None:
    plan = place.folder.plan(Upload(spec.id, spec.files), spec.columns)
    _ingest(spec, job, place, sources_in(plan))


@run.register
def _ingest_folder(spec: IngestFolder, job: Job, place: Place) -> None:
    limit = place.workspace.settings.max_file_bytes
    plan = plan_paths([Path(spec.folder)], max_file_bytes=limit, choices=spec.columns)
    _ingest(spec, job, place, sources_in(plan))


@run.register
def _ingest_samples(spec: IngestSamples, job: Job, place: Place) -> None:
    _ingest_folder(spec, job, place)
    place.workspace.ledger.set_state(SAMPLES_STATE, samples_version())


def _ingest(spec: IngestFiles | IngestFolder, job: Job, place: Place, found: SourceList) -> None:
    workspace = place.workspace
    _settle(
        job,
        workspace.ingest(
            spec.collection, found, choice=spec.choice, accept_slow=spec.accept_slow, **_hooks(job)
        ),
    )


@run.register
def _import_vectors(spec: ImportVectors, job: Job, place: Place) -> None:
    (name, stored), *tables = spec.files
    # Without a media_root: what a visitor uploads must not make the server read files of its own.
    report = place.workspace.import_vectors(
        spec.collection,
        place.folder.file(spec.id, stored),
        name=name,
        table=next(((table, place.folder.file(spec.id, kept)) for table, kept in tables), None),
        reading=spec.reading,
        label=spec.label,
        skip_bad=spec.skip_bad,
        **_hooks(job),
    )
    _settle(job, report)


@run.register
def _reembed(spec: Reembed, job: Job, place: Place) -> None:
    """Embed a collection again, unless it was put in place just before the process ended."""
    workspace = place.workspace
    if _was_put_in_place(spec, job, workspace):
        return
    report = workspace.reembed(
        spec.collection,
        spec.choice,
        into=spec.into,
        accept_slow=spec.accept_slow,
        done_as=spec.done_as,
        **_hooks(job),
    )
    _settle(job, report)


@run.register
def _train_towers(spec: TrainTowers, job: Job, place: Place) -> None:
    """Train on a collection and embed it anew; cut short, the same training gives the same towers again."""
    workspace = place.workspace
    if _was_put_in_place(spec, job, workspace):
        return
    workspace.check_towers_target(spec.collection, spec.target)
    trained = workspace.train_towers(spec.collection, spec.settings, **_hooks(job))
    report = workspace.keep_towers(
        trained, spec.target, accept_slow=spec.accept_slow, done_as=spec.done_as, **_hooks(job)
    )
    _settle(job, report)


@run.register
def _train_sample_towers(spec: TrainSampleTowers, job: Job, place: Place) -> None:
    _train_towers(spec, job, place)
    place.workspace.ledger.set_state(SAMPLE_TOWERS_STATE, samples_version())


def _was_put_in_place(spec: Reembed, job: Job, workspace: Workspace) -> bool:
    """Tell whether a job had made its collection before the process ended; its report is the job's then."""
    done = workspace.ledger.get_state(spec.done_as)
    if done is None:
        return False
    workspace.folder.finish_swaps()
    _settle(job, _report_of(done))
    return True


@run.register
def _evaluate(spec: Evaluate, job: Job, place: Place) -> None:
    done = place.workspace.evaluate(spec.plan, **_hooks(job))
    if done is None:
        raise CancelledError
    job.evaluation = place.workspace.evaluations.keep(done)


@run.register
def _fit_map(spec: FitMap, job: Job, place: Place) -> None:
    def report(share: float) -> None:
        job.hear(Progress.of_share("Fitting", share))

    report(0.0)
    maps = place.workspace.maps
    maps.fit(maps.content_of(spec.collection), spec.settings, on_progress=report, cancelled=job.stop.is_set)


@run.register
def _export_media(spec: ExportMedia, job: Job, place: Place) -> None:
    exported = place.workspace.exports.write(spec.collection, spec.form, **_hooks(job))
    if exported is None:
        raise CancelledError
    job.exported = exported


def samples_version() -> str:
    """Return what differs when the samples, or the model that embeds them, are others."""
    return f"{samples.fingerprint()} {PROVENANCE}"


def _hooks(job: Job) -> dict[str, Callable[..., Any]]:
    return {"on_progress": job.hear, "cancelled": job.stop.is_set}


def _settle(job: Job, report: IngestReport) -> None:
    """Leave a report on its job. Raises CancelledError where it tells of a cancel."""
    job.report = report
    if report.cancelled:
        raise CancelledError


def _report_of(text: str) -> IngestReport:
    """Return the report that a re-embedding left in the ledger when it was put in place."""
    data = json.loads(text)
    lists = {
        "failed": tuple(Failure(**one) for one in data["failed"]),
        "notes": tuple(data.get("notes", ())),
        **{
            name: tuple(
                LeftOut(one["reason"], one["count"], tuple(one["examples"])) for one in data.get(name, ())
            )
            for name in ("left_out", "failed_kinds")
        },
    }
    return IngestReport(**{**data, **lists})
