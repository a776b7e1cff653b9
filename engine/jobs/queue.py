"""Long work in the background: one job at a time, kept on disk until done, so that a restart resumes.

What a job may be is in `spec.py`, what it does in `run.py`, its files in `folder.py`; here is when.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from engine.analysis.two_towers import TowerSettings
from engine.background import Background, Work
from engine.datasets.columns import Choices
from engine.datasets.plan import Plan as DataPlan
from engine.datasets.preview import plan_paths
from engine.errors import GapscopeError, QueryError, SlowModelError, VectorFileError
from engine.evaluation.results import Plan
from engine.ingest import samples
from engine.ingest.reembed import check_reembedding
from engine.jobs.folder import JobFolder
from engine.jobs.run import SAMPLE_TOWERS_STATE, SAMPLES_STATE, Job, Place, run, samples_version
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
    Upload,
    new_id,
    sample_spec,
    towers_spec,
)
from engine.maps.projection import ProjectionSettings
from engine.models.base import ModelChoice
from engine.models.catalog import TOWERS
from engine.models.pocket.recipe import PROVENANCE
from engine.storage.chroma import check_name
from engine.text import clean_name
from engine.vector_files.reading import Reading
from engine.workspace import Workspace

_KEPT_ENDED = 20
_LANE = "jobs"


class Jobs:
    """The jobs of one workspace; safe to call from several threads."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._folder = JobFolder(workspace.folder)
        self._background = Background()
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        for spec in self._folder.read():
            if spec.stopped:
                self._jobs[spec.id] = _job(replace(spec, stopped=False), state="cancelled")
            else:
                self._start(_job(spec))

    def list(self) -> list[Job]:
        """Return the jobs of this run, newest first."""
        with self._lock:
            return list(reversed(self._jobs.values()))

    def active(self) -> Job | None:
        """Return the job that is running, or the next one that waits."""
        waiting = [job for job in reversed(self.list()) if job.active]
        return waiting[0] if waiting else None

    def upload(
        self, collection: str, files: Iterable[tuple[str, IO[bytes]]], choice: ModelChoice | None = None
    ) -> Job:
        """Copy uploaded files to disk and ingest them in the background; raises as `take` and `stage`."""
        _check_target(collection)
        return self.take(collection, self.stage(files), choice)

    def stage(self, files: Iterable[tuple[str, IO[bytes]]]) -> Upload:
        """Copy uploaded files to disk, to be looked at before they are taken. Raises FolderError."""
        return self._folder.copy_in(files)

    def unstage(self, upload: Upload) -> None:
        """Delete uploaded files, unless a job has taken them."""
        with self._lock:
            if upload.id in self._jobs:
                return
        self._folder.remove(upload.id)

    def plan(self, given: Upload | Path, columns: Choices | None = None) -> DataPlan:
        """Return what is understood of uploaded files, or of a folder of this machine."""
        if isinstance(given, Upload):
            return self._folder.plan(given, columns)
        limit = self._workspace.settings.max_file_bytes
        return plan_paths([given], max_file_bytes=limit, choices=columns)

    def take(
        self,
        collection: str,
        upload: Upload,
        choice: ModelChoice | None = None,
        columns: Choices | None = None,
    ) -> Job:
        """Ingest uploaded files in the background; columns are what was chosen by hand.

        Raises CollectionNameError, QueryError for the name of the samples, or FolderError.
        """
        _check_target(collection)
        count = len(upload.files)
        title = f"{count:,} uploaded files" if count != 1 else "1 uploaded file"
        return self._add(
            IngestFiles(
                id=upload.id,
                title=title,
                collection=collection,
                choice=choice,
                files=upload.files,
                columns=columns,
            )
        )

    def import_vectors(
        self,
        collection: str,
        name: str,
        stream: IO[bytes],
        *,
        table: tuple[str, IO[bytes]] | None = None,
        reading: Reading | None = None,
        label: str | None = None,
        skip_bad: bool = False,
    ) -> Job:
        """Copy an uploaded file of vectors, and the table beside it, to disk; import it in the background.

        reading says which column is used as what; label what made the vectors; skip_bad leaves bad rows out
        instead of refusing the file. Raises as `upload` does; what is wrong with the file itself is the
        failure of the job.
        """
        _check_target(collection)
        upload = self._folder.copy_in([(name, stream), *([table] if table else [])])
        label = (label or "").strip() or None
        return self._add(
            ImportVectors(
                id=upload.id,
                title=clean_name(name),
                collection=collection,
                files=upload.files,
                label=label,
                skip_bad=skip_bad,
                reading=reading or Reading(),
            )
        )

    def ingest_folder(
        self,
        collection: str,
        folder: Path,
        choice: ModelChoice | None = None,
        columns: Choices | None = None,
    ) -> Job:
        """Ingest a folder of this machine in the background; raises as `take` does."""
        _check_target(collection)
        return self._add(
            IngestFolder(
                id=new_id(),
                title=folder.name,
                collection=collection,
                choice=choice,
                folder=str(folder),
                columns=columns,
            )
        )

    def reembed(self, collection: str, choice: ModelChoice, into: str | None = None) -> Job:
        """Embed a collection again with another model in the background; the old one stays until then.

        Raises CollectionNotFoundError, and where it cannot be called `into`: CollectionNameError,
        CollectionError or QueryError.
        """
        into = None if into == collection else into
        if into is not None:
            self._check_free(into)
        check_reembedding(collection, into, self._workspace.store, self._workspace.ledger)
        title = f"Re-embed {collection} with {choice.id}"
        return self._add(Reembed(id=new_id(), title=title, collection=collection, choice=choice, into=into))

    def train_towers(self, collection: str, settings: TowerSettings, into: str) -> Job:
        """Train two towers in the background, and keep them and what they make as `into`.

        Raises as `reembed` does.
        """
        self._check_free(into)
        self._workspace.check_towers_target(collection, into)
        return self._add(towers_spec(collection, settings, into))

    def evaluate(self, plan: Plan) -> Job:
        """Measure a collection in the background; the result is kept in `Workspace.evaluations`.

        Raises CollectionNotFoundError, and QueryError where the same is being measured already.
        """
        self._workspace.store.info(plan.collection)
        if any(
            job.active and isinstance(job.spec, Evaluate) and job.spec.plan == plan for job in self.list()
        ):
            raise QueryError("This is being measured already.")
        title = f"Evaluate {plan.collection}" + (f" with {plan.reranker.id}" if plan.reranker else "")
        return self._add(Evaluate(id=new_id(), title=title, collection=plan.collection, plan=plan))

    def export_media(self, collection: str, form: str) -> Job:
        """Write a collection's files as a data set in the background; it is kept in `Workspace.exports`.

        Raises CollectionNotFoundError, QueryError where that is being done already.
        """
        self._workspace.store.info(collection)
        same = (collection, form)
        specs = [job.spec for job in self.list() if job.active]
        if any(isinstance(one, ExportMedia) and (one.collection, one.form) == same for one in specs):
            raise QueryError("This is being written already.")
        title = f"Export of {collection}"
        return self._add(ExportMedia(id=new_id(), title=title, collection=collection, form=form))

    def project(self, collection: str, settings: ProjectionSettings) -> Job:
        """Fit a map in the background; it is kept in `Workspace.maps`.

        The same fit is not begun twice: the one that waits or runs is returned. Raises
        CollectionNotFoundError.
        """
        self._workspace.store.info(collection)
        if (job := self.fit_of(collection, settings)) and job.active:
            return job
        title = f"Map of {collection}"
        return self._add(FitMap(id=new_id(), title=title, collection=collection, settings=settings))

    def fit_of(self, collection: str, settings: ProjectionSettings) -> Job | None:
        """Return the newest job that fits this map, however it stands."""
        wanted = (collection, settings)
        fits = ((job, job.spec) for job in self.list() if isinstance(job.spec, FitMap))
        return next((job for job, spec in fits if (spec.collection, spec.settings) == wanted), None)

    def ingest_samples(self) -> Job | None:
        """Ingest the bundled photographs, unless they were before (and perhaps deleted since).

        Samples that an earlier version of Pocket embedded are embedded again; what a person has made of
        them with another model is left as it is.
        """
        store, done = self._workspace.store, self._workspace.ledger.get_state(SAMPLES_STATE)
        made = {info.name: info.made_by for info in store.collections()}.get(samples.COLLECTION)
        if done == samples_version() or (done and made is None):
            return None
        if self.uses(samples.COLLECTION) or (made and made.model != PROVENANCE.model):
            return None
        if any(isinstance(job.spec, IngestSamples) and job.state != "done" for job in self.list()):
            return None
        if made and made != PROVENANCE:
            if store.info(samples.COLLECTION).total > 2 * len(samples.list_samples()):
                return None  # somebody's own files are in it too, by the command line
            self._workspace.delete_collection(samples.COLLECTION)
        return self._add(sample_spec(samples.COLLECTION, samples.SAMPLE_DIR))

    def train_sample_towers(self) -> Job | None:
        """Train two towers on the bundled photographs, unless they were before (and perhaps deleted since).

        Those of an earlier version of the photographs or of Pocket are trained again; while only some of the
        photographs are there, none are.
        """
        workspace, into = self._workspace, samples.TOWERS
        infos = {info.name: info for info in workspace.store.collections()}
        done = workspace.ledger.get_state(SAMPLE_TOWERS_STATE)
        made = infos[into].made_by.model if into in infos else None
        if done == samples_version() or made != (f"{TOWERS}{into}" if done else None):
            return None
        listed = [job for job in self.list() if job.state != "done"]
        coming = any(isinstance(job.spec, IngestSamples) and job.active for job in listed)
        there = infos[samples.COLLECTION].total if samples.COLLECTION in infos else 0
        if not coming and there < 2 * len(samples.list_samples()):
            return None
        if self.uses(into) or any(isinstance(job.spec, TrainSampleTowers) for job in listed):
            return None
        if made:
            workspace.delete_collection(into)
        return self._add(towers_spec(samples.COLLECTION, TowerSettings(), into, kind=TrainSampleTowers))

    def cancel(self, id_: str) -> None:
        """Ask a job to stop after the batch it is at; what it stored stays."""
        job = self._jobs[id_]
        with job.changing:
            if job.active:
                self._folder.save(replace(job.spec, stopped=True))
                job.cancel()

    def retry(self, id_: str) -> None:
        """Run a failed or cancelled job again; what was stored is skipped."""
        job = self._jobs[id_]
        if job.active:
            return
        with self._lock:
            self._jobs.pop(id_)
        spec = job.spec
        if job.bad_rows and isinstance(spec, ImportVectors):
            spec = replace(spec, skip_bad=True)
        if job.slow and isinstance(spec, IngestFiles | IngestFolder | Reembed):
            spec = replace(spec, accept_slow=True)
        self._add(spec)

    def discard(self, id_: str) -> None:
        """Forget an ended job and its uploaded files; what it stored stays, but for half a re-embedding.

        Raises StoreError or FolderError, with the job still listed.
        """
        job = self._jobs.get(id_)
        if job is None or job.active:
            return
        if isinstance(job.spec, Reembed) and not self._reembeds(job.spec.target, but=job):
            self._workspace.folder.discard_reembedding(job.spec.target)
        with self._lock:
            self._jobs.pop(id_, None)
        self._forget_files(job.spec)

    def uses(self, collection: str) -> bool:
        """Tell whether a job that waits or runs adds to this collection, measures it, or re-embeds it."""
        return any(job.active and collection in (job.spec.collection, job.spec.target) for job in self.list())

    def delete_collection(self, collection: str) -> None:
        """Delete a collection that no job uses. Raises QueryError, CollectionNotFoundError."""
        if self.uses(collection):
            raise QueryError(f"A job is using {collection!r}: cancel it first, or wait for it.")
        self._workspace.delete_collection(collection)

    def _check_free(self, into: str) -> None:
        """Raise CollectionNameError, or QueryError where a new collection cannot be called so."""
        _check_target(into)
        if self.uses(into):
            raise QueryError(f"A job is making {into!r}: choose another name, or wait for it.")

    def _add(self, spec: JobSpec) -> Job:
        self._folder.save(spec)
        return self._start(_job(spec))

    def _start(self, job: Job) -> Job:
        with self._lock:
            self._jobs[job.spec.id] = job
        self._forget_oldest()
        self._begin(job)
        return job

    def _begin(self, job: Job) -> None:
        self._background.begin(job, self._run, lane=_LANE)

    def _run(self, job: Work) -> None:
        assert isinstance(job, Job)
        try:
            run(job.spec, job, Place(self._workspace, self._folder))
        except GapscopeError as error:
            job.slow = isinstance(error, SlowModelError)
            job.bad_rows = isinstance(error, VectorFileError) and _may_skip(job.spec, error)
            raise
        with job.changing:  # a cancel that comes now would write down anew what is removed
            self._forget_files(job.spec)
            job.end("done")

    def _forget_files(self, spec: JobSpec) -> None:
        self._folder.remove(spec.id)
        if isinstance(spec, Reembed):
            self._workspace.ledger.drop_state(spec.done_as)

    def _reembeds(self, target: str, *, but: Job) -> bool:
        """Tell whether another job that is not done makes the same, and goes on from what there is."""
        others = (job for job in self.list() if job is not but and job.state != "done")
        return any(isinstance(job.spec, Reembed) and job.spec.target == target for job in others)

    def _forget_oldest(self) -> None:
        with self._lock:
            ended = [id_ for id_, job in self._jobs.items() if job.state == "done"]
            for id_ in ended[:-_KEPT_ENDED]:
                del self._jobs[id_]


def _job(spec: JobSpec, **fields: Any) -> Job:
    return Job(title=spec.title, spec=spec, **fields)


def _check_target(collection: str) -> None:
    check_name(collection)
    if collection == samples.COLLECTION:
        raise QueryError(f"{collection!r} is kept for the bundled photographs: choose another name.")


def _may_skip(spec: JobSpec, error: VectorFileError) -> bool:
    """Tell whether an import that was refused can go on without its bad rows."""
    return bool(error.faults) and isinstance(spec, ImportVectors) and not spec.skip_bad
